/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of files that people write: decoding, and which of them nobody can see or trust. */
#ifndef MQWARD_BASE_CHARACTER_H
#define MQWARD_BASE_CHARACTER_H

#include "base/utf8.h"

/* The code point at the start of text (not empty) and its length in bytes; length 0 if it is not well-formed
 * UTF-8. */
static inline uint32_t character_decode(struct view text, size_t *length)
{
    static const uint8_t first_byte_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    *length = utf8_sequence_length(text);
    uint32_t character = text.data[0] & first_byte_mask[*length];
    for (size_t i = 1; i < *length; i++)
        character = character << 6 | (text.data[i] & 0x3f);
    return character;
}

/* C0 (with tab and line feed), DEL and C1: what terminals obey. */
static inline bool character_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f);
}

/* Embeddings, overrides and isolates of the bidirectional algorithm (UAX #9): a line reads differently from
 * what it is. */
static inline bool character_is_reordering(uint32_t character)
{
    return (character >= 0x202a && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069);
}

/* Line and paragraph separator: some programs end the line there and some do not. */
static inline bool character_is_separator(uint32_t character)
{
    return character == 0x2028 || character == 0x2029;
}

/* What shows nothing, or an empty place: Unicode's Default_Ignorable_Code_Point (marks, joiners, fillers,
 * selectors, tags), the annotations' anchors, and every blank but U+0020. What is printed with them looks
 * like something else. By page: the exporter asks it of every letter. */
static inline bool character_is_invisible(uint32_t character)
{
    switch (character >> 8) {
    case 0x00:
        return character == 0xa0 || character == 0xad;
    case 0x03:
        return character == 0x34f;
    case 0x06:
        return character == 0x61c;
    case 0x11:
        return character == 0x115f || character == 0x1160;
    case 0x16:
        return character == 0x1680;
    case 0x17:
        return character == 0x17b4 || character == 0x17b5;
    case 0x18:
        return character >= 0x180b && character <= 0x180f;
    case 0x20:
        return character <= 0x200f || (character >= 0x202a && character <= 0x202f) ||
               (character >= 0x205f && character <= 0x206f);
    case 0x28:
        return character == 0x2800;
    case 0x30:
        return character == 0x3000;
    case 0x31:
        return character == 0x3164;
    case 0xfe:
        return character <= 0xfe0f || character == 0xfeff;
    case 0xff:
        return character == 0xffa0 || (character >= 0xfff0 && character <= 0xfffb);
    case 0x1bc:
        return character >= 0x1bca0 && character <= 0x1bca3;
    case 0x1d1:
        return character >= 0x1d173 && character <= 0x1d17a;
    default:
        return character >= 0xe0000 && character <= 0xe0fff;
    }
}

/* Letters that are written from right to left, and what Unicode keeps free for them (UAX #9, 3.2): a terminal
 * that knows how puts them, and the digits and blanks beside them, in another order. */
static inline bool character_is_right_to_left(uint32_t character)
{
    return (character >= 0x590 && character <= 0x8ff) || (character >= 0xfb1d && character <= 0xfdff) ||
           (character >= 0xfe70 && character <= 0xfeff) || (character >= 0x10800 && character <= 0x10fff) ||
           (character >= 0x1e800 && character <= 0x1efff);
}

/* Of any text from outside: what a terminal would obey, hide or reorder. */
static inline bool character_is_deceptive(uint32_t character)
{
    return character_is_control(character) || character_is_separator(character) ||
           character_is_reordering(character) || character_is_invisible(character);
}

#endif

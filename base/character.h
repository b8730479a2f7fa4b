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

/* Marks and joiners without width. */
static inline bool character_is_invisible(uint32_t character)
{
    return character == 0x61c || (character >= 0x200b && character <= 0x200f) ||
           (character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

#endif

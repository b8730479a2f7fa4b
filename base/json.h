/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON writer into a buffer (RFC 8259). It puts the commas; the caller pairs begin and end (depth <= 16)
 * and writes one top value after json_write_begin(): asserted. Strings and keys: control characters and
 * U+2028/9 are escaped, every byte that is not well-formed UTF-8 becomes \ufffd, so that no input can break
 * out of its string or line. */
#ifndef MQWARD_BASE_JSON_H
#define MQWARD_BASE_JSON_H

#include "base/buffer.h"

/* So that a caller's literal key is a constant within. */
#define JSON_INLINE __attribute__((always_inline)) static inline

struct json {
    struct buffer *out;
    uint32_t comma;   /* bit d: the next member at depth d needs a comma */
    uint32_t objects; /* bit d: depth d is an object, so its members need keys */
    uint8_t depth;
    bool indented; /* set after json_write_begin(): a member or element a line, for people */
};

void json_write_begin(struct json *json, struct buffer *out);

/* The comma and the key before a member (key given), an element or the top value (NULL); the caller appends
 * the value. Keys that are literals, of plain ASCII then, cost a few stores and no look at their bytes. */
void json_write_prefix(struct json *json, const char *key);
JSON_INLINE void json_write_key(struct json *json, const char *key)
{
    uint32_t bit = UINT32_C(1) << json->depth;

    if (key == NULL || !__builtin_constant_p(__builtin_strlen(key)) || json->indented ||
        (json->objects & bit) == 0) { /* an element, too */
        json_write_prefix(json, key);
        return;
    }
    size_t length = __builtin_strlen(key);
    uint8_t *room = buffer_reserve(json->out, length + 4), *start = room;
    *room = ',';
    room += (json->comma & bit) != 0;
    json->comma |= bit;
    *room++ = '"';
    memcpy(room, key, length);
    memcpy(room + length, "\":", 2);
    json->out->end += (size_t)(room - start) + length + 2;
}

/* Everything below writes a member when key is given, an element (or the top value) when key is NULL. */
void json_open(struct json *json, uint8_t bracket);
JSON_INLINE void json_write_object_begin(struct json *json, const char *key)
{
    json_write_key(json, key);
    json_open(json, '{');
}
void json_write_object_end(struct json *json);
JSON_INLINE void json_write_array_begin(struct json *json, const char *key)
{
    json_write_key(json, key);
    json_open(json, '[');
}
void json_write_array_end(struct json *json);

/* The value of a string, in quotes. */
void json_append_quoted(struct buffer *out, struct view value);
JSON_INLINE void json_write_string(struct json *json, const char *key, struct view value)
{
    json_write_key(json, key);
    json_append_quoted(json->out, value);
}
/* A text of the program: plain ASCII where it is a literal. */
JSON_INLINE void json_write_literal(struct json *json, const char *key, const char *text)
{
    size_t length = __builtin_strlen(text);

    json_write_key(json, key);
    if (!__builtin_constant_p(length)) {
        json_append_quoted(json->out, view_of_string(text));
        return;
    }
    uint8_t *room = buffer_reserve(json->out, length + 2);
    *room++ = '"';
    memcpy(room, text, length);
    room[length] = '"';
    json->out->end += length + 2;
}
/* Of a value of more than limit bytes (then 3 at least) as much is written, cut at a character, as fits limit
 * together with a closing U+2026, the mark of the cut: indexes that take limit characters take it. */
void json_append_quoted_capped(struct buffer *out, struct view value, size_t limit);
JSON_INLINE void json_write_string_capped(struct json *json, const char *key, struct view value, size_t limit)
{
    json_write_key(json, key);
    json_append_quoted_capped(json->out, value, limit);
}
void json_append_unsigned(struct buffer *out, uint64_t value);
JSON_INLINE void json_write_unsigned(struct json *json, const char *key, uint64_t value)
{
    json_write_key(json, key);
    json_append_unsigned(json->out, value);
}
void json_write_number(struct json *json, const char *key, int64_t value);
JSON_INLINE void json_write_boolean(struct json *json, const char *key, bool value)
{
    json_write_key(json, key);
    buffer_append(json->out, value ? VIEW("true") : VIEW("false"));
}
void json_write_null(struct json *json, const char *key);
/* Lower-case hex of bytes, as a string. */
void json_append_hex(struct buffer *out, struct view bytes);
JSON_INLINE void json_write_hex(struct json *json, const char *key, struct view bytes)
{
    json_write_key(json, key);
    json_append_hex(json->out, bytes);
}
/* Members (or elements) that were written before, without the comma in front of them. */
JSON_INLINE void json_write_members(struct json *json, struct view members)
{
    uint32_t bit = UINT32_C(1) << json->depth;

    if ((json->comma & bit) != 0)
        buffer_append_byte(json->out, ',');
    json->comma |= bit;
    buffer_append(json->out, members);
}
/* Just the escaped text of a string, without quotes: for writers of their own. */
void json_write_escape(struct buffer *out, struct view value);
/* The same, cut and marked as json_write_string_capped() does. */
void json_write_escape_capped(struct buffer *out, struct view value, size_t limit);

#endif

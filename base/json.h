/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON writer into a buffer (RFC 8259). It puts the commas; the caller pairs begin and end (depth <= 16)
 * and writes one top value after json_write_begin(): asserted. Strings and keys: control characters and
 * U+2028/9 are escaped, every byte that is not well-formed UTF-8 becomes \ufffd, so that no input can break
 * out of its string or line. */
#ifndef MQWARD_BASE_JSON_H
#define MQWARD_BASE_JSON_H

#include "base/buffer.h"

struct json {
    struct buffer *out;
    uint32_t comma;   /* bit d: the next member at depth d needs a comma */
    uint32_t objects; /* bit d: depth d is an object, so its members need keys */
    uint8_t depth;
    bool indented; /* set after json_write_begin(): a member or element a line, for people */
};

void json_write_begin(struct json *json, struct buffer *out);
/* Everything below writes a member when key is given, an element (or the top value) when key is NULL. */
void json_write_object_begin(struct json *json, const char *key);
void json_write_object_end(struct json *json);
void json_write_array_begin(struct json *json, const char *key);
void json_write_array_end(struct json *json);
void json_write_string(struct json *json, const char *key, struct view value);
/* The same with at most limit bytes of value (cut at a character) and a closing U+2026 as the mark of the
 * cut. */
void json_write_string_capped(struct json *json, const char *key, struct view value, size_t limit);
void json_write_number(struct json *json, const char *key, int64_t value);
void json_write_unsigned(struct json *json, const char *key, uint64_t value);
void json_write_boolean(struct json *json, const char *key, bool value);
void json_write_null(struct json *json, const char *key);
/* Lower-case hex of bytes, as a string. */
void json_write_hex(struct json *json, const char *key, struct view bytes);
/* Just the escaped text of a string, without quotes: for writers of their own. */
void json_write_escape(struct buffer *out, struct view value);
/* The same, cut and marked as json_write_string_capped() does. */
void json_write_escape_capped(struct buffer *out, struct view value, size_t limit);

#endif

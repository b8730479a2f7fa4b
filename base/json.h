/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON writer into a buffer (RFC 8259). It puts the commas; the caller pairs begin and end (depth <= 16)
 * and writes one top value after json_begin(): asserted. Strings and keys: control characters and U+2028/9
 * are escaped, every byte that is not well-formed UTF-8 becomes \ufffd, so that no input can break out of its
 * string or line. */
#ifndef MQWARD_BASE_JSON_H
#define MQWARD_BASE_JSON_H

#include "base/buffer.h"

struct json {
    struct buffer *out;
    uint32_t comma;   /* bit d: the next member at depth d needs a comma */
    uint32_t objects; /* bit d: depth d is an object, so its members need keys */
    uint8_t depth;
};

void json_begin(struct json *json, struct buffer *out);
/* Everything below writes a member when key is given, an element (or the top value) when key is NULL. */
void json_object_begin(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array_begin(struct json *json, const char *key);
void json_array_end(struct json *json);
void json_string(struct json *json, const char *key, struct view value);
/* The same with at most limit bytes of value (cut at a character) and a closing U+2026 as the mark of the
 * cut. */
void json_string_capped(struct json *json, const char *key, struct view value, size_t limit);
void json_number(struct json *json, const char *key, int64_t value);
void json_unsigned(struct json *json, const char *key, uint64_t value);
void json_boolean(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
/* Lower-case hex of bytes, as a string. */
void json_hex(struct json *json, const char *key, struct view bytes);
/* Just the escaped text of a string, without quotes: for writers of their own. */
void json_escape(struct buffer *out, struct view value);
/* The same, cut and marked as json_string_capped() does. */
void json_escape_capped(struct buffer *out, struct view value, size_t limit);

#endif

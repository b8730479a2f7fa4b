/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writing of JSON. Called by the log, the audit records and every `--json` of the command line. */
#include "base/json.h"

#include <assert.h>

#include "base/utf8.h"

#define JSON_DEPTH_MAXIMUM 16

static const char json_hex_digits[] = "0123456789abcdef";

void json_write_begin(struct json *json, struct buffer *out)
{
    *json = (struct json){.out = out};
}

static void json_break_line(struct json *json)
{
    buffer_append_byte(json->out, '\n');
    for (uint8_t i = 0; i < json->depth; i++)
        buffer_append(json->out, VIEW("  "));
}

/* The comma and the key before a member, an element or the top value. */
static void json_prefix(struct json *json, const char *key)
{
    uint32_t bit = UINT32_C(1) << json->depth;

    /* Members have keys, elements have none, and a text has one top value. */
    assert(((json->objects & bit) != 0) == (key != NULL));
    assert(json->depth > 0 || (json->comma & bit) == 0);
    if ((json->comma & bit) != 0)
        buffer_append_byte(json->out, ',');
    json->comma |= bit;
    if (json->indented && json->depth > 0)
        json_break_line(json);
    if (key == NULL)
        return;
    buffer_append_byte(json->out, '"');
    json_write_escape(json->out, view_of_string(key));
    buffer_append(json->out, json->indented ? VIEW("\": ") : VIEW("\":"));
}

static void json_open(struct json *json, const char *key, uint8_t bracket, bool object)
{
    assert(json->depth < JSON_DEPTH_MAXIMUM);
    json_prefix(json, key);
    json->depth++;
    uint32_t bit = UINT32_C(1) << json->depth;
    json->comma &= ~bit;
    json->objects = object ? json->objects | bit : json->objects & ~bit;
    buffer_append_byte(json->out, bracket);
}

static void json_close(struct json *json, uint8_t bracket, bool object)
{
    assert(json->depth > 0);
    assert(((json->objects >> json->depth & 1) != 0) == object);
    bool empty = (json->comma >> json->depth & 1) == 0;
    json->depth--;
    if (json->indented && !empty)
        json_break_line(json);
    buffer_append_byte(json->out, bracket);
}

void json_write_object_begin(struct json *json, const char *key)
{
    json_open(json, key, '{', true);
}

void json_write_object_end(struct json *json)
{
    json_close(json, '}', true);
}

void json_write_array_begin(struct json *json, const char *key)
{
    json_open(json, key, '[', false);
}

void json_write_array_end(struct json *json)
{
    json_close(json, ']', false);
}

/* \u and four digits. */
static void json_append_unit(struct buffer *out, unsigned unit)
{
    uint8_t *room = buffer_reserve(out, 6);

    room[0] = '\\';
    room[1] = 'u';
    for (int i = 0; i < 4; i++)
        room[2 + i] = (uint8_t)json_hex_digits[unit >> (12 - 4 * i) & 0xF];
    out->end += 6;
}

/* The short form of an escaped ASCII character, 0 if it has none. */
static uint8_t json_short_escape(uint8_t byte)
{
    static const char short_escapes[128] = {
        ['"'] = '"',
        ['\\'] = '\\',
        ['\b'] = 'b',
        ['\f'] = 'f',
        ['\n'] = 'n',
        ['\r'] = 'r',
        ['\t'] = 't',
    };
    return (uint8_t)short_escapes[byte & 0x7F];
}

static bool json_plain_ascii(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
}

#define ONES UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* True if all eight bytes of word are plain: the usual case, told at once. With no high bit set, subtracting
 * makes a high bit exactly where a byte is below the subtrahend, up to the first such byte. */
static bool json_plain_word(uint64_t word)
{
    uint64_t below = (word - ONES * 0x20) | ((word ^ ONES * '"') - ONES) | ((word ^ ONES * '\\') - ONES);

    return (((word + ONES) | word | below) & HIGH_BITS) == 0;
}

/* How many bytes from the start need no escape. */
static size_t json_plain_length(struct view v)
{
    uint64_t word;
    size_t i = 0;

    for (; v.length - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, v.data + i, sizeof(word));
        if (!json_plain_word(word))
            break;
    }
    while (i < v.length && json_plain_ascii(v.data[i]))
        i++;
    return i;
}

/* One character that is not plain ASCII, at the start of v; returns its length. C1 controls are escaped like
 * C0: a terminal may obey them, and line separators because some readers end a line there. */
static size_t json_escape_character(struct buffer *out, struct view v)
{
    uint8_t byte = v.data[0];

    if (byte < 0x80) {
        uint8_t letter = json_short_escape(byte);
        if (letter == 0) {
            json_append_unit(out, byte);
            return 1;
        }
        buffer_append_byte(out, '\\');
        buffer_append_byte(out, letter);
        return 1;
    }
    size_t length = utf8_sequence_length(v);
    if (length == 0) {
        json_append_unit(out, 0xFFFD);
        return 1;
    }
    if (length == 2 && byte == 0xC2 && v.data[1] < 0xA0)
        json_append_unit(out, v.data[1]);
    else if (length == 3 && byte == 0xE2 && v.data[1] == 0x80 && (v.data[2] == 0xA8 || v.data[2] == 0xA9))
        json_append_unit(out, 0x2000 | (v.data[2] & 0x3Fu));
    else
        buffer_append(out, view_of(v.data, length));
    return length;
}

void json_write_escape(struct buffer *out, struct view value)
{
    size_t i = 0;

    while (i < value.length) {
        size_t plain = json_plain_length(view_skip(value, i));
        buffer_append(out, view_of(value.data + i, plain));
        i += plain;
        while (i < value.length && !json_plain_ascii(value.data[i]))
            i += json_escape_character(out, view_skip(value, i));
    }
}

void json_write_string(struct json *json, const char *key, struct view value)
{
    json_prefix(json, key);
    buffer_append_byte(json->out, '"');
    json_write_escape(json->out, value);
    buffer_append_byte(json->out, '"');
}

/* True if v, which is no well-formed character, is the start of one: somebody cut the text here before us. */
static bool json_is_cut_character(struct view v)
{
    size_t length = v.data[0] >= 0xF0 ? 4 : v.data[0] >= 0xE0 ? 3 : v.data[0] >= 0xC0 ? 2 : 1;

    return utf8_sequence_length(v) == 0 && length > v.length;
}

/* The largest length up to limit that does not cut a well-formed character in two. */
static size_t json_cut_length(struct view value, size_t limit)
{
    for (size_t back = 1; back <= 3 && back <= limit; back++) {
        size_t start = limit - back;
        if ((value.data[start] & 0xC0) == 0x80)
            continue;
        /* The last character that starts before the limit: it stays if it also ends before it, or is broken
         * anyway. */
        struct view last = view_skip(value, start);
        return utf8_sequence_length(last) > back || json_is_cut_character(last) ? start : limit;
    }
    return limit;
}

void json_write_escape_capped(struct buffer *out, struct view value, size_t limit)
{
    bool cut = value.length > limit;

    json_write_escape(out, cut ? view_of(value.data, json_cut_length(value, limit)) : value);
    if (cut)
        buffer_append(out, VIEW("\xE2\x80\xA6")); /* U+2026 */
}

void json_write_string_capped(struct json *json, const char *key, struct view value, size_t limit)
{
    json_prefix(json, key);
    buffer_append_byte(json->out, '"');
    json_write_escape_capped(json->out, value, limit);
    buffer_append_byte(json->out, '"');
}

void json_write_unsigned(struct json *json, const char *key, uint64_t value)
{
    uint8_t digits[20]; /* of 2^64 - 1 */
    size_t start = sizeof(digits);

    json_prefix(json, key);
    do
        digits[--start] = (uint8_t)('0' + value % 10);
    while ((value /= 10) != 0);
    buffer_append(json->out, view_of(digits + start, sizeof(digits) - start));
}

void json_write_number(struct json *json, const char *key, int64_t value)
{
    if (value >= 0) {
        json_write_unsigned(json, key, (uint64_t)value);
        return;
    }
    json_prefix(json, key);
    buffer_format(json->out, "%lld", (long long)value);
}

void json_write_boolean(struct json *json, const char *key, bool value)
{
    json_prefix(json, key);
    buffer_append(json->out, value ? VIEW("true") : VIEW("false"));
}

void json_write_null(struct json *json, const char *key)
{
    json_prefix(json, key);
    buffer_append(json->out, VIEW("null"));
}

void json_write_hex(struct json *json, const char *key, struct view bytes)
{
    json_prefix(json, key);
    assert(bytes.length <= (SIZE_MAX - 2) / 2);
    uint8_t *out = buffer_reserve(json->out, 2 * bytes.length + 2);
    *out++ = '"';
    for (size_t i = 0; i < bytes.length; i++) {
        *out++ = (uint8_t)json_hex_digits[bytes.data[i] >> 4];
        *out++ = (uint8_t)json_hex_digits[bytes.data[i] & 0xF];
    }
    *out = '"';
    json->out->end += 2 * bytes.length + 2;
}

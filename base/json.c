/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the writing of JSON. Called by the log, the audit records and every `--json` of the command line. */
#include "base/json.h"

#include <assert.h>

#include "base/character.h"
#include "base/number.h"

#define JSON_DEPTH_MAXIMUM 16

static const char json_hex_digits[] = "0123456789abcdef";

void json_write_begin(struct json *json, struct buffer *out)
{
    *json = (struct json){.out = out};
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

/* Copies the bytes from the start that need no escape; returns how many. */
static size_t json_copy_plain(uint8_t *to, struct view v)
{
    uint64_t word;
    size_t i = 0;

    for (; v.length - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, v.data + i, sizeof(word));
        if (!json_plain_word(word))
            break;
        memcpy(to + i, &word, sizeof(word));
    }
    if (v.length - i >= 4 && v.length - i < sizeof(word)) { /* two halves that overlap */
        uint32_t first, last;
        memcpy(&first, v.data + i, sizeof(first));
        memcpy(&last, v.data + v.length - sizeof(last), sizeof(last));
        if (json_plain_word((uint64_t)last << 32 | first)) {
            memcpy(to + i, &first, sizeof(first));
            memcpy(to + v.length - sizeof(last), &last, sizeof(last));
            return v.length;
        }
    }
    for (; i < v.length && json_plain_ascii(v.data[i]); i++)
        to[i] = v.data[i];
    return i;
}

static void json_escape_ascii(struct buffer *out, uint8_t byte)
{
    const uint8_t letter = json_short_escape(byte);

    if (letter == 0) {
        json_append_unit(out, byte);
        return;
    }
    buffer_append_byte(out, '\\');
    buffer_append_byte(out, letter);
}

/* What is beyond ASCII, at the start of v: as many letters as stay what they are, or one that does not.
 * Returns their length. C1 controls are escaped like C0: a terminal may obey them; line separators because
 * some readers end a line there; and what hides or reorders, so that a line is what it looks like. */
static size_t json_write_letters(struct buffer *out, struct view v)
{
    size_t plain = 0, length = 0;
    uint32_t character = 0;

    while (plain < v.length && v.data[plain] >= 0x80) {
        character = character_decode(view_skip(v, plain), &length);
        if (length == 0 || character_is_deceptive(character))
            break;
        plain += length;
    }
    if (plain > 0) {
        buffer_append(out, view_of(v.data, plain));
        return plain;
    }
    if (length == 0) {
        json_append_unit(out, 0xFFFD);
        return 1;
    }
    if (character >= 0x10000) /* a surrogate pair: RFC 8259, section 7 */
        json_append_unit(out, 0xD7C0 + (character >> 10));
    json_append_unit(out, character >= 0x10000 ? 0xDC00 | (character & 0x3FF) : character);
    return length;
}

/* What is not plain ASCII, at the start of v; returns how much of it is written. */
static size_t json_escape_character(struct buffer *out, struct view v)
{
    if (v.data[0] >= 0x80)
        return json_write_letters(out, v);
    json_escape_ascii(out, v.data[0]);
    return 1;
}

void json_write_escape(struct buffer *out, struct view value)
{
    while (value.length > 0) {
        size_t plain = json_copy_plain(buffer_reserve(out, value.length), value);
        out->end += plain;
        value = view_skip(value, plain);
        while (value.length > 0 && !json_plain_ascii(value.data[0]))
            value = view_skip(value, json_escape_character(out, value));
    }
}

static void json_break_line(struct json *json)
{
    buffer_append_byte(json->out, '\n');
    for (uint8_t i = 0; i < json->depth; i++)
        buffer_append(json->out, VIEW("  "));
}

void json_append_quoted(struct buffer *out, struct view value)
{
    uint8_t *room = buffer_reserve(out, value.length + 2);

    room[0] = '"';
    size_t plain = json_copy_plain(room + 1, value);
    out->end += 1 + plain;
    if (plain < value.length) {
        json_write_escape(out, view_skip(value, plain));
        buffer_append_byte(out, '"');
        return;
    }
    room[1 + plain] = '"';
    out->end++;
}

void json_write_prefix(struct json *json, const char *key)
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
    json_append_quoted(json->out, view_of_string(key));
    buffer_append(json->out, json->indented ? VIEW(": ") : VIEW(":"));
}

void json_open(struct json *json, uint8_t bracket)
{
    assert(json->depth < JSON_DEPTH_MAXIMUM);
    json->depth++;
    uint32_t bit = UINT32_C(1) << json->depth;
    json->comma &= ~bit;
    json->objects = bracket == '{' ? json->objects | bit : json->objects & ~bit;
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

void json_write_object_end(struct json *json)
{
    json_close(json, '}', true);
}

void json_write_array_end(struct json *json)
{
    json_close(json, ']', false);
}

/* The largest length up to limit that does not cut a well-formed character in two. At least three more bytes
 * follow the limit: enough to see a whole character that starts before it. */
static size_t json_cut_length(struct view value, size_t limit)
{
    for (size_t back = 1; back <= 3 && back <= limit; back++) {
        size_t start = limit - back;
        if ((value.data[start] & 0xC0) == 0x80)
            continue;
        /* The last character that starts before the limit: it stays if it also ends before it, or is broken
         * anyway. */
        return utf8_sequence_length(view_skip(value, start)) > back ? start : limit;
    }
    return limit;
}

void json_write_escape_capped(struct buffer *out, struct view value, size_t limit)
{
    const struct view mark = VIEW("\xE2\x80\xA6"); /* U+2026 */
    bool cut = value.length > limit;

    assert(!cut || limit >= mark.length);
    json_write_escape(out, cut ? view_of(value.data, json_cut_length(value, limit - mark.length)) : value);
    if (cut)
        buffer_append(out, mark);
}

void json_append_quoted_capped(struct buffer *out, struct view value, size_t limit)
{
    if (value.length <= limit) {
        json_append_quoted(out, value);
        return;
    }
    buffer_append_byte(out, '"');
    json_write_escape_capped(out, value, limit);
    buffer_append_byte(out, '"');
}

void json_append_unsigned(struct buffer *out, uint64_t value)
{
    char *room = (char *)buffer_reserve(out, NUMBER_DECIMAL_MAX);

    out->end += (size_t)(number_put_decimal(room, value) - room);
}

void json_write_number(struct json *json, const char *key, int64_t value)
{
    if (value >= 0) {
        json_write_unsigned(json, key, (uint64_t)value);
        return;
    }
    json_write_prefix(json, key);
    buffer_format(json->out, "%lld", (long long)value);
}

void json_write_null(struct json *json, const char *key)
{
    json_write_prefix(json, key);
    buffer_append(json->out, VIEW("null"));
}

void json_append_hex(struct buffer *out, struct view bytes)
{
    assert(bytes.length <= (SIZE_MAX - 2) / 2);
    uint8_t *room = buffer_reserve(out, 2 * bytes.length + 2);

    *room++ = '"';
    for (size_t i = 0; i < bytes.length; i++) {
        *room++ = (uint8_t)json_hex_digits[bytes.data[i] >> 4];
        *room++ = (uint8_t)json_hex_digits[bytes.data[i] & 0xF];
    }
    *room = '"';
    out->end += 2 * bytes.length + 2;
}

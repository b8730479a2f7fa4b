/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the quick look that every message pays: is there anything to decode at all? And the table of bytes'
 * classes. */
#include "rules/views_decode.h"

#define B64 VIEWS_CLASS_BASE64
#define HEX VIEWS_CLASS_HEX
#define BETWEEN VIEWS_CLASS_BETWEEN
#define UPPER (VIEWS_CLASS_UPPER | B64)
#define LOWER (VIEWS_CLASS_LOWER | B64)
#define JOINT (VIEWS_CLASS_JOINT | B64)

/* Less around an escape of two bytes is no text. */
#define TEXT_AROUND 8

const uint8_t views_classes[256] = {
    ['A' ... 'F'] = UPPER | HEX,
    ['G' ... 'W'] = UPPER,
    ['X'] = UPPER | BETWEEN,
    ['Y' ... 'Z'] = UPPER,
    ['a' ... 'f'] = LOWER | HEX,
    ['g' ... 'w'] = LOWER,
    ['x'] = LOWER | BETWEEN,
    ['y' ... 'z'] = LOWER,
    ['0' ... '9'] = B64 | HEX,
    ['+'] = JOINT,
    ['/'] = JOINT,
    ['-'] = JOINT | BETWEEN,
    ['_'] = JOINT,
    ['\r'] = VIEWS_CLASS_BREAK | BETWEEN,
    ['\n'] = VIEWS_CLASS_BREAK | BETWEEN,
    ['\\'] = BETWEEN,
    ['\t'] = BETWEEN,
    [' '] = BETWEEN,
    [','] = BETWEEN,
    [':'] = BETWEEN,
    [';'] = BETWEEN,
    ['%'] = BETWEEN,
};

size_t views_next_run(struct view bytes, size_t at, uint8_t classes, size_t length, size_t *end)
{
    size_t start = at; /* no run starts before */
    size_t known = at; /* all from start to here are of the classes */

    while (bytes.length - start >= length) {
        size_t last = start + length;

        while (last > known && (views_classes[bytes.data[last - 1]] & classes) != 0)
            last--;
        if (last == known) {
            for (*end = start + length; *end < bytes.length; (*end)++) {
                if ((views_classes[bytes.data[*end]] & classes) == 0)
                    break;
            }
            return start;
        }
        known = start + length;
        start = last;
    }
    return *end = bytes.length;
}

bool views_has_both_cases(struct view text)
{
    uint8_t any = 0;

    for (size_t i = 0; i < text.length; i++) {
        any |= views_classes[text.data[i]];
        if ((any & VIEWS_CLASS_UPPER) != 0 && (any & VIEWS_CLASS_LOWER) != 0)
            return true;
    }
    return false;
}

static bool has_base64(struct view bytes)
{
    size_t end = 0;

    for (;;) {
        const size_t at = views_next_run(bytes, end, B64 | VIEWS_CLASS_BREAK, VIEWS_BASE64_MIN, &end);

        if (at == bytes.length)
            return false;
        if (views_has_both_cases(view_of(bytes.data + at, end - at)))
            return true;
    }
}

static bool has_hex(struct view bytes)
{
    size_t end;

    return views_next_run(bytes, 0, HEX | BETWEEN, VIEWS_HEX_MIN, &end) < bytes.length;
}

/* Is what stands at at part of some text: TEXT_AROUND printable bytes in a row? */
static bool in_text(struct view bytes, size_t at, size_t size)
{
    size_t start = at, end = at + size;

    while (start > 0 && end - start < TEXT_AROUND && (uint8_t)(bytes.data[start - 1] - 0x20) < 0x5F)
        start--;
    while (end < bytes.length && end - start < TEXT_AROUND && (uint8_t)(bytes.data[end] - 0x20) < 0x5F)
        end++;
    return end - start >= TEXT_AROUND;
}

/* Binary data has a backslash and an "n" in each 6 KiB; short escapes count in text alone. */
static bool has_escape(struct view bytes)
{
    size_t at = 0, written;
    uint8_t out[4];
    const uint8_t *next;

    while (at < bytes.length && (next = memchr(bytes.data + at, '\\', bytes.length - at)) != NULL) {
        at = (size_t)(next - bytes.data);
        const size_t size = views_escape(view_skip(bytes, at), out, &written);

        if (size > 2 || (size == 2 && in_text(bytes, at, size)))
            return true;
        at += size + (size == 0);
    }
    return false;
}

/* A byte order mark, or a zero: half of each character of ASCII. */
static bool may_be_utf16(struct view bytes)
{
    return bytes.data[0] >= 0xFE || memchr(bytes.data, 0, bytes.length) != NULL;
}

unsigned views_look(struct view bytes, unsigned kinds)
{
    unsigned found = 0;

    if (bytes.length < 2 || kinds == 0 || views_quiet(bytes))
        return 0;
    if ((kinds & 1U << SCAN_JSON) != 0 && has_escape(bytes))
        found |= 1U << SCAN_JSON;
    if ((kinds & 1U << SCAN_GZIP) != 0 && (views_is_zlib(bytes) || views_gzip_find(bytes, 0) < bytes.length))
        found |= 1U << SCAN_GZIP;
    if ((kinds & 1U << SCAN_UTF16) != 0 && may_be_utf16(bytes) &&
        (views_is_utf16(bytes, false) || views_is_utf16(bytes, true)))
        found |= 1U << SCAN_UTF16;
    if (bytes.length < VIEWS_BASE64_MIN)
        return found;
    if ((kinds & 1U << SCAN_BASE64) != 0 && has_base64(bytes))
        found |= 1U << SCAN_BASE64;
    if ((kinds & 1U << SCAN_HEX) != 0 && has_hex(bytes))
        found |= 1U << SCAN_HEX;
    return found;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns views of text: its escapes resolved (JSON's, and those that shells and languages share with it), and
 * UTF-16 as UTF-8. */
#include "rules/views_decode.h"

/* The value of count hex digits at the start of text; UINT32_MAX: they are not there. */
static uint32_t hex_value(struct view text, size_t count)
{
    uint32_t value = 0;

    if (text.length < count)
        return UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        if (views_hex_digits[text.data[i]] == 255)
            return UINT32_MAX;
        value = value << 4 | views_hex_digits[text.data[i]];
    }
    return value;
}

/* Writes a code point, a surrogate not among them, as UTF-8. */
static size_t put_utf8(uint32_t point, uint8_t out[4])
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xC0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xE0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (point & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (point & 0x3F));
    return 4;
}

static bool is_high(uint32_t unit)
{
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low(uint32_t unit)
{
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static uint32_t join(uint32_t high, uint32_t low)
{
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* \u0041, \ud83d\ude00, \u{1f600}; a surrogate alone is none. */
static size_t escape_unicode(struct view text, uint8_t out[4], size_t *written)
{
    uint32_t point = hex_value(view_skip(text, 2), 4);
    size_t size = 6;

    if (text.length > 2 && text.data[2] == '{') {
        size_t digits = 0;

        while (digits < 6 && hex_value(view_skip(text, 3 + digits), 1) != UINT32_MAX)
            digits++;
        if (digits == 0 || text.length <= 3 + digits || text.data[3 + digits] != '}')
            return 0;
        point = hex_value(view_skip(text, 3), digits);
        size = digits + 4;
    } else if (is_high(point) && text.length >= 12 && text.data[6] == '\\' && text.data[7] == 'u') {
        const uint32_t low = hex_value(view_skip(text, 8), 4);

        if (low == UINT32_MAX || !is_low(low))
            return 0;
        point = join(point, low);
        size = 12;
    }
    if (point > 0x10FFFF || is_high(point) || is_low(point))
        return 0;
    *written = put_utf8(point, out);
    return size;
}

size_t views_escape(struct view text, uint8_t out[4], size_t *written)
{
    static const uint8_t plain[256] = {['"'] = '"',
        ['\\'] = '\\',
        ['/'] = '/',
        ['b'] = '\b',
        ['f'] = '\f',
        ['n'] = '\n',
        ['r'] = '\r',
        ['t'] = '\t'};

    if (text.length < 2)
        return 0;
    const uint8_t letter = text.data[1];

    *written = 1;
    out[0] = plain[letter];
    if (out[0] != 0)
        return 2;
    if (letter == 'u')
        return escape_unicode(text, out, written);
    if (letter == 'x') {
        const uint32_t value = hex_value(view_skip(text, 2), 2);

        out[0] = (uint8_t)value;
        return value == UINT32_MAX ? 0 : 4;
    }
    /* \101: three octal digits of a byte, as shells print them. */
    if (letter < '0' || letter > '3' || text.length < 4 || (text.data[2] & 0xF8) != '0' ||
        (text.data[3] & 0xF8) != '0')
        return 0;
    out[0] = (uint8_t)((letter - '0') << 6 | (text.data[2] - '0') << 3 | (text.data[3] - '0'));
    return 4;
}

/* No escape is shorter than what it stands for, so the room is never too small but for the output's bound. */
void views_json(struct views_run *run)
{
    const struct view text = run->source;
    size_t room = text.length, length = 0, at = 0;
    bool changed = false;

    if (!views_charge(run, text.length + VIEWS_ATTEMPT))
        return;
    uint8_t *out = views_room(run, 0, &room);

    while (at < text.length && length < room) {
        const uint8_t *next = memchr(text.data + at, '\\', text.length - at);
        size_t plain = (next == NULL ? text.length : (size_t)(next - text.data)) - at;
        uint8_t bytes[4];
        size_t written = 1;

        plain = plain < room - length ? plain : room - length;
        memcpy(out + length, text.data + at, plain);
        length += plain;
        at += plain;
        if (next == NULL || length == room)
            continue;
        size_t size = views_escape(view_skip(text, at), bytes, &written);

        changed |= size != 0;
        if (size == 0) {
            bytes[0] = '\\';
            written = size = 1;
        }
        if (written > room - length)
            break;
        memcpy(out + length, bytes, written);
        length += written;
        at += size;
    }
    if (changed || at < text.length)
        views_give(run, SCAN_JSON, 0, length, at < text.length);
}

static uint32_t unit_at(const uint8_t *at, bool big)
{
    return big ? (uint32_t)(at[0] << 8 | at[1]) : (uint32_t)(at[1] << 8 | at[0]);
}

static bool has_mark(struct view bytes, bool big)
{
    return bytes.length >= 2 && unit_at(bytes.data, big) == 0xFEFF;
}

/* Printable ASCII, blanks and line breaks. */
static bool is_text(uint32_t unit)
{
    return (unit >= 0x20 && unit < 0x7F) || (unit >= 0x09 && unit <= 0x0D);
}

bool views_is_utf16(struct view bytes, bool big)
{
    const size_t units = bytes.length / 2;
    size_t start = 0;

    if (has_mark(bytes, big))
        return true;
    while (units - start >= VIEWS_RUN_MIN) {
        size_t at = start + VIEWS_RUN_MIN;

        while (at > start && is_text(unit_at(bytes.data + 2 * (at - 1), big)))
            at--;
        if (at == start)
            return true;
        start = at;
    }
    return false;
}

/* What is no character becomes U+FFFD. Returns bytes written, *used: of the source. */
static size_t convert(struct view bytes, bool big, uint8_t *out, size_t room, size_t *used)
{
    size_t length = 0, at = 0;

    while (bytes.length - at >= 2) {
        uint32_t point = unit_at(bytes.data + at, big);
        uint8_t written[4];
        const size_t start = at;

        at += 2;
        if (is_high(point) && bytes.length - at >= 2 && is_low(unit_at(bytes.data + at, big))) {
            point = join(point, unit_at(bytes.data + at, big));
            at += 2;
        } else if (is_high(point) || is_low(point)) {
            point = 0xFFFD;
        }
        const size_t size = put_utf8(point, written);

        if (size > room - length) {
            at = start;
            break;
        }
        memcpy(out + length, written, size);
        length += size;
    }
    *used = at;
    return length;
}

static void give_utf16(struct views_run *run, bool big)
{
    const size_t mark = has_mark(run->source, big) ? 2 : 0;
    const struct view bytes = view_skip(run->source, mark);
    size_t room = bytes.length / 2 * 3, used;

    if (bytes.length < 2 || !views_charge(run, bytes.length + VIEWS_ATTEMPT))
        return;
    uint8_t *out = views_room(run, 0, &room);
    const size_t length = convert(bytes, big, out, room, &used);

    views_give(run, SCAN_UTF16, 0, length, bytes.length - used >= 2);
}

void views_utf16(struct views_run *run)
{
    if (views_is_utf16(run->source, false))
        give_utf16(run, false);
    if (!run->ended && views_is_utf16(run->source, true))
        give_utf16(run, true);
}

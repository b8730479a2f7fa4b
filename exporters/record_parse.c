/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading back of a journal line's head and origin. Called by the journal's repair, by recovery and
 * by the sinks; the lines come from files that a crash, a disk or a person may have damaged. */
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/number.h"
#include "exporters/record.h"

static bool parse_literal(struct view *rest, struct view literal)
{
    if (!view_starts_with(*rest, literal))
        return false;
    *rest = view_skip(*rest, literal.length);
    return true;
}

static bool parse_number(struct view *rest, uint64_t *value)
{
    size_t digits = 0;

    while (digits < rest->length && rest->data[digits] >= '0' && rest->data[digits] <= '9')
        digits++;
    if (digits == 0 || number_parse(view_of(rest->data, digits), value) != 0)
        return false;
    *rest = view_skip(*rest, digits);
    return true;
}

/* Sixteen lower-case hexadecimal digits. */
static bool parse_epoch(struct view *rest, uint64_t *value)
{
    if (rest->length < 16)
        return false;
    *value = 0;
    for (size_t i = 0; i < 16; i++) {
        uint8_t c = rest->data[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - (unsigned)'0'
                         : c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10
                                                : 16;
        if (digit == 16)
            return false;
        *value = *value << 4 | digit;
    }
    *rest = view_skip(*rest, 16);
    return true;
}

static bool parse_digits(const uint8_t *text, size_t count, int *value)
{
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *value = *value * 10 + (text[i] - '0');
    }
    return true;
}

/* 2026-01-02T03:04:06.001245Z, as clock_format_timestamp() writes it and nothing else. */
static bool parse_timestamp(struct view *rest, uint64_t *wall_us)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    struct tm tm = {0};
    int microseconds;
    char again[CLOCK_TIMESTAMP_LENGTH + 1];

    if (rest->length < CLOCK_TIMESTAMP_LENGTH)
        return false;
    const uint8_t *text = rest->data;
    for (size_t i = 0; i < CLOCK_TIMESTAMP_LENGTH; i++) {
        if (shape[i] != 'd' && text[i] != (uint8_t)shape[i])
            return false;
    }
    if (!parse_digits(text, 4, &tm.tm_year) || !parse_digits(text + 5, 2, &tm.tm_mon) ||
        !parse_digits(text + 8, 2, &tm.tm_mday) || !parse_digits(text + 11, 2, &tm.tm_hour) ||
        !parse_digits(text + 14, 2, &tm.tm_min) || !parse_digits(text + 17, 2, &tm.tm_sec) ||
        !parse_digits(text + 20, 6, &microseconds))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    time_t seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    *wall_us = (uint64_t)seconds * 1000000 + (uint64_t)microseconds;
    clock_format_timestamp(*wall_us, again); /* 31 February would come back as another day */
    if (memcmp(again, text, CLOCK_TIMESTAMP_LENGTH) != 0)
        return false;
    *rest = view_skip(*rest, CLOCK_TIMESTAMP_LENGTH);
    return true;
}

static bool parse_has_control(struct view line)
{
    for (size_t i = 0; i < line.length; i++) {
        if (line.data[i] < 0x20)
            return true;
    }
    return false;
}

int record_parse_head(struct view line, struct record_head *head)
{
    struct view rest = line;
    uint64_t happened, sequence;

    if (!parse_literal(&rest, VIEW("{\"@timestamp\":\"")) || !parse_timestamp(&rest, &happened) ||
        !parse_literal(&rest, VIEW("\",\"event\":{\"created\":\"")) ||
        !parse_timestamp(&rest, &head->sealed_us) || !parse_literal(&rest, VIEW("\",\"sequence\":")) ||
        !parse_number(&rest, &head->sequence) || !parse_literal(&rest, VIEW(",\"id\":\"")) ||
        !parse_epoch(&rest, &head->epoch) || !parse_literal(&rest, VIEW("-")) ||
        !parse_number(&rest, &sequence) || !parse_literal(&rest, VIEW("\",")))
        return -1;
    if (sequence != head->sequence || sequence == 0 || !view_ends_with(line, VIEW("}}")) ||
        parse_has_control(line))
        return -1;
    return 0;
}

int record_parse_origin(struct view line, struct record_origin *origin)
{
    static const struct view key = {
        (const uint8_t *)"\"mqward\":{\"origin\":\"", sizeof("\"mqward\":{\"origin\":\"") - 1};
    uint64_t ring;

    if (line.length == 0)
        return -1;
    /* Within a string the quotes would have backslashes: only the member itself matches. */
    const uint8_t *found = memmem(line.data, line.length, key.data, key.length);
    if (found == NULL)
        return -1;
    struct view rest = view_skip(line, (size_t)(found - line.data) + key.length);
    if (!parse_epoch(&rest, &origin->run) || !parse_literal(&rest, VIEW(".")) ||
        !parse_number(&rest, &ring) || ring > UINT32_MAX || !parse_literal(&rest, VIEW(".")) ||
        !parse_number(&rest, &origin->serial) || !parse_literal(&rest, VIEW("\"")))
        return -1;
    origin->ring = (uint32_t)ring;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading back of a journal line's head and origin. Called by the journal's repair, by recovery and
 * by the sinks; the lines come from files that a crash, a disk or a person may have damaged. */
#include <string.h>

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

static bool parse_timestamp(struct view *rest, uint64_t *wall_us)
{
    if (rest->length < CLOCK_TIMESTAMP_LENGTH ||
        clock_parse_timestamp(view_of(rest->data, CLOCK_TIMESTAMP_LENGTH), wall_us) != 0)
        return false;
    *rest = view_skip(*rest, CLOCK_TIMESTAMP_LENGTH);
    return true;
}

static bool parse_has_control(struct view line)
{
    static const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    uint64_t word, found = 0;
    size_t i = 0;

    /* A high bit where a byte is below 0x20 (it may also come to be above one, which changes nothing). */
    for (; line.length - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, line.data + i, sizeof(word));
        found |= (word - ones * 0x20) & ~word & high;
    }
    for (; i < line.length; i++)
        found |= line.data[i] < 0x20;
    return found != 0;
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

/* Within a string the quotes would have backslashes: only the member itself matches. */
static const uint8_t *parse_find(struct view line, struct view key)
{
    return line.length == 0 ? NULL : memmem(line.data, line.length, key.data, key.length);
}

bool record_is_checkpoint(struct view line)
{
    return parse_find(line, VIEW("\"action\":\"checkpoint\"")) != NULL;
}

int record_parse_origin(struct view line, struct record_origin *origin)
{
    const struct view key = VIEW("\"mqward\":{\"origin\":\"");
    uint64_t ring;

    const uint8_t *found = parse_find(line, key);
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

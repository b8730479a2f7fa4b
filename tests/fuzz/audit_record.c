/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record of a ring: what decodes must encode to the same bytes and render to one line whose
 * head and origin come back. The same bytes as a line of the journal must not confuse the readers of heads
 * and origins. */
#include <stdlib.h>

#include "base/buffer.h"
#include "exporters/audit.h"
#include "exporters/record.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record_seal seal = {.epoch = 0x6920d2f13f1c9a52,
        .sequence = 1042,
        .sealed_us = 1767323046001999,
        .origin = {0x6920d2f13f1c9a52, 3, 77},
        .checkpoint = NULL,
        .hostname = "edge"};
    static uint8_t again[AUDIT_EVENT_MAX];
    static struct buffer line;
    struct view input = view_of(data, size);
    struct audit_event event;
    struct record_head head;
    struct record_origin origin;

    if (record_parse_head(input, &head) == 0)
        (void)record_parse_origin(input, &origin);
    if (audit_event_decode(input, &event) != 0)
        return 0;
    check(audit_event_encode(&event, again) == size && memcmp(again, data, size) == 0);
    buffer_clear(&line);
    record_render(&line, &event, &seal);
    struct view text = buffer_view(&line);
    check(memchr(text.data, '\n', text.length) == text.data + text.length - 1);
    text.length--;
    check(record_parse_head(text, &head) == 0 && head.sequence == seal.sequence && head.epoch == seal.epoch);
    check(record_parse_origin(text, &origin) == 0 && origin.ring == 3 && origin.serial == 77);
    return 0;
}

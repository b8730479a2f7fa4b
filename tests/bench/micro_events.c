/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-events measures: the steps of an audit event, in the worker (is it a repeat,
 * encoded) and in the exporter (decoded, rendered, chained). mqward-bench-audit has the times, and the whole.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "exporters/chain.h"
#include "exporters/record.h"
#include "exporters/repeats.h"
#include "micro.h"
#include "micro_event.h"

#define EVENTS 1024 /* different ones: the table of repeats has forgotten one when it comes again */
#define RING_BYTES ((size_t)4 << 20)

struct events {
    struct audit_event events[EVENTS];
    char users[EVENTS][32], topics[EVENTS][96];
    uint8_t record[AUDIT_EVENT_MAX];
    size_t record_length;
    struct record_seal seal;
    struct buffer line, sealed;
    struct chain_cursor cursor;
    struct repeats *repeats;
    struct ring *ring;
    uint64_t now_ms;
};

static void run_encode(void *context, size_t count)
{
    struct events *events = context;

    for (size_t i = 0; i < count; i++)
        events->record_length = audit_event_encode(&events->events[i % EVENTS], events->record);
}

static void run_decode(void *context, size_t count)
{
    struct events *events = context;
    struct audit_event event;

    for (size_t i = 0; i < count; i++)
        if (audit_event_decode(view_of(events->record, events->record_length), &event) != 0)
            abort();
}

static void run_render(void *context, size_t count)
{
    struct events *events = context;

    for (size_t i = 0; i < count; i++) {
        buffer_clear(&events->line);
        record_render(&events->line, &events->events[i % EVENTS], &events->seal);
    }
}

static void run_chain(void *context, size_t count)
{
    struct events *events = context;

    for (size_t i = 0; i < count; i++) {
        buffer_clear(&events->sealed);
        buffer_append(&events->sealed, buffer_view(&events->line));
        chain_seal(&events->cursor, &events->sealed, 0);
    }
}

static void run_new(void *context, size_t count)
{
    struct events *events = context;

    for (size_t i = 0; i < count; i++) {
        if (repeats_count(events->repeats, &events->events[i % EVENTS]))
            abort();
        repeats_begin(events->repeats, &events->events[i % EVENTS], events->ring, events->now_ms++);
    }
}

static void run_repeat(void *context, size_t count)
{
    struct events *events = context;

    if (!repeats_count(events->repeats, &events->events[0])) /* the first time */
        repeats_begin(events->repeats, &events->events[0], events->ring, events->now_ms);
    for (size_t i = 0; i < count; i++)
        if (!repeats_count(events->repeats, &events->events[0]))
            abort();
}

static void rest(void *context)
{
    struct events *events = context;

    ring_discard(events->ring);
}

static void destroy(void *context)
{
    struct events *events = context;

    repeats_close(events->repeats, true);
    ring_close(events->ring);
    buffer_release(&events->line);
    buffer_release(&events->sealed);
    free(events);
}

static struct repeats *open_repeats(void)
{
    const struct repeats_options options = {REPEATS_SLOTS, 10000};
    const char *where = getenv("TMPDIR");
    char *path = memory_format("%s/mqward-bench-XXXXXX", where == NULL ? "/tmp" : where), error[256] = "";
    int descriptor = mkstemp(path);
    bool damaged;
    struct repeats *repeats;

    if (descriptor < 0 || close(descriptor) != 0 || unlink(path) != 0)
        abort();
    repeats = repeats_open(path, &options, &damaged, error, sizeof(error));
    if (repeats == NULL) {
        fprintf(stderr, "mqward-bench-events: %s\n", error);
        exit(1);
    }
    free(path);
    return repeats;
}

static struct events *new_events(void)
{
    struct events *events = memory_calloc(1, sizeof(*events));

    for (size_t i = 0; i < EVENTS; i++)
        events->events[i] = micro_event(i + 100000, events->users[i], events->topics[i]);
    events->seal = (struct record_seal){.epoch = 1,
        .sequence = 4711,
        .sealed_us = 1767323046001245,
        .origin = {1, 0, 1},
        .hostname = "edge-1"};
    events->record_length = audit_event_encode(&events->events[0], events->record);
    record_render(&events->line, &events->events[0], &events->seal);
    chain_begin(&events->cursor, (uint8_t[CHAIN_KEY_SIZE]){1}, 1, 1);
    events->repeats = open_repeats();
    events->ring = ring_new(RING_BYTES);
    events->now_ms = 1;
    if (events->ring == NULL)
        abort();
    return events;
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    const struct micro_subject rows[] = {
        {"worker: a repeat, counted", run_repeat, rest, destroy, NULL, EVENTS},
        {"worker: the first of its kind, kept", run_new, rest, destroy, NULL, EVENTS},
        {"worker: encoded", run_encode, rest, destroy, NULL, EVENTS},
        {"exporter: decoded", run_decode, rest, destroy, NULL, EVENTS},
        {"exporter: rendered", run_render, rest, destroy, NULL, EVENTS},
        {"exporter: chained", run_chain, rest, destroy, NULL, EVENTS},
    };
    size_t count = sizeof(rows) / sizeof(rows[0]);

    (void)policies, (void)policy_count;
    assert(count <= max);
    for (size_t i = 0; i < count; i++) {
        subjects[i] = rows[i];
        subjects[i].context = new_events();
    }
    return count;
}

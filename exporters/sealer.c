/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of an event from the rings into the journal, in batches of one write. Called by the exporter's
 * thread, and by exporter_open() and exporter_close() when there is none.
 *
 *   ring_peek_at -> audit_event_decode -> record_render (sequence, time) -> journal_append -> ring_pop_to
 *
 * Dying at any arrow loses nothing: before the append the event is in its ring, after it recovery finds its
 * origin in the journal. A later hash chain belongs between record_render() and the append, as the last key
 * of the line. */
#include "exporters/sealer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/source.h"

#define SEALER_MAGIC 0x7365616cU
#define SEALER_BATCH 1024U                      /* lines */
#define SEALER_BATCH_BYTES ((size_t)192 * 1024) /* the batch ends with the line that passes it */
#define SEALER_VISIT 64U                        /* records taken from one ring before the next one's turn */
#define SEALER_RING_MIN ((size_t)64 * 1024)
#define SEALER_RING_MAX ((size_t)1024 * 1024 * 1024)
#define SEALER_OWN_RING ((size_t)256 * 1024)

_Static_assert(
    SEALER_BATCH_BYTES + RECORD_LINE_MAX < JOURNAL_QUOTA_MIN, "a batch must fit the smallest quota");

struct sealer_line {
    struct source *source;
    uint64_t cursor; /* behind its record */
    uint64_t serial;
};

struct sealer {
    uint32_t magic;
    struct journal *journal;
    const char *hostname;
    bool sync_before_unlink;
    struct source *sources; /* of this run: the workers', then the exporter's own */
    uint32_t source_count;  /* those that are open */
    uint32_t next;          /* whose turn it is */
    struct source_list old; /* of earlier runs: drained first */
    uint64_t recovered;
    uint64_t unreported; /* events of our own that found no room */
    bool relief;

    struct buffer lines;
    struct sealer_line batch[SEALER_BATCH];
    size_t ends[SEALER_BATCH];
    size_t count;
};

/* ---- events of our own ---- */

static struct source *sealer_own(struct sealer *sealer)
{
    return &sealer->sources[sealer->source_count - 1];
}

static bool sealer_push(struct sealer *sealer, const struct audit_event *event)
{
    static _Thread_local uint8_t record[AUDIT_EVENT_MAX];

    return ring_push(sealer_own(sealer)->ring, view_of(record, audit_event_encode(event, record)));
}

static struct audit_event sealer_event(
    enum audit_action action, enum reason reason, uint64_t count, const char *detail)
{
    return (struct audit_event){.action = action,
        .reason = reason,
        .disposition = AUDIT_INFORMED,
        .wall_us = clock_wall_us(),
        .count = count,
        .detail = view_of_string(detail)};
}

void sealer_report(struct sealer *sealer, const struct audit_event *event)
{
    assert(sealer->magic == SEALER_MAGIC);
    if (sealer->unreported > 0) {
        struct audit_event gap = sealer_event(AUDIT_audit_gap, REASON_audit_lost, sealer->unreported,
            "reports of the audit trail itself found no room");
        if (sealer_push(sealer, &gap))
            sealer->unreported = 0;
    }
    if (!sealer_push(sealer, event))
        sealer->unreported++;
}

static void sealer_report_gap(struct sealer *sealer, uint64_t count, const char *path, const char *what)
{
    char detail[512];

    snprintf(detail, sizeof(detail), "%s: %s", path, what);
    LOG_EVENT(
        LOG_ERROR, "audit", "audit events lost", log_string("detail", detail), log_unsigned("events", count));
    struct audit_event gap = sealer_event(AUDIT_audit_gap, REASON_audit_lost, count, detail);
    sealer_report(sealer, &gap);
}

/* ---- a batch ---- */

/* The line of one record; a record that is none of ours becomes a gap of one, so that its place is not empty.
 */
static void sealer_add(
    struct sealer *sealer, struct source *source, const struct ring_record *record, uint64_t cursor)
{
    const struct record_seal seal = {
        .epoch = journal_epoch(sealer->journal),
        .sequence = journal_next_sequence(sealer->journal) + sealer->count,
        .sealed_us = journal_seal_time(sealer->journal),
        .origin = {source->run, source->index, record->serial},
        .hostname = sealer->hostname,
    };
    struct audit_event event;

    if (audit_event_decode(record->payload, &event) == -1) {
        LOG_LIMITED(LOG_ERROR, "audit", "a record is damaged or of a newer version",
            log_string("ring", source->path), log_unsigned("serial", record->serial));
        event =
            sealer_event(AUDIT_audit_gap, REASON_audit_lost, 1, "a record is damaged or of a newer version");
    }
    record_render(&sealer->lines, &event, &seal);
    sealer->ends[sealer->count] = buffer_length(&sealer->lines);
    sealer->batch[sealer->count++] = (struct sealer_line){source, cursor, record->serial};
}

static bool sealer_batch_is_full(const struct sealer *sealer)
{
    return sealer->count == SEALER_BATCH || buffer_length(&sealer->lines) >= SEALER_BATCH_BYTES;
}

/* The memory does not hold here: what is behind it can't be found again. The gap is in the trail before the
 * ring is emptied, unless it is the very ring that the report goes through. */
static void sealer_handle_damage(struct sealer *sealer, struct source *source, uint64_t last_serial)
{
    uint64_t next = ring_next_serial(source->ring);
    uint64_t lost = last_serial > 0 && next > last_serial ? next - 1 - last_serial : 0;

    if (source == sealer_own(sealer))
        ring_discard(source->ring);
    sealer_report_gap(sealer, lost, source->path, "the ring is damaged");
    ring_discard(source->ring);
    source->damaged = false; /* said */
    source->last_serial = next - 1;
}

/* Takes up to SEALER_VISIT records from one ring, behind cursor. */
static void sealer_visit(struct sealer *sealer, struct source *source, uint64_t *cursor)
{
    struct ring_record record;

    for (unsigned i = 0; i < SEALER_VISIT && !sealer_batch_is_full(sealer); i++) {
        uint64_t before = *cursor;
        int found = ring_peek_at(source->ring, cursor, &record);
        if (found == 0)
            return;
        if (found == -1) {
            *cursor = before;
            if (before == 0) /* what is in front of it is in the journal: now */
                sealer_handle_damage(sealer, source, source->last_serial);
            return;
        }
        sealer_add(sealer, source, &record, *cursor);
    }
}

static void sealer_collect(struct sealer *sealer)
{
    struct source *sources = sealer->old.count > 0 ? sealer->old.items : sealer->sources;
    size_t count = sealer->old.count > 0 ? sealer->old.count : sealer->source_count;
    uint64_t *cursors = memory_calloc(count, sizeof(*cursors));
    size_t before, start = sealer->next++;

    buffer_clear(&sealer->lines);
    sealer->count = 0;
    do {
        before = sealer->count;
        for (size_t i = 0; i < count; i++) {
            size_t which = (start + i) % count;
            sealer_visit(sealer, &sources[which], &cursors[which]);
        }
    } while (sealer->count > before && !sealer_batch_is_full(sealer));
    free(cursors);
}

/* Moves the tails over what the journal has. The producer may have stopped for want of room while we were
 * writing: the sum of what was there before and after is at least what it saw, so a ring that is a quarter
 * full is never missed. */
static void sealer_pop(struct sealer *sealer, size_t whole)
{
    for (size_t i = 0; i < whole; i++) {
        const struct sealer_line *line = &sealer->batch[i];
        if (i + 1 < whole && sealer->batch[i + 1].source == line->source)
            continue; /* the next line pops it, too */
        uint64_t before = ring_used(line->source->ring);
        ring_pop_to(line->source->ring, line->cursor);
        line->source->last_serial = line->serial;
        if (before + ring_used(line->source->ring) >= ring_capacity(line->source->ring) / 4)
            sealer->relief = true;
    }
}

/* ---- rings of earlier runs ---- */

static void sealer_finish_old(struct sealer *sealer, struct source *source)
{
    uint64_t next = ring_next_serial(source->ring);

    if (source->damaged)
        sealer_report_gap(sealer,
            source->last_serial > 0 && next > source->last_serial + 1 ? next - 1 - source->last_serial : 0,
            source->path, "the ring of an earlier run was damaged; it is kept beside");
    source_close(source, true);
}

/* Removes the files of those that are empty; their events must be on the disk first. 0 or -1 (errno). */
static int sealer_finish_emptied(struct sealer *sealer)
{
    for (size_t i = sealer->old.count; i-- > 0;) {
        if (ring_used(sealer->old.items[i].ring) > 0)
            continue;
        if (sealer->sync_before_unlink && journal_sync(sealer->journal) == -1)
            return -1;
        sealer_finish_old(sealer, &sealer->old.items[i]);
        source_list_remove(&sealer->old, i);
    }
    if (sealer->old.count > 0 || sealer->recovered == 0)
        return 0;
    LOG_EVENT(
        LOG_WARN, "audit", "events of an earlier run recovered", log_unsigned("events", sealer->recovered));
    struct audit_event event = sealer_event(AUDIT_audit_recovered, REASON_audit_recovered, sealer->recovered,
        "left by an earlier run in its rings");
    sealer_report(sealer, &event);
    sealer->recovered = 0;
    return 0;
}

/* ---- the turn ---- */

enum sealer_result sealer_turn(struct sealer *sealer)
{
    assert(sealer->magic == SEALER_MAGIC);
    bool old = sealer->old.count > 0;

    sealer_collect(sealer);
    if (sealer->count == 0) {
        if (old && sealer_finish_emptied(sealer) == -1)
            return SEALER_BLOCKED;
        return sealer_is_empty(sealer) ? SEALER_IDLE : SEALER_MORE;
    }
    size_t whole = journal_append(sealer->journal, buffer_view(&sealer->lines), sealer->ends, sealer->count);
    int saved = errno;
    sealer_pop(sealer, whole);
    if (old)
        sealer->recovered += whole;
    errno = saved;
    return whole < sealer->count ? SEALER_BLOCKED : SEALER_MORE;
}

bool sealer_is_empty(const struct sealer *sealer)
{
    for (uint32_t i = 0; i < sealer->source_count; i++) {
        if (ring_used(sealer->sources[i].ring) > 0)
            return false;
    }
    return sealer->old.count == 0;
}

bool sealer_take_relief(struct sealer *sealer)
{
    bool relief = sealer->relief;

    sealer->relief = false;
    return relief;
}

struct ring *sealer_ring(struct sealer *sealer, uint32_t index)
{
    assert(sealer->magic == SEALER_MAGIC && index + 1 < sealer->source_count);
    return sealer->sources[index].ring;
}

/* ---- life ---- */

static size_t sealer_ring_capacity(size_t wanted)
{
    size_t capacity = SEALER_RING_MIN;

    while (capacity < wanted && capacity < SEALER_RING_MAX)
        capacity *= 2;
    return capacity;
}

static void sealer_report_repairs(struct sealer *sealer)
{
    size_t count;
    const struct journal_repair *repairs = journal_repairs(sealer->journal, &count);
    char detail[256];

    for (size_t i = 0; i < count; i++) {
        snprintf(detail, sizeof(detail), "torn tail of %s cut, %" PRIu64 " bytes kept in %s.torn",
            repairs[i].name, repairs[i].bytes, repairs[i].name);
        struct audit_event event = sealer_event(AUDIT_audit_recovered, REASON_audit_recovered, 0, detail);
        sealer_report(sealer, &event);
    }
}

struct sealer *sealer_open(
    const struct exporter_settings *settings, struct journal *journal, char *error, size_t error_size)
{
    struct sealer *sealer = memory_calloc(1, sizeof(*sealer));
    uint64_t run = journal_epoch(journal);

    sealer->magic = SEALER_MAGIC;
    sealer->journal = journal;
    sealer->hostname = settings->hostname;
    sealer->sync_before_unlink = settings->fsync != EXPORTER_FSYNC_NEVER;
    sealer->sources = memory_calloc((size_t)settings->rings + 1, sizeof(*sealer->sources));
    if (source_list_find(&sealer->old, settings->directory, run, journal, error, error_size) == -1)
        goto failed;
    for (; sealer->source_count <= settings->rings; sealer->source_count++) {
        size_t capacity = sealer->source_count < settings->rings ? sealer_ring_capacity(settings->ring_bytes)
                                                                 : SEALER_OWN_RING;
        if (source_open(&sealer->sources[sealer->source_count], settings->directory, run,
                sealer->source_count, capacity, error, error_size) == -1)
            goto failed;
    }
    sealer_report_repairs(sealer);
    return sealer;
failed:
    sealer_close(sealer);
    return NULL;
}

void sealer_close(struct sealer *sealer)
{
    if (sealer == NULL)
        return;
    assert(sealer->magic == SEALER_MAGIC);
    /* A file whose events are in the page cache only stays: recovery will find them in the journal, or here.
     */
    bool synced = !sealer->sync_before_unlink || journal_sync(sealer->journal) == 0;
    for (uint32_t i = 0; i < sealer->source_count; i++)
        source_close(&sealer->sources[i], synced && ring_used(sealer->sources[i].ring) == 0);
    for (size_t i = 0; i < sealer->old.count; i++)
        source_close(&sealer->old.items[i], false);
    free(sealer->old.items);
    free(sealer->sources);
    buffer_release(&sealer->lines);
    sealer->magic = 0;
    free(sealer);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way of an event from the rings into the journal, in batches of one write. Called by the exporter's
 * thread, and by exporter_open() and exporter_close() when there is none.
 *
 *   ring_peek_at -> audit_event_decode -> record_render (sequence, time) -> chain_writer_seal
 *     -> journal_append -> chain_writer_commit -> ring_pop_to
 *
 * Dying at any arrow loses nothing: before the append the event is in its ring, after it recovery finds its
 * origin in the journal. Checkpoints are lines of the sealer's own: they come from no ring. */
#include "exporters/sealer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/chain_writer.h"
#include "exporters/source.h"

#define SEALER_MAGIC 0x7365616cU
#define SEALER_BATCH 1024U                      /* lines */
#define SEALER_BATCH_BYTES ((size_t)192 * 1024) /* the batch ends with the line that passes it */
#define SEALER_VISIT 64U                        /* records taken from one ring before the next one's turn */
#define SEALER_RING_MIN ((size_t)64 * 1024)
#define SEALER_RING_MAX ((size_t)1024 * 1024 * 1024)
#define SEALER_OWN_RING ((size_t)256 * 1024)

_Static_assert(
    SEALER_BATCH_BYTES + 2 * RECORD_LINE_MAX < JOURNAL_QUOTA_MIN, "a batch must fit the smallest quota");

struct sealer_line {
    struct source *source; /* NULL: a checkpoint */
    uint64_t cursor;       /* behind its record */
    uint64_t serial;
    uint64_t lost; /* what it declares missing */
};

struct sealer {
    uint32_t magic;
    struct journal *journal;
    struct chain_writer *chain;
    const char *hostname;
    bool sync_before_unlink;
    struct source *sources; /* of this run: the workers', then the exporter's own */
    uint32_t source_count;  /* those that are open */
    uint32_t next;          /* whose turn it is */
    struct source_list old; /* of earlier runs: drained first */
    uint64_t inherited;     /* records of earlier runs in this run's rings */
    uint64_t recovered;
    uint64_t lost; /* declared by lines in the journal */
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
    repeats_tell_lost(sealer_own(sealer)->repeats, sealer_own(sealer)->ring, clock_wall_us());
    if (!sealer_push(sealer, event))
        repeats_lose(sealer_own(sealer)->repeats, REPEATS_LOST_REPORT, event);
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

static struct record_seal sealer_seal(struct sealer *sealer)
{
    return (struct record_seal){
        .epoch = journal_epoch(sealer->journal),
        .sequence = journal_next_sequence(sealer->journal) + sealer->count,
        .sealed_us = journal_seal_time(sealer->journal),
        .hostname = sealer->hostname,
    };
}

static void sealer_add_line(struct sealer *sealer, const struct audit_event *event,
    const struct record_seal *seal, struct sealer_line line)
{
    size_t from = buffer_length(&sealer->lines);

    record_render(&sealer->lines, event, seal);
    chain_writer_seal(sealer->chain, &sealer->lines, from, seal->checkpoint != NULL);
    sealer->ends[sealer->count] = buffer_length(&sealer->lines);
    sealer->batch[sealer->count++] = line;
}

static void sealer_add_checkpoint(struct sealer *sealer)
{
    struct record_seal seal = sealer_seal(sealer);
    struct audit_event event = sealer_event(AUDIT_checkpoint, REASON_checkpoint, 0, "");
    struct chain_checkpoint checkpoint;

    event.wall_us = seal.sealed_us;
    chain_writer_checkpoint(sealer->chain, event.wall_us, &checkpoint);
    seal.checkpoint = &checkpoint.record;
    sealer_add_line(sealer, &event, &seal, (struct sealer_line){0});
}

/* Forgets what was collected and did not get into the journal. */
static void sealer_begin(struct sealer *sealer)
{
    buffer_clear(&sealer->lines);
    sealer->count = 0;
    chain_writer_begin(sealer->chain, journal_seal_time(sealer->journal));
}

/* The line of one record; a record that is none of ours becomes a gap of one, so that its place is not empty.
 */
static void sealer_add(
    struct sealer *sealer, struct source *source, const struct ring_record *record, uint64_t cursor)
{
    struct record_seal seal = sealer_seal(sealer);
    struct audit_event event;

    seal.origin = (struct record_origin){source->run, source->index, record->serial};
    if (audit_event_decode(record->payload, &event) == -1) {
        LOG_LIMITED(LOG_ERROR, "audit", "a record is damaged or of a newer version",
            log_string("ring", source->path), log_unsigned("serial", record->serial));
        event =
            sealer_event(AUDIT_audit_gap, REASON_audit_lost, 1, "a record is damaged or of a newer version");
    }
    sealer_add_line(sealer, &event, &seal,
        (struct sealer_line){
            source, cursor, record->serial, event.action == AUDIT_audit_gap ? event.count : 0});
    if (chain_writer_is_due(sealer->chain))
        sealer_add_checkpoint(sealer);
}

static bool sealer_batch_is_full(const struct sealer *sealer)
{
    return sealer->count + 2 > SEALER_BATCH || buffer_length(&sealer->lines) >= SEALER_BATCH_BYTES;
}

/* The serial of the first record at or behind end. */
static uint64_t sealer_serial_at(struct source *source, uint64_t end)
{
    uint64_t next = ring_next_serial(source->ring);
    struct ring_record record;

    return ring_peek_at(source->ring, &end, &record) == 1 ? record.serial : next;
}

/* The memory does not hold here: what is behind it, up to where the producer is now, can't be found again.
 * The gap is in the trail before the ring is emptied, unless it is the very ring that the report goes
 * through. What is pushed meanwhile stays. */
static void sealer_handle_damage(struct sealer *sealer, struct source *source, uint64_t last_serial)
{
    uint64_t end = ring_head(source->ring), next = sealer_serial_at(source, end);
    uint64_t lost = last_serial > 0 && next > last_serial ? next - 1 - last_serial : 0;

    if (source == sealer_own(sealer))
        ring_pop_to(source->ring, end);
    sealer_report_gap(sealer, lost, source->path, "the ring is damaged");
    if (source != sealer_own(sealer))
        ring_pop_to(source->ring, end);
    sealer->inherited -= source->inherited;
    source->inherited = 0;
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

    sealer_begin(sealer);
    if (chain_writer_is_due(sealer->chain))
        sealer_add_checkpoint(sealer);
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
        sealer->lost += line->lost;
        if (line->source == NULL)
            continue;
        sealer->recovered += sealer->old.count > 0 || line->source->inherited > 0;
        sealer->inherited -= line->source->inherited > 0;
        line->source->inherited -= line->source->inherited > 0;
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

/* What is in no ring goes through the one beside it. Nothing is left to tell, or there is no room. */
static void sealer_tell(struct source *source)
{
    repeats_tell_all(source->repeats, source->ring);
    repeats_tell_lost(source->repeats, source->ring, clock_wall_us());
}

/* Removes the files of those that are empty; their events must be on the disk first. 0 or -1 (errno). */
static int sealer_finish_emptied(struct sealer *sealer)
{
    for (size_t i = sealer->old.count; i-- > 0;) {
        sealer_tell(&sealer->old.items[i]);
        if (!source_is_empty(&sealer->old.items[i]))
            continue;
        if (sealer->sync_before_unlink && journal_sync(sealer->journal) == -1)
            return -1;
        sealer_finish_old(sealer, &sealer->old.items[i]);
        source_list_remove(&sealer->old, i);
    }
    if (sealer->old.count > 0 || sealer->inherited > 0 || sealer->recovered == 0)
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

/* The batch. The chain moves before the rings do: what dies in between is found in the journal by both. */
static enum sealer_result sealer_append(struct sealer *sealer)
{
    struct view lines = buffer_view(&sealer->lines);
    size_t whole = journal_append(sealer->journal, lines, sealer->ends, sealer->count);
    int saved = errno;

    chain_writer_commit(sealer->chain, lines, sealer->ends, sealer->count, whole);
    sealer_pop(sealer, whole);
    errno = saved;
    return whole < sealer->count ? SEALER_BLOCKED : SEALER_MORE;
}

enum sealer_result sealer_turn(struct sealer *sealer)
{
    assert(sealer->magic == SEALER_MAGIC);
    bool old = sealer->old.count > 0;

    repeats_tell_lost(sealer_own(sealer)->repeats, sealer_own(sealer)->ring, clock_wall_us());
    sealer_collect(sealer);
    if (sealer->count == 0) {
        if ((old || sealer->recovered > 0) && sealer_finish_emptied(sealer) == -1)
            return SEALER_BLOCKED;
        return sealer_is_empty(sealer) ? SEALER_IDLE : SEALER_MORE;
    }
    return sealer_append(sealer);
}

enum sealer_result sealer_sign(struct sealer *sealer)
{
    assert(sealer->magic == SEALER_MAGIC);
    if (!chain_writer_has_unsigned(sealer->chain))
        return SEALER_IDLE;
    sealer_begin(sealer);
    sealer_add_checkpoint(sealer);
    return sealer_append(sealer);
}

void sealer_save(struct sealer *sealer)
{
    assert(sealer->magic == SEALER_MAGIC);
    chain_writer_sync(sealer->chain);
}

uint64_t sealer_lost(const struct sealer *sealer)
{
    return sealer->lost;
}

uint64_t sealer_lost_untold(const struct sealer *sealer)
{
    uint64_t lost = 0;

    for (uint32_t i = 0; i < sealer->source_count; i++)
        lost += repeats_lost(sealer->sources[i].repeats);
    for (size_t i = 0; i < sealer->old.count; i++)
        lost += repeats_lost(sealer->old.items[i].repeats);
    return lost;
}

struct chain_progress sealer_progress(const struct sealer *sealer)
{
    return chain_writer_progress(sealer->chain);
}

size_t sealer_ring_count(const struct sealer *sealer)
{
    return sealer->source_count - 1;
}

void sealer_ring_status(const struct sealer *sealer, size_t index, struct exporter_ring_status *status)
{
    assert(sealer->magic == SEALER_MAGIC && index < sealer->source_count);
    const struct ring *ring = sealer->sources[index].ring;
    *status = (struct exporter_ring_status){.used = ring_used(ring), .capacity = ring_capacity(ring)};
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

struct repeats *sealer_repeats(struct sealer *sealer, uint32_t index)
{
    assert(sealer->magic == SEALER_MAGIC && index + 1 < sealer->source_count);
    return sealer->sources[index].repeats;
}

/* ---- life ---- */

static size_t sealer_ring_capacity(size_t wanted)
{
    size_t capacity = SEALER_RING_MIN;

    while (capacity < wanted && capacity < SEALER_RING_MAX)
        capacity *= 2;
    return capacity;
}

static size_t sealer_capacity_of(const struct exporter_settings *settings, uint32_t index)
{
    return index < settings->rings ? sealer_ring_capacity(settings->ring_bytes) : SEALER_OWN_RING;
}

/* The workers' events are aggregated; those of the main thread and of the exporter are few. */
static int sealer_open_source(
    struct sealer *sealer, const struct exporter_settings *settings, uint64_t run, char *error, size_t size)
{
    uint32_t index = sealer->source_count;
    bool worker = index + 1 < settings->rings;
    size_t capacity = sealer_capacity_of(settings, index);
    const struct repeats_options options = {
        worker && settings->aggregate_ms > 0 ? REPEATS_SLOTS : 0, settings->aggregate_ms};

    struct source *source = &sealer->sources[index];

    int inherited = source_list_inherit(
        &sealer->old, settings->directory, index, capacity, &options, source, error, size);
    if (inherited == 0)
        return source_open(source, settings->directory, run, index, capacity, &options, error, size);
    if (inherited == -1)
        return -1;
    sealer->inherited += source->inherited;
    sealer_tell(source); /* as far as there is room: the rest when it is due */
    return 0;
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
    sealer->chain = chain_writer_open(settings, journal, error, error_size);
    if (sealer->chain == NULL)
        goto failed;
    if (source_list_find(&sealer->old, settings->directory, run, journal, error, error_size) == -1)
        goto failed;
    for (uint32_t i = 0; i <= settings->rings; i++)
        source_list_recycle(&sealer->old, settings->directory, run, i, sealer_capacity_of(settings, i));
    source_list_drop_empty(&sealer->old);
    for (; sealer->source_count <= settings->rings; sealer->source_count++) {
        if (sealer_open_source(sealer, settings, run, error, error_size) == -1)
            goto failed;
    }
    sealer_report_opening(sealer, journal, chain_writer_recovery(sealer->chain));
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
        source_close(&sealer->sources[i], synced && source_is_empty(&sealer->sources[i]));
    for (size_t i = 0; i < sealer->old.count; i++)
        source_close(&sealer->old.items[i], false);
    free(sealer->old.items);
    free(sealer->sources);
    buffer_release(&sealer->lines);
    chain_writer_close(sealer->chain);
    sealer->magic = 0;
    free(sealer);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what sinks have in common: the cursor and its file, reading the journal, the reports of up and down.
 * Called by the exporter thread (above) and by the kinds of sinks (below).
 *
 * The cursor file is one line: "mqward-cursor 1 <epoch> <first sequence of the segment> <offset> <check>\n".
 * It may lag behind what was confirmed (it is written about once a second): then lines are sent again, never
 * lost. Without it, or with a damaged one, delivery starts at the oldest line that the journal has. */
#include "exporters/sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/backoff.h"
#include "exporters/sink_lag.h"
#include "exporters/sink_trouble.h"

#define SINK_MAGIC 0x73696e6bU
#define SINK_CURSOR_MAX 256

enum sink_state { SINK_NEW, SINK_UP, SINK_DOWN };

struct sink {
    uint32_t magic;
    const char *name;
    const struct sink_type *type;
    void *link;
    enum exporter_fsync fsync;
    char *cursor_path, *cursor_new;
    struct journal *journal;
    struct journal_reader *reader;
    struct journal_position confirmed, saved;
    struct journal_position damaged; /* the last segment reported damaged: once for each is enough */
    bool unreadable;                 /* the journal: what was confirmed does not make the sink up */
    uint64_t read_again_ms;          /* monotonic; then it is tried again */
    struct backoff reading;
    enum sink_state state;
    struct sink_owner owner;
    struct sink_lag lag;
    struct sink_trouble trouble;
    /* What other threads read. */
    atomic_bool status_up;
    atomic_uint_fast64_t status_delivered, status_failures, status_lag_bytes, status_oldest_us;
};

/* ---- the cursor file ---- */

/* FNV-1a: finds accidents, not attacks; whoever can write here can delete the journal as well. */
static uint64_t sink_check(struct view text)
{
    uint64_t hash = 14695981039346656037U;

    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ text.data[i]) * 1099511628211U;
    return hash;
}

static int sink_format_cursor(char out[SINK_CURSOR_MAX], struct journal_position position)
{
    int length = snprintf(out, SINK_CURSOR_MAX, "mqward-cursor 1 %016" PRIx64 " %" PRIu64 " %" PRIu64,
        position.epoch, position.first, position.offset);
    uint64_t check = sink_check(view_of(out, (size_t)length));

    return length + snprintf(out + length, SINK_CURSOR_MAX - (size_t)length, " %016" PRIx64 "\n", check);
}

/* 1: read, 0: there is none, -1: there is one that can't be trusted. */
static int sink_read_cursor(const char *path, struct journal_position *position)
{
    char text[SINK_CURSOR_MAX], again[SINK_CURSOR_MAX];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (descriptor == -1)
        return errno == ENOENT ? 0 : -1;
    ssize_t length = read(descriptor, text, sizeof(text) - 1);
    close(descriptor);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    if (sscanf(text, "mqward-cursor 1 %" SCNx64 " %" SCNu64 " %" SCNu64, &position->epoch, &position->first,
            &position->offset) != 3)
        return -1;
    int expected = sink_format_cursor(again, *position);
    return length == expected && memcmp(text, again, (size_t)length) == 0 ? 1 : -1;
}

static int sink_write_cursor(const struct sink *sink)
{
    char text[SINK_CURSOR_MAX];
    int length = sink_format_cursor(text, sink->confirmed);
    int descriptor = open(sink->cursor_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (descriptor == -1)
        return -1;
    int status = write(descriptor, text, (size_t)length) == length ? 0 : -1;
    if (status == 0 && sink->fsync != EXPORTER_FSYNC_NEVER)
        status = fdatasync(descriptor);
    close(descriptor);
    return status == 0 ? rename(sink->cursor_new, sink->cursor_path) : -1;
}

void sink_save(struct sink *sink)
{
    if (sink->cursor_path == NULL || journal_position_compare(sink->confirmed, sink->saved) == 0)
        return;
    if (sink_write_cursor(sink) == 0)
        sink->saved = sink->confirmed;
    else /* an old cursor means duplicates at the next start, no loss */
        LOG_LIMITED(LOG_WARN, "sink", "cursor not written", log_string("sink", sink->name),
            log_string("error", strerror(errno)));
}

static struct journal_position sink_load(const struct sink *sink)
{
    struct journal_position position = JOURNAL_START;
    int status = sink->cursor_path == NULL ? 0 : sink_read_cursor(sink->cursor_path, &position);

    if (status == 1 && journal_position_holds(sink->journal, position))
        return position;
    if (status != 0)
        LOG_EVENT(LOG_WARN, "sink", "cursor damaged, starting with the oldest event",
            log_string("sink", sink->name));
    return JOURNAL_START;
}

/* ---- life ---- */

/* The name becomes a file name. */
static bool sink_name_is_safe(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= 64 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == length;
}

struct sink *sink_open(const struct sink_type *type, const char *name, const void *settings,
    const char *directory, enum exporter_fsync fsync, struct journal *journal, struct event_base *base,
    const struct sink_owner *owner, char *error, size_t error_size)
{
    if (!sink_name_is_safe(name)) {
        snprintf(error, error_size, "sink %s: a name has letters, digits, '_', '-', '.'; at most 64", name);
        return NULL;
    }
    struct sink *sink = memory_calloc(1, sizeof(*sink));
    sink->magic = SINK_MAGIC;
    sink->name = name;
    sink->type = type;
    sink->fsync = fsync;
    sink->journal = journal;
    sink->owner = *owner;
    if (directory != NULL) {
        sink->cursor_path = memory_format("%s/%s.cursor", directory, name);
        sink->cursor_new = memory_format("%s/%s.cursor.new", directory, name);
    }
    sink->confirmed = sink->saved = sink_load(sink);
    sink->reader = journal_reader_new(journal, sink->confirmed);
    sink->link = type->open(sink, settings, base, error, error_size);
    if (sink->link == NULL) {
        sink_close(sink);
        return NULL;
    }
    return sink;
}

void sink_begin_at(struct sink *sink, struct journal_position position)
{
    assert(sink->magic == SINK_MAGIC && sink->state == SINK_NEW);
    sink->confirmed = sink->saved = position;
    journal_reader_seek(sink->reader, position);
}

void sink_start(struct sink *sink)
{
    sink->type->start(sink->link);
}

void sink_wake(struct sink *sink)
{
    sink->type->wake(sink->link);
}

void sink_flush(struct sink *sink)
{
    if (sink->type->flush != NULL)
        sink->type->flush(sink->link);
    else
        sink->type->wake(sink->link);
}

void sink_reopen(struct sink *sink)
{
    if (sink->type->reopen != NULL)
        sink->type->reopen(sink->link);
}

void sink_close(struct sink *sink)
{
    if (sink == NULL)
        return;
    assert(sink->magic == SINK_MAGIC);
    if (sink->link != NULL) {
        sink->type->close(sink->link);
        sink_save(sink);
    }
    journal_reader_free(sink->reader);
    sink_lag_release(&sink->lag);
    free(sink->cursor_path);
    free(sink->cursor_new);
    sink->magic = 0;
    free(sink);
}

struct journal_position sink_confirmed(const struct sink *sink)
{
    return sink->confirmed;
}

bool sink_is_idle(const struct sink *sink)
{
    return journal_position_compare(sink->confirmed, journal_end(sink->journal)) >= 0;
}

bool sink_is_up(const struct sink *sink)
{
    return sink->state == SINK_UP;
}

const char *sink_name(const struct sink *sink)
{
    return sink->name;
}

/* ---- status ---- */

void sink_measure(struct sink *sink)
{
    atomic_store_explicit(
        &sink->status_lag_bytes, journal_behind(sink->journal, sink->confirmed), memory_order_relaxed);
    atomic_store_explicit(&sink->status_oldest_us,
        sink_lag_oldest(&sink->lag, sink->journal, sink->confirmed), memory_order_relaxed);
}

/* The two may be of different measurements: nothing behind has no age. */
void sink_status(struct sink *sink, struct exporter_sink_status *status)
{
    uint64_t lag_bytes = atomic_load_explicit(&sink->status_lag_bytes, memory_order_relaxed);
    uint64_t oldest_us = atomic_load_explicit(&sink->status_oldest_us, memory_order_relaxed);
    uint64_t now_us = clock_wall_us();

    assert(sink->magic == SINK_MAGIC);
    *status = (struct exporter_sink_status){
        .name = sink->name,
        .kind = sink->type->name,
        .up = atomic_load_explicit(&sink->status_up, memory_order_relaxed),
        .delivered = atomic_load_explicit(&sink->status_delivered, memory_order_relaxed),
        .failures = atomic_load_explicit(&sink->status_failures, memory_order_relaxed),
        .lag_bytes = lag_bytes,
        .lag_seconds =
            lag_bytes == 0 || oldest_us == 0 || now_us <= oldest_us ? 0 : (double)(now_us - oldest_us) / 1e6,
    };
}

/* ---- for the kinds ---- */

static void sink_report(struct sink *sink, enum audit_action action, enum reason reason, const char *detail)
{
    char text[512];
    struct audit_event event = {
        .action = action, .reason = reason, .disposition = AUDIT_INFORMED, .wall_us = clock_wall_us()};

    snprintf(text, sizeof(text), "%s%s%s", sink->name, detail[0] == '\0' ? "" : ": ", detail);
    event.detail = view_of_string(text);
    sink->owner.report(sink->owner.argument, &event);
}

/* How many lines are missing is not known: what was skipped is no line. A sink that is away comes by the same
 * places again and again: only what is behind the last one is news. */
static void sink_report_damage(struct sink *sink)
{
    struct journal_position position = journal_reader_position(sink->reader);
    const struct journal_position segment = {position.epoch, position.first, 0};
    char detail[160];

    LOG_LIMITED(LOG_ERROR, "sink", "damaged line in the journal skipped", log_string("sink", sink->name),
        log_unsigned("first", position.first), log_unsigned("offset", position.offset));
    if (journal_position_compare(segment, sink->damaged) <= 0)
        return;
    sink->damaged = segment;
    snprintf(detail, sizeof(detail),
        "skipped what is no line of the journal, in segment %016" PRIx64 "-%" PRIu64
        " before offset %" PRIu64,
        position.epoch, position.first, position.offset);
    sink_report(sink, AUDIT_audit_gap, REASON_audit_lost, detail);
}

/* The lines are there, and may be had later: nothing is skipped. */
static void sink_fail_reading(struct sink *sink, int error)
{
    struct timeval wait = backoff_down(&sink->reading);
    uint64_t wait_ms = (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000;
    char detail[128];

    sink->unreadable = true;
    sink->read_again_ms = clock_monotonic_ms() + wait_ms;
    snprintf(detail, sizeof(detail), "the journal can't be read: %s", strerror(error));
    sink_fail(sink, REASON_sink_unreachable, detail);
}

bool sink_next(struct sink *sink, struct journal_line *line)
{
    if (sink->unreadable && clock_monotonic_ms() < sink->read_again_ms)
        return false;
    for (;;) {
        switch (journal_reader_next(sink->reader, line)) {
        case JOURNAL_LINE:
            if (sink->unreadable)
                backoff_up(&sink->reading);
            sink->unreadable = false;
            sink_lag_add(&sink->lag, line);
            return true;
        case JOURNAL_END:
            sink->unreadable = false;
            return false;
        case JOURNAL_DAMAGED:
            sink_report_damage(sink);
            break;
        case JOURNAL_FAILED:
            sink_fail_reading(sink, errno);
            return false;
        }
    }
}

void sink_rewind(struct sink *sink)
{
    journal_reader_seek(sink->reader, sink->confirmed);
    sink_lag_rewind(&sink->lag);
}

void sink_confirm(struct sink *sink, struct journal_position end)
{
    assert(journal_position_compare(end, sink->confirmed) > 0);
    sink->confirmed = end;
    atomic_fetch_add_explicit(
        &sink->status_delivered, sink_lag_confirm(&sink->lag, end), memory_order_relaxed);
    if (sink->state != SINK_UP && !sink->unreadable) {
        LOG_EVENT(LOG_INFO, "sink", "sink is up", log_string("sink", sink->name));
        if (sink->state == SINK_DOWN)
            sink_report(sink, AUDIT_sink_up, REASON_sink_connected, "");
        sink->state = SINK_UP;
        sink->trouble = (struct sink_trouble){0};
        atomic_store_explicit(&sink->status_up, true, memory_order_relaxed);
    }
    sink->owner.progress(sink->owner.argument);
}

void sink_fail(struct sink *sink, enum reason reason, const char *detail)
{
    if (sink_trouble_add(&sink->trouble, reason_info(reason)->name, detail, clock_monotonic_ms()))
        LOG_LIMITED(LOG_WARN, "sink", "sink is down", log_string("sink", sink->name),
            log_string("reason", reason_info(reason)->name), log_string("detail", detail),
            log_unsigned("failures", sink->trouble.failures));
    atomic_fetch_add_explicit(&sink->status_failures, 1, memory_order_relaxed);
    if (sink->state == SINK_DOWN)
        return;
    sink->state = SINK_DOWN;
    atomic_store_explicit(&sink->status_up, false, memory_order_relaxed);
    sink_report(sink, AUDIT_sink_down, reason, detail);
}

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
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

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
    uint64_t damaged_segment; /* the last place reported damaged: once a segment is enough */
    enum sink_state state;
    struct sink_owner owner;
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
    if (journal_position_compare(sink->confirmed, sink->saved) == 0)
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
    int status = sink_read_cursor(sink->cursor_path, &position);

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
    sink->cursor_path = memory_format("%s/%s.cursor", directory, name);
    sink->cursor_new = memory_format("%s/%s.cursor.new", directory, name);
    sink->confirmed = sink->saved = sink_load(sink);
    sink->reader = journal_reader_new(journal, sink->confirmed);
    sink->link = type->open(sink, settings, base, error, error_size);
    if (sink->link == NULL) {
        sink_close(sink);
        return NULL;
    }
    return sink;
}

void sink_start(struct sink *sink)
{
    sink->type->start(sink->link);
}

void sink_wake(struct sink *sink)
{
    sink->type->wake(sink->link);
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

/* How many lines are missing is not known: what was skipped is no line. */
static void sink_report_damage(struct sink *sink)
{
    struct journal_position position = journal_reader_position(sink->reader);
    char detail[160];

    LOG_LIMITED(LOG_ERROR, "sink", "damaged line in the journal skipped", log_string("sink", sink->name),
        log_unsigned("first", position.first), log_unsigned("offset", position.offset));
    if (sink->damaged_segment == (position.epoch ^ position.first))
        return;
    sink->damaged_segment = position.epoch ^ position.first;
    snprintf(detail, sizeof(detail),
        "skipped what is no line of the journal, in segment %016" PRIx64 "-%" PRIu64
        " before offset %" PRIu64,
        position.epoch, position.first, position.offset);
    sink_report(sink, AUDIT_audit_gap, REASON_audit_lost, detail);
}

bool sink_next(struct sink *sink, struct journal_line *line)
{
    for (;;) {
        switch (journal_reader_next(sink->reader, line)) {
        case JOURNAL_LINE:
            return true;
        case JOURNAL_END:
            return false;
        case JOURNAL_DAMAGED:
            sink_report_damage(sink);
            break;
        case JOURNAL_FAILED:
            LOG_LIMITED(LOG_ERROR, "sink", "journal not readable", log_string("sink", sink->name),
                log_string("error", strerror(errno)));
            return false;
        }
    }
}

void sink_rewind(struct sink *sink)
{
    journal_reader_seek(sink->reader, sink->confirmed);
}

void sink_confirm(struct sink *sink, struct journal_position end)
{
    assert(journal_position_compare(end, sink->confirmed) > 0);
    sink->confirmed = end;
    if (sink->state != SINK_UP) {
        LOG_EVENT(LOG_INFO, "sink", "sink is up", log_string("sink", sink->name));
        if (sink->state == SINK_DOWN)
            sink_report(sink, AUDIT_sink_up, REASON_sink_connected, "");
        sink->state = SINK_UP;
    }
    sink->owner.progress(sink->owner.argument);
}

void sink_fail(struct sink *sink, enum reason reason, const char *detail)
{
    LOG_LIMITED(LOG_WARN, "sink", "sink is down", log_string("sink", sink->name),
        log_string("reason", reason_info(reason)->name), log_string("detail", detail));
    if (sink->state == SINK_DOWN)
        return;
    sink->state = SINK_DOWN;
    sink_report(sink, AUDIT_sink_down, reason, detail);
}

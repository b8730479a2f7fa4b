/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the journal's segments: appending, rotation, retention. Called by the exporter thread.
 *
 * A line that journal_append() reported is never changed and never shown half: sinks read a segment up to
 * segment->bytes, which only grows by whole lines that are as safe as the fsync policy says. */
#include "exporters/journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/journal_private.h"

/* ---- the list of segments ---- */

int journal_open_segment(const struct journal *journal, const struct journal_segment *segment, int flags)
{
    char name[JOURNAL_NAME_MAX];

    journal_segment_name(segment, name);
    return openat(journal->directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

const struct journal_segment *journal_segments(const struct journal *journal, size_t *count)
{
    *count = journal->segment_count;
    return journal->segments;
}

const struct journal_segment *journal_find(const struct journal *journal, uint64_t epoch, uint64_t first)
{
    size_t low = 0, high = journal->segment_count;
    const struct journal_position wanted = {epoch, first, 0};

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct journal_segment *segment = &journal->segments[middle];
        if (journal_position_compare((struct journal_position){segment->epoch, segment->first, 0}, wanted) <
            0)
            low = middle + 1;
        else
            high = middle;
    }
    return low == journal->segment_count ? NULL : &journal->segments[low];
}

struct journal_position journal_end(const struct journal *journal)
{
    if (journal->segment_count == 0)
        return (struct journal_position){journal->epoch, 0, 0};
    const struct journal_segment *last = &journal->segments[journal->segment_count - 1];
    return (struct journal_position){last->epoch, last->first, last->bytes};
}

/* ---- life ---- */

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    assert(journal->magic == JOURNAL_MAGIC);
    if (journal->descriptor != -1) {
        journal_sync(journal);
        close(journal->descriptor);
    }
    if (journal->lock != -1)
        close(journal->lock);
    if (journal->directory != -1)
        close(journal->directory);
    journal_let_all_go(journal);
    buffer_release(&journal->unsynced);
    free(journal->segments);
    free(journal->repairs);
    journal->magic = 0;
    free(journal);
}

uint64_t journal_epoch(const struct journal *journal)
{
    return journal->epoch;
}

uint64_t journal_next_sequence(const struct journal *journal)
{
    return journal->sequence;
}

uint64_t journal_seal_time(struct journal *journal)
{
    uint64_t now = clock_wall_us();

    if (now > journal->sealed_us)
        journal->sealed_us = now;
    return journal->sealed_us;
}

uint64_t journal_sealed_us(const struct journal *journal)
{
    return journal->sealed_us;
}

const struct journal_repair *journal_repairs(const struct journal *journal, size_t *count)
{
    *count = journal->repair_count;
    return journal->repairs;
}

uint64_t journal_bytes(const struct journal *journal)
{
    return journal->bytes;
}

/* ---- rotation and retention ---- */

static int journal_sync_directory(const struct journal *journal)
{
    return journal->settings.fsync == EXPORTER_FSYNC_NEVER ? 0 : fsync(journal->directory);
}

/* Drops what a failed write left behind the last whole line. With bytes of somebody else behind it, it stays
 * with them: the next append begins a new segment. */
static int journal_cut_overhang(struct journal *journal)
{
    struct stat status;

    if (journal->overhang == 0)
        return 0;
    assert(journal->descriptor != -1 && journal->segment_count > 0);
    const struct journal_segment *last = &journal->segments[journal->segment_count - 1];
    if (fstat(journal->descriptor, &status) == -1 ||
        ((uint64_t)status.st_size <= last->bytes + journal->overhang &&
            ftruncate(journal->descriptor, (off_t)last->bytes) == -1))
        return -1;
    journal->overhang = 0;
    return 0;
}

static int journal_finish_segment(struct journal *journal)
{
    if (journal->descriptor == -1)
        return 0;
    if (journal_cut_overhang(journal) == -1 || journal_sync(journal) == -1)
        return -1;
    close(journal->descriptor);
    journal->descriptor = -1;
    struct journal_segment *last = &journal->segments[journal->segment_count - 1];
    if (last->bytes == 0) { /* nothing ever came to be in it: its name is free for the next one */
        char name[JOURNAL_NAME_MAX];
        journal_segment_name(last, name);
        unlinkat(journal->directory, name, 0);
        journal->segment_count--;
    }
    return 0;
}

static int journal_start_segment(struct journal *journal)
{
    const struct journal_segment segment = {
        .epoch = journal->epoch, .first = journal->sequence, .written_ms = clock_wall_us() / 1000};
    const int flags = O_RDWR | O_CREAT | O_EXCL;
    int descriptor = journal_open_segment(journal, &segment, flags);

    if (descriptor == -1 && errno == EEXIST && journal_set_aside(journal, &segment, NULL) == 0) {
        journal->incidents.displaced++;
        descriptor = journal_open_segment(journal, &segment, flags);
    }
    if (descriptor == -1)
        return -1;
    if (journal_sync_directory(journal) == -1) {
        int saved = errno;
        char name[JOURNAL_NAME_MAX];
        journal_segment_name(&segment, name);
        unlinkat(journal->directory, name, 0);
        close(descriptor);
        errno = saved;
        return -1;
    }
    journal->descriptor = descriptor;
    journal->overhang = 0;
    journal_forget_unsynced(journal);
    journal_add_segment(journal, &segment);
    return 0;
}

static bool journal_is_confirmed(const struct journal *journal, const struct journal_segment *segment)
{
    const struct journal_position end = {segment->epoch, segment->first, segment->bytes};

    return journal_position_compare(journal->floor, end) >= 0;
}

/* Deletes the oldest segment, if all sinks have it. The one being written is closed first. */
static int journal_delete_oldest(struct journal *journal)
{
    char name[JOURNAL_NAME_MAX];

    if (journal->segment_count == 0 || !journal_is_confirmed(journal, &journal->segments[0])) {
        errno = EDQUOT;
        return -1;
    }
    if (journal->segment_count == 1 && journal_finish_segment(journal) == -1)
        return -1;
    if (journal->segment_count == 0) /* it was empty */
        return 0;
    struct journal_segment oldest = journal->segments[0];
    journal_segment_name(&oldest, name);
    if (unlinkat(journal->directory, name, 0) == -1 && errno != ENOENT)
        return -1;
    journal_let_go(journal, &oldest);
    journal->bytes -= oldest.bytes;
    journal->segment_count--;
    memmove(journal->segments, journal->segments + 1, journal->segment_count * sizeof(*journal->segments));
    LOG_EVENT(LOG_DEBUG, "journal", "segment deleted", log_string("segment", name),
        log_unsigned("bytes", oldest.bytes));
    return 0;
}

void journal_set_floor(struct journal *journal, struct journal_position floor)
{
    journal->floor = floor;
}

bool journal_waits_for_sinks(const struct journal *journal)
{
    return journal->segment_count > 0 && !journal_is_confirmed(journal, &journal->segments[0]);
}

void journal_retain(struct journal *journal)
{
    uint64_t now_ms = clock_wall_us() / 1000;

    while (journal->settings.retention_ms > 0 && journal->segment_count > 0 &&
           now_ms > journal->segments[0].written_ms &&
           now_ms - journal->segments[0].written_ms > journal->settings.retention_ms) {
        if (journal_delete_oldest(journal) == -1)
            return; /* unconfirmed, or the disk has trouble: the next time */
    }
}

/* ---- appending ---- */

/* Begins a new segment when somebody deleted, moved or cut the one that is written, or appended to it: nobody
 * would read what came behind. Where the whole directory is gone, the open file still takes the lines to the
 * sinks that have it open. 0 or -1 (errno). */
static int journal_check_segment(struct journal *journal)
{
    const int descriptor = journal->descriptor;
    const size_t current = journal->segment_count - 1;

    if (descriptor == -1 || journal_segment_in_place(journal->directory, descriptor,
                                &journal->segments[current], journal->overhang))
        return 0;
    LOG_LIMITED(LOG_ERROR, "journal", "the segment was deleted, moved, cut or appended to by somebody else",
        log_unsigned("first", journal->segments[current].first),
        log_unsigned("bytes", journal->segments[current].bytes));
    if (journal_sync(journal) == -1) /* it may be in place otherwise */
        return -1;
    if (journal_start_segment(journal) == -1 &&
        (errno != ENOENT || journal_make_directory(journal) == -1 || journal_start_segment(journal) == -1))
        return errno == ENOENT ? 0 : -1;
    journal_keep_open(journal, &journal->segments[current], descriptor);
    if (journal->segments[current].bytes == 0) /* and so the new one has the same name */
        journal->segment_count--;
    return 0;
}

/* A segment to write to, and room for need bytes under the quota. 0 or -1 (errno). */
static int journal_make_room(struct journal *journal, uint64_t need)
{
    if (journal_settle(journal) == -1 || journal_check_segment(journal) == -1)
        return -1;
    if (journal->descriptor != -1 && journal->segments[journal->segment_count - 1].bytes > 0 &&
        journal->segments[journal->segment_count - 1].bytes + need > journal->settings.segment_bytes &&
        journal_finish_segment(journal) == -1)
        return -1;
    while (journal->bytes + need > journal->settings.quota_bytes) {
        if (journal_delete_oldest(journal) == -1)
            return -1;
    }
    if (journal_cut_overhang(journal) == -1)
        return -1;
    return journal->descriptor == -1 ? journal_start_segment(journal) : 0;
}

/* One write for the batch, at its place: what somebody else appends meanwhile shifts nothing. Returns the
 * bytes that were taken; fewer than all with errno. */
static size_t journal_write(int descriptor, struct view lines, uint64_t offset)
{
    ssize_t written;

    do
        written = pwrite(descriptor, lines.data, lines.length, (off_t)offset);
    while (written == -1 && errno == EINTR);
    if (written < 0)
        return 0;
    if ((size_t)written < lines.length)
        errno = ENOSPC; /* a short write to a file has no errno of its own: nearly always this */
    return (size_t)written;
}

/* Lines [from, to) of the batch, into one segment. Returns how many it took; fewer than all with errno. */
static size_t journal_append_part(
    struct journal *journal, struct view batch, const size_t *ends, size_t from, size_t to)
{
    const size_t start = from == 0 ? 0 : ends[from - 1];
    const struct view lines = view_of(batch.data + start, ends[to - 1] - start);
    size_t next = from;

    if (journal_make_room(journal, lines.length) == -1)
        return 0;
    struct journal_segment *segment = &journal->segments[journal->segment_count - 1];
    size_t written = journal_write(journal->descriptor, lines, segment->bytes);
    int saved = errno;
    while (next < to && ends[next] - start <= written)
        next++;
    uint64_t kept = next == from ? 0 : ends[next - 1] - start;
    if (journal->settings.fsync == EXPORTER_FSYNC_ALWAYS && next > from &&
        fdatasync(journal->descriptor) == -1) {
        /* What the kernel did not get to the disk it may have marked clean: the lines are written again, as
         * new ones. */
        saved = errno;
        next = from;
        kept = 0;
    }
    journal->overhang = written - kept;
    segment->bytes += kept;
    segment->written_ms = journal->sealed_us / 1000;
    journal->bytes += kept;
    journal->sequence += next - from;
    journal_keep_unsynced(journal, view_of(lines.data, kept));
    if (next < to) {
        (void)journal_cut_overhang(journal); /* if it fails now, the next attempt begins with it */
        errno = saved;
    }
    return next - from;
}

/* The end of the lines from there that fit a segment: the one that is written, or else a new one. */
static size_t journal_part_end(const struct journal *journal, const size_t *ends, size_t from, size_t count)
{
    const size_t start = from == 0 ? 0 : ends[from - 1];
    const uint64_t limit = journal->settings.segment_bytes;
    uint64_t used = journal->descriptor == -1 ? 0 : journal->segments[journal->segment_count - 1].bytes;
    size_t to = count;

    if (used + (ends[from] - start) > limit)
        used = 0;
    while (to > from + 1 && used + (ends[to - 1] - start) > limit)
        to--;
    return to;
}

size_t journal_append(struct journal *journal, struct view lines, const size_t *ends, size_t count)
{
    size_t whole = 0, to = 0;

    assert(journal->magic == JOURNAL_MAGIC && count > 0 && ends[count - 1] == lines.length);
    while (whole == to && whole < count) {
        to = journal_part_end(journal, ends, whole, count);
        whole += journal_append_part(journal, lines, ends, whole, to);
    }
    return whole;
}

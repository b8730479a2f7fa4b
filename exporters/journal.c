/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the journal's directory: its lock, its segments, appending, rotation, retention. Called by the
 * exporter thread.
 *
 * A line that journal_append() reported is never changed and never shown half: sinks read a segment up to
 * segment->bytes, which only grows by whole lines that are as safe as the fsync policy says. */
#include "exporters/journal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#define JOURNAL_MAGIC 0x6a6f7572U
#define JOURNAL_LOCK "lock"

struct journal {
    uint32_t magic;
    struct journal_settings settings;
    int directory;
    int lock;
    struct journal_segment *segments; /* ascending; the last one is open when descriptor is not -1 */
    size_t segment_count, segment_capacity;
    int descriptor;
    bool dirty;     /* written, not synced */
    bool overhang;  /* the file has bytes beyond segment->bytes: cut before the next write */
    uint64_t bytes; /* of all segments */
    uint64_t epoch;
    uint64_t sequence;  /* of the next line */
    uint64_t sealed_us; /* the latest event.created */
    struct journal_position floor;
    struct journal_repair *repairs;
    size_t repair_count;
};

/* ---- the list of segments ---- */

int journal_open_segment(const struct journal *journal, const struct journal_segment *segment, int flags)
{
    char name[JOURNAL_NAME_MAX];

    journal_segment_name(segment, name);
    return openat(journal->directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static struct journal_segment *journal_add_segment(
    struct journal *journal, const struct journal_segment *segment)
{
    if (journal->segment_count == journal->segment_capacity) {
        journal->segment_capacity = journal->segment_capacity == 0 ? 16 : journal->segment_capacity * 2;
        journal->segments =
            memory_realloc(journal->segments, journal->segment_capacity, sizeof(*journal->segments));
    }
    journal->segments[journal->segment_count] = *segment;
    return &journal->segments[journal->segment_count++];
}

static int journal_compare_segments(const void *left, const void *right)
{
    const struct journal_segment *a = left, *b = right;

    return journal_position_compare(
        (struct journal_position){a->epoch, a->first, 0}, (struct journal_position){b->epoch, b->first, 0});
}

const struct journal_segment *journal_segments(const struct journal *journal, size_t *count)
{
    *count = journal->segment_count;
    return journal->segments;
}

const struct journal_segment *journal_find(const struct journal *journal, uint64_t epoch, uint64_t first)
{
    size_t low = 0, high = journal->segment_count;
    const struct journal_segment wanted = {.epoch = epoch, .first = first};

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal_compare_segments(&journal->segments[middle], &wanted) < 0)
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

/* ---- opening ---- */

static int journal_lock(struct journal *journal, char *error, size_t error_size)
{
    journal->lock = openat(journal->directory, JOURNAL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (journal->lock == -1) {
        snprintf(error, error_size, "%s/" JOURNAL_LOCK ": %s", journal->settings.directory, strerror(errno));
        return -1;
    }
    if (flock(journal->lock, LOCK_EX | LOCK_NB) == -1) {
        if (errno == EWOULDBLOCK)
            snprintf(error, error_size,
                "%s: another process has this audit directory open (lock file " JOURNAL_LOCK ")",
                journal->settings.directory);
        else
            snprintf(error, error_size, "%s: %s", journal->settings.directory, strerror(errno));
        return -1;
    }
    return 0;
}

static int journal_list(struct journal *journal)
{
    int descriptor = openat(journal->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor == -1 ? NULL : fdopendir(descriptor);
    struct dirent *entry;
    struct stat status;

    if (directory == NULL) {
        if (descriptor != -1)
            close(descriptor);
        return -1;
    }
    while ((entry = readdir(directory)) != NULL) {
        struct journal_segment segment;
        if (!journal_segment_parse(entry->d_name, &segment) ||
            fstatat(journal->directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == -1 ||
            !S_ISREG(status.st_mode))
            continue;
        segment.bytes = (uint64_t)status.st_size;
        segment.written_ms = (uint64_t)status.st_mtim.tv_sec * 1000;
        journal_add_segment(journal, &segment);
    }
    closedir(directory);
    if (journal->segment_count > 0)
        qsort(
            journal->segments, journal->segment_count, sizeof(*journal->segments), journal_compare_segments);
    return 0;
}

static void journal_note_repair(struct journal *journal, const struct journal_segment *segment, uint64_t cut)
{
    journal->repairs = memory_realloc(journal->repairs, journal->repair_count + 1, sizeof(*journal->repairs));
    struct journal_repair *repair = &journal->repairs[journal->repair_count++];
    journal_segment_name(segment, repair->name);
    repair->bytes = cut;
    LOG_EVENT(LOG_WARN, "journal", "torn tail cut", log_string("segment", repair->name),
        log_unsigned("bytes", cut));
}

/* Every segment must end with a whole line: the newest one was being written when an earlier run died, and
 * without fsync a power cut may have torn older ones, too. Empty ones go. */
static int journal_repair(struct journal *journal)
{
    size_t kept = 0;

    for (size_t i = 0; i < journal->segment_count; i++) {
        struct journal_segment segment = journal->segments[i];
        struct record_head last;
        uint64_t cut;
        char name[JOURNAL_NAME_MAX];
        if (journal_repair_tail(journal->directory, &segment, &cut, &last) == -1)
            return -1;
        if (cut > 0)
            journal_note_repair(journal, &segment, cut);
        if (last.sealed_us > journal->sealed_us)
            journal->sealed_us = last.sealed_us;
        journal_segment_name(&segment, name);
        if (segment.bytes == 0) {
            if (unlinkat(journal->directory, name, 0) == -1)
                return -1;
            continue;
        }
        journal->bytes += segment.bytes;
        journal->segments[kept++] = segment;
    }
    journal->segment_count = kept;
    return 0;
}

/* Seconds since 1970 above 32 random bits: epochs sort by time, and two proxies that start in the same second
 * still differ, so that event.id is unique across machines. A clock that was set back does not make an epoch
 * smaller. */
static void journal_draw_epoch(struct journal *journal)
{
    uint64_t seconds = clock_wall_us() / 1000000;
    uint32_t random = 0;

    if (getentropy(&random, sizeof(random)) == -1)
        random = (uint32_t)(clock_monotonic_ms() * 2654435761U) ^ (uint32_t)getpid();
    if (journal->segment_count > 0) {
        uint64_t last = journal->segments[journal->segment_count - 1].epoch >> 32;
        if (seconds <= last)
            seconds = last + 1;
    }
    journal->epoch = seconds << 32 | random;
    journal->sequence = 1;
    if (journal->sealed_us > 0)
        journal->sealed_us = (journal->sealed_us / 1000 + 1) * 1000;
}

struct journal *journal_open(const struct journal_settings *settings, char *error, size_t error_size)
{
    struct journal *journal = memory_calloc(1, sizeof(*journal));

    journal->magic = JOURNAL_MAGIC;
    journal->settings = *settings;
    journal->descriptor = journal->lock = -1;
    journal->floor = JOURNAL_NO_SINK;
    journal->directory = open(settings->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (journal->directory == -1) {
        snprintf(error, error_size, "%s: %s", settings->directory, strerror(errno));
        goto failed;
    }
    if (settings->quota_bytes < JOURNAL_QUOTA_MIN || settings->segment_bytes == 0) {
        snprintf(error, error_size, "the journal's quota must be at least 1 MiB and a segment larger than 0");
        goto failed;
    }
    /* Several segments a quota: otherwise nothing could be deleted while the only one is written. */
    if (journal->settings.segment_bytes > settings->quota_bytes / 4)
        journal->settings.segment_bytes = settings->quota_bytes / 4;
    if (journal_lock(journal, error, error_size) == -1)
        goto failed;
    if (journal_list(journal) == -1 || journal_repair(journal) == -1) {
        snprintf(error, error_size, "%s: %s", settings->directory, strerror(errno));
        goto failed;
    }
    journal_draw_epoch(journal);
    return journal;
failed:
    journal_close(journal);
    return NULL;
}

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

int journal_sync(struct journal *journal)
{
    if (!journal->dirty || journal->descriptor == -1 || journal->settings.fsync == EXPORTER_FSYNC_NEVER)
        return 0;
    if (fdatasync(journal->descriptor) == -1)
        return -1;
    journal->dirty = false;
    return 0;
}

/* Drops what a failed write left behind the last whole line. */
static int journal_cut_overhang(struct journal *journal)
{
    if (!journal->overhang)
        return 0;
    assert(journal->descriptor != -1 && journal->segment_count > 0);
    if (ftruncate(journal->descriptor, (off_t)journal->segments[journal->segment_count - 1].bytes) == -1)
        return -1;
    journal->overhang = false;
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
    journal->dirty = false;
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
    int descriptor = journal_open_segment(journal, &segment, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);

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
    journal->overhang = journal->dirty = false;
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

/* Begins a new segment when somebody deleted, moved or cut the one that is written: nobody would read what
 * came behind. Where the whole directory is gone, the open file still takes the lines to the sinks that have
 * it open. 0 or -1 (errno). */
static int journal_check_segment(struct journal *journal)
{
    const int descriptor = journal->descriptor;
    const size_t current = journal->segment_count - 1;

    if (descriptor == -1 ||
        journal_segment_in_place(journal->directory, descriptor, &journal->segments[current]))
        return 0;
    LOG_LIMITED(LOG_ERROR, "journal", "the segment was deleted, moved or cut by somebody else",
        log_unsigned("first", journal->segments[current].first),
        log_unsigned("bytes", journal->segments[current].bytes));
    if (journal_start_segment(journal) == -1)
        return errno == ENOENT ? 0 : -1;
    close(descriptor);
    if (journal->segments[current].bytes == 0) /* and so the new one has the same name */
        journal->segment_count--;
    return 0;
}

/* A segment to write to, and room for need bytes under the quota. 0 or -1 (errno). */
static int journal_make_room(struct journal *journal, uint64_t need)
{
    if (journal_check_segment(journal) == -1)
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

/* One write for the batch. Returns the bytes that were taken; fewer than all with errno. */
static size_t journal_write(int descriptor, struct view lines)
{
    ssize_t written;

    do
        written = write(descriptor, lines.data, lines.length);
    while (written == -1 && errno == EINTR);
    if (written < 0)
        return 0;
    if ((size_t)written < lines.length)
        errno = ENOSPC; /* a short write to a file has no errno of its own: nearly always this */
    return (size_t)written;
}

size_t journal_append(struct journal *journal, struct view lines, const size_t *ends, size_t count)
{
    size_t whole = 0;

    assert(journal->magic == JOURNAL_MAGIC && count > 0 && ends[count - 1] == lines.length);
    if (journal_make_room(journal, lines.length) == -1)
        return 0;
    struct journal_segment *segment = &journal->segments[journal->segment_count - 1];
    size_t written = journal_write(journal->descriptor, lines);
    int saved = errno;
    while (whole < count && ends[whole] <= written)
        whole++;
    uint64_t kept = whole == 0 ? 0 : ends[whole - 1];
    if (journal->settings.fsync == EXPORTER_FSYNC_ALWAYS && whole > 0 &&
        fdatasync(journal->descriptor) == -1) {
        /* What the kernel did not get to the disk it may have marked clean: the lines are written again, as
         * new ones. */
        saved = errno;
        whole = 0;
        kept = 0;
    }
    journal->overhang = journal->overhang || written > kept;
    segment->bytes += kept;
    segment->written_ms = journal->sealed_us / 1000;
    journal->bytes += kept;
    journal->sequence += whole;
    journal->dirty = kept > 0 && journal->settings.fsync == EXPORTER_FSYNC_INTERVAL ? true : journal->dirty;
    if (whole < count) {
        (void)journal_cut_overhang(journal); /* if it fails now, the next attempt begins with it */
        errno = saved;
    }
    return whole;
}

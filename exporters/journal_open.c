/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the journal does before the first line: the directory's lock, its list of segments, their repair,
 * the new epoch. Called by the exporter thread, the list by journal_view.c as well. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/journal_private.h"

#define EPOCH_SECONDS_MAX UINT32_C(0xF0000000) /* some years before 32 bits of seconds end */
#define EPOCH_AHEAD_SECONDS 86400U             /* clocks differ, and are set back */

/* ---- the list ---- */

struct journal_segment *journal_add_segment(struct journal *journal, const struct journal_segment *segment)
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

int journal_list(struct journal *journal)
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

/* ---- the lock ---- */

int journal_lock_directory(int directory)
{
    if (flock(directory, LOCK_EX | LOCK_NB) == -1)
        return -1;
    int lock = openat(directory, JOURNAL_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock == -1 || flock(lock, LOCK_EX | LOCK_NB) == 0)
        return lock;
    int saved = errno;
    close(lock);
    errno = saved;
    return -1;
}

/* The file is there to be seen; the directory itself can't be replaced while it is locked. */
static int journal_lock(struct journal *journal, char *error, size_t error_size)
{
    journal->lock = journal_lock_directory(journal->directory);
    if (journal->lock != -1)
        return 0;
    if (errno == EWOULDBLOCK)
        snprintf(error, error_size,
            "%s: another process has this audit directory open (lock file " JOURNAL_LOCK ")",
            journal->settings.directory);
    else
        snprintf(
            error, error_size, "%s: it can't be locked: %s", journal->settings.directory, strerror(errno));
    return -1;
}

/* ---- what may be believed of what lies there ---- */

/* The first line of a segment, or its last one; segment->bytes is its end. False: it does not hold, or can't
 * be read. */
static bool journal_line_holds(struct journal *journal, const struct journal_segment *segment, bool last)
{
    const struct journal_chain *chain = &journal->settings.chain;
    size_t size = segment->bytes < RECORD_LINE_MAX ? (size_t)segment->bytes : RECORD_LINE_MAX;
    int descriptor = journal_open_segment(journal, segment, O_RDONLY);

    if (descriptor == -1)
        return false;
    char *text = memory_calloc(size + 1, 1);
    ssize_t count = pread(descriptor, text, size, last ? (off_t)(segment->bytes - size) : 0);
    const char *begin = text, *end = NULL;
    if (count == (ssize_t)size && size > 1 && last && text[size - 1] == '\n') {
        end = text + size - 1;
        const char *before = memrchr(text, '\n', size - 1);
        begin = before == NULL ? text : before + 1;
    } else if (count > 0 && !last) {
        end = memchr(text, '\n', (size_t)count);
    }
    bool holds = end != NULL && chain->holds(chain->argument, view_of(begin, (size_t)(end - begin)));
    free(text);
    close(descriptor);
    return holds;
}

/* A segment of a time to come would make every epoch behind it later still, until there is none. Without a
 * chain that knows better only the end of time is out of reach: the clock may be wrong after a boot. */
static bool journal_is_to_come(struct journal *journal, const struct journal_segment *segment)
{
    const struct journal_chain *chain = &journal->settings.chain;
    uint64_t seconds = segment->epoch >> 32;

    if (segment->epoch <= chain->epoch)
        return false;
    if (chain->holds == NULL)
        return seconds > EPOCH_SECONDS_MAX;
    return seconds > clock_wall_us() / 1000000 + EPOCH_AHEAD_SECONDS &&
           !journal_line_holds(journal, segment, false);
}

/* True if event.created of a segment's last line may move ours. */
static bool journal_believes(
    struct journal *journal, const struct journal_segment *segment, uint64_t sealed_us)
{
    if (sealed_us <= clock_wall_us())
        return true;
    if (journal->settings.chain.holds == NULL)
        return sealed_us / 1000000 <= EPOCH_SECONDS_MAX;
    return journal_line_holds(journal, segment, true);
}

/* ---- repairs ---- */

int journal_set_aside(
    struct journal *journal, const struct journal_segment *segment, struct journal_repair *repair)
{
    char name[JOURNAL_NAME_MAX], aside[JOURNAL_NAME_MAX + 32];

    journal_segment_name(segment, name);
    snprintf(aside, sizeof(aside), "%s.damaged-%016" PRIx64, name, clock_wall_us());
    if (repair != NULL) {
        memcpy(repair->name, name, sizeof(name));
        repair->bytes = segment->bytes;
        repair->aside = true;
    }
    LOG_EVENT(LOG_ERROR, "journal", "a file that is none of ours is in the way, and is set aside",
        log_string("segment", name), log_string("now", aside));
    return renameat(journal->directory, name, journal->directory, aside);
}

static struct journal_repair *journal_add_repair(struct journal *journal)
{
    journal->repairs = memory_realloc(journal->repairs, journal->repair_count + 1, sizeof(*journal->repairs));
    struct journal_repair *repair = &journal->repairs[journal->repair_count++];
    *repair = (struct journal_repair){0};
    return repair;
}

static void journal_note_repair(struct journal *journal, const struct journal_segment *segment, uint64_t cut)
{
    struct journal_repair *repair = journal_add_repair(journal);
    journal_segment_name(segment, repair->name);
    repair->bytes = cut;
    LOG_EVENT(LOG_WARN, "journal", "torn tail cut", log_string("segment", repair->name),
        log_unsigned("bytes", cut));
}

/* Its bytes are 0 if it is gone afterwards. 0 or -1 (errno). */
static int journal_repair_segment(struct journal *journal, struct journal_segment *segment)
{
    struct record_head last;
    uint64_t cut;
    char name[JOURNAL_NAME_MAX];

    if (journal_is_to_come(journal, segment)) {
        int status = journal_set_aside(journal, segment, journal_add_repair(journal));
        segment->bytes = 0;
        return status;
    }
    if (journal_repair_tail(journal->directory, segment, &cut, &last) == -1)
        return -1;
    if (cut > 0)
        journal_note_repair(journal, segment, cut);
    if (last.sealed_us > journal->sealed_us && journal_believes(journal, segment, last.sealed_us))
        journal->sealed_us = last.sealed_us;
    journal_segment_name(segment, name);
    return segment->bytes == 0 ? unlinkat(journal->directory, name, 0) : 0;
}

/* Every segment must end with a whole line: the newest one was being written when an earlier run died, and
 * without fsync a power cut may have torn older ones, too. Empty ones go. 0, or -1 and a sentence. */
static int journal_repair(struct journal *journal, char *error, size_t error_size)
{
    size_t kept = 0;

    for (size_t i = 0; i < journal->segment_count; i++) {
        struct journal_segment segment = journal->segments[i];
        if (journal_repair_segment(journal, &segment) == -1) {
            char name[JOURNAL_NAME_MAX];
            int saved = errno;
            journal_segment_name(&segment, name);
            snprintf(error, error_size, "%s/%s: %s", journal->settings.directory, name, strerror(saved));
            return -1;
        }
        if (segment.bytes == 0)
            continue;
        journal->bytes += segment.bytes;
        journal->segments[kept++] = segment;
    }
    journal->segment_count = kept;
    return 0;
}

/* ---- opening ---- */

/* Seconds since 1970 above 32 random bits: epochs sort by time, and two proxies that start in the same second
 * still differ, so that event.id is unique across machines. A clock that was set back does not make an epoch
 * smaller. */
static void journal_draw_epoch(struct journal *journal)
{
    uint64_t seconds = clock_wall_us() / 1000000, last = journal->settings.chain.epoch;
    uint32_t random = 0;

    if (getentropy(&random, sizeof(random)) == -1)
        random = (uint32_t)(clock_monotonic_ms() * 2654435761U) ^ (uint32_t)getpid();
    if (journal->segment_count > 0 && journal->segments[journal->segment_count - 1].epoch > last)
        last = journal->segments[journal->segment_count - 1].epoch;
    if (last > 0 && seconds <= last >> 32)
        seconds = (last >> 32) + 1;
    journal->epoch = seconds > UINT32_MAX ? last + 1 : seconds << 32 | random;
    journal->sequence = 1;
    if (journal->settings.chain.sealed_us > journal->sealed_us)
        journal->sealed_us = journal->settings.chain.sealed_us;
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
    if (journal_list(journal) == -1) {
        snprintf(error, error_size, "%s: %s", settings->directory, strerror(errno));
        goto failed;
    }
    if (journal_repair(journal, error, error_size) == -1)
        goto failed;
    journal_draw_epoch(journal);
    journal->settings.chain = (struct journal_chain){0}; /* it was borrowed */
    return journal;
failed:
    journal_close(journal);
    return NULL;
}

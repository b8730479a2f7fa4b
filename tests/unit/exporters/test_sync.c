/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that does not take what was written, and files that are deleted under the journal's hands. This
 * program is linked with --wrap=fdatasync,--wrap=pread64: the disk below is the tests' own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"

int __real_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor);

/* As Linux does it: the failure is told once, the pages are gone or clean, and the next call succeeds. */
static atomic_int failures;          /* so many calls fail from now on */
static atomic_bool drop;             /* and what was not on the disk reads as zeros then */
static atomic_uint_fast64_t on_disk; /* bytes of the file that are */

int __wrap_fdatasync(int descriptor)
{
    struct stat status;

    cr_assert_eq(fstat(descriptor, &status), 0);
    if (atomic_load(&failures) > 0) {
        atomic_fetch_sub(&failures, 1);
        if (atomic_load(&drop)) {
            int flags = fcntl(descriptor, F_GETFL);
            char zeros[4096] = {0};
            fcntl(descriptor, F_SETFL, flags & ~O_APPEND);
            for (off_t at = (off_t)atomic_load(&on_disk); at < status.st_size; at += (off_t)sizeof(zeros)) {
                size_t left = (size_t)(status.st_size - at);
                cr_assert_gt(pwrite(descriptor, zeros, left < sizeof(zeros) ? left : sizeof(zeros), at), 0);
            }
            fcntl(descriptor, F_SETFL, flags);
        }
        errno = EIO;
        return -1;
    }
    atomic_store(&on_disk, (uint64_t)status.st_size);
    return __real_fdatasync(descriptor);
}

ssize_t __real_pread64(int descriptor, void *bytes, size_t count, off_t offset);
ssize_t __wrap_pread64(int descriptor, void *bytes, size_t count, off_t offset);

static _Atomic ino_t unreadable; /* whose bytes the disk does not give */

ssize_t __wrap_pread64(int descriptor, void *bytes, size_t count, off_t offset)
{
    struct stat status;

    cr_assert_eq(fstat(descriptor, &status), 0);
    if (status.st_ino != atomic_load(&unreadable))
        return __real_pread64(descriptor, bytes, count, offset);
    errno = EIO;
    return -1;
}

static struct journal *open_journal(const struct journal_settings *settings)
{
    char error[256] = "";
    struct journal *journal = journal_open(settings, error, sizeof(error));

    cr_assert_not_null(journal, "%s", error);
    atomic_store(&on_disk, 0);
    return journal;
}

/* One line; true if the journal took it. */
static bool append(struct journal *journal)
{
    struct buffer line = {0};
    char user[32];
    struct record_seal seal = event_seal;

    seal.epoch = journal_epoch(journal);
    seal.sequence = journal_next_sequence(journal);
    seal.sealed_us = journal_seal_time(journal);
    seal.origin = (struct record_origin){seal.epoch, 0, seal.sequence};
    struct audit_event event = event_numbered(seal.sequence, user);
    record_render(&line, &event, &seal);
    size_t end = buffer_length(&line);
    errno = 0;
    bool taken = journal_append(journal, buffer_view(&line), &end, 1) == 1;
    buffer_release(&line);
    return taken;
}

static void check_lines(struct journal *journal, uint64_t count)
{
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    struct journal_line line;

    for (uint64_t i = 1; i <= count; i++) {
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE, "line %lu", (unsigned long)i);
        cr_assert_eq(line.head.sequence, i);
    }
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_END);
    journal_reader_free(reader);
}

Test(sync, lines_that_the_disk_did_not_take_are_written_again)
{
    char path[DIRECTORY_MAX];
    struct journal_incidents incidents;
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.fsync = EXPORTER_FSYNC_INTERVAL;
    struct journal *journal = open_journal(&settings);
    for (unsigned i = 0; i < 10; i++)
        cr_assert(append(journal));
    cr_assert_eq(journal_sync(journal), 0);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    atomic_store(&drop, true);
    atomic_store(&failures, 2);
    cr_assert_eq(journal_sync(journal), -1);
    cr_assert_eq(errno, EIO);
    check_lines(journal, 15); /* those who read see no difference */
    cr_assert_not(append(journal), "nothing is written behind what may be lost");
    cr_assert_eq(errno, EIO);
    cr_assert_not(journal_take_incidents(journal, &incidents));
    cr_assert(append(journal), "the disk works again");
    cr_assert_eq(journal_sync(journal), 0);
    cr_assert(journal_take_incidents(journal, &incidents));
    cr_assert_eq(incidents.written_again, 5);
    cr_assert_eq(journal_sync_failures(journal), 2);
    check_lines(journal, 16);
    journal_close(journal);
    journal = open_journal(&settings);
    check_lines(journal, 16); /* and from the file */
    journal_close(journal);
    directory_remove(path);
}

Test(sync, a_segment_is_not_closed_before_the_disk_has_it)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.fsync = EXPORTER_FSYNC_INTERVAL;
    settings.segment_bytes = 4000;
    struct journal *journal = open_journal(&settings);
    unsigned taken = 0;
    atomic_store(&drop, true);
    atomic_store(&failures, 3);
    for (unsigned i = 0; i < 50; i++)
        taken += append(journal);
    cr_assert_eq(atomic_load(&failures), 0);
    cr_assert_lt(taken, 50);
    check_lines(journal, taken);
    journal_close(journal);
    cr_assert_gt(directory_count(path, ".ndjson", NULL), 2);
    cr_assert_eq(directory_check(path, NULL, 0), taken);
    directory_remove(path);
}

Test(sync, much_between_two_syncs_is_synced_before_its_time)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.fsync = EXPORTER_FSYNC_INTERVAL;
    settings.segment_bytes = 64 * 1024 * 1024;
    settings.quota_bytes = 1024 * 1024 * 1024;
    struct journal *journal = open_journal(&settings);
    while (journal_bytes(journal) < 6 * 1024 * 1024)
        cr_assert(append(journal));
    cr_assert_gt(atomic_load(&on_disk), 4 * 1024 * 1024 - 1);
    journal_close(journal);
    directory_remove(path);
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        uint8_t record[AUDIT_EVENT_MAX];
        char user[32];
        struct audit_event event = event_numbered(i, user);
        cr_assert(ring_push(exporter_ring(exporter, 0), view_of(record, audit_event_encode(&event, record))));
    }
    exporter_wake(exporter);
}

Test(sync, the_trail_says_that_the_disk_failed)
{
    char path[DIRECTORY_MAX], error[256] = "";
    struct exporter_trail trail;
    static uint8_t seen[100];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.fsync = EXPORTER_FSYNC_INTERVAL;
    settings.fsync_interval_ms = 10;
    struct exporter *exporter = exporter_open(&settings, error, sizeof(error));
    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    atomic_store(&drop, true);
    atomic_store(&failures, 100000); /* the state of the chain is synced, too, and has some of them */
    push(exporter, 0, 50);
    WAIT_FOR((exporter_trail(exporter, &trail), trail.sync_failures >= 5));
    atomic_store(&failures, 0);
    push(exporter, 50, 50);
    WAIT_FOR((exporter_trail(exporter, &trail), trail.sealed >= 101 && !trail.blocked));
    exporter_close(exporter, 1000);
    directory_check(path, seen, sizeof(seen));
    for (size_t i = 0; i < sizeof(seen); i++)
        cr_assert_eq(seen[i], 1, "event %zu is missing", i);
    cr_assert_geq(directory_actions(path, "audit-recovered"), 1);
    directory_remove(path);
}

/* ---- deleted files ---- */

Test(gone, a_segment_that_is_deleted_while_it_is_written_is_still_read)
{
    char path[DIRECTORY_MAX], found[256];
    struct journal_incidents incidents;
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    cr_assert_eq(directory_count(path, ".ndjson", found), 1);
    cr_assert_eq(unlink(found), 0);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    cr_assert_eq(directory_count(path, ".ndjson", NULL), 1);
    check_lines(journal, 10);
    cr_assert(journal_take_incidents(journal, &incidents));
    cr_assert_eq(incidents.displaced, 1);
    cr_assert_not(incidents.directory_made);
    journal_close(journal);
    directory_remove(path);
}

Test(gone, a_directory_that_is_deleted_is_made_anew_and_what_was_in_it_is_still_read)
{
    char path[DIRECTORY_MAX];
    struct journal_incidents incidents;
    struct stat status;
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.fsync = EXPORTER_FSYNC_INTERVAL;
    struct journal *journal = open_journal(&settings);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    directory_remove(path);
    cr_assert_eq(stat(path, &status), -1);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0700);
    check_lines(journal, 10);
    cr_assert(journal_take_incidents(journal, &incidents));
    cr_assert_eq(incidents.displaced, 1);
    cr_assert(incidents.directory_made);
    char error[256] = "";
    cr_assert_null(journal_open(&settings, error, sizeof(error)), "the new one is locked, too");
    journal_close(journal);
    directory_remove(path);
}

Test(gone, without_a_parent_the_lines_still_reach_the_readers)
{
    char parent[DIRECTORY_MAX], path[DIRECTORY_MAX + 8];
    directory_make(parent);
    snprintf(path, sizeof(path), "%s/audit", parent);
    cr_assert_eq(mkdir(path, 0700), 0);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    cr_assert(append(journal));
    directory_remove(path);
    directory_remove(parent);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(append(journal));
    check_lines(journal, 6);
    journal_close(journal);
}

/* Nothing is skipped while somebody may mend it; moved away, it is a gap, although it was open. */
Test(sync, a_segment_that_can_not_be_read_holds_up_until_it_is_back_or_moved_away)
{
    char path[DIRECTORY_MAX], name[DIRECTORY_MAX + JOURNAL_NAME_MAX + 16];
    struct journal_line line;
    struct stat status;
    size_t count;

    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.segment_bytes = 5000;
    struct journal *journal = open_journal(&settings);
    for (unsigned i = 0; i < 30; i++)
        cr_assert(append(journal));
    const struct journal_segment *segments = journal_segments(journal, &count);
    cr_assert_gt(count, 4);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    for (uint64_t sequence = 1; sequence < segments[1].first; sequence++)
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    snprintf(name, sizeof(name), "%s/journal-%016llx-%020llu.ndjson", path,
        (unsigned long long)segments[1].epoch, (unsigned long long)segments[1].first);
    cr_assert_eq(stat(name, &status), 0);
    atomic_store(&unreadable, status.st_ino);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_FAILED);
        cr_assert_eq(errno, EIO);
    }
    atomic_store(&unreadable, 0);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    cr_assert_eq(line.head.sequence, segments[1].first, "it goes on where it was");
    journal_reader_seek(reader, (struct journal_position){segments[1].epoch, segments[1].first, 0});
    atomic_store(&unreadable, status.st_ino);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_FAILED);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_DAMAGED);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    cr_assert_eq(line.head.sequence, segments[2].first);
    atomic_store(&unreadable, 0);
    journal_reader_free(reader);
    journal_close(journal);
    directory_remove(path);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's files: whole lines only, torn tails, reading from every place, failing disks. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory.h"
#include "event.h"

/* Appends count lines in one batch; returns how many the journal took. */
static size_t append(struct journal *journal, size_t count)
{
    struct buffer lines = {0};
    size_t *ends = calloc(count, sizeof(*ends));

    for (size_t i = 0; i < count; i++) {
        char user[32];
        struct record_seal seal = event_seal;
        seal.epoch = journal_epoch(journal);
        seal.sequence = journal_next_sequence(journal) + i;
        seal.sealed_us = journal_seal_time(journal);
        seal.origin = (struct record_origin){seal.epoch, 0, seal.sequence};
        struct audit_event event = event_numbered(seal.sequence, user);
        record_render(&lines, &event, &seal);
        ends[i] = buffer_length(&lines);
    }
    errno = 0;
    size_t whole = journal_append(journal, buffer_view(&lines), ends, count);
    buffer_release(&lines);
    free(ends);
    return whole;
}

static struct journal *open_journal(const struct journal_settings *settings)
{
    char error[256] = "";
    struct journal *journal = journal_open(settings, error, sizeof(error));

    cr_assert_not_null(journal, "%s", error);
    return journal;
}

Test(journal, lines_come_back_in_order_over_runs)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    uint64_t epochs[3];

    for (int run = 0; run < 3; run++) {
        struct journal *journal = open_journal(&settings);
        epochs[run] = journal_epoch(journal);
        cr_assert_eq(append(journal, 5), 5);
        cr_assert_eq(append(journal, 1), 1);
        journal_close(journal);
    }
    cr_assert(epochs[0] < epochs[1] && epochs[1] < epochs[2]);
    struct journal *journal = open_journal(&settings);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    struct journal_line line;
    for (unsigned i = 0; i < 18; i++) {
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        cr_assert_eq(line.head.epoch, epochs[i / 6]);
        cr_assert_eq(line.head.sequence, i % 6 + 1);
    }
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_END);
    cr_assert_eq(journal_position_compare(journal_reader_position(reader), journal_end(journal)), 0);
    journal_reader_free(reader);
    journal_close(journal);
    directory_remove(path);
}

/* One line that says that it was sealed at the time. */
Test(journal, no_segment_is_larger_than_it_may_be)
{
    for (int fsync = EXPORTER_FSYNC_ALWAYS; fsync <= EXPORTER_FSYNC_NEVER; fsync++) {
        char path[DIRECTORY_MAX];
        size_t count;
        directory_make(path);
        struct journal_settings settings = directory_journal(path);
        settings.fsync = (enum exporter_fsync)fsync;
        settings.segment_bytes = 10000;
        struct journal *journal = open_journal(&settings);
        for (unsigned i = 1; i <= 5; i++)
            cr_assert_eq(append(journal, i * 40), i * 40);
        const struct journal_segment *segments = journal_segments(journal, &count);
        cr_assert_gt(count, 20);
        for (size_t i = 0; i < count; i++) {
            cr_expect_leq(segments[i].bytes, 10000);
            cr_expect(i + 1 == count || segments[i].bytes > 7000, "only the last one has much room");
        }
        journal_close(journal);
        cr_expect_eq(directory_check(path, NULL, 0), 600);
        directory_remove(path);
    }
}

Test(journal, a_line_larger_than_a_segment_has_one_of_its_own)
{
    char path[DIRECTORY_MAX];
    size_t count;
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.segment_bytes = 1;
    struct journal *journal = open_journal(&settings);
    cr_assert_eq(append(journal, 7), 7);
    (void)journal_segments(journal, &count);
    cr_expect_eq(count, 7);
    journal_close(journal);
    cr_expect_eq(directory_check(path, NULL, 0), 7);
    directory_remove(path);
}

static void append_sealed(struct journal *journal, uint64_t sealed_us)
{
    struct buffer line = {0};
    struct audit_event event = event_full();
    struct record_seal seal = event_seal;

    seal.epoch = journal_epoch(journal);
    seal.sequence = journal_next_sequence(journal);
    seal.sealed_us = sealed_us;
    record_render(&line, &event, &seal);
    size_t end = buffer_length(&line);
    cr_assert_eq(journal_append(journal, buffer_view(&line), &end, 1), 1);
    buffer_release(&line);
}

Test(journal, stream_ids_only_grow_even_if_the_clock_went_back)
{
    static const uint64_t ahead_us[] = {0, 50, 3600 * UINT64_C(1000000), 86400 * 365 * UINT64_C(1000000)};

    for (size_t i = 0; i < sizeof(ahead_us) / sizeof(ahead_us[0]); i++) {
        char path[DIRECTORY_MAX];
        directory_make(path);
        struct journal_settings settings = directory_journal(path);
        struct journal *journal = open_journal(&settings);
        uint64_t sealed_us = clock_wall_us() + ahead_us[i], epoch = journal_epoch(journal);
        append_sealed(journal, sealed_us);
        journal_close(journal);
        journal = open_journal(&settings);
        /* Sequences begin anew, so the millisecond must be a later one. */
        cr_assert_gt(journal_seal_time(journal) / 1000, sealed_us / 1000);
        cr_assert_gt(journal_epoch(journal), epoch);
        journal_close(journal);
        directory_remove(path);
    }
}

Test(journal, a_second_process_is_refused_with_a_clear_message)
{
    char path[DIRECTORY_MAX], error[256] = "";
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    cr_assert_null(journal_open(&settings, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "another process"), "%s", error);
    journal_close(journal);
    journal = open_journal(&settings);
    journal_close(journal);
    directory_remove(path);
}

Test(journal, a_reader_starts_at_every_line)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.quota_bytes = JOURNAL_QUOTA_MIN;
    settings.segment_bytes = 5000;
    struct journal *journal = open_journal(&settings);
    struct journal_position places[61] = {JOURNAL_START};
    struct journal_line line;
    for (int i = 0; i < 20; i++)
        cr_assert_eq(append(journal, 3), 3);
    cr_assert_gt(directory_count(path, ".ndjson", NULL), 5);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    for (size_t i = 1; i <= 60; i++) {
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        places[i] = line.end;
    }
    for (size_t i = 0; i < 60; i++) {
        journal_reader_seek(reader, places[i]);
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        cr_assert_eq(line.head.sequence, i + 1);
    }
    journal_reader_free(reader);
    journal_close(journal);
    directory_remove(path);
}

/* ---- somebody else's hands on the segment that is written ---- */

static void delete_segment(const char *segment)
{
    cr_assert_eq(unlink(segment), 0);
}

static void move_segment(const char *segment)
{
    char moved[300];

    snprintf(moved, sizeof(moved), "%s.1", segment);
    cr_assert_eq(rename(segment, moved), 0);
}

static void empty_segment(const char *segment)
{
    cr_assert_eq(truncate(segment, 0), 0);
}

Test(journal, lines_behind_a_deleted_moved_or_emptied_segment_are_in_a_new_one)
{
    void (*const hands[])(const char *segment) = {delete_segment, move_segment, empty_segment};

    for (size_t i = 0; i < sizeof(hands) / sizeof(hands[0]); i++) {
        char path[DIRECTORY_MAX], segment[256];
        directory_make(path);
        struct journal_settings settings = directory_journal(path);
        struct journal *journal = open_journal(&settings);
        struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
        struct journal_line line;
        cr_assert_eq(append(journal, 2), 2);
        while (journal_reader_next(reader, &line) == JOURNAL_LINE)
            ;
        cr_assert_eq(directory_count(path, ".ndjson", segment), 1);
        hands[i](segment);
        cr_assert_eq(append(journal, 2), 2);
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        cr_assert_eq(line.head.sequence, 3);
        journal_reader_free(reader);
        journal_close(journal);
        journal = open_journal(&settings); /* and the next run finds them */
        reader = journal_reader_new(journal, JOURNAL_START);
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        cr_assert_eq(line.head.sequence, 3);
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
        cr_assert_eq(line.head.sequence, 4);
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_END);
        journal_reader_free(reader);
        journal_close(journal);
        directory_remove(path);
    }
}

Test(journal, lines_still_reach_a_reader_when_the_directory_is_gone)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    struct journal_line line;
    cr_assert_eq(append(journal, 1), 1);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    directory_remove(path);
    cr_assert_eq(append(journal, 1), 1);
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    cr_assert_eq(line.head.sequence, 2);
    journal_reader_free(reader);
    journal_close(journal);
}

/* ---- torn tails ---- */

static void write_file(const char *path, const uint8_t *bytes, size_t length)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert(descriptor != -1 && write(descriptor, bytes, length) == (ssize_t)length);
    close(descriptor);
}

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(descriptor, bytes, size);

    cr_assert(descriptor != -1 && length >= 0);
    close(descriptor);
    return (size_t)length;
}

static size_t count_lines(struct journal *journal)
{
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    struct journal_line line;
    size_t count = 0;

    while (journal_reader_next(reader, &line) == JOURNAL_LINE)
        count++;
    journal_reader_free(reader);
    return count;
}

/* Five lines; the segment's path and bytes. Returns the offset where the last two lines begin. */
static size_t make_segment(const char *path, char segment[256], uint8_t *bytes, size_t size, size_t *length)
{
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);

    cr_assert_eq(append(journal, 5), 5);
    journal_close(journal);
    cr_assert_eq(directory_count(path, ".ndjson", segment), 1);
    *length = read_file(segment, bytes, size);
    const uint8_t *end = bytes + *length;
    for (int i = 0; i < 3; i++)
        end = memrchr(bytes, '\n', (size_t)(end - bytes));
    return (size_t)(end - bytes) + 1;
}

Test(journal, a_tail_torn_at_any_byte_is_cut_and_kept_aside)
{
    static uint8_t bytes[65536], torn[65536];
    char path[DIRECTORY_MAX], segment[256], aside[300];
    size_t length;
    directory_make(path);
    size_t start = make_segment(path, segment, bytes, sizeof(bytes), &length);
    struct journal_settings settings = directory_journal(path);

    snprintf(aside, sizeof(aside), "%s.torn", segment);
    for (size_t cut = start; cut < length; cut++) {
        size_t whole = 0, kept = 0, repairs;
        for (size_t i = 0; i < cut; i++) {
            if (bytes[i] == '\n') {
                whole++;
                kept = i + 1;
            }
        }
        write_file(segment, bytes, cut);
        unlink(aside);
        struct journal *journal = open_journal(&settings);
        const struct journal_repair *repair = journal_repairs(journal, &repairs);
        cr_assert_eq(repairs, cut > kept, "cut at %zu", cut);
        cr_assert(repairs == 0 || repair->bytes == cut - kept);
        cr_assert_eq(count_lines(journal), whole, "cut at %zu", cut);
        journal_close(journal);
        if (cut > kept) {
            cr_assert_eq(read_file(aside, torn, sizeof(torn)), cut - kept);
            cr_assert_arr_eq(torn, bytes + kept, cut - kept);
        }
    }
    directory_remove(path);
}

static void check_tail(const char *what, const uint8_t *tail, size_t tail_length, size_t lines)
{
    static uint8_t bytes[4 * 1024 * 1024];
    char path[DIRECTORY_MAX], segment[256];
    size_t length, repairs;
    directory_make(path);
    make_segment(path, segment, bytes, sizeof(bytes), &length);
    memcpy(bytes + length, tail, tail_length);
    write_file(segment, bytes, length + tail_length);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);

    cr_expect_eq(count_lines(journal), lines, "%s", what);
    journal_repairs(journal, &repairs);
    cr_expect_eq(repairs, 1, "%s", what);
    cr_expect_eq(append(journal, 2), 2);
    journal_close(journal);
    cr_expect_eq(directory_check(path, NULL, 0), lines + 2, "%s", what);
    directory_remove(path);
}

Test(journal, a_tail_that_is_no_line_is_cut)
{
    static uint8_t zeros[3 * 1024 * 1024];

    check_tail("megabytes of zeros, as a power cut leaves", zeros, sizeof(zeros), 5);
    check_tail("a newline", (const uint8_t *)"\n", 1, 5);
    check_tail("other JSON", (const uint8_t *)"{\"a\":1}\n{\"b\":2}\n", 16, 5);
    check_tail("binary", (const uint8_t *)"\xff\x00\n\n\x01\n", 6, 5);
}

Test(journal, a_segment_without_one_whole_line_goes)
{
    char path[DIRECTORY_MAX], segment[256];
    static uint8_t bytes[65536];
    size_t length;
    directory_make(path);
    make_segment(path, segment, bytes, sizeof(bytes), &length);
    write_file(segment, bytes, 100);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    cr_assert_eq(count_lines(journal), 0);
    cr_assert_eq(access(segment, F_OK), -1);
    journal_close(journal);
    directory_remove(path);
}

Test(journal, a_damaged_line_in_the_middle_is_said_and_skipped)
{
    char path[DIRECTORY_MAX], segment[256];
    static uint8_t bytes[65536];
    size_t length;
    directory_make(path);
    size_t start = make_segment(path, segment, bytes, sizeof(bytes), &length);
    bytes[start - 20] = '\0'; /* in the third of five */
    write_file(segment, bytes, length);
    struct journal_settings settings = directory_journal(path);
    struct journal *journal = open_journal(&settings);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    static const enum journal_read expected[] = {
        JOURNAL_LINE, JOURNAL_LINE, JOURNAL_DAMAGED, JOURNAL_LINE, JOURNAL_LINE, JOURNAL_END};
    struct journal_line line;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_assert_eq(journal_reader_next(reader, &line), expected[i], "step %zu", i);
    journal_reader_free(reader);
    journal_close(journal);
    directory_remove(path);
}

/* ---- failing disks ---- */

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* RLIMIT_FSIZE makes a write short and the next one fail, as a full disk does. Criterion forks, so the limit
 * is ours. */
Test(journal, a_short_write_leaves_whole_lines_and_goes_on_when_there_is_room)
{
    static const enum exporter_fsync policies[] = {EXPORTER_FSYNC_ALWAYS, EXPORTER_FSYNC_NEVER};

    for (size_t i = 0; i < 2; i++) {
        char path[DIRECTORY_MAX];
        directory_make(path);
        struct journal_settings settings = directory_journal(path);
        settings.fsync = policies[i];
        struct journal *journal = open_journal(&settings);
        limit_file_size(10000);
        size_t taken = append(journal, 50);
        cr_assert(taken > 0 && taken < 50, "%zu lines fit", taken);
        cr_assert_neq(errno, 0);
        for (int again = 0; again < 5; again++) {
            cr_assert_eq(append(journal, 50), 0);
            cr_assert_eq(errno, EFBIG);
        }
        limit_file_size(RLIM_INFINITY);
        cr_assert_eq(append(journal, 50), 50);
        journal_close(journal);
        cr_assert_eq(directory_check(path, NULL, 0), taken + 50);
        directory_remove(path);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's hands on the journal's files while it is written: lines that were taken stay, and are read
 * where they are. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "directory.h"
#include "event.h"

static char path[DIRECTORY_MAX];
static struct journal_settings settings;
static struct journal *journal;

static void open_it(void)
{
    char error[256] = "";

    journal = journal_open(&settings, error, sizeof(error));
    cr_assert_not_null(journal, "%s", error);
}

static void begin(void)
{
    directory_make(path);
    settings = directory_journal(path);
}

static void end(void)
{
    directory_remove(path);
}

TestSuite(journal_hands, .init = begin, .fini = end);

static size_t append(size_t count)
{
    struct buffer lines = {0};
    size_t ends[64];
    char user[32];

    for (size_t i = 0; i < count; i++) {
        struct record_seal seal = event_seal;
        seal.epoch = journal_epoch(journal);
        seal.sequence = journal_next_sequence(journal) + i;
        seal.sealed_us = journal_seal_time(journal);
        seal.origin = (struct record_origin){seal.epoch, 0, seal.sequence};
        struct audit_event event = event_numbered(seal.sequence, user);
        record_render(&lines, &event, &seal);
        ends[i] = buffer_length(&lines);
    }
    size_t whole = journal_append(journal, buffer_view(&lines), ends, count);
    buffer_release(&lines);
    return whole;
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* To the newest segment. */
static void append_foreign(const char *bytes)
{
    char command[512];

    snprintf(
        command, sizeof(command), "cd %s && printf '%s' >> $(ls journal-*.ndjson | tail -1)", path, bytes);
    cr_assert_eq(system(command), 0);
}

/* The lines come one after the other, and nothing else. */
static void expect_lines(uint64_t count)
{
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    struct journal_line line;

    for (uint64_t i = 1; i <= count; i++) {
        cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE, "line %llu", (unsigned long long)i);
        cr_assert_eq(line.head.sequence, i);
    }
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_END);
    journal_reader_free(reader);
}

static uint64_t displaced(void)
{
    struct journal_incidents incidents;

    return journal_take_incidents(journal, &incidents) ? incidents.displaced : 0;
}

Test(journal_hands, foreign_bytes_behind_the_last_line_cost_no_line)
{
    static const enum exporter_fsync policies[] = {
        EXPORTER_FSYNC_NEVER, EXPORTER_FSYNC_ALWAYS, EXPORTER_FSYNC_INTERVAL};

    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        settings.fsync = policies[i];
        open_it();
        cr_assert_eq(append(3), 3);
        append_foreign("x");
        cr_assert_eq(append(3), 3);
        cr_assert_eq(displaced(), 1);
        append_foreign("{\"forged\":1}\\n");
        /* A disk that is full cuts what it did not take, and nothing else. */
        limit_file_size(20);
        cr_assert_eq(append(3), 0);
        limit_file_size(RLIM_INFINITY);
        cr_assert_eq(append(4), 4);
        cr_assert_eq(displaced(), 1);
        expect_lines(10);
        journal_close(journal);
        open_it();
        expect_lines(10);
        journal_close(journal);
        cr_assert_eq(directory_check(path, NULL, 0), 10);
        cr_assert_eq(directory_count(path, ".torn", NULL), 2, "what is not ours is kept aside");
        directory_remove(path);
        directory_make(path);
        settings.directory = path;
    }
}

Test(journal_hands, foreign_bytes_behind_a_short_write_cost_no_line)
{
    open_it();
    cr_assert_eq(append(10), 10);
    uint64_t bytes = journal_bytes(journal);
    limit_file_size(bytes + bytes / 4);
    size_t taken = append(10);
    cr_assert(taken > 0 && taken < 10);
    limit_file_size(RLIM_INFINITY);
    append_foreign("some bytes more");
    cr_assert_eq(append(10), 10);
    expect_lines(20 + taken);
    journal_close(journal);
}

Test(journal_hands, what_has_the_name_of_the_next_segment_is_set_aside)
{
    char command[512];

    open_it();
    snprintf(command, sizeof(command), "echo '{\"forged\":1}' > %s/journal-%016llx-%020d.ndjson", path,
        (unsigned long long)journal_epoch(journal), 1);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(append(5), 5);
    cr_assert_eq(displaced(), 1);
    expect_lines(5);
    journal_close(journal);
    cr_assert_eq(directory_count(path, ".ndjson.damaged-", NULL), 1);
}

Test(journal_hands, a_deleted_lock_file_lets_nobody_in)
{
    char lock[128], error[256] = "";

    open_it();
    snprintf(lock, sizeof(lock), "%s/lock", path);
    cr_assert_eq(unlink(lock), 0);
    cr_assert_null(journal_open(&settings, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "another process"), "%s", error);
    journal_close(journal);
}

/* ---- names and lines that lie about the time, without a chain that knows better ---- */

Test(journal_hands, a_segment_of_the_end_of_time_is_not_believed)
{
    char command[512];
    size_t repairs;

    open_it();
    cr_assert_eq(append(5), 5);
    uint64_t epoch = journal_epoch(journal);
    journal_close(journal);
    snprintf(command, sizeof(command),
        "cd %s && sed 's/%016llx/ffffffffffffffff/g; s/\"created\":\"2/\"created\":\"9/' journal-* > "
        "journal-ffffffffffffffff-%020d.ndjson",
        path, (unsigned long long)epoch, 1);
    cr_assert_eq(system(command), 0);
    for (int start = 0; start < 2; start++) {
        open_it();
        const struct journal_repair *repair = journal_repairs(journal, &repairs);
        cr_assert_eq(repairs, start == 0);
        cr_assert(start > 0 || repair->aside);
        cr_assert(journal_epoch(journal) > epoch && journal_epoch(journal) - epoch < UINT64_C(100) << 32);
        cr_assert_lt(journal_seal_time(journal), UINT64_C(4000000000000000));
        expect_lines(5);
        journal_close(journal);
    }
    cr_assert_eq(directory_count(path, ".damaged-", NULL), 1);
}

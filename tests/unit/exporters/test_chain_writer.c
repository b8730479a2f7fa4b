/* SPDX-License-Identifier: Apache-2.0 */
/* Batches that the journal does not take, or not all of: keys move over what it has, and over nothing else.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "chain_follow.h"
#include "event.h"
#include "exporters/chain_writer.h"

static char path[DIRECTORY_MAX];
static struct exporter_settings settings;
static struct journal *journal;
static struct chain_writer *writer;
static struct buffer lines;
static size_t ends[64], count;
static uint64_t number;

static void open_both(void)
{
    char error[256] = "";
    struct journal_settings journal_settings = directory_journal(path);

    journal_settings.fsync = settings.fsync;
    journal = journal_open(&journal_settings, error, sizeof(error));
    cr_assert_not_null(journal, "%s", error);
    writer = chain_writer_open(&settings, journal, error, sizeof(error));
    cr_assert_not_null(writer, "%s", error);
    cr_assert_eq(chain_writer_recovery(writer)->break_count, 0);
}

static void close_both(void)
{
    chain_writer_close(writer);
    journal_close(journal);
}

static void begin(void)
{
    directory_make(path);
    settings = directory_settings(path);
    settings.chain = (struct exporter_chain){NULL, 10, 60000};
    open_both();
}

static void end(void)
{
    buffer_release(&lines);
    directory_remove(path);
}

TestSuite(chain_writer, .init = begin, .fini = end);

static void add(
    const struct audit_event *event, const struct record_checkpoint *checkpoint, uint64_t sealed_us)
{
    struct record_seal seal = event_seal;
    size_t from = buffer_length(&lines);

    seal.epoch = journal_epoch(journal);
    seal.sequence = journal_next_sequence(journal) + count;
    seal.sealed_us = sealed_us;
    seal.checkpoint = checkpoint;
    record_render(&lines, event, &seal);
    chain_writer_seal(writer, &lines, from, checkpoint != NULL);
    ends[count++] = buffer_length(&lines);
}

static void add_checkpoint(void)
{
    struct chain_checkpoint checkpoint;
    struct audit_event event = {
        .action = AUDIT_checkpoint, .reason = REASON_checkpoint, .disposition = AUDIT_INFORMED};

    event.wall_us = journal_seal_time(journal);
    chain_writer_checkpoint(writer, event.wall_us, &checkpoint);
    add(&event, &checkpoint.record, event.wall_us);
}

/* A batch of so many events, and the checkpoints that are due between them. */
static void seal(size_t events)
{
    char user[32];

    buffer_clear(&lines);
    count = 0;
    chain_writer_begin(writer, journal_seal_time(journal));
    if (chain_writer_is_due(writer))
        add_checkpoint();
    for (size_t i = 0; i < events; i++) {
        struct audit_event event = event_numbered(number++, user);
        add(&event, NULL, journal_seal_time(journal));
        if (chain_writer_is_due(writer))
            add_checkpoint();
    }
}

static void commit(size_t whole)
{
    chain_writer_commit(writer, buffer_view(&lines), ends, count, whole);
}

/* What the file has may grow by so many bytes, and no more: the rest of a write is short, as on a full disk.
 */
static size_t append_within(uint64_t bytes)
{
    struct rlimit before, limit;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){journal_end(journal).offset + bytes, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    size_t whole = journal_append(journal, buffer_view(&lines), ends, count);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    return whole;
}

static void check(size_t wanted)
{
    uint8_t key[CHAIN_KEY_SIZE];

    chain_key_of(path, key);
    cr_assert_eq(chain_follow_whole(path, key).lines, wanted);
}

Test(chain_writer, a_batch_that_fails_and_is_tried_again_moves_nothing_twice)
{
    for (int i = 0; i < 5; i++) {
        seal(7);
        cr_assert_eq(append_within(0), 0);
        commit(0);
        seal(7); /* others: the time has gone on */
        cr_assert_eq(append_within(10), 0);
        commit(0);
        seal(3);
        cr_assert_eq(append_within(UINT32_MAX), count);
        commit(count);
    }
    close_both();
    /* The first one, fifteen events, and one after the tenth. */
    check(1 + 15 + 1);
    open_both();
    close_both();
}

Test(chain_writer, the_part_of_a_batch_that_got_in_is_part_of_the_chain)
{
    size_t total = 0;

    /* Every length, so that the cut is before, behind and on a checkpoint. */
    for (size_t part = 0; part < 24; part++) {
        seal(23);
        size_t whole = append_within(part == 0 ? 0 : ends[part - 1] + part % 3);
        cr_assert_eq(whole, part);
        commit(whole);
        total += whole;
    }
    close_both();
    check(total);
    open_both();
    seal(5);
    cr_assert_eq(append_within(UINT32_MAX), count);
    commit(count);
    total += count;
    close_both();
    check(total);
}

/* With fsync: always and a disk that fails, nothing of the batch counts, though it is in the file for a
 * moment. A death before it is cut leaves it there: then it holds. */
Test(chain_writer, lines_that_were_written_and_not_counted_hold_if_a_death_leaves_them)
{
    seal(5);
    cr_assert_eq(append_within(UINT32_MAX), 6);
    commit(6);
    seal(4);
    cr_assert_eq(append_within(UINT32_MAX), 4);
    commit(0); /* as the journal says when the sync fails */
    close_both();
    check(10);
    open_both();
    cr_assert_eq(chain_writer_recovery(writer)->moved, 4);
    seal(1);
    cr_assert_eq(append_within(UINT32_MAX), count);
    commit(count);
    close_both();
    check(12);
}

Test(chain_writer, a_death_at_every_step_of_a_batch_leaves_one_chain)
{
    char command[512];

    /* 0: before the append, 1: behind it, 2: behind the commit. */
    for (int step = 0; step < 9; step++) {
        seal(12);
        if (step % 3 > 0)
            cr_assert_eq(append_within(UINT32_MAX), count);
        if (step % 3 > 1)
            commit(count);
        /* What the files are now is what a killed process leaves. */
        snprintf(command, sizeof(command),
            "cp -r %s %s.died && rm -r %s/* && cp -r %s.died/* %s/ && rm -r %s.died", path, path, path, path,
            path, path);
        cr_assert_eq(system(command), 0);
        close_both();
        open_both();
        cr_assert_eq(chain_writer_recovery(writer)->moved, step % 3 == 1 ? 14 : 0);
    }
    seal(1);
    cr_assert_eq(append_within(UINT32_MAX), count);
    commit(count);
    close_both();
    check(6 * 14 + 2);
}

Test(chain_writer, a_checkpoint_by_time_is_one_and_not_one_a_line)
{
    chain_writer_close(writer);
    journal_close(journal);
    settings.chain = (struct exporter_chain){NULL, 0, 1000};
    open_both();
    seal(3);
    cr_assert_eq(append_within(UINT32_MAX), 4);
    commit(4);
    usleep(1100000);
    uint64_t since = clock_monotonic_ms();
    seal(5); /* the fourth line is due, and those behind it are not */
    cr_assert_eq(count, 6);
    cr_assert_eq(append_within(UINT32_MAX), 6);
    commit(6);
    seal(0);
    cr_assert(count == 0 || clock_monotonic_ms() - since >= 1000, "those five are not due yet");
    close_both();
    check(10);
}

/* A machine that sleeps or stands still: only event.created, which is all that others see, goes on. */
Test(chain_writer, a_line_that_has_waited_by_the_wall_clock_makes_a_checkpoint_due)
{
    seal(1);
    const uint64_t sealed_us = journal_seal_time(journal);
    cr_assert_eq(journal_append(journal, buffer_view(&lines), ends, count), count);
    commit(count);
    cr_assert(chain_writer_has_unsigned(writer));
    chain_writer_begin(writer, sealed_us + 50 * UINT64_C(1000000));
    cr_assert_not(chain_writer_is_due(writer));
    chain_writer_begin(writer, sealed_us + 60 * UINT64_C(1000000));
    cr_assert(chain_writer_is_due(writer));
    buffer_clear(&lines);
    count = 0;
    add_checkpoint();
    cr_assert_not(chain_writer_is_due(writer));
    struct audit_event event = event_plain();
    add(&event, NULL, journal_seal_time(journal));
    cr_assert_not(chain_writer_is_due(writer), "it waits since its own time");
    close_both();
}

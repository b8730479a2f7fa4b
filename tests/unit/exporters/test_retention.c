/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation, retention and the quota of the journal. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory.h"
#include "event.h"

static size_t append_bytes(struct journal *journal, size_t count)
{
    struct buffer lines = {0};
    size_t ends[64];
    char text[1000];

    cr_assert_leq(count, 64);
    memset(text, 'd', sizeof(text));
    for (size_t i = 0; i < count; i++) {
        struct record_seal seal = event_seal;
        struct audit_event event = event_full();
        seal.epoch = journal_epoch(journal);
        seal.sequence = journal_next_sequence(journal) + i;
        seal.sealed_us = journal_seal_time(journal);
        seal.origin = (struct record_origin){seal.epoch, 0, seal.sequence};
        event.detail = view_of(text, sizeof(text));
        record_render(&lines, &event, &seal);
        ends[i] = buffer_length(&lines);
    }
    size_t whole = journal_append(journal, buffer_view(&lines), ends, count);
    buffer_release(&lines);
    return whole;
}

static struct journal *open_small(const char *path)
{
    char error[256] = "";
    struct journal_settings settings = directory_journal(path);

    settings.quota_bytes = JOURNAL_QUOTA_MIN;
    settings.segment_bytes = 100000;
    struct journal *journal = journal_open(&settings, error, sizeof(error));
    cr_assert_not_null(journal, "%s", error);
    return journal;
}

/* Appends until the journal refuses; returns how many lines it took. */
static size_t fill(struct journal *journal)
{
    size_t total = 0, taken;

    do {
        taken = append_bytes(journal, 16);
        total += taken;
        cr_assert_lt(total, 10000, "the quota holds");
    } while (taken == 16);
    cr_assert_eq(errno, EDQUOT);
    cr_assert_eq(append_bytes(journal, 16), 0, "and no part of a batch");
    return total;
}

Test(retention, segments_rotate_at_their_size)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_small(path);
    size_t count;
    for (int i = 0; i < 20; i++)
        cr_assert_eq(append_bytes(journal, 8), 8);
    const struct journal_segment *segments = journal_segments(journal, &count);
    cr_assert_gt(count, 3);
    for (size_t i = 0; i < count; i++)
        cr_assert_leq(segments[i].bytes, 100000);
    journal_close(journal);
    cr_assert_eq(directory_check(path, NULL, 0) > 0, true);
    directory_remove(path);
}

Test(retention, without_sinks_the_oldest_goes_when_the_quota_is_reached)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_small(path);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(append_bytes(journal, 16), 16);
    cr_assert_leq(journal_bytes(journal), JOURNAL_QUOTA_MIN);
    cr_assert_gt(journal_bytes(journal), JOURNAL_QUOTA_MIN / 2);
    journal_close(journal);
    directory_remove(path);
}

Test(retention, what_a_sink_has_not_confirmed_stays_and_fills_the_quota)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_small(path);
    size_t count;
    journal_set_floor(journal, JOURNAL_START);
    size_t lines = fill(journal);
    cr_assert_leq(journal_bytes(journal), JOURNAL_QUOTA_MIN);
    const struct journal_segment *segments = journal_segments(journal, &count);
    cr_assert_eq(segments[0].first, 1, "nothing was deleted");

    /* The sink confirms half of the second segment: only the first may go. */
    journal_set_floor(
        journal, (struct journal_position){segments[1].epoch, segments[1].first, segments[1].bytes / 2});
    uint64_t second = segments[1].first;
    size_t more = fill(journal);
    cr_assert_gt(more, 0);
    segments = journal_segments(journal, &count);
    cr_assert_eq(segments[0].first, second);

    journal_set_floor(journal, journal_end(journal));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(append_bytes(journal, 16), 16);
    cr_assert_eq(journal_next_sequence(journal), lines + more + 49);
    journal_close(journal);
    directory_remove(path);
}

Test(retention, a_confirmed_segment_goes_when_it_is_old_and_an_unconfirmed_one_does_not)
{
    char path[DIRECTORY_MAX], error[256];
    directory_make(path);
    struct journal_settings settings = directory_journal(path);
    settings.retention_ms = 30;
    struct journal *journal = journal_open(&settings, error, sizeof(error));
    cr_assert_eq(append_bytes(journal, 4), 4);
    journal_set_floor(journal, JOURNAL_START);
    usleep(100000);
    journal_retain(journal);
    cr_assert_gt(journal_bytes(journal), 0, "no sink has it");
    journal_set_floor(journal, journal_end(journal));
    journal_retain(journal);
    cr_assert_eq(journal_bytes(journal), 0);
    cr_assert_eq(directory_count(path, ".ndjson", NULL), 0);
    cr_assert_eq(append_bytes(journal, 4), 4);
    cr_assert_eq(journal_next_sequence(journal), 9, "the sequence goes on");
    journal_close(journal);
    directory_remove(path);
}

Test(retention, a_reader_goes_on_behind_what_was_deleted)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_small(path);
    struct journal_line line;
    size_t count;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(append_bytes(journal, 16), 16);
    const struct journal_segment *segments = journal_segments(journal, &count);
    struct journal_reader *reader =
        journal_reader_new(journal, (struct journal_position){journal_epoch(journal), 1, 500});
    cr_assert_eq(journal_reader_next(reader, &line), JOURNAL_LINE);
    cr_assert_eq(line.head.sequence, segments[0].first);
    journal_reader_free(reader);
    journal_close(journal);
    directory_remove(path);
}

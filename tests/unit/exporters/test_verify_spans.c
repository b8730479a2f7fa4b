/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints that are due in copies whose lines stand in any order: by number and by time, whatever comes
 * late. And copies that have more than the proxy has kept. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../rounds.h"
#include "trail.h"

#define ORDERS 60

#define SECOND UINT64_C(1000000)

static struct verify *verify_copy(const struct trail *trail)
{
    struct verify_options options = trail_options(trail);

    options.repeats = options.any_order = true;
    return trail_verify(trail, &options);
}

/* VERIFY_KIND_COUNT: none. */
static enum verify_kind first_kind(const struct trail *trail)
{
    struct verify *verify = verify_copy(trail);
    const struct verify_finding *first = trail_first(verify);
    enum verify_kind kind = first == NULL ? VERIFY_KIND_COUNT : first->kind;

    if (first != NULL)
        printf("%s: %s\n", verify_kind_name(kind), first->text);
    verify_free(verify);
    return kind;
}

static void expect(const struct trail *trail, enum verify_kind kind, const char *what)
{
    enum verify_kind found = first_kind(trail);

    cr_assert_eq(
        found, kind, "%s: %s", what, found == VERIFY_KIND_COUNT ? "nothing" : verify_kind_name(found));
}

/* So many lines, so many seconds apart; a checkpoint behind each every-th one, if there is a key for it. */
static void add_slowly(struct trail *trail, struct trail_writer *writer, int lines, int seconds, int every)
{
    for (int i = 1; i <= lines; i++) {
        writer->wall_us += (uint64_t)seconds * SECOND;
        trail_event(trail, writer);
        if (every > 0 && i % every == 0)
            trail_checkpoint(trail, writer);
    }
}

/* Two neighbours change places, now and then. */
static void swap(struct trail *trail, size_t from, size_t every)
{
    for (size_t i = from; i + 1 < trail->count; i += every)
        trail_move(trail, i, i + 1);
}

/* The limit is two intervals of sixty seconds, and a minute: a line each fifty seconds breaks it. */
Test(spans, late_lines_make_no_checkpoint_less_due_by_time)
{
    for (int forged = 0; forged < 2; forged++) {
        for (size_t every = 2; every < 5; every++) {
            struct trail *trail = trail_new(1000);
            trail_start(trail, 10);
            trail_begin(trail, &trail->writer);
            add_slowly(trail, &trail->writer, 30, 50, forged ? 0 : 2);
            swap(trail, 12, every);
            expect(trail, forged ? VERIFY_CHECKPOINT_OVERDUE : VERIFY_KIND_COUNT, "swapped");
            trail_free(trail);
        }
    }
}

/* All of it stands behind lines of a later start, or in front of all others. */
Test(spans, lines_of_another_start_are_due_by_time_as_well)
{
    for (int front = 0; front < 2; front++) {
        for (int forged = 0; forged < 2; forged++) {
            struct trail *trail = trail_new(1000);
            trail_start(trail, 10);
            trail_begin(trail, &trail->writer);
            add_slowly(trail, &trail->writer, 30, 50, forged ? 0 : 2);
            size_t end = trail->count;
            trail_checkpoint(trail, &trail->writer);
            trail_start(trail, 10);
            for (size_t from = front ? 0 : 12, i = from; i < end; i++)
                trail_move(trail, from, trail->count - 1);
            expect(trail, forged ? VERIFY_CHECKPOINT_OVERDUE : VERIFY_KIND_COUNT, front ? "front" : "behind");
            trail_free(trail);
        }
    }
}

static void shuffle(struct trail *trail, size_t from, unsigned seed)
{
    for (size_t i = from; i < trail->count; i++) {
        size_t left = trail->count - i;
        trail_move(trail, i + (size_t)rand_r(&seed) % left, i);
    }
}

/* trail_move() to a place in front shifts the others back. */
Test(spans, every_order_gives_the_same_answer, .timeout = 100)
{
    for (size_t i = 0, begin = rounds_begin("spans", ORDERS); i < rounds_of(ORDERS); i++) {
        const unsigned seed = (unsigned)((begin + i) % ORDERS);
        for (int forged = 0; forged < 3; forged++) { /* not, by number, by time */
            struct trail *trail = trail_new(10);
            struct trail_writer thief;
            trail_start(trail, 20);
            trail_begin(trail, &trail->writer);
            thief = trail->writer;
            thief.interval = forged == 0 ? 10 : 0;
            add_slowly(trail, &thief, forged == 2 ? 10 : 31, forged == 2 ? 25 : 1, 0);
            thief.interval = 10;
            trail_checkpoint(trail, &thief);
            shuffle(trail, 1, seed);
            expect(trail, forged ? VERIFY_CHECKPOINT_OVERDUE : VERIFY_KIND_COUNT, "shuffled");
            trail_free(trail);
        }
    }
}

/* A machine that slept, or a clock that was set, once. */
Test(spans, one_step_of_time_makes_none_overdue_in_any_order)
{
    for (int steps = 0; steps < 3; steps++) {
        struct trail *trail = trail_new(1000);
        trail_start(trail, 10);
        trail_begin(trail, &trail->writer);
        for (int i = 0; i <= steps; i++) {
            add_slowly(trail, &trail->writer, 4, 5, 0);
            trail->writer.wall_us += i < steps ? 3600 * 24 * SECOND : 0;
        }
        trail_checkpoint(trail, &trail->writer);
        swap(trail, 12, 2);
        expect(trail, steps < 2 ? VERIFY_KIND_COUNT : VERIFY_CHECKPOINT_OVERDUE, "steps");
        trail_free(trail);
    }
}

/* The configuration was changed between two starts, and the line that says so comes late. */
Test(spans, the_interval_of_a_start_is_what_its_own_checkpoints_say)
{
    for (int forged = 0; forged < 2; forged++) {
        struct trail *trail = trail_new(10);
        trail_start(trail, 30);
        trail->writer.interval = 100;
        trail_begin(trail, &trail->writer);
        trail->writer.interval = forged ? 0 : 100;
        add_slowly(trail, &trail->writer, 90 + 20 * forged, 0, 0);
        trail->writer.interval = 100;
        trail_checkpoint(trail, &trail->writer);
        size_t first = 30;
        cr_assert_not_null(strstr(trail->lines[first].text, "\"action\":\"checkpoint\""));
        trail_move(trail, first, first + 60);
        expect(trail, forged ? VERIFY_CHECKPOINT_OVERDUE : VERIFY_KIND_COUNT, "its first line late");
        trail_free(trail);
    }
}

/* Checkpoints that go another way than the other lines, and come behind them. */
Test(spans, thousands_of_checkpoints_that_come_last, .timeout = 100)
{
    struct trail *trail = trail_new(5), *copies[2];
    trail_begin(trail, &trail->writer);
    while (trail->count < 7200)
        trail_event(trail, &trail->writer);
    trail_checkpoint(trail, &trail->writer);
    for (int forged = 0; forged < 2; forged++) {
        size_t kept = 0;
        copies[forged] = trail_copy(trail);
        trail_remove(copies[forged], 1, trail->count - 1);
        for (int pass = 0; pass < 2; pass++) {
            for (size_t i = 1; i < trail->count; i++) {
                bool checkpoint = strstr(trail->lines[i].text, "\"action\":\"checkpoint\"") != NULL;
                if (checkpoint == (pass == 1) && !(forged && checkpoint && kept++ == 700))
                    trail_insert(
                        copies[forged], copies[forged]->count, trail->lines[i].text, trail->lines[i].length);
            }
        }
        struct verify *verify = verify_copy(copies[forged]);
        cr_assert_eq(
            verify_summary(verify)->findings, (uint64_t)forged, "%" PRIu64, verify_summary(verify)->findings);
        cr_assert(!forged || trail_first(verify)->kind == VERIFY_MISSING);
        verify_free(verify);
        trail_free(copies[forged]);
    }
    trail_free(trail);
}

/* Starts in front of all that is here: the first of them may have lost its beginning to retention, no other
 * one. Somebody with an old state of the chain has no checkpoints for any. */
Test(spans, a_start_in_front_has_its_first_line)
{
    for (int forged = 0; forged < 2; forged++) {
        struct trail *trail = trail_new(100);
        trail_start(trail, 20);
        struct trail_writer thief = trail->writer;
        trail_start(trail, 20);
        trail_start(trail, 20);
        struct trail *copy = trail_copy(trail);
        trail_remove(copy, 0, 40); /* start 3, and behind it what is older */
        for (size_t i = 12; i < (forged ? 20 : 40); i++)
            trail_insert(copy, copy->count, trail->lines[i].text, trail->lines[i].length);
        if (forged) {
            trail_begin(copy, &thief);
            trail_remove(copy, copy->count - 1, 1);
            for (int i = 0; i < 20; i++)
                trail_event(copy, &thief);
        }
        expect(copy, forged ? VERIFY_CHECKPOINT_OVERDUE : VERIFY_KIND_COUNT, "in front");
        trail_free(copy);
        trail_free(trail);
    }
}

/* ---- more than the proxy has ---- */

/* The sink has 40 lines of a start, and the disk kept 25 of them: the next start follows on those. */
static struct trail *make_forked(struct trail_writer *back)
{
    struct trail *trail = trail_new(10);

    trail_begin(trail, &trail->writer);
    while (trail->count < 40) {
        if (trail->count == 25)
            *back = trail->writer;
        trail_event(trail, &trail->writer);
    }
    return trail;
}

Test(forks, a_copy_has_more_than_the_disk_of_the_proxy_had_after_a_power_cut)
{
    for (int keyless = 0; keyless < 2; keyless++) {
        struct trail_writer back;
        struct trail *trail = make_forked(&back);
        struct verify_options options = trail_options(trail);
        trail_begin(trail, &back);
        trail_event(trail, &back);
        options.repeats = true;
        options.key = keyless ? NULL : options.key;
        struct verify *verify = trail_verify(trail, &options);
        const struct verify_finding *first = trail_first(verify);
        cr_assert_not_null(first);
        cr_assert_eq(first->kind, VERIFY_FORKED, "%s", first->text);
        cr_assert_eq(first->line, 41);
        cr_assert_eq(first->count, 15);
        cr_assert_not_null(strstr(first->text, "-25; -26 to -40 are here"), "%s", first->text);
        cr_assert_not_null(strstr(first->text, "the checkpoint -34 is its own"), "%s", first->text);
        cr_assert_eq(verify_summary(verify)->findings, 1);
        verify_free(verify);
        trail_free(trail);
    }
}

Test(forks, the_same_where_the_first_line_of_the_next_start_comes_late)
{
    struct trail_writer back;
    struct trail *trail = make_forked(&back);
    trail_begin(trail, &back);
    trail_event(trail, &back);
    trail_event(trail, &back);
    trail_move(trail, 40, 42);
    struct verify *verify = verify_copy(trail);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_FORKED, "%s", trail_first(verify)->text);
    verify_free(verify);
    trail_free(trail);
}

/* What is missing is still told from that. */
Test(forks, lines_that_were_cut_off_are_no_fork)
{
    struct trail *trail = trail_new(10);
    trail_start(trail, 30);
    trail_start(trail, 10);
    trail_remove(trail, 25, 5);
    expect(trail, VERIFY_CUT, "cut");
    trail_free(trail);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Copies in any order: whole starts that come late, lines that come late beside a checkpoint, more holes than
 * are kept. What is all there holds, however it stands; what is not is found, however it stands. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../rounds.h"
#include "trail.h"

#define STARTS 8
#define LATE 400
#define MISSING 200

static struct verify *verify_copy(const struct trail *trail)
{
    struct verify_options options = trail_options(trail);

    options.repeats = options.any_order = true;
    return trail_verify(trail, &options);
}

/* All of it is there, and so many starts are counted. */
static void expect_holds(const struct trail *trail, uint64_t starts, const char *what, size_t round)
{
    struct verify *verify = verify_copy(trail);
    const struct verify_finding *first = trail_first(verify);

    cr_assert_null(first, "%s %zu: %s: %s", what, round, verify_kind_name(first->kind), first->text);
    cr_assert_eq(verify_summary(verify)->findings, 0);
    cr_assert_eq(verify_summary(verify)->lines, trail->count);
    cr_assert_eq(verify_summary(verify)->starts, starts, "%s %zu: %" PRIu64, what, round,
        verify_summary(verify)->starts);
    verify_free(verify);
}

static void expect_found(const struct trail *trail, const char *what, size_t round)
{
    struct verify *verify = verify_copy(trail);

    cr_assert_not_null(trail_first(verify), "%s %zu", what, round);
    cr_assert_gt(verify_summary(verify)->findings, 0);
    verify_free(verify);
}

static bool is_checkpoint(const struct trail_line *line)
{
    return strstr(line->text, "\"action\":\"checkpoint\"") != NULL;
}

/* Starts with a line, or some, and what a death leaves: the last one without a checkpoint. */
static struct trail *make_starts(unsigned *seed)
{
    struct trail *trail = trail_new(4);

    for (int start = 0; start < STARTS; start++) {
        trail_begin(trail, &trail->writer);
        for (int i = rand_r(seed) % 7; i > 0; i--)
            trail_event(trail, &trail->writer);
    }
    trail_event(trail, &trail->writer); /* so that the last start has one */
    return trail;
}

static void shuffle(struct trail *trail, size_t from, size_t window, unsigned *seed)
{
    for (size_t i = from; i < trail->count; i++) {
        size_t left = trail->count - i;
        trail_move(trail, i + (size_t)rand_r(seed) % (left < window ? left : window), i);
    }
}

/* The first line stays: a trail may begin anywhere, and what is in front of it can't be missed. */
Test(order, whole_starts_that_come_late_hold_and_what_is_missing_is_found, .timeout = 100)
{
    for (size_t i = 0, begin = rounds_begin("order", LATE); i < rounds_of(LATE); i++) {
        const unsigned round = (unsigned)((begin + i) % LATE);
        unsigned seed = round;
        struct trail *trail = make_starts(&seed);
        const size_t gone = 1 + (size_t)rand_r(&seed) % (trail->count - 2);
        struct trail *cut = trail_copy(trail);
        shuffle(trail, 1, round % 2 ? 12 : trail->count, &seed);
        expect_holds(trail, STARTS, "shuffled", round);
        trail_remove(cut, gone, 1);
        shuffle(cut, 1, round % 2 ? 12 : cut->count, &seed);
        expect_found(cut, "one is missing", round);
        trail_free(cut);
        trail_free(trail);
    }
}

/* Of all lines of the starts from first to last. */
static void remove_starts(struct trail *trail, unsigned first, unsigned last)
{
    char text[40];

    for (unsigned start = first; start <= last; start++) {
        snprintf(text, sizeof(text), "\"epoch\":\"%016" PRIx64 "\"", UINT64_C(0x6920d2f100000000) + start);
        for (size_t i = trail->count; i-- > 0;) {
            if (strstr(trail->lines[i].text, text) != NULL)
                trail_remove(trail, i, 1);
        }
    }
}

Test(order, whole_starts_that_do_not_come_are_found_whatever_else_comes_late, .timeout = 100)
{
    for (size_t i = 0, begin = rounds_begin("order", MISSING); i < rounds_of(MISSING); i++) {
        const unsigned round = (unsigned)((begin + i) % MISSING);
        unsigned seed = round, first = 2 + round % 5, last = first + round / 5 % (7 - first + 1);
        struct trail *trail = make_starts(&seed);
        const size_t count = trail->count;
        last = last > 7 ? 7 : last;
        remove_starts(trail, first, last);
        cr_assert_lt(trail->count, count);
        shuffle(trail, 1, trail->count, &seed);
        expect_found(trail, "starts are missing", round);
        trail_free(trail);
    }
}

/* Start 2 as a replay delivers it, in two halves, and with its neighbours' lines. */
Test(order, a_replay_of_a_whole_start)
{
    for (size_t tail = 0; tail < 3; tail++) {
        for (size_t head = 0; head < 3; head++) {
            for (int forged = 0; forged < 2; forged++) {
                struct trail *trail = trail_new(50);
                trail_start(trail, 12);
                trail_start(trail, 4);
                trail_start(trail, 12);
                for (size_t i = 12 - tail; i < 16 + head; i++)
                    trail_move(trail, 12 - tail, trail->count - 1);
                if (forged)
                    trail_replace(trail, trail->count - head - 2, "sensor-17", "sensor-99");
                if (forged)
                    expect_found(trail, "forged", tail);
                else
                    expect_holds(trail, 3, "replayed", tail);
                trail_free(trail);
            }
        }
    }
}

/* Without any order it is said of each that it is late, and of none that it is missing. */
Test(order, a_whole_start_behind_its_place_is_out_of_order_and_not_missing)
{
    struct trail *trail = trail_new(50);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 12);
    trail_start(trail, 4);
    trail_start(trail, 12);
    for (int i = 0; i < 4; i++)
        trail_move(trail, 12, trail->count - 1);
    options.repeats = true;
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_ORDER, "%s", trail_first(verify)->text);
    cr_assert_eq(trail_first(verify)->count, 4);
    verify_free(verify);
    trail_free(trail);
}

/* Whoever has the state of an old start makes another one of its number: between two that are here there is
 * one alone, and between two that follow on one another there is none. */
Test(order, a_start_that_was_made_with_old_keys_is_found)
{
    for (int genuine = 0; genuine < 3; genuine++) { /* comes never, behind the forged one, in its place */
        struct trail *trail = trail_new(50);
        trail_start(trail, 12);
        struct trail_writer thief = trail->writer;
        trail_start(trail, 4);
        trail_start(trail, 12);
        struct trail *copy = trail_copy(trail);
        if (genuine < 2)
            trail_remove(copy, 12, 4);
        chain_begin(&thief.point.cursor, thief.point.secret, 0x6920d2f1000000ff, 2);
        trail_checkpoint(copy, &thief);
        trail_event(copy, &thief);
        for (size_t i = 12; genuine == 1 && i < 16; i++)
            trail_insert(copy, copy->count, trail->lines[i].text, trail->lines[i].length);
        expect_found(copy, "forged", (size_t)genuine);
        trail_free(copy);
        trail_free(trail);
    }
}

/* ---- lines beside a checkpoint ---- */

/* The two neighbours at a checkpoint change places: the line in front of it comes behind it, or the second
 * line behind it comes first. */
static void swap_beside(struct trail *trail, bool in_front)
{
    for (size_t i = 2; i + 3 < trail->count; i++) {
        if (!is_checkpoint(&trail->lines[i]))
            continue;
        if (in_front)
            trail_move(trail, i - 1, i);
        else
            trail_move(trail, i + 1, i + 2);
        i += 2;
    }
}

Test(order, ten_thousand_lines_that_come_late_beside_a_checkpoint, .timeout = 110)
{
    for (int in_front = 0; in_front < 2; in_front++) {
        struct trail *trail = trail_new(3);
        trail_start(trail, 40002);
        swap_beside(trail, in_front);
        expect_holds(trail, 1, "swapped", (size_t)in_front);
        /* And what is forged behind all of them is still seen. */
        struct trail_writer thief = trail->writer;
        trail_begin(trail, &thief);
        thief.interval = 0;
        for (int i = 0; i < 20; i++)
            trail_event(trail, &thief);
        for (size_t i = trail->count - 18; i + 1 < trail->count; i += 3)
            trail_move(trail, i, i + 1);
        struct verify *verify = verify_copy(trail);
        cr_assert_eq(trail_first(verify)->kind, VERIFY_CHECKPOINT_OVERDUE, "%s", trail_first(verify)->text);
        verify_free(verify);
        trail_free(trail);
    }
}

/* ---- more holes than are kept ---- */

/* Every other line is missing until all places for holes are taken; then one in the midst of a larger hole
 * comes, for the rest of which there is no room. Everything but that rest comes. */
Test(order, a_hole_that_there_is_no_room_for_is_not_forgotten, .timeout = 100)
{
    struct trail *whole = trail_new(0), *copy;

    trail_begin(whole, &whole->writer);
    while (whole->count < 9000)
        trail_event(whole, &whole->writer);
    copy = trail_copy(whole);
    trail_remove(copy, 1, copy->count - 1);
    for (size_t pass = 0; pass < 3; pass++) {
        for (size_t i = 1; i < whole->count; i++) {
            bool ahead = i >= 4 && (i % 2 == 0 || i > 8300);
            size_t turn = ahead ? 0 : i == 2 ? 1 : 2;
            if (turn == pass && i != 3)
                trail_insert(copy, copy->count, whole->lines[i].text, whole->lines[i].length);
        }
    }
    cr_assert_eq(copy->count, whole->count - 1);
    expect_found(copy, "no room", 0);
    trail_free(copy);
    trail_free(whole);
}

/* ---- where it begins ---- */

Test(order, the_first_line_of_a_chain_that_comes_second_is_the_first)
{
    for (int forged = 0; forged < 2; forged++) {
        struct trail *trail = trail_new(10);
        trail_start(trail, 30);
        trail_move(trail, 0, 1);
        if (forged) { /* another first line, of somebody who has all keys */
            struct trail *other = trail_new(10);
            other->writer.wall_us += 5;
            trail_start(other, 3);
            trail_remove(trail, 1, 1);
            trail_insert(trail, 1, other->lines[0].text, other->lines[0].length);
            trail_free(other);
            expect_found(trail, "forged", 0);
        } else {
            struct verify *verify = verify_copy(trail);
            cr_assert_null(trail_first(verify));
            cr_assert(verify_summary(verify)->whole);
            cr_assert_eq(verify_summary(verify)->first_sequence, 1);
            verify_free(verify);
        }
        trail_free(trail);
    }
}

/* As many as may be without a checkpoint, all of them late, and what was in front of them is gone. */
Test(order, the_lines_of_one_interval_in_front_of_all_others)
{
    struct trail *trail = trail_new(10);
    trail_start(trail, 60);
    cr_assert(is_checkpoint(&trail->lines[11]));
    trail_remove(trail, 0, 1);
    for (int i = 0; i < 10; i++)
        trail_move(trail, 0, trail->count - 1);
    expect_holds(trail, 1, "in front", 0);
    trail_free(trail);
}

/* ---- in order ---- */

/* Its front is gone by retention: how often there is a checkpoint is what its first one says. */
Test(order, a_trail_without_its_front_has_the_interval_of_its_own_checkpoints, .timeout = 100)
{
    for (int forged = 0; forged < 3; forged++) { /* 1: more lines than it says; 2: none that holds */
        struct trail *trail = trail_new(15000);
        struct verify_options options = trail_options(trail);
        trail_begin(trail, &trail->writer);
        trail->writer.interval = 0;
        while (trail->count < (forged == 1 ? 15010 : 12000))
            trail_event(trail, &trail->writer);
        trail->writer.interval = 15000;
        trail->writer.signer = forged == 2 ? NULL : trail->writer.signer;
        trail_checkpoint(trail, &trail->writer);
        trail_remove(trail, 0, 5);
        struct verify *verify = trail_verify(trail, &options);
        bool overdue = false;
        size_t index = 0;
        for (const struct verify_finding *finding; (finding = verify_next_finding(verify, &index)) != NULL;)
            overdue = overdue || finding->kind == VERIFY_CHECKPOINT_OVERDUE;
        cr_assert_eq(overdue, forged > 0, "%d", forged);
        cr_assert(forged > 0 || verify_summary(verify)->findings == 0);
        verify_free(verify);
        trail_free(trail);
    }
}

/* The same where that start has no checkpoint behind the front, and the configuration was changed. What is
 * made with the keys of it, whoever has them, is no line that the next start follows on. */
Test(order, the_interval_of_a_later_start_is_none_of_the_first_one)
{
    for (int any_order = 0; any_order < 2; any_order++) {
        for (int forged = 0; forged < 2; forged++) {
            struct trail *trail = trail_new(300);
            struct verify_options options = trail_options(trail);
            options.repeats = options.any_order = any_order;
            trail_begin(trail, &trail->writer);
            while (trail->count < 200)
                trail_event(trail, &trail->writer);
            struct trail_writer thief = trail->writer;
            thief.interval = 0;
            for (int i = 0; forged && i < 200; i++)
                trail_event(trail, &thief);
            trail->writer.interval = 10;
            trail_start(trail, 30);
            trail_remove(trail, 0, 5);
            struct verify *verify = trail_verify(trail, &options);
            cr_assert_eq(trail_first(verify) != NULL, forged, "%s",
                trail_first(verify) == NULL ? "nothing" : trail_first(verify)->text);
            verify_free(verify);
            trail_free(trail);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of a trail as sinks have them: lines twice, lines late, and what is none of that. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#include "trail.h"

static struct trail *make(void)
{
    struct trail *trail = trail_new(10);

    trail_start(trail, 50);
    trail_start(trail, 50);
    return trail;
}

static struct verify *verify_copy(const struct trail *trail, bool any_order)
{
    struct verify_options options = trail_options(trail);

    options.repeats = true;
    options.any_order = any_order;
    return trail_verify(trail, &options);
}

static void repeat(struct trail *trail, size_t from, size_t count, size_t to)
{
    struct trail *copy = trail_copy(trail);

    for (size_t i = 0; i < count; i++)
        trail_insert(trail, to + i, copy->lines[from + i].text, copy->lines[from + i].length);
    trail_free(copy);
}

Test(copies, lines_delivered_again_after_an_outage_are_counted)
{
    struct trail *trail = make();
    repeat(trail, 20, 17, 37); /* within a start */
    repeat(trail, 55, 20, 80); /* and over its end */
    struct verify *verify = verify_copy(trail, false);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->repeats, 37);
    cr_assert_eq(verify_summary(verify)->checkpoints, 12);
    verify_free(verify);
    trail_free(trail);
}

Test(copies, a_repeat_that_was_changed_is_found)
{
    struct trail *trail = make();
    repeat(trail, 20, 17, 37);
    trail_replace(trail, 40, "sensor-17", "sensor-99");
    struct verify *verify = verify_copy(trail, false);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_INSERTED);
    cr_assert_eq(trail_first(verify)->line, 41);
    verify_free(verify);
    trail_free(trail);
}

/* Also without the key, by the bytes. */
Test(copies, a_repeat_that_was_changed_is_found_without_the_key)
{
    struct trail *trail = make();
    struct verify_options options = {.repeats = true};
    repeat(trail, 20, 17, 37);
    trail_replace(trail, 40, "sensor-17", "sensor-99");
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_KEY_REUSED);
    cr_assert_eq(trail_first(verify)->line, 41);
    verify_free(verify);
    trail_free(trail);
}

Test(copies, a_late_line_is_a_finding_unless_any_order_is_fine)
{
    struct trail *trail = make();
    trail_move(trail, 30, 60);
    struct verify *verify = verify_copy(trail, false);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_ORDER);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    verify_free(verify);
    verify = verify_copy(trail, true);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->late, 1);
    verify_free(verify);
    trail_free(trail);
}

Test(copies, in_any_order_whatever_is_missing_is_still_found, .timeout = 100)
{
    struct trail *trail = make();
    srand(4711);
    for (int round = 0; round < 100; round++) {
        struct trail *copy = trail_copy(trail);
        for (int i = 0; i < 40; i++) { /* the first line stays: a trail may begin anywhere */
            size_t from = 1 + (size_t)rand() % 98, to = from + (size_t)rand() % (99 - from);
            trail_move(copy, from, to);
        }
        struct verify *verify = verify_copy(copy, true);
        cr_assert_null(trail_first(verify), "round %d: %s", round, trail_first(verify)->text);
        cr_assert_gt(verify_summary(verify)->late, 0);
        verify_free(verify);
        size_t gone = 1 + (size_t)rand() % 98;
        char *text = copy->lines[gone].text;
        bool last = strstr(text, "-50\"") != NULL && strstr(text, "6920d2f100000002") != NULL;
        if (!last) { /* what is behind it would tell, and nothing is */
            trail_remove(copy, gone, 1);
            verify = verify_copy(copy, true);
            cr_assert_not_null(trail_first(verify), "round %d, line %zu", round, gone);
            verify_free(verify);
        }
        trail_free(copy);
    }
    trail_free(trail);
}

Test(copies, a_late_line_that_was_changed_is_found)
{
    struct trail *trail = make();
    trail_move(trail, 30, 60);
    trail_replace(trail, 60, "sensor-17", "sensor-99");
    struct verify *verify = verify_copy(trail, true);
    cr_assert_eq(verify_summary(verify)->findings, 2);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_MISSING);
    verify_free(verify);
    trail_free(trail);
}

Test(copies, a_start_of_which_the_end_comes_late)
{
    struct trail *trail = make();
    for (int i = 0; i < 4; i++)
        trail_move(trail, 46, 70);
    struct verify *verify = verify_copy(trail, true);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->late, 4);
    verify_free(verify);
    trail_remove(trail, 70, 1);
    verify = verify_copy(trail, true);
    cr_assert_not_null(trail_first(verify));
    verify_free(verify);
    trail_free(trail);
}

Test(copies, bookkeeping_is_bounded, .timeout = 100)
{
    struct trail *trail = trail_new(0);
    struct verify_options options = trail_options(trail);
    trail_begin(trail, &trail->writer);
    for (int i = 0; i < 10000; i++)
        trail_event(trail, &trail->writer);
    options.repeats = options.any_order = true;
    struct verify *verify = verify_new(&options);
    for (size_t step = 2; step-- > 0;) { /* every other line, then the others: five thousand holes */
        for (size_t i = step ^ 1; i < trail->count; i += 2)
            verify_line(verify, "trail", i, view_of(trail->lines[i].text, trail->lines[i].length));
    }
    verify_finish(verify);
    cr_assert_eq(verify_summary(verify)->lines, 10001);
    cr_assert_gt(verify_summary(verify)->findings, 0, "more holes than are kept are said, not believed");
    verify_free(verify);
    trail_free(trail);
}

/* Somebody has had an old state of the chain: whatever is made with it is genuine by its hash. */
Test(copies, lines_made_with_the_keys_of_an_old_start)
{
    for (int twin = 0; twin < 2; twin++) {
        struct trail *trail = trail_new(10);
        trail_start(trail, 20);
        struct trail_writer thief = trail->writer; /* may make start 2 */
        trail_start(trail, 20);
        trail_start(trail, 20);
        thief.wall_us += 7;
        if (twin == 0) /* in an epoch of its own */
            chain_begin(&thief.point.cursor, thief.point.secret, 0x6920d2f1000000ff, 2);
        else { /* in the same one, behind its end */
            chain_begin(&thief.point.cursor, thief.point.secret, 0x6920d2f100000002, 2);
            chain_next_key(thief.point.cursor.key, 20);
            thief.point.cursor.sequence += 20;
        }
        trail_event(trail, &thief);
        trail_event(trail, &thief);
        struct verify *verify = verify_copy(trail, true);
        cr_assert_not_null(trail_first(verify));
        cr_assert_eq(trail_first(verify)->kind, twin == 0 ? VERIFY_KEY_REUSED : VERIFY_INSERTED);
        cr_assert_eq(trail_first(verify)->line, 61);
        verify_free(verify);
        trail_free(trail);
    }
}

Test(copies, what_is_older_than_the_first_line_is_out_of_order)
{
    struct trail *trail = make();
    for (int i = 0; i < 30; i++)
        trail_move(trail, 0, 99);
    struct verify *verify = verify_copy(trail, false);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_ORDER);
    cr_assert_eq(trail_first(verify)->count, 30);
    verify_free(verify);
    trail_free(trail);
}

/* What is known of a line gives way to one a quarter of a million lines behind it. */
Test(copies, repeats_from_far_behind_are_told_apart)
{
    struct trail *trail = trail_new(0);
    struct chain_cursor *cursor = &trail->writer.point.cursor;
    trail_begin(trail, &trail->writer);
    for (int i = 0; i < 5; i++)
        trail_event(trail, &trail->writer);
    chain_next_key(cursor->key, (1U << 18) - 6);
    cursor->sequence += (1U << 18) - 6;
    for (int i = 0; i < 6; i++)
        trail_event(trail, &trail->writer);
    repeat(trail, 0, 6, 12);
    struct verify *verify = verify_copy(trail, false);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_MISSING);
    cr_assert_eq(verify_summary(verify)->repeats, 6);
    cr_assert_eq(verify_summary(verify)->far, 6);
    verify_free(verify);
    trail_free(trail);
}

/* The first line of a start comes late, and tells that the end of the one before is missing. */
Test(copies, an_end_that_is_missing_behind_a_late_beginning)
{
    for (size_t cut = 0; cut < 3; cut++) {
        struct trail *trail = make();
        trail_move(trail, 50, 60);
        trail_remove(trail, 50 - cut, cut);
        struct verify *verify = verify_copy(trail, true);
        cr_assert_eq(trail_first(verify) == NULL, cut == 0, "%zu cut", cut);
        verify_free(verify);
        trail_free(trail);
    }
}

/* Whoever has the keys of the chain, but not the signing key, delays a line now and then. */
Test(copies, lines_that_come_late_make_no_checkpoint_less_due)
{
    for (int forged = 0; forged < 2; forged++) {
        struct trail *trail = make();
        struct trail_writer thief = trail->writer;
        trail_begin(trail, &thief);
        thief.interval = forged ? 0 : 10;
        while (trail->count < 400)
            trail_event(trail, &thief);
        for (size_t i = 105; i + 1 < 400; i += 8)
            trail_move(trail, i, i + 1);
        struct verify *verify = verify_copy(trail, true);
        const struct verify_finding *first = trail_first(verify);
        cr_assert_eq(first != NULL, forged, "%s", first == NULL ? "nothing" : first->text);
        if (first != NULL)
            cr_assert_eq(first->kind, VERIFY_CHECKPOINT_OVERDUE, "%s", first->text);
        verify_free(verify);
        trail_free(trail);
    }
}

Test(copies, the_first_line_of_a_start_is_a_checkpoint_also_if_it_comes_late)
{
    struct trail *trail = make();
    struct trail_writer thief = trail->writer;
    chain_begin(&thief.point.cursor, thief.point.secret, 0x6920d2f100000003, 3);
    trail_event(trail, &thief);
    trail_event(trail, &thief);
    trail_move(trail, 100, 101);
    struct verify *verify = verify_copy(trail, true);
    cr_assert_not_null(trail_first(verify));
    cr_assert_eq(trail_first(verify)->kind, VERIFY_CHECKPOINT_MISSING, "%s", trail_first(verify)->text);
    verify_free(verify);
    trail_free(trail);
}

/* Lines of a start in front of all that is here: nothing links them, so their checkpoints have to be enough.
 */
Test(copies, many_lines_of_an_earlier_start_without_checkpoints)
{
    for (int forged = 0; forged < 2; forged++) {
        struct trail *trail = trail_new(10);
        struct trail_writer thief = trail->writer;
        struct trail *front = trail_copy(trail);
        trail_start(trail, 50);
        trail_remove(trail, 0, 50);
        trail_start(trail, 50);
        trail_begin(front, &thief);
        thief.interval = forged ? 0 : 10;
        while (front->count < 60)
            trail_event(front, &thief);
        for (size_t i = 0; i < 60; i++)
            trail_insert(trail, trail->count, front->lines[i].text, front->lines[i].length);
        struct verify *verify = verify_copy(trail, true);
        cr_assert_eq(trail_first(verify) != NULL, forged, "%s",
            trail_first(verify) == NULL ? "nothing" : trail_first(verify)->text);
        verify_free(verify);
        trail_free(trail);
        trail_free(front);
    }
}

Test(copies, more_late_lines_than_there_are_findings, .timeout = 100)
{
    struct trail *trail = trail_new(10);
    trail_start(trail, 4 * (VERIFY_FINDINGS_MAX + 500));
    for (size_t i = 10; i + 4 < trail->count; i += 4)
        trail_move(trail, i, i + 1);
    struct verify *verify = verify_copy(trail, true);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->findings, 0, "%" PRIu64, verify_summary(verify)->findings);
    verify_free(verify);
    trail_remove(trail, 5990, 1);
    trail_remove(trail, 30, 1);
    verify = verify_copy(trail, true);
    size_t index = 0;
    uint64_t line = 0, count = 0;
    for (const struct verify_finding *finding; (finding = verify_next_finding(verify, &index)) != NULL;
         count++) {
        cr_assert_geq(finding->line, line, "in the order of the lines");
        line = finding->line;
    }
    cr_assert_geq(count, 2);
    cr_assert_eq(count, verify_summary(verify)->findings);
    verify_free(verify);
    trail_free(trail);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody may do to a trail, line by line: each is found, named and placed. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "trail.h"

#define EPOCH(start) (UINT64_C(0x6920d2f100000000) + (start))

/* Two starts of 50 lines: indexes 0 to 99, sequences 1 to 50 each. */
static struct trail *make(void)
{
    struct trail *trail = trail_new(10);

    trail_start(trail, 50);
    trail_start(trail, 50);
    return trail;
}

/* The first finding is of this kind, in this line (from 1), about this event; there are count findings. */
static void expect(
    const struct trail *trail, enum verify_kind kind, uint64_t line, uint64_t sequence, uint64_t findings)
{
    struct verify_options options = trail_options(trail);
    struct verify *verify = trail_verify(trail, &options);
    const struct verify_finding *first = trail_first(verify);

    cr_assert_not_null(first, "nothing was found");
    cr_assert_eq(first->kind, kind, "%s: %s", verify_kind_name(first->kind), first->text);
    cr_assert_eq(first->line, line, "line %" PRIu64 ": %s", first->line, first->text);
    cr_assert_eq(first->sequence, sequence, "%" PRIu64 ": %s", first->sequence, first->text);
    cr_assert_eq(
        verify_summary(verify)->findings, findings, "%" PRIu64 " findings", verify_summary(verify)->findings);
    verify_free(verify);
}

Test(attacks, a_field_of_every_class_that_is_changed)
{
    static const char *const changes[][2] = {
        {"\"@timestamp\":\"2026", "\"@timestamp\":\"2025"},
        {"\"created\":\"2026-01", "\"created\":\"2025-01"},
        {"mqtt-publish-denied", "mqtt-publish-denjed"},
        {"\"outcome\":\"failure\"", "\"outcome\":\"success\""},
        {"\"severity\":73", "\"severity\":21"},
        {"sensor-17", "sensor-18"},
        {"203.0.113.9", "203.0.113.8"},
        {"\"port\":51724", "\"port\":51725"},
        {"\"retained\":", "\"Retained\":"},
        {"\"qos\":", "\"qo5\":"},
        {"\"disposition\":\"rejected\"", "\"disposition\":\"rejecteD\""},
        {"\"detail\":\"max_qos is 0\"", "\"detail\":\"max_qos is 1\""},
        {"\"version\":\"9.4.0\"", "\"version\":\"9.4.1\""},
        {"edge-1", "edge-2"},
    };
    struct trail *trail = make();
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct trail *copy = trail_copy(trail);
        trail_replace(copy, 30, changes[i][0], changes[i][1]);
        expect(copy, VERIFY_CHANGED, 31, 31, 1);
        trail_free(copy);
    }
    trail_free(trail);
}

Test(attacks, bits_of_every_byte_of_a_line, .timeout = 100)
{
    struct trail *trail = make();
    struct verify_options options = trail_options(trail);
    size_t length = trail->lines[30].length;
    for (size_t offset = 0; offset < length; offset++) {
        for (unsigned bit = (unsigned)(offset % 5); bit < 8; bit += 5) {
            trail->lines[30].text[offset] ^= (char)(1U << bit);
            struct verify *verify = verify_new(&options);
            for (size_t i = 28; i < 34; i++)
                verify_line(verify, "trail", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
            verify_finish(verify);
            const struct verify_finding *first = trail_first(verify);
            cr_assert_not_null(first, "bit %u of byte %zu", bit, offset);
            cr_assert_eq(first->line, 31, "bit %u of byte %zu: line %" PRIu64, bit, offset, first->line);
            verify_free(verify);
            trail->lines[30].text[offset] ^= (char)(1U << bit);
        }
    }
    trail_free(trail);
}

Test(attacks, changed_lines_in_a_row_are_one_finding)
{
    struct trail *trail = make();
    for (size_t i = 23; i < 30; i++)
        trail_replace(trail, i, "sensor-17", "sensor-99");
    expect(trail, VERIFY_CHANGED, 24, 24, 1);
    trail_free(trail);
}

Test(attacks, a_changed_number_of_a_line)
{
    struct trail *trail = make();
    trail_replace(trail, 30, "\"sequence\":31,", "\"sequence\":13,");
    expect(trail, VERIFY_NO_LINE, 31, 0, 2);
    trail_replace(trail, 30, "-31\"", "-13\"");
    expect(trail, VERIFY_INSERTED, 31, 13, 2);
    trail_free(trail);
}

Test(attacks, a_removed_line)
{
    struct trail *trail = make();
    trail_remove(trail, 25, 1);
    expect(trail, VERIFY_MISSING, 26, 27, 1);
    trail_free(trail);
}

Test(attacks, removed_lines)
{
    struct trail *trail = make();
    trail_remove(trail, 20, 17);
    struct verify_options options = trail_options(trail);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_MISSING);
    cr_assert_eq(trail_first(verify)->count, 17);
    cr_assert_not_null(strstr(trail_first(verify)->text, "6920d2f100000001-21 to -37"));
    cr_assert_eq(verify_summary(verify)->findings, 1);
    verify_free(verify);
    trail_free(trail);
}

Test(attacks, lines_removed_with_their_checkpoint)
{
    struct trail *trail = make();
    trail_remove(trail, 5, 30);
    expect(trail, VERIFY_MISSING, 6, 36, 1);
    trail_free(trail);
}

Test(attacks, the_end_of_a_start_cut_off)
{
    struct trail *trail = make();
    trail_remove(trail, 47, 3);
    expect(trail, VERIFY_CUT, 48, 1, 1);
    trail_free(trail);
}

Test(attacks, the_beginning_of_a_start_cut_off)
{
    struct trail *trail = make();
    trail_remove(trail, 50, 4);
    expect(trail, VERIFY_MISSING, 51, 5, 1);
    trail_free(trail);
}

Test(attacks, a_whole_start_removed)
{
    struct trail *trail = make();
    trail_start(trail, 50);
    trail_remove(trail, 50, 50);
    expect(trail, VERIFY_CUT, 51, 1, 1);
    trail_free(trail);
}

/* Against the state file of the proxy, which knows how far it has sealed. */
static const struct verify_finding *with_state(
    const struct trail *trail, const struct chain_point *point, struct verify **verify)
{
    struct verify_options options = trail_options(trail);

    *verify = verify_new(&options);
    for (size_t i = 0; i < trail->count; i++)
        verify_line(*verify, "trail", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
    verify_state(*verify, "chain.state", point);
    verify_state_again(*verify, "chain.state", point);
    verify_finish(*verify);
    return trail_first(*verify);
}

Test(attacks, the_tail_cut_off)
{
    struct trail *trail = make();
    struct verify *verify;
    cr_assert_null(with_state(trail, &trail->writer.point, &verify));
    verify_free(verify);
    for (int cut = 1; cut < 100; cut++) {
        trail_remove(trail, trail->count - 1, 1);
        const struct verify_finding *first = with_state(trail, &trail->writer.point, &verify);
        cr_assert_not_null(first, "%d cut", cut);
        cr_assert_eq(first->kind, VERIFY_CUT);
        cr_assert_str_eq(first->name, "chain.state");
        cr_assert_eq(first->count, cut < 50 ? (uint64_t)cut : 50, "%" PRIu64 " of %d", first->count, cut);
        verify_free(verify);
    }
    trail_remove(trail, 0, 1);
    trail->writer.point.kept_until_us = UINT64_MAX;
    cr_assert_eq(with_state(trail, &trail->writer.point, &verify)->kind, VERIFY_CUT);
    verify_free(verify);
    trail_free(trail);
}

Test(attacks, the_last_start_cut_off_before_its_first_line_is_there)
{
    struct trail *trail = make();
    struct verify *verify;
    struct chain_point *point = &trail->writer.point;
    chain_begin(&point->cursor, point->secret, point->cursor.epoch + 1, point->cursor.start + 1);
    chain_next_secret(point->secret);
    cr_assert_null(with_state(trail, point, &verify));
    verify_free(verify);
    trail_remove(trail, 98, 2);
    cr_assert_eq(with_state(trail, point, &verify)->kind, VERIFY_CUT);
    verify_free(verify);
    trail_free(trail);
}

Test(attacks, a_journal_that_is_ahead_of_the_state_is_fine)
{
    struct trail *trail = make();
    struct chain_point point = trail->writer.point;
    struct verify *verify;
    for (int i = 0; i < 5; i++)
        trail_event(trail, &trail->writer);
    cr_assert_null(with_state(trail, &point, &verify));
    verify_free(verify);
    trail_free(trail);
}

Test(attacks, two_lines_swapped)
{
    struct trail *trail = make();
    trail_move(trail, 30, 31);
    expect(trail, VERIFY_ORDER, 32, 31, 1);
    trail_free(trail);
}

Test(attacks, a_line_moved_back)
{
    struct trail *trail = make();
    trail_move(trail, 12, 44);
    expect(trail, VERIFY_ORDER, 45, 13, 1);
    trail_free(trail);
}

Test(attacks, a_line_moved_forward)
{
    struct trail *trail = make();
    trail_move(trail, 44, 12);
    expect(trail, VERIFY_ORDER, 14, 13, 1);
    trail_free(trail);
}

Test(attacks, the_end_of_a_start_moved_behind_the_next_start)
{
    struct trail *trail = make();
    for (int i = 0; i < 3; i++)
        trail_move(trail, 47, 99);
    expect(trail, VERIFY_ORDER, 98, 48, 1);
    trail_free(trail);
}

Test(attacks, a_forged_line_inserted)
{
    struct trail *trail = make();
    trail_insert(trail, 30, trail->lines[30].text, trail->lines[30].length);
    trail_replace(trail, 30, "sensor-17", "sensor-99");
    expect(trail, VERIFY_INSERTED, 31, 31, 1);
    trail_free(trail);
}

Test(attacks, a_forged_line_inserted_behind_the_genuine_one)
{
    struct trail *trail = make();
    trail_insert(trail, 31, trail->lines[30].text, trail->lines[30].length);
    trail_replace(trail, 31, "sensor-17", "sensor-99");
    expect(trail, VERIFY_INSERTED, 32, 31, 1);
    trail_free(trail);
}

Test(attacks, the_same_line_twice)
{
    struct trail *trail = make();
    trail_insert(trail, 31, trail->lines[30].text, trail->lines[30].length);
    expect(trail, VERIFY_REPEATED, 32, 31, 1);
    trail_move(trail, 31, 80);
    expect(trail, VERIFY_REPEATED, 81, 31, 1);
    trail_free(trail);
}

Test(attacks, a_line_of_another_trail)
{
    struct trail *trail = make(), *other = make();
    struct trail_writer thief = {.point = other->writer.point, .user = "mallory"};
    memset(thief.point.secret, 7, sizeof(thief.point.secret));
    trail_begin(other, &thief);
    trail_insert(trail, 100, other->lines[100].text, other->lines[100].length);
    expect(trail, VERIFY_CHANGED, 101, 1, 1);
    trail_free(trail);
    trail_free(other);
}

Test(attacks, a_line_without_a_link_in_the_midst)
{
    struct trail *trail = make();
    trail_unchained(trail, EPOCH(1), 51);
    expect(trail, VERIFY_UNCHAINED, 101, 51, 1);
    trail_free(trail);
}

/* The state of an earlier time put back: the same keys again. */
Test(attacks, keys_that_were_used_up)
{
    struct trail *trail = make();
    struct trail_writer before = trail->writer;
    before.wall_us += 5;
    trail_start(trail, 20);
    trail_begin(trail, &before);
    expect(trail, VERIFY_KEY_REUSED, 121, 1, 1);
    trail_free(trail);
}

Test(attacks, a_start_that_was_made_twice)
{
    struct trail *trail = make();
    struct trail_writer before = trail->writer;
    trail_start(trail, 20);
    chain_begin(&before.point.cursor, before.point.secret, EPOCH(77), 3);
    trail_checkpoint(trail, &before);
    trail_event(trail, &before);
    expect(trail, VERIFY_KEY_REUSED, 121, 1, 1);
    trail_free(trail);
}

/* Who has no keys makes a state that fits a tail that was cut off: its place is right, its keys can't be. */
Test(attacks, a_state_that_was_made_to_fit)
{
    struct trail *trail = make();
    struct chain_point before = trail->writer.point, forged;
    struct verify *verify;
    for (int i = 0; i < 5; i++)
        trail_event(trail, &trail->writer);
    trail_remove(trail, 100, 5);
    cr_assert_null(with_state(trail, &before, &verify));
    verify_free(verify);
    for (int what = 0; what < 2; what++) { /* also with the keys of the place that it has come to */
        forged = before;
        if (what == 0)
            memcpy(forged.cursor.key, trail->writer.point.cursor.key, CHAIN_KEY_SIZE);
        else
            memset(forged.secret, 'S', CHAIN_KEY_SIZE);
        cr_assert_eq(with_state(trail, &forged, &verify)->kind, VERIFY_STATE, "%d", what);
        verify_free(verify);
    }
    trail_free(trail);
}

Test(attacks, a_state_of_an_earlier_start_put_back)
{
    struct trail *trail = trail_new(10);
    struct verify *verify;
    trail_start(trail, 20);
    const struct chain_point before = trail->writer.point;
    trail_start(trail, 20);
    cr_assert_eq(with_state(trail, &before, &verify)->kind, VERIFY_STATE);
    verify_free(verify);
    struct chain_point other = before; /* the number of the last start, another epoch */
    chain_begin(&other.cursor, other.secret, EPOCH(77), 2);
    chain_next_secret(other.secret);
    cr_assert_eq(with_state(trail, &other, &verify)->kind, VERIFY_STATE);
    verify_free(verify);
    trail_free(trail);
}

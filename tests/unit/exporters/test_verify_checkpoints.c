/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody has taken over the proxy and has the present key of the chain: what lies behind can be rewritten
 * so that every hash holds. Checkpoints tell. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "trail.h"

/* One start so far, with a checkpoint every 10 lines. */
static struct trail *make(size_t lines)
{
    struct trail *trail = trail_new(10);

    trail_begin(trail, &trail->writer);
    while (trail->count < lines)
        trail_event(trail, &trail->writer);
    return trail;
}

/* What the thief of this moment has: the keys of the chain, not the signing key. */
static struct trail_writer steal(const struct trail *trail)
{
    struct trail_writer thief = trail->writer;

    thief.user = "sensor-99";
    thief.signer = NULL;
    return thief;
}

static enum verify_kind first_kind(const struct trail *trail, uint64_t *line)
{
    struct verify_options options = trail_options(trail);
    struct verify *verify = trail_verify(trail, &options);
    const struct verify_finding *first = trail_first(verify);
    enum verify_kind kind = first == NULL ? VERIFY_KIND_COUNT : first->kind;

    if (line != NULL)
        *line = first == NULL ? 0 : first->line;
    verify_free(verify);
    return kind;
}

Test(checkpoints, a_tail_rewritten_with_the_present_key_lacks_its_checkpoint)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    uint64_t line;
    for (int i = 0; i < 20; i++) /* the proxy goes on */
        trail_event(trail, &trail->writer);
    trail_remove(trail, 35, trail->count - 35);
    thief.interval = 0;
    for (int i = 0; i < 20; i++)
        trail_event(trail, &thief);
    cr_assert_eq(first_kind(trail, &line), VERIFY_CHECKPOINT_OVERDUE);
    cr_assert_eq(line, 45, "%" PRIu64, line); /* the last one is line 34 */
    trail_free(trail);
}

Test(checkpoints, a_tail_rewritten_with_checkpoints_that_nobody_signed)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    uint64_t line;
    for (int i = 0; i < 20; i++)
        trail_event(trail, &thief);
    cr_assert_eq(first_kind(trail, &line), VERIFY_CHECKPOINT_FORGED);
    cr_assert_eq(line, 45, "%" PRIu64, line);
    trail_free(trail);
}

Test(checkpoints, a_tail_rewritten_with_checkpoints_of_another_key)
{
    struct trail *trail = make(35), *other = make(1);
    struct trail_writer thief = steal(trail);
    thief.signer = other->signer;
    for (int i = 0; i < 20; i++)
        trail_event(trail, &thief);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_FORGED);
    trail_free(trail);
    trail_free(other);
}

Test(checkpoints, a_checkpoint_of_the_old_tail_in_the_rewritten_one)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    struct trail *old = trail_copy(trail);
    while (old->count < 46)
        trail_event(old, &old->writer);
    thief.interval = 0;
    while (trail->count < 44)
        trail_event(trail, &thief);
    trail_insert(trail, 44, old->lines[44].text, old->lines[44].length); /* genuine, but of other lines */
    cr_assert_eq(first_kind(trail, NULL), VERIFY_REWRITTEN);
    trail_free(trail);
    trail_free(old);
}

Test(checkpoints, a_signature_copied_into_a_line_of_the_thief)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    struct trail *old = trail_copy(trail);
    while (old->count < 45)
        trail_event(old, &old->writer);
    while (trail->count < 45)
        trail_event(trail, &thief);
    char *from = strstr(old->lines[44].text, "\"signature\":\""), *to;
    cr_assert_not_null(from, "line 45 is a checkpoint");
    to = strstr(trail->lines[44].text, "\"signature\":\"");
    memcpy(to, from, 13 + 88);
    struct chain_link link;
    uint8_t key[CHAIN_KEY_SIZE];
    memcpy(key, old->writer.point.cursor.key, sizeof(key));
    /* sealed anew with the key that the thief had for this line */
    struct trail *before = make(35);
    thief = steal(before);
    chain_next_key(thief.point.cursor.key, 44 - 35);
    cr_assert_eq(chain_parse(view_of(trail->lines[44].text, trail->lines[44].length), &link), CHAIN_LINKED);
    uint8_t hash[CHAIN_HASH_SIZE];
    chain_hash(thief.point.cursor.key, link.prev, link.covered, hash);
    char *end = trail->lines[44].text + trail->lines[44].length - 67;
    for (size_t i = 0; i < CHAIN_HASH_SIZE; i++)
        snprintf(end + 1 + 2 * i, 3, "%02x", hash[i]);
    memcpy(trail->lines[44].text + trail->lines[44].length - 2, "\"}", 2);
    cr_assert_neq(first_kind(trail, NULL), VERIFY_KIND_COUNT);
    trail_free(before);
    trail_free(trail);
    trail_free(old);
}

/* Whoever has the signing key as well can rewrite the tail: only what was sealed before is out of reach. */
Test(checkpoints, with_the_signing_key_only_what_lies_behind_the_theft_can_be_rewritten)
{
    struct trail *trail = make(35);
    struct trail_writer thief = trail->writer;
    thief.user = "sensor-99";
    struct trail *tail = trail_copy(trail);
    while (tail->count < 60)
        trail_event(tail, &thief);
    cr_assert_eq(first_kind(tail, NULL), VERIFY_KIND_COUNT, "this is why the key is better kept elsewhere");
    trail_free(tail);

    for (size_t back = 1; back <= 35; back++) { /* and so many lines before, with the keys of later ones */
        struct trail *copy = trail_copy(trail);
        struct trail_writer early = trail->writer;
        early.user = "sensor-99";
        trail_remove(copy, 35 - back, back);
        early.point.cursor.sequence -= back;
        while (copy->count < 60)
            trail_event(copy, &early);
        cr_assert_neq(first_kind(copy, NULL), VERIFY_KIND_COUNT, "%zu lines back", back);
        trail_free(copy);
    }
    trail_free(trail);
}

/* A copy elsewhere, such as a sink's, has the first version: two lines with one key. */
Test(checkpoints, a_rewritten_tail_against_the_copy_of_a_sink)
{
    struct trail *trail = make(35);
    struct trail_writer thief = trail->writer;
    struct verify_options options = trail_options(trail);
    struct trail *tail = trail_copy(trail);
    thief.user = "sensor-99";
    while (trail->count < 60)
        trail_event(trail, &trail->writer);
    while (tail->count < 60)
        trail_event(tail, &thief);
    options.repeats = true;
    struct verify *verify = verify_new(&options);
    for (size_t i = 0; i < 60; i++)
        verify_line(verify, "journal", i + 1, view_of(tail->lines[i].text, tail->lines[i].length));
    for (size_t i = 0; i < 60; i++)
        verify_line(verify, "redis", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
    verify_finish(verify);
    const struct verify_finding *first = trail_first(verify);
    cr_assert_eq(first->kind, VERIFY_KEY_REUSED);
    cr_assert_str_eq(first->name, "redis");
    cr_assert_eq(first->line, 36);
    cr_assert_eq(verify_summary(verify)->repeats, 35);
    verify_free(verify);
    trail_free(tail);
    trail_free(trail);
}

Test(checkpoints, one_that_is_removed_leaves_a_hole_in_the_chain)
{
    struct trail *trail = make(60);
    uint64_t line;
    cr_assert_not_null(strstr(trail->lines[11].text, "\"action\":\"checkpoint\""));
    trail_remove(trail, 11, 1);
    cr_assert_eq(first_kind(trail, &line), VERIFY_MISSING);
    cr_assert_eq(line, 12);
    trail_free(trail);
}

Test(checkpoints, one_that_names_another_as_the_one_before)
{
    struct trail *trail = make(35);
    struct trail_writer *writer = &trail->writer;
    writer->point.checkpoint_sequence--;
    trail_checkpoint(trail, writer);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_MISSING);
    trail_free(trail);
}

Test(checkpoints, one_that_counts_other_lines)
{
    struct trail *trail = make(35);
    struct trail_writer *writer = &trail->writer;
    writer->point.unsigned_lines++;
    trail_checkpoint(trail, writer);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_MISSING);
    trail_free(trail);
}

Test(checkpoints, a_start_begins_with_one)
{
    struct trail *trail = make(35);
    struct chain_point *point = &trail->writer.point;
    chain_begin(&point->cursor, point->secret, point->cursor.epoch + 1, 2);
    trail_event(trail, &trail->writer);
    uint64_t line;
    cr_assert_eq(first_kind(trail, &line), VERIFY_CHECKPOINT_MISSING);
    cr_assert_eq(line, 36);
    trail_free(trail);
}

Test(checkpoints, one_that_is_due_by_time)
{
    struct trail *trail = make(5);
    for (int i = 0; i < 5; i++) { /* each is less than a minute behind the other */
        trail->writer.wall_us += 50000000;
        trail_event(trail, &trail->writer);
    }
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_OVERDUE);
    trail_free(trail);
}

Test(checkpoints, a_clock_that_was_set_makes_none_overdue)
{
    struct trail *trail = make(5);
    trail->writer.wall_us += UINT64_C(3600000000) * 24 * 365;
    for (int i = 0; i < 4; i++)
        trail_event(trail, &trail->writer);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_KIND_COUNT);
    trail_free(trail);
}

Test(checkpoints, without_a_public_key_they_are_counted_only)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    struct verify_options options = trail_options(trail);
    for (int i = 0; i < 20; i++)
        trail_event(trail, &thief);
    options.public_key_count = 0;
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 0);
    cr_assert_gt(verify_summary(verify)->checkpoints, 4);
    verify_free(verify);
    trail_free(trail);
}

/* The front was deleted, and what is left was made by somebody who has the keys of the chain alone. */
Test(checkpoints, a_long_trail_without_any, .timeout = 100)
{
    struct trail *trail = make(35);
    struct trail_writer thief = steal(trail);
    struct verify_options options = trail_options(trail);
    thief.interval = 0;
    trail_remove(trail, 0, 35);
    while (trail->count < 10100)
        trail_event(trail, &thief);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_OVERDUE);
    options.interval_events = 20000;
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 1, "such a number of lines is configured");
    cr_assert_eq(trail_first(verify)->kind, VERIFY_CHECKPOINT_MISSING, "but not one is there");
    verify_free(verify);
    trail_free(trail);
}

/* The front was deleted: the first checkpoint that is left tells how many lines can be in front of it. */
Test(checkpoints, more_lines_in_front_of_the_first_one_than_it_counts)
{
    struct trail *trail = make(35);
    trail_remove(trail, 0, 14);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_KIND_COUNT);
    trail->writer.point.unsigned_lines = 3;
    trail_remove(trail, 0, trail->count - 5);
    trail_checkpoint(trail, &trail->writer);
    cr_assert_eq(first_kind(trail, NULL), VERIFY_CHECKPOINT_MISSING);
    trail_free(trail);
}

/* The proxy got a new signing key between two starts. */
Test(checkpoints, of_several_keys)
{
    struct trail *trail = trail_new(10), *other = make(1);
    const struct checkpoint_public *keys[] = {trail->public_key, other->public_key};
    struct verify_options options = trail_options(trail);
    trail_start(trail, 25);
    trail->writer.signer = other->signer;
    trail_start(trail, 25);
    options.public_keys = keys;
    for (size_t count = 1; count <= 2; count++) {
        options.public_key_count = count;
        struct verify *verify = verify_new(&options);
        for (size_t i = 0; i < trail->count; i++)
            verify_line(verify, "trail", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
        verify_state(verify, "chain.state", &trail->writer.point);
        verify_finish(verify);
        cr_assert_eq(trail_first(verify) == NULL, count == 2);
        for (size_t index = 0; count == 1;) { /* those that are here are not said to be missing */
            const struct verify_finding *finding = verify_next_finding(verify, &index);
            if (finding == NULL)
                break;
            cr_assert_null(strstr(finding->text, "it is not here"), "%s", finding->text);
        }
        verify_free(verify);
    }
    trail_free(trail);
    trail_free(other);
}

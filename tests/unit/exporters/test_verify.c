/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of trails that nobody has touched, and of what is no trail at all. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "trail.h"

Test(verify, an_untouched_trail_holds)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    for (int i = 0; i < 3; i++)
        trail_start(trail, 45);
    struct verify *verify = trail_verify(trail, &options);
    const struct verify_summary *summary = verify_summary(verify);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(summary->findings, 0);
    cr_assert_eq(summary->lines, 135);
    cr_assert_eq(summary->starts, 3);
    cr_assert_eq(summary->checkpoints, 15, "%" PRIu64, summary->checkpoints);
    cr_assert_eq(summary->behind, 0);
    cr_assert(summary->whole);
    cr_assert_eq(summary->last_sequence, 45);
    cr_assert_lt(summary->first_us, summary->last_us);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, what_lies_behind_the_last_checkpoint_is_counted)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_begin(trail, &trail->writer);
    for (int i = 0; i < 7; i++)
        trail_event(trail, &trail->writer);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->behind, 7);
    cr_assert_eq(verify_summary(verify)->findings, 0);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, a_trail_may_begin_anywhere)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 50);
    trail_start(trail, 50);
    for (size_t gone = 1; gone < 99; gone++) {
        trail_remove(trail, 0, 1);
        struct verify *verify = trail_verify(trail, &options);
        cr_assert_null(trail_first(verify), "%zu gone: %s", gone, trail_first(verify)->text);
        cr_assert_not(verify_summary(verify)->whole);
        verify_free(verify);
    }
    trail_free(trail);
}

Test(verify, a_start_without_lines_leaves_no_finding)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 20);
    trail->writer.point.cursor.start++; /* as chain_writer_open() does, and the process dies */
    chain_next_secret(trail->writer.point.secret);
    trail_start(trail, 20);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->starts, 2);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, without_the_verification_key_links_and_signatures_are_checked)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    options.key = NULL;
    trail_start(trail, 50);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 0);
    cr_assert_eq(verify_summary(verify)->checkpoints, 6);
    verify_free(verify);

    trail_remove(trail, 25, 1);
    verify = trail_verify(trail, &options);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_MISSING);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, another_verification_key_is_one_finding)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    const uint8_t other[CHAIN_KEY_SIZE] = {1};
    trail_start(trail, 50);
    options.key = other;
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_NEW_CHAIN);
    cr_assert_eq(verify_summary(verify)->skipped, 49);
    verify_free(verify);

    trail_remove(trail, 0, 1); /* its beginning is not there */
    verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_CHANGED);
    cr_assert_eq(trail_first(verify)->count, 49);
    verify_free(verify);
    trail_free(trail);
}

/* Anybody can make a line without a link, of any time. */
Test(verify, lines_of_a_version_without_a_chain_are_findings_unless_it_is_said_until_when)
{
    for (int behind = 0; behind < 2; behind++) {
        for (int said = 0; said < 2; said++) {
            struct trail *trail = trail_new(10);
            struct verify_options options = trail_options(trail);
            trail_start(trail, 20);
            for (uint64_t i = 1; i <= 5; i++) {
                trail_unchained(trail, 0x6920d00000000001, i);
                if (!behind)
                    trail_move(trail, trail->count - 1, (size_t)i - 1);
            }
            options.repeats = true; /* a copy: what came before may come again behind */
            options.unchained_before = said ? 0x6920d00000000002 : 0x6920d00000000001;
            struct verify *verify = trail_verify(trail, &options);
            const struct verify_finding *first = trail_first(verify);
            cr_assert_eq(first == NULL, said);
            cr_assert_eq(verify_summary(verify)->unchained, said ? 5 : 0);
            if (first != NULL) {
                cr_assert_eq(first->kind, VERIFY_UNCHAINED);
                cr_assert_eq(first->count, 5);
                cr_assert_eq(first->line, behind ? 21 : 1);
            }
            verify_free(verify);
            trail_free(trail);
        }
    }
}

Test(verify, a_trail_without_any_chain_is_a_finding)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    for (uint64_t i = 1; i <= 5; i++)
        trail_unchained(trail, 0x6920d00000000001, i);
    options.unchained_before = UINT64_MAX;
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_not_null(trail_first(verify));
    cr_assert_eq(trail_first(verify)->kind, VERIFY_NOTHING);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, nothing_at_all_is_a_finding)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_NOTHING);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, links_cut_off_from_the_first_lines_are_found)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 20);
    for (size_t i = 0; i < 8; i++) {
        char *chain = strstr(trail->lines[i].text, ",\"chain\":");
        memcpy(chain, "}", 2);
        trail->lines[i].length = (size_t)(chain - trail->lines[i].text) + 1;
    }
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(trail_first(verify)->kind, VERIFY_UNCHAINED);
    cr_assert_eq(trail_first(verify)->count, 8);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, declared_gaps_are_findings_of_their_own)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_begin(trail, &trail->writer);
    trail_gap(trail, &trail->writer, 77);
    trail_event(trail, &trail->writer);
    trail_gap(trail, &trail->writer, 0);
    struct verify *verify = trail_verify(trail, &options);
    const struct verify_finding *first = trail_first(verify);
    cr_assert_eq(first->kind, VERIFY_GAP);
    cr_assert_eq(first->line, 2);
    cr_assert_eq(first->count, 77);
    cr_assert_not_null(strstr(first->text, "77 events are missing: the ring is damaged"));
    cr_assert_eq(verify_summary(verify)->gaps, 2);
    cr_assert_eq(verify_summary(verify)->lost, 77);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, what_is_no_line_is_said_once_a_row)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 20);
    for (int i = 0; i < 3; i++)
        trail_insert(trail, 10, "{\"a\":1}", 7);
    struct verify *verify = trail_verify(trail, &options);
    const struct verify_finding *first = trail_first(verify);
    cr_assert_eq(first->kind, VERIFY_NO_LINE);
    cr_assert_eq(first->line, 11);
    cr_assert_eq(first->count, 3);
    cr_assert_eq(verify_summary(verify)->findings, 1);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, what_retention_deleted_meanwhile_is_no_finding)
{
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 60);
    struct verify *verify = verify_new(&options);
    for (size_t i = 0; i < trail->count; i++) {
        if (i == 20)
            verify_gone(verify);
        if (i < 20 || i >= 35)
            verify_line(verify, "trail", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
    }
    verify_finish(verify);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, findings_are_bounded_and_counted)
{
    struct trail *trail = trail_new(0);
    struct verify_options options = trail_options(trail);
    trail_begin(trail, &trail->writer);
    for (int i = 0; i < 3 * (int)VERIFY_FINDINGS_MAX; i++)
        trail_event(trail, &trail->writer);
    for (size_t i = 3 * VERIFY_FINDINGS_MAX; i > 1; i -= 2)
        trail_remove(trail, i - 1, 1);
    struct verify *verify = trail_verify(trail, &options);
    size_t index = 0, kept = 0;
    while (verify_next_finding(verify, &index) != NULL)
        kept++;
    cr_assert_eq(kept, VERIFY_FINDINGS_MAX);
    cr_assert_gt(verify_summary(verify)->findings, 1400);
    verify_free(verify);
    trail_free(trail);
}

Test(verify, lines_far_inside_a_start_are_reached)
{
    struct trail *trail = trail_new(0);
    struct verify_options options = trail_options(trail);
    struct trail_writer *writer = &trail->writer;
    options.public_key_count = 0; /* there is no checkpoint */
    trail_begin(trail, writer);
    chain_next_key(writer->point.cursor.key, 1000000);
    writer->point.cursor.sequence += 1000000;
    trail_event(trail, writer);
    trail_event(trail, writer);
    trail_remove(trail, 0, 1);
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_null(trail_first(verify), "%s", trail_first(verify)->text);
    cr_assert_eq(verify_summary(verify)->last_sequence, 1000003);
    verify_free(verify);
    trail_free(trail);
}

/* A forged number must not have us walk for days. */
Test(verify, absurd_numbers_are_refused_at_once, .timeout = 60)
{
    static const char *const starts[] = {"\"start\":9223372036854775807", "\"start\":18446744073709551615",
        "\"start\":99999999999999999999", "\"start\":0", "\"start\":01", "\"start\":2000000"};
    struct trail *trail = trail_new(10);
    struct verify_options options = trail_options(trail);
    trail_start(trail, 20);
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        char text[16384];
        char *found = strstr(trail->lines[5].text, "\"start\":1");
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(found - trail->lines[5].text), trail->lines[5].text,
            starts[i], found + 9);
        struct trail *copy = trail_copy(trail);
        trail_remove(copy, 5, 1);
        trail_insert(copy, 5, text, strlen(text));
        struct verify *verify = trail_verify(copy, &options);
        cr_assert_eq(trail_first(verify)->line, 6);
        cr_assert_eq(trail_first(verify)->kind, VERIFY_CHANGED, "%s", trail_first(verify)->text);
        verify_free(verify);
        trail_free(copy);
    }
    for (int i = 0; i < 40; i++) { /* each of an epoch of its own, and far inside */
        char text[512];
        snprintf(text, sizeof(text),
            "{\"@timestamp\":\"2026-01-02T03:04:06.001245Z\",\"event\":{\"created\":\"2026-01-02T03:04:06."
            "001245Z\","
            "\"sequence\":9000000000000000000,\"id\":\"6920d2f2%08x-9000000000000000000\",\"x\":1},"
            "\"chain\":{\"epoch\":\"6920d2f2%08x\",\"start\":2,\"prev\":\"%064d\",\"hash\":\"%064d\"}}",
            (unsigned)i, (unsigned)i, 0, 0);
        trail_insert(trail, 10, text, strlen(text));
    }
    struct verify *verify = trail_verify(trail, &options);
    cr_assert_eq(trail_first(verify)->line, 11);
    verify_free(verify);
    trail_free(trail);
}

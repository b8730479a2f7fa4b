/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the count of lines without a checkpoint, and of the time that they wait for one, also where lines do
 * not come in their order: whoever delays a line now and then must not get out of it. Called by the other
 * files of the verification.
 *
 * Lines that are one behind the other and no checkpoints are a span. A late line makes one longer, begins one
 * or joins two; none ever gets shorter, so what is too long once was made by somebody without the signing
 * key, whatever still comes. Spans are kept while something beside them has not come. */
#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "exporters/verify_private.h"

#define VERIFY_SPANS 8192U /* two for each hole that is kept */
#define VERIFY_LOOSE 1024U /* starts */
#define SPAN_SLACK_SECONDS 60
/* What the configuration allows at most (config_chain.c). */
#define SPAN_EVENTS_MAX 10000000U
#define SPAN_SECONDS_MAX (24U * 3600)

/* ---- one span ---- */

static bool span_is_of(const struct verify_span *span, uint64_t start, uint64_t epoch)
{
    return span->from != 0 && span->start == start && span->epoch == epoch;
}

static struct verify_span span_of(const struct verify_input *input)
{
    return (struct verify_span){.start = input->link.start,
        .epoch = input->head.epoch,
        .from = input->head.sequence,
        .to = input->head.sequence,
        .first_us = input->head.sealed_us,
        .last_us = input->head.sealed_us};
}

/* behind begins where span ends. */
static void span_append(struct verify_span *span, const struct verify_span *behind)
{
    const uint64_t step_us = behind->first_us > span->last_us ? behind->first_us - span->last_us : 0;

    if (step_us > span->step_us)
        span->step_us = step_us;
    if (behind->step_us > span->step_us)
        span->step_us = behind->step_us;
    span->to = behind->to;
    span->last_us = behind->last_us;
    span->back_open = behind->back_open;
    span->told = span->told || behind->told;
}

/* A line waits for a checkpoint for interval.seconds at most, and what the clock and the batch add. A clock
 * that is set, or a machine that slept, makes one step that says nothing; a second one within the same lines
 * is believed. */
static bool span_waits_too_long(const struct verify_span *span, uint64_t seconds)
{
    const uint64_t limit_us = (2 * seconds + SPAN_SLACK_SECONDS) * 1000000;
    uint64_t waited_us = span->last_us - span->first_us;

    if (seconds == 0 || seconds > UINT32_MAX || span->last_us <= span->first_us)
        return false;
    if (span->step_us > limit_us)
        waited_us -= span->step_us < waited_us ? span->step_us : waited_us;
    return waited_us > limit_us;
}

/* The trail begins within that start, whose own interval nothing says, and goes on with later ones. */
static bool span_is_cut_front(const struct verify *verify, const struct verify_span *span)
{
    const struct verify_passed *passed = verify_find_start(verify, span->start, span->epoch);

    return span->start < verify->start && passed != NULL && passed->epoch == span->epoch && passed->first > 1;
}

/* What the checkpoints of its start say. Not known: what was said before. Of the start that the trail begins
 * in the configuration may have said something else than of those behind it, which vouch for its last line.
 */
static struct verify_interval span_interval(struct verify *verify, const struct verify_span *span)
{
    const struct verify_interval *interval = verify_interval_of(verify, span->start, span->epoch);

    if (interval != NULL && interval->known)
        return *interval;
    for (size_t i = 0; i < verify->loose_count; i++) {
        const struct verify_loose *loose = &verify->loose[i];
        if (loose->start == span->start && loose->epoch == span->epoch && loose->interval.known)
            return loose->interval;
    }
    if (span_is_cut_front(verify, span))
        return (struct verify_interval){false, SPAN_EVENTS_MAX, SPAN_SECONDS_MAX};
    return (struct verify_interval){
        false, verify->checkpoints.interval_events, verify->checkpoints.interval_seconds};
}

/* The checkpoint that says it may come behind the lines of its start: in any order, and where the start's
 * first line, which is one, is not here. */
static bool interval_may_come(
    struct verify *verify, const struct verify_span *span, const struct verify_interval *interval)
{
    return !interval->known &&
           (verify->options.any_order || !verify_begins_whole(verify, span->start, span->epoch));
}

static void span_report(struct verify *verify, const struct verify_span *span,
    const struct verify_input *input, const struct verify_interval *interval, bool many)
{
    char range[80] = "";

    if (input == NULL)
        snprintf(range, sizeof(range), "%016" PRIx64 "-%" PRIu64 " to -%" PRIu64 ": ", span->epoch,
            span->from, span->to);
    if (many)
        verify_report(verify, VERIFY_CHECKPOINT_OVERDUE, input, 1,
            "%smore than %" PRIu64
            " lines without a checkpoint: whoever sealed them did not have the signing key",
            range, interval->events);
    else
        verify_report(verify, VERIFY_CHECKPOINT_OVERDUE, input, 1,
            "%sno checkpoint for much longer than %" PRIu64
            " s: whoever sealed these lines did not have the signing key",
            range, interval->seconds);
}

/* input: the line at hand, if it is the last one of the span. last: nothing more will come. */
static void span_judge(
    struct verify *verify, struct verify_span *span, const struct verify_input *input, bool last)
{
    if (span->from == 0 || span->told)
        return;
    const struct verify_interval interval = span_interval(verify, span);
    const bool many = interval.events > 0 && span->to - span->from >= interval.events;
    if (!many && !span_waits_too_long(span, interval.seconds))
        return;
    if (!last && interval_may_come(verify, span, &interval))
        return;
    span->told = true;
    span_report(verify, span, input, &interval, many);
}

/* ---- spans that are kept ---- */

static bool span_is_settled(struct verify *verify, const struct verify_span *span)
{
    const struct verify_interval interval = span_interval(verify, span);

    return !span->front_open && !span->back_open &&
           (span->told || !interval_may_come(verify, span, &interval));
}

static void span_keep(struct verify *verify, struct verify_span *span)
{
    span_judge(verify, span, NULL, false);
    if (span_is_settled(verify, span))
        return;
    if (verify->span_count == VERIFY_SPANS) {
        span_judge(verify, span, NULL, true);
        if (verify->options.any_order)
            verify_report_streak(verify, VERIFY_ORDER, NULL,
                "too many lines stand elsewhere: those without a checkpoint can't be counted any more");
        return;
    }
    if (verify->spans == NULL)
        verify->spans = memory_calloc(VERIFY_SPANS, sizeof(*verify->spans));
    verify->spans[verify->span_count++] = *span;
}

static void span_remove(struct verify *verify, struct verify_span *span)
{
    *span = verify->spans[--verify->span_count];
}

/* It has got longer, or what stands beside it is known. The present one stays. */
static void span_look(struct verify *verify, struct verify_span *span)
{
    span_judge(verify, span, NULL, false);
    if (span != &verify->span && span_is_settled(verify, span))
        span_remove(verify, span);
}

/* The one that ends, or begins, at that line; NULL: none. */
static struct verify_span *span_find(struct verify *verify, const struct verify_input *input, bool end)
{
    const uint64_t sequence = end ? input->head.sequence - 1 : input->head.sequence + 1;

    for (size_t i = verify->span_count + 1; i-- > 0;) {
        struct verify_span *span = i == verify->span_count ? &verify->span : &verify->spans[i];
        if (span_is_of(span, input->link.start, input->head.epoch) &&
            (end ? span->to : span->from) == sequence)
            return span;
    }
    return NULL;
}

/* ---- lines in their place ---- */

void verify_drop_span(struct verify *verify)
{
    verify->span.from = 0;
}

/* The present one ends in front of input. */
static void span_close(struct verify *verify, const struct verify_input *input)
{
    struct verify_span *span = &verify->span;

    if (span->from == 0)
        return;
    span->back_open = span_is_of(span, input->link.start, input->head.epoch)
                          ? span->to + 1 != input->head.sequence
                          : verify_is_missing(verify, span->start, span->epoch, span->to + 1, span->to + 1);
    span_keep(verify, span);
    span->from = 0;
}

static bool span_place(struct verify *verify, const struct verify_input *input)
{
    const bool follows = verify->placed_start == input->link.start &&
                         verify->placed_epoch == input->head.epoch &&
                         verify->placed_sequence + 1 == input->head.sequence;

    verify->placed_start = input->link.start;
    verify->placed_epoch = input->head.epoch;
    verify->placed_sequence = input->head.sequence;
    return follows;
}

void verify_extend_span(struct verify *verify, const struct verify_input *input)
{
    struct verify_span *span = &verify->span, single = span_of(input);
    const bool follows = span_place(verify, input);

    if (span_is_of(span, single.start, single.epoch) && span->to + 1 == single.from) {
        span_append(span, &single);
    } else {
        span_close(verify, input);
        *span = single;
        span->front_open = !follows && single.from > 1;
    }
    span_judge(verify, span, input, false);
}

void verify_end_span(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval)
{
    span_place(verify, input);
    verify_bound_spans(verify, input, interval);
    span_close(verify, input);
}

/* ---- lines that come late ---- */

/* Whether what stands there may still come. What has come is in a span already, or ends one. */
static bool span_is_open_at(
    const struct verify *verify, const struct verify_input *input, uint64_t sequence, bool loose)
{
    if (sequence == 0 || verify_has_come(verify, input->head.epoch, sequence))
        return false;
    return loose || verify_is_missing(verify, input->link.start, input->head.epoch, sequence, sequence);
}

/* front has all of it. */
static void span_unite(struct verify *verify, struct verify_span *front, struct verify_span *back)
{
    struct verify_span united = *front;

    if (front == &verify->span || back == &verify->span) {
        span_remove(verify, front == &verify->span ? back : front);
        verify->span = united;
        span_look(verify, &verify->span);
        return;
    }
    span_remove(verify, front > back ? front : back); /* its place gets the last one */
    span_remove(verify, front > back ? back : front);
    span_keep(verify, &united);
}

void verify_join_span(struct verify *verify, const struct verify_input *input, bool loose)
{
    struct verify_span *front = span_find(verify, input, true), *back = span_find(verify, input, false);
    struct verify_span single = span_of(input);

    single.front_open = span_is_open_at(verify, input, single.from - 1, loose);
    single.back_open = span_is_open_at(verify, input, single.to + 1, loose);
    if (front != NULL && back != NULL) {
        span_append(front, &single);
        span_append(front, back);
        span_unite(verify, front, back);
    } else if (front != NULL) {
        span_append(front, &single);
        span_look(verify, front);
    } else if (back != NULL) {
        span_append(&single, back);
        *back = single;
        span_look(verify, back);
    } else {
        span_keep(verify, &single);
    }
}

void verify_close_span(struct verify *verify, uint64_t start, uint64_t epoch, uint64_t last)
{
    for (size_t i = verify->span_count; i-- > 0;) {
        struct verify_span *span = &verify->spans[i];
        if (!span_is_of(span, start, epoch) || span->to != last)
            continue;
        span->back_open = false;
        span_look(verify, span);
    }
}

void verify_bound_spans(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval)
{
    struct verify_interval *known = verify_interval_of(verify, input->link.start, input->head.epoch);
    const uint64_t sequence = input->head.sequence;

    if (known != NULL)
        *known = *interval;
    for (size_t i = verify->span_count + 1; i-- > 0;) {
        const bool kept = i < verify->span_count;
        struct verify_span *span = kept ? &verify->spans[i] : &verify->span;
        if (!span_is_of(span, input->link.start, input->head.epoch))
            continue;
        if (span->to + 1 == sequence)
            span->back_open = false;
        if (span->from == sequence + 1)
            span->front_open = false;
        span_judge(verify, span, NULL, false);
        if (kept && span_is_settled(verify, span))
            span_remove(verify, span);
    }
}

/* ---- lines that nothing links ---- */

static struct verify_loose *loose_of(struct verify *verify, const struct verify_input *input)
{
    if (verify->loose == NULL)
        verify->loose = memory_calloc(VERIFY_LOOSE, sizeof(*verify->loose));
    for (size_t i = 0; i < verify->loose_count; i++) {
        if (verify->loose[i].start == input->link.start)
            return &verify->loose[i];
    }
    if (verify->loose_count == VERIFY_LOOSE)
        return NULL;
    struct verify_loose *loose = &verify->loose[verify->loose_count++];
    *loose = (struct verify_loose){.start = input->link.start,
        .epoch = input->head.epoch,
        .interval = {false, verify->checkpoints.interval_events, verify->checkpoints.interval_seconds}};
    if (verify_find_start(verify, loose->start, loose->epoch) == NULL)
        verify->summary.starts++;
    return loose;
}

void verify_count_loose(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval)
{
    struct verify_loose *loose = loose_of(verify, input);

    if (loose == NULL) {
        verify_report_streak(verify, VERIFY_ORDER, input,
            "it stands behind lines of too many later starts: nothing can be said of it");
        return;
    }
    if (loose->epoch != input->head.epoch) {
        verify_report_streak(verify, VERIFY_KEY_REUSED, input,
            "its start was made twice: the state of the chain was put back, or somebody else has had it");
        return;
    }
    if (interval == NULL) {
        loose->lines++;
        return;
    }
    loose->interval = *interval;
    loose->checkpoints++;
}

/* A start of which all lines came late, and which is not the first one that is here: its own first line must
 * be among them, and that is a checkpoint. */
static bool loose_lacks_its_first(struct verify *verify, const struct verify_loose *loose)
{
    if (loose->checkpoints > 0 || verify_interval_of(verify, loose->start, loose->epoch) != NULL)
        return false;
    for (size_t i = 0; i < verify->loose_count; i++) {
        if (verify->loose[i].start < loose->start)
            return true;
    }
    return false;
}

/* In front of the first one of its checkpoints, and behind each, there are as many as the interval says at
 * most. */
static void loose_judge(struct verify *verify, const struct verify_loose *loose)
{
    const uint64_t events = loose->interval.events;

    if (loose_lacks_its_first(verify, loose) ||
        (events > 0 && loose->lines > 0 && (loose->lines - 1) / events > loose->checkpoints))
        verify_report(verify, VERIFY_CHECKPOINT_OVERDUE, NULL, loose->lines,
            "%" PRIu64 " lines of start %" PRIu64 " that came late have %" PRIu64
            " checkpoints: whoever sealed them did not have the signing key",
            loose->lines, loose->start, loose->checkpoints);
}

/* ---- the end ---- */

void verify_finish_spans(struct verify *verify)
{
    span_judge(verify, &verify->span, NULL, true);
    for (size_t i = 0; i < verify->span_count; i++)
        span_judge(verify, &verify->spans[i], NULL, true);
    verify->span_count = 0;
    for (size_t i = 0; i < verify->loose_count; i++)
        loose_judge(verify, &verify->loose[i]);
    verify->loose_count = 0;
}

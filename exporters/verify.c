/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the walk along the chain. Called by the command line, and fuzzed: every byte of a line may be an
 * attacker's.
 *
 *   line -> record_parse_head, chain_parse -> the key of its start and sequence -> genuine or not
 *     genuine: behind the last one | lines are missing in front of it | its place is behind us
 * (verify_places.c) not:     reported; it moves nothing, so that what follows is still held against the last
 * genuine line
 *
 * Each line can be checked by itself, because its key follows from its number: one bad line does not spoil
 * those behind it. Without a verification key every line that has the form counts as genuine, and only the
 * links tell. */
#include "exporters/verify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/secret.h"
#include "exporters/chain_state.h"
#include "exporters/verify_private.h"

/* ---- life ---- */

struct verify *verify_new(const struct verify_options *options)
{
    struct verify *verify = memory_calloc(1, sizeof(*verify));

    verify->magic = VERIFY_MAGIC;
    verify->options = *options;
    verify->streak = VERIFY_NONE;
    verify->name = "";
    verify_begin_checkpoints(verify);
    if (options->key != NULL)
        verify->keys =
            verify_keys_new(options->key, options->patience == 0 ? VERIFY_PATIENCE : options->patience);
    return verify;
}

void verify_free(struct verify *verify)
{
    if (verify == NULL)
        return;
    assert(verify->magic == VERIFY_MAGIC);
    verify_keys_free(verify->keys);
    free(verify->findings);
    free(verify->unused);
    free(verify->spans);
    free(verify->loose);
    for (size_t i = 0; i < VERIFY_SEEN_PARTS; i++)
        free(verify->seen[i]);
    free(verify->holes);
    free(verify->passed);
    verify->magic = 0;
    free(verify);
}

const struct verify_summary *verify_summary(const struct verify *verify)
{
    return &verify->summary;
}

/* ---- genuine lines ---- */

static bool hash_is_zero(const uint8_t hash[CHAIN_HASH_SIZE])
{
    static const uint8_t zero[CHAIN_HASH_SIZE];

    return memcmp(hash, zero, CHAIN_HASH_SIZE) == 0;
}

bool verify_is_genesis(const struct verify_input *input)
{
    return input->head.sequence == 1 && hash_is_zero(input->link.prev);
}

/* The line stands where it belongs: behind the last one. */
static void verify_accept(struct verify *verify, const struct verify_input *input)
{
    struct verify_summary *summary = &verify->summary;
    const struct verify_run *forged = &verify->forged;

    if (forged->from == input->head.sequence && forged->to == forged->from &&
        forged->start == input->link.start && forged->epoch == input->head.epoch &&
        forged->finding != VERIFY_NONE && verify->findings[forged->finding].count == 1)
        verify_retell(verify, forged->finding, VERIFY_INSERTED,
            "it does not belong here: the genuine line with its number is behind it");
    if (!verify->begun || verify->epoch != input->head.epoch)
        summary->starts++;
    if (!verify->begun) {
        verify->first_start = input->link.start;
        memcpy(verify->first_prev, input->link.prev, CHAIN_HASH_SIZE);
        summary->whole = verify_is_genesis(input);
        summary->first_epoch = input->head.epoch;
        summary->first_sequence = input->head.sequence;
        summary->first_us = input->head.sealed_us;
    }
    verify->begun = verify->linked = true;
    verify->start = input->link.start;
    verify->epoch = input->head.epoch;
    verify->next = input->head.sequence + 1;
    memcpy(verify->hash, input->link.hash, CHAIN_HASH_SIZE);
    verify->forged.from = verify->late.from = 0;
    verify->streak = VERIFY_NONE;
    summary->last_epoch = verify->epoch;
    summary->last_sequence = input->head.sequence;
    summary->last_us = input->head.sealed_us;
    verify_remember(verify, input);
    verify_pass(verify, input);
    verify_count_line(verify, input, VERIFY_IN_PLACE);
}

static bool verify_is_linked(const struct verify *verify, const struct verify_input *input)
{
    return !verify->linked || memcmp(verify->hash, input->link.prev, CHAIN_HASH_SIZE) == 0;
}

/* Lines [from, input) of input's own start are missing. Returns the finding. */
static size_t verify_miss(
    struct verify *verify, const struct verify_input *input, uint64_t from, uint64_t pair)
{
    struct verify_hole hole = {.start = input->link.start,
        .epoch = input->head.epoch,
        .from = from,
        .to = input->head.sequence - 1,
        .after_known = true,
        .before_known = verify->linked && pair == 0,
        .pair = pair};

    memcpy(hole.before, verify->hash, CHAIN_HASH_SIZE);
    memcpy(hole.after, input->link.prev, CHAIN_HASH_SIZE);
    verify_break_open(verify);
    if (hole.from == hole.to)
        hole.finding = verify_report(verify, VERIFY_MISSING, input, 1,
            "the line in front of it is missing: %016" PRIx64 "-%" PRIu64, hole.epoch, from);
    else
        hole.finding = verify_report(verify, VERIFY_MISSING, input, hole.to - hole.from + 1,
            "%" PRIu64 " lines in front of it are missing: %016" PRIx64 "-%" PRIu64 " to -%" PRIu64,
            hole.to - hole.from + 1, hole.epoch, from, hole.to);
    return verify_open_hole(verify, &hole);
}

/* The first lines of a start are missing: perhaps also the last ones of the start before. */
static void verify_miss_beginning(struct verify *verify, const struct verify_input *input)
{
    struct verify_hole end = {.start = verify->start,
        .epoch = verify->epoch,
        .from = verify->next,
        .to = UINT64_MAX,
        .next = input->link.start,
        .before_known = verify->linked,
        .pair = ++verify->pairs};

    memcpy(end.before, verify->hash, CHAIN_HASH_SIZE);
    end.finding = verify_miss(verify, input, 1, end.pair);
    verify_open_hole(verify, &end);
}

/* The first line of a start follows on another line than the last one that is here. */
static void verify_miss_end(struct verify *verify, const struct verify_input *input)
{
    struct verify_hole hole = {.start = verify->start,
        .epoch = verify->epoch,
        .from = verify->next,
        .to = UINT64_MAX,
        .next = input->link.start,
        .before_known = true,
        .after_known = true};

    memcpy(hole.before, verify->hash, CHAIN_HASH_SIZE);
    memcpy(hole.after, input->link.prev, CHAIN_HASH_SIZE);
    verify_break_open(verify);
    hole.finding = verify_report_end(verify, &hole, input);
    verify_open_hole(verify, &hole);
}

static void verify_genuine_start(struct verify *verify, const struct verify_input *input)
{
    if (input->head.sequence > 1)
        verify_miss_beginning(verify, input);
    else if (!verify_is_linked(verify, input)) {
        if (verify_find_fork(verify, verify->start, verify->epoch, verify->next - 1, input))
            verify_break(verify);
        else
            verify_miss_end(verify, input);
    }
    verify_accept(verify, input);
}

/* The same number of a start in two epochs: the state file was put back, and its keys were used again. */
static void verify_twin_start(struct verify *verify, const struct verify_input *input)
{
    uint8_t hash[16];

    verify_fingerprint(verify, input, hash);
    if (input->head.epoch < verify->epoch ||
        verify_recall(verify, input->head.epoch, input->head.sequence, hash) != 0) {
        verify_place_before(verify, input);
        return;
    }
    verify_report(verify, VERIFY_KEY_REUSED, input, 1,
        "start %" PRIu64 " was made twice: " CHAIN_STATE_NAME
        " was put back to an earlier time, or somebody else has had it",
        input->link.start);
    verify_break(verify);
    verify_accept(verify, input);
}

static void verify_genuine_next(struct verify *verify, const struct verify_input *input)
{
    if (input->head.sequence > verify->next)
        (void)verify_miss(verify, input, verify->next, 0);
    else if (!verify_is_linked(verify, input)) {
        verify_break(verify);
        verify_report(verify, VERIFY_REWRITTEN, input, 1,
            "it does not follow on the line in front of it: one of the two was replaced by somebody who has "
            "the keys");
    }
    verify_accept(verify, input);
}

static void verify_genuine(struct verify *verify, const struct verify_input *input)
{
    if (!verify->begun) {
        if (verify->summary.unchained > 0 && !verify_is_genesis(input))
            verify_report(verify, VERIFY_UNCHAINED, input, verify->summary.unchained,
                "lines without a link stand in front of it, but its chain had begun before");
        verify_accept(verify, input);
    } else if (input->link.start > verify->start) {
        verify_genuine_start(verify, input);
    } else if (input->link.start < verify->start) {
        verify_place_before(verify, input);
    } else if (input->head.epoch != verify->epoch) {
        verify_twin_start(verify, input);
    } else if (input->head.sequence < verify->next) {
        verify_place_before(verify, input);
    } else {
        verify_genuine_next(verify, input);
    }
}

/* ---- others ---- */

static void verify_extend_run(struct verify_run *run, const struct verify_input *input, size_t finding)
{
    if (run->from != 0 && run->start == input->link.start && run->epoch == input->head.epoch &&
        run->to + 1 == input->head.sequence) {
        run->to++;
        return;
    }
    *run = (struct verify_run){
        input->link.start, input->head.epoch, input->head.sequence, input->head.sequence, finding};
}

/* linked: its member could be read. */
static void verify_forged(struct verify *verify, struct verify_input *input, bool linked)
{
    const bool own = verify->begun && input->head.epoch == verify->epoch;
    const uint64_t sequence = input->head.sequence;

    verify_break(verify);
    if (!linked) { /* its place can be guessed all the same */
        input->link.start = verify->start;
        input->link.epoch = input->head.epoch;
    } else if (verify_is_genesis(input) && !own) {
        verify->foreign_epoch = input->head.epoch;
        verify_report(verify, VERIFY_NEW_CHAIN, input, 1, VERIFY_PLAIN);
        return;
    }
    size_t finding;
    if (own && sequence < verify->next)
        finding = verify_report_streak(verify, VERIFY_INSERTED, input,
            "its hash does not fit, and a line with its number was there already: it is forged");
    else
        finding = verify_report_streak(verify, VERIFY_CHANGED, input,
            verify->keys == NULL
                ? "the link at its end is damaged"
                : "its hash does not fit: it was changed, or it never was a line of this chain");
    verify_extend_run(&verify->forged, input, finding);
}

static bool verify_is_genuine(struct verify *verify, const struct verify_input *input)
{
    uint8_t key[CHAIN_KEY_SIZE];

    if (verify->keys == NULL)
        return input->link.start > 0;
    if (!verify_keys_get(verify->keys, input->link.start, input->head.epoch, input->head.sequence, key))
        return false;
    bool genuine = chain_holds(key, &input->link);
    secret_wipe(key, sizeof(key));
    if (genuine)
        verify_keys_trust(verify->keys, input->link.start, input->head.epoch, input->head.sequence);
    return genuine;
}

static void verify_unchained(struct verify *verify, const struct verify_input *input)
{
    /* Anybody can make one, of any time: whoever has lines of a version without a chain says so. */
    bool older =
        input->head.epoch < verify->options.unchained_before && (!verify->begun || verify->options.repeats);

    if (older)
        verify->summary.unchained++;
    else
        verify_report_streak(verify, VERIFY_UNCHAINED, input,
            verify->begun ? "it has no link, though it stands in the midst of the chain"
                          : "it has no link: it may be of a version without a chain, or be anybody's");
}

/* ---- input ---- */

void verify_no_line(struct verify *verify, const char *name, uint64_t number, const char *text)
{
    assert(verify->magic == VERIFY_MAGIC);
    verify->name = name;
    verify->number = number;
    verify->summary.lines++;
    verify_break(verify);
    verify_report_streak(verify, VERIFY_NO_LINE, NULL, text);
}

void verify_stray(struct verify *verify, const char *name, const char *text)
{
    assert(verify->magic == VERIFY_MAGIC);
    verify->name = name;
    verify->number = 0;
    verify_report(verify, VERIFY_NO_LINE, NULL, 1, "%s", text);
}

void verify_line(struct verify *verify, const char *name, uint64_t number, struct view line)
{
    struct verify_input input = {.text = line};

    assert(verify->magic == VERIFY_MAGIC);
    if (line.length > RECORD_LINE_MAX || record_parse_head(line, &input.head) != 0) {
        verify_no_line(verify, name, number, "it is no line of mqward");
        return;
    }
    verify->name = name;
    verify->number = number;
    verify->summary.lines++;
    enum chain_member member = chain_parse(line, &input.link);
    if (member == CHAIN_ABSENT)
        verify_unchained(verify, &input);
    else if (member == CHAIN_LINKED && verify->foreign_epoch != 0 &&
             input.head.epoch == verify->foreign_epoch && !verify_is_genuine(verify, &input))
        verify->summary.skipped++;
    else if (member == CHAIN_MANGLED || input.link.epoch != input.head.epoch ||
             !verify_is_genuine(verify, &input))
        verify_forged(verify, &input, member == CHAIN_LINKED);
    else
        verify_genuine(verify, &input);
}

void verify_gone(struct verify *verify)
{
    assert(verify->magic == VERIFY_MAGIC);
    verify->begun = verify->linked = false;
    verify->forged.from = verify->late.from = 0;
    verify->streak = VERIFY_NONE;
    verify_drop_span(verify);
    verify_begin_checkpoints(verify);
}

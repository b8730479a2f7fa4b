/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is known of lines that came before, and of those that did not come. Called by verify.c.
 *
 * Sinks deliver at least once: after an outage they begin again at their cursor. So a copy of the trail may
 * have lines twice, and, where a server refused one and took those behind it, a line behind its place. A line
 * is recognised by its hash: of the last VERIFY_SEEN lines it is kept. Lines that were left out are holes
 * until they come. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/sha.h>

#include "base/memory.h"
#include "exporters/verify_private.h"

#define VERIFY_SEEN ((size_t)VERIFY_SEEN_PARTS * VERIFY_SEEN_PART) /* lines: 8 MiB when all are there */

/* ---- lines that came ---- */

/* Neighbours of one epoch have neighbouring places, so that the last VERIFY_SEEN of them are kept. NULL: that
 * part is not there yet. */
static struct verify_seen *seen_place(const struct verify *verify, uint64_t epoch, uint64_t sequence)
{
    uint64_t place = (epoch * UINT64_C(0x9e3779b97f4a7c15) + sequence) % VERIFY_SEEN;
    struct verify_seen *part = verify->seen[place / VERIFY_SEEN_PART];

    return part == NULL ? NULL : &part[place % VERIFY_SEEN_PART];
}

static struct verify_seen *seen_make_place(struct verify *verify, uint64_t epoch, uint64_t sequence)
{
    uint64_t place = (epoch * UINT64_C(0x9e3779b97f4a7c15) + sequence) % VERIFY_SEEN;
    struct verify_seen **part = &verify->seen[place / VERIFY_SEEN_PART];

    if (*part == NULL)
        *part = memory_calloc(VERIFY_SEEN_PART, sizeof(**part));
    return &(*part)[place % VERIFY_SEEN_PART];
}

void verify_fingerprint(const struct verify *verify, const struct verify_input *input, uint8_t hash[16])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];

    if (verify->keys != NULL) { /* the hash was checked: it stands for the line */
        memcpy(hash, input->link.hash, 16);
        return;
    }
    SHA256(input->text.data, input->text.length, digest);
    memcpy(hash, digest, 8);
    memcpy(hash + 8, input->link.hash, 8); /* by which the line behind it names it */
}

void verify_remember(struct verify *verify, const struct verify_input *input)
{
    struct verify_seen *seen = seen_make_place(verify, input->head.epoch, input->head.sequence);

    seen->epoch = input->head.epoch;
    seen->sequence = input->head.sequence;
    verify_fingerprint(verify, input, seen->hash);
}

int verify_recall(const struct verify *verify, uint64_t epoch, uint64_t sequence, const uint8_t hash[16])
{
    const struct verify_seen *seen = seen_place(verify, epoch, sequence);

    if (seen == NULL || seen->epoch != epoch || seen->sequence != sequence)
        return 0;
    return memcmp(seen->hash, hash, sizeof(seen->hash)) == 0 ? 1 : -1;
}

bool verify_has_come(const struct verify *verify, uint64_t epoch, uint64_t sequence)
{
    const struct verify_seen *seen = seen_place(verify, epoch, sequence);

    return seen != NULL && seen->epoch == epoch && seen->sequence == sequence;
}

bool verify_has_hash(
    const struct verify *verify, uint64_t epoch, uint64_t sequence, const uint8_t hash[CHAIN_HASH_SIZE])
{
    if (!verify_has_come(verify, epoch, sequence))
        return false;
    const uint8_t *kept = seen_place(verify, epoch, sequence)->hash;
    return (verify->keys != NULL ? memcmp(kept, hash, 16) : memcmp(kept + 8, hash, 8)) == 0;
}

/* ---- lines that did not come ---- */

static bool run_covers(const struct verify_run *run, const struct verify_hole *hole)
{
    return run->from != 0 && run->start == hole->start && run->epoch == hole->epoch &&
           run->from <= hole->from && hole->to <= run->to;
}

/* Without room for it its finding stays, whatever comes: then it is false. */
static bool hole_add(struct verify *verify, const struct verify_hole *hole)
{
    if (verify->hole_count == VERIFY_HOLES) {
        verify->forgotten = true;
        for (size_t i = 0; hole->finding != VERIFY_NONE && i < VERIFY_HOLES; i++) {
            if (verify->holes[i].finding == hole->finding)
                verify->holes[i].finding = VERIFY_NONE;
        }
        return false;
    }
    if (verify->holes == NULL)
        verify->holes = memory_calloc(VERIFY_HOLES, sizeof(*verify->holes));
    verify->holes[verify->hole_count++] = *hole;
    return true;
}

size_t verify_open_hole(struct verify *verify, const struct verify_hole *hole)
{
    struct verify_hole opened = *hole;

    if (run_covers(&verify->forged, hole)) {
        /* Something stood in their place, and was reported as what it is. */
        verify_withdraw(verify, hole->finding);
        opened.finding = VERIFY_NONE;
    }
    return hole_add(verify, &opened) ? opened.finding : VERIFY_NONE;
}

bool verify_is_missing(
    const struct verify *verify, uint64_t start, uint64_t epoch, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < verify->hole_count; i++) {
        const struct verify_hole *hole = &verify->holes[i];
        if (hole->start == start && hole->epoch == epoch && hole->from <= to && from <= hole->to)
            return true;
    }
    return false;
}

static struct verify_hole *hole_find(struct verify *verify, const struct verify_input *input)
{
    for (size_t i = verify->hole_count; i-- > 0;) {
        struct verify_hole *hole = &verify->holes[i];
        if (hole->start == input->link.start && hole->epoch == input->head.epoch &&
            hole->from <= input->head.sequence && input->head.sequence <= hole->to)
            return hole;
    }
    return NULL;
}

static void hole_remove(struct verify *verify, struct verify_hole *hole)
{
    *hole = verify->holes[--verify->hole_count];
}

/* Start A, its end, and the first line that is here of start B, behind it; a start between them may come. */
static struct verify_hole *hole_around(struct verify *verify, const struct verify_input *input)
{
    for (size_t i = 0; i < verify->hole_count; i++) {
        struct verify_hole *hole = &verify->holes[i];
        if (hole->to == UINT64_MAX && hole->start < input->link.start && input->link.start < hole->next)
            return hole;
    }
    return NULL;
}

/* input is in the hole: what is left of it. An end that is not known is where its hash is what follows. False
 * if there was no room for that. */
static bool hole_take(struct verify *verify, struct verify_hole *hole, const struct verify_input *input)
{
    struct verify_hole behind = *hole;
    uint64_t sequence = input->head.sequence;
    bool ends = hole->to == UINT64_MAX && hole->after_known &&
                memcmp(hole->after, input->link.hash, CHAIN_HASH_SIZE) == 0;

    behind.from = sequence + 1;
    behind.before_known = true;
    memcpy(behind.before, input->link.hash, CHAIN_HASH_SIZE);
    if (ends)
        behind.to = sequence;
    if (hole->from == sequence && behind.from > behind.to) {
        hole_remove(verify, hole);
    } else if (hole->from == sequence) {
        *hole = behind;
    } else {
        hole->to = sequence - 1;
        hole->after_known = true;
        memcpy(hole->after, input->link.prev, CHAIN_HASH_SIZE);
        if (behind.from <= behind.to)
            return hole_add(verify, &behind);
    }
    return true;
}

size_t verify_report_end(
    struct verify *verify, const struct verify_hole *hole, const struct verify_input *input)
{
    return verify_report(verify, VERIFY_CUT, input, 1,
        "what it follows on is missing: lines behind %016" PRIx64 "-%" PRIu64 " at the end of start %" PRIu64
        "%s",
        hole->epoch, hole->from - 1, hole->start,
        input->link.start > hole->start + 1 ? ", or whole starts behind it" : "");
}

/* The first line of the next start that is here has come late, and tells what hole, the end of a start, ends
 * with. True if that is all there. */
static bool hole_end(struct verify *verify, struct verify_hole *hole, const struct verify_input *input)
{
    memcpy(hole->after, input->link.prev, CHAIN_HASH_SIZE);
    hole->after_known = true;
    hole->pair = 0;
    if (hole->before_known && memcmp(hole->before, hole->after, CHAIN_HASH_SIZE) == 0) {
        verify_close_span(verify, hole->start, hole->epoch, hole->from - 1);
        return true;
    }
    if (hole->before_known && verify_find_fork(verify, hole->start, hole->epoch, hole->from - 1, input))
        return true;
    hole->finding = verify_report_end(verify, hole, input);
    return false;
}

static void hole_join(struct verify *verify, uint64_t pair, const struct verify_input *input)
{
    for (size_t i = 0; pair != 0 && i < verify->hole_count; i++) {
        struct verify_hole *hole = &verify->holes[i];
        if (hole->pair != pair || hole->to != UINT64_MAX)
            continue;
        if (hole_end(verify, hole, input))
            hole_remove(verify, hole);
        return;
    }
}

/* The finding of a hole gets smaller, and goes with its last line. */
static void hole_tell(struct verify *verify, size_t finding)
{
    if (finding == VERIFY_NONE || verify->findings[finding].withdrawn)
        return;
    for (size_t i = 0; i < verify->hole_count; i++) {
        if (verify->holes[i].finding == finding) {
            if (verify->findings[finding].count > 1)
                verify->findings[finding].count--;
            return;
        }
    }
    verify_withdraw(verify, finding);
}

/* One finding for a row of lines that stand behind their place. */
static void late_report(struct verify *verify, const struct verify_input *input)
{
    struct verify_run *late = &verify->late;

    if (late->from != 0 && late->start == input->link.start && late->epoch == input->head.epoch &&
        late->to + 1 == input->head.sequence) {
        late->to++;
        if (late->finding != VERIFY_NONE)
            verify->findings[late->finding].count++;
        return;
    }
    *late = (struct verify_run){.start = input->link.start,
        .epoch = input->head.epoch,
        .from = input->head.sequence,
        .to = input->head.sequence};
    late->finding = verify_report(verify, VERIFY_ORDER, input, 1,
        "it stands behind %016" PRIx64 "-%" PRIu64 ", and belongs in front of it", verify->epoch,
        verify->next - 1);
}

static void late_take(struct verify *verify, const struct verify_input *input, enum verify_place place)
{
    if (verify->options.any_order)
        verify->summary.late++;
    else
        late_report(verify, input);
    verify_remember(verify, input);
    verify_count_line(verify, input, place);
}

static void place_late(struct verify *verify, struct verify_hole *hole, const struct verify_input *input)
{
    bool fits = true;
    const size_t finding = hole->finding;
    const uint64_t pair = input->head.sequence == 1 ? hole->pair : 0;

    verify->streak = VERIFY_NONE;
    if (hole->from == input->head.sequence && hole->before_known)
        fits = memcmp(hole->before, input->link.prev, CHAIN_HASH_SIZE) == 0;
    if (hole->to == input->head.sequence && hole->after_known)
        fits = fits && memcmp(hole->after, input->link.hash, CHAIN_HASH_SIZE) == 0;
    const bool kept = hole_take(verify, hole, input);
    hole_join(verify, pair, input);
    if (kept)
        hole_tell(verify, finding);
    if (!fits)
        verify_report(verify, VERIFY_REWRITTEN, input, 1,
            "it is not the line that its neighbours in the chain were sealed with");
    verify_pass_late(verify, input);
    late_take(verify, input, VERIFY_LATE);
}

/* The first lines of a start that comes late; the others are as missing as those of one in its place. */
static void start_open(struct verify *verify, struct verify_hole *end, const struct verify_input *input)
{
    struct verify_hole beginning = {.start = input->link.start,
        .epoch = input->head.epoch,
        .from = 1,
        .to = input->head.sequence - 1,
        .after_known = true};

    if (input->head.sequence == 1) {
        if (!hole_end(verify, end, input))
            (void)hole_add(verify, end);
        return;
    }
    end->pair = beginning.pair = ++verify->pairs;
    memcpy(beginning.after, input->link.prev, CHAIN_HASH_SIZE);
    beginning.finding = end->finding = verify_report(verify, VERIFY_MISSING, input, beginning.to,
        "lines in front of it are missing: %016" PRIx64 "-1 to -%" PRIu64, beginning.epoch, beginning.to);
    if (!hole_add(verify, &beginning))
        end->finding = VERIFY_NONE;
    (void)hole_add(verify, end);
}

/* The first line that comes of a start between two others: what was missing in front of the later one was its
 * end. */
static void place_start(struct verify *verify, struct verify_hole *around, const struct verify_input *input)
{
    struct verify_hole end = *around, rest = *around;
    const size_t finding = around->finding;
    bool kept = true;

    hole_remove(verify, around);
    verify->streak = VERIFY_NONE;
    verify->summary.starts++;
    verify_pass_start(verify, input);
    rest.start = input->link.start;
    rest.epoch = input->head.epoch;
    rest.from = input->head.sequence + 1;
    rest.before_known = true;
    memcpy(rest.before, input->link.hash, CHAIN_HASH_SIZE);
    if (!rest.after_known || memcmp(rest.after, rest.before, CHAIN_HASH_SIZE) != 0)
        kept = hole_add(verify, &rest);
    end.next = input->link.start;
    end.after_known = false;
    end.pair = 0;
    start_open(verify, &end, input);
    if (kept)
        hole_tell(verify, finding);
    late_take(verify, input, VERIFY_LATE);
}

/* What is here of the trail begins with it. */
static void front_extend(struct verify *verify, const struct verify_input *input)
{
    struct verify_summary *summary = &verify->summary;

    if (input->head.epoch != summary->first_epoch || input->head.sequence + 1 != summary->first_sequence)
        return;
    if (memcmp(verify->first_prev, input->link.hash, CHAIN_HASH_SIZE) != 0) {
        verify_report(verify, VERIFY_REWRITTEN, input, 1,
            "it is not the line that its neighbours in the chain were sealed with");
        return;
    }
    memcpy(verify->first_prev, input->link.prev, CHAIN_HASH_SIZE);
    summary->first_sequence = input->head.sequence;
    summary->first_us = input->head.sealed_us;
    summary->whole = verify_is_genesis(input);
    verify_pass_late(verify, input);
}

/* Of a start or a part of one of which nothing had come: it is late, and nothing says what else is missing.
 */
static void place_unlinked(struct verify *verify, const struct verify_input *input)
{
    verify->streak = VERIFY_NONE;
    front_extend(verify, input);
    late_take(verify, input, VERIFY_LOOSE_LINE);
}

/* The start behind it follows on the one in front of it, so it has no lines. */
static bool start_is_excluded(const struct verify *verify, uint64_t start)
{
    /* Otherwise it is in front of what is here, or it was forgotten. */
    return start >= verify->first_start && verify->passed_count <= VERIFY_PASSED && !verify->forgotten;
}

/* Nothing is known of a line with this event.id, and it is missing nowhere. */
static void place_unknown(struct verify *verify, const struct verify_input *input)
{
    const struct verify_passed *passed = verify_find_start(verify, input->link.start, input->head.epoch);

    if (passed != NULL && passed->epoch != input->head.epoch) {
        verify_report_streak(verify, VERIFY_KEY_REUSED, input,
            "its start was made twice: the state of the chain was put back, or somebody else has had it");
    } else if (passed == NULL && start_is_excluded(verify, input->link.start)) {
        verify_report_streak(verify, VERIFY_INSERTED, input,
            "the starts around its own follow on one another: made by somebody who has had the keys");
    } else if (passed == NULL || input->head.sequence < passed->first) {
        place_unlinked(verify, input);
    } else if (input->head.sequence > passed->last) {
        verify_report_streak(verify, VERIFY_INSERTED, input,
            "its start had ended before it, and the next one follows on another line: the proxy had lost it, "
            "or it was made by somebody who has had the keys");
    } else if (verify->options.repeats) {
        verify->summary.repeats++;
        verify->summary.far++;
    } else {
        verify_report_streak(verify, VERIFY_REPEATED, input, "it stands here a second time");
    }
}

void verify_place_before(struct verify *verify, const struct verify_input *input)
{
    uint8_t hash[16];

    verify_fingerprint(verify, input, hash);
    int known = verify_recall(verify, input->head.epoch, input->head.sequence, hash);
    struct verify_hole *hole = known == 0 ? hole_find(verify, input) : NULL;
    struct verify_hole *around = known == 0 && hole == NULL ? hole_around(verify, input) : NULL;
    if (known == -1)
        verify_report(verify, VERIFY_KEY_REUSED, input, 1,
            "another line with this event.id was there before: %s",
            verify->keys != NULL ? "both are sealed with its key, which only one can have been"
                                 : "one of them is forged");
    else if (hole != NULL)
        place_late(verify, hole, input);
    else if (around != NULL)
        place_start(verify, around, input);
    else if (known == 0)
        place_unknown(verify, input);
    else if (verify->options.repeats)
        verify->summary.repeats++;
    else
        verify_report_streak(verify, VERIFY_REPEATED, input, "it stands here a second time, unchanged");
}

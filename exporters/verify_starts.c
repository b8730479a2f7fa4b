/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is known of the starts of a trail: which of their lines have come, and how often they have a
 * checkpoint. Called by the other files of the verification. */
#include <inttypes.h>
#include <stdio.h>

#include "base/memory.h"
#include "exporters/verify_private.h"

#define VERIFY_SEEN ((uint64_t)VERIFY_SEEN_PARTS * VERIFY_SEEN_PART)

void verify_pass(struct verify *verify, const struct verify_input *input)
{
    if (verify->passed == NULL)
        verify->passed = memory_calloc(VERIFY_PASSED, sizeof(*verify->passed));
    struct verify_passed *passed =
        verify->passed_count == 0 ? NULL : &verify->passed[(verify->passed_count - 1) % VERIFY_PASSED];
    if (passed == NULL || passed->start != input->link.start || passed->epoch != input->head.epoch) {
        passed = &verify->passed[verify->passed_count++ % VERIFY_PASSED];
        *passed = (struct verify_passed){
            .start = input->link.start, .epoch = input->head.epoch, .first = input->head.sequence};
    }
    passed->last = input->head.sequence;
}

const struct verify_passed *verify_find_start(const struct verify *verify, uint64_t start, uint64_t epoch)
{
    size_t count = verify->passed_count < VERIFY_PASSED ? verify->passed_count : VERIFY_PASSED;
    const struct verify_passed *found = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct verify_passed *passed = &verify->passed[i];
        if (passed->start == start && (found == NULL || passed->epoch == epoch))
            found = passed;
    }
    return found;
}

struct verify_interval *verify_interval_of(struct verify *verify, uint64_t start, uint64_t epoch)
{
    if (verify->passed_count == 0)
        return NULL;
    struct verify_passed *passed = &verify->passed[(verify->passed_count - 1) % VERIFY_PASSED];
    if (passed->start != start || passed->epoch != epoch)
        passed = (struct verify_passed *)verify_find_start(verify, start, epoch);
    return passed == NULL || passed->epoch != epoch ? NULL : &passed->interval;
}

void verify_pass_late(struct verify *verify, const struct verify_input *input)
{
    struct verify_passed *passed =
        (struct verify_passed *)verify_find_start(verify, input->link.start, input->head.epoch);

    if (passed == NULL || passed->epoch != input->head.epoch)
        return;
    if (input->head.sequence < passed->first)
        passed->first = input->head.sequence;
    if (input->head.sequence > passed->last)
        passed->last = input->head.sequence;
}

void verify_pass_start(struct verify *verify, const struct verify_input *input)
{
    struct verify_passed *newest = &verify->passed[(verify->passed_count - 1) % VERIFY_PASSED];

    verify->passed[verify->passed_count++ % VERIFY_PASSED] = *newest;
    *newest = (struct verify_passed){.start = input->link.start,
        .epoch = input->head.epoch,
        .first = input->head.sequence,
        .last = input->head.sequence};
}

bool verify_begins_whole(const struct verify *verify, uint64_t start, uint64_t epoch)
{
    const struct verify_passed *passed = verify_find_start(verify, start, epoch);

    return passed != NULL && passed->epoch == epoch && passed->first == 1;
}

/* The line of the start whose hash that is; 0: none that is known. */
static uint64_t passed_find_line(
    const struct verify *verify, uint64_t start, uint64_t epoch, const uint8_t hash[CHAIN_HASH_SIZE])
{
    const struct verify_passed *passed = verify_find_start(verify, start, epoch);

    if (passed == NULL || passed->epoch != epoch)
        return 0;
    for (uint64_t back = 0; back <= passed->last - passed->first && back < VERIFY_SEEN; back++) {
        if (verify_has_hash(verify, epoch, passed->last - back, hash))
            return passed->last - back;
    }
    return 0;
}

/* After a power cut the proxy goes on behind what its disk had; a sink may have got more. Who has had its
 * keys can make that, too, but not the checkpoints in it. */
bool verify_find_fork(
    struct verify *verify, uint64_t start, uint64_t epoch, uint64_t last, const struct verify_input *input)
{
    const struct verify_summary *summary = &verify->summary;
    const uint64_t from = passed_find_line(verify, start, epoch, input->link.prev);
    char signed_[80] = "";

    if (from == 0 || from >= last)
        return false;
    if (verify->options.public_key_count > 0 && summary->checkpoint_epoch == epoch &&
        summary->checkpoint_sequence > from)
        snprintf(signed_, sizeof(signed_), "; the checkpoint -%" PRIu64 " is its own",
            summary->checkpoint_sequence);
    verify_report(verify, VERIFY_FORKED, input, last - from,
        "it follows on %016" PRIx64 "-%" PRIu64 "; -%" PRIu64 " to -%" PRIu64
        " are here, but the proxy did not have them any more (a power cut), or somebody who has had its keys "
        "made them%s",
        epoch, from, from + 1, last, signed_);
    return true;
}

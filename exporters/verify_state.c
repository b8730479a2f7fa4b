/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what can be said of the end of a trail, which no line behind it speaks for. Called after the last
 * line. */
#include <assert.h>
#include <inttypes.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/secret.h"
#include "exporters/chain_state.h"
#include "exporters/verify_private.h"

static void state_cut(struct verify *verify, const struct chain_cursor *cursor, uint64_t missing)
{
    verify_report(verify, VERIFY_CUT, NULL, missing,
        "the proxy has sealed lines up to %016" PRIx64 "-%" PRIu64 ", the trail ends with %016" PRIx64
        "-%" PRIu64 ": its end was cut off",
        cursor->epoch, cursor->sequence - 1, verify->epoch, verify->begun ? verify->next - 1 : 0);
}

static void state_same_start(struct verify *verify, const struct chain_cursor *cursor)
{
    const struct verify_run *forged = &verify->forged;
    uint64_t next = verify->next;

    if (forged->from == next && forged->epoch == verify->epoch)
        next = forged->to + 1; /* they were reported as what they are */
    if (cursor->sequence > next)
        state_cut(verify, cursor, cursor->sequence - next);
    else if (cursor->sequence > 1 && next == verify->next &&
             (cursor->sequence == next
                     ? memcmp(cursor->prev, verify->hash, CHAIN_HASH_SIZE) != 0
                     : verify->keys != NULL &&
                           verify_recall(verify, cursor->epoch, cursor->sequence - 1, cursor->prev) == -1))
        verify_report(verify, VERIFY_REWRITTEN, NULL, 1,
            "line %016" PRIx64 "-%" PRIu64 " is not the one that the proxy has sealed", cursor->epoch,
            cursor->sequence - 1);
}

/* Whoever has no key, or only those of a later place, can't make the ones of this place. */
static bool state_is_genuine(struct verify *verify, const struct chain_point *point)
{
    const struct chain_cursor *cursor = &point->cursor;
    uint8_t key[CHAIN_KEY_SIZE] = {0};

    if (verify->keys == NULL)
        return true;
    bool genuine = verify_keys_secret(verify->keys, cursor->start, key) &&
                   CRYPTO_memcmp(key, point->secret, sizeof(key)) == 0;
    if (genuine && cursor->sequence > 0)
        genuine = verify_keys_get(verify->keys, cursor->start, cursor->epoch, cursor->sequence, key) &&
                  CRYPTO_memcmp(key, cursor->key, sizeof(key)) == 0;
    secret_wipe(key, sizeof(key));
    return genuine;
}

void verify_no_state(struct verify *verify, const char *name, const char *text)
{
    assert(verify->magic == VERIFY_MAGIC);
    verify->name = name;
    verify->number = 0;
    verify_report(verify, VERIFY_STATE, NULL, 1, "%s", text);
}

void verify_state_again(struct verify *verify, const char *name, const struct chain_point *point)
{
    const struct chain_cursor *cursor = &point->cursor;

    assert(verify->magic == VERIFY_MAGIC);
    if (!verify->begun)
        return;
    if (cursor->start < verify->start)
        verify_no_state(verify, name, "it is older than the trail: it was put back to an earlier time");
    else if (cursor->start == verify->start && cursor->epoch != verify->epoch)
        verify_no_state(verify, name, "it is of another start with the number of the trail's last one");
}

void verify_state(struct verify *verify, const char *name, const struct chain_point *point)
{
    const struct chain_cursor *cursor = &point->cursor;

    assert(verify->magic == VERIFY_MAGIC);
    verify->name = name;
    verify->number = 0;
    if (!state_is_genuine(verify, point))
        verify_report(verify, VERIFY_STATE, NULL, 1,
            "its keys are not those of its place: it was not made by the proxy, or is of another chain");
    if (cursor->sequence == 0) /* no start with lines yet */
        return;
    if (!verify->begun) {
        if (point->kept_until_us < clock_wall_us()) /* retention may have taken all of it */
            return;
        if (cursor->sequence > 1 || cursor->start > 1)
            verify_report(verify, VERIFY_CUT, NULL, 1,
                "the proxy has sealed lines up to start %" PRIu64 ", line %" PRIu64
                ", and not one of them is here",
                cursor->start, cursor->sequence - 1);
        return;
    }
    if (cursor->start == verify->start && cursor->epoch == verify->epoch)
        state_same_start(verify, cursor);
    else if (cursor->start > verify->start && cursor->sequence > 1)
        state_cut(verify, cursor, cursor->sequence - 1);
    else if (cursor->start > verify->start && verify->linked &&
             memcmp(cursor->prev, verify->hash, CHAIN_HASH_SIZE) != 0)
        verify_report(verify, VERIFY_CUT, NULL, 1,
            "the trail ends with %016" PRIx64 "-%" PRIu64
            ", which is not the last line that the proxy knows of",
            verify->epoch, verify->next - 1);
    if (verify->options.public_key_count > 0 && point->checkpoint_sequence != 0 &&
        verify->summary.has_checkpoint && cursor->start == verify->start &&
        point->checkpoint_epoch == verify->epoch && point->checkpoint_sequence < verify->next &&
        (verify->checkpoints.epoch != point->checkpoint_epoch ||
            verify->checkpoints.sequence < point->checkpoint_sequence) &&
        (verify->refused_epoch != point->checkpoint_epoch ||
            verify->refused_sequence != point->checkpoint_sequence))
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, NULL, 1,
            "the proxy has made checkpoint %016" PRIx64 "-%" PRIu64 ", and it is not here",
            point->checkpoint_epoch, point->checkpoint_sequence);
}

void verify_finish(struct verify *verify)
{
    struct verify_summary *summary = &verify->summary;

    assert(verify->magic == VERIFY_MAGIC);
    verify->name = "the trail";
    verify->number = 0;
    verify_finish_spans(verify);
    if (summary->starts == 0 && summary->findings == 0)
        verify_report(verify, VERIFY_NOTHING, NULL, 1,
            summary->lines == 0 ? "there is not one line: there is nothing to verify"
                                : "not one line has a link of the chain: there is nothing to verify");
    if (summary->starts > 0 && summary->checkpoints == 0 && verify->options.public_key_count > 0)
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, NULL, 1,
            "there is not one checkpoint that holds: nothing tells who has sealed these lines");
    verify_sort_findings(verify);
}

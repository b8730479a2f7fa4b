/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-signatures measures: signature_verify() as the session calls it, alone and with what
 * follows in the replay store. The keys are in the keyring's cache after the first round. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "micro_signatures.h"

static const struct verify_case {
    const char *name;
    bool envelope, replay;
} cases[] = {
    {"envelope", true, false},
    {"property", false, false},
    {"envelope, replay", true, true},
    {"property, replay", false, true},
};

struct verified {
    struct fleet *fleet;
    const struct verify_case *row;
    size_t devices;
    struct signature_terms terms;
    struct view key;
    struct replay_store *store; /* NULL: it is not asked */
    uint64_t messages;          /* until now */
};

#define INTERVAL_MS 40 /* the store holds the nonces of 6 minutes: 9,000 */

/* A message is signed once and verified many times, so that the store is told of another nonce and time each
 * time. */
static void remember(struct verified *verified, const struct signature_found *found)
{
    struct replay_mark mark = signature_mark(&verified->terms, found);
    uint64_t t_ms = NOW_MS + verified->messages++ * INTERVAL_MS;

    memcpy(mark.nonce + 8, &verified->messages, sizeof(verified->messages));
    mark.until_ms = t_ms + (mark.until_ms - mark.t_ms);
    mark.t_ms = t_ms;
    if (replay_nonce(verified->store, &mark, t_ms) != REPLAY_NEW)
        abort();
    replay_done(verified->store, &mark, false);
}

static void run(void *context, size_t count)
{
    struct verified *verified = context;
    struct signature_found found;

    for (size_t i = 0; i < count; i++) {
        const struct device *device = &verified->fleet->devices[i % verified->devices];
        const struct signature_message *message =
            verified->row->envelope ? &device->in_envelope : &device->in_property;

        if (signature_verify(verified->fleet->keyring, &verified->terms, SIGNATURE_INGRESS, message, NOW_MS,
                &found) != REASON_none)
            abort();
        assert(found.payload.length == PAYLOAD_SIZE);
        if (verified->store != NULL)
            remember(verified, &found);
    }
}

static void destroy(void *context)
{
    struct verified *verified = context;

    replay_free(verified->store);
    fleet_drop(verified->fleet);
    free(verified);
}

static struct verified *new_verified(struct fleet *fleet, const struct verify_case *row, size_t devices)
{
    struct verified *verified = memory_calloc(1, sizeof(*verified));

    verified->fleet = fleet;
    fleet->users++;
    verified->row = row;
    verified->devices = devices;
    verified->key = VIEW("m25a");
    verified->terms = (struct signature_terms){.keys = &verified->key,
        .key_count = 1,
        .max_age_ms = SIGNATURE_MAX_AGE_MS,
        .skew_ms = SIGNATURE_SKEW_MS,
        .replay = row->replay ? SIGNATURE_REPLAY_NONCE : SIGNATURE_REPLAY_NONE};
    if (!row->replay)
        return verified;
    verified->store = replay_new(&(struct replay_limits){0});
    run(verified, 10 * (size_t)DEVICES); /* until it forgets as many as it takes */
    return verified;
}

size_t micro_verify(struct micro_subject *subjects, size_t max, struct fleet *fleet)
{
    size_t used = 0;

    for (size_t devices = 1; devices <= DEVICES; devices *= DEVICES)
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            assert(used < max);
            subjects[used] = (struct micro_subject){
                "", run, NULL, destroy, new_verified(fleet, &cases[i], devices), DEVICES};
            snprintf(
                subjects[used].name, sizeof(subjects[used].name), "verify-%zu %s", devices, cases[i].name);
            used++;
        }
    return used;
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    struct fleet *fleet = fleet_new();
    size_t used = micro_openssl(subjects, max, fleet);

    (void)policies, (void)policy_count;
    return used + micro_verify(subjects + used, max - used, fleet);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of a verification, in the specification's order, so that each message has the one reason that the
 * specification gives it. Called by the session and by the command line. */
#include "policy/signature.h"

#include <assert.h>
#include <string.h>

#include "policy/pattern.h"

static enum reason because(struct signature_found *found, enum reason reason, const char *detail)
{
    found->detail = detail;
    return reason;
}

/* Steps 1 and 2: one carrier, and what is in it. */
static enum reason take_carrier(const struct signature_message *message, struct signature_found *found)
{
    enum reason reason;

    found->envelope = mps1_has_envelope(message->message.payload);
    found->present = found->envelope || message->property_count > 0;
    if (!found->present)
        return REASON_sig_missing;
    if (message->property_count > 1)
        return because(found, REASON_sig_two_carriers, "the user property twice");
    if (found->envelope && message->property_count == 1)
        return because(found, REASON_sig_two_carriers, "a user property and an envelope");
    if (!found->envelope)
        return mps1_parse_property(message->property, found->space, &found->header, &found->detail);
    reason = mps1_parse(message->message.payload, &found->header, &found->detail);
    if (reason == REASON_none)
        found->payload = view_of(message->message.payload.data + found->header.length,
            message->message.payload.length - found->header.length);
    return reason;
}

bool signature_names_key(const struct signature_terms *terms, struct view kid)
{
    for (size_t i = 0; i < terms->key_count; i++)
        if (view_equal(terms->keys[i], kid))
            return true;
    return false;
}

/* Step 3. A key that the check does not name is as good as none, whatever else is wrong with it. */
static enum reason find_key(const struct keyring *keyring, const struct signature_terms *terms,
    uint64_t now_ms, struct signature_found *found)
{
    enum reason reason = keyring_find(keyring, &found->header, now_ms, &found->entry);

    if (found->entry != NULL && !signature_names_key(terms, view_of_string(found->entry->kid)))
        return because(found, REASON_sig_key_unknown, "not a key of this check");
    return reason;
}

/* When the key has to be active: a message that the broker kept was signed when it was signed. */
static uint64_t key_time(enum signature_place place, uint64_t now_ms, const struct mps1_header *header)
{
    return place == SIGNATURE_DELIVERY && header->t_ms != 0 ? header->t_ms : now_ms;
}

/* Step 4. */
static bool relays(
    const struct signature_relay *relay, const uint64_t *groups, size_t group_words, struct view sub)
{
    bool member = false;

    for (size_t i = 0; i < group_words; i++)
        member = member || (relay->who[i] & groups[i]) != 0;
    for (size_t i = 0; member && i < relay->signer_count; i++)
        if (glob_matches(relay->signers[i], sub))
            return true;
    return false;
}

bool signature_may_bring(const struct signature_terms *terms, struct view principal, const uint64_t *groups,
    size_t group_words, struct view sub)
{
    if (view_equal(sub, principal))
        return true;
    for (size_t i = 0; i < terms->relay_count; i++)
        if (relays(&terms->relays[i], groups, group_words, sub))
            return true;
    return false;
}

/* Step 5. Empty: they fit. */
static const char *wrong_flag(const struct signature_message *message, unsigned flags)
{
    if (((flags & MPS1_RETAIN) != 0) != message->retain)
        return "RETAIN";
    if (((flags & MPS1_WILL) != 0) != message->will)
        return "WILL";
    return (flags & MPS1_EGRESS) != 0 ? "EGRESS" : NULL;
}

/* Step 8. */
static enum reason check_time(
    const struct signature_terms *terms, uint64_t now_ms, struct signature_found *found)
{
    bool sequence = (found->header.flags & MPS1_SEQ) != 0;
    uint64_t t = found->header.t_ms;

    if (terms->replay != SIGNATURE_REPLAY_NONE && sequence != (terms->replay == SIGNATURE_REPLAY_SEQ))
        return REASON_sig_replay_mode;
    if (sequence && t == 0)
        return REASON_none;
    if (t > now_ms && t - now_ms > terms->skew_ms)
        return REASON_sig_future;
    if (t < now_ms && now_ms - t > terms->max_age_ms)
        return REASON_sig_expired;
    return REASON_none;
}

static bool fits(
    struct keyring *keyring, const struct signature_message *message, const struct signature_found *found)
{
    const struct keyring_key *key =
        keyring_take(keyring, found->entry, MPS1_DEVICE, found->header.kid, found->header.sub);
    struct mps1_message covered = message->message;
    bool fits;

    covered.payload = found->payload;
    fits = mps1_verify(&key->key, &found->header, &covered);
    keyring_put(key);
    return fits;
}

enum reason signature_verify(struct keyring *keyring, const struct signature_terms *terms,
    enum signature_place place, const struct signature_message *message, uint64_t now_ms,
    struct signature_found *found)
{
    enum reason reason;

    found->entry = NULL;
    found->detail = NULL;
    found->header = (struct mps1_header){.length = 0};
    found->payload = message->message.payload;
    reason = take_carrier(message, found);
    if (reason == REASON_sig_missing && terms->when_present)
        return REASON_none;
    if (reason == REASON_none)
        reason = find_key(keyring, terms, key_time(place, now_ms, &found->header), found);
    if (reason != REASON_none)
        return reason;
    if (place == SIGNATURE_INGRESS) {
        const char *flag = wrong_flag(message, found->header.flags);

        if (!signature_may_bring(
                terms, message->principal, message->groups, message->group_words, found->header.sub))
            return REASON_sig_identity;
        if (flag != NULL)
            return because(found, REASON_sig_flags, flag);
    }
    if (message->has_properties && (found->header.flags & MPS1_PROPS) == 0)
        return REASON_sig_props_unsigned;
    if (!fits(keyring, message, found))
        return REASON_sig_invalid;
    return place == SIGNATURE_INGRESS ? check_time(terms, now_ms, found) : REASON_none;
}

struct replay_mark signature_mark(const struct signature_terms *terms, const struct signature_found *found)
{
    uint64_t own = terms->max_age_ms + terms->skew_ms;
    struct replay_mark mark = {.kid = found->header.kid,
        .sub = found->header.sub,
        .t_ms = found->header.t_ms,
        .until_ms = found->header.t_ms + (own > terms->remember_ms ? own : terms->remember_ms)};

    assert(found->header.tag.length >= REPLAY_TAG_SIZE);
    memcpy(mark.nonce, found->header.nonce, sizeof(mark.nonce));
    memcpy(mark.tag, found->header.tag.data, sizeof(mark.tag));
    return mark;
}

/* Only a packet that says so itself is a retransmission, and at QoS 0 there are none. */
enum reason signature_replayed(enum replay_answer answer, unsigned qos, bool dup, bool sequence)
{
    bool again = dup && qos > 0;

    switch (answer) {
    case REPLAY_NEW:
        return REASON_none;
    case REPLAY_PENDING:
        return again ? REASON_none : REASON_sig_replay;
    case REPLAY_DONE:
        return again ? REASON_sig_dup_suppressed : REASON_sig_replay;
    case REPLAY_REUSED: /* a counter that was seen is a replay, whatever it comes with */
        return sequence ? REASON_sig_replay : REASON_sig_nonce_reuse;
    case REPLAY_FORGOTTEN:
        return REASON_sig_replay;
    case REPLAY_FULL:
    case REPLAY_DOWN:
        break;
    }
    return REASON_sig_store_down;
}

/* ---- what receivers get ---- */

static void sign_again(struct keyring *keyring, const struct keyring_entry *entry, struct view receiver,
    const struct mps1_message *message, struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX])
{
    const struct keyring_key *key = keyring_take(keyring, entry, MPS1_EGRESS_RECEIVER, header->kid, receiver);

    mps1_sign(&key->key, message, header, space);
    keyring_put(key);
}

enum reason signature_resign(struct keyring *keyring, const struct signature_terms *terms,
    const struct signature_message *message, struct view receiver, uint64_t now_ms,
    struct signature_found *found, struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX])
{
    const struct keyring_entry *entry = keyring_find_kid(keyring, terms->receiver_key, NULL);
    struct mps1_message covered = message->message;
    struct mps1_header named;
    char kid[MPS1_KID_MAX];
    enum reason reason;

    if (!mps1_sub_valid(receiver))
        return because(found, REASON_sig_identity, "the receiver's name is not one that a key can have");
    if (entry == NULL || entry->type != KEYRING_MASTER)
        return because(found, REASON_sig_key_unknown, "the master of the receivers' keys");
    *header = found->header;
    header->kid = view_of(kid, keyring_kid_now(entry, receiver, kid));
    header->algorithm = entry->algorithm;
    header->flags |= MPS1_EGRESS;
    named = *header;
    named.sub = receiver;
    reason = keyring_find(keyring, &named, now_ms, &entry);
    if (reason != REASON_none)
        return because(found, reason, "the receiver's key");
    covered.payload = found->payload;
    sign_again(keyring, entry, receiver, &covered, header, space);
    header->kid = header->sub = header->covered = (struct view){NULL, 0}; /* of what is gone */
    return REASON_none;
}

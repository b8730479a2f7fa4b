/* SPDX-License-Identifier: Apache-2.0 */
/* Does the signature of a message stand? Steps 1 to 8 of payload-signatures "Verification"; the 9th, replay,
 * is replay.h's, or the shared store's. Pure functions: the clock is an argument. */
#ifndef MQWARD_POLICY_SIGNATURE_H
#define MQWARD_POLICY_SIGNATURE_H

#include "policy/keyring.h"
#include "policy/replay.h"

enum signature_replay { SIGNATURE_REPLAY_NONCE, SIGNATURE_REPLAY_SEQ, SIGNATURE_REPLAY_NONE };
enum signature_forward { SIGNATURE_STRIP, SIGNATURE_PASS, SIGNATURE_RESIGN };
enum signature_store_down { SIGNATURE_STORE_DENY, SIGNATURE_STORE_LOCAL };

/* How far ahead of the proxy's clock a signer's may be. */
#define SIGNATURE_SKEW_MS 60000
#define SIGNATURE_MAX_AGE_MS 300000

/* Whose signatures a gateway may bring besides its own. */
struct signature_relay {
    const uint64_t *who;        /* bits of groups */
    const struct view *signers; /* globs, any of them */
    size_t signer_count;
};

/* What a policy's check asks of a signature. Lives as long as the policy. */
struct signature_terms {
    const struct view *keys; /* kids, without generations */
    size_t key_count;
    uint64_t max_age_ms, skew_ms;
    uint64_t remember_ms; /* how long a nonce counts, where that is longer than max_age and skew */
    enum signature_replay replay;
    enum signature_forward forward;
    enum signature_store_down store_down;
    bool when_present;        /* a message without a signature passes */
    struct view receiver_key; /* kid of the receivers' master; empty unless forward is SIGNATURE_RESIGN */
    const struct signature_relay *relays;
    size_t relay_count;
};

/* A message as it came, after alias resolution. */
struct signature_message {
    struct mps1_message message; /* payload: with the envelope, if it has one */
    bool has_properties;         /* content type, response topic or correlation data */
    size_t property_count;       /* User Properties of the name MPS1_PROPERTY */
    struct view property;        /* the value of the first of them */
    bool retain, will;
    struct view principal;  /* the identity of the client */
    const uint64_t *groups; /* its groups, as bits */
    size_t group_words;
};

/* Where the message is: only what comes from a client is held to its flags and its age. */
enum signature_place { SIGNATURE_INGRESS, SIGNATURE_DELIVERY };

/* What was found. Views into the message, or into space. */
struct signature_found {
    bool present;  /* there was a carrier, good or bad */
    bool envelope; /* it is in the payload */
    struct mps1_header header;
    struct view payload; /* without the envelope */
    const struct keyring_entry *entry;
    const char *detail; /* a literal: what is wrong with it; or NULL */
    uint8_t space[MPS1_HEADER_MAX];
};

/* REASON_none: it stands, or there is none and none is asked for (found->present is false). Else the reason.
 * now_ms: since 1970. */
enum reason signature_verify(struct keyring *keyring, const struct signature_terms *terms,
    enum signature_place place, const struct signature_message *message, uint64_t now_ms,
    struct signature_found *found);
/* Two of its steps, for who has no signature but knows what one says: does the check name this key (kid
 * without its generation), and may somebody of these groups (bits) bring what sub has signed? */
bool signature_names_key(const struct signature_terms *terms, struct view kid);
bool signature_may_bring(const struct signature_terms *terms, struct view principal, const uint64_t *groups,
    size_t group_words, struct view sub);
/* Makes the signature that a receiver gets in place of one that stands (found, of message): the origin's sub,
 * t and nonce under the receiver's key, with MPS1_EGRESS. header->length bytes of space. Else the reason why
 * the receiver can't have one, with found->detail. */
enum reason signature_resign(struct keyring *keyring, const struct signature_terms *terms,
    const struct signature_message *message, struct view receiver, uint64_t now_ms,
    struct signature_found *found, struct mps1_header *header, uint8_t space[MPS1_HEADER_MAX]);
/* What the replay store is to know of a signature that stands. */
struct replay_mark signature_mark(const struct signature_terms *terms, const struct signature_found *found);
/* What the store's answer means for the message (step 9). REASON_none: it goes on. _sig_dup_suppressed: it is
 * acknowledged and does not. sequence: the header has MPS1_SEQ. */
enum reason signature_replayed(enum replay_answer answer, unsigned qos, bool dup, bool sequence);

#endif

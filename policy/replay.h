/* SPDX-License-Identifier: Apache-2.0 */
/* Which signed messages have been here (payload-signatures "Verification", step 9). One store for all workers
 * and all policies that follow one another: locks are per shard, a signer is in one shard. Bounded: a signer
 * has a quota, and what is forgotten to stay within it can't come again, since nothing that old is taken from
 * this signer any more. Asked only about signatures that are valid, so that forgeries never fill it. */
#ifndef MQWARD_POLICY_REPLAY_H
#define MQWARD_POLICY_REPLAY_H

#include "policy/mps1.h"

struct replay_store;

struct replay_limits {
    size_t per_signer; /* nonces that a signer may have remembered; default REPLAY_PER_SIGNER */
    size_t total;      /* nonces of all; default REPLAY_TOTAL. About 64 bytes each */
    size_t signers;    /* default REPLAY_SIGNERS; about 100 bytes each, 700 with a sequence */
};
#define REPLAY_PER_SIGNER 16384
#define REPLAY_TOTAL ((size_t)1 << 20)
#define REPLAY_SIGNERS ((size_t)1 << 18)

#define REPLAY_TAG_SIZE 16
/* Counters of a sequence that are remembered: the highest one and those behind it. */
#define REPLAY_WINDOW 64
/* So often a message that the broker does not acknowledge may be sent again. Clients that lose their
 * connection do it once for each; who replays what he keeps from being acknowledged comes to an end. */
#define REPLAY_RETRANSMISSIONS 16

/* A valid signature, as the store knows it. */
struct replay_mark {
    struct view kid, sub;
    uint8_t nonce[MPS1_NONCE_SIZE]; /* with MPS1_SEQ: epoch and counter */
    uint8_t tag[REPLAY_TAG_SIZE];   /* the first bytes of the message's */
    uint64_t t_ms;                  /* of its header */
    uint64_t until_ms; /* t + max_age + skew: later its age alone refuses it. Not for sequences */
    bool again;        /* it says that it is sent again: DUP, at a QoS above 0 */
};

enum replay_answer {
    REPLAY_NEW,       /* and now remembered as pending */
    REPLAY_PENDING,   /* the same message; the broker has not acknowledged it */
    REPLAY_DONE,      /* the same message; the broker has */
    REPLAY_REUSED,    /* another message with the same nonce or counter */
    REPLAY_FORGOTTEN, /* older than what is remembered of this signer: it may have been here; or sent again
                         too often */
    REPLAY_FULL,      /* no room for another signer */
    REPLAY_DOWN,      /* a shared store can't be asked: of proxy/replay_shared.h */
};

struct replay_store *replay_new(const struct replay_limits *limits); /* a 0 is the default */
void replay_free(struct replay_store *store);                        /* NULL is fine */

/* Which messages with nonces the checks of a policy may take at all. */
struct replay_span {
    uint64_t age_ms;   /* the longest max_age and skew together; 0: there is no such check */
    uint64_t ahead_ms; /* the longest skew */
};
/* A policy is about to be in force: nonces are remembered at least as long as it may take their messages. If
 * that is longer than before, what is signed until now is held to the age of before, at which it may have
 * been forgotten. */
void replay_expect(struct replay_store *store, const struct replay_span *span, uint64_t now_ms);

/* Any thread. now_ms: the wall clock; a clock that is set back makes nothing that was forgotten new. */
enum replay_answer replay_nonce(struct replay_store *store, const struct replay_mark *mark, uint64_t now_ms);
/* As replay_nonce(), for the window of 64 counters behind the highest one, as in RFC 8613 section 7.4. A
 * higher epoch begins anew, a lower one is forgotten. */
enum replay_answer replay_sequence(struct replay_store *store, const struct replay_mark *mark);
/* Is the message remembered as done? Changes nothing. */
bool replay_is_done(struct replay_store *store, const struct replay_mark *mark, bool sequence);
/* The broker has acknowledged the message, or it needs no acknowledgement: it is remembered as done, also if
 * it was not remembered any more. */
void replay_done(struct replay_store *store, const struct replay_mark *mark, bool sequence);
/* A message that was new did not go on after all: it may come again. False: it stays as it is, since a
 * further copy of it was let through meanwhile, or it is done, or not remembered. */
bool replay_undo(struct replay_store *store, const struct replay_mark *mark, bool sequence);

/* What is remembered now. */
struct replay_usage {
    size_t signers, nonces;
    uint64_t evicted; /* nonces forgotten before their time */
};
struct replay_usage replay_usage(struct replay_store *store);

#endif

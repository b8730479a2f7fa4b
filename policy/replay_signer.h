/* SPDX-License-Identifier: Apache-2.0 */
/* What the replay store remembers of one signer: nonces, ordered by time, and the window of a sequence.
 * Private to replay.c. Not thread-safe: the shard's lock is held. */
#ifndef MQWARD_POLICY_REPLAY_SIGNER_H
#define MQWARD_POLICY_REPLAY_SIGNER_H

#include "policy/replay.h"

struct replay_nonce {
    uint8_t nonce[MPS1_NONCE_SIZE];
    uint8_t tag[REPLAY_TAG_SIZE];
    uint64_t t_ms, until_ms;
    uint32_t next;    /* in the table's chain, or among the free ones: 1 + slot; 0: the last */
    uint32_t heap_at; /* its place in the heap */
    bool done;
    uint8_t again; /* times that it was sent again */
};

/* Slot of a counter: counter % REPLAY_WINDOW. */
struct replay_window {
    uint64_t epoch;
    uint64_t highest;    /* counter */
    uint64_t seen, done; /* bits by slot, of the counters within the window */
    uint64_t tags[REPLAY_WINDOW];
    uint8_t again[REPLAY_WINDOW]; /* times that it was sent again */
};

struct replay_signer {
    struct replay_signer *next;          /* in the shard's bucket */
    struct replay_signer *older, *newer; /* by use */
    uint64_t hash;
    uint64_t forgotten_ms; /* a nonce with this t was forgotten before its time: none as old is taken */
    uint64_t over_ms;      /* the latest until of all nonces */
    struct replay_nonce *slots;
    uint32_t *heap;                 /* slots, the lowest t first */
    uint32_t *table;                /* chains by nonce: 1 + slot; as many as slots */
    uint32_t count, capacity, free; /* free: 1 + slot; 0: none */
    struct replay_window *window;   /* NULL: no sequence */
    uint8_t key_length;
    uint8_t key[];
};

/* Signers by use. */
struct replay_list {
    struct replay_signer *first, *last;
};
void replay_list_append(struct replay_list *list, struct replay_signer *signer);
void replay_list_remove(struct replay_list *list, struct replay_signer *signer);

/* Writes what stands for kid and sub; returns its length. */
size_t replay_signer_key(const struct replay_mark *mark, uint8_t key[1 + MPS1_KID_MAX + MPS1_SUB_MAX]);
struct replay_signer *replay_signer_new(const struct replay_mark *mark, uint64_t hash);
void replay_signer_free(struct replay_signer *signer);
bool replay_signer_is(const struct replay_signer *signer, const struct replay_mark *mark);
/* True: to forget the signer changes no answer. */
bool replay_signer_over(const struct replay_signer *signer, uint64_t now_ms);

/* REPLAY_NEW (and nothing is remembered yet), _PENDING, _DONE, _REUSED or, sent again too often, _FORGOTTEN.
 */
enum replay_answer replay_signer_find(struct replay_signer *signer, const struct replay_mark *mark);
void replay_signer_add(struct replay_signer *signer, const struct replay_mark *mark);
uint64_t replay_signer_oldest_ms(const struct replay_signer *signer); /* its t; there is one */
void replay_signer_evict(struct replay_signer *signer);               /* the oldest; there is one */
/* Forgets nonces, from the oldest, that their age alone refuses; returns how many. */
size_t replay_signer_expire(struct replay_signer *signer, uint64_t now_ms);
/* Any answer but REPLAY_FULL; a new counter is remembered. */
enum replay_answer replay_signer_sequence(struct replay_signer *signer, const struct replay_mark *mark);
bool replay_signer_is_done(const struct replay_signer *signer, const struct replay_mark *mark, bool sequence);
void replay_signer_done(struct replay_signer *signer, const struct replay_mark *mark, bool sequence);
bool replay_signer_undo(struct replay_signer *signer, const struct replay_mark *mark, bool sequence);

#endif

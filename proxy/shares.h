/* SPDX-License-Identifier: Apache-2.0 */
/* Who has how much in a ring of audit events that is not drained yet. Positions are those of the ring: bytes
 * that were ever pushed (head) or drained (tail). Of one thread. */
#ifndef MQWARD_PROXY_SHARES_H
#define MQWARD_PROXY_SHARES_H

#include <stdint.h>

/* In two generations: while the older one is drained, the younger one is collected, so that nobody keeps what
 * was drained long ago. All zero at first. */
struct share {
    uint64_t bytes[2], mark[2]; /* the older, the younger: pushed; the ring's head behind the last */
};

uint64_t share_undrained(const struct share *share, uint64_t tail); /* bytes; at least what is there */
/* Bytes of it are in the ring; head is behind them. */
void share_charge(struct share *share, uint64_t bytes, uint64_t tail, uint64_t head);

/* Shares of names, by hash_bytes() of each. Only who has something undrained needs one, and of those there
 * are no more than events in the ring. Names fall together only if so many whose hashes are alike have
 * something undrained at the same time. What nobody touches costs no memory. */
#define SHARES_ALIKE 8
#define SHARES 16384

struct shares {
    struct shares_entry {
        uint64_t name;
        struct share share;
    } entries[SHARES / SHARES_ALIKE][SHARES_ALIKE];
};

uint64_t shares_undrained(const struct shares *shares, uint64_t name, uint64_t tail);
void shares_charge(struct shares *shares, uint64_t name, uint64_t bytes, uint64_t tail, uint64_t head);

#endif

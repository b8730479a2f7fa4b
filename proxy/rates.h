/* SPDX-License-Identifier: Apache-2.0 */
/* The buckets of rates (policy checks), across all workers. A session holds those of its identity, its
 * address and its groups; whoever has the same holds the same. The table is touched when sessions come, are
 * bound anew and go; a message touches the buckets alone, without a lock. */
#ifndef MQWARD_PROXY_RATES_H
#define MQWARD_PROXY_RATES_H

#include "policy/policy.h"
#include "proxy/session/session.h"

struct rates;
struct rate_set; /* what a session holds */

/* A bucket that nobody holds is kept until it is full again, so that a new connection gains nothing. Of
 * addresses, of which an attacker may have many, and of the rest so many bytes are kept at most; beyond that
 * the fullest of a few is forgotten. */
#define RATES_IDLE_BYTES ((size_t)32 << 20)

/* idle_bytes: RATES_IDLE_BYTES, or less (tests). */
struct rates *rates_new(size_t idle_bytes);
/* After all sets were dropped. NULL is fine. */
void rates_free(struct rates *rates);

/* What the policy's checks count for the subject (NULL: for the address alone, before it is known who it is)
 * in place of *set, which may be NULL. address: textual. A bucket lives as long as its check's name, what is
 * counted and for whom; the limits are the policy's. */
void rates_hold(struct rates *rates, const struct policy *policy, const struct policy_subject *subject,
    struct view address, uint64_t now_ns, struct rate_set **set);
void rates_drop(struct rates *rates, struct rate_set *set, uint64_t now_ns); /* NULL is fine */

/* As struct session_hooks.count. NULL holds nothing. */
struct session_rates rates_count(const struct rate_set *set, enum session_counted counted, uint64_t checks,
    uint64_t bytes, uint64_t now_ns);

/* Buckets there are, held and kept. */
size_t rates_buckets(struct rates *rates);

#endif

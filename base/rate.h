/* SPDX-License-Identifier: Apache-2.0 */
/* Rates: so much in so long, with bursts. The generic cell rate algorithm: a bucket is one number, the time
 * at which it will be full again. Pure: time is an argument, in nanoseconds of a clock of the caller's. A
 * bucket may be used by any number of threads at a time, without a lock. */
#ifndef MQWARD_BASE_RATE_H
#define MQWARD_BASE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RATE_SECOND_NS UINT64_C(1000000000)

struct rate_limit {
    uint64_t interval;     /* for one, in 2^-20 ns */
    uint64_t tolerance_ns; /* for a whole burst: so far ahead of the clock a bucket may be */
};

struct rate_bucket {
    _Atomic uint64_t full_ns; /* when it will be full; in the past: it is. 0: full */
};

/* count (from 1) in period_ns (at most an hour); from rest, burst (from 1) pass at once. A burst that takes
 * more than a century to come back is cut to that. */
struct rate_limit rate_limit_make(uint64_t count, uint64_t period_ns, uint64_t burst);

/* Takes amount, or nothing: true if it was there. 0 is always there. A clock that goes back takes nothing
 * away and gives nothing. */
bool rate_take(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t amount, uint64_t now_ns);
/* Gives back what was taken with the same limit. */
void rate_give_back(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t amount);
/* Another limit holds from now on: an empty bucket stays empty, and is no emptier than that. */
void rate_change_limit(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t now_ns);
/* Nothing is lost if the bucket is forgotten. */
bool rate_is_full(const struct rate_bucket *bucket, uint64_t now_ns);

#endif

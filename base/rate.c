/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic of rates. Called by proxy/rates.c, for each message that a rate is about. */
#include "base/rate.h"

#include <assert.h>

#define INTERVAL_SHIFT 20 /* so that 16 GiB in a second are still exact enough, and one in an hour fits */
#define TOLERANCE_MAXIMUM_NS (UINT64_C(1) << 62)

/* Whole nanoseconds, rounded down: the costs of the parts of a burst are never more than that of the burst.
 */
static uint64_t cost_ns(uint64_t interval, uint64_t amount)
{
    unsigned __int128 cost = (unsigned __int128)interval * amount >> INTERVAL_SHIFT;

    return cost > TOLERANCE_MAXIMUM_NS ? TOLERANCE_MAXIMUM_NS + 1 : (uint64_t)cost;
}

struct rate_limit rate_limit_make(uint64_t count, uint64_t period_ns, uint64_t burst)
{
    struct rate_limit limit;
    uint64_t tolerance;

    assert(count > 0 && burst > 0 && period_ns > 0 && period_ns <= 3600 * RATE_SECOND_NS);
    /* rounded up: no more than count come in a period */
    limit.interval = (uint64_t)((((unsigned __int128)period_ns << INTERVAL_SHIFT) + count - 1) / count);
    tolerance = cost_ns(limit.interval, burst);
    limit.tolerance_ns = tolerance > TOLERANCE_MAXIMUM_NS ? TOLERANCE_MAXIMUM_NS : tolerance;
    return limit;
}

bool rate_take(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t amount, uint64_t now_ns)
{
    uint64_t cost = cost_ns(limit->interval, amount);
    uint64_t full = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t start;

    if (cost == 0)
        return true;
    if (cost > limit->tolerance_ns)
        return false;
    do {
        start = full > now_ns ? full : now_ns;
        if (start - now_ns > limit->tolerance_ns - cost)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        &bucket->full_ns, &full, start + cost, memory_order_relaxed, memory_order_relaxed));
    return true;
}

void rate_give_back(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t amount)
{
    uint64_t cost = cost_ns(limit->interval, amount);
    uint64_t full = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);

    /* A change of the limit in between may have left less than that. */
    while (!atomic_compare_exchange_weak_explicit(
        &bucket->full_ns, &full, full > cost ? full - cost : 0, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void rate_change_limit(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t now_ns)
{
    uint64_t full = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);

    while (full > now_ns && full - now_ns > limit->tolerance_ns &&
           !atomic_compare_exchange_weak_explicit(&bucket->full_ns, &full, now_ns + limit->tolerance_ns,
               memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool rate_is_full(const struct rate_bucket *bucket, uint64_t now_ns)
{
    return atomic_load_explicit(&bucket->full_ns, memory_order_relaxed) <= now_ns;
}

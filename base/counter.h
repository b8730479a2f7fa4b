/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms that one thread writes and others read: no lock, no shared write. What a reader
 * sees is at most a moment old, and never goes backward. Everything starts as zeroed memory. */
#ifndef MQWARD_BASE_COUNTER_H
#define MQWARD_BASE_COUNTER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};

/* The one thread that writes it. No locked instruction: nobody else adds. */
static inline void counter_add(struct counter *counter, uint64_t count)
{
    atomic_store_explicit(&counter->value,
        atomic_load_explicit(&counter->value, memory_order_relaxed) + count, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* ---- histograms of durations ---- */

#define HISTOGRAM_BUCKETS 15

/* Upper bounds of the buckets, rising, in nanoseconds; a duration equal to a bound is below it. */
struct histogram_bounds {
    size_t count;
    uint64_t ns[HISTOGRAM_BUCKETS];
};
extern const struct histogram_bounds histogram_short; /* 500 ns to 10 ms: work of the processor */
extern const struct histogram_bounds histogram_long;  /* 100 us to 30 s: with waiting */

struct histogram {
    struct counter buckets[HISTOGRAM_BUCKETS + 1]; /* each by itself; the last is above all bounds */
    struct counter sum_ns;
};

/* The one thread that writes it. */
void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, uint64_t ns);

/* What was read of one histogram, or of those of several threads together. */
struct histogram_total {
    uint64_t buckets[HISTOGRAM_BUCKETS + 1];
    uint64_t sum_ns;
};
/* Any thread: adds what is in histogram to total. */
void histogram_collect(const struct histogram *histogram, struct histogram_total *total);

#endif

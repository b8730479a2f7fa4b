/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bounds of histograms, and how they are filled and read. Called by whoever measures, and by
 * proxy/metrics.c. */
#include "base/counter.h"

#define US UINT64_C(1000)
#define MS (1000 * US)
#define S (1000 * MS)

const struct histogram_bounds histogram_short = {
    14, {500, US, 2 * US, 5 * US, 10 * US, 20 * US, 50 * US, 100 * US, 200 * US, 500 * US, MS, 2 * MS, 5 * MS,
            10 * MS}};
const struct histogram_bounds histogram_long = {
    15, {100 * US, 500 * US, MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS,
            S, 5 * S, 10 * S, 30 * S}};

void histogram_add(struct histogram *histogram, const struct histogram_bounds *bounds, uint64_t ns)
{
    size_t bucket = 0;

    while (bucket < bounds->count && ns > bounds->ns[bucket])
        bucket++;
    counter_add(&histogram->buckets[bucket], 1);
    counter_add(&histogram->sum_ns, ns);
}

void histogram_collect(const struct histogram *histogram, struct histogram_total *total)
{
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++)
        total->buckets[i] += counter_read(&histogram->buckets[i]);
    total->sum_ns += counter_read(&histogram->sum_ns);
}

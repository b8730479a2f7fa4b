/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic of the histogram; the counts are the caller's. Called by the load generator's modes. */
#include "load_histogram.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define STEP_BITS 6

static_assert(1 << STEP_BITS == HISTOGRAM_STEPS, "the steps of a power of two");

/* The power of two that value lies in, counted from the first that has as many values as steps. */
static unsigned power_of(uint64_t value)
{
    unsigned top = 63 - (unsigned)__builtin_clzll(value | 1);
    unsigned power = top < STEP_BITS ? 0 : top - STEP_BITS + 1;

    return power < HISTOGRAM_POWERS ? power : HISTOGRAM_POWERS - 1;
}

void histogram_add(struct histogram *histogram, int64_t nanoseconds)
{
    uint64_t value = nanoseconds < 0 ? 0 : (uint64_t)nanoseconds;
    unsigned power = power_of(value);
    uint64_t step = power == 0 ? value : (value >> (power - 1)) - HISTOGRAM_STEPS;

    histogram->steps[power][step < HISTOGRAM_STEPS ? step : HISTOGRAM_STEPS - 1]++;
    histogram->count++;
    if (nanoseconds > histogram->longest)
        histogram->longest = nanoseconds;
}

/* The largest value of a step, in nanoseconds. */
static double end_of(unsigned power, unsigned step)
{
    return power == 0 ? step : ldexp((double)(HISTOGRAM_STEPS + step + 1), (int)power - 1) - 1;
}

double histogram_share(const struct histogram *histogram, double share)
{
    double wanted = ceil(share * (double)histogram->count);
    uint64_t seen = 0;

    for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
        for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
            seen += histogram->steps[power][step];
            if (seen > 0 && (double)seen >= wanted)
                return fmin(end_of(power, step), (double)histogram->longest) / 1000;
        }
    }
    return 0;
}

void histogram_print(const struct histogram *histogram)
{
    printf("\"times\":{\"count\":%" PRIu64 ",\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"longest\":%.2f}",
        histogram->count, histogram_share(histogram, 0.5), histogram_share(histogram, 0.99),
        histogram_share(histogram, 0.999), (double)histogram->longest / 1000);
}

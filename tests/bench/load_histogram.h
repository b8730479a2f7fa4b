/* SPDX-License-Identifier: Apache-2.0 */
/* Times, counted by size: 64 steps for each power of two, so that what is read from it is at most 1.6 % too
 * high. */
#ifndef MQWARD_BENCH_LOAD_HISTOGRAM_H
#define MQWARD_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 64
#define HISTOGRAM_POWERS 40 /* up to 2^45 ns, 9 hours */

struct histogram {
    uint64_t count;
    int64_t longest; /* ns */
    uint64_t steps[HISTOGRAM_POWERS][HISTOGRAM_STEPS];
};

/* Counts a time of so many nanoseconds; below 0 counts as 0. */
void histogram_add(struct histogram *histogram, int64_t nanoseconds);
/* The least time, in microseconds, that this share (0 to 1) of all counted times does not exceed; 0 if there
 * are none. */
double histogram_share(const struct histogram *histogram, double share);
/* Prints "times":{"count":N,"p50":US,...} without a line end. */
void histogram_print(const struct histogram *histogram);

#endif

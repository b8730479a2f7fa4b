/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQWARD_UNIT_ROUNDS_H
#define MQWARD_UNIT_ROUNDS_H
/* How long a test of random cases runs, and from where. MQWARD_ROUNDS=<percent> in the environment shortens
 * it (or prolongs it): tests/run.sh runs a part with each compiler, other cases in each run. MQWARD_SEED=<n>
 * repeats what was printed. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline unsigned long rounds_percent(void)
{
    const char *text = getenv("MQWARD_ROUNDS");
    unsigned long percent = text == NULL ? 100 : strtoul(text, NULL, 10);

    return percent > 0 && percent <= 100000 ? percent : 100;
}

/* How many of all rounds are run: at least one. */
static inline size_t rounds_of(size_t all)
{
    size_t rounds = all * rounds_percent() / 100;

    return rounds > 0 ? rounds : 1;
}

/* Are there enough of them that each rare case is among them? Else how often it occurred says nothing. */
static inline bool rounds_are_all(void)
{
    return rounds_percent() >= 100;
}

/* Another one in each run, which is printed; that of MQWARD_SEED if there is one. what: the name of the test.
 */
static inline uint64_t rounds_seed(const char *what)
{
    const char *wanted = getenv("MQWARD_SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed =
        wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20;
    fprintf(stderr, "%s: MQWARD_SEED=%llu\n", what, (unsigned long long)seed);
    return seed;
}

/* The first round to run of all numbered ones; behind the last comes number 0. */
static inline size_t rounds_begin(const char *what, size_t all)
{
    return rounds_are_all() ? 0 : (size_t)(rounds_seed(what) % all);
}

#endif

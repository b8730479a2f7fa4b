/* SPDX-License-Identifier: Apache-2.0 */
/* Rates: what passes and what does not, to the nanosecond; clocks that go back; numbers at the ends of their
 * ranges; many threads at one bucket. */
#include "base/rate.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define SECOND RATE_SECOND_NS

/* How many of tries single ones pass at the same moment. */
static unsigned passes(
    struct rate_bucket *bucket, const struct rate_limit *limit, unsigned tries, uint64_t now_ns)
{
    unsigned count = 0;

    for (unsigned i = 0; i < tries; i++)
        count += rate_take(bucket, limit, 1, now_ns);
    return count;
}

static const struct vector {
    const char *name;
    uint64_t count, period_ns, burst;
    struct {
        uint64_t at_ns;
        uint64_t amount;
        bool passes;
    } steps[8]; /* ended by amount 0 */
} vectors[] = {
    {"one a second", 1, SECOND, 1,
        {{SECOND, 1, true}, {SECOND, 1, false}, {2 * SECOND - 1, 1, false}, {2 * SECOND, 1, true},
            {2 * SECOND, 1, false}, {3 * SECOND, 1, true}}},
    {"a burst, and then the rate", 10, SECOND, 3,
        {{SECOND, 1, true}, {SECOND, 1, true}, {SECOND, 1, true}, {SECOND, 1, false},
            {SECOND + 99999999, 1, false}, {SECOND + SECOND / 10, 1, true},
            {SECOND + SECOND / 10, 1, false}}},
    {"a refusal costs nothing", 1, SECOND, 2,
        {{SECOND, 1, true}, {SECOND, 2, false}, {SECOND, 1, true}, {SECOND, 1, false},
            {2 * SECOND, 1, true}}},
    {"more than a burst never passes", 1000, SECOND, 1000,
        {{SECOND, 1001, false}, {100 * SECOND, 1001, false}, {100 * SECOND, 1000, true},
            {100 * SECOND, 1, false}, {101 * SECOND, 1000, true}}},
    {"a rest gives a burst and no more", 10, SECOND, 10,
        {{SECOND, 10, true}, {3600 * SECOND, 11, false}, {3600 * SECOND, 10, true},
            {3600 * SECOND, 1, false}}},
    {"five a minute", 5, 60 * SECOND, 5,
        {{1, 5, true}, {1, 1, false}, {12 * SECOND, 1, false}, {12 * SECOND + 1, 1, true},
            {12 * SECOND + 1, 1, false}}},
    {"one an hour", 1, 3600 * SECOND, 1,
        {{1, 1, true}, {3600 * SECOND, 1, false}, {3600 * SECOND + 1, 1, true}}},
    {"a third of a second is no whole number", 3, SECOND, 3,
        {{SECOND, 1, true}, {SECOND, 1, true}, {SECOND, 1, true}, {SECOND, 1, false},
            {SECOND + 333333333, 1, true}, {SECOND + 333333333, 1, false}}},
    {"bytes of a message are taken together", 262144, SECOND, 262144,
        {{SECOND, 200000, true}, {SECOND, 62145, false}, {SECOND, 62144, true}, {SECOND, 1, false},
            {2 * SECOND, 262144, true}}},
};

Test(rate, vectors)
{
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *vector = &vectors[i];
        struct rate_limit limit = rate_limit_make(vector->count, vector->period_ns, vector->burst);
        struct rate_bucket bucket = {0};

        for (size_t k = 0; k < 8 && vector->steps[k].amount != 0; k++)
            cr_expect_eq(rate_take(&bucket, &limit, vector->steps[k].amount, vector->steps[k].at_ns),
                vector->steps[k].passes, "%s: step %zu", vector->name, k + 1);
    }
}

/* Whatever the rate: at once a burst, and in a long time the burst and what the rate gives, never one more.
 */
Test(rate, over_time)
{
    static const uint64_t counts[] = {1, 3, 7, 20, 999, 1000, 44100, 1000000};
    static const uint64_t periods[] = {SECOND, 60 * SECOND, 3600 * SECOND};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        for (size_t k = 0; k < sizeof(periods) / sizeof(periods[0]); k++) {
            const uint64_t burst = counts[i] < 50 ? counts[i] : 50, start = 12345;
            struct rate_limit limit = rate_limit_make(counts[i], periods[k], burst);
            struct rate_bucket bucket = {0};
            uint64_t passed = passes(&bucket, &limit, 100, start), expected;

            cr_expect_eq(passed, burst);
            /* tries twice as fast as the rate, for 400 tries */
            for (uint64_t n = 1; n <= 400; n++)
                passed += rate_take(&bucket, &limit, 1, start + periods[k] * n / (2 * counts[i]));
            expected = burst + 200;
            cr_expect(passed <= expected && passed + 1 >= expected, "%llu in %llu: %llu, not %llu",
                (unsigned long long)counts[i], (unsigned long long)periods[k], (unsigned long long)passed,
                (unsigned long long)expected);
        }
}

Test(rate, nothing_is_always_there)
{
    struct rate_limit limit = rate_limit_make(1, SECOND, 1);
    struct rate_bucket bucket = {0};

    cr_expect(rate_take(&bucket, &limit, 1, SECOND));
    cr_expect(rate_take(&bucket, &limit, 0, SECOND));
    cr_expect_not(rate_take(&bucket, &limit, 1, SECOND));
}

Test(rate, a_clock_that_goes_back)
{
    struct rate_limit limit = rate_limit_make(1, SECOND, 2);
    struct rate_bucket bucket = {0};

    cr_expect_eq(passes(&bucket, &limit, 5, 100 * SECOND), 2);
    /* gives nothing ... */
    cr_expect_eq(passes(&bucket, &limit, 5, 99 * SECOND), 0);
    cr_expect_eq(passes(&bucket, &limit, 5, 0), 0);
    /* ... and takes nothing away */
    cr_expect_eq(passes(&bucket, &limit, 5, 101 * SECOND), 1);
    cr_expect_eq(passes(&bucket, &limit, 5, 103 * SECOND), 2);
}

Test(rate, what_is_given_back_is_there_again)
{
    struct rate_limit limit = rate_limit_make(10, SECOND, 10);
    struct rate_bucket bucket = {0};

    cr_expect(rate_take(&bucket, &limit, 10, SECOND));
    rate_give_back(&bucket, &limit, 4);
    cr_expect_eq(passes(&bucket, &limit, 10, SECOND), 4);
    /* more than there ever was: full, and no more than that */
    rate_give_back(&bucket, &limit, UINT64_MAX);
    cr_expect(rate_is_full(&bucket, SECOND));
    cr_expect_eq(passes(&bucket, &limit, 20, SECOND), 10);
}

Test(rate, ends_of_the_ranges)
{
    struct rate_bucket bucket = {0};
    /* the largest amount, the rarest rate, the longest burst, the latest time */
    struct rate_limit rare = rate_limit_make(1, 3600 * SECOND, UINT64_MAX);
    cr_expect(rate_take(&bucket, &rare, 1, SECOND));
    cr_expect_not(rate_take(&bucket, &rare, UINT64_MAX, SECOND));
    cr_expect(rate_take(&bucket, &rare, 1000000, UINT64_MAX / 4));

    struct rate_limit one = rate_limit_make(1, SECOND, 1);
    bucket = (struct rate_bucket){0};
    cr_expect_not(rate_take(&bucket, &one, UINT64_MAX, SECOND));
    cr_expect(rate_take(&bucket, &one, 1, UINT64_MAX / 2));
    cr_expect_not(rate_take(&bucket, &one, 1, UINT64_MAX / 2));

    /* so fast that a byte costs less than a nanosecond: a burst is a burst all the same */
    struct rate_limit fast = rate_limit_make(UINT64_C(1) << 34, SECOND, UINT64_C(1) << 34);
    bucket = (struct rate_bucket){0};
    cr_expect_not(rate_take(&bucket, &fast, (UINT64_C(1) << 34) + 100, SECOND));
    cr_expect(rate_take(&bucket, &fast, UINT64_C(1) << 34, SECOND));
    cr_expect_not(rate_take(&bucket, &fast, 1000, SECOND));
    /* the interval is rounded up, by less than 20 millionths of it */
    cr_expect_not(rate_take(&bucket, &fast, UINT64_C(1) << 33, SECOND + SECOND / 2 - 1));
    cr_expect(rate_take(&bucket, &fast, UINT64_C(1) << 33, SECOND + SECOND / 2 + SECOND / 100000));
}

Test(rate, another_limit)
{
    struct rate_limit slow = rate_limit_make(1, 3600 * SECOND, 1), fast = rate_limit_make(10, SECOND, 10);
    struct rate_bucket bucket = {0};

    /* empty under the slow one: an hour of debt is not the fast one's, which gives one in a tenth */
    cr_expect(rate_take(&bucket, &slow, 1, SECOND));
    rate_change_limit(&bucket, &fast, SECOND);
    cr_expect_eq(passes(&bucket, &fast, 5, SECOND), 0);
    cr_expect_eq(passes(&bucket, &fast, 5, SECOND + SECOND / 10), 1);
    /* nor does a change make it fuller than it was */
    rate_change_limit(&bucket, &slow, SECOND + SECOND / 10);
    cr_expect_not(rate_is_full(&bucket, SECOND + SECOND / 10));
    rate_change_limit(&bucket, &fast, SECOND + SECOND / 10);
    cr_expect_eq(passes(&bucket, &fast, 5, SECOND + SECOND / 10), 0);
}

/* ---- threads ---- */

#define THREADS 4
#define TRIES 200000

struct hammer {
    struct rate_bucket *bucket;
    const struct rate_limit *limit;
    bool gives_back;
    uint64_t passed;
};

static void *hammer(void *argument)
{
    struct hammer *hammer = argument;

    for (uint64_t i = 0; i < TRIES; i++) {
        /* a nanosecond a try: the clocks of the threads are apart, and each goes on */
        if (!rate_take(hammer->bucket, hammer->limit, 1, SECOND + i))
            continue;
        if (hammer->gives_back)
            rate_give_back(hammer->bucket, hammer->limit, 1);
        else
            hammer->passed++;
    }
    return NULL;
}

static uint64_t hammer_all(struct rate_bucket *bucket, const struct rate_limit *limit, bool gives_back)
{
    struct hammer hammers[THREADS];
    pthread_t threads[THREADS];
    uint64_t passed = 0;

    for (int i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){bucket, limit, gives_back, 0};
        cr_assert_eq(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        passed += hammers[i].passed;
    }
    return passed;
}

Test(rate, threads_share_a_bucket, .timeout = 60)
{
    /* 1 in 1,000 ns, and 100 at once: in 200,000 ns 100 + 199, however the threads meet */
    struct rate_limit limit = rate_limit_make(1000000, SECOND, 100);
    struct rate_bucket bucket = {0};
    uint64_t passed = hammer_all(&bucket, &limit, false);

    cr_expect(passed >= 100 && passed <= 299, "%llu", (unsigned long long)passed);
    /* all that was given back is there */
    bucket = (struct rate_bucket){0};
    hammer_all(&bucket, &limit, true);
    cr_expect_eq(passes(&bucket, &limit, 200, SECOND + TRIES), 100);
}

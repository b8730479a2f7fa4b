/* SPDX-License-Identifier: Apache-2.0 */
/* Denials: exactly so many within exactly so long, per party, with bounded memory, from many threads. */
#include "proxy/denials.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "policy/policy.h"

static bool deny(struct denials *denials, const char *id, uint32_t count, uint64_t within_ms, uint64_t now_ms)
{
    return denials_add(denials, DENIALS_BY_ID, view_of_string(id), count, within_ms, now_ms);
}

Test(denials, the_count_th_is_too_many_and_then_it_begins_anew)
{
    struct denials *denials = denials_new();

    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < 20; i++)
            cr_assert_not(deny(denials, "eva", 20, 60000, 1000), "%d", i);
        cr_assert(deny(denials, "eva", 20, 60000, 1000));
    }
    cr_expect(deny(denials, "eva", 1, 60000, 1000), "one is too many");
    denials_free(denials);
}

Test(denials, the_window_slides_and_is_exact)
{
    struct denials *denials = denials_new();

    cr_expect_not(deny(denials, "eva", 3, 1000, 0));
    cr_expect_not(deny(denials, "eva", 3, 1000, 500));
    cr_expect_not(deny(denials, "eva", 3, 1000, 1000), "the first is as long ago as the window is wide");
    cr_expect(deny(denials, "eva", 3, 1000, 1499), "the second is not yet");
    cr_expect_not(deny(denials, "eva", 3, 1000, 2000));
    cr_expect_not(deny(denials, "eva", 3, 1000, 2999));
    cr_expect_not(deny(denials, "eva", 3, 1000, 3999), "both are gone");
    denials_free(denials);
}

Test(denials, each_party_has_its_own_count)
{
    struct denials *denials = denials_new();

    cr_expect_not(deny(denials, "eva", 2, 1000, 0));
    cr_expect_not(deny(denials, "adam", 2, 1000, 0));
    cr_expect_not(
        denials_add(denials, DENIALS_BY_ADDRESS, VIEW("eva"), 2, 1000, 0), "an address is no identity");
    cr_expect(deny(denials, "eva", 2, 1000, 0));
    cr_expect(deny(denials, "adam", 2, 1000, 0));
    denials_free(denials);
}

/* A reference that keeps everything. */
Test(denials, as_a_list_of_all_times_would_say)
{
    struct denials *denials = denials_new();
    static uint64_t times[20000];
    size_t first = 0, count = 0;
    uint64_t now = UINT64_C(0xfffff000); /* the low half of the time turns over */
    unsigned seed = 7;

    for (int i = 0; i < 20000; i++) {
        uint32_t limit = i / 5000 % 2 == 0 ? 100 : 37; /* policies change */
        bool expected;

        seed = seed * 1103515245 + 12345;
        now += seed >> 16 & 63;
        times[count++] = now;
        while (now - times[first] >= 3000)
            first++;
        expected = count - first >= limit;
        cr_assert_eq(deny(denials, "eva", limit, 3000, now), expected, "%d", i);
        if (expected)
            first = count;
        while (count - first >= limit)
            first++;
    }
    denials_free(denials);
}

Test(denials, a_day_and_more_are_told_apart)
{
    struct denials *denials = denials_new();
    const uint64_t day = UINT64_C(24) * 3600 * 1000;

    cr_expect_not(deny(denials, "eva", 2, day, 5));
    cr_expect(deny(denials, "eva", 2, day, 4 + day));
    cr_expect_not(deny(denials, "eva", 2, day, 5));
    cr_expect_not(deny(denials, "eva", 2, day, 5 + (UINT64_C(1) << 32)), "49 days later");
    denials_free(denials);
}

Test(denials, a_clock_that_another_thread_read_earlier_does_no_harm)
{
    struct denials *denials = denials_new();

    cr_expect_not(deny(denials, "eva", 3, 1000, 5000));
    cr_expect_not(deny(denials, "eva", 3, 1000, 4990));
    cr_expect(deny(denials, "eva", 3, 1000, 5001));
    denials_free(denials);
}

Test(denials, many_names_do_not_make_a_long_record_forgotten)
{
    struct denials *denials = denials_new();
    char name[32];

    for (int i = 0; i < 5; i++)
        cr_assert_not(deny(denials, "offender", 10, 60000, 0));
    for (int i = 0; i < 4 * DENIALS_PLACES; i++) {
        snprintf(name, sizeof(name), "sybil-%d", i);
        deny(denials, name, 10, 60000, 1);
    }
    for (int i = 0; i < 4; i++)
        cr_assert_not(deny(denials, "offender", 10, 60000, 2));
    cr_expect(deny(denials, "offender", 10, 60000, 2));
    denials_free(denials);
}

Test(denials, addresses_never_take_the_place_of_identities)
{
    struct denials *denials = denials_new();
    char name[32];

    cr_assert_not(deny(denials, "offender", 2, 60000, 0));
    for (int i = 0; i < 4 * DENIALS_PLACES; i++) {
        snprintf(name, sizeof(name), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        for (int k = 0; k < 3; k++)
            denials_add(denials, DENIALS_BY_ADDRESS, view_of_string(name), 10, 60000, 1);
    }
    cr_expect(deny(denials, "offender", 2, 60000, 2));
    denials_free(denials);
}

Test(denials, the_largest_count_has_room)
{
    struct denials *denials = denials_new();

    for (int i = 1; i < POLICY_REPEAT_MAX; i++)
        cr_assert_not(deny(denials, "eva", POLICY_REPEAT_MAX, 60000, (uint64_t)i));
    cr_expect(deny(denials, "eva", POLICY_REPEAT_MAX, 60000, POLICY_REPEAT_MAX));
    denials_free(denials);
}

#define THREADS 4
#define DENIALS 20000

static struct denials *shared;
static _Atomic unsigned too_many;

static void *run(void *argument)
{
    (void)argument;
    for (int i = 0; i < DENIALS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "id-%d", i % 50);
        if (deny(shared, name, 8, 86400000, (uint64_t)i))
            atomic_fetch_add(&too_many, 1);
    }
    return NULL;
}

Test(denials, threads_lose_no_denial)
{
    pthread_t threads[THREADS];

    shared = denials_new();
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(too_many, THREADS * DENIALS / 8);
    denials_free(shared);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms: what lands in which bucket, and that readers beside the writer never see them go
 * backward. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/counter.h"
#include "check.h"

Test(counter, adds)
{
    struct counter counter = {0};

    cr_assert_eq(counter_read(&counter), 0);
    counter_add(&counter, 1);
    counter_add(&counter, 41);
    cr_assert_eq(counter_read(&counter), 42);
}

Test(histogram, bounds_rise)
{
    const struct histogram_bounds *const all[] = {&histogram_short, &histogram_long};

    for (size_t i = 0; i < 2; i++) {
        cr_assert(all[i]->count > 0 && all[i]->count <= HISTOGRAM_BUCKETS);
        for (size_t k = 1; k < all[i]->count; k++)
            cr_assert_lt(all[i]->ns[k - 1], all[i]->ns[k]);
    }
}

Test(histogram, a_bound_belongs_to_the_bucket_below_it)
{
    const struct histogram_bounds bounds = {3, {10, 20, 30}};
    const uint64_t values[] = {0, 10, 11, 20, 30, 31, 1000};
    const uint64_t wanted[] = {2, 2, 1, 2};
    struct histogram histogram = {0};
    struct histogram_total total = {0};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        histogram_add(&histogram, &bounds, values[i]);
    histogram_collect(&histogram, &total);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(total.buckets[i], wanted[i], "bucket %zu has %lu", i, (unsigned long)total.buckets[i]);
    cr_assert_eq(total.sum_ns, 1102);
}

Test(histogram, those_of_several_threads_add_up)
{
    struct histogram a = {0}, b = {0};
    struct histogram_total total = {0};

    histogram_add(&a, &histogram_short, 1);
    histogram_add(&b, &histogram_short, 1);
    histogram_add(&b, &histogram_short, UINT64_C(1) << 40);
    histogram_collect(&a, &total);
    histogram_collect(&b, &total);
    cr_assert_eq(total.buckets[0], 2);
    cr_assert_eq(total.buckets[histogram_short.count], 1);
    cr_assert_eq(total.sum_ns, (UINT64_C(1) << 40) + 2);
}

#define ROUNDS 200000

static void *write_all(void *argument)
{
    struct histogram *histogram = argument;

    for (uint64_t i = 0; i < ROUNDS; i++)
        histogram_add(histogram, &histogram_short, i % 1000);
    return NULL;
}

Test(histogram, a_reader_beside_the_writer_sees_it_grow)
{
    struct histogram histogram = {0};
    struct histogram_total before = {0};
    pthread_t writer;
    uint64_t count = 0;

    cr_assert_eq(pthread_create(&writer, NULL, write_all, &histogram), 0);
    while (count < ROUNDS) {
        struct histogram_total now = {0};

        histogram_collect(&histogram, &now);
        count = 0;
        for (size_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
            CHECK(now.buckets[i] >= before.buckets[i]);
            count += now.buckets[i];
        }
        CHECK(now.sum_ns >= before.sum_ns);
        before = now;
    }
    pthread_join(writer, NULL);
    cr_assert_eq(count, ROUNDS);
}

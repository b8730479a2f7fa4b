/* SPDX-License-Identifier: Apache-2.0 */
/* Failed logins: what counts together, for how long, and that the table does not grow. */
#include "proxy/logins.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const struct login_limits limits = {.per_address = 3, .per_name = 5, .window_ms = 1000};

static void fail(struct logins *logins, const char *address, const char *name, int times, uint64_t now_ms)
{
    for (int i = 0; i < times; i++)
        logins_failed(logins, &limits, view_of_string(address), view_of_string(name), now_ms);
}

static bool may_try(struct logins *logins, const char *address, const char *name, uint64_t now_ms)
{
    return logins_may_try(logins, &limits, view_of_string(address), view_of_string(name), now_ms);
}

Test(logins, an_address_and_a_name_have_their_limits)
{
    struct logins *logins = logins_new();

    fail(logins, "192.0.2.1", "eva", 2, 10);
    cr_expect(may_try(logins, "192.0.2.1", "eva", 10));
    fail(logins, "192.0.2.1", "adam", 1, 20);
    cr_expect_not(may_try(logins, "192.0.2.1", "carl", 20), "the address");
    fail(logins, "192.0.2.2", "eva", 2, 30);
    fail(logins, "192.0.2.3", "eva", 1, 30);
    cr_expect_not(may_try(logins, "192.0.2.9", "eva", 30), "the name");
    cr_expect(may_try(logins, "192.0.2.9", "adam", 30));
    logins_free(logins);
}

Test(logins, counts_end_with_their_window)
{
    struct logins *logins = logins_new();

    fail(logins, "192.0.2.1", "eva", 3, 10);
    cr_expect_not(may_try(logins, "192.0.2.1", "eva", 1009));
    cr_expect(may_try(logins, "192.0.2.1", "eva", 1010));
    fail(logins, "192.0.2.1", "eva", 1, 1010);
    cr_expect(may_try(logins, "192.0.2.1", "eva", 1011), "the next window counts from one");
    logins_free(logins);
}

Test(logins, whoever_has_a_network_of_ipv6_addresses_has_one_count)
{
    struct logins *logins = logins_new();

    fail(logins, "2001:db8:0:1::1", "a", 1, 1);
    fail(logins, "2001:db8:0:1:ffff::2", "b", 1, 1);
    fail(logins, "2001:db8:0:1::3", "c", 1, 1);
    cr_expect_not(may_try(logins, "2001:db8:0:1:1:2:3:4", "d", 1));
    cr_expect(may_try(logins, "2001:db8:0:2::1", "d", 1), "another network");
    logins_free(logins);
}

Test(logins, an_address_and_a_name_that_read_the_same_are_two)
{
    struct logins *logins = logins_new();

    fail(logins, "192.0.2.1", "192.0.2.2", 3, 1);
    cr_expect(may_try(logins, "192.0.2.2", "x", 1));
    logins_free(logins);
}

Test(logins, a_full_table_forgets_the_oldest)
{
    struct logins *logins = logins_new();
    char name[32];

    fail(logins, "192.0.2.1", "eva", 3, 1);
    for (int i = 0; i < 300000; i++) {
        snprintf(name, sizeof(name), "name-%d", i);
        logins_failed(logins, &(struct login_limits){.per_name = 1, .window_ms = 1000}, VIEW("192.0.2.2"),
            view_of_string(name), 2);
    }
    cr_expect(may_try(logins, "192.0.2.1", "eva", 3), "the oldest of all went first");
    cr_expect_not(logins_may_try(logins, &(struct login_limits){.per_name = 1, .window_ms = 1000},
                      VIEW("192.0.2.9"), view_of_string(name), 3),
        "the newest is there");
    logins_free(logins);
}

Test(logins, limit_0_is_none)
{
    struct logins *logins = logins_new();
    const struct login_limits none = {.window_ms = 1000};

    for (int i = 0; i < 100; i++)
        logins_failed(logins, &none, VIEW("192.0.2.1"), VIEW("eva"), 1);
    cr_expect(logins_may_try(logins, &none, VIEW("192.0.2.1"), VIEW("eva"), 1));
    cr_expect(may_try(logins, "192.0.2.1", "eva", 1), "nothing was counted");
    logins_free(logins);
}

/* Of two threads the one that looked at the clock first may come last. */
Test(logins, a_failure_of_a_moment_ago_is_counted_with_those_after_it)
{
    struct logins *logins = logins_new();
    const struct login_limits two = {.per_name = 2, .window_ms = 1000};

    logins_failed(logins, &two, VIEW("192.0.2.1"), VIEW("eva"), 5001);
    logins_failed(logins, &two, VIEW("192.0.2.1"), VIEW("eva"), 5000);
    cr_expect_not(logins_may_try(logins, &two, VIEW("192.0.2.1"), VIEW("eva"), 4999));
    cr_expect_not(logins_may_try(logins, &two, VIEW("192.0.2.1"), VIEW("eva"), 5002));
    cr_expect(logins_may_try(logins, &two, VIEW("192.0.2.1"), VIEW("eva"), 6001), "the window is over");
    logins_free(logins);
}

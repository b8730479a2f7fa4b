/* SPDX-License-Identifier: Apache-2.0 */
/* Bans: begun, prolonged, ended by time, by an operator or for want of room, each end told once. */
#include "proxy/bans.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static enum ban_begun begin(
    struct bans *bans, enum ban_by by, const char *value, uint64_t until_ms, bool ordered, uint64_t now_ms)
{
    struct ban_order order = {.by = by,
        .value = view_of_string(value),
        .until_ms = until_ms,
        .until_wall_us = until_ms * 1000,
        .ordered = ordered,
        .why = VIEW("why")};

    return bans_begin(bans, &order, now_ms);
}

static uint64_t left(struct bans *bans, const char *value, bool ordered, uint64_t now_ms)
{
    return bans_left(bans, BAN_BY_ID, view_of_string(value), ordered, now_ms);
}

/* "eva expired", "" for none. */
static const char *ended(struct bans *bans, uint64_t now_ms)
{
    static char text[BAN_VALUE_SHOWN + 64];
    struct ban ban;
    enum reason reason;

    text[0] = 0;
    if (bans_take_ended(bans, now_ms, &ban, &reason))
        snprintf(text, sizeof(text), "%s %.*s %s", ban_by_name(ban.by), (int)ban.shown_length,
            (char *)ban.shown, reason_info(reason)->name);
    return text;
}

Test(bans, a_ban_holds_until_its_time_and_its_end_is_told_once)
{
    struct bans *bans = bans_new();

    cr_expect_eq(left(bans, "eva", false, 0), 0);
    cr_expect_eq(bans_next_end(bans), 0);
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 1000, false, 10), BAN_BEGUN);
    cr_expect_eq(left(bans, "eva", false, 10), 990);
    cr_expect_eq(left(bans, "eva", false, 999), 1);
    cr_expect_eq(left(bans, "ev", false, 10), 0);
    cr_expect_eq(left(bans, "", false, 10), 0);
    cr_expect_eq(bans_left(bans, BAN_BY_ADDRESS, VIEW("eva"), false, 10), 0, "an address is no identity");
    cr_expect_eq(bans_next_end(bans), 1000);
    cr_expect_str_empty(ended(bans, 999));
    cr_expect_eq(left(bans, "eva", false, 1000), 0);
    cr_expect_str_eq(ended(bans, 1000), "id eva ban_expired");
    cr_expect_str_empty(ended(bans, 1000));
    cr_expect_eq(bans_next_end(bans), 0);
    bans_free(bans);
}

Test(bans, the_policys_ban_gives_way_to_an_operators)
{
    struct bans *bans = bans_new();

    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 1000, false, 0), BAN_BEGUN);
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 900, false, 0), BAN_HELD, "a shorter one");
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 1100, false, 0), BAN_BEGUN);
    cr_expect_eq(left(bans, "eva", true, 0), 0, "it is not an operator's");
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 500, true, 0), BAN_BEGUN);
    cr_expect_eq(left(bans, "eva", true, 0), 1100, "which does not shorten it");
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 5000, false, 0), BAN_HELD);
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 1100, true, 0), BAN_HELD);
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 2000, true, 0), BAN_BEGUN);
    cr_expect_eq(left(bans, "eva", true, 0), 2000);
    /* one that is over, but was not told yet, is in nobody's way */
    cr_expect_eq(begin(bans, BAN_BY_ID, "eva", 3000, false, 2000), BAN_BEGUN);
    cr_expect_eq(left(bans, "eva", false, 2000), 1000);
    cr_expect_str_eq(ended(bans, 2000), "id eva ban_expired");
    cr_expect_str_empty(ended(bans, 2000));
    bans_free(bans);
}

Test(bans, lifting)
{
    struct bans *bans = bans_new();

    cr_expect_not(bans_lift(bans, BAN_BY_ID, VIEW("eva"), "me", 0));
    begin(bans, BAN_BY_ID, "eva", 1000, false, 0);
    begin(bans, BAN_BY_ADDRESS, "192.0.2.1", 1000, true, 0);
    begin(bans, BAN_BY_ADDRESS, "192.0.2.2", 10, true, 0);
    cr_expect(bans_lift(bans, BAN_BY_ID, VIEW("eva"), "me", 20));
    cr_expect_not(bans_lift(bans, BAN_BY_ID, VIEW("eva"), "me", 20));
    cr_expect_not(bans_lift(bans, BAN_BY_ADDRESS, VIEW("192.0.2.2"), "me", 20), "it is over");
    cr_expect_eq(left(bans, "eva", false, 20), 0);
    cr_expect_str_eq(ended(bans, 20), "id eva ban_lifted");
    cr_expect_eq(bans_lift_all(bans, "me", 20), 1, "those that hold");
    cr_expect_eq(bans_lift_all(bans, "me", 20), 0);
    for (int i = 0; i < 2; i++) { /* in any order */
        const char *text = ended(bans, 20);

        cr_expect(strcmp(text, "address 192.0.2.2 ban_expired") == 0 ||
                      strcmp(text, "address 192.0.2.1 ban_lifted") == 0,
            "%s", text);
    }
    cr_expect_str_empty(ended(bans, 20));
    bans_free(bans);
}

Test(bans, long_values_are_compared_as_a_whole)
{
    static char a[2 * BAN_VALUE_SHOWN], b[2 * BAN_VALUE_SHOWN];
    struct bans *bans = bans_new();
    struct ban ban;
    enum reason reason;

    memset(a, 'x', sizeof(a) - 1);
    memset(b, 'x', sizeof(b) - 1);
    b[sizeof(b) - 2] = 'y';
    begin(bans, BAN_BY_ID, a, 1000, false, 0);
    cr_expect_eq(left(bans, a, false, 0), 1000);
    cr_expect_eq(left(bans, b, false, 0), 0);
    cr_expect(bans_take_ended(bans, 1000, &ban, &reason));
    cr_expect_eq(ban.value_length, sizeof(a) - 1);
    cr_expect_eq(ban.shown_length, BAN_VALUE_SHOWN);
    bans_free(bans);
}

static void fill(struct bans *bans, bool ordered)
{
    char name[32];

    for (int i = 0; i < BANS_MAX; i++) {
        snprintf(name, sizeof(name), "id-%d", i);
        cr_assert_eq(begin(bans, BAN_BY_ID, name, 100000 + (uint64_t)i, ordered, 0), BAN_BEGUN);
    }
}

Test(bans, without_room_the_one_that_ends_soonest_goes_and_is_told)
{
    struct bans *bans = bans_new();

    fill(bans, false);
    cr_expect_eq(begin(bans, BAN_BY_ID, "operators", 50000, true, 0), BAN_BEGUN);
    cr_expect_str_eq(ended(bans, 0), "id id-0 ban_displaced");
    cr_expect_eq(begin(bans, BAN_BY_ID, "new", 60000, false, 0), BAN_BEGUN);
    cr_expect_str_eq(ended(bans, 0), "id id-1 ban_displaced", "not the operator's, which ends sooner");
    cr_expect_eq(begin(bans, BAN_BY_ID, "new", 200000, false, 0), BAN_BEGUN, "it is there already");
    cr_expect_str_empty(ended(bans, 0));
    cr_expect_eq(begin(bans, BAN_BY_ADDRESS, "192.0.2.1", 60000, false, 0), BAN_BEGUN);
    cr_expect_str_empty(ended(bans, 0), "addresses have room of their own");
    bans_free(bans);
}

Test(bans, operators_bans_are_never_displaced)
{
    struct bans *bans = bans_new();
    struct ban_order order = {.by = BAN_BY_ID, .value = VIEW("new"), .until_ms = 1000, .until_wall_us = 1};

    fill(bans, true);
    cr_expect_eq(bans_may_begin(bans, &order, 0), BAN_FULL);
    cr_expect_eq(bans_begin(bans, &order, 0), BAN_FULL);
    cr_expect_eq(left(bans, "new", false, 0), 0);
    cr_expect_str_empty(ended(bans, 0));
    cr_expect_eq(bans_lift_all(bans, "me", 0), BANS_MAX);
    cr_expect_eq(bans_may_begin(bans, &order, 0), BAN_BEGUN);
    cr_expect_eq(left(bans, "new", false, 0), 0, "it only looked");
    bans_free(bans);
}

static void count(void *context, const struct ban *ban)
{
    (void)ban;
    ++*(unsigned *)context;
}

Test(bans, the_list_has_those_that_hold)
{
    struct bans *bans = bans_new();
    unsigned found = 0;

    begin(bans, BAN_BY_ID, "eva", 1000, false, 0);
    begin(bans, BAN_BY_ADDRESS, "192.0.2.1", 2000, true, 0);
    bans_each(bans, 1500, count, &found);
    cr_expect_eq(found, 1);
    bans_free(bans);
}

#define THREADS 4
#define ROUNDS 1000

#define LONG 1000000

static struct bans *shared;
static _Atomic unsigned changes, begun, missed;

static void changed(void *context)
{
    (void)context;
    atomic_fetch_add(&changes, 1);
}

/* Half of the bans end while others begin. */
static void *run(void *argument)
{
    char name[32];

    for (unsigned i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "id-%u-%u", (unsigned)(uintptr_t)argument, i);
        atomic_fetch_add(&begun, begin(shared, BAN_BY_ID, name, LONG, false, i) == BAN_BEGUN);
        atomic_fetch_add(&missed, left(shared, name, false, i) != LONG - i);
        snprintf(name, sizeof(name), "short-%u-%u", (unsigned)(uintptr_t)argument, i);
        atomic_fetch_add(&begun, begin(shared, BAN_BY_ID, name, 1 + i, false, i) == BAN_BEGUN);
    }
    return NULL;
}

Test(bans, threads_lose_no_ban_and_no_end)
{
    pthread_t threads[THREADS];
    struct ban ban;
    enum reason reason;
    unsigned ends = 0;

    shared = bans_new();
    bans_on_change(shared, changed, NULL);
    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (uint64_t i = 0; i < ROUNDS; i++)
        ends += bans_take_ended(shared, i, &ban, &reason);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    while (bans_take_ended(shared, UINT64_MAX, &ban, &reason))
        ends++;
    cr_expect_eq(missed, 0);
    cr_expect_eq(begun, 2 * THREADS * ROUNDS);
    cr_expect_eq(changes, 2 * THREADS * ROUNDS);
    cr_expect_eq(ends, 2 * THREADS * ROUNDS);
    bans_free(shared);
}

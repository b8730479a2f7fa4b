/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a chain at any place, in any order, and what a forged number costs. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "exporters/verify_keys.h"

#define LINES 3000U
#define STARTS 6U
#define WASTE ((uint64_t)1 << 20)

static const uint8_t verification_key[CHAIN_KEY_SIZE] = {1, 2, 3};

static void first_key(uint64_t start, uint8_t key[CHAIN_KEY_SIZE])
{
    uint8_t secret[CHAIN_KEY_SIZE];

    memcpy(secret, verification_key, sizeof(secret));
    for (uint64_t i = 1; i < start; i++)
        chain_next_secret(secret);
    chain_first_key(secret, 100 + start, start, key);
}

Test(verify_keys, every_key_in_any_order)
{
    static uint8_t expected[STARTS + 1][LINES + 1][CHAIN_KEY_SIZE];
    struct verify_keys *keys = verify_keys_new(verification_key, WASTE);
    uint8_t key[CHAIN_KEY_SIZE];
    for (uint64_t start = 1; start <= STARTS; start++) {
        first_key(start, expected[start][1]);
        for (size_t i = 2; i <= LINES; i++) {
            memcpy(expected[start][i], expected[start][i - 1], CHAIN_KEY_SIZE);
            chain_next_key(expected[start][i], 1);
        }
    }
    srand(31);
    for (int round = 0; round < 3000; round++) { /* in runs, as lines come */
        uint64_t start = 1 + (uint64_t)rand() % STARTS, from = 1 + (uint64_t)rand() % LINES;
        for (uint64_t i = from; i <= LINES && i < from + 20; i++) {
            cr_assert(verify_keys_get(keys, start, 100 + start, i, key));
            cr_assert_arr_eq(key, expected[start][i], CHAIN_KEY_SIZE, "start %d line %d", (int)start, (int)i);
            verify_keys_trust(keys, start, 100 + start, i);
        }
    }
    verify_keys_free(keys);
}

Test(verify_keys, forged_numbers_cost_no_more_than_was_allowed)
{
    struct verify_keys *keys = verify_keys_new(verification_key, WASTE);
    uint8_t key[CHAIN_KEY_SIZE], genuine[CHAIN_KEY_SIZE];
    cr_assert_not(verify_keys_get(keys, 0, 1, 1, key));
    cr_assert_not(verify_keys_get(keys, 1, 1, 0, key));
    cr_assert_not(verify_keys_get(keys, UINT64_MAX, 1, 1, key));
    cr_assert_not(verify_keys_get(keys, 1, 1, UINT64_MAX, key));
    cr_assert_not(verify_keys_get(keys, 1, 1, WASTE + 2, key));
    size_t given = 0;
    for (uint64_t epoch = 1; epoch <= 100; epoch++)
        given += verify_keys_get(keys, 1, epoch, WASTE / 10, key);
    cr_assert_eq(given, 10);
    /* the genuine ones still are reached, line by line */
    first_key(2, genuine);
    for (uint64_t i = 1; i <= 1000; i++) {
        bool reached = verify_keys_get(keys, 2, 102, i, key);
        cr_assert(reached, "line %d", (int)i);
        cr_assert_arr_eq(key, genuine, CHAIN_KEY_SIZE);
        verify_keys_trust(keys, 2, 102, i);
        chain_next_key(genuine, 1);
    }
    verify_keys_free(keys);
}

/* Forged lines that lead far up, and then always one step back: from the next rung below it is a long way. */
Test(verify_keys, going_back_is_paid_as_well)
{
    uint8_t key[CHAIN_KEY_SIZE];
    for (int starts = 0; starts < 2; starts++) {
        struct verify_keys *keys = verify_keys_new(verification_key, WASTE);
        const uint64_t top = WASTE / 2;
        unsigned given = 0;
        cr_assert(starts ? verify_keys_get(keys, top, 7, 1, key) : verify_keys_get(keys, 1, 7, top, key));
        for (unsigned i = 0; i < 100000; i++) {
            const uint64_t back = top - 1 - 200 * (i % 2);
            bool reached =
                starts ? verify_keys_get(keys, back, 8 + i, 1, key) : verify_keys_get(keys, 1, 7, back, key);
            given += i % 2 == 1 && reached; /* the way back to the other one is shorter */
        }
        /* A rung is some 500 steps from the next one. */
        cr_assert_gt(given, 10);
        cr_assert_lt(given, 10000, "%u", given);
        verify_keys_free(keys);
    }
}

/* Genuine lines give back what was spent on their own start, and nothing of what others have wasted. */
Test(verify_keys, genuine_lines_are_reached_however_much_was_wasted)
{
    struct verify_keys *keys = verify_keys_new(verification_key, WASTE);
    uint8_t key[CHAIN_KEY_SIZE], genuine[CHAIN_KEY_SIZE];
    first_key(3, genuine);
    chain_next_key(genuine, 999);
    cr_assert(verify_keys_get(keys, 3, 103, 1000, key)); /* the first one that is there */
    cr_assert_arr_eq(key, genuine, CHAIN_KEY_SIZE);
    verify_keys_trust(keys, 3, 103, 1000);
    for (uint64_t epoch = 200, steps = 1000; steps > 1;
         steps -= !verify_keys_get(keys, 3, epoch++, steps + 1, key))
        ;
    cr_assert_not(verify_keys_get(keys, 3, 199, 3, key), "all is wasted");
    for (uint64_t i = 1001; i < 3000; i++) {
        chain_next_key(genuine, 1);
        cr_assert(verify_keys_get(keys, 3, 103, i, key), "line %d", (int)i);
        cr_assert_arr_eq(key, genuine, CHAIN_KEY_SIZE);
        verify_keys_trust(keys, 3, 103, i);
    }
    verify_keys_free(keys);
}

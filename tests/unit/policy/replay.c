/* SPDX-License-Identifier: Apache-2.0 */
/* The replay store: what was here is known, within bounds, and what is forgotten can't come again. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "policy/replay.h"

#define T UINT64_C(1750000000000)
#define LIFE 360000 /* max_age and skew */

static struct replay_mark mark_of(const char *sub, uint64_t nonce, uint8_t tag, uint64_t t)
{
    struct replay_mark mark = {
        .kid = VIEW("m25a"), .sub = view_of_string(sub), .t_ms = t, .until_ms = t + LIFE};

    memcpy(mark.nonce, &nonce, sizeof(nonce));
    memset(mark.tag, tag, sizeof(mark.tag));
    return mark;
}

static struct replay_mark counter_mark(uint64_t epoch, uint64_t counter, uint8_t tag)
{
    struct replay_mark mark = {.kid = VIEW("m25a"), .sub = VIEW("plc-7")};

    for (int i = 0; i < 8; i++) {
        mark.nonce[7 - i] = (uint8_t)(epoch >> 8 * i);
        mark.nonce[15 - i] = (uint8_t)(counter >> 8 * i);
    }
    memset(mark.tag, tag, sizeof(mark.tag));
    return mark;
}

static struct replay_store *store_of(size_t per_signer, size_t total, size_t signers)
{
    return replay_new(&(struct replay_limits){per_signer, total, signers});
}

static enum replay_answer see(struct replay_store *store, const char *sub, uint64_t nonce, uint64_t t)
{
    struct replay_mark mark = mark_of(sub, nonce, 1, t);

    return replay_nonce(store, &mark, t);
}

Test(replay, a_nonce_is_new_once)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T), other = mark_of("plc-7", 1, 2, T),
                       neighbour = mark_of("plc-8", 1, 1, T);

    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_PENDING);
    cr_expect_eq(replay_nonce(store, &other, T), REPLAY_REUSED);
    cr_expect_eq(replay_nonce(store, &neighbour, T), REPLAY_NEW, "another signer's nonces are his own");
    replay_done(store, &other, false);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_PENDING, "another message was acknowledged");
    replay_done(store, &mark, false);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_DONE);
    replay_undo(store, &mark, false);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_DONE, "what the broker has is not undone");
    replay_free(store);
}

Test(replay, a_message_that_did_not_go_on_may_come_again)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T), sequence = counter_mark(1, 5, 1);

    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    replay_undo(store, &mark, false);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(replay_sequence(store, &sequence), REPLAY_NEW);
    replay_undo(store, &sequence, true);
    cr_expect_eq(replay_sequence(store, &sequence), REPLAY_NEW);
    replay_free(store);
}

/* kid and sub are told apart where their characters could be either's. */
Test(replay, names_are_not_run_together)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark a = mark_of("bc", 1, 1, T), b = mark_of("c", 1, 1, T);

    a.kid = VIEW("a");
    b.kid = VIEW("ab");
    cr_expect_eq(replay_nonce(store, &a, T), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &b, T), REPLAY_NEW);
    replay_free(store);
}

Test(replay, a_full_quota_fails_closed)
{
    struct replay_store *store = store_of(8, 0, 0);

    for (uint64_t i = 0; i < 20; i++)
        cr_expect_eq(see(store, "plc-7", i, T + i), REPLAY_NEW);
    cr_expect_eq(replay_usage(store).nonces, 8);
    cr_expect_eq(replay_usage(store).evicted, 12);
    for (uint64_t i = 0; i < 12; i++)
        cr_expect_eq(see(store, "plc-7", i, T + i), REPLAY_FORGOTTEN, "replay %u", (unsigned)i);
    for (uint64_t i = 12; i < 20; i++)
        cr_expect_eq(see(store, "plc-7", i, T + i), REPLAY_PENDING, "replay %u", (unsigned)i);
    cr_expect_eq(see(store, "plc-8", 0, T), REPLAY_NEW, "another signer has a quota of his own");
    replay_free(store);
}

Test(replay, what_is_too_old_is_forgotten_and_not_taken)
{
    struct replay_store *store = store_of(8, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T), later = mark_of("plc-7", 2, 1, T + LIFE + 1);

    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &later, T + LIFE + 1), REPLAY_NEW);
    cr_expect_eq(replay_usage(store).nonces, 1);
    cr_expect_eq(replay_usage(store).evicted, 0);
    /* the clock is set back, so that the age alone would let it pass */
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_FORGOTTEN);
    replay_free(store);
}

Test(replay, the_store_is_bounded_whoever_fills_it)
{
    struct replay_store *store = store_of(1000, 640, 6400); /* ten nonces a shard */
    size_t fresh = 0;

    for (uint64_t i = 0; i < 20000; i++) {
        char sub[32];

        snprintf(sub, sizeof(sub), "plc-%u", (unsigned)(i % 300));
        fresh += see(store, sub, i, T + i) == REPLAY_NEW;
    }
    cr_expect_eq(fresh, 20000);
    cr_expect_leq(replay_usage(store).nonces, 640);
    cr_expect_leq(replay_usage(store).signers, 300);
    for (uint64_t i = 0; i < 20000; i++) {
        char sub[32];

        snprintf(sub, sizeof(sub), "plc-%u", (unsigned)(i % 300));
        cr_expect_neq(see(store, sub, i, T + i), REPLAY_NEW, "%u is taken twice", (unsigned)i);
    }
    replay_free(store);
}

Test(replay, signers_of_whom_nothing_is_left_make_room)
{
    struct replay_store *store = store_of(0, 0, 64); /* one a shard */
    size_t full = 0, fresh = 0;
    char sub[32];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(sub, sizeof(sub), "plc-%u", i);
        full += see(store, sub, i, T) == REPLAY_FULL;
    }
    cr_expect_leq(replay_usage(store).signers, 64);
    cr_expect_geq(full, 1000 - 64);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(sub, sizeof(sub), "later-%u", i);
        fresh += see(store, sub, i, T + (i + 1) * (LIFE + 1)) == REPLAY_NEW;
    }
    cr_expect_eq(fresh, 1000, "whose nonces are all too old, nobody needs to be remembered");
    replay_free(store);
}

/* ---- sequences ---- */

Test(replay, the_window_is_64_counters_wide)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark;

#define SEQUENCE(epoch, counter, tag)                                                                        \
    (mark = counter_mark(epoch, counter, tag), replay_sequence(store, &mark))
    cr_expect_eq(SEQUENCE(1, 100, 1), REPLAY_NEW);
    cr_expect_eq(SEQUENCE(1, 100, 1), REPLAY_PENDING);
    cr_expect_eq(SEQUENCE(1, 100, 2), REPLAY_REUSED);
    cr_expect_eq(SEQUENCE(1, 37, 1), REPLAY_NEW, "the lowest within the window");
    cr_expect_eq(SEQUENCE(1, 36, 1), REPLAY_FORGOTTEN);
    cr_expect_eq(SEQUENCE(1, 101, 1), REPLAY_NEW);
    cr_expect_eq(SEQUENCE(1, 37, 1), REPLAY_FORGOTTEN, "the window has moved");
    mark = counter_mark(1, 101, 1);
    replay_done(store, &mark, true);
    cr_expect_eq(replay_sequence(store, &mark), REPLAY_DONE);
    cr_expect_eq(SEQUENCE(1, 100, 1), REPLAY_PENDING);
    cr_expect_eq(SEQUENCE(2, 0, 1), REPLAY_NEW, "a higher epoch begins anew");
    cr_expect_eq(SEQUENCE(1, 102, 1), REPLAY_FORGOTTEN, "a lower one is over");
    cr_expect_eq(SEQUENCE(2, MPS1_COUNTER_END - 1, 1), REPLAY_NEW);
    cr_expect_eq(SEQUENCE(2, 1, 1), REPLAY_FORGOTTEN);
    replay_free(store);
}

Test(replay, what_is_undone_opens_no_window)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark;

    cr_expect_eq(SEQUENCE(1, 50, 1), REPLAY_NEW);
    cr_expect_eq(SEQUENCE(1, 1000, 1), REPLAY_NEW);
    replay_undo(store, &mark, true);
    cr_expect_eq(SEQUENCE(1, 50, 1), REPLAY_FORGOTTEN);
    cr_expect_eq(SEQUENCE(1, 1000, 1), REPLAY_NEW);
    replay_free(store);
}

/* ---- against a memory without bounds ---- */

#define SIGNERS 5
#define NONCES 400

struct memory {
    bool seen[SIGNERS][NONCES], done[SIGNERS][NONCES];
};

Test(replay, nothing_is_taken_twice_whatever_is_forgotten)
{
    struct replay_store *store = store_of(32, 64 * 20, 0);
    struct memory *memory = memory_calloc(1, sizeof(*memory));
    unsigned seed = 7, fresh = 0, forgotten = 0;
    uint64_t now = T;

    for (int i = 0; i < 200000; i++) {
        unsigned signer = (unsigned)rand_r(&seed) % SIGNERS, nonce = (unsigned)rand_r(&seed) % NONCES;
        char sub[16];
        struct replay_mark mark;
        enum replay_answer answer;

        now += (unsigned)rand_r(&seed) % 20;
        snprintf(sub, sizeof(sub), "plc-%u", signer);
        /* a nonce always has the same time: it is the same message */
        mark = mark_of(sub, nonce, 1, T + nonce * UINT64_C(5000));
        if (now < mark.t_ms)
            continue;
        answer = replay_nonce(store, &mark, now);
        fresh += answer == REPLAY_NEW;
        forgotten += answer == REPLAY_FORGOTTEN;
        cr_assert(answer != REPLAY_NEW || !memory->seen[signer][nonce], "taken twice after %d steps", i);
        cr_assert(answer != REPLAY_NEW || now <= mark.until_ms);
        cr_assert(answer != REPLAY_PENDING || !memory->done[signer][nonce]);
        cr_assert(answer != REPLAY_DONE || memory->done[signer][nonce]);
        if (answer == REPLAY_NEW)
            memory->seen[signer][nonce] = true;
        if (answer == REPLAY_NEW && rand_r(&seed) % 4 == 0) {
            replay_undo(store, &mark, false);
            memory->seen[signer][nonce] = false;
        } else if (answer == REPLAY_PENDING && rand_r(&seed) % 2 == 0) {
            replay_done(store, &mark, false);
            memory->done[signer][nonce] = true;
        }
        cr_assert_leq(replay_usage(store).nonces, (size_t)SIGNERS * 32);
    }
    cr_expect_gt(fresh, 500);
    cr_expect_gt(forgotten, 500);
    free(memory);
    replay_free(store);
}

/* Whoever has something to say then: it is the flood's that goes, however many are silent. */
Test(replay, a_flood_costs_others_nothing_once_it_is_over)
{
    struct replay_store *store = store_of(4096, 4096, 0);
    char sub[16];

    for (unsigned i = 0; i < 500; i++) {
        snprintf(sub, sizeof(sub), "plc-%u", i);
        cr_assert_eq(see(store, sub, i, T), REPLAY_NEW);
    }
    for (unsigned i = 0; i < 5000; i++)
        cr_assert_eq(see(store, "flood", i, T + i / 100), REPLAY_NEW);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(sub, sizeof(sub), "plc-%u", i);
        cr_expect_eq(
            see(store, sub, 1000 + i, T - 1000), REPLAY_NEW, "%s: nothing of his was forgotten", sub);
        cr_expect_eq(see(store, sub, i, T), REPLAY_PENDING);
    }
    replay_free(store);
}

/* ---- policies that take older messages ---- */

#define AGES(age) (&(struct replay_span){(age), 60000})

Test(replay, a_nonce_is_kept_for_the_check_that_takes_the_oldest)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T), patient = mark;

    replay_expect(store, AGES(10 * LIFE), T);
    patient.until_ms = T + 10 * LIFE;
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(see(store, "plc-7", 2, T + 2 * LIFE), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &patient, T + 2 * LIFE), REPLAY_PENDING);
    replay_free(store);
}

Test(replay, what_was_forgotten_is_not_new_for_a_policy_that_takes_older_messages)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T), unseen = mark_of("plc-7", 9, 1, T),
                       later = mark_of("plc-7", 3, 1, T + 2 * LIFE + 60000);

    replay_expect(store, AGES(LIFE), T);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(see(store, "plc-7", 2, T + 2 * LIFE), REPLAY_NEW);
    replay_expect(store, AGES(10 * LIFE), T + 2 * LIFE);
    mark.until_ms = unseen.until_ms = T + 10 * LIFE;
    later.until_ms = later.t_ms + 10 * LIFE;
    cr_expect_eq(replay_nonce(store, &mark, T + 2 * LIFE), REPLAY_FORGOTTEN);
    cr_expect_eq(replay_nonce(store, &unseen, T + 2 * LIFE), REPLAY_FORGOTTEN, "who knows?");
    cr_expect_eq(replay_nonce(store, &later, T + 9 * LIFE), REPLAY_NEW, "signed since, and young enough");
    replay_free(store);
}

Test(replay, what_is_still_remembered_is_not_new_when_it_would_have_been_forgotten)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark mark = mark_of("plc-7", 1, 1, T);

    replay_expect(store, AGES(LIFE), T);
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    replay_expect(store, AGES(10 * LIFE), T + 1);
    replay_expect(store, AGES(0), T + 2); /* no check of nonces */
    replay_expect(store, AGES(20 * LIFE), T + 3);
    mark.until_ms = T + 20 * LIFE;
    cr_expect_eq(see(store, "plc-7", 2, T + 2 * LIFE), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &mark, T + 2 * LIFE), REPLAY_FORGOTTEN);
    replay_free(store);
}

Test(replay, a_second_change_forgives_what_the_first_one_is_done_with)
{
    struct replay_store *store = store_of(0, 0, 0);
    struct replay_mark between = mark_of("plc-7", 1, 1, T + 3 * LIFE);

    replay_expect(store, AGES(LIFE), T);
    replay_expect(store, AGES(2 * LIFE), T);
    replay_expect(store, AGES(10 * LIFE), T + 4 * LIFE);
    between.until_ms = between.t_ms + 10 * LIFE;
    cr_expect_eq(
        replay_nonce(store, &between, T + 3 * LIFE + LIFE * 3 / 2), REPLAY_NEW, "not older than 2 lives");
    replay_free(store);
}

/* ---- copies ---- */

static struct replay_mark again(struct replay_mark mark)
{
    mark.again = true;
    return mark;
}

Test(replay, what_has_let_a_copy_through_can_not_be_undone)
{
    struct replay_store *store = store_of(0, 0, 0);
    const struct replay_mark mark = mark_of("plc-7", 1, 1, T), copy = again(mark);

    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_NEW);
    cr_expect_eq(replay_nonce(store, &copy, T), REPLAY_PENDING);
    cr_expect_not(replay_undo(store, &mark, false));
    cr_expect_eq(replay_nonce(store, &mark, T), REPLAY_PENDING);
    cr_expect_eq(replay_sequence(store, &mark), REPLAY_NEW);
    cr_expect_eq(replay_sequence(store, &copy), REPLAY_PENDING);
    cr_expect_not(replay_undo(store, &mark, true));
    cr_expect_eq(replay_sequence(store, &mark), REPLAY_PENDING);
    replay_free(store);
}

Test(replay, a_pending_message_is_sent_again_so_often_and_no_more)
{
    struct replay_store *store = store_of(0, 0, 0);
    const struct replay_mark mark = mark_of("plc-7", 1, 1, T), copy = again(mark);

    for (int sequence = 0; sequence <= 1; sequence++)
        for (int i = -1; i <= REPLAY_RETRANSMISSIONS; i++)
            cr_expect_eq(sequence ? replay_sequence(store, &copy) : replay_nonce(store, &copy, T),
                i < 0                        ? REPLAY_NEW
                : i < REPLAY_RETRANSMISSIONS ? REPLAY_PENDING
                                             : REPLAY_FORGOTTEN,
                "%d", i);
    replay_free(store);
}

/* ---- threads ---- */

#define THREADS 4
#define EACH 20000

static struct replay_store *shared;
static atomic_uint taken;

static void *take_all(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < EACH; i++) {
        char sub[16];
        struct replay_mark mark;

        snprintf(sub, sizeof(sub), "plc-%u", i % 50);
        mark = mark_of(sub, i, 1, T + i);
        if (replay_nonce(shared, &mark, T + i) == REPLAY_NEW) {
            atomic_fetch_add(&taken, 1);
            replay_done(shared, &mark, false);
        }
    }
    return NULL;
}

Test(replay, of_several_workers_one_takes_a_message)
{
    pthread_t threads[THREADS];

    shared = store_of(0, 0, 0);
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, take_all, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(taken, EACH);
    replay_free(shared);
}

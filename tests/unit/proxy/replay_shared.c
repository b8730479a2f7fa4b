/* SPDX-License-Identifier: Apache-2.0 */
/* The shared replay store on a real Redis: what several proxies know of each other's messages, and that
 * sequences are treated as the store in memory treats them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exporters/secrets.h"
#include "base/clock.h"
#include "base/memory.h"
#include "replay_link.h"

#define EPOCH UINT64_C(0x0102030405060708)

struct pair {
    struct redis_server server;
    struct replay_link a, b;
};

static void open_pair(struct pair *pair)
{
    *pair = (struct pair){.server = {.process = 0}};
    redis_server_start(&pair->server, "");
    replay_link_open(&pair->a, pair->server.port);
    replay_link_open(&pair->b, pair->server.port);
    LINK_UP(&pair->a);
    LINK_UP(&pair->b);
}

static void close_pair(struct pair *pair)
{
    replay_link_close(&pair->a);
    replay_link_close(&pair->b);
    redis_server_end(&pair->server);
}

static void undo(struct replay_link *link, const struct replay_mark *mark, bool sequence)
{
    struct replay_mark after = replay_link_nonce(0xffffffff, 1);

    replay_shared_undo(link->shared, mark, sequence);
    replay_link_found(link, &after, false); /* its answer comes behind */
}

/* What one proxy has taken, the other knows; mark: sequence or nonce. */
static void check_life(const struct replay_mark *mark, const struct replay_mark *other, bool sequence)
{
    struct pair pair;

    open_pair(&pair);
    cr_expect_eq(replay_link_found(&pair.a, mark, sequence), REPLAY_NEW);
    cr_expect_eq(replay_link_found(&pair.a, mark, sequence), REPLAY_PENDING);
    cr_expect_eq(replay_link_found(&pair.b, mark, sequence), REPLAY_PENDING);
    cr_expect_eq(replay_link_found(&pair.b, other, sequence), REPLAY_REUSED);
    undo(&pair.b, other, sequence); /* is not what is remembered */
    cr_expect_eq(replay_link_found(&pair.b, mark, sequence), REPLAY_PENDING);
    undo(&pair.b, mark, sequence);
    cr_expect_eq(replay_link_found(&pair.a, mark, sequence), REPLAY_NEW, "it did not go on after all");
    replay_link_done(&pair.a, mark, sequence);
    cr_expect_eq(replay_link_found(&pair.b, mark, sequence), REPLAY_DONE);
    undo(&pair.a, mark, sequence);
    cr_expect_eq(replay_link_found(&pair.b, mark, sequence), REPLAY_DONE, "what is done can't be undone");
    cr_expect_eq(replay_link_found(&pair.b, other, sequence), REPLAY_REUSED);
    close_pair(&pair);
}

Test(replay_shared, a_nonce_is_new_once_for_all_proxies)
{
    struct replay_mark mark = replay_link_nonce(1, 1), other = replay_link_nonce(1, 2);

    check_life(&mark, &other, false);
}

Test(replay_shared, a_counter_is_new_once_for_all_proxies)
{
    struct replay_mark mark = replay_link_counter(EPOCH, 1, 1), other = replay_link_counter(EPOCH, 1, 2);

    check_life(&mark, &other, true);
}

/* Keys and values as the specification has them: proxies of other versions share them. The hashes are those
 * of sha256sum. */
Test(replay_shared, keys_and_values_are_those_of_the_specification)
{
    static const char key[] = "mps1:r:672baa75ffe70666a950c1e148e11cdc";
    static const char window[] = "mps1:s:698166de521909dee61f41fc5c444c83";
    static const char tag[] = "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
    struct replay_mark mark = replay_link_nonce(UINT64_C(0xa8a9aaabacadaeaf), 12);
    struct replay_mark counter = replay_link_counter(EPOCH, 70, 12);
    char wanted[64];
    struct pair pair;

    open_pair(&pair);
    replay_link_found(&pair.a, &mark, false);
    snprintf(wanted, sizeof(wanted), "%s|p\n", tag);
    cr_expect_str_eq(redis_command(&pair.server, "GET %s", key), wanted);
    long ttl = strtol(redis_command(&pair.server, "PTTL %s", key), NULL, 10);
    cr_expect(ttl > 600000 && ttl <= 660000, "%ld", ttl); /* a minute more: clocks differ */
    replay_link_done(&pair.a, &mark, false);
    snprintf(wanted, sizeof(wanted), "%s|d\n", tag);
    cr_expect_str_eq(redis_command(&pair.server, "GET %s", key), wanted);
    ttl = strtol(redis_command(&pair.server, "PTTL %s", key), NULL, 10);
    cr_expect(ttl > 600000 && ttl <= 660000, "%ld", ttl); /* a minute more: clocks differ */
    replay_link_found(&pair.a, &counter, true);
    cr_expect_str_eq(redis_command(&pair.server, "HGET %s epoch", window), "0102030405060708\n");
    snprintf(wanted, sizeof(wanted), "70:%s|p\n", tag);
    cr_expect_str_eq(redis_command(&pair.server, "HGET %s 6", window), wanted);
    cr_expect_str_eq(redis_command(&pair.server, "TTL %s", window), "-1\n");
    close_pair(&pair);
}

Test(replay_shared, a_nonce_that_has_gone_out_is_new)
{
    struct replay_mark mark = replay_link_nonce(1, 1);
    struct pair pair;

    open_pair(&pair);
    mark.until_ms = clock_wall_us() / 1000 - 60000 + 50;
    cr_expect_eq(replay_link_found(&pair.a, &mark, false), REPLAY_NEW);
    mark.until_ms += 120000;
    LINK_WAIT(&pair.b, replay_link_found(&pair.b, &mark, false) == REPLAY_NEW);
    close_pair(&pair);
}

Test(replay_shared, of_many_who_ask_at_once_one_is_the_first)
{
    struct replay_question asked[2][200];
    struct pair pair;
    unsigned firsts = 0;

    open_pair(&pair);
    for (size_t i = 0; i < 200; i++) {
        struct replay_mark nonce = replay_link_nonce(i / 4, 1),
                           counter = replay_link_counter(EPOCH, i / 4, 1);

        replay_link_ask(&pair.a, &asked[0][i], i % 2 == 0 ? &nonce : &counter, i % 2 != 0);
        replay_link_ask(&pair.b, &asked[1][i], i % 2 == 0 ? &nonce : &counter, i % 2 != 0);
    }
    for (size_t i = 0; i < 200; i++) {
        LINK_WAIT(&pair.a, asked[0][i].answers == 1);
        LINK_WAIT(&pair.b, asked[1][i].answers == 1);
        for (size_t side = 0; side < 2; side++)
            firsts += asked[side][i].answer == REPLAY_NEW;
    }
    cr_expect_eq(firsts, 100, "fifty nonces and fifty counters, not %u", firsts);
    close_pair(&pair);
}

Test(replay_shared, numbers_at_their_ends_are_exact)
{
    static const struct {
        uint64_t epoch, counter;
        enum replay_answer answer;
    } rows[] = {
        {0, 0, REPLAY_NEW},
        {0, (UINT64_C(1) << 48) - 1, REPLAY_NEW},
        {0, (UINT64_C(1) << 48) - 64, REPLAY_NEW},
        {0, (UINT64_C(1) << 48) - 65, REPLAY_FORGOTTEN},
        {0, (UINT64_C(1) << 48) - 2, REPLAY_NEW},
        {0, (UINT64_C(1) << 48) - 1, REPLAY_PENDING},
        {9, 3, REPLAY_NEW},
        {10, 3, REPLAY_NEW}, /* "a" is above "9" */
        {9, 4, REPLAY_FORGOTTEN},
        {UINT64_C(0x00000000ffffffff), 1, REPLAY_NEW},
        {UINT64_C(0x0000000100000000), 1, REPLAY_NEW},
        {UINT64_C(0x00000000ffffffff), 2, REPLAY_FORGOTTEN},
        {UINT64_C(0x7fffffffffffffff), 1, REPLAY_NEW},
        {UINT64_C(0x8000000000000000), 1, REPLAY_NEW}, /* no sign */
        {UINT64_C(0x7fffffffffffffff), 2, REPLAY_FORGOTTEN},
        {UINT64_C(0xfffffffffffffffe), 1, REPLAY_NEW}, /* no fraction */
        {UINT64_C(0xffffffffffffffff), 65, REPLAY_NEW},
        {UINT64_C(0xffffffffffffffff), 1, REPLAY_FORGOTTEN}, /* not of the epoch before, in the same place */
        {UINT64_C(0xffffffffffffffff), 2, REPLAY_NEW},
        {UINT64_C(0xfffffffffffffffe), 1, REPLAY_FORGOTTEN},
    };
    struct pair pair;

    open_pair(&pair);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct replay_mark mark = replay_link_counter(rows[i].epoch, rows[i].counter, 1);
        enum replay_answer found = replay_link_found(i % 2 == 0 ? &pair.a : &pair.b, &mark, true);

        cr_expect_eq(found, rows[i].answer, "row %zu: %d", i, (int)found);
    }
    close_pair(&pair);
}

/* ---- as the store in memory ---- */

#define STEPS 3000

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Counters around the edges of a window that moves on, now and then an epoch before or behind; two tags. */
static struct replay_mark random_counter(uint32_t *state, unsigned step)
{
    static const uint32_t around[] = {0, 1, 2, 62, 63, 64, 65, 66, 90, 127, 128, 129};
    uint64_t epoch = EPOCH + step / 100, counter = step % 100 / 10 * 30 + around[next_random(state) % 12];

    if (next_random(state) % 200 == 0)
        epoch = epoch + next_random(state) % 3 - 1;
    return replay_link_counter(epoch, counter, (uint8_t)(next_random(state) % 8 == 0));
}

static struct replay_mark random_nonce(uint32_t *state)
{
    return replay_link_nonce(next_random(state) % 40, (uint8_t)(next_random(state) % 8 == 0));
}

static enum replay_answer ask_local(struct replay_store *store, const struct replay_mark *mark, bool sequence)
{
    return sequence ? replay_sequence(store, mark) : replay_nonce(store, mark, clock_wall_us() / 1000);
}

/* What is done and was never asked about is remembered all the same: Redis was away then. */
static void done_local(struct replay_store *store, const struct replay_mark *mark, bool sequence)
{
    replay_done(store, mark, sequence);
    if (ask_local(store, mark, sequence) == REPLAY_NEW)
        replay_done(store, mark, sequence);
}

static void compare_stores(bool sequence, uint32_t seed)
{
    struct replay_store *store = replay_new(&(struct replay_limits){0});
    unsigned seen[REPLAY_DOWN + 1] = {0};
    struct pair pair;

    open_pair(&pair);
    for (unsigned step = 0; step < STEPS; step++) {
        struct replay_mark mark = sequence ? random_counter(&seed, step) : random_nonce(&seed);
        struct replay_link *link = next_random(&seed) % 2 == 0 ? &pair.a : &pair.b;
        enum replay_answer local, shared;

        switch (next_random(&seed) % 8) {
        case 0:
            replay_undo(store, &mark, sequence);
            undo(link, &mark, sequence);
            break;
        case 1:
            local = ask_local(store, &mark, sequence); /* only a message that was let in is ever done */
            shared = replay_link_found(link, &mark, sequence);
            cr_assert_eq(local, shared, "step %u: %d, not %d", step, (int)shared, (int)local);
            if (local != REPLAY_NEW && local != REPLAY_PENDING)
                break;
            if (next_random(&seed) % 2 == 0) {
                replay_undo(store, &mark, sequence);
                undo(link, &mark, sequence);
            }
            done_local(store, &mark, sequence);
            replay_link_done(link, &mark, sequence);
            break;
        default:
            local = ask_local(store, &mark, sequence);
            shared = replay_link_found(link, &mark, sequence);
            cr_assert_eq(local, shared, "step %u: %d, not %d", step, (int)shared, (int)local);
            seen[local]++;
        }
    }
    for (enum replay_answer i = REPLAY_NEW; i <= (sequence ? REPLAY_FORGOTTEN : REPLAY_REUSED); i++)
        cr_expect_gt(seen[i], 10, "answer %d was hardly seen", (int)i);
    close_pair(&pair);
    replay_free(store);
}

Test(replay_shared, a_sequence_is_treated_as_in_memory)
{
    compare_stores(true, 1);
    compare_stores(true, 2);
}

Test(replay_shared, nonces_are_treated_as_in_memory)
{
    compare_stores(false, 3);
}

/* ---- what is asked, and nobody waits any more ---- */

Test(replay_shared, whoever_has_cancelled_hears_nothing_and_the_others_do)
{
    struct replay_mark first = replay_link_nonce(1, 1), second = replay_link_nonce(2, 1);
    struct replay_question asked[2];
    struct pair pair;

    open_pair(&pair);
    replay_link_ask(&pair.a, &asked[0], &first, false);
    replay_link_ask(&pair.a, &asked[1], &second, false);
    replay_shared_cancel(asked[0].ask);
    LINK_WAIT(&pair.a, asked[1].answers == 1);
    cr_expect_eq(asked[0].answers, 0);
    cr_expect_eq(replay_link_found(&pair.a, &first, false), REPLAY_PENDING, "who knows who has forwarded it");
    replay_link_ask(&pair.a, &asked[0], &first, false);
    close_pair(&pair); /* with a question under way */
    cr_expect_eq(asked[0].answers, 0);
    replay_shared_cancel(NULL);
    replay_shared_free(NULL);
}

/* ---- rights ---- */

/* As docs/operations.md has it. */
#define RIGHTS                                                                                               \
    "resetkeys '~mps1:*' resetchannels nocommands +ping +select +set +get +del +hmget +hget +hset +hdel "    \
    "+evalsha "                                                                                              \
    "'+script|load'"

Test(replay_shared, the_rights_of_the_manual_are_enough_and_none_is_too_many)
{
    static const char *const needed[] = {
        "ping", "set", "get", "del", "hmget", "hget", "hset", "hdel", "evalsha", "script|load"};
    struct redis_server server = {.process = 0};
    struct replay_mark mark = replay_link_nonce(1, 1), counter = replay_link_counter(EPOCH, 1, 1),
                       newer = replay_link_counter(EPOCH + 1, 1, 1);
    struct replay_link link;
    struct exporter_redis redis = {.access = {.username = "mqward"}, .database = 1};

    redis_server_start(&server, "");
    redis.access.credentials = secrets_password(server.directory, "secret");
    redis_command(&server, "ACL SETUSER mqward on '>secret' " RIGHTS);
    redis.address.port = server.port;
    replay_link_open_as(&link, &redis);
    LINK_UP(&link);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_NEW);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_PENDING);
    undo(&link, &mark, false);
    replay_link_done(&link, &mark, false);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_DONE);
    cr_expect_eq(replay_link_found(&link, &counter, true), REPLAY_NEW);
    undo(&link, &counter, true);
    replay_link_done(&link, &counter, true);
    cr_expect_eq(replay_link_found(&link, &newer, true), REPLAY_NEW);
    cr_expect_eq(link.downs, 0, "%s", link.detail);
    replay_link_close(&link);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        redis_command(&server, "ACL SETUSER mqward reset on '>secret' " RIGHTS " -'%s'", needed[i]);
        replay_link_open_as(&link, &redis);
        LINK_WAIT(&link, link.downs > 0 || link.ups > 0);
        cr_expect(link.downs == 1 && link.refused, "without %s: %s", needed[i], link.detail);
        replay_link_close(&link);
    }
    credentials_free(redis.access.credentials);
    redis_server_end(&server);
}

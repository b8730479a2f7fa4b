/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of keys: bounded, fair to what is in use, safe among threads, and gone without a trace. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "keys.h"
#include "policy/key_cache.h"
#include "support.h"

static struct key_name name_of(size_t number)
{
    char sub[16];
    snprintf(sub, sizeof(sub), "device-%zu", number);
    return key_name_of(MPS1_DEVICE, VIEW("m25a"), view_of_string(sub));
}

/* A key that can be told from others. */
static struct mps1_key key_of(size_t number)
{
    struct mps1_key key = {.algorithm = MPS1_HMAC_SHA_256};
    key.inner.words[0] = number;
    return key;
}

static const struct keyring_key *add(struct key_cache *cache, size_t number)
{
    struct key_name name = name_of(number);
    struct mps1_key key = key_of(number);
    return key_cache_add(cache, &name, &key);
}

static const struct keyring_key *find(struct key_cache *cache, size_t number)
{
    struct key_name name = name_of(number);
    const struct keyring_key *key = key_cache_find(cache, &name);
    CHECK(key == NULL || key->key.inner.words[0] == number, "another key than that of device %zu", number);
    return key;
}

/* Takes it and gives it back. */
static bool has(struct key_cache *cache, size_t number)
{
    const struct keyring_key *key = find(cache, number);
    keyring_put(key);
    return key != NULL;
}

/* Is there memory where the key is, or was? */
static bool is_mapped(const struct keyring_key *key)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uint8_t resident;
    return mincore((void *)((uintptr_t)key & ~(page - 1)), 1, &resident) == 0;
}

Test(keyring_cache, a_key_is_found_again)
{
    struct key_cache *cache = key_cache_new(64);
    cr_expect_null(find(cache, 1));
    const struct keyring_key *key = add(cache, 1), *again = find(cache, 1);
    cr_expect_eq(again, key);
    cr_expect_eq(add(cache, 1), key, "added twice, it is there once");
    keyring_put(key);
    keyring_put(key);
    keyring_put(again);
    cr_expect(has(cache, 1));
    key_cache_close(cache);
    keyring_put(NULL);
}

Test(keyring_cache, names_do_not_run_into_each_other)
{
    struct key_name a = key_name_of(MPS1_DEVICE, VIEW("ab"), VIEW("c"));
    struct key_name b = key_name_of(MPS1_DEVICE, VIEW("a"), VIEW("bc"));
    struct key_name c = key_name_of(MPS1_EGRESS_RECEIVER, VIEW("a"), VIEW("bc"));
    struct key_cache *cache = key_cache_new(8);
    struct mps1_key key = key_of(1);
    keyring_put(key_cache_add(cache, &a, &key));
    cr_expect_null(key_cache_find(cache, &b));
    keyring_put(key_cache_add(cache, &b, &key));
    cr_expect_null(key_cache_find(cache, &c));
    key_cache_close(cache);
}

Test(keyring_cache, there_are_never_more_than_its_capacity)
{
    struct key_cache *cache = key_cache_new(64);
    size_t found = 0;
    for (size_t i = 0; i < 1000; i++)
        keyring_put(add(cache, i));
    for (size_t i = 0; i < 1000; i++)
        found += has(cache, i);
    cr_expect_leq(found, 64);
    cr_expect_geq(found, 32, "%zu of 64 places are used", found);
    key_cache_close(cache);
}

Test(keyring_cache, a_key_in_use_is_never_replaced)
{
    struct key_cache *cache = key_cache_new(8);
    const struct keyring_key *keys[24];
    for (size_t i = 0; i < 24; i++)
        keys[i] = add(cache, i);
    for (size_t i = 0; i < 24; i++)
        cr_expect_eq(keys[i]->key.inner.words[0], i);
    for (size_t i = 8; i < 24; i++)
        cr_expect_null(find(cache, i), "what found no place is not kept");
    for (size_t i = 0; i < 24; i++) {
        cr_expect(is_mapped(keys[i]));
        keyring_put(keys[i]);
        cr_expect_eq(is_mapped(keys[i]), i < 8, "key %zu", i);
    }
    key_cache_close(cache);
    cr_expect_not(is_mapped(keys[0]));
}

/* Anybody with an identity can sign with kid m25a.1, m25a.2, ... and fill the cache with keys of no use. */
Test(keyring_cache, keys_in_use_stay_when_many_are_named_once)
{
    struct key_cache *cache = key_cache_new(8);
    for (size_t i = 0; i < 4; i++)
        keyring_put(add(cache, i));
    for (size_t round = 0; round < 20; round++)
        for (size_t i = 0; i < 4; i++)
            cr_expect(has(cache, i));
    for (size_t i = 0; i < 100000; i++) {
        keyring_put(add(cache, 100 + i));
        if (i % 200 == 0)
            CHECK(has(cache, i / 200 % 4), "device %zu after %zu", i / 200 % 4, i);
    }
    /* but they go when others are used and they are not, even if those are too many for all of them to stay
     */
    for (size_t round = 0; round < 1000; round++)
        for (size_t i = 0; i < 10; i++)
            if (!has(cache, 1000000 + i))
                keyring_put(add(cache, 1000000 + i));
    for (size_t i = 0; i < 4; i++)
        cr_expect_not(has(cache, i), "device %zu", i);
    key_cache_close(cache);
}

Test(keyring_cache, a_key_outlives_its_keyring, .init = keys_begin, .fini = keys_end)
{
    struct keyring *keyring = keys_good("version: 1\nkeys:\n  - {kid: m25a, type: master, alg: HMAC-SHA-256, "
                                        "secret: {file: m25a.key}}\n");
    const struct keyring_key *keys[3];
    struct mps1_key copy;
    for (size_t i = 0; i < 3; i++)
        keys[i] = keyring_take(keyring, keyring_entry(keyring, 0), MPS1_DEVICE, VIEW("m25a"),
            i < 2 ? VIEW("plc-7") : VIEW("plc-8"));
    cr_expect_eq(keys[0], keys[1]);
    copy = keys[0]->key;
    keyring_release(keyring_retain(keyring));
    keyring_release(keyring);
    cr_expect_arr_eq(&copy, &keys[0]->key, sizeof(copy));
    keyring_put(keys[0]);
    cr_expect_arr_eq(&copy, &keys[1]->key, sizeof(copy));
    keyring_put(keys[1]);
    cr_expect(is_mapped(keys[0]));
    keyring_put(keys[2]);
    cr_expect_not(is_mapped(keys[0]), "the last key takes the cache with it");
}

/* ---- threads ---- */

#define THREADS 6
#define ROUNDS 20000

struct shared {
    struct key_cache *cache;
    const struct keyring_key *kept[THREADS];
};
struct task {
    struct shared *shared;
    size_t index;
    bool wrong;
};

static void *use_keys(void *context)
{
    struct task *task = context;
    uint64_t state = task->index + 1;
    for (size_t i = 0; i < ROUNDS && !task->wrong; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        size_t number = (state >> 33) % 40;
        struct key_name name = name_of(number);
        const struct keyring_key *key = key_cache_find(task->shared->cache, &name);
        if (key == NULL) {
            struct mps1_key fresh = key_of(number);
            key = key_cache_add(task->shared->cache, &name, &fresh);
        }
        task->wrong = key->key.inner.words[0] != number;
        if (i + 1 < ROUNDS)
            keyring_put(key);
        else
            task->shared->kept[task->index] = key;
    }
    return NULL;
}

static void *put_key(void *context)
{
    const struct task *task = context;
    keyring_put(task->shared->kept[task->index]);
    return NULL;
}

static void run_threads(struct task *tasks, void *(*run)(void *context))
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run, &tasks[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* 40 keys in 16 places: each thread finds, adds, replaces, and ends with a key that outlives the cache. */
Test(keyring_cache, threads_share_it)
{
    struct shared shared = {.cache = key_cache_new(16)};
    struct task tasks[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        tasks[i] = (struct task){.shared = &shared, .index = i};
    run_threads(tasks, use_keys);
    for (size_t i = 0; i < THREADS; i++)
        cr_expect_not(tasks[i].wrong);
    key_cache_close(shared.cache);
    for (size_t i = 0; i < THREADS; i++)
        cr_expect(is_mapped(shared.kept[i]));
    run_threads(tasks, put_key);
}

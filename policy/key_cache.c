/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keys of a keyring that are ready for use. Called by keyring.c, and by whoever gives a key back.
 *
 * A set has eight places and a lock. A place whose key somebody has taken is never reused; if that goes for
 * all eight, the key gets memory of its own and is not kept. */
#include "policy/key_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/secret.h"

#define PLACES 8
/* A set's time, by which the key is chosen that was used longest ago. A find moves it on much more than an
 * addition, and a new key counts as if it had been used 64 finds ago: who names one key after the other, each
 * once, replaces but keys like that, and hardly any that is in use. Anybody with an identity can make up
 * generations of its key. */
#define TIME_OF_FIND 16
#define TIME_OF_ADDITION 1
#define AGE_WHEN_NEW (64 * TIME_OF_FIND)

struct cached_key {
    struct keyring_key key; /* first: what the user has */
    struct key_set *set;    /* NULL: not in a set, memory of its own */
    uint64_t used;          /* the set's time when it was */
    uint32_t users;
    struct key_name name;
};

struct key_set {
    pthread_mutex_t lock;
    struct key_cache *cache;
    struct cached_key *places;
    uint64_t time;
    uint32_t filled; /* places with a key; the others' memory was never touched */
    uint32_t taken;  /* places with users */
    bool closed;
};

struct key_cache {
    size_t set_count;
    struct key_set *sets;
    struct cached_key *places; /* secret_map() */
    _Atomic size_t open_sets;  /* that are not closed, or have users */
};

struct key_name key_name_of(enum mps1_label label, struct view kid, struct view sub)
{
    struct key_name name = {.length = (uint8_t)(2 + kid.length + sub.length)};

    assert(kid.length <= MPS1_KID_MAX && sub.length <= MPS1_SUB_MAX);
    name.bytes[0] = (uint8_t)label;
    name.bytes[1] = (uint8_t)kid.length;
    memcpy(name.bytes + 2, kid.data, kid.length);
    memcpy(name.bytes + 2 + kid.length, sub.data, sub.length);
    return name;
}

static struct view name_bytes(const struct key_name *name)
{
    return view_of(name->bytes, name->length);
}

static size_t bytes_of(const struct key_cache *cache)
{
    return cache->set_count * PLACES * sizeof(struct cached_key);
}

/* ---- the cache as a whole ---- */

struct key_cache *key_cache_new(size_t capacity)
{
    struct key_cache *cache = memory_calloc(1, sizeof(*cache));

    assert(capacity > 0 && capacity % PLACES == 0);
    cache->set_count = capacity / PLACES;
    cache->sets = memory_calloc(cache->set_count, sizeof(*cache->sets));
    cache->places = secret_map(bytes_of(cache));
    atomic_init(&cache->open_sets, cache->set_count);
    for (size_t i = 0; i < cache->set_count; i++) {
        cache->sets[i].cache = cache;
        cache->sets[i].places = &cache->places[i * PLACES];
        pthread_mutex_init(&cache->sets[i].lock, NULL);
    }
    return cache;
}

/* Some sets are closed and have no users any more. The last one takes the cache with it. */
static void end_sets(struct key_cache *cache, size_t count)
{
    if (count == 0 || atomic_fetch_sub_explicit(&cache->open_sets, count, memory_order_acq_rel) > count)
        return;
    for (size_t i = 0; i < cache->set_count; i++)
        pthread_mutex_destroy(&cache->sets[i].lock);
    secret_unmap(cache->places, bytes_of(cache), 0); /* each place was wiped by itself */
    free(cache->sets);
    free(cache);
}

static void wipe_place(struct cached_key *place)
{
    secret_wipe(place, sizeof(*place));
}

void key_cache_close(struct key_cache *cache)
{
    size_t ended = 0;

    for (size_t i = 0; i < cache->set_count; i++) {
        struct key_set *set = &cache->sets[i];

        pthread_mutex_lock(&set->lock);
        assert(!set->closed);
        set->closed = true;
        for (size_t j = 0; j < set->filled; j++)
            if (set->places[j].users == 0)
                wipe_place(&set->places[j]);
        ended += set->taken == 0;
        pthread_mutex_unlock(&set->lock);
    }
    end_sets(cache, ended);
}

/* ---- a set; its lock is held ---- */

static struct key_set *set_of(struct key_cache *cache, const struct key_name *name)
{
    return &cache->sets[hash_bytes(name_bytes(name)) % cache->set_count];
}

static struct cached_key *take_place(struct key_set *set, struct cached_key *place)
{
    set->taken += place->users++ == 0;
    return place;
}

static struct cached_key *find_place(struct key_set *set, const struct key_name *name)
{
    for (size_t i = 0; i < set->filled; i++)
        if (view_equal(name_bytes(&set->places[i].name), name_bytes(name)))
            return &set->places[i];
    return NULL;
}

/* One that is free, or was used longest ago; NULL: all are in use. */
static struct cached_key *choose_place(struct key_set *set)
{
    struct cached_key *chosen = NULL;

    if (set->filled < PLACES)
        return &set->places[set->filled++];
    for (size_t i = 0; i < PLACES; i++) {
        struct cached_key *place = &set->places[i];

        if (place->users == 0 && (chosen == NULL || place->used < chosen->used))
            chosen = place;
    }
    return chosen;
}

/* Member by member: a compound literal might be put together on the stack first, and stay there. */
static void fill_place(
    struct cached_key *place, struct key_set *set, const struct key_name *name, const struct mps1_key *key)
{
    wipe_place(place);
    memcpy(&place->key.key, key, sizeof(*key));
    place->set = set;
    place->name = *name;
}

/* ---- keys ---- */

const struct keyring_key *key_cache_find(struct key_cache *cache, const struct key_name *name)
{
    struct key_set *set = set_of(cache, name);
    struct cached_key *place;

    pthread_mutex_lock(&set->lock);
    place = find_place(set, name);
    if (place != NULL) {
        place->used = set->time += TIME_OF_FIND;
        take_place(set, place);
    }
    pthread_mutex_unlock(&set->lock);
    return place == NULL ? NULL : &place->key;
}

const struct keyring_key *key_cache_add(
    struct key_cache *cache, const struct key_name *name, const struct mps1_key *key)
{
    struct key_set *set = set_of(cache, name);
    struct cached_key *place;

    pthread_mutex_lock(&set->lock);
    place = find_place(set, name);
    if (place == NULL) {
        place = choose_place(set);
        if (place != NULL) {
            fill_place(place, set, name, key);
            set->time += TIME_OF_ADDITION;
            place->used = set->time > AGE_WHEN_NEW ? set->time - AGE_WHEN_NEW : 0;
        }
    }
    if (place != NULL)
        take_place(set, place);
    pthread_mutex_unlock(&set->lock);
    if (place != NULL)
        return &place->key;
    place = secret_map(sizeof(*place));
    fill_place(place, NULL, name, key);
    place->users = 1;
    return &place->key;
}

void keyring_put(const struct keyring_key *key)
{
    struct cached_key *place = (struct cached_key *)(uintptr_t)key;
    struct key_cache *cache;
    struct key_set *set;
    bool ended;

    if (key == NULL)
        return;
    set = place->set;
    if (set == NULL) {
        assert(place->users == 1);
        secret_unmap(place, sizeof(*place), sizeof(*place));
        return;
    }
    cache = set->cache;
    pthread_mutex_lock(&set->lock);
    assert(place->users > 0);
    set->taken -= --place->users == 0;
    if (set->closed && place->users == 0)
        wipe_place(place);
    ended = set->closed && set->taken == 0;
    pthread_mutex_unlock(&set->lock);
    end_sets(cache, ended ? 1 : 0);
}

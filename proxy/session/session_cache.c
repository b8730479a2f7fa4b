/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions that hold for the same topic again, within the bounds that the policy gave. Called by the
 * handlers of PUBLISH, both ways, and by runs.
 *
 * The cache is as large as it has to be, up to CACHE_MAX topics: a device that sends one pays for two, and a
 * gateway that goes through fifty in turn finds each. Its entries stand in sets of up to SET entries; a
 * topic's set is its hash's. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* Longer topics are rare, and an attacker's: they are decided each time. */
#define CACHE_TOPIC_MAX 256
#define CACHE_MAX 64
#define SET 8

/* Spreads topics; that one client can find topics that share a set is no harm but to itself. */
static uint32_t hash_of(struct view topic)
{
    uint64_t hash = topic.length, word = 0;

    for (; topic.length >= sizeof(word); topic = view_skip(topic, sizeof(word))) {
        memcpy(&word, topic.data, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    if (topic.length > 0) {
        word = 0;
        memcpy(&word, topic.data, topic.length);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32; /* what differs in the last characters is in the high bits */
    }
    return (uint32_t)(hash * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static struct session_cache_entry *set_of(struct session_cache *cache, uint32_t hash)
{
    return cache->capacity <= SET ? cache->entries : &cache->entries[hash % (cache->capacity / SET) * SET];
}

static size_t set_size(const struct session_cache *cache)
{
    return cache->capacity < SET ? cache->capacity : SET;
}

const struct session_cache_entry *session_cache_search(
    struct session_cache *cache, const struct policy_request *request)
{
    struct session_cache_entry *last = &cache->entries[cache->last], *set;
    uint32_t hash;

    /* who goes through its topics in turn does it in the same order again */
    if (session_cache_holds(&cache->entries[last->follower], request)) {
        cache->last = last->follower;
        return &cache->entries[cache->last];
    }
    hash = hash_of(request->topic);
    set = set_of(cache, hash);
    for (size_t i = 0; i < set_size(cache); i++)
        if (set[i].hash == hash && session_cache_holds(&set[i], request)) {
            cache->last = last->follower = (uint16_t)(&set[i] - cache->entries);
            return &set[i];
        }
    return NULL;
}

/* A place for an entry of that hash; NULL: all are taken. */
static struct session_cache_entry *free_place(struct session_cache *cache, uint32_t hash)
{
    struct session_cache_entry *set = set_of(cache, hash);

    for (size_t i = 0; i < set_size(cache); i++)
        if (set[i].topic == NULL)
            return &set[i];
    return NULL;
}

/* Twice as large; each set's entries fit into the two that it becomes. */
static struct session_cache *grow(struct session_cache *old)
{
    size_t capacity = old == NULL ? 2 : (size_t)old->capacity * 2;
    struct session_cache *cache =
        memory_calloc(1, sizeof(*cache) + capacity * sizeof(struct session_cache_entry));

    cache->capacity = (uint16_t)capacity;
    for (size_t i = 0; old != NULL && i < old->capacity; i++)
        if (old->entries[i].topic != NULL) {
            struct session_cache_entry *place = free_place(cache, old->entries[i].hash);

            *place = old->entries[i];
            place->follower = 0; /* has moved as well, and will be found again */
        }
    free(old);
    return cache;
}

void session_cache_add(
    struct session_cache **cache, const struct policy_request *request, const struct policy_verdict *verdict)
{
    struct session_cache_entry *entry;
    uint32_t hash;

    if (!verdict->envelope.valid || !verdict->allowed || verdict->rule == NULL ||
        request->topic.length > CACHE_TOPIC_MAX)
        return;
    hash = hash_of(request->topic);
    if (*cache == NULL)
        *cache = grow(NULL);
    while ((entry = free_place(*cache, hash)) == NULL && (*cache)->capacity < CACHE_MAX)
        *cache = grow(*cache);
    if (entry == NULL) {
        entry = &set_of(*cache, hash)[(*cache)->turn++ % SET];
        free(entry->topic);
    }
    *entry = (struct session_cache_entry){
        .topic = (uint8_t *)memory_copy_string(request->topic),
        .length = (uint32_t)request->topic.length,
        .hash = hash,
        .max_qos = verdict->envelope.max_qos,
        .retain = verdict->envelope.retain,
        .max_size = verdict->envelope.max_size,
        .checks = verdict->checks,
        .rule = verdict->rule,
    };
    (*cache)->last = (uint16_t)(entry - (*cache)->entries);
}

void session_cache_free(struct session_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->capacity; i++)
        free(cache->entries[i].topic);
    free(cache);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions that hold for the same topic again, within the bounds that the policy gave. Called by the
 * handlers of PUBLISH, both ways. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* Longer topics are rare, and an attacker's: they are decided each time. */
#define CACHE_TOPIC_MAX 256

static bool entry_holds(const struct session_cache_entry *entry, const struct policy_request *request)
{
    return entry->length == request->topic.length && request->qos <= entry->max_qos &&
           (!request->retain || entry->retain) && request->size <= entry->max_size && entry->topic != NULL &&
           memcmp(entry->topic, request->topic.data, entry->length) == 0;
}

const struct session_cache_entry *session_cache_find(
    struct session_cache *cache, const struct policy_request *request)
{
    if (cache == NULL)
        return NULL;
    if (entry_holds(&cache->entries[cache->last], request))
        return &cache->entries[cache->last];
    for (uint8_t i = 0; i < SESSION_CACHE_ENTRIES; i++)
        if (entry_holds(&cache->entries[i], request)) {
            cache->last = i;
            return &cache->entries[i];
        }
    return NULL;
}

void session_cache_add(
    struct session_cache **cache, const struct policy_request *request, const struct policy_verdict *verdict)
{
    struct session_cache_entry *entry;

    if (!verdict->envelope.valid || !verdict->allowed || verdict->rule == NULL ||
        request->topic.length > CACHE_TOPIC_MAX)
        return;
    if (*cache == NULL)
        *cache = memory_calloc(1, sizeof(**cache));
    (*cache)->last = (*cache)->next;
    entry = &(*cache)->entries[(*cache)->next];
    (*cache)->next = (uint8_t)(((*cache)->next + 1) % SESSION_CACHE_ENTRIES);
    free(entry->topic);
    *entry = (struct session_cache_entry){
        .topic = (uint8_t *)memory_copy_string(request->topic),
        .length = (uint32_t)request->topic.length,
        .max_qos = verdict->envelope.max_qos,
        .retain = verdict->envelope.retain,
        .max_size = verdict->envelope.max_size,
        .checks = verdict->checks,
        .rule = verdict->rule,
    };
}

void session_cache_free(struct session_cache *cache)
{
    if (cache == NULL)
        return;
    for (int i = 0; i < SESSION_CACHE_ENTRIES; i++)
        free(cache->entries[i].topic);
    free(cache);
}

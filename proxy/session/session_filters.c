/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of topic filters, kept as keyed hashes: what a client holds, and what it was refused. Called by
 * session_subscribe.c and session_unsubscribe.c. A session has few, so they are searched one by one. */
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "proxy/session/session_internal.h"

uint64_t session_filter_hash(struct view filter)
{
    uint64_t hash = hash_bytes(filter);

    return hash == 0 ? 1 : hash; /* 0 stands for none */
}

static size_t find(const struct session_filters *filters, uint64_t hash)
{
    size_t i = 0;

    while (i < filters->count && filters->hashes[i] != hash)
        i++;
    return i;
}

bool session_filters_has(const struct session_filters *filters, uint64_t hash)
{
    return find(filters, hash) < filters->count;
}

bool session_filters_add(struct session_filters *filters, uint64_t hash, size_t max)
{
    if (filters->count >= max || session_filters_has(filters, hash))
        return false;
    if (filters->count == filters->capacity) {
        filters->capacity = filters->capacity == 0 ? 4 : filters->capacity * 2;
        filters->hashes = memory_realloc(filters->hashes, filters->capacity, sizeof(uint64_t));
    }
    filters->hashes[filters->count++] = hash;
    return true;
}

bool session_filters_remove(struct session_filters *filters, uint64_t hash)
{
    size_t i = find(filters, hash);

    if (i == filters->count)
        return false;
    filters->hashes[i] = filters->hashes[--filters->count];
    return true;
}

void session_filters_free(struct session_filters *filters)
{
    free(filters->hashes);
    *filters = (struct session_filters){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The topic filters that a client holds at the broker, or has asked it for. Called by session_subscribe.c,
 * session_unsubscribe.c and session_pending.c. A session has few, so they are searched one by one. */
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

static struct session_held_filter *find(const struct session_held *held, uint64_t hash)
{
    for (size_t i = 0; i < held->count; i++)
        if (held->items[i].hash == hash)
            return &held->items[i];
    return NULL;
}

bool session_held_has(const struct session_held *held, uint64_t hash)
{
    return find(held, hash) != NULL;
}

static struct session_held_filter *add(struct session_held *held, uint64_t hash)
{
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 4 : held->capacity * 2;
        held->items = memory_realloc(held->items, held->capacity, sizeof(*held->items));
    }
    held->items[held->count] = (struct session_held_filter){.hash = hash, .generation = ++held->generation};
    return &held->items[held->count++];
}

uint32_t session_held_ask(struct session_held *held, uint64_t hash)
{
    struct session_held_filter *item = find(held, hash);

    if (item == NULL && held->count >= SESSION_HELD_MAX)
        return 0;
    if (item == NULL)
        item = add(held, hash);
    item->asked++;
    return item->generation;
}

void session_held_remove(struct session_held *held, uint64_t hash)
{
    struct session_held_filter *item = find(held, hash);

    if (item != NULL)
        *item = held->items[--held->count];
}

void session_held_answer(struct session_held *held, uint64_t hash, uint32_t generation, bool granted)
{
    struct session_held_filter *item = find(held, hash);

    if (item == NULL || item->generation != generation)
        return; /* given back meanwhile */
    item->asked--;
    item->granted = item->granted || granted;
    if (item->asked == 0 && !item->granted)
        session_held_remove(held, hash);
}

void session_held_free(struct session_held *held)
{
    free(held->items);
    *held = (struct session_held){0};
}

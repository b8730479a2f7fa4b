/* SPDX-License-Identifier: Apache-2.0 */
/* The topic filters that a client holds at the broker, or has asked it for, with their text: a policy that
 * replaces the present one is asked about them again. Called by session_subscribe.c, session_unsubscribe.c,
 * session_pending.c and session_withdraw.c. A session has few, so they are searched one by one. */
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

static struct view copy_of(struct session_held *held, struct view filter)
{
    if (held->bytes + filter.length > SESSION_HELD_BYTES)
        return (struct view){NULL, 0};
    held->bytes += filter.length;
    return view_of(memory_copy_string(filter), filter.length);
}

static struct session_held_filter *add(struct session_held *held, uint64_t hash, struct view filter)
{
    if (held->count == held->capacity) {
        held->capacity = held->capacity == 0 ? 4 : held->capacity * 2;
        held->items = memory_realloc(held->items, held->capacity, sizeof(*held->items));
    }
    held->items[held->count] = (struct session_held_filter){
        .hash = hash, .generation = ++held->generation, .text = copy_of(held, filter)};
    return &held->items[held->count++];
}

uint32_t session_held_ask(struct session_held *held, uint64_t hash, struct view filter, uint8_t options)
{
    struct session_held_filter *item = find(held, hash);

    if (item == NULL && held->count >= SESSION_HELD_MAX)
        return 0;
    if (item == NULL)
        item = add(held, hash, filter);
    item->options = options;
    item->asked++;
    return item->generation;
}

void session_held_remove_at(struct session_held *held, size_t index)
{
    struct session_held_filter *item = &held->items[index];

    held->bytes -= item->text.length;
    free((void *)(uintptr_t)item->text.data);
    *item = held->items[--held->count];
}

void session_held_remove(struct session_held *held, uint64_t hash)
{
    const struct session_held_filter *item = find(held, hash);

    if (item != NULL)
        session_held_remove_at(held, (size_t)(item - held->items));
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
    for (size_t i = 0; i < held->count; i++)
        free((void *)(uintptr_t)held->items[i].text.data);
    free(held->items);
    *held = (struct session_held){0};
}

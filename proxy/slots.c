/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the names of slots. Called by server_metrics.c. */
#include "proxy/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "proxy/session/session_counters.h"

struct slot {
    char *name; /* NULL: it was never used */
    const char *kind;
    uint64_t hash;
    size_t users;
    uint64_t left;                    /* when the last user went; counted in slots->clock */
    uint64_t base[SLOTS_RESULTS_MAX]; /* counted there before the name had it */
};

struct slots {
    uint16_t count;
    size_t results;
    slots_read *read;
    void *context;
    uint64_t clock;
    uint64_t moved[SLOTS_RESULTS_MAX]; /* counted by names that are gone */
    struct slot slots[];
};

struct slots *slots_new(uint16_t count, size_t results, slots_read *read, void *context)
{
    struct slots *slots = memory_calloc(1, sizeof(*slots) + count * sizeof(slots->slots[0]));

    assert(results <= SLOTS_RESULTS_MAX);
    slots->count = count;
    slots->results = results;
    slots->read = read;
    slots->context = context;
    return slots;
}

void slots_free(struct slots *slots)
{
    if (slots == NULL)
        return;
    for (uint16_t i = 0; i < slots->count; i++)
        free(slots->slots[i].name);
    free(slots);
}

/* What is counted there since the present name has it. */
static void read_slot(const struct slots *slots, uint16_t slot, uint64_t *results)
{
    memset(results, 0, SLOTS_RESULTS_MAX * sizeof(*results));
    slots->read(slots->context, slot, results);
    for (size_t i = 0; i < slots->results; i++)
        results[i] -= slots->slots[slot].base[i];
}

/* Nobody uses it, so that its numbers stand still. */
static void rename_slot(struct slots *slots, uint16_t slot, const char *kind, const char *name, uint64_t hash)
{
    struct slot *entry = &slots->slots[slot];
    uint64_t counted[SLOTS_RESULTS_MAX];

    read_slot(slots, slot, counted);
    for (size_t i = 0; i < slots->results; i++) {
        slots->moved[i] += counted[i];
        entry->base[i] += counted[i];
    }
    free(entry->name);
    entry->name = memory_copy_string(view_of_string(name));
    entry->kind = kind;
    entry->hash = hash;
}

/* A slot that was never used, or the one that nobody has used for longest; SESSION_SLOT_OTHER: none is free.
 */
static uint16_t find_room(const struct slots *slots)
{
    uint16_t found = SESSION_SLOT_OTHER;

    for (uint16_t i = SESSION_SLOT_FIRST; i < slots->count; i++) {
        const struct slot *slot = &slots->slots[i];

        if (slot->name == NULL)
            return i;
        if (slot->users == 0 && (found == SESSION_SLOT_OTHER || slot->left < slots->slots[found].left))
            found = i;
    }
    return found;
}

uint16_t slots_take(struct slots *slots, const char *kind, const char *name)
{
    uint64_t hash = hash_bytes(view_of_string(name));
    uint16_t slot = SESSION_SLOT_FIRST;

    for (; slot < slots->count; slot++) {
        const struct slot *entry = &slots->slots[slot];

        if (entry->name != NULL && entry->hash == hash && strcmp(entry->kind, kind) == 0 &&
            strcmp(entry->name, name) == 0)
            break;
    }
    if (slot == slots->count) {
        slot = find_room(slots);
        if (slot == SESSION_SLOT_OTHER)
            return slot;
        rename_slot(slots, slot, kind, name, hash);
    }
    slots->slots[slot].users++;
    return slot;
}

void slots_give(struct slots *slots, uint16_t slot)
{
    struct slot *entry = &slots->slots[slot];

    if (slot < SESSION_SLOT_FIRST)
        return;
    assert(slot < slots->count && entry->users > 0);
    if (--entry->users == 0)
        entry->left = ++slots->clock;
}

bool slots_next(const struct slots *slots, uint16_t *next, struct slots_entry *entry)
{
    uint16_t slot = *next < SESSION_SLOT_FIRST ? SESSION_SLOT_FIRST : *next;

    while (slot < slots->count && slots->slots[slot].users == 0)
        slot++;
    *next = (uint16_t)(slot + 1);
    if (slot >= slots->count)
        return false;
    entry->kind = slots->slots[slot].kind;
    entry->name = slots->slots[slot].name;
    read_slot(slots, slot, entry->results);
    return true;
}

void slots_fixed(const struct slots *slots, uint16_t slot, struct slots_entry *entry)
{
    assert(slot < SESSION_SLOT_FIRST);
    entry->kind = entry->name = NULL;
    read_slot(slots, slot, entry->results);
    for (size_t i = 0; slot == SESSION_SLOT_OTHER && i < slots->results; i++)
        entry->results[i] += slots->moved[i];
}

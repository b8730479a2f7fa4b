/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memory of verdicts: one of each scanner. A keyed hash finds the slot, a comparison of all bytes
 * decides; a newer entry takes the slot of an older one. Who sends payloads that are all different pays with
 * a copy of each. */
#include "rules/verdicts.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"

#define SLOTS 1024

struct entry {
    uint64_t hash;
    size_t length, count, size;
    struct verdict *found; /* behind them, the key */
};

struct verdicts {
    size_t bytes;
    struct entry slots[SLOTS];
};

struct verdicts *verdicts_new(void)
{
    return memory_calloc(1, sizeof(struct verdicts));
}

static void drop(struct verdicts *verdicts, struct entry *entry)
{
    verdicts->bytes -= entry->size;
    free(entry->found);
    *entry = (struct entry){0};
}

void verdicts_clear(struct verdicts *verdicts)
{
    for (size_t i = 0; i < SLOTS; i++)
        drop(verdicts, &verdicts->slots[i]);
}

void verdicts_free(struct verdicts *verdicts)
{
    if (verdicts == NULL)
        return;
    verdicts_clear(verdicts);
    free(verdicts);
}

bool verdicts_find(
    const struct verdicts *verdicts, struct view key, const struct verdict **found, size_t *count)
{
    if (key.length > VERDICTS_KEY_MAXIMUM)
        return false;
    uint64_t hash = hash_bytes(key);
    const struct entry *entry = &verdicts->slots[hash % SLOTS];
    if (entry->found == NULL || entry->hash != hash || entry->length != key.length ||
        memcmp(entry->found + entry->count, key.data, key.length) != 0)
        return false;
    *found = entry->found;
    *count = entry->count;
    return true;
}

void verdicts_keep(struct verdicts *verdicts, struct view key, const struct verdict *found, size_t count)
{
    size_t size = count * sizeof(*found) + key.length;

    if (key.length > VERDICTS_KEY_MAXIMUM || size == 0 || size > VERDICTS_BYTES / 16)
        return;
    uint64_t hash = hash_bytes(key);
    struct entry *entry = &verdicts->slots[hash % SLOTS];
    drop(verdicts, entry);
    if (verdicts->bytes + size > VERDICTS_BYTES)
        verdicts_clear(verdicts);
    *entry = (struct entry){hash, key.length, count, size, memory_calloc(size, 1)};
    if (count > 0)
        memcpy(entry->found, found, count * sizeof(*found));
    memcpy(entry->found + count, key.data, key.length);
    verdicts->bytes += size;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the walking along the two one-way sequences of a chain: the secrets of starts and the keys of a
 * start's lines. Called by verify.c.
 *
 * A ladder keeps a rung every so many steps, LADDER_RUNGS at most: when they are full, every other one goes
 * and the distance doubles. A place in front of the top is reached from the rung below it. */
#include "exporters/verify_keys.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"

#define LADDER_RUNGS 1024U
#define KEYS_MAGIC 0x766b6579U
/* Whose ladders are kept. The first place is for those of which no genuine line was seen yet: forged ones do
 * not push out the others. */
#define KEYS_STARTS 4U
/* A line may claim to be so many starts or lines behind the last genuine one. The first line of a start that
 * we see may be far inside, because retention has deleted what was before it. */
#define KEYS_STARTS_AHEAD ((uint64_t)1 << 20)
#define KEYS_LINES_AHEAD ((uint64_t)1 << 24)

struct ladder {
    uint64_t first; /* the index of rung 0 */
    uint64_t stride;
    size_t count;
    uint8_t (*rungs)[CHAIN_KEY_SIZE]; /* rung i is at first + i * stride */
    uint64_t top, back;               /* where the two values below are */
    uint8_t top_value[CHAIN_KEY_SIZE], back_value[CHAIN_KEY_SIZE];
};

struct key_start {
    uint64_t start, epoch;
    uint64_t trusted; /* the highest sequence of a genuine line; 0: none */
    uint64_t steps;   /* made since then */
    uint64_t used;    /* when it was used last */
    struct ladder ladder;
};

struct verify_keys {
    uint32_t magic;
    struct ladder secrets;
    uint64_t trusted_start;
    uint64_t waste, wasted; /* steps of all starts: that may be, that are */
    uint64_t clock;
    struct key_start starts[KEYS_STARTS];
};

/* ---- a ladder ---- */

static void ladder_begin(struct ladder *ladder, uint64_t first, const uint8_t value[CHAIN_KEY_SIZE])
{
    if (ladder->rungs == NULL)
        ladder->rungs = memory_calloc(LADDER_RUNGS, CHAIN_KEY_SIZE);
    ladder->first = ladder->top = ladder->back = first;
    ladder->stride = 1;
    ladder->count = 1;
    memcpy(ladder->rungs[0], value, CHAIN_KEY_SIZE);
    memcpy(ladder->top_value, value, CHAIN_KEY_SIZE);
    memcpy(ladder->back_value, value, CHAIN_KEY_SIZE);
}

static void ladder_end(struct ladder *ladder)
{
    if (ladder->rungs != NULL)
        secret_wipe(ladder->rungs, LADDER_RUNGS * CHAIN_KEY_SIZE);
    free(ladder->rungs);
    secret_wipe(ladder, sizeof(*ladder));
}

static void ladder_add_rung(struct ladder *ladder)
{
    if (ladder->count == LADDER_RUNGS) {
        for (size_t i = 1; 2 * i < LADDER_RUNGS; i++)
            memcpy(ladder->rungs[i], ladder->rungs[2 * i], CHAIN_KEY_SIZE);
        ladder->count /= 2;
        ladder->stride *= 2;
    }
    if (ladder->top == ladder->first + ladder->count * ladder->stride)
        memcpy(ladder->rungs[ladder->count++], ladder->top_value, CHAIN_KEY_SIZE);
}

static void ladder_climb(struct ladder *ladder, uint64_t index, void (*step)(uint8_t value[CHAIN_KEY_SIZE]))
{
    while (ladder->top < index) {
        step(ladder->top_value);
        ladder->top++;
        if (ladder->top == ladder->first + ladder->count * ladder->stride)
            ladder_add_rung(ladder);
    }
}

/* index is first or later. */
static void ladder_get(struct ladder *ladder, uint64_t index, void (*step)(uint8_t value[CHAIN_KEY_SIZE]),
    uint8_t value[CHAIN_KEY_SIZE])
{
    assert(index >= ladder->first);
    if (index >= ladder->top) {
        ladder_climb(ladder, index, step);
        memcpy(value, ladder->top_value, CHAIN_KEY_SIZE);
        return;
    }
    uint64_t rung = (index - ladder->first) / ladder->stride;
    if (rung >= ladder->count)
        rung = ladder->count - 1;
    uint64_t at = ladder->first + rung * ladder->stride;
    if (ladder->back > index || ladder->back < at) { /* the back is no better place to begin */
        ladder->back = at;
        memcpy(ladder->back_value, ladder->rungs[rung], CHAIN_KEY_SIZE);
    }
    for (; ladder->back < index; ladder->back++)
        step(ladder->back_value);
    memcpy(value, ladder->back_value, CHAIN_KEY_SIZE);
}

/* Steps that ladder_get() makes. */
static uint64_t ladder_cost(const struct ladder *ladder, uint64_t index)
{
    if (index >= ladder->top)
        return index - ladder->top;
    uint64_t rung = (index - ladder->first) / ladder->stride;
    if (rung >= ladder->count)
        rung = ladder->count - 1;
    uint64_t at = ladder->first + rung * ladder->stride;
    return ladder->back > index || ladder->back < at ? index - at : index - ladder->back;
}

static void step_key(uint8_t value[CHAIN_KEY_SIZE])
{
    chain_next_key(value, 1);
}

/* ---- the keys ---- */

struct verify_keys *verify_keys_new(const uint8_t key[CHAIN_KEY_SIZE], uint64_t waste)
{
    struct verify_keys *keys = memory_calloc(1, sizeof(*keys));

    keys->magic = KEYS_MAGIC;
    keys->waste = waste;
    ladder_begin(&keys->secrets, 0, key);
    return keys;
}

void verify_keys_free(struct verify_keys *keys)
{
    if (keys == NULL)
        return;
    assert(keys->magic == KEYS_MAGIC);
    ladder_end(&keys->secrets);
    for (size_t i = 0; i < KEYS_STARTS; i++)
        ladder_end(&keys->starts[i].ladder);
    secret_wipe(keys, sizeof(*keys));
    free(keys);
    secret_wipe_stack();
}

static struct key_start *keys_find(struct verify_keys *keys, uint64_t start, uint64_t epoch)
{
    for (size_t i = 0; i < KEYS_STARTS; i++) {
        if (keys->starts[i].start == start && keys->starts[i].epoch == epoch)
            return &keys->starts[i];
    }
    return NULL;
}

static struct key_start *keys_start(struct verify_keys *keys, uint64_t start, uint64_t epoch)
{
    struct key_start *entry = keys_find(keys, start, epoch);
    uint8_t secret[CHAIN_KEY_SIZE], key[CHAIN_KEY_SIZE];

    if (entry == NULL) {
        entry = &keys->starts[0];
        ladder_get(&keys->secrets, start - 1, chain_next_secret, secret);
        chain_first_key(secret, epoch, start, key);
        entry->start = start;
        entry->epoch = epoch;
        entry->trusted = entry->steps = 0;
        ladder_begin(&entry->ladder, 1, key);
        secret_wipe(secret, sizeof(secret));
        secret_wipe(key, sizeof(key));
    }
    entry->used = ++keys->clock;
    return entry;
}

static bool keys_reach(const struct verify_keys *keys, uint64_t start)
{
    return start <= keys->trusted_start || start - keys->trusted_start <= KEYS_STARTS_AHEAD;
}

bool verify_keys_secret(struct verify_keys *keys, uint64_t start, uint8_t secret[CHAIN_KEY_SIZE])
{
    assert(keys->magic == KEYS_MAGIC);
    if (!keys_reach(keys, start))
        return false;
    ladder_get(&keys->secrets, start, chain_next_secret, secret);
    return true;
}

bool verify_keys_get(
    struct verify_keys *keys, uint64_t start, uint64_t epoch, uint64_t sequence, uint8_t key[CHAIN_KEY_SIZE])
{
    assert(keys->magic == KEYS_MAGIC);
    if (start == 0 || sequence == 0 || !keys_reach(keys, start))
        return false;
    if (keys_find(keys, start, epoch) == NULL) { /* the way to its first key is paid even if it is genuine */
        const uint64_t way = ladder_cost(&keys->secrets, start - 1);
        if (start - 1 < keys->secrets.top && way > keys->waste - keys->wasted)
            return false;
        keys->wasted += start - 1 < keys->secrets.top ? way : 0;
    }
    struct key_start *entry = keys_start(keys, start, epoch);
    const uint64_t steps = ladder_cost(&entry->ladder, sequence);
    if (steps > 1) { /* the next line is reached whatever was wasted */
        if ((entry->trusted != 0 && steps > KEYS_LINES_AHEAD) || steps > keys->waste - keys->wasted)
            return false;
        entry->steps += steps;
        keys->wasted += steps;
    }
    ladder_get(&entry->ladder, sequence, step_key, key);
    return true;
}

void verify_keys_trust(struct verify_keys *keys, uint64_t start, uint64_t epoch, uint64_t sequence)
{
    struct key_start *entry = keys_find(keys, start, epoch);

    if (start > keys->trusted_start)
        keys->trusted_start = start;
    if (entry == NULL)
        return;
    keys->wasted -= entry->steps;
    entry->steps = 0;
    if (sequence > entry->trusted)
        entry->trusted = sequence;
    if (entry == &keys->starts[0]) { /* to the place of the one that was not used for the longest time */
        size_t oldest = 1;
        for (size_t i = 2; i < KEYS_STARTS; i++)
            oldest = keys->starts[i].used < keys->starts[oldest].used ? i : oldest;
        struct key_start trusted = *entry;
        *entry = keys->starts[oldest];
        keys->starts[oldest] = trusted;
        secret_wipe(&trusted, sizeof(trusted));
    }
}

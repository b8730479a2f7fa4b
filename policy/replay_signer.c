/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is remembered of one signer. Nonces are found by a table and forgotten by a heap, the lowest t
 * first. Called by replay.c. */
#include "policy/replay_signer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"

#define CAPACITY_FIRST 4

/* ---- by use ---- */

void replay_list_append(struct replay_list *list, struct replay_signer *signer)
{
    signer->older = list->last;
    signer->newer = NULL;
    if (list->last == NULL)
        list->first = signer;
    else
        list->last->newer = signer;
    list->last = signer;
}

void replay_list_remove(struct replay_list *list, struct replay_signer *signer)
{
    if (signer->older == NULL)
        list->first = signer->newer;
    else
        signer->older->newer = signer->newer;
    if (signer->newer == NULL)
        list->last = signer->older;
    else
        signer->newer->older = signer->older;
}

/* ---- signers ---- */

size_t replay_signer_key(const struct replay_mark *mark, uint8_t key[1 + MPS1_KID_MAX + MPS1_SUB_MAX])
{
    assert(mark->kid.length <= MPS1_KID_MAX && mark->sub.length <= MPS1_SUB_MAX);
    key[0] = (uint8_t)mark->kid.length;
    memcpy(key + 1, mark->kid.data, mark->kid.length);
    memcpy(key + 1 + mark->kid.length, mark->sub.data, mark->sub.length);
    return 1 + mark->kid.length + mark->sub.length;
}

struct replay_signer *replay_signer_new(const struct replay_mark *mark, uint64_t hash)
{
    uint8_t key[1 + MPS1_KID_MAX + MPS1_SUB_MAX];
    size_t length = replay_signer_key(mark, key);
    struct replay_signer *signer = memory_calloc(1, sizeof(*signer) + length);

    signer->hash = hash;
    signer->key_length = (uint8_t)length;
    memcpy(signer->key, key, length);
    return signer;
}

void replay_signer_free(struct replay_signer *signer)
{
    free(signer->slots);
    free(signer->heap);
    free(signer->table);
    free(signer->window);
    free(signer);
}

bool replay_signer_is(const struct replay_signer *signer, const struct replay_mark *mark)
{
    uint8_t key[1 + MPS1_KID_MAX + MPS1_SUB_MAX];

    return view_equal(view_of(signer->key, signer->key_length), view_of(key, replay_signer_key(mark, key)));
}

bool replay_signer_over(const struct replay_signer *signer, uint64_t now_ms)
{
    return signer->window == NULL && signer->over_ms < now_ms;
}

/* ---- the heap ---- */

static void put(struct replay_signer *signer, uint32_t at, uint32_t slot)
{
    signer->heap[at] = slot;
    signer->slots[slot].heap_at = at;
}

static uint64_t time_at(const struct replay_signer *signer, uint32_t at)
{
    return signer->slots[signer->heap[at]].t_ms;
}

/* Moves what is at a place to where its time belongs. */
static void settle(struct replay_signer *signer, uint32_t at)
{
    uint32_t slot = signer->heap[at], child;
    uint64_t t = signer->slots[slot].t_ms;

    for (; at > 0 && time_at(signer, (at - 1) / 2) > t; at = (at - 1) / 2)
        put(signer, at, signer->heap[(at - 1) / 2]);
    while ((child = 2 * at + 1) < signer->count) {
        if (child + 1 < signer->count && time_at(signer, child + 1) < time_at(signer, child))
            child++;
        if (time_at(signer, child) >= t)
            break;
        put(signer, at, signer->heap[child]);
        at = child;
    }
    put(signer, at, slot);
}

/* ---- the table ---- */

static uint32_t *chain(const struct replay_signer *signer, const uint8_t nonce[MPS1_NONCE_SIZE])
{
    return &signer->table[hash_bytes(view_of(nonce, MPS1_NONCE_SIZE)) & (signer->capacity - 1)];
}

static struct replay_nonce *find(const struct replay_signer *signer, const uint8_t nonce[MPS1_NONCE_SIZE])
{
    uint32_t i = signer->capacity == 0 ? 0 : *chain(signer, nonce);

    while (i != 0 && memcmp(signer->slots[i - 1].nonce, nonce, MPS1_NONCE_SIZE) != 0)
        i = signer->slots[i - 1].next;
    return i == 0 ? NULL : &signer->slots[i - 1];
}

static void link_slot(struct replay_signer *signer, uint32_t slot)
{
    uint32_t *first = chain(signer, signer->slots[slot].nonce);

    signer->slots[slot].next = *first;
    *first = slot + 1;
}

static void grow(struct replay_signer *signer)
{
    uint32_t before = signer->capacity;

    signer->capacity = before == 0 ? CAPACITY_FIRST : before * 2;
    signer->slots = memory_realloc(signer->slots, signer->capacity, sizeof(*signer->slots));
    signer->heap = memory_realloc(signer->heap, signer->capacity, sizeof(*signer->heap));
    free(signer->table);
    signer->table = memory_calloc(signer->capacity, sizeof(*signer->table));
    for (uint32_t i = 0; i < before; i++)
        link_slot(signer, i); /* none is free, or it would not grow */
    for (uint32_t i = signer->capacity; i > before; i--) {
        signer->slots[i - 1].next = signer->free;
        signer->free = i;
    }
}

static void release(struct replay_signer *signer)
{
    free(signer->slots);
    free(signer->heap);
    free(signer->table);
    signer->slots = NULL;
    signer->heap = signer->table = NULL;
    signer->capacity = signer->free = 0;
}

static void remove_slot(struct replay_signer *signer, uint32_t slot)
{
    struct replay_nonce *item = &signer->slots[slot];
    uint32_t *at = chain(signer, item->nonce), place = item->heap_at;

    while (*at != slot + 1)
        at = &signer->slots[*at - 1].next;
    *at = item->next;
    item->next = signer->free;
    signer->free = slot + 1;
    signer->count--;
    if (place < signer->count) {
        put(signer, place, signer->heap[signer->count]);
        settle(signer, place);
    }
    if (signer->count == 0)
        release(signer); /* a silent signer costs little */
}

/* ---- nonces ---- */

static enum replay_answer compare(const struct replay_mark *mark, bool same, bool done, uint8_t *again)
{
    if (!same)
        return REPLAY_REUSED;
    if (done)
        return REPLAY_DONE;
    if (mark->again && ++*again > REPLAY_RETRANSMISSIONS) {
        *again = REPLAY_RETRANSMISSIONS;
        return REPLAY_FORGOTTEN;
    }
    return REPLAY_PENDING;
}

enum replay_answer replay_signer_find(struct replay_signer *signer, const struct replay_mark *mark)
{
    struct replay_nonce *item = find(signer, mark->nonce);

    return item == NULL
               ? REPLAY_NEW
               : compare(mark, memcmp(item->tag, mark->tag, REPLAY_TAG_SIZE) == 0, item->done, &item->again);
}

void replay_signer_add(struct replay_signer *signer, const struct replay_mark *mark)
{
    uint32_t slot;
    struct replay_nonce *item;

    if (signer->free == 0)
        grow(signer);
    slot = signer->free - 1;
    item = &signer->slots[slot];
    signer->free = item->next;
    memcpy(item->nonce, mark->nonce, MPS1_NONCE_SIZE);
    memcpy(item->tag, mark->tag, REPLAY_TAG_SIZE);
    item->t_ms = mark->t_ms;
    item->until_ms = mark->until_ms;
    item->done = false;
    item->again = 0;
    link_slot(signer, slot);
    put(signer, signer->count, slot);
    settle(signer, signer->count++);
    if (mark->until_ms > signer->over_ms)
        signer->over_ms = mark->until_ms;
}

uint64_t replay_signer_oldest_ms(const struct replay_signer *signer)
{
    assert(signer->count > 0);
    return time_at(signer, 0);
}

void replay_signer_evict(struct replay_signer *signer)
{
    uint32_t oldest = signer->heap[0];

    assert(signer->count > 0);
    if (signer->slots[oldest].t_ms > signer->forgotten_ms)
        signer->forgotten_ms = signer->slots[oldest].t_ms;
    remove_slot(signer, oldest);
}

size_t replay_signer_expire(struct replay_signer *signer, uint64_t now_ms)
{
    size_t expired = 0;

    for (; signer->count > 0 && signer->slots[signer->heap[0]].until_ms < now_ms; expired++)
        remove_slot(signer, signer->heap[0]);
    return expired;
}

/* ---- sequences ---- */

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

/* The counter's slot if it is within the window and was seen; else NULL. */
static uint64_t *seen_slot(const struct replay_signer *signer, const struct replay_mark *mark, uint64_t *bit)
{
    struct replay_window *window = signer->window;
    uint64_t counter = read_u64(mark->nonce + 8);

    *bit = UINT64_C(1) << counter % REPLAY_WINDOW;
    if (window == NULL || window->epoch != read_u64(mark->nonce) || counter > window->highest ||
        window->highest - counter >= REPLAY_WINDOW || (window->seen & *bit) == 0)
        return NULL;
    return &window->tags[counter % REPLAY_WINDOW];
}

static void slide(struct replay_window *window, uint64_t counter)
{
    if (counter - window->highest >= REPLAY_WINDOW)
        window->seen = window->done = 0;
    else
        for (uint64_t i = window->highest + 1; i <= counter; i++) {
            window->seen &= ~(UINT64_C(1) << i % REPLAY_WINDOW);
            window->done &= ~(UINT64_C(1) << i % REPLAY_WINDOW);
        }
    window->highest = counter;
}

enum replay_answer replay_signer_sequence(struct replay_signer *signer, const struct replay_mark *mark)
{
    struct replay_window *window = signer->window;
    uint64_t epoch = read_u64(mark->nonce), counter = read_u64(mark->nonce + 8), bit;
    const uint64_t *seen = seen_slot(signer, mark, &bit);

    if (seen != NULL)
        return compare(mark, *seen == read_u64(mark->tag), (window->done & bit) != 0,
            &window->again[read_u64(mark->nonce + 8) % REPLAY_WINDOW]);
    if (window != NULL && (epoch < window->epoch || (epoch == window->epoch && counter <= window->highest &&
                                                        window->highest - counter >= REPLAY_WINDOW)))
        return REPLAY_FORGOTTEN;
    if (window == NULL || epoch > window->epoch) {
        if (window == NULL)
            window = signer->window = memory_calloc(1, sizeof(*window));
        *window = (struct replay_window){.epoch = epoch, .highest = counter};
    }
    if (counter > window->highest)
        slide(window, counter);
    window->seen |= bit;
    window->tags[counter % REPLAY_WINDOW] = read_u64(mark->tag);
    window->again[counter % REPLAY_WINDOW] = 0;
    return REPLAY_NEW;
}

/* ---- what became of it ---- */

bool replay_signer_is_done(const struct replay_signer *signer, const struct replay_mark *mark, bool sequence)
{
    uint64_t bit;
    const uint64_t *seen = sequence ? seen_slot(signer, mark, &bit) : NULL;
    const struct replay_nonce *item = sequence ? NULL : find(signer, mark->nonce);

    if (seen != NULL)
        return *seen == read_u64(mark->tag) && (signer->window->done & bit) != 0;
    return item != NULL && item->done && memcmp(item->tag, mark->tag, REPLAY_TAG_SIZE) == 0;
}

void replay_signer_done(struct replay_signer *signer, const struct replay_mark *mark, bool sequence)
{
    uint64_t bit, *seen = sequence ? seen_slot(signer, mark, &bit) : NULL;
    struct replay_nonce *item = sequence ? NULL : find(signer, mark->nonce);

    if (seen != NULL && *seen == read_u64(mark->tag))
        signer->window->done |= bit;
    if (item != NULL && memcmp(item->tag, mark->tag, REPLAY_TAG_SIZE) == 0)
        item->done = true;
}

/* What has let a copy through stays: that copy may arrive. */
bool replay_signer_undo(struct replay_signer *signer, const struct replay_mark *mark, bool sequence)
{
    uint64_t bit, *seen = sequence ? seen_slot(signer, mark, &bit) : NULL;
    struct replay_nonce *item = sequence ? NULL : find(signer, mark->nonce);

    if (seen != NULL && *seen == read_u64(mark->tag) && (signer->window->done & bit) == 0 &&
        signer->window->again[read_u64(mark->nonce + 8) % REPLAY_WINDOW] == 0) {
        signer->window->seen &= ~bit;
        return true;
    }
    if (item == NULL || item->done || item->again > 0 || memcmp(item->tag, mark->tag, REPLAY_TAG_SIZE) != 0)
        return false;
    remove_slot(signer, (uint32_t)(item - signer->slots));
    return true;
}

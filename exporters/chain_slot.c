/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the form of the chain's state in its file. Called by chain_state.c. */
#include "exporters/chain_slot.h"

#include <openssl/evp.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/secret.h"

/* ---- slots ---- */

static void slot_check(const struct chain_slot *slot, uint8_t check[CHAIN_CHECK])
{
    if (EVP_Digest(slot, offsetof(struct chain_slot, check), check, NULL, EVP_sha256(), NULL) != 1)
        memory_exhausted();
}

static bool slot_holds(const struct chain_slot *slot)
{
    uint8_t check[CHAIN_CHECK];

    if (slot->serial == 0)
        return false;
    slot_check(slot, check);
    return memcmp(check, slot->check, sizeof(check)) == 0;
}

/* The index of the newest slot that holds, or -1. */
int chain_page_newest(const struct chain_page *page)
{
    bool first = slot_holds(&page->slots[0]), second = slot_holds(&page->slots[1]);

    if (memcmp(page->magic, CHAIN_PAGE_TEXT, sizeof(page->magic)) != 0 || (!first && !second))
        return -1;
    return first && second ? page->slots[1].serial > page->slots[0].serial : second;
}

void chain_slot_read(const struct chain_slot *slot, struct chain_point *point)
{
    *point = (struct chain_point){
        .cursor = {.epoch = slot->epoch, .start = slot->start, .sequence = slot->sequence},
        .checkpoint_epoch = slot->checkpoint_epoch,
        .checkpoint_sequence = slot->checkpoint_sequence,
        .unsigned_lines = slot->unsigned_lines,
        .sealed_us = slot->sealed_us,
        .kept_until_us = slot->kept_until_us,
    };
    memcpy(point->cursor.key, slot->key, sizeof(slot->key));
    memcpy(point->cursor.prev, slot->prev, sizeof(slot->prev));
    memcpy(point->secret, slot->secret, sizeof(slot->secret));
}

void chain_slot_write(struct chain_slot *slot, const struct chain_point *point, uint64_t serial)
{
    slot->serial = serial;
    slot->epoch = point->cursor.epoch;
    slot->start = point->cursor.start;
    slot->sequence = point->cursor.sequence;
    slot->checkpoint_epoch = point->checkpoint_epoch;
    slot->checkpoint_sequence = point->checkpoint_sequence;
    slot->unsigned_lines = point->unsigned_lines;
    slot->sealed_us = point->sealed_us;
    slot->kept_until_us = point->kept_until_us;
    memcpy(slot->key, point->cursor.key, sizeof(slot->key));
    memcpy(slot->prev, point->cursor.prev, sizeof(slot->prev));
    memcpy(slot->secret, point->secret, sizeof(slot->secret));
    slot_check(slot, slot->check);
}

void chain_slot_wipe(struct chain_slot *slot)
{
    secret_wipe(slot, sizeof(*slot));
}

/* ---- the seed ---- */

static void seed_check(const struct chain_seed *seed, uint8_t check[CHAIN_CHECK])
{
    if (EVP_Digest(seed, offsetof(struct chain_seed, check), check, NULL, EVP_sha256(), NULL) != 1)
        memory_exhausted();
}

bool chain_seed_holds(const struct chain_seed *seed)
{
    uint8_t check[CHAIN_CHECK];

    seed_check(seed, check);
    return memcmp(seed->magic, CHAIN_SEED_TEXT, sizeof(seed->magic)) == 0 &&
           memcmp(check, seed->check, sizeof(check)) == 0;
}

bool chain_seed_fits(const struct chain_seed *seed, const struct chain_point *point)
{
    return seed->start == point->cursor.start && seed->epoch == point->cursor.epoch &&
           memcmp(seed->secret, point->secret, sizeof(seed->secret)) == 0;
}

void chain_seed_write(struct chain_seed *seed, const struct chain_point *point)
{
    memcpy(seed->magic, CHAIN_SEED_TEXT, sizeof(seed->magic));
    seed->start = point->cursor.start;
    seed->epoch = point->cursor.epoch;
    memcpy(seed->secret, point->secret, sizeof(seed->secret));
    seed_check(seed, seed->check);
}

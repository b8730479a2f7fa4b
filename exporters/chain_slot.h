/* SPDX-License-Identifier: Apache-2.0 */
/* What is in the file of the chain's state (chain_state.h). It outlives versions: what is there never moves.
 */
#ifndef MQWARD_EXPORTERS_CHAIN_SLOT_H
#define MQWARD_EXPORTERS_CHAIN_SLOT_H

#include "exporters/chain_state.h"

#define CHAIN_PAGE_TEXT "mqward-chain-1\n"
#define CHAIN_SEED_TEXT "mqward-seed-1\n\0"
#define CHAIN_SECTOR 512
#define CHAIN_CHECK 32

struct chain_slot {
    uint64_t serial; /* the larger one is the newer one; 0: none */
    uint64_t start, epoch, sequence;
    uint64_t checkpoint_epoch, checkpoint_sequence, unsigned_lines, sealed_us, kept_until_us;
    uint8_t key[CHAIN_KEY_SIZE], secret[CHAIN_KEY_SIZE], prev[CHAIN_HASH_SIZE];
    uint8_t check[CHAIN_CHECK]; /* SHA-256 of what is in front of it: against damage, not against forgers */
};

/* The newer slot counts. */
struct chain_page {
    char magic[16];
    struct chain_slot slots[2];
};

/* What the next start needs, and which one that is behind. */
struct chain_seed {
    char magic[16];
    uint64_t start, epoch;
    uint8_t secret[CHAIN_KEY_SIZE];
    uint8_t check[CHAIN_CHECK];
};

/* The file as it is in memory: a sector each. */
struct chain_file {
    union {
        struct chain_page page;
        uint8_t first[CHAIN_SECTOR];
    };
    union {
        struct chain_seed seed;
        uint8_t second[CHAIN_SECTOR];
    };
};

_Static_assert(sizeof(struct chain_page) <= CHAIN_SECTOR, "one sector");
_Static_assert(sizeof(struct chain_file) == 2 * (size_t)CHAIN_SECTOR, "one sector each");
_Static_assert(sizeof(struct chain_slot) % 8 == 0, "no padding");

void chain_slot_read(const struct chain_slot *slot, struct chain_point *point);
void chain_slot_write(struct chain_slot *slot, const struct chain_point *point, uint64_t serial);
void chain_slot_wipe(struct chain_slot *slot);
/* The index of the newest slot that holds, or -1. */
int chain_page_newest(const struct chain_page *page);

/* It was read as it was written. */
bool chain_seed_holds(const struct chain_seed *seed);
/* It says what point says. */
bool chain_seed_fits(const struct chain_seed *seed, const struct chain_point *point);
void chain_seed_write(struct chain_seed *seed, const struct chain_point *point);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that were made ready, kept for the next message of the same signer. Bounded, in sets with a lock each;
 * any thread may use it. Private to policy/. */
#ifndef MQWARD_POLICY_KEY_CACHE_H
#define MQWARD_POLICY_KEY_CACHE_H

#include "policy/keyring.h"

struct key_cache;

/* What a key is found by: label, kid and sub, each told from the next. */
struct key_name {
    uint8_t length;
    uint8_t bytes[1 + 1 + MPS1_KID_MAX + MPS1_SUB_MAX];
};
struct key_name key_name_of(enum mps1_label label, struct view kid, struct view sub); /* both are valid */

/* capacity: keys; a multiple of 8. */
struct key_cache *key_cache_new(size_t capacity);
/* Wipes what nobody uses; the rest is wiped as it is given back, and the cache goes with the last. */
void key_cache_close(struct key_cache *cache);

/* The key of that name, or NULL. To be given back with keyring_put(). */
const struct keyring_key *key_cache_find(struct key_cache *cache, const struct key_name *name);
/* Adds one that was not found; the caller wipes its own. Returns it (or the one that another thread has added
 * meanwhile), to be given back with keyring_put(). */
const struct keyring_key *key_cache_add(
    struct key_cache *cache, const struct key_name *name, const struct mps1_key *key);

#endif

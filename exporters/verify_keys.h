/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of a chain at any place of it, from the verification key, in memory that does not grow with the
 * trail. Whoever reads in order pays one step a line; going back costs a bounded part of the way. */
#ifndef MQWARD_EXPORTERS_VERIFY_KEYS_H
#define MQWARD_EXPORTERS_VERIFY_KEYS_H

#include "exporters/chain.h"

struct verify_keys;

/* key: the verification key. waste: steps on behalf of lines that turn out not to be genuine, all together.
 */
struct verify_keys *verify_keys_new(const uint8_t key[CHAIN_KEY_SIZE], uint64_t waste);
void verify_keys_free(struct verify_keys *keys); /* wipes; NULL is fine */
/* K[start,sequence] (both from 1) in the epoch. False if that is further than a line may lead us: a forged
 * number must not keep us busy for days. */
bool verify_keys_get(
    struct verify_keys *keys, uint64_t start, uint64_t epoch, uint64_t sequence, uint8_t key[CHAIN_KEY_SIZE]);
/* S[start], from 0. False as above. */
bool verify_keys_secret(struct verify_keys *keys, uint64_t start, uint8_t secret[CHAIN_KEY_SIZE]);
/* Lines of this start are genuine up to sequence: the next ones may be so much further. */
void verify_keys_trust(struct verify_keys *keys, uint64_t start, uint64_t epoch, uint64_t sequence);

#endif

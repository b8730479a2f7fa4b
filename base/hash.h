/* SPDX-License-Identifier: Apache-2.0 */
/* A fast keyed hash for tables whose keys come from peers. The key is random per process, so that collisions
 * can't be prepared. Not a cryptographic primitive: nothing that leaves the process depends on it. */
#ifndef MQWARD_BASE_HASH_H
#define MQWARD_BASE_HASH_H

#include "base/view.h"

/* Draws the process's key; called once at start (main and tests), later calls change nothing. Without it the
 * key is a constant, and hash_bytes still works. */
void hash_initialize(void);
uint64_t hash_bytes(struct view v);

#endif

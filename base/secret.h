/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for secrets: pages of their own that core dumps leave out, that are kept off the swap as far as the
 * process's limits allow (RLIMIT_MEMLOCK), and that are wiped before they go. */
#ifndef MQWARD_BASE_SECRET_H
#define MQWARD_BASE_SECRET_H

#include <stddef.h>

/* At least size (not 0) zeroed bytes, aligned as a page is; those that are never touched cost no memory. */
void *secret_map(size_t size);
/* Wipes the first used bytes and gives all of them back. NULL is fine. size: as it was mapped. */
void secret_unmap(void *memory, size_t size, size_t used);
/* Wipes a part of it, or secrets that are elsewhere for a moment. */
void secret_wipe(void *memory, size_t size);
/* Wipes what functions that have returned to the caller left on the stack, as far as SECRET_STACK bytes below
 * it, and in vector registers: a library's secrets, which nobody else can wipe. */
void secret_wipe_stack(void);
#define SECRET_STACK 16384

#endif

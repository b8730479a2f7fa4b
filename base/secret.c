/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the pages that secrets live in. Called by policy/keyring.c, policy/key_cache.c and by the command line
 * where it makes or derives keys. */
#include "base/secret.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"

void *secret_map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert(size > 0);
    if (memory == MAP_FAILED)
        memory_exhausted();
    /* Both are what the kernel can do, no more: a kernel without them serves all the same. Locked when
     * touched: a mapping with room for many secrets costs what it holds. */
    (void)madvise(memory, size, MADV_DONTDUMP);
    (void)mlock2(memory, size, MLOCK_ONFAULT);
    return memory;
}

void secret_unmap(void *memory, size_t size, size_t used)
{
    if (memory == NULL)
        return;
    assert(used <= size);
    secret_wipe(memory, used);
    munmap(memory, size);
}

/* Not inlined: its frame has to be where theirs were. */
__attribute__((noinline)) void secret_wipe_stack(void)
{
    uint8_t stack[SECRET_STACK];

    explicit_bzero(stack, sizeof(stack));
}

void secret_wipe(void *memory, size_t size)
{
    if (size > 0)
        explicit_bzero(memory, size);
}

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

/* What a hash or a copy of a secret has left in vector registers goes to the stack with whoever saves them
 * next. None of these is kept over a call. */
#if defined(__x86_64__)
static void wipe_registers(void)
{
    __asm__ volatile(
        "pxor %%xmm0, %%xmm0; pxor %%xmm1, %%xmm1; pxor %%xmm2, %%xmm2; pxor %%xmm3, %%xmm3;"
        "pxor %%xmm4, %%xmm4; pxor %%xmm5, %%xmm5; pxor %%xmm6, %%xmm6; pxor %%xmm7, %%xmm7;"
        "pxor %%xmm8, %%xmm8; pxor %%xmm9, %%xmm9; pxor %%xmm10, %%xmm10; pxor %%xmm11, %%xmm11;"
        "pxor %%xmm12, %%xmm12; pxor %%xmm13, %%xmm13; pxor %%xmm14, %%xmm14; pxor %%xmm15, %%xmm15;"
        :
        :
        : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
        "xmm12", "xmm13", "xmm14", "xmm15");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                         "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    /* The compiler uses none of these where the code is for any processor, and has no names for them then. */
    if (__builtin_cpu_supports("avx512f"))
        __asm__ volatile(
            "vpxorq %zmm16, %zmm16, %zmm16; vpxorq %zmm17, %zmm17, %zmm17; vpxorq %zmm18, %zmm18, %zmm18;"
            "vpxorq %zmm19, %zmm19, %zmm19; vpxorq %zmm20, %zmm20, %zmm20; vpxorq %zmm21, %zmm21, %zmm21;"
            "vpxorq %zmm22, %zmm22, %zmm22; vpxorq %zmm23, %zmm23, %zmm23; vpxorq %zmm24, %zmm24, %zmm24;"
            "vpxorq %zmm25, %zmm25, %zmm25; vpxorq %zmm26, %zmm26, %zmm26; vpxorq %zmm27, %zmm27, %zmm27;"
            "vpxorq %zmm28, %zmm28, %zmm28; vpxorq %zmm29, %zmm29, %zmm29; vpxorq %zmm30, %zmm30, %zmm30;"
            "vpxorq %zmm31, %zmm31, %zmm31");
}
#elif defined(__aarch64__)
static void wipe_registers(void)
{
    __asm__ volatile("movi v0.2d, #0; movi v1.2d, #0; movi v2.2d, #0; movi v3.2d, #0; movi v4.2d, #0;"
                     "movi v5.2d, #0; movi v6.2d, #0; movi v7.2d, #0; movi v16.2d, #0; movi v17.2d, #0;"
                     "movi v18.2d, #0; movi v19.2d, #0; movi v20.2d, #0; movi v21.2d, #0; movi v22.2d, #0;"
                     "movi v23.2d, #0; movi v24.2d, #0; movi v25.2d, #0; movi v26.2d, #0; movi v27.2d, #0;"
                     "movi v28.2d, #0; movi v29.2d, #0; movi v30.2d, #0; movi v31.2d, #0;"
                     /* of these the lower halves are the caller's */
                     "ins v8.d[1], xzr; ins v9.d[1], xzr; ins v10.d[1], xzr; ins v11.d[1], xzr;"
                     "ins v12.d[1], xzr; ins v13.d[1], xzr; ins v14.d[1], xzr; ins v15.d[1], xzr" ::
                         : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20",
                     "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}
#else
static void wipe_registers(void)
{
}
#endif

/* Not inlined: its frame has to be where theirs were. */
__attribute__((noinline)) void secret_wipe_stack(void)
{
    uint8_t stack[SECRET_STACK];

    explicit_bzero(stack, sizeof(stack));
    wipe_registers();
}

void secret_wipe(void *memory, size_t size)
{
    if (size > 0)
        explicit_bzero(memory, size);
}

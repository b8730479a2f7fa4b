/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process's hash key. hash_bytes() is on the packet path (topic caches, dictionaries of levels). */
#include "base/hash.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* Multiply and fold, in the manner of wyhash. All of its words are random, not only a seed: the constants are
 * what makes a multiplication lose its other factor, so they must not be known to a peer. These stand until
 * hash_initialize(). */
static uint64_t hash_key[4] = {
    UINT64_C(0xa0761d6478bd642f),
    UINT64_C(0xe7037ed1a0b428db),
    UINT64_C(0x8ebc6af09c88c6e3),
    UINT64_C(0x589965cc75374cc3),
};

static void hash_draw_key(void)
{
    uint64_t key[4];
    ssize_t length;

    do
        length = getrandom(key, sizeof(key), 0);
    while (length < 0 && errno == EINTR);
    /* Up to 256 bytes come whole (getrandom(2)); a kernel without it is older than everything else we need.
     */
    if (length != (ssize_t)sizeof(key)) {
        perror("mqward: getrandom");
        abort();
    }
    memcpy(hash_key, key, sizeof(hash_key));
}

void hash_initialize(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, hash_draw_key);
}

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_read8(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

static inline uint64_t hash_read4(const uint8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* 0 to 16 bytes as two words. Reads overlap where the length is not a power of two; the length is mixed in at
 * the end, so no two inputs give the same words and length. */
static inline void hash_read_tail(const uint8_t *p, size_t length, uint64_t *a, uint64_t *b)
{
    *a = *b = 0;
    if (length >= 8) {
        *a = hash_read8(p);
        *b = hash_read8(p + length - 8);
    } else if (length >= 4) {
        *a = hash_read4(p);
        *b = hash_read4(p + length - 4);
    } else if (length > 0) {
        *a = (uint64_t)p[0] << 16 | (uint64_t)p[length / 2] << 8 | p[length - 1];
    }
}

uint64_t hash_bytes(struct view v)
{
    const uint8_t *p = v.data;
    size_t rest = v.length;
    uint64_t state = hash_key[0], a, b;

    for (; rest > 16; rest -= 16, p += 16)
        state = hash_mix(hash_read8(p) ^ hash_key[1], hash_read8(p + 8) ^ state);
    hash_read_tail(p, rest, &a, &b);
    state = hash_mix(a ^ hash_key[1], b ^ state);
    return hash_mix(state ^ hash_key[2], (uint64_t)v.length ^ hash_key[3]);
}

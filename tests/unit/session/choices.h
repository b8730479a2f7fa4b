/* SPDX-License-Identifier: Apache-2.0 */
/* Where the session model gets its choices from: a pseudo-random generator with a seed, or the bytes of a
 * fuzzer. Both are streams of bytes, so the bytes that a seed made are an input that makes the same choices.
 */
#ifndef MQWARD_TESTS_UNIT_SESSION_CHOICES_H
#define MQWARD_TESTS_UNIT_SESSION_CHOICES_H

#include "base/buffer.h"

struct choices {
    uint64_t state; /* of the generator */
    uint64_t word;  /* its last number, less the bytes taken */
    unsigned bytes_left;
    bool from_bytes;
    struct view bytes;     /* what is left of the fuzzer's */
    bool exhausted;        /* there were none left: everything is 0 since */
    struct buffer *record; /* gets every byte taken; NULL: not wanted */
};

struct choices choices_from_seed(uint64_t seed);
struct choices choices_from_bytes(struct view bytes);

/* 0 to limit - 1; limit is 1 to 65536. */
unsigned choices_below(struct choices *choices, unsigned limit);
/* True once in so many times; never when there are no choices left. */
bool choices_rarely(struct choices *choices, unsigned times);

#endif

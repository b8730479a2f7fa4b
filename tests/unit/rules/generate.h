/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of every kind of string and condition, and payloads that come near to them. Shared by the tests, the
 * fuzz target and the benchmark. */
#ifndef MQWARD_TEST_RULES_GENERATE_H
#define MQWARD_TEST_RULES_GENERATE_H

#include "base/buffer.h"

/* The same seed gives the same all over. */
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *random);
unsigned random_below(struct random *random, unsigned bound);

enum generate_options {
    GENERATE_REFERENCES = 1, /* to other rules, private ones too */
    GENERATE_MODULES = 2,    /* math and time */
    GENERATE_GLOBALS = 4,
    GENERATE_EXTERNALS = 8,
};

/* Text of rules, and bytes that their strings match, more or less. */
struct generated {
    struct buffer text;
    struct buffer *seeds;
    size_t seed_count;
};

void generate_rules(struct generated *generated, struct random *random, unsigned count, unsigned options);
/* As a vendor writes them: a few text strings and a hex string, a condition that asks for some of them. */
void generate_realistic(struct generated *generated, struct random *random, unsigned count);
void generated_release(struct generated *generated);

/* Text, numbers, JSON or noise, with up to a few seeds in it, whole, cut or changed. size: about. */
void generate_payload(
    const struct generated *generated, struct random *random, size_t size, struct buffer *payload);

#endif

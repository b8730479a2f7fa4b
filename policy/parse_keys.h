/* SPDX-License-Identifier: Apache-2.0 */
/* What keys.yaml says, with places, before secrets are read. Private to policy/. */
#ifndef MQWARD_POLICY_PARSE_KEYS_H
#define MQWARD_POLICY_PARSE_KEYS_H

#include "base/keyword.h"
#include "policy/key_secret.h"
#include "policy/keyring.h"

/* The least generation of a signer's key that is still accepted. */
struct parsed_minimum {
    struct keyword_string sub;
    uint64_t generation;
};

struct parsed_key {
    struct diag_place place;
    struct keyword_string kid, sub;
    int type;      /* enum keyring_type */
    int algorithm; /* enum mps1_algorithm */
    struct {
        struct keyword_string file;
        int format; /* enum key_secret_format */
    } secret;
    bool has_sub, has_not_before, has_not_after, has_revoked, has_minimums;
    uint64_t not_before_s, not_after_s; /* since 1970 */
    struct diag_place not_after_place;
    struct keyword_strings revoked;
    struct parsed_minimum *minimums;
    size_t minimum_count;
    bool test;
    bool sound; /* no error so far */
};

struct parsed_keys {
    struct parsed_key *items;
    size_t count;
    const char *folder; /* of keys.yaml, with its '/' at the end; "" for the working directory */
};

/* False if the file can't be read, or is no mapping at all; errors about what is in it are in diag, too. All
 * lives in the arena, but for the source's text, which is the list's. */
bool parse_keys(const char *path, struct arena *arena, struct diag_list *diag,
    const struct diag_place *referrer, struct parsed_keys *keys);

/* "m25a.2" -> "m25a" and 2. False: kid does not end like a generation (a number from 1 to UINT32_MAX without
 * leading zeros). */
bool parse_generation(struct view kid, struct view *master, uint32_t *generation);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* One password hash: $7$iterations$salt$hash (PBKDF2-HMAC-SHA512), $6$salt$hash (SHA-512 over password and
 * salt), or $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash (Argon2id, RFC 9106, in the PHC string format).
 */
#ifndef MQWARD_POLICY_PASSWORD_HASH_H
#define MQWARD_POLICY_PASSWORD_HASH_H

#include <stdbool.h>

#include "base/view.h"

#define PASSWORD_SALT_MAXIMUM 64 /* what Mosquitto 2.1 writes */
#define PASSWORD_HASH_MAXIMUM 64

struct password_kind;

struct password_hash {
    const struct password_kind *kind;
    uint32_t rounds; /* iterations of PBKDF2, passes of Argon2id; 0: there is but one */
    uint32_t memory; /* KiB that a check takes; 0: next to nothing */
    uint32_t lanes;
    uint8_t salt_length, length;
    uint8_t salt[PASSWORD_SALT_MAXIMUM];
    uint8_t bytes[PASSWORD_HASH_MAXIMUM];
};

/* Why a text is not a hash. */
struct password_fault {
    struct view part; /* of the text */
    const char *message, *hint;
};

/* Reads text. False: *fault says why (without a word of salt or hash), *hash is to be wiped all the same. */
bool password_hash_parse(struct view text, struct password_hash *hash, struct password_fault *fault);
/* Whether the password is the one of the hash; always takes its time and memory. *failed: it could not be
 * computed (there is no memory), and false is no answer. */
bool password_hash_check(const struct password_hash *hash, struct view password, bool *failed);
/* A number that changes with the hash. */
uint64_t password_hash_tag(const struct password_hash *hash);

#endif

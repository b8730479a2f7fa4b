/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Key Sets (RFC 7517): the keys that tokens are verified with. Immutable once loaded; any thread may
 * verify with it. */
#ifndef MQWARD_POLICY_JWKS_H
#define MQWARD_POLICY_JWKS_H

#include <openssl/types.h>

#include "base/diag.h"

/* Bits, so that a policy can allow several. */
enum jwt_algorithm { JWT_RS256 = 1, JWT_ES256 = 2, JWT_EDDSA = 4, JWT_HS256 = 8 };

/* A key is for one algorithm: the one of its type. That is what makes algorithm confusion impossible: what a
 * token says only selects among keys, it never decides what is done with one. */
struct jwks_key {
    struct view kid; /* data NULL: it has none */
    enum jwt_algorithm algorithm;
    EVP_PKEY *public_key; /* NULL for HS256 */
    struct view secret;   /* HS256 */
};

struct jwks;

/* Reads a key set. Keys of types and for uses that are not for verifying these algorithms are passed over,
 * as RFC 7517 section 5 wants it; a key that is for one of them and is not sound is an error, and so is a
 * private key, a secret in a file that every user of the machine can read, and a set with no usable key. NULL
 * after errors (secrets are never quoted in messages). referrer: the place that names the file. */
struct jwks *jwks_load(const char *path, struct diag_list *diag, const struct diag_place *referrer);
void jwks_free(struct jwks *jwks); /* NULL is fine */

const struct jwks_key *jwks_keys(const struct jwks *jwks, size_t *count);
/* What the set can verify: enum jwt_algorithm bits. */
unsigned jwks_algorithms(const struct jwks *jwks);

/* "ES256"; 0 for a name that is none of the four. */
const char *jwt_algorithm_name(enum jwt_algorithm algorithm);
unsigned jwt_algorithm_of(const char *name);

#endif

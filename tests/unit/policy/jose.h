/* SPDX-License-Identifier: Apache-2.0 */
/* An issuer of tokens for the tests: keys, their JWKs, and tokens signed with them. */
#ifndef MQWARD_TESTS_POLICY_JOSE_H
#define MQWARD_TESTS_POLICY_JOSE_H

#include <openssl/types.h>

#include "policy/jwt.h"

struct signer {
    enum jwt_algorithm algorithm;
    const char *kid; /* NULL: none */
    EVP_PKEY *key;
    uint8_t secret[32];
};

struct signer signer_new(enum jwt_algorithm algorithm, const char *kid);
void signer_free(struct signer *signer);

/* All of these are freed with free(). */
char *base64url_of(const void *bytes, size_t length);
/* The public JWK; more: further members (", \"use\": \"sig\""), or "". */
char *signer_jwk(const struct signer *signer, const char *more);
/* header.claims, signed as the signer's key signs, whatever the header says. */
char *signer_token(const struct signer *signer, const char *header, const char *claims);
/* With the header that belongs to it. */
char *signer_sign(const struct signer *signer, const char *claims);
/* Three parts of a token, as they are. */
char *token_of(const char *header, const char *claims, const void *signature, size_t length);

/* A set of these JWKs (NULL-ended), read from a file of this mode; NULL: refused. messages (may be NULL):
 * what diag_print() says. */
struct jwks *set_load(const char *text, unsigned mode, char **messages);
struct jwks *set_of(const char *const *jwks);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens (RFC 7519), signed in the compact form (RFC 7515), verified as RFC 8725 advises. */
#ifndef MQWARD_POLICY_JWT_H
#define MQWARD_POLICY_JWT_H

#include "base/reason.h"
#include "policy/jwks.h"

#define JWT_SIZE_MAXIMUM 8192 /* bytes of a token */
#define JWT_DETAIL_SIZE 128
#define JWT_TIME_MAXIMUM 253402300799 /* seconds: the end of the year 9999 */

/* What a token must be. */
struct jwt_settings {
    unsigned algorithms;        /* enum jwt_algorithm bits */
    const struct view *issuers; /* one of them is iss */
    size_t issuer_count;
    const struct view *audiences; /* one of them is, or is in, aud */
    size_t audience_count;
    uint64_t skew_s; /* seconds that the clocks of mqward and the issuer may differ */
};

/* The claims of a token that was verified. */
struct jwt;

/* Does text have the form of a token, signed or encrypted, sound or not? Its first part begins as a JSON
 * object does, and two dots follow. */
bool jwt_looks_like_one(struct view text);

/* REASON_none and the token's claims (jwt_free), or why it is not believed: token_malformed, token_algorithm,
 * token_key_unknown, token_signature, and only behind a good signature token_claim_missing,
 * token_claim_invalid, token_issuer, token_audience, token_expired, token_not_yet_valid. detail (a text for
 * people, printable ASCII) says what about it, and may be empty. now_s: seconds since 1970. */
enum reason jwt_verify(const struct jwks *jwks, const struct jwt_settings *settings, struct view token,
    uint64_t now_s, struct jwt **claims, char detail[JWT_DETAIL_SIZE]);
void jwt_free(struct jwt *claims); /* NULL is fine */

/* Seconds since 1970 until which the token holds, skew included. */
uint64_t jwt_expires_s(const struct jwt *claims);

enum jwt_claim { JWT_CLAIM_FOUND, JWT_CLAIM_MISSING, JWT_CLAIM_INVALID };
/* The names of a claim's path: "realm_access.roles" is roles in realm_access, but a name with a ':' in it (a
 * URI) is one claim, dots and all. Returned views live as long as claims. */
enum jwt_claim jwt_claim_text(struct jwt *claims, struct view path, struct view *text); /* string, integer */
enum jwt_claim jwt_claim_list(/* a string, or an array of strings */
    struct jwt *claims, struct view path, const struct view **items, size_t *count);
/* Is it a path: no empty name in it, at most JWT_PATH_MAXIMUM bytes. */
#define JWT_PATH_MAXIMUM 256
bool jwt_claim_path_valid(struct view path);

#endif

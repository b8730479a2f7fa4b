/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the verification of tokens. Called by identity.c when a client presents one.
 *
 *   size, three parts, header (strict JSON) -> alg is one the policy allows -> the keys of the set that are
 * for alg and have the token's kid -> signature -> claims (strict JSON): iss, aud, exp, nbf, iat
 *
 * Nothing in the claims is looked at before the signature holds. What the header says only selects among the
 * keys of the set: jku, jwk, x5u and x5c are not followed, and a key is never used for another algorithm than
 * its own. */
#include "policy/jwt.h"

#include <assert.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/arena.h"
#include "base/memory.h"
#include "policy/base64url.h"
#include "policy/jwt_internal.h"

#define SIGNATURE_MAXIMUM 1024 /* RSA of 8192 bits */
#define ES256_BYTES 64         /* r and s */
#define EDDSA_BYTES 64
#define HS256_BYTES 32
/* Without a kid each fitting key is tried; a set that is being rotated has two or three. */
#define TRIES_MAXIMUM 8

/* What a verification knows. */
struct verification {
    const struct jwks *jwks;
    const struct jwt_settings *settings;
    struct view signed_part, payload; /* of the token */
    uint8_t signature[SIGNATURE_MAXIMUM];
    size_t signature_length;
    enum jwt_algorithm algorithm;
    struct view kid; /* of the header; data NULL: none */
    char *detail;
};

static enum reason fail(struct verification *verification, enum reason reason, const char *detail)
{
    snprintf(verification->detail, JWT_DETAIL_SIZE, "%s", detail);
    return reason;
}

/* ---- the form ---- */

bool jwt_looks_like_one(struct view text)
{
    uint8_t first[3];
    size_t dots = 0;

    if (text.length < 4 || base64url_decode(view_of(text.data, 4), first, sizeof(first)) != 3 ||
        first[0] != '{')
        return false;
    for (size_t i = 0; i < text.length; i++)
        dots += text.data[i] == '.' ? 1 : 0;
    return dots >= 2;
}

bool jwt_next_part(struct view *rest, struct view *part)
{
    const uint8_t *dot = rest->length == 0 ? NULL : memchr(rest->data, '.', rest->length);

    *part = *rest;
    if (dot == NULL)
        return false;
    part->length = (size_t)(dot - rest->data);
    *rest = view_of(dot + 1, rest->length - part->length - 1);
    return true;
}

/* A part of the token that is a JSON object. */
static json_t *decode_object(struct view part)
{
    uint8_t bytes[JWT_SIZE_MAXIMUM];
    json_error_t error;
    ssize_t length = base64url_decode(part, bytes, sizeof(bytes));

    return length <= 0 ? NULL : jose_json_object(view_of(bytes, (size_t)length), &error);
}

/* typ tells kinds of tokens apart that the same issuer signs (RFC 8725 section 3.11): a logout token or a
 * proof of possession is no credential. */
static bool type_fits(struct view type)
{
    static const struct view prefix = {(const uint8_t *)"application/", 12};
    static const char *const names[] = {"JWT", "at+jwt"};

    if (type.data == NULL)
        return true;
    if (type.length > prefix.length && strncasecmp((const char *)type.data, "application/", 12) == 0)
        type = view_skip(type, prefix.length);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (type.length == strlen(names[i]) &&
            strncasecmp((const char *)type.data, names[i], type.length) == 0)
            return true;
    }
    return false;
}

/* alg, kid, and what must not be there. kid stays in the tree. */
static enum reason read_header(struct verification *verification, const json_t *header)
{
    struct view algorithm, type;

    if (!jose_json_string(header, "alg", &algorithm) || algorithm.data == NULL ||
        !jose_json_string(header, "kid", &verification->kid) || !jose_json_string(header, "typ", &type))
        return fail(verification, REASON_token_malformed, "header");
    /* Extensions that must be understood (crit), among them an unencoded payload (b64). */
    if (json_object_get(header, "crit") != NULL || json_object_get(header, "b64") != NULL)
        return fail(verification, REASON_token_malformed, "header has crit");
    if (!type_fits(type))
        return fail(verification, REASON_token_malformed, "typ is not JWT");
    unsigned known = jwt_algorithm_of((const char *)algorithm.data);
    if (known == 0 || (known & verification->settings->algorithms) == 0)
        return fail(verification, REASON_token_algorithm, "alg is not one of algs");
    verification->algorithm = known;
    return REASON_none;
}

/* ---- the signature ---- */

/* r and s, 32 bytes each (RFC 7518 section 3.4), as the DER that OpenSSL takes. Its length, or 0. */
static size_t ecdsa_der(const uint8_t *raw, uint8_t *out, size_t size)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, ES256_BYTES / 2, NULL);
    BIGNUM *s = BN_bin2bn(raw + ES256_BYTES / 2, ES256_BYTES / 2, NULL);
    int length = 0;

    if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else {
        length = i2d_ECDSA_SIG(signature, NULL);
        if (length > 0 && (size_t)length <= size)
            length = i2d_ECDSA_SIG(signature, &out);
        else
            length = 0;
    }
    ECDSA_SIG_free(signature);
    return length > 0 ? (size_t)length : 0;
}

static bool verify_public(const struct verification *verification, const EVP_MD *digest, EVP_PKEY *key,
    const uint8_t *signature, size_t length)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && length > 0 &&
                EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, length, verification->signed_part.data,
                    verification->signed_part.length) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}

static bool verify_hmac(const struct verification *verification, struct view secret)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    bool good = verification->signature_length == HS256_BYTES &&
                HMAC(EVP_sha256(), secret.data, (int)secret.length, verification->signed_part.data,
                    verification->signed_part.length, mac, &length) != NULL &&
                length == HS256_BYTES && CRYPTO_memcmp(mac, verification->signature, HS256_BYTES) == 0;

    OPENSSL_cleanse(mac, sizeof(mac));
    return good;
}

/* The key's algorithm decides, never the token's. */
static bool signature_fits(const struct verification *verification, const struct jwks_key *key)
{
    uint8_t der[ES256_BYTES + 16];

    switch (key->algorithm) {
    case JWT_RS256: /* PKCS #1 v1.5, the padding that an RSA key has without being told */
        return verify_public(verification, EVP_sha256(), key->public_key, verification->signature,
            verification->signature_length);
    case JWT_ES256:
        return verification->signature_length == ES256_BYTES &&
               verify_public(verification, EVP_sha256(), key->public_key, der,
                   ecdsa_der(verification->signature, der, sizeof(der)));
    case JWT_EDDSA:
        return verification->signature_length == EDDSA_BYTES &&
               verify_public(verification, NULL, key->public_key, verification->signature, EDDSA_BYTES);
    case JWT_HS256:
        return verify_hmac(verification, key->secret);
    }
    return false;
}

/* Names the kid where that can be shown. */
static enum reason key_unknown(struct verification *verification)
{
    struct view kid = verification->kid;
    bool shown = kid.length > 0 && kid.length <= 64;

    for (size_t i = 0; i < kid.length && shown; i++)
        shown = kid.data[i] > 0x20 && kid.data[i] < 0x7f;
    if (kid.data == NULL)
        return fail(verification, REASON_token_key_unknown, "no key is for its alg");
    snprintf(verification->detail, JWT_DETAIL_SIZE, "kid%s%.*s", shown ? " " : "",
        shown ? (int)kid.length : 0, kid.data);
    return REASON_token_key_unknown;
}

static enum reason verify_signature(struct verification *verification)
{
    size_t count, tries = 0;
    bool named = false;
    const struct jwks_key *keys = jwks_keys(verification->jwks, &count);

    for (size_t i = 0; i < count && tries < TRIES_MAXIMUM; i++) {
        const struct jwks_key *key = &keys[i];
        if (verification->kid.data != NULL &&
            (key->kid.data == NULL || !view_equal(key->kid, verification->kid)))
            continue;
        named = true;
        if (key->algorithm != verification->algorithm)
            continue;
        tries++;
        if (signature_fits(verification, key))
            return REASON_none;
    }
    if (tries > 0)
        return fail(verification, REASON_token_signature, "");
    if (named && verification->kid.data != NULL)
        return fail(verification, REASON_token_algorithm, "alg is not that of the key with its kid");
    return key_unknown(verification);
}

/* ---- the claims ---- */

static bool one_of(struct view text, const struct view *candidates, size_t count)
{
    bool found = false;

    for (size_t i = 0; i < count && !found; i++)
        found = view_equal(text, candidates[i]);
    return found;
}

static enum reason check_issuer(struct verification *verification, const json_t *claims)
{
    struct view issuer;

    if (!jose_json_string(claims, "iss", &issuer))
        return fail(verification, REASON_token_claim_invalid, "iss");
    if (issuer.data == NULL)
        return fail(verification, REASON_token_claim_missing, "iss");
    return one_of(issuer, verification->settings->issuers, verification->settings->issuer_count)
               ? REASON_none
               : fail(verification, REASON_token_issuer, "");
}

/* A string, or an array of strings. */
static enum reason check_audience(struct verification *verification, const json_t *claims)
{
    const struct jwt_settings *settings = verification->settings;
    const json_t *audience = json_object_get(claims, "aud");
    size_t count = json_is_array(audience) ? json_array_size(audience) : 1;
    bool found = false;

    if (audience == NULL)
        return fail(verification, REASON_token_claim_missing, "aud");
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(audience) ? json_array_get(audience, i) : audience;
        if (!json_is_string(item))
            return fail(verification, REASON_token_claim_invalid, "aud");
        struct view text = view_of(json_string_value(item), json_string_length(item));
        found = found || one_of(text, settings->audiences, settings->audience_count);
    }
    return found ? REASON_none : fail(verification, REASON_token_audience, "");
}

/* A NumericDate (RFC 7519 section 2): seconds, with or without a fraction. Milliseconds, a mistake often
 * made, are out of range. */
static enum reason read_time(
    struct verification *verification, const json_t *claims, const char *name, bool *given, double *out)
{
    const json_t *value = json_object_get(claims, name);

    *given = value != NULL;
    if (value == NULL)
        return REASON_none;
    *out = json_number_value(value);
    if (!json_is_number(value) || !(*out >= 0) || *out > (double)JWT_TIME_MAXIMUM)
        return fail(verification, REASON_token_claim_invalid, name);
    return REASON_none;
}

static enum reason check_times(
    struct verification *verification, const json_t *claims, uint64_t now_s, uint64_t *expires_s)
{
    static const char *const starts[] = {"nbf", "iat"};
    double skew = (double)verification->settings->skew_s, value;
    bool given;
    enum reason reason = read_time(verification, claims, "exp", &given, &value);

    if (reason != REASON_none)
        return reason;
    if (!given)
        return fail(verification, REASON_token_claim_missing, "exp");
    *expires_s = (uint64_t)(ceil(value) + skew);
    if (now_s >= *expires_s)
        return fail(verification, REASON_token_expired, "");
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        reason = read_time(verification, claims, starts[i], &given, &value);
        if (reason != REASON_none)
            return reason;
        /* now_s is a second that has begun: a fraction of it may be over. */
        if (given && (double)now_s + skew < floor(value))
            return fail(verification, REASON_token_not_yet_valid, starts[i]);
    }
    return REASON_none;
}

/* ---- the whole ---- */

/* Splits the token and decodes header and signature. */
static enum reason open_token(struct verification *verification, struct view token, json_t **header)
{
    struct view first, rest = token;

    if (token.length > JWT_SIZE_MAXIMUM)
        return fail(verification, REASON_token_malformed, "longer than 8192 bytes");
    bool three = jwt_next_part(&rest, &first) && jwt_next_part(&rest, &verification->payload) &&
                 (rest.length == 0 || memchr(rest.data, '.', rest.length) == NULL);
    if (!three)
        return fail(verification, REASON_token_malformed, "not three parts");
    verification->signed_part = view_of(token.data, first.length + 1 + verification->payload.length);
    *header = decode_object(first);
    if (*header == NULL)
        return fail(verification, REASON_token_malformed, "header");
    enum reason reason = read_header(verification, *header);
    if (reason != REASON_none)
        return reason;
    ssize_t length = base64url_decode(rest, verification->signature, sizeof(verification->signature));
    if (length < 0)
        return fail(verification, REASON_token_malformed, "signature");
    verification->signature_length = (size_t)length;
    return REASON_none;
}

enum reason jwt_verify(const struct jwks *jwks, const struct jwt_settings *settings, struct view token,
    uint64_t now_s, struct jwt **claims, char detail[JWT_DETAIL_SIZE])
{
    struct verification verification = {.jwks = jwks, .settings = settings, .detail = detail};
    json_t *header = NULL, *root = NULL;
    uint64_t expires_s = 0;

    *claims = NULL;
    detail[0] = '\0';
    enum reason reason = open_token(&verification, token, &header);
    if (reason == REASON_none)
        reason = verify_signature(&verification);
    json_decref(header);
    if (reason != REASON_none)
        return reason;
    root = decode_object(verification.payload);
    if (root == NULL)
        return fail(&verification, REASON_token_malformed, "claims");
    reason = check_issuer(&verification, root);
    if (reason == REASON_none)
        reason = check_audience(&verification, root);
    if (reason == REASON_none)
        reason = check_times(&verification, root, now_s, &expires_s);
    if (reason != REASON_none) {
        json_decref(root);
        return reason;
    }
    *claims = memory_calloc(1, sizeof(**claims));
    **claims = (struct jwt){arena_new(), root, expires_s};
    return REASON_none;
}

void jwt_free(struct jwt *claims)
{
    if (claims == NULL)
        return;
    json_decref(claims->root);
    arena_free(claims->arena);
    free(claims);
}

uint64_t jwt_expires_s(const struct jwt *claims)
{
    return claims->expires_s;
}

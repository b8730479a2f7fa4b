/* SPDX-License-Identifier: Apache-2.0 */
#include "jose.h"

#include <criterion/criterion.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

struct signer signer_new(enum jwt_algorithm algorithm, const char *kid)
{
    struct signer signer = {.algorithm = algorithm, .kid = kid};
    if (algorithm == JWT_RS256)
        signer.key = EVP_RSA_gen(2048);
    else if (algorithm == JWT_ES256)
        signer.key = EVP_EC_gen("P-256");
    else if (algorithm == JWT_EDDSA)
        signer.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    else
        cr_assert(RAND_bytes(signer.secret, sizeof(signer.secret)) == 1);
    cr_assert(algorithm == JWT_HS256 || signer.key != NULL);
    return signer;
}

void signer_free(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
}

char *base64url_of(const void *bytes, size_t length)
{
    char *text = memory_calloc(length / 3 + 2, 4);
    EVP_EncodeBlock((uint8_t *)text, length == 0 ? (const void *)"" : bytes, (int)length);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    text[strcspn(text, "=")] = '\0';
    return text;
}

static char *number_text(const EVP_PKEY *key, const char *name, int size)
{
    BIGNUM *number = NULL;
    uint8_t bytes[1024];
    cr_assert(EVP_PKEY_get_bn_param(key, name, &number) == 1);
    int length = size > 0 ? BN_bn2binpad(number, bytes, size) : BN_bn2bin(number, bytes);
    BN_free(number);
    return base64url_of(bytes, (size_t)length);
}

char *signer_jwk(const struct signer *signer, const char *more)
{
    char *first = NULL, *second = NULL, *jwk;
    uint8_t point[32];
    size_t length = sizeof(point);
    char *kid =
        signer->kid == NULL ? memory_format("%s", "") : memory_format(", \"kid\": \"%s\"", signer->kid);

    switch (signer->algorithm) {
    case JWT_RS256:
        first = number_text(signer->key, OSSL_PKEY_PARAM_RSA_N, 0);
        second = number_text(signer->key, OSSL_PKEY_PARAM_RSA_E, 0);
        jwk = memory_format("{\"kty\": \"RSA\", \"n\": \"%s\", \"e\": \"%s\"%s%s}", first, second, kid, more);
        break;
    case JWT_ES256:
        first = number_text(signer->key, OSSL_PKEY_PARAM_EC_PUB_X, 32);
        second = number_text(signer->key, OSSL_PKEY_PARAM_EC_PUB_Y, 32);
        jwk = memory_format("{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"%s\", \"y\": \"%s\"%s%s}", first,
            second, kid, more);
        break;
    case JWT_EDDSA:
        cr_assert(EVP_PKEY_get_raw_public_key(signer->key, point, &length) == 1);
        first = base64url_of(point, length);
        jwk = memory_format("{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"%s\"%s%s}", first, kid, more);
        break;
    default:
        first = base64url_of(signer->secret, sizeof(signer->secret));
        jwk = memory_format("{\"kty\": \"oct\", \"k\": \"%s\"%s%s}", first, kid, more);
    }
    free(first);
    free(second);
    free(kid);
    return jwk;
}

/* The signature of text as JWS has it; its length. */
static size_t sign(const struct signer *signer, const char *text, uint8_t *out, size_t size)
{
    size_t length = size;
    unsigned mac_length = 0;
    if (signer->algorithm == JWT_HS256) {
        HMAC(EVP_sha256(), signer->secret, sizeof(signer->secret), (const uint8_t *)text, strlen(text), out,
            &mac_length);
        return mac_length;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = signer->algorithm == JWT_EDDSA ? NULL : EVP_sha256();
    cr_assert(EVP_DigestSignInit(context, NULL, digest, NULL, signer->key) == 1);
    cr_assert(EVP_DigestSign(context, out, &length, (const uint8_t *)text, strlen(text)) == 1);
    EVP_MD_CTX_free(context);
    if (signer->algorithm != JWT_ES256)
        return length;
    const uint8_t *der = out;
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)length);
    uint8_t raw[64];
    BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + 32, 32);
    ECDSA_SIG_free(signature);
    memcpy(out, raw, sizeof(raw));
    return sizeof(raw);
}

static char *signed_part(const char *header, const char *claims)
{
    char *first = base64url_of(header, strlen(header)), *second = base64url_of(claims, strlen(claims));
    char *part = memory_format("%s.%s", first, second);
    free(first);
    free(second);
    return part;
}

char *token_of(const char *header, const char *claims, const void *signature, size_t length)
{
    char *part = signed_part(header, claims), *last = base64url_of(signature, length);
    char *token = memory_format("%s.%s", part, last);
    free(part);
    free(last);
    return token;
}

char *signer_token(const struct signer *signer, const char *header, const char *claims)
{
    uint8_t signature[1024];
    char *part = signed_part(header, claims);
    size_t length = sign(signer, part, signature, sizeof(signature));
    free(part);
    return token_of(header, claims, signature, length);
}

char *signer_sign(const struct signer *signer, const char *claims)
{
    const char *name = jwt_algorithm_name(signer->algorithm);
    char *header = signer->kid == NULL
                       ? memory_format("{\"alg\":\"%s\",\"typ\":\"JWT\"}", name)
                       : memory_format("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", name, signer->kid);
    char *token = signer_token(signer, header, claims);
    free(header);
    return token;
}

struct jwks *set_load(const char *text, unsigned mode, char **messages)
{
    char path[] = "/tmp/mqward-jwks-XXXXXX";
    struct diag_list *diag = diag_list_new();
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    cr_assert(fchmod(fd, mode) == 0);
    close(fd);
    struct jwks *jwks = jwks_load(path, diag, NULL);
    if (messages != NULL) {
        size_t size = 0;
        FILE *out = open_memstream(messages, &size);
        diag_print(diag, out);
        fclose(out);
    }
    unlink(path);
    diag_list_free(diag);
    return jwks;
}

struct jwks *set_of(const char *const *jwks)
{
    char *text = memory_format("%s", "{\"keys\": [");
    for (size_t i = 0; jwks[i] != NULL; i++) {
        char *longer = memory_format("%s%s%s", text, i == 0 ? "" : ", ", jwks[i]);
        free(text);
        text = longer;
    }
    char *whole = memory_format("%s]}", text), *messages = NULL;
    struct jwks *set = set_load(whole, 0600, &messages);
    cr_assert(set != NULL, "%s", messages);
    free(whole);
    free(text);
    free(messages);
    return set;
}

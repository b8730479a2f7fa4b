/* SPDX-License-Identifier: Apache-2.0 */
/* Key sets: which keys are taken, which are passed over, and what is refused when the file is loaded. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/memory.h"
#include "jose.h"

#define EC                                                                                                   \
    "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","                \
    "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\""
#define OKP "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define OCT "\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4h\""
#define SET(keys) "{\"keys\":[" keys "]}"

static unsigned algorithms_of(const char *text, unsigned mode)
{
    char *messages = NULL;
    struct jwks *jwks = set_load(text, mode, &messages);
    cr_assert(jwks != NULL, "%s", messages);
    unsigned found = jwks_algorithms(jwks);
    jwks_free(jwks);
    free(messages);
    return found;
}

static void refused(const char *text, unsigned mode, const char *message)
{
    char *messages = NULL;
    struct jwks *jwks = set_load(text, mode, &messages);
    cr_assert(jwks == NULL, "%s", text);
    cr_assert(strstr(messages, message) != NULL, "%s: %s", text, messages);
    cr_assert(strstr(messages, "AyM1SysPpbyDfg") == NULL, "the secret is quoted: %s", messages);
    free(messages);
}

Test(jwks, kinds_of_keys)
{
    cr_assert(algorithms_of(SET("{" EC "}"), 0644) == JWT_ES256);
    cr_assert(algorithms_of(SET("{" OKP "}"), 0644) == JWT_EDDSA);
    cr_assert(algorithms_of(SET("{" OCT "}"), 0600) == JWT_HS256);
    cr_assert(algorithms_of(SET("{" OCT "}"), 0640) == JWT_HS256);
    cr_assert(algorithms_of(SET("{" EC ",\"kid\":\"1\"},{" OKP ",\"kid\":\"1\"}"), 0644) ==
              (JWT_ES256 | JWT_EDDSA));
}

/* RFC 7517 section 5: what is not understood, or for something else, is passed over. */
Test(jwks, keys_that_are_passed_over)
{
    static const char *const others[] = {
        "{" EC ",\"use\":\"enc\"}",
        "{" EC ",\"alg\":\"ECDH-ES\"}",
        "{" EC ",\"alg\":\"HS256\"}",
        "{" EC ",\"key_ops\":[\"deriveKey\"]}",
        "{" OKP ",\"alg\":\"ES256\"}",
        "{" OCT ",\"alg\":\"A256KW\"}",
        "{" OCT ",\"alg\":\"ES256\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"AKP\"}",
        "{\"kty\":7}",
        "{}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char *alone = memory_format(SET("%s"), others[i]);
        refused(alone, 0600, "no key in it is for verifying tokens");
        free(alone);
        char *both = memory_format(
            SET("%s,{" EC ",\"use\":\"sig\",\"alg\":\"ES256\",\"key_ops\":[\"verify\"]}"), others[i]);
        cr_assert(algorithms_of(both, 0600) == JWT_ES256, "%s", others[i]);
        free(both);
    }
}

Test(jwks, refused)
{
    refused("", 0600, "not JSON");
    refused("{", 0600, "not JSON");
    refused("[]", 0600, "expected an object");
    refused("-----BEGIN PUBLIC KEY-----\n", 0600, "a JSON Web Key Set");
    refused("{" EC "}", 0600, "no list 'keys'");
    refused("{\"keys\":{}}", 0600, "no list 'keys'");
    refused("{\"keys\":[]}", 0600, "no key in it");
    refused("{\"keys\":[7]}", 0600, "key 1: expected an object");
    refused("{\"keys\":[],\"keys\":[{" EC "}]}", 0600, "not JSON: duplicate object key");
    refused(SET("{" EC ",\"kid\":1}"), 0600, "'kid' is not a string");
    refused(SET("{" EC ",\"kid\":\"1\"},{" EC ",\"kid\":\"1\"}"), 0600, "key 2 ('1'): another key");
    refused(SET("{" OCT "}"), 0644, "every user of this machine");
    refused(SET("{" OCT "}"), 0604, "chmod 600");
    refused(SET("{\"kty\":\"oct\",\"k\":\"c2VjcmV0\",\"kid\":\"s\"}"), 0600, "at least 32 bytes");
    refused(SET("{\"kty\":\"oct\"}"), 0600, "'k' is missing");
    refused(SET("{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T==\"}"), 0600, "'k'");
    refused("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ\"]}", 0600, "not JSON");
    refused("{\"keys\":[{\"kty\":\"oct\",\"k\":AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ}]}", 0600, "not JSON");
    refused(SET("{" EC ",\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\"}"), 0600, "a private key");
    refused(SET("{" OKP ",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}"), 0600, "a private key");
    refused(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
                "\"y\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}"),
        0600, "not a point on the curve");
    refused(SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}"), 0600, "32 bytes");
    refused(SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}"), 0600, "32 bytes");
    refused(SET("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), 0600, "shorter than 2048 bits");
    refused(SET("{\"kty\":\"RSA\",\"e\":\"AQAB\"}"), 0600, "'n' is missing");
}

/* Anybody could sign for them: of all messages, or of one in eight. */
Test(jwks, ed25519_keys_of_small_order_are_not_sound)
{
    static const char *const points[] = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* y = 0 */
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", /* y = 1 */
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", /* of order 8 */
        "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA_o", /* of order 8, and its sign */
        "7P_______________________________________38", /* y = p - 1 */
        "7f________________________________________8", /* y = p, and its sign */
        "7v_______________________________________38", /* y = p + 1 */
    };
    char text[160];

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        snprintf(text, sizeof(text), SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}"), points[i]);
        refused(text, 0600, "not a sound Ed25519 key");
    }
}

Test(jwks, rsa_keys_that_are_not_sound)
{
    struct signer signer = signer_new(JWT_RS256, NULL);
    static const char *const exponents[] = {"AQ", "Ag", "AAAA"}; /* 1, 2, 0 */
    char *jwk = signer_jwk(&signer, "");
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        char *cut = memory_format("%.*s", (int)(strstr(jwk, "\"AQAB\"") - jwk), jwk);
        char *text = memory_format(SET("%s\"%s\"}"), cut, exponents[i]);
        refused(text, 0600, "not a sound RSA key");
        free(cut);
        free(text);
    }
    free(jwk);
    signer_free(&signer);
}

Test(jwks, number_of_keys_is_bounded)
{
    char *keys = memory_format("%s", "{" EC "}");
    for (size_t i = 1; i < 65; i++) {
        char *more = memory_format("%s,{" EC "}", keys);
        free(keys);
        keys = more;
    }
    char *text = memory_format(SET("%s"), keys);
    refused(text, 0600, "more than 64 keys");
    free(text);
    free(keys);
}

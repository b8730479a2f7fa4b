/* SPDX-License-Identifier: Apache-2.0 */
/* Owns key sets: JSON in, OpenSSL's keys out. Loaded by the proxy with its configuration and by jwt.c's
 * tests; read by jwt.c. */
#include "policy/jwks.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "policy/base64url.h"
#include "policy/jose_json.h"

#define FILE_SIZE_MAXIMUM ((size_t)1 << 20)
#define KEYS_MAXIMUM 64
#define KID_MAXIMUM 256
#define RSA_BITS_MINIMUM 2048 /* RFC 7518 section 3.3 */
#define RSA_BYTES_MAXIMUM 1024
#define RSA_EXPONENT_MAXIMUM 8 /* bytes */
#define SECRET_MINIMUM 32      /* RFC 7518 section 3.2: as long as the hash */
#define SECRET_MAXIMUM 512
#define P256_BYTES 32
#define ED25519_BYTES 32

struct jwks {
    struct arena *arena;
    struct jwks_key *keys;
    size_t count;
};

/* What reading a set needs. */
struct reader {
    struct jwks *jwks;
    struct diag_list *diag;
    const struct diag_source *source;
    size_t index; /* of the key that is read, from 1 */
    struct view kid;
};

static const struct algorithm_row {
    enum jwt_algorithm algorithm;
    const char *name;
    const char *type;  /* kty of its keys */
    const char *curve; /* crv, or NULL */
} algorithms[] = {
    {JWT_RS256, "RS256", "RSA", NULL},
    {JWT_ES256, "ES256", "EC", "P-256"},
    {JWT_EDDSA, "EdDSA", "OKP", "Ed25519"},
    {JWT_HS256, "HS256", "oct", NULL},
};
#define ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

const char *jwt_algorithm_name(enum jwt_algorithm algorithm)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].name;
    }
    return NULL;
}

unsigned jwt_algorithm_of(const char *name)
{
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (strcmp(algorithms[i].name, name) == 0)
            return algorithms[i].algorithm;
    }
    return 0;
}

/* ---- messages ---- */

static bool report(const struct reader *reader, const char *hint, const char *message)
{
    struct diag_place place = {.source = reader->source};

    if (reader->kid.length > 0)
        diag_add(reader->diag, DIAG_ERROR, &place, hint, "key %zu ('%.*s'): %s", reader->index,
            VIEW_ARGS(reader->kid), message);
    else
        diag_add(reader->diag, DIAG_ERROR, &place, hint, "key %zu: %s", reader->index, message);
    return false;
}

/* The diagnostics quote lines of the source, which they own: what could be a secret goes before they can. */
static void mask_secrets(const struct diag_source *source)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)source->text.data;
    size_t start = 0;

    for (size_t i = 0; i <= source->text.length; i++) {
        uint8_t c = i < source->text.length ? bytes[i] : ' ';
        bool part = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '+' || c == '/';
        if (part)
            continue;
        if (i - start >= 16)
            memset(bytes + start, '*', i - start);
        start = i + 1;
    }
}

/* ---- keys ---- */

/* A member that is base64url, decoded. Returns its length, or -1 after an error. */
static ssize_t read_bytes(
    const struct reader *reader, const json_t *key, const char *name, uint8_t *out, size_t size)
{
    struct view text;
    ssize_t length = -1;
    char message[80];

    if (jose_json_string(key, name, &text) && text.data != NULL)
        length = base64url_decode(text, out, size);
    if (length > 0)
        return length;
    snprintf(message, sizeof(message), "'%s' is missing, too long or not base64url without padding", name);
    report(reader, NULL, message);
    return -1;
}

static bool read_coordinate(
    const struct reader *reader, const json_t *key, const char *name, uint8_t *out, size_t size)
{
    ssize_t length = read_bytes(reader, key, name, out, size);

    return length == (ssize_t)size || (length > 0 && report(reader, NULL, "a coordinate has 32 bytes"));
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY_CTX *check = NULL;
    EVP_PKEY *key = NULL;

    if (parameters == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        goto out;
    check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (check == NULL || EVP_PKEY_public_check(check) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
out:
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    ERR_clear_error();
    return key;
}

static bool read_rsa(const struct reader *reader, const json_t *object, struct jwks_key *key)
{
    uint8_t modulus[RSA_BYTES_MAXIMUM], exponent[RSA_EXPONENT_MAXIMUM];
    ssize_t modulus_length = read_bytes(reader, object, "n", modulus, sizeof(modulus));
    ssize_t exponent_length = read_bytes(reader, object, "e", exponent, sizeof(exponent));

    if (modulus_length < 0 || exponent_length < 0)
        return false;
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_length, NULL);
    BIGNUM *e = BN_bin2bn(exponent, (int)exponent_length, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    bool long_enough = n != NULL && BN_num_bits(n) >= RSA_BITS_MINIMUM;
    if (build != NULL && long_enough && e != NULL && OSSL_PARAM_BLD_push_BN(build, "n", n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, "e", e) == 1)
        key->public_key = key_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    if (!long_enough)
        return report(reader, NULL, "an RSA key shorter than 2048 bits");
    return key->public_key != NULL || report(reader, NULL, "not a sound RSA key");
}

static bool read_ec(const struct reader *reader, const json_t *object, struct jwks_key *key)
{
    uint8_t point[1 + 2 * P256_BYTES] = {4}; /* uncompressed */

    if (!read_coordinate(reader, object, "x", point + 1, P256_BYTES) ||
        !read_coordinate(reader, object, "y", point + 1 + P256_BYTES, P256_BYTES))
        return false;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (build != NULL && OSSL_PARAM_BLD_push_utf8_string(build, "group", "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, "pub", point, sizeof(point)) == 1)
        key->public_key = key_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key->public_key != NULL || report(reader, NULL, "not a point on the curve P-256");
}

/* A point of one of the orders 1, 2, 4 and 8, in each way to write it: anybody can sign for it, and OpenSSL
 * does not look. The last byte's top bit is the sign of x. */
static bool has_small_order(const uint8_t point[ED25519_BYTES])
{
    static const uint8_t order8[2][ED25519_BYTES] = {
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
            0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
            0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}};
    uint8_t y[ED25519_BYTES], zeros[ED25519_BYTES] = {0}, ones[ED25519_BYTES];

    memcpy(y, point, sizeof(y));
    y[ED25519_BYTES - 1] &= 0x7f;
    memset(ones, 0xff, sizeof(ones));
    ones[ED25519_BYTES - 1] = 0x7f;
    /* y is 0 or 1, or p - 1, p or p + 1, which is 2^255 less 20, 19 or 18 */
    return (y[0] <= 1 && memcmp(y + 1, zeros + 1, sizeof(y) - 1) == 0) ||
           (y[0] >= 0xec && y[0] <= 0xee && memcmp(y + 1, ones + 1, sizeof(y) - 1) == 0) ||
           memcmp(y, order8[0], sizeof(y)) == 0 || memcmp(y, order8[1], sizeof(y)) == 0;
}

static bool read_okp(const struct reader *reader, const json_t *object, struct jwks_key *key)
{
    uint8_t point[ED25519_BYTES];

    if (!read_coordinate(reader, object, "x", point, sizeof(point)))
        return false;
    if (!has_small_order(point))
        key->public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, point, sizeof(point));
    ERR_clear_error();
    return key->public_key != NULL || report(reader, NULL, "not a sound Ed25519 key");
}

static bool read_secret(const struct reader *reader, const json_t *object, struct jwks_key *key)
{
    uint8_t secret[SECRET_MAXIMUM];
    ssize_t length = read_bytes(reader, object, "k", secret, sizeof(secret));
    struct stat status;

    if (length < 0)
        return false;
    if (length >= SECRET_MINIMUM)
        key->secret = arena_copy(reader->jwks->arena, view_of(secret, (size_t)length));
    OPENSSL_cleanse(secret, sizeof(secret));
    if (length < SECRET_MINIMUM)
        return report(reader, "openssl rand 32", "a secret for HS256 has at least 32 bytes");
    /* Whoever reads it can make tokens. */
    if (stat(reader->source->path, &status) == 0 && (status.st_mode & S_IRWXO) != 0)
        return report(reader, "chmod 600", "a secret in a file that every user of this machine can open");
    return true;
}

/* ---- which keys are for verifying ---- */

static const struct algorithm_row *row_of(const json_t *key)
{
    struct view type, curve;

    if (!jose_json_string(key, "kty", &type) || !jose_json_string(key, "crv", &curve))
        return NULL;
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (view_equal_string(type, algorithms[i].type) &&
            (algorithms[i].curve == NULL || view_equal_string(curve, algorithms[i].curve)))
            return &algorithms[i];
    }
    return NULL;
}

static bool operations_include(const json_t *operations, const char *name)
{
    size_t i;
    json_t *operation;

    json_array_foreach(operations, i, operation)
    {
        if (json_is_string(operation) && strcmp(json_string_value(operation), name) == 0)
            return true;
    }
    return false;
}

/* alg, use and key_ops may only narrow what the type is for. */
static bool is_for_verifying(const json_t *key, const struct algorithm_row *row)
{
    struct view algorithm, use;
    const json_t *operations = json_object_get(key, "key_ops");

    if (!jose_json_string(key, "alg", &algorithm) || !jose_json_string(key, "use", &use))
        return false;
    return (algorithm.data == NULL || view_equal_string(algorithm, row->name)) &&
           (use.data == NULL || view_equal(use, VIEW("sig"))) &&
           (operations == NULL || operations_include(operations, "verify"));
}

static bool refuse_private(const struct reader *reader, const json_t *key)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (json_object_get(key, members[i]) != NULL)
            return report(reader, "keep the public members only",
                "a private key: who can read it can make tokens, and verifying does not need it");
    }
    return true;
}

static void read_key(struct reader *reader, const json_t *object)
{
    static bool (*const readers[ALGORITHMS])(const struct reader *reader, const json_t *object,
        struct jwks_key *key) = {read_rsa, read_ec, read_okp, read_secret};
    struct jwks *jwks = reader->jwks;
    struct jwks_key *key = &jwks->keys[jwks->count];

    reader->kid = (struct view){NULL, 0};
    if (!json_is_object(object)) {
        report(reader, NULL, "expected an object");
        return;
    }
    if (!jose_json_string(object, "kid", &reader->kid) || reader->kid.length > KID_MAXIMUM) {
        reader->kid = (struct view){NULL, 0};
        report(reader, NULL, "'kid' is not a string of at most 256 bytes");
        return;
    }
    const struct algorithm_row *row = row_of(object);
    if (row == NULL || !is_for_verifying(object, row))
        return;
    *key = (struct jwks_key){.algorithm = row->algorithm};
    if ((row->algorithm != JWT_HS256 && !refuse_private(reader, object)) ||
        !readers[row - algorithms](reader, object, key)) {
        EVP_PKEY_free(key->public_key);
        return;
    }
    if (reader->kid.data != NULL)
        key->kid = arena_copy(jwks->arena, reader->kid);
    jwks->count++;
    for (size_t i = 0; i + 1 < jwks->count && key->kid.data != NULL; i++) {
        if (jwks->keys[i].kid.data != NULL && view_equal(jwks->keys[i].kid, key->kid) &&
            jwks->keys[i].algorithm == key->algorithm)
            report(reader, NULL, "another key for the same algorithm has this 'kid', too");
    }
}

/* ---- the set ---- */

static void read_set(struct reader *reader)
{
    static const char hint[] = "a JSON Web Key Set: {\"keys\": [{\"kty\": ...}]}";
    json_error_t error;
    struct diag_place whole = {.source = reader->source};
    json_t *set = jose_json_object(reader->source->text, &error);
    const json_t *keys = json_object_get(set, "keys");
    size_t errors = diag_errors(reader->diag);

    if (set == NULL) {
        struct diag_place place = {reader->source, error.line > 0 ? (uint32_t)error.line : 1,
            error.column > 0 ? (uint32_t)error.column : 1, 1};
        /* jansson's text quotes what it stumbled over, which may be a part of a secret. */
        bool quotes = strstr(error.text, " near ") != NULL;
        diag_add(reader->diag, DIAG_ERROR, &place, hint, "not JSON: %.*s",
            quotes ? (int)(strstr(error.text, " near ") - error.text) : (int)strlen(error.text), error.text);
        return;
    }
    if (!json_is_array(keys)) {
        diag_add(reader->diag, DIAG_ERROR, &whole, hint, "the file has no list 'keys'");
    } else if (json_array_size(keys) > KEYS_MAXIMUM) {
        diag_add(reader->diag, DIAG_ERROR, &whole, NULL, "more than %d keys", KEYS_MAXIMUM);
    } else {
        reader->jwks->keys = memory_calloc(json_array_size(keys) + 1, sizeof(*reader->jwks->keys));
        for (size_t i = 0; i < json_array_size(keys); i++) {
            reader->index = i + 1;
            read_key(reader, json_array_get(keys, i));
        }
        if (reader->jwks->count == 0 && diag_errors(reader->diag) == errors)
            diag_add(reader->diag, DIAG_ERROR, &whole,
                "kty RSA (RS256), EC with crv P-256 (ES256), OKP with crv Ed25519 (EdDSA), or oct (HS256)",
                "no key in it is for verifying tokens");
    }
    json_decref(set);
}

struct jwks *jwks_load(const char *path, struct diag_list *diag, const struct diag_place *referrer)
{
    size_t errors = diag_errors(diag);
    const struct diag_source *source = diag_read_file(diag, path, FILE_SIZE_MAXIMUM, referrer);

    if (source == NULL)
        return NULL;
    struct jwks *jwks = memory_calloc(1, sizeof(*jwks));
    jwks->arena = arena_new();
    struct reader reader = {.jwks = jwks, .diag = diag, .source = source};
    read_set(&reader);
    mask_secrets(source);
    if (diag_errors(diag) == errors)
        return jwks;
    jwks_free(jwks);
    return NULL;
}

void jwks_free(struct jwks *jwks)
{
    if (jwks == NULL)
        return;
    for (size_t i = 0; i < jwks->count; i++) {
        EVP_PKEY_free(jwks->keys[i].public_key);
        if (jwks->keys[i].secret.length > 0)
            OPENSSL_cleanse((void *)(uintptr_t)jwks->keys[i].secret.data, jwks->keys[i].secret.length);
    }
    free(jwks->keys);
    arena_free(jwks->arena);
    free(jwks);
}

const struct jwks_key *jwks_keys(const struct jwks *jwks, size_t *count)
{
    *count = jwks->count;
    return jwks->keys;
}

unsigned jwks_algorithms(const struct jwks *jwks)
{
    unsigned found = 0;

    for (size_t i = 0; i < jwks->count; i++)
        found |= jwks->keys[i].algorithm;
    return found;
}

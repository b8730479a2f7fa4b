/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kinds of password hashes: reading and computing them. A kind is a row of kinds[]. Called by
 * password.c. */
#include "policy/password_hash.h"

#include <argon2.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/hash.h"
#include "base/number.h"
#include "policy/base64url.h"

/* A login costs its rounds in CPU time, for whoever tries one: a million iterations take about half a second,
 * a GiB of Argon2id takes one to two. */
#define ITERATIONS_MAXIMUM 1000000
#define ARGON2_WORK_MAXIMUM ((uint64_t)1 << 20) /* KiB x passes */
#define ARGON2_LANES_MAXIMUM 64
/* Fewer bytes are guessed, or a mistake. */
#define ARGON2_HASH_MINIMUM 16
#define SHA512_SIZE 64

static const char tool_hint[] = "write the file with mosquitto_passwd";
static const char damaged[] = "salt or hash is damaged";

struct password_kind {
    const char *id;
    /* rest: what is behind the id's dollar sign. */
    bool (*parse)(struct view rest, struct password_hash *hash, struct password_fault *fault);
    bool (*digest)(
        const struct password_hash *hash, struct view password, uint8_t out[PASSWORD_HASH_MAXIMUM]);
};

static bool refuse(struct password_fault *fault, struct view part, const char *hint, const char *message)
{
    *fault = (struct password_fault){part, message, hint};
    return false;
}

/* Takes the part before the next separator off text; false if there is none: the part is all of text. */
static bool next_part(struct view *text, uint8_t separator, struct view *part)
{
    const uint8_t *end = text->length == 0 ? NULL : memchr(text->data, separator, text->length);
    *part = *text;
    if (end == NULL) {
        *text = (struct view){NULL, 0};
        return false;
    }
    part->length = (size_t)(end - part->data);
    *text = view_of(end + 1, text->length - part->length - 1);
    return true;
}

/* ---- $6$, $7$ ---- */

/* Decodes base64 as OpenSSL writes it: whole groups, padding at the end only. Returns the number of bytes, or
 * -1. */
static int decode_padded(struct view text, uint8_t *out, size_t size)
{
    uint8_t buffer[(PASSWORD_SALT_MAXIMUM + PASSWORD_HASH_MAXIMUM) * 2];
    size_t padding = 0;

    if (text.length == 0 || text.length % 4 != 0 || text.length / 4 * 3 > sizeof(buffer))
        return -1;
    while (padding < 2 && text.data[text.length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.length - padding; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '+' && c != '/')
            return -1;
    }
    int length = EVP_DecodeBlock(buffer, text.data, (int)text.length);
    if (length < 0 || (size_t)length - padding > size)
        return -1;
    length -= (int)padding;
    memcpy(out, buffer, (size_t)length);
    OPENSSL_cleanse(buffer, sizeof(buffer));
    return length;
}

/* rest: salt$hash, of SHA-512. */
static bool parse_salt_and_hash(struct view rest, struct password_hash *hash, struct password_fault *fault)
{
    struct view text = rest, part;
    bool salted = next_part(&text, '$', &part);
    int length = salted ? decode_padded(part, hash->salt, sizeof(hash->salt)) : -1;

    if (length <= 0 || decode_padded(text, hash->bytes, sizeof(hash->bytes)) != SHA512_SIZE)
        return refuse(fault, rest, tool_hint, damaged);
    hash->salt_length = (uint8_t)length;
    hash->length = SHA512_SIZE;
    return true;
}

static bool parse_pbkdf2(struct view rest, struct password_hash *hash, struct password_fault *fault)
{
    struct view part;
    uint64_t iterations;

    bool more = next_part(&rest, '$', &part);
    if (number_parse(part, &iterations) != 0 || iterations == 0)
        return refuse(fault, part, NULL, "the number of iterations is not a positive number");
    if (iterations > ITERATIONS_MAXIMUM)
        return refuse(fault, part, "at most 1000000", "more iterations than mqward spends on a login");
    hash->rounds = (uint32_t)iterations;
    return more ? parse_salt_and_hash(rest, hash, fault) : refuse(fault, part, tool_hint, damaged);
}

/* OpenSSL wants a pointer even for no bytes. */
static const void *bytes_of(struct view password)
{
    return password.length == 0 ? "" : (const void *)password.data;
}

static bool digest_pbkdf2(
    const struct password_hash *hash, struct view password, uint8_t out[PASSWORD_HASH_MAXIMUM])
{
    return password.length <= INT_MAX &&
           PKCS5_PBKDF2_HMAC(bytes_of(password), (int)password.length, hash->salt, hash->salt_length,
               (int)hash->rounds, EVP_sha512(), SHA512_SIZE, out) == 1;
}

static bool digest_sha512(
    const struct password_hash *hash, struct view password, uint8_t out[PASSWORD_HASH_MAXIMUM])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
                EVP_DigestUpdate(context, bytes_of(password), password.length) == 1 &&
                EVP_DigestUpdate(context, hash->salt, hash->salt_length) == 1 &&
                EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

/* ---- $argon2id$ ---- */

static bool parse_cost(struct view part, char name, uint32_t *value)
{
    uint64_t number;

    if (part.length < 3 || part.data[0] != (uint8_t)name || part.data[1] != '=' ||
        number_parse(view_skip(part, 2), &number) != 0 || number == 0 || number > UINT32_MAX)
        return false;
    *value = (uint32_t)number;
    return true;
}

static bool parse_argon2id_costs(struct view text, struct password_hash *hash, struct password_fault *fault)
{
    struct view rest = text, memory, passes, lanes;
    bool parts =
        next_part(&rest, ',', &memory) && next_part(&rest, ',', &passes) && !next_part(&rest, ',', &lanes);

    if (!parts || !parse_cost(memory, 'm', &hash->memory) || !parse_cost(passes, 't', &hash->rounds) ||
        !parse_cost(lanes, 'p', &hash->lanes))
        return refuse(fault, text, "m=47104,t=1,p=1 is what mosquitto_passwd writes",
            "expected m=KiB,t=passes,p=lanes, each a positive number");
    if (hash->lanes > ARGON2_LANES_MAXIMUM)
        return refuse(fault, lanes, "at most p=64", "more lanes than mqward computes");
    if (hash->memory < 8 * hash->lanes)
        return refuse(fault, memory, "at least 8 KiB a lane", "less memory than Argon2id needs");
    if ((uint64_t)hash->memory * hash->rounds > ARGON2_WORK_MAXIMUM)
        return refuse(fault, text, "m times t: at most 1048576 (1 GiB, once)",
            "more memory and passes than mqward spends on a login");
    return true;
}

static bool parse_argon2id(struct view rest, struct password_hash *hash, struct password_fault *fault)
{
    static const char hint[] = "mosquitto_passwd -H argon2id of Mosquitto 2.1 writes them, or argon2 -id -e";
    struct view version, costs, salt;

    if (!next_part(&rest, '$', &version) || !view_equal(version, VIEW("v=19")))
        return refuse(fault, version, hint, "expected v=19, the version of Argon2 that mqward computes");
    bool more = next_part(&rest, '$', &costs);
    if (!parse_argon2id_costs(costs, hash, fault))
        return false;
    more = more && next_part(&rest, '$', &salt);
    ssize_t salt_length = more ? base64_decode_unpadded(salt, hash->salt, sizeof(hash->salt)) : -1;
    ssize_t length = base64_decode_unpadded(rest, hash->bytes, sizeof(hash->bytes));
    if (salt_length < (ssize_t)ARGON2_MIN_SALT_LENGTH || length < ARGON2_HASH_MINIMUM)
        return refuse(
            fault, costs, "salt: 8 to 64 bytes, hash: 16 to 64 bytes, base64 without padding", damaged);
    hash->salt_length = (uint8_t)salt_length;
    hash->length = (uint8_t)length;
    return true;
}

/* All lanes in this thread: the pool that calls decides how many CPUs logins may have. libargon2 wipes its
 * memory. */
static bool digest_argon2id(
    const struct password_hash *hash, struct view password, uint8_t out[PASSWORD_HASH_MAXIMUM])
{
    argon2_context context = {.out = out,
        .outlen = hash->length,
        .pwd = (uint8_t *)(uintptr_t)password.data,
        .pwdlen = (uint32_t)password.length,
        .salt = (uint8_t *)(uintptr_t)hash->salt,
        .saltlen = hash->salt_length,
        .t_cost = hash->rounds,
        .m_cost = hash->memory,
        .lanes = hash->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13};

    return password.length <= UINT32_MAX && argon2id_ctx(&context) == ARGON2_OK;
}

/* ---- all kinds ---- */

static const struct password_kind kinds[] = {
    {"argon2id", parse_argon2id, digest_argon2id},
    {"7", parse_pbkdf2, digest_pbkdf2},
    {"6", parse_salt_and_hash, digest_sha512},
};

bool password_hash_parse(struct view text, struct password_hash *hash, struct password_fault *fault)
{
    struct view rest = text, part;

    *hash = (struct password_hash){0};
    if (!next_part(&rest, '$', &part) || part.length != 0)
        return refuse(fault, text, "hash a file of plain passwords with mosquitto_passwd -U",
            "expected a password hash ($argon2id$..., $7$... or $6$...)");
    bool more = next_part(&rest, '$', &part);
    for (size_t i = 0; more && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!view_equal_string(part, kinds[i].id))
            continue;
        hash->kind = &kinds[i];
        return kinds[i].parse(rest, hash, fault);
    }
    return refuse(fault, part, tool_hint, "this kind of password hash is not supported");
}

bool password_hash_check(const struct password_hash *hash, struct view password, bool *failed)
{
    uint8_t digest[PASSWORD_HASH_MAXIMUM] = {0};

    *failed = !hash->kind->digest(hash, password, digest);
    bool equal = CRYPTO_memcmp(digest, hash->bytes, hash->length) == 0;
    OPENSSL_cleanse(digest, sizeof(digest));
    return equal && !*failed;
}

uint64_t password_hash_tag(const struct password_hash *hash)
{
    const uint32_t costs[] = {hash->rounds, hash->memory, hash->lanes};

    return hash_bytes(view_of(hash->bytes, hash->length)) ^
           hash_bytes(view_of(hash->salt, hash->salt_length)) * 3 ^
           hash_bytes(view_of((const uint8_t *)costs, sizeof(costs))) * 5;
}

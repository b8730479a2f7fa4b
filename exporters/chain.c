/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the arithmetic of the chain: key schedule, hash of a line, its member at the end of a line. Called by
 * chain_writer.c (seals), chain_recover.c and the verification (check).
 *
 * Each line has a key of its own, so nothing of an HMAC can be computed once and kept, and OpenSSL's EVP_MAC
 * would allocate, lock and look its hash up for each: this is HMAC (RFC 2104) on the compression function. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and its kin */
#include "exporters/chain.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base/buffer.h"
#include "base/number.h"
#include "base/secret.h"

_Static_assert(CHAIN_KEY_SIZE == SHA256_DIGEST_LENGTH && CHAIN_HASH_SIZE == SHA256_DIGEST_LENGTH, "SHA-256");

#define HEX_SIZE (2 * (size_t)CHAIN_HASH_SIZE)

/* The member, piece by piece. */
#define PIECE(text)                                                                                          \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }
static const struct view member_key = PIECE(",\"chain\":");
static const struct view member_epoch = PIECE(",\"chain\":{\"epoch\":\"");
static const struct view member_start = PIECE("\",\"start\":");
static const struct view member_prev = PIECE(",\"prev\":\"");
static const struct view member_hash = PIECE("\",\"hash\":\""); /* its first byte is covered */
static const struct view member_end = PIECE("\"}}");

/* ---- hashing ---- */

static void sha256(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size,
    uint8_t out[CHAIN_HASH_SIZE])
{
    SHA256_CTX state;

    SHA256_Init(&state);
    SHA256_Update(&state, first, first_size);
    if (second_size > 0)
        SHA256_Update(&state, second, second_size);
    SHA256_Final(out, &state); /* which cleanses the state */
}

static void hmac(
    const uint8_t key[CHAIN_KEY_SIZE], struct view first, struct view second, uint8_t out[CHAIN_HASH_SIZE])
{
    uint8_t block[SHA256_CBLOCK], inner[CHAIN_HASH_SIZE];
    SHA256_CTX state;

    memset(block, 0x36, sizeof(block));
    for (size_t i = 0; i < CHAIN_KEY_SIZE; i++)
        block[i] ^= key[i];
    SHA256_Init(&state);
    SHA256_Update(&state, block, sizeof(block));
    SHA256_Update(&state, first.data, first.length);
    SHA256_Update(&state, second.data, second.length);
    SHA256_Final(inner, &state);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5C;
    sha256(block, sizeof(block), inner, sizeof(inner), out);
    secret_wipe(block, sizeof(block));
}

static void put_number(uint8_t out[8], uint64_t number)
{
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* ---- the key schedule ---- */

void chain_next_secret(uint8_t secret[CHAIN_KEY_SIZE])
{
    static const char label[] = "mqward-chain-start";
    uint8_t next[CHAIN_KEY_SIZE];

    sha256((const uint8_t *)label, sizeof(label) - 1, secret, CHAIN_KEY_SIZE, next);
    memcpy(secret, next, sizeof(next));
    secret_wipe(next, sizeof(next));
}

void chain_first_key(
    const uint8_t secret[CHAIN_KEY_SIZE], uint64_t epoch, uint64_t start, uint8_t key[CHAIN_KEY_SIZE])
{
    uint8_t place[16];

    put_number(place, epoch);
    put_number(place + 8, start);
    hmac(secret, VIEW("mqward-chain-1"), view_of(place, sizeof(place)), key);
}

void chain_next_key(uint8_t key[CHAIN_KEY_SIZE], uint64_t steps)
{
    for (; steps > 0; steps--)
        sha256(key, CHAIN_KEY_SIZE, NULL, 0, key);
}

/* ---- the member, read ---- */

static bool take_back(struct view *rest, struct view literal)
{
    if (!view_ends_with(*rest, literal))
        return false;
    rest->length -= literal.length;
    return true;
}

/* size lower-case digits at the end of rest, into size / 2 bytes. */
static bool take_back_hex(struct view *rest, uint8_t *out, size_t size)
{
    if (rest->length < size)
        return false;
    const uint8_t *text = rest->data + rest->length - size;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = text[i] >= '0' && text[i] <= '9'   ? text[i] - (unsigned)'0'
                         : text[i] >= 'a' && text[i] <= 'f' ? text[i] - (unsigned)'a' + 10
                                                            : 16;
        if (digit == 16)
            return false;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    rest->length -= size;
    return true;
}

/* Digits at the end of rest, as number_parse() takes them; 0 is no start. */
static bool take_back_start(struct view *rest, uint64_t *start)
{
    size_t digits = 0;

    while (digits < rest->length && rest->data[rest->length - 1 - digits] >= '0' &&
           rest->data[rest->length - 1 - digits] <= '9')
        digits++;
    if (digits == 0 || number_parse(view_of(rest->data + rest->length - digits, digits), start) != 0)
        return false;
    rest->length -= digits;
    return *start > 0;
}

/* A line that looks as if its end had been a member once. The quotes of the key have no backslash, so it is
 * no text of somebody else. */
static bool has_member(struct view line)
{
    return line.length > 0 && memmem(line.data, line.length, member_key.data, member_key.length) != NULL;
}

enum chain_member chain_parse(struct view line, struct chain_link *link)
{
    struct view rest = line;
    uint8_t epoch[8];

    *link = (struct chain_link){0};
    if (!take_back(&rest, member_end) || !take_back_hex(&rest, link->hash, HEX_SIZE) ||
        !take_back(&rest, member_hash))
        return has_member(line) ? CHAIN_MANGLED : CHAIN_ABSENT;
    link->covered = view_of(line.data, rest.length + 1); /* with the quote behind prev */
    if (!take_back_hex(&rest, link->prev, HEX_SIZE) || !take_back(&rest, member_prev) ||
        !take_back_start(&rest, &link->start) || !take_back(&rest, member_start) ||
        !take_back_hex(&rest, epoch, 16) || !take_back(&rest, member_epoch))
        return has_member(line) ? CHAIN_MANGLED : CHAIN_ABSENT;
    for (size_t i = 0; i < sizeof(epoch); i++)
        link->epoch = link->epoch << 8 | epoch[i];
    return CHAIN_LINKED;
}

/* ---- a line ---- */

void chain_hash(const uint8_t key[CHAIN_KEY_SIZE], const uint8_t prev[CHAIN_HASH_SIZE], struct view covered,
    uint8_t hash[CHAIN_HASH_SIZE])
{
    hmac(key, view_of(prev, CHAIN_HASH_SIZE), covered, hash);
}

bool chain_holds(const uint8_t key[CHAIN_KEY_SIZE], const struct chain_link *link)
{
    uint8_t hash[CHAIN_HASH_SIZE];

    chain_hash(key, link->prev, link->covered, hash);
    bool same = CRYPTO_memcmp(hash, link->hash, sizeof(hash)) == 0;
    secret_wipe(hash, sizeof(hash)); /* a forged line has a right one, too */
    return same;
}

/* ---- a place ---- */

void chain_begin(
    struct chain_cursor *cursor, const uint8_t secret[CHAIN_KEY_SIZE], uint64_t epoch, uint64_t start)
{
    cursor->epoch = epoch;
    cursor->start = start;
    cursor->sequence = 1;
    chain_first_key(secret, epoch, start, cursor->key);
}

void chain_step(struct chain_cursor *cursor, const uint8_t hash[CHAIN_HASH_SIZE])
{
    chain_next_key(cursor->key, 1);
    memcpy(cursor->prev, hash, CHAIN_HASH_SIZE);
    cursor->sequence++;
}

static uint8_t *put(uint8_t *out, struct view text)
{
    memcpy(out, text.data, text.length);
    return out + text.length;
}

static uint8_t *put_hex(uint8_t *out, const uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        *out++ = (uint8_t)digits[bytes[i] >> 4];
        *out++ = (uint8_t)digits[bytes[i] & 15];
    }
    return out;
}

static uint8_t *put_decimal(uint8_t *out, uint64_t number)
{
    uint8_t digits[20], *at = digits + sizeof(digits);

    do
        *--at = (uint8_t)('0' + number % 10);
    while ((number /= 10) > 0);
    return put(out, view_of(at, (size_t)(digits + sizeof(digits) - at)));
}

void chain_seal(struct chain_cursor *cursor, struct buffer *lines, size_t from)
{
    uint8_t hash[CHAIN_HASH_SIZE], epoch[8];

    assert(buffer_length(lines) >= from + 2 && memcmp(lines->data + lines->end - 2, "}\n", 2) == 0);
    lines->end -= 2;
    uint8_t *at = buffer_reserve(lines, CHAIN_MEMBER_MAX); /* it may move what is in front */
    const uint8_t *line = lines->data + lines->start + from;
    put_number(epoch, cursor->epoch);
    at = put(at, member_epoch);
    at = put_hex(at, epoch, sizeof(epoch));
    at = put(at, member_start);
    at = put_decimal(at, cursor->start);
    at = put(at, member_prev);
    at = put_hex(at, cursor->prev, sizeof(cursor->prev));
    at = put(at, member_hash);
    chain_hash(cursor->key, cursor->prev, view_of(line, (size_t)(at - line) - member_hash.length + 1), hash);
    at = put_hex(at, hash, sizeof(hash));
    at = put(at, member_end);
    *at++ = '\n';
    lines->end = (size_t)(at - lines->data);
    chain_step(cursor, hash);
}

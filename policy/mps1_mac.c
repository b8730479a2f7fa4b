/* SPDX-License-Identifier: Apache-2.0 */
/* The MAC of a signature. OpenSSL's EVP_MAC allocates, locks and looks its hash up for each message; what a
 * verified message may cost is little more than its hash, so this is HMAC (RFC 2104) on OpenSSL's compression
 * functions, whose state behind the two paddings is computed once a key and copied for each message. */
#define OPENSSL_SUPPRESS_DEPRECATED /* SHA256_Init() and its kin: there is nothing else that can be copied   \
                                     */
#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include "base/memory.h"
#include "base/secret.h"
#include "policy/mps1.h"

#define BLOCK_MAX SHA512_CBLOCK

union state {
    SHA256_CTX small; /* HMAC-SHA-256 */
    SHA512_CTX large; /* the other two */
};
static_assert(sizeof(union state) <= sizeof(union mps1_key_state), "room for OpenSSL's state");

/* ---- the hash of an algorithm ---- */

static bool is_small(unsigned algorithm)
{
    return algorithm == MPS1_HMAC_SHA_256;
}

static size_t state_size(unsigned algorithm)
{
    return is_small(algorithm) ? sizeof(SHA256_CTX) : sizeof(SHA512_CTX);
}

static void begin(unsigned algorithm, union state *state)
{
    if (is_small(algorithm))
        SHA256_Init(&state->small);
    else if (algorithm == MPS1_HMAC_SHA_384)
        SHA384_Init(&state->large);
    else
        SHA512_Init(&state->large);
}

static void add(unsigned algorithm, union state *state, struct view bytes)
{
    if (bytes.length == 0)
        return;
    if (is_small(algorithm))
        SHA256_Update(&state->small, bytes.data, bytes.length);
    else
        SHA512_Update(&state->large, bytes.data, bytes.length); /* SHA-384's, too */
}

static void finish(unsigned algorithm, union state *state, uint8_t *digest)
{
    if (is_small(algorithm))
        SHA256_Final(digest, &state->small);
    else
        SHA512_Final(digest, &state->large); /* as long as Init said */
}

/* ---- keys ---- */

static void pad(union mps1_key_state *into, unsigned algorithm, const uint8_t *block, uint8_t with)
{
    size_t size = is_small(algorithm) ? SHA256_CBLOCK : SHA512_CBLOCK;
    uint8_t padded[BLOCK_MAX];
    union state state;

    for (size_t i = 0; i < size; i++)
        padded[i] = block[i] ^ with;
    begin(algorithm, &state);
    add(algorithm, &state, view_of(padded, size));
    memcpy(into, &state, sizeof(state));
    OPENSSL_cleanse(padded, sizeof(padded));
    OPENSSL_cleanse(&state, sizeof(state));
}

void mps1_key_init(struct mps1_key *key, unsigned algorithm, struct view secret)
{
    uint8_t block[BLOCK_MAX] = {0};
    union state state;

    assert(mps1_tag_size(algorithm) != 0);
    *key = (struct mps1_key){.algorithm = (uint8_t)algorithm};
    if (secret.length > (is_small(algorithm) ? SHA256_CBLOCK : SHA512_CBLOCK)) {
        begin(algorithm, &state);
        add(algorithm, &state, secret);
        finish(algorithm, &state, block);
        OPENSSL_cleanse(&state, sizeof(state));
    } else if (secret.length > 0) {
        memcpy(block, secret.data, secret.length);
    }
    pad(&key->inner, algorithm, block, 0x36);
    pad(&key->outer, algorithm, block, 0x5C);
    OPENSSL_cleanse(block, sizeof(block));
    secret_wipe_stack(); /* OpenSSL's assembly leaves there what it has hashed */
}

void mps1_key_wipe(struct mps1_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* ---- a message ---- */

/* The hash, and what it has not been given yet: a call of it costs as much as twenty bytes, and a message has
 * eleven pieces. */
struct input {
    union state state;
    unsigned algorithm;
    size_t length;
    uint8_t bytes[256]; /* the first length of them */
};

static void flush(struct input *input)
{
    add(input->algorithm, &input->state, view_of(input->bytes, input->length));
    input->length = 0;
}

static void put(struct input *input, struct view bytes)
{
    if (bytes.length > sizeof(input->bytes) - input->length)
        flush(input);
    if (bytes.length > sizeof(input->bytes)) {
        add(input->algorithm, &input->state, bytes);
    } else if (bytes.length > 0) {
        memcpy(input->bytes + input->length, bytes.data, bytes.length);
        input->length += bytes.length;
    }
}

/* With its length in front, L16. */
static void put_short(struct input *input, struct view part)
{
    const uint8_t length[2] = {(uint8_t)(part.length >> 8), (uint8_t)part.length};

    assert(part.length <= UINT16_MAX);
    put(input, view_of(length, sizeof(length)));
    put(input, part);
}

static void put_message(struct input *input, bool props, const struct mps1_message *message)
{
    static const struct view none = {NULL, 0};
    size_t length = message->payload.length;
    const uint8_t payload_length[4] = {
        (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length};

    assert(length <= UINT32_MAX);
    put_short(input, message->topic);
    put_short(input, props ? message->content_type : none);
    put_short(input, props ? message->response_topic : none);
    put_short(input, props ? message->correlation_data : none);
    put(input, view_of(payload_length, sizeof(payload_length)));
    put(input, message->payload);
}

void mps1_mac(const struct mps1_key *key, struct view covered, bool props, const struct mps1_message *message,
    uint8_t tag[MPS1_TAG_MAX])
{
    const size_t size = state_size(key->algorithm);
    struct input input;
    uint8_t inner[MPS1_TAG_MAX];

    input.algorithm = key->algorithm;
    input.length = 0;
    memcpy(&input.state, &key->inner, size);
    put(&input, covered);
    put_message(&input, props, message);
    flush(&input);
    finish(key->algorithm, &input.state, inner);
    memcpy(&input.state, &key->outer, size);
    add(key->algorithm, &input.state, view_of(inner, mps1_tag_size(key->algorithm)));
    finish(key->algorithm, &input.state, tag);
    OPENSSL_cleanse(&input.state, size);
}

void mps1_sign(const struct mps1_key *key, const struct mps1_message *message, struct mps1_header *header,
    uint8_t space[MPS1_HEADER_MAX])
{
    uint8_t tag[MPS1_TAG_MAX];

    mps1_write(header, space);
    mps1_mac(key, header->covered, (header->flags & MPS1_PROPS) != 0, message, tag);
    mps1_write_tag(header, space, tag);
}

bool mps1_verify(
    const struct mps1_key *key, const struct mps1_header *header, const struct mps1_message *message)
{
    uint8_t tag[MPS1_TAG_MAX];
    bool same;

    assert(header->algorithm == key->algorithm && header->tag.length == mps1_tag_size(key->algorithm));
    mps1_mac(key, header->covered, (header->flags & MPS1_PROPS) != 0, message, tag);
    same = CRYPTO_memcmp(tag, header->tag.data, header->tag.length) == 0;
    OPENSSL_cleanse(tag, header->tag.length); /* a forger's message has a right tag, too */
    return same;
}

/* ---- derived keys ---- */

void mps1_derive(struct view master, enum mps1_label label, unsigned algorithm, struct view kid,
    struct view sub, uint8_t secret[MPS1_TAG_MAX])
{
    static const struct view labels[] = {
        [MPS1_DEVICE] = VIEW("MPS1 device\0"), [MPS1_EGRESS_RECEIVER] = VIEW("MPS1 egress\0")};
    uint8_t info[16 + 1 + 1 + MPS1_KID_MAX + 1 + MPS1_SUB_MAX], *end = info;
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(hkdf);
    OSSL_PARAM params[4];

    assert(mps1_kid_valid(kid) && mps1_sub_valid(sub));
    memcpy(end, labels[label].data, labels[label].length);
    end += labels[label].length;
    *end++ = (uint8_t)algorithm;
    *end++ = (uint8_t)kid.length;
    memcpy(end, kid.data, kid.length);
    end += kid.length;
    *end++ = (uint8_t)sub.length;
    memcpy(end, sub.data, sub.length);
    end += sub.length;
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
    params[1] =
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)master.data, master.length);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, (size_t)(end - info));
    params[3] = OSSL_PARAM_construct_end();
    if (context == NULL || EVP_KDF_derive(context, secret, mps1_tag_size(algorithm), params) <= 0)
        memory_exhausted();
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(hkdf);
    secret_wipe_stack();
}

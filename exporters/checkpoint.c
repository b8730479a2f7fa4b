/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a checkpoint signs, the signature, and its verification. Called by chain_writer.c and by the
 * verification; the keys' files are checkpoint_key.c's. */
#include "exporters/checkpoint.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "exporters/checkpoint_private.h"

static uint8_t *put(uint8_t *out, const void *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return out + size;
}

static uint8_t *put_number(uint8_t *out, uint64_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        *out++ = (uint8_t)(number >> 8 * (width - 1 - i));
    return out;
}

size_t checkpoint_encode(const struct checkpoint *checkpoint, uint8_t out[CHECKPOINT_SIGNED_MAX])
{
    static const char label[] = "mqward-checkpoint-1";
    size_t previous = strnlen(checkpoint->previous, sizeof(checkpoint->previous));
    uint8_t *at = put(out, label, sizeof(label) - 1);

    at = put_number(at, checkpoint->epoch, 8);
    at = put_number(at, checkpoint->start, 8);
    at = put_number(at, checkpoint->sequence, 8);
    at = put(at, checkpoint->prev, sizeof(checkpoint->prev));
    at = put_number(at, previous, 2);
    at = put(at, checkpoint->previous, previous);
    at = put_number(at, checkpoint->events, 8);
    at = put_number(at, checkpoint->interval_events, 8);
    at = put_number(at, checkpoint->interval_seconds, 8);
    at = put_number(at, checkpoint->wall_us, 8);
    assert(at <= out + CHECKPOINT_SIGNED_MAX);
    return (size_t)(at - out);
}

int checkpoint_sign(const struct checkpoint_key *key, const struct checkpoint *checkpoint,
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE])
{
    uint8_t bytes[CHECKPOINT_SIGNED_MAX];
    size_t length = checkpoint_encode(checkpoint, bytes), size = CHECKPOINT_SIGNATURE_SIZE;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool signed_ = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key->pair) == 1 &&
                   EVP_DigestSign(context, signature, &size, bytes, length) == 1 &&
                   size == CHECKPOINT_SIGNATURE_SIZE;

    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return signed_ ? 0 : -1;
}

bool checkpoint_verify(const struct checkpoint_public *key, const struct checkpoint *checkpoint,
    const uint8_t signature[CHECKPOINT_SIGNATURE_SIZE])
{
    uint8_t bytes[CHECKPOINT_SIGNED_MAX];
    size_t length = checkpoint_encode(checkpoint, bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool valid = context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
                 EVP_DigestVerify(context, signature, CHECKPOINT_SIGNATURE_SIZE, bytes, length) == 1;

    EVP_MD_CTX_free(context);
    ERR_clear_error(); /* a bad signature leaves an entry there */
    return valid;
}

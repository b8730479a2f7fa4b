/* SPDX-License-Identifier: Apache-2.0 */
/* Signs MQTT messages (MPS1). The MAC is in mps1_openssl.c or mps1_mbedtls.c: take one of them. */
#ifndef MPS1_H
#define MPS1_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MPS1_RETAIN = 0x01, MPS1_WILL = 0x02, MPS1_SEQ = 0x04, MPS1_PROPS = 0x08 };
enum { MPS1_SHA_256 = 5, MPS1_SHA_384 = 6, MPS1_SHA_512 = 7 };
#define MPS1_HEADER_MAX 196
#define MPS1_PROPERTY_MAX 263 /* with the NUL */

struct mps1_message {
    uint8_t algorithm, flags;
    uint64_t t_ms;     /* since 1970 */
    uint8_t nonce[16]; /* random; with MPS1_SEQ: mps1_sequence() */
    const char *kid, *sub, *topic;
    const char *content_type, *response_topic; /* "" without MPS1_PROPS; so is the next */
    const void *correlation_data, *payload;
    size_t correlation_length, payload_length;
};

/* Writes the header; returns its length, or 0 after an error. In front of the payload it is the envelope. */
size_t mps1_sign(
    const void *key, size_t key_length, const struct mps1_message *message, uint8_t header[MPS1_HEADER_MAX]);

static inline uint8_t *mps1_number(uint8_t *out, unsigned size, uint64_t number)
{
    while (size-- > 0)
        *out++ = (uint8_t)(number >> 8 * size);
    return out;
}

static inline void mps1_sequence(uint8_t nonce[16], uint64_t epoch, uint64_t counter)
{
    mps1_number(mps1_number(nonce, 8, epoch), 8, counter);
}

/* The header up to the tag; returns its length. For mps1_sign(). */
static inline size_t mps1_covered(const struct mps1_message *message, uint8_t *header)
{
    size_t kid = strlen(message->kid), sub = strlen(message->sub), tag = 16u * message->algorithm - 48;
    uint8_t *end = header;

    if (kid > 32 || sub > 64 || message->algorithm < MPS1_SHA_256 || message->algorithm > MPS1_SHA_512)
        return 0;
    end = mps1_number(end, 4, 0xFF4D5053);
    end = mps1_number(end, 2, 0x0100u | message->algorithm);
    end = mps1_number(end, 2, 36 + kid + sub + tag);
    end = mps1_number(end, 1, message->flags);
    end = mps1_number(end, 8, message->t_ms);
    end = (uint8_t *)memcpy(end, message->nonce, 16) + 16;
    end = (uint8_t *)memcpy(mps1_number(end, 1, kid), message->kid, kid) + kid;
    end = (uint8_t *)memcpy(mps1_number(end, 1, sub), message->sub, sub) + sub;
    return (size_t)(mps1_number(end, 1, tag) - header);
}

/* Unpadded base64url, for the User Property. */
static inline void mps1_property(const uint8_t *header, size_t length, char text[MPS1_PROPERTY_MAX])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    int held = 0;

    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | header[i];
        for (held += 8; held >= 6; held -= 6)
            *text++ = letters[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *text++ = letters[bits << (6 - held) & 63];
    *text = '\0';
}

#endif

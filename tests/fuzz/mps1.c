/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures. The first byte chooses: an envelope; a User Property; a header made of what follows, signed,
 * and one of its bits flipped. What is read is what would be written, and no stranger's tag is right. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "policy/mps1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool condition)
{
    if (!condition)
        abort();
}

static void make_key(const struct mps1_header *header, struct mps1_key *key)
{
    uint8_t secret[MPS1_TAG_MAX];

    mps1_derive(VIEW("0123456789abcdef0123456789abcdef"), MPS1_DEVICE, header->algorithm, header->kid,
        header->sub, secret);
    mps1_key_init(key, header->algorithm, view_of(secret, mps1_tag_size(header->algorithm)));
}

/* A header that was read: the same fields give the same bytes. */
static void check_read(const struct mps1_header *read, const struct mps1_message *message)
{
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header again = *read;
    struct mps1_key key;

    mps1_write(&again, space);
    demand(again.length == read->length && view_equal(again.covered, read->covered));
    demand(read->covered.length + read->tag.length == read->length);
    make_key(read, &key);
    demand(!mps1_verify(&key, read, message));
    mps1_key_wipe(&key);
}

static void check_envelope(struct view payload)
{
    struct mps1_header header;
    const char *detail;
    enum reason reason = mps1_parse(payload, &header, &detail);

    demand((detail == NULL) == (reason == REASON_none));
    if (reason != REASON_none)
        return;
    demand(mps1_has_envelope(payload) && header.length <= payload.length);
    check_read(
        &header, &(struct mps1_message){.topic = VIEW("t"), .payload = view_skip(payload, header.length)});
}

static void check_property(struct view text)
{
    uint8_t space[MPS1_HEADER_MAX], encoded[MPS1_PROPERTY_MAX + 4];
    struct mps1_header header;
    const char *detail;

    if (mps1_parse_property(text, space, &header, &detail) != REASON_none)
        return;
    EVP_EncodeBlock(encoded, space, (int)header.length);
    demand(text.length == (header.length * 4 + 2) / 3);
    for (size_t i = 0; i < text.length; i++)
        demand(text.data[i] == (encoded[i] == '+' ? '-' : encoded[i] == '/' ? '_' : encoded[i]));
    check_read(&header, &(struct mps1_message){.topic = VIEW("t")});
}

/* data: which bit; algorithm, flags, time and nonce; topic and payload in one. */
static void check_flipped(struct view data)
{
    uint8_t space[MPS1_HEADER_MAX], tag[MPS1_TAG_MAX];
    struct mps1_header header = {.kid = VIEW("m25a"), .sub = VIEW("plc-7")}, read;
    struct mps1_message message = {.content_type = VIEW("a"), .response_topic = VIEW("b")};
    struct mps1_key key;
    const char *detail;
    size_t bit;

    if (data.length < 28)
        return;
    header.algorithm = (uint8_t)(5 + data.data[2] % 3);
    header.flags = data.data[3] & 0x1B; /* without SEQ any nonce is one */
    memcpy(&header.t_ms, data.data + 4, 8);
    memcpy(header.nonce, data.data + 12, MPS1_NONCE_SIZE);
    data.length = data.length > 60000 ? 60000 : data.length;
    message.topic = view_of(data.data + 28, (data.length - 28) / 2);
    message.payload = view_skip(data, 28 + message.topic.length);
    mps1_write(&header, space);
    make_key(&header, &key);
    mps1_mac(&key, header.covered, (header.flags & MPS1_PROPS) != 0, &message, tag);
    mps1_write_tag(&header, space, tag);
    demand(mps1_parse(view_of(space, header.length), &read, &detail) == REASON_none);
    demand(mps1_verify(&key, &read, &message));
    bit = ((size_t)data.data[0] << 8 | data.data[1]) % (header.length * 8);
    space[bit / 8] ^= (uint8_t)(1u << bit % 8);
    if (mps1_parse(view_of(space, header.length), &read, &detail) == REASON_none)
        demand(!mps1_verify(&key, &read, &message));
    mps1_key_wipe(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(struct view) = {check_envelope, check_property, check_flipped};

    if (size > 0)
        checks[data[0] % 3](view_of(data + 1, size - 1));
    return 0;
}

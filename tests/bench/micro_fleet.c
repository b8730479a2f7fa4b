/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the devices whose messages mqward-bench-signatures verifies. */
#include <assert.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "micro_signatures.h"

static struct keyring *make_keyring(void)
{
    static const uint8_t secret[32] = "\x8f\x1d\x4b\x7a\x90\xc3\xe6\x25\x58\xab\x0f\x77\x12\xde\x34\x9c"
                                      "\x6b\x05\xfe\x81\xa2\xd9\x43\x7c\x1e\x60\xb8\x95\x4d\xf2\xca\x37";
    const struct keyring_given given = {.entry = {.kid = "m25a",
                                            .type = KEYRING_MASTER,
                                            .algorithm = MPS1_HMAC_SHA_256,
                                            .not_after_ms = UINT64_MAX},
        .secret = view_of(secret, sizeof(secret))};

    return keyring_of(&given, 1);
}

static uint8_t *add(uint8_t *end, const void *bytes, size_t length)
{
    memcpy(end, bytes, length);
    return end + length;
}

/* What mps1_mac() hashes piece by piece; that the tags are the same is checked by whoever uses it. */
static void write_covered(
    struct device *device, const struct mps1_header *header, const struct mps1_message *message)
{
    const uint8_t topic_length[2] = {0, (uint8_t)message->topic.length};
    const uint8_t others[6 + 4] = {[9] = PAYLOAD_SIZE}; /* three empty properties, the payload's length */
    uint8_t *end = add(device->covered, header->covered.data, header->covered.length);

    end = add(end, topic_length, sizeof(topic_length));
    end = add(end, message->topic.data, message->topic.length);
    end = add(end, others, sizeof(others));
    end = add(end, message->payload.data, message->payload.length);
    device->covered_length = (size_t)(end - device->covered);
    assert(device->covered_length <= sizeof(device->covered));
}

/* Unpadded base64url; returns its length. */
static size_t write_text(char *text, struct view header)
{
    EVP_EncodeBlock((uint8_t *)text, header.data, (int)header.length);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return strcspn(text, "=");
}

static void write_carriers(struct device *device, struct view topic, struct view header)
{
    struct view sub = view_of_string(device->sub);
    struct view property = view_of(device->text, write_text(device->text, header));
    uint8_t *original = device->payload + header.length;

    memcpy(device->payload, header.data, header.length);
    device->in_envelope = (struct signature_message){
        .message = {.topic = topic, .payload = view_of(device->payload, header.length + PAYLOAD_SIZE)},
        .principal = sub};
    device->in_property =
        (struct signature_message){.message = {.topic = topic, .payload = view_of(original, PAYLOAD_SIZE)},
            .property_count = 1,
            .property = property,
            .principal = sub};
}

static void sign(struct fleet *fleet, struct device *device, size_t number)
{
    const struct keyring_entry *entry = keyring_entry(fleet->keyring, 0);
    struct view sub = view_of_string(device->sub), topic = view_of_string(device->topic);
    struct mps1_header header = {
        .algorithm = MPS1_HMAC_SHA_256, .t_ms = NOW_MS, .kid = VIEW("m25a"), .sub = sub};
    struct mps1_message message = {.topic = topic};
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_key key;

    memcpy(header.nonce, &number, sizeof(number));
    mps1_write(&header, space);
    message.payload = view_of(device->payload + header.length, PAYLOAD_SIZE);
    keyring_derive(entry, MPS1_DEVICE, header.kid, sub, device->secret);
    mps1_key_init(&key, header.algorithm, view_of(device->secret, mps1_tag_size(header.algorithm)));
    mps1_mac(&key, header.covered, false, &message, device->tag);
    mps1_write_tag(&header, space, device->tag);
    write_covered(device, &header, &message);
    write_carriers(device, topic, view_of(space, header.length));
}

struct fleet *fleet_new(void)
{
    struct fleet *fleet = memory_calloc(1, sizeof(*fleet));

    fleet->keyring = make_keyring();
    for (size_t i = 0; i < DEVICES; i++) {
        struct device *device = &fleet->devices[i];

        snprintf(device->sub, sizeof(device->sub), "plc-%05zu", i);
        snprintf(device->topic, sizeof(device->topic), "dt/a/plc-%05zu/temp", i);
        for (size_t j = 0; j < sizeof(device->payload); j++)
            device->payload[j] = (uint8_t)('a' + (i + j) % 26);
        sign(fleet, device, i);
    }
    return fleet;
}

void fleet_drop(struct fleet *fleet)
{
    assert(fleet->users > 0);
    if (--fleet->users > 0)
        return;
    keyring_release(fleet->keyring);
    free(fleet);
}

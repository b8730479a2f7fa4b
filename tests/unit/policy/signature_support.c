/* SPDX-License-Identifier: Apache-2.0 */
#include "signature_support.h"

#include <stdlib.h>

#include "mps1_support.h"

#define TOPIC "dt/a/plc-7/temp"

/* ---- keys ---- */

struct keyring *signature_make_keyring(void)
{
    static const struct view revoked[] = {VIEW("plc-9")};
    static const struct keyring_minimum minimums[] = {{VIEW("plc-3"), 2}};
#define MASTER(name, number, from, to)                                                                       \
    .entry = {                                                                                               \
        .kid = name,                                                                                         \
        .type = KEYRING_MASTER,                                                                              \
        .algorithm = number,                                                                                 \
        .not_before_ms = from,                                                                               \
        .not_after_ms = to                                                                                   \
    }
    struct keyring_given given[] = {
        {MASTER("m25a", MPS1_HMAC_SHA_256, 0, UINT64_MAX), .revoked = revoked, .minimums = minimums},
        {MASTER("old", MPS1_HMAC_SHA_256, 0, NOW)},
        {MASTER("next", MPS1_HMAC_SHA_256, NOW + 1, UINT64_MAX)},
        {MASTER("big", MPS1_HMAC_SHA_512, NOW, NOW + 1)},
        {MASTER("other", MPS1_HMAC_SHA_256, 0, UINT64_MAX)},
        {.entry = {.kid = "ops-1",
             .type = KEYRING_STATIC,
             .algorithm = MPS1_HMAC_SHA_256,
             .sub = VIEW("op:eva"),
             .not_after_ms = UINT64_MAX}},
    };
    given[0].entry.revoked_count = given[0].entry.minimum_count = 1;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        given[i].secret = mps1_secret();
    return keyring_of(given, sizeof(given) / sizeof(given[0]));
}

/* ---- a message ---- */

static size_t make_header(
    struct keyring *keyring, const struct attempt *attempt, uint8_t space[MPS1_HEADER_MAX])
{
    struct mps1_message message = {.topic = VIEW(TOPIC), .payload = VIEW(PAYLOAD)};
    struct mps1_header header = {
        .algorithm = (uint8_t)(attempt->algorithm == 0 ? MPS1_HMAC_SHA_256 : attempt->algorithm),
        .flags = (uint8_t)attempt->flags,
        .t_ms = attempt->clockless ? 0 : NOW - (uint64_t)attempt->age_ms,
        .nonce = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5},
        .kid = view_of_string(attempt->kid == NULL ? "m25a" : attempt->kid),
        .sub = view_of_string(attempt->sub == NULL ? "plc-7" : attempt->sub)};
    const struct keyring_entry *entry = keyring_find_kid(keyring, header.kid, NULL);
    const struct keyring_key *key;

    if (entry == NULL)
        entry = keyring_entry(keyring, 0);
    if ((attempt->flags & MPS1_PROPS) != 0) {
        message.content_type = VIEW("text/plain");
        message.response_topic = VIEW("rsp/a");
        message.correlation_data = VIEW("*");
    }
    key = keyring_take(keyring, entry, MPS1_DEVICE, header.kid, header.sub);
    mps1_sign(&key->key, &message, &header, space);
    keyring_put(key);
    space[4] = attempt->other_version ? 2 : space[4];
    space[5] = attempt->other_algorithm ? 9 : space[5];
    space[header.length - 1] ^= attempt->other_tag ? 1 : 0;
    return header.length;
}

static struct view join(struct view a, struct view b)
{
    uint8_t *bytes = malloc(a.length + b.length);

    memcpy(bytes, a.data, a.length);
    memcpy(bytes + a.length, b.data, b.length);
    return view_of(bytes, a.length + b.length);
}

struct packet signature_make_packet(struct keyring *keyring, const struct attempt *attempt)
{
    uint8_t space[MPS1_HEADER_MAX];
    char text[MPS1_PROPERTY_MAX + 4];
    size_t length = make_header(keyring, attempt, space);
    struct view header = view_of(space, attempt->cut ? length - 1 : length), none = VIEW("");
    bool property = attempt->property || attempt->both || attempt->twice;
    bool envelope = !attempt->no_carrier && (!attempt->property || attempt->both);
    bool properties = attempt->has_properties || (attempt->flags & MPS1_PROPS) != 0;
    struct packet packet = {
        .parts = {mps1_copy(VIEW(TOPIC)),
            attempt->cut && envelope ? mps1_copy(header) : join(envelope ? header : none, VIEW(PAYLOAD)),
            mps1_copy(properties ? VIEW("text/plain") : none), mps1_copy(properties ? VIEW("rsp/a") : none),
            mps1_copy(properties ? VIEW("*") : none)}};

    packet.parts[PART_PROPERTY] =
        mps1_copy(view_of((const uint8_t *)text, mps1_write_property(header, text)));
    packet.message = (struct signature_message){
        .message = {packet.parts[PART_TOPIC], packet.parts[PART_TYPE], packet.parts[PART_RESPONSE],
            packet.parts[PART_CORRELATION], packet.parts[PART_PAYLOAD]},
        .has_properties = properties,
        .property_count = attempt->no_carrier ? 0
                          : attempt->twice    ? 2
                                              : property,
        .property = packet.parts[PART_PROPERTY],
        .retain = attempt->retain,
        .will = attempt->will,
        .principal = view_of_string(attempt->principal == NULL ? "plc-7" : attempt->principal),
        .groups = attempt->groups,
        .group_words = attempt->groups == NULL ? 0 : 2};
    return packet;
}

void signature_free_packet(struct packet *packet)
{
    for (size_t i = 0; i < PARTS; i++)
        free((void *)(uintptr_t)packet->parts[i].data);
}

enum reason signature_verify_packet(struct keyring *keyring, const struct attempt *attempt,
    const struct packet *packet, struct signature_found *found)
{
    static const struct view keys[] = {VIEW("ops-1"), VIEW("m25a"), VIEW("old"), VIEW("next"), VIEW("big")};
    const struct signature_terms terms = {.keys = keys,
        .key_count = 5,
        .max_age_ms = 300000,
        .skew_ms = 60000,
        .replay = attempt->replay,
        .when_present = attempt->when_present,
        .relays = attempt->relay,
        .relay_count = attempt->relay != NULL};

    return signature_verify(keyring, &terms, attempt->place, &packet->message, NOW, found);
}

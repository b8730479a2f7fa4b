/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed header (section 2.1): where the next packet of a stream ends, and whether its type, flags and
 * size are allowed. Called by the connection for every packet of either direction; it keeps no state between
 * calls, so a stream may be cut anywhere. Also here: the table of faults and the names of packet types and
 * versions. */
#include "proxy/mqtt/codec.h"

#include <assert.h>

static const struct mqtt_error faults[FAULT_COUNT] = {
    [FAULT_none] = {REASON_none, "", ""},
#define FAULT(identifier, why, where, what) [FAULT_##identifier] = {REASON_##why, where, what},
#include "proxy/mqtt/fault.def"
#undef FAULT
};

enum mqtt_result codec_report(enum codec_fault fault, struct mqtt_error *error)
{
    assert(fault > FAULT_none && fault < FAULT_COUNT);
    if (error != NULL) {
        *error = faults[fault];
    }
    return MQTT_BAD;
}

/* Who may send a packet type. Bits, by direction and by whether the connection is 5.0. */
enum {
    CLIENT_3 = 1 << (MQTT_FROM_CLIENT * 2),
    CLIENT_5 = 2 << (MQTT_FROM_CLIENT * 2),
    SERVER_3 = 1 << (MQTT_FROM_SERVER * 2),
    SERVER_5 = 2 << (MQTT_FROM_SERVER * 2),
    CLIENT = CLIENT_3 | CLIENT_5,
    SERVER = SERVER_3 | SERVER_5,
    BOTH = CLIENT | SERVER
};

struct type_rule {
    const char *name;
    uint8_t senders;
    uint8_t bad_flags; /* enum codec_fault */
    uint16_t flags;    /* the values that the low four bits may have: bit = value */
    uint16_t flags_31; /* the same in 3.1, whose SUBSCRIBE, UNSUBSCRIBE and PUBREL may carry DUP */
};

#define ONLY(flags) (1u << (flags)), (1u << (flags))
#define TWO_OR_DUP (1u << 2), (1u << 2 | 1u << 10)
/* Any RETAIN; QoS 0 without DUP, QoS 1 and 2 with or without it. */
#define PUBLISH_FLAGS (3u << 0 | 3u << 2 | 3u << 4 | 3u << 10 | 3u << 12)

static const struct type_rule rules[16] = {
    [MQTT_CONNECT] = {"CONNECT", CLIENT, FAULT_flags_reserved, ONLY(0)},
    [MQTT_CONNACK] = {"CONNACK", SERVER, FAULT_flags_reserved, ONLY(0)},
    [MQTT_PUBLISH] = {"PUBLISH", BOTH, FAULT_publish_qos, PUBLISH_FLAGS, PUBLISH_FLAGS},
    [MQTT_PUBACK] = {"PUBACK", BOTH, FAULT_flags_reserved, ONLY(0)},
    [MQTT_PUBREC] = {"PUBREC", BOTH, FAULT_flags_reserved, ONLY(0)},
    [MQTT_PUBREL] = {"PUBREL", BOTH, FAULT_flags_pubrel, TWO_OR_DUP},
    [MQTT_PUBCOMP] = {"PUBCOMP", BOTH, FAULT_flags_reserved, ONLY(0)},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", CLIENT, FAULT_flags_subscribe, TWO_OR_DUP},
    [MQTT_SUBACK] = {"SUBACK", SERVER, FAULT_flags_reserved, ONLY(0)},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", CLIENT, FAULT_flags_unsubscribe, TWO_OR_DUP},
    [MQTT_UNSUBACK] = {"UNSUBACK", SERVER, FAULT_flags_reserved, ONLY(0)},
    [MQTT_PINGREQ] = {"PINGREQ", CLIENT, FAULT_flags_reserved, ONLY(0)},
    [MQTT_PINGRESP] = {"PINGRESP", SERVER, FAULT_flags_reserved, ONLY(0)},
    [MQTT_DISCONNECT] = {"DISCONNECT", CLIENT | SERVER_5, FAULT_flags_disconnect, ONLY(0)},
    [MQTT_AUTH] = {"AUTH", CLIENT_5 | SERVER_5, FAULT_flags_auth, ONLY(0)},
};

const char *mqtt_type_name(enum mqtt_type type)
{
    assert(type >= MQTT_CONNECT && type <= MQTT_AUTH);
    return rules[type].name;
}

const char *mqtt_version_name(enum mqtt_version version)
{
    static const char *const names[] = {[MQTT_V31] = "3.1", [MQTT_V311] = "3.1.1", [MQTT_V5] = "5.0"};
    assert(version >= MQTT_V31 && version <= MQTT_V5);
    return names[version];
}

/* Kept out of the usual path, which then needs neither stack nor saved registers. */
#define RARE __attribute__((noinline))

static inline bool is_allowed(
    const struct type_rule *rule, uint8_t flags, enum mqtt_direction direction, enum mqtt_version version)
{
    unsigned sender = (version == MQTT_V5 ? 2u : 1u) << (direction * 2);
    unsigned allowed = version == MQTT_V31 ? rule->flags_31 : rule->flags;
    return (rule->senders & sender) != 0 && (allowed >> flags & 1) != 0;
}

/* What is wrong with a first byte that is_allowed() refused. */
static enum codec_fault blame_first_byte(
    uint8_t type, uint8_t flags, enum mqtt_direction direction, enum mqtt_version version)
{
    const struct type_rule *rule = &rules[type];
    if (type == 0 || (type == MQTT_AUTH && version != MQTT_V5)) {
        return FAULT_type_reserved;
    }
    /* The type itself is allowed where its plainest flags would have been. */
    if (!is_allowed(rule, (rule->flags & 1) != 0 ? 0 : 2, direction, version)) {
        return direction == MQTT_FROM_CLIENT ? FAULT_type_from_client : FAULT_type_from_server;
    }
    if (type == MQTT_PUBLISH && (flags & 6) == 0) {
        return FAULT_publish_dup;
    }
    return (enum codec_fault)rule->bad_flags;
}

static RARE enum mqtt_result refuse_size(enum mqtt_direction direction, struct mqtt_error *error)
{
    return codec_report(
        direction == MQTT_FROM_CLIENT ? FAULT_size_from_client : FAULT_size_from_server, error);
}

/* The fixed header is whole: header bytes, with length bytes behind it. */
static inline enum mqtt_result finish(struct view input, enum mqtt_direction direction, size_t header,
    size_t length, size_t maximum, struct mqtt_frame *frame, struct mqtt_error *error)
{
    uint8_t first = input.data[0];
    size_t size = header + length;
    frame->size = size;
    if (size > maximum) {
        return refuse_size(direction, error);
    }
    if (size > input.length) {
        return MQTT_MORE;
    }
    frame->bytes = (struct view){input.data, size};
    frame->header_length = header;
    frame->type = first >> 4;
    frame->flags = first & 15;
    return MQTT_OK;
}

/* A Remaining Length that is incomplete or of more than one byte. */
static RARE enum mqtt_result finish_long(struct view input, enum mqtt_direction direction, size_t maximum,
    struct mqtt_frame *frame, struct mqtt_error *error)
{
    struct codec_reader reader = {input.data + 1, input.data + input.length};
    uint32_t length;
    enum codec_fault fault = codec_take_varint(&reader, &length);
    if (fault != FAULT_none) {
        return fault == FAULT_truncated ? MQTT_MORE : codec_report(fault, error);
    }
    return finish(input, direction, (size_t)(reader.at - input.data), length, maximum, frame, error);
}

/* The first byte is allowed: goes on to the Remaining Length. */
static inline enum mqtt_result take_length(struct view input, enum mqtt_direction direction, size_t maximum,
    struct mqtt_frame *frame, struct mqtt_error *error)
{
    if (input.length < 2 || input.data[1] >= 0x80) {
        return finish_long(input, direction, maximum, frame, error);
    }
    return finish(input, direction, 2, input.data[1], maximum, frame, error);
}

/* Any packet but a good PUBLISH. */
static RARE enum mqtt_result next_by_table(struct view input, enum mqtt_direction direction,
    enum mqtt_version version, size_t maximum, struct mqtt_frame *frame, struct mqtt_error *error)
{
    uint8_t type = input.data[0] >> 4, flags = input.data[0] & 15;
    if (!is_allowed(&rules[type], flags, direction, version)) {
        return codec_report(blame_first_byte(type, flags, direction, version), error);
    }
    return take_length(input, direction, maximum, frame, error);
}

enum mqtt_result mqtt_frame_next(struct view input, enum mqtt_direction direction, enum mqtt_version version,
    size_t maximum, struct mqtt_frame *frame, struct mqtt_error *error)
{
    frame->size = 0;
    if (input.length == 0) {
        return MQTT_MORE;
    }
    uint8_t type = input.data[0] >> 4, flags = input.data[0] & 15;
    /* A PUBLISH may come from either side in any version: its flags alone decide. */
    if (type != MQTT_PUBLISH || (PUBLISH_FLAGS >> flags & 1) == 0) {
        return next_by_table(input, direction, version, maximum, frame, error);
    }
    return take_length(input, direction, maximum, frame, error);
}

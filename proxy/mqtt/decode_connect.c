/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT (section 3.1). Called by mqtt_decode(). The packet names its own version, by protocol name and
 * level. */
#include "base/utf8.h"
#include "proxy/mqtt/codec.h"

enum connect_flag {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80
};

/* A bridge says so in bit 7 of the level, where its broker understands 3.x. */
#define LEVEL_BRIDGE 0x80

static const struct protocol {
    const char *name;
    uint8_t level;
} protocols[] = {
    {"MQIsdp", MQTT_V31},
    {"MQIsdp", MQTT_V31 | LEVEL_BRIDGE},
    {"MQTT", MQTT_V311},
    {"MQTT", MQTT_V311 | LEVEL_BRIDGE},
    {"MQTT", MQTT_V5},
};

static enum codec_fault take_protocol(struct codec_reader *reader, struct mqtt_connect *connect)
{
    struct view name;
    uint8_t level;
    if (!codec_take_string(reader, &name)) {
        return FAULT_truncated;
    }
    bool known = false;
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        known = known || view_equal_string(name, protocols[i].name);
    }
    if (!known) {
        return FAULT_protocol_name;
    }
    if (!codec_take_byte(reader, &level)) {
        return FAULT_truncated;
    }
    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (protocols[i].level == level && view_equal_string(name, protocols[i].name)) {
            connect->version = (enum mqtt_version)(level & ~LEVEL_BRIDGE);
            connect->bridge = (level & LEVEL_BRIDGE) != 0;
            return FAULT_none;
        }
    }
    return FAULT_protocol_level;
}

/* The connect flags (section 3.1.2.3 on). 3.1 says of the will's fields without a will that they are
 * disregarded, and of the reserved bit nothing: no client is known to set them, and brokers differ, so they
 * are refused there, too. */
static enum codec_fault check_flags(uint8_t flags, enum mqtt_version version)
{
    if ((flags & FLAG_RESERVED) != 0) {
        return FAULT_connect_reserved;
    }
    if ((flags & FLAG_WILL) == 0) {
        if ((flags & FLAG_WILL_QOS) != 0) {
            return FAULT_will_qos_without;
        }
        if ((flags & FLAG_WILL_RETAIN) != 0) {
            return FAULT_will_retain_without;
        }
    }
    if ((flags & FLAG_WILL_QOS) == FLAG_WILL_QOS) {
        return FAULT_will_qos;
    }
    bool password_alone = (flags & (FLAG_USERNAME | FLAG_PASSWORD)) == FLAG_PASSWORD;
    return password_alone && version != MQTT_V5 ? FAULT_password_without : FAULT_none;
}

/* 3.1 lets a server refuse identifiers of more than 23 characters. Brokers have long taken more, so that is
 * the policy's business. */
static enum codec_fault take_client_id(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_connect *connect)
{
    if (!codec_take_string(reader, &connect->client_id)) {
        return FAULT_truncated;
    }
    if (connect->client_id.length == 0) {
        if (context->version == MQTT_V31) {
            return FAULT_client_id_empty_31;
        }
        if (context->version == MQTT_V311 && !connect->clean_start) {
            return FAULT_client_id_empty_311;
        }
    }
    return codec_check_string(context, connect->client_id);
}

static enum codec_fault take_will(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_will *will)
{
    if (context->version == MQTT_V5) {
        enum codec_fault fault = codec_take_properties(context, reader, CODEC_IN_WILL, &will->properties);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    if (!codec_take_string(reader, &will->topic) || !codec_take_string(reader, &will->payload)) {
        return FAULT_truncated;
    }
    if (will->topic.length == 0) {
        return FAULT_topic_empty;
    }
    enum codec_fault fault = codec_check_name(will->topic, context->refuse_control_characters);
    if (fault != FAULT_none) {
        return fault;
    }
    bool text = mqtt_properties_number(&will->properties, MQTT_PAYLOAD_FORMAT_INDICATOR, 0) == 1;
    return text && !utf8_valid(will->payload) ? FAULT_will_utf8 : FAULT_none;
}

/* 3.1, section 3.1: the Remaining Length takes precedence over the flags of user name and password, so either
 * may be missing at the end of the packet although its flag is set. */
static bool is_absent(const struct codec_context *context, const struct codec_reader *reader)
{
    return context->version == MQTT_V31 && codec_remaining(reader) == 0;
}

static enum codec_fault take_credentials(const struct codec_context *context, struct codec_reader *reader,
    uint8_t flags, struct mqtt_connect *connect)
{
    if ((flags & FLAG_USERNAME) != 0 && !is_absent(context, reader)) {
        if (!codec_take_string(reader, &connect->username)) {
            return FAULT_truncated;
        }
        enum codec_fault fault = codec_check_string(context, connect->username);
        if (fault != FAULT_none) {
            return fault;
        }
        connect->has_username = true;
    }
    if ((flags & FLAG_PASSWORD) != 0 && !is_absent(context, reader)) {
        if (!codec_take_string(reader, &connect->password)) {
            return FAULT_truncated;
        }
        connect->has_password = true;
    }
    return codec_remaining(reader) == 0 ? FAULT_none : FAULT_trailing;
}

static enum codec_fault take_payload(const struct codec_context *context, struct codec_reader *reader,
    uint8_t flags, struct mqtt_connect *connect)
{
    enum codec_fault fault = FAULT_none;
    if (context->version == MQTT_V5) {
        fault = codec_take_properties(context, reader, CODEC_IN(MQTT_CONNECT), &connect->properties);
    }
    if (fault == FAULT_none) {
        fault = take_client_id(context, reader, connect);
    }
    if (fault == FAULT_none && connect->has_will) {
        fault = take_will(context, reader, &connect->will);
    }
    return fault != FAULT_none ? fault : take_credentials(context, reader, flags, connect);
}

enum codec_fault codec_decode_connect(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_connect *connect = &packet->u.connect;
    *connect = (struct mqtt_connect){.version = MQTT_V311};
    enum codec_fault fault = take_protocol(reader, connect);
    if (fault != FAULT_none) {
        return fault;
    }
    packet->version = connect->version;
    uint8_t flags;
    if (!codec_take_byte(reader, &flags)) {
        return FAULT_truncated;
    }
    fault = check_flags(flags, connect->version);
    if (fault != FAULT_none) {
        return fault;
    }
    if (!codec_take_u16(reader, &connect->keep_alive)) {
        return FAULT_truncated;
    }
    connect->clean_start = (flags & FLAG_CLEAN) != 0;
    connect->has_will = (flags & FLAG_WILL) != 0;
    connect->will.qos = (uint8_t)((flags & FLAG_WILL_QOS) >> 3);
    connect->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
    struct codec_context own = *context;
    own.version = connect->version;
    return take_payload(&own, reader, flags, connect);
}

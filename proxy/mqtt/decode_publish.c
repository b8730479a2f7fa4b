/* SPDX-License-Identifier: Apache-2.0 */
/* PUBLISH (section 3.3), the hot path: called by mqtt_decode() and, without the detour, by sessions for every
 * message of either direction. What is rare (properties, unusual topic names) is in functions of its own that
 * take no address of a local, so that the usual message is decoded in registers. */
#include "base/utf8.h"
#include "proxy/mqtt/codec.h"
#include "proxy/mqtt/plain.h"

#include <assert.h>

#define FLAG_DUP 0x08
#define FLAGS_QOS 0x06
#define FLAG_RETAIN 0x01

/* A broker may deliver what it did not validate (section 3.3.2.3.2), and closing a subscriber's connection
 * for that would let one bad retained message lock it out: only what clients send is held to its own claim.
 */
static enum codec_fault check_payload(enum mqtt_direction direction, const struct mqtt_publish *publish)
{
    if (direction == MQTT_FROM_SERVER) {
        return FAULT_none;
    }
    bool text = mqtt_properties_number(&publish->properties, MQTT_PAYLOAD_FORMAT_INDICATOR, 0) == 1;
    return text && !codec_is_plain(publish->payload) && !utf8_valid(publish->payload) ? FAULT_payload_utf8
                                                                                      : FAULT_none;
}

/* The end of a PUBLISH of 5.0: properties, what they say about topic and payload, and the payload. */
static __attribute__((noinline)) enum codec_fault take_properties(struct view rest,
    enum mqtt_direction direction, bool refuse_control_characters, struct mqtt_publish *publish)
{
    struct codec_context context = {direction, MQTT_V5, refuse_control_characters};
    struct codec_reader reader = codec_reader_of(rest);
    enum codec_fault fault =
        codec_take_properties(&context, &reader, CODEC_IN(MQTT_PUBLISH), &publish->properties);
    if (fault != FAULT_none) {
        return fault;
    }
    publish->topic_alias = (uint16_t)mqtt_properties_number(&publish->properties, MQTT_TOPIC_ALIAS, 0);
    if (publish->topic.length == 0 && publish->topic_alias == 0) {
        return FAULT_topic_missing;
    }
    publish->payload = (struct view){reader.at, codec_remaining(&reader)};
    return check_payload(direction, publish);
}

static inline __attribute__((always_inline)) enum codec_fault decode_publish(const struct mqtt_frame *frame,
    enum mqtt_direction direction, enum mqtt_version version, bool refuse_control_characters,
    struct mqtt_publish *publish)
{
    struct codec_reader reader = codec_body(frame);
    uint8_t flags = frame->flags;
    struct view topic;
    uint16_t packet_id = 0;
    if (!codec_take_string(&reader, &topic)) {
        return FAULT_truncated;
    }
    if (topic.length == 0 && version != MQTT_V5) {
        return FAULT_topic_empty;
    }
    if (topic.length > 0 && (!codec_is_plain(topic) || refuse_control_characters)) {
        enum codec_fault fault = codec_check_name(topic, refuse_control_characters);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    if ((flags & FLAGS_QOS) != 0) {
        if (!codec_take_u16(&reader, &packet_id)) {
            return FAULT_truncated;
        }
        if (packet_id == 0) {
            return direction == MQTT_FROM_CLIENT ? FAULT_packet_id_client : FAULT_packet_id_server;
        }
    }
    *publish = (struct mqtt_publish){
        .dup = (flags & FLAG_DUP) != 0,
        .retain = (flags & FLAG_RETAIN) != 0,
        .qos = (uint8_t)((flags & FLAGS_QOS) >> 1),
        .packet_id = packet_id,
        .topic = topic,
    };
    struct view rest = {reader.at, codec_remaining(&reader)};
    if (version == MQTT_V5) {
        if (rest.length == 0 || rest.data[0] != 0 || topic.length == 0) {
            return take_properties(rest, direction, refuse_control_characters, publish);
        }
        rest = (struct view){rest.data + 1, rest.length - 1}; /* a Property Length of 0 */
    }
    publish->payload = rest;
    return FAULT_none;
}

enum codec_fault codec_decode_publish(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    reader->at = reader->end;
    return decode_publish(&packet->frame, context->direction, context->version,
        context->refuse_control_characters, &packet->u.publish);
}

enum mqtt_result mqtt_decode_publish(const struct mqtt_frame *frame, enum mqtt_direction direction,
    enum mqtt_version version, const struct mqtt_options *options, struct mqtt_publish *publish,
    struct mqtt_error *error)
{
    assert(frame->type == MQTT_PUBLISH && version >= MQTT_V31 && version <= MQTT_V5);
    bool refuse_control_characters = options != NULL && options->refuse_control_characters;
    enum codec_fault fault = decode_publish(frame, direction, version, refuse_control_characters, publish);
    return fault == FAULT_none ? MQTT_OK : codec_report(fault, error);
}

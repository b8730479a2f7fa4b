/* SPDX-License-Identifier: Apache-2.0 */
/* From a frame to a packet: one table names each type's decoder. Called by sessions for every packet, and by
 * the command line and the fuzzers. The small packets (acknowledgements, pings, DISCONNECT, AUTH) are decoded
 * here, the larger ones in decode_connect.c, decode_publish.c and decode_subscribe.c. */
#include "proxy/mqtt/codec.h"

#include <assert.h>

static enum codec_fault at_end(const struct codec_reader *reader)
{
    return codec_remaining(reader) == 0 ? FAULT_none : FAULT_trailing;
}

static enum codec_fault take_properties(const struct codec_context *context, struct codec_reader *reader,
    enum mqtt_type type, struct mqtt_properties *properties)
{
    enum codec_fault fault = codec_take_properties(context, reader, CODEC_IN(type), properties);
    return fault != FAULT_none ? fault : at_end(reader);
}

/* What a code outside the table of its packet type is called. */
static enum codec_fault check_code(const struct codec_context *context, enum mqtt_type type, uint8_t code)
{
    static const uint8_t faults[] = {
        [MQTT_CONNACK] = FAULT_connack_code,
        [MQTT_PUBACK] = FAULT_puback_code,
        [MQTT_PUBREC] = FAULT_pubrec_code,
        [MQTT_PUBREL] = FAULT_pubrel_code,
        [MQTT_PUBCOMP] = FAULT_pubcomp_code,
        [MQTT_SUBACK] = FAULT_suback_code,
        [MQTT_UNSUBACK] = FAULT_unsuback_code,
        [MQTT_DISCONNECT] = FAULT_disconnect_code,
        [MQTT_AUTH] = FAULT_auth_code,
    };
    return codec_reason_allowed(type, context->direction, code) ? FAULT_none : (enum codec_fault)faults[type];
}

/* Byte 1 is reserved in 3.1. Its bit 0 is passed on all the same: brokers that answer all clients alike set
 * it. */
static enum codec_fault decode_connack(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_connack *connack = &packet->u.connack;
    *connack = (struct mqtt_connack){0};
    uint8_t flags;
    if (!codec_take_byte(reader, &flags) || !codec_take_byte(reader, &connack->code)) {
        return FAULT_truncated;
    }
    if ((flags & ~1u) != 0) {
        return FAULT_connack_flags;
    }
    connack->session_present = flags == 1;
    if (connack->session_present && connack->code != 0) {
        return FAULT_connack_session;
    }
    if (context->version != MQTT_V5) {
        return connack->code > 5 ? FAULT_connack_code_3 : at_end(reader);
    }
    enum codec_fault fault = check_code(context, MQTT_CONNACK, connack->code);
    return fault != FAULT_none ? fault : take_properties(context, reader, MQTT_CONNACK, &connack->properties);
}

/* The end of acknowledgements, DISCONNECT and AUTH in 5.0: a reason code and properties, both optional. */
static enum codec_fault take_outcome(const struct codec_context *context, struct codec_reader *reader,
    enum mqtt_type type, uint8_t *code, struct mqtt_properties *properties)
{
    if (codec_take_byte(reader, code)) {
        enum codec_fault fault = check_code(context, type, *code);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    return codec_remaining(reader) == 0 ? FAULT_none : take_properties(context, reader, type, properties);
}

static enum codec_fault decode_ack(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_ack *ack = &packet->u.ack;
    *ack = (struct mqtt_ack){0};
    if (!codec_take_u16(reader, &ack->packet_id)) {
        return FAULT_truncated;
    }
    if (ack->packet_id == 0) {
        return FAULT_packet_id_ack;
    }
    if (context->version != MQTT_V5) {
        return at_end(reader);
    }
    return take_outcome(context, reader, packet->type, &ack->code, &ack->properties);
}

/* 3.1 knows the granted QoS alone, yet 0x80 is accepted there: brokers send it to 3.1 clients, too, and a
 * session can still translate it. */
static enum codec_fault check_suback_codes(
    const struct codec_context *context, enum mqtt_type type, struct view codes)
{
    if (codes.length == 0) {
        return type == MQTT_SUBACK ? FAULT_suback_empty : FAULT_unsuback_empty;
    }
    for (size_t i = 0; i < codes.length; i++) {
        uint8_t code = codes.data[i];
        if (context->version != MQTT_V5) {
            if (code > 2 && code != 0x80) {
                return FAULT_suback_code_3;
            }
            continue;
        }
        enum codec_fault fault = check_code(context, type, code);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    return FAULT_none;
}

/* SUBACK and UNSUBACK. */
static enum codec_fault decode_suback(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_suback *suback = &packet->u.suback;
    *suback = (struct mqtt_suback){0};
    if (!codec_take_u16(reader, &suback->packet_id)) {
        return FAULT_truncated;
    }
    if (suback->packet_id == 0) {
        return FAULT_packet_id_suback;
    }
    if (context->version == MQTT_V5) {
        enum codec_fault fault =
            codec_take_properties(context, reader, CODEC_IN(packet->type), &suback->properties);
        if (fault != FAULT_none) {
            return fault;
        }
    } else if (packet->type == MQTT_UNSUBACK) {
        return at_end(reader);
    }
    codec_take_bytes(reader, codec_remaining(reader), &suback->codes);
    return check_suback_codes(context, packet->type, suback->codes);
}

static enum codec_fault decode_ping(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    (void)context;
    (void)packet;
    return at_end(reader);
}

static enum codec_fault decode_disconnect(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_disconnect *disconnect = &packet->u.disconnect;
    *disconnect = (struct mqtt_disconnect){0};
    if (context->version != MQTT_V5) {
        return at_end(reader);
    }
    return take_outcome(context, reader, MQTT_DISCONNECT, &disconnect->code, &disconnect->properties);
}

/* Section 3.15.2.2.2 demands an Authentication Method, section 3.15.2.1 lets a success without properties be
 * empty: the empty form, and only that one, has none. */
static enum codec_fault decode_auth(
    const struct codec_context *context, struct codec_reader *reader, struct mqtt_packet *packet)
{
    struct mqtt_disconnect *auth = &packet->u.auth;
    *auth = (struct mqtt_disconnect){0};
    if (codec_remaining(reader) == 0) {
        return check_code(context, MQTT_AUTH, 0);
    }
    enum codec_fault fault = take_outcome(context, reader, MQTT_AUTH, &auth->code, &auth->properties);
    if (fault == FAULT_none && !mqtt_properties_has(&auth->properties, MQTT_AUTHENTICATION_METHOD)) {
        return FAULT_authentication_method;
    }
    return fault;
}

static codec_decode *const decoders[] = {
    [MQTT_CONNECT] = codec_decode_connect,
    [MQTT_CONNACK] = decode_connack,
    [MQTT_PUBLISH] = codec_decode_publish,
    [MQTT_PUBACK] = decode_ack,
    [MQTT_PUBREC] = decode_ack,
    [MQTT_PUBREL] = decode_ack,
    [MQTT_PUBCOMP] = decode_ack,
    [MQTT_SUBSCRIBE] = codec_decode_subscribe,
    [MQTT_SUBACK] = decode_suback,
    [MQTT_UNSUBSCRIBE] = codec_decode_subscribe,
    [MQTT_UNSUBACK] = decode_suback,
    [MQTT_PINGREQ] = decode_ping,
    [MQTT_PINGRESP] = decode_ping,
    [MQTT_DISCONNECT] = decode_disconnect,
    [MQTT_AUTH] = decode_auth,
};

enum mqtt_result mqtt_decode(const struct mqtt_frame *frame, enum mqtt_direction direction,
    enum mqtt_version version, const struct mqtt_options *options, struct mqtt_packet *packet,
    struct mqtt_error *error)
{
    assert(frame->type >= MQTT_CONNECT && frame->type <= MQTT_AUTH);
    assert(frame->header_length >= 2 && frame->header_length <= frame->bytes.length);
    assert(frame->type == MQTT_CONNECT || (version >= MQTT_V31 && version <= MQTT_V5));
    struct codec_context context = codec_context_of(direction, version, options);
    struct codec_reader reader = codec_body(frame);
    packet->type = (enum mqtt_type)frame->type;
    packet->version = version; /* CONNECT's decoder puts its own */
    packet->frame = *frame;
    enum codec_fault fault = decoders[frame->type](&context, &reader, packet);
    return fault == FAULT_none ? MQTT_OK : codec_report(fault, error);
}

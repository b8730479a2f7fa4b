/* SPDX-License-Identifier: Apache-2.0 */
/* From a packet to bytes. Called where the proxy changes a packet or makes one up; what goes on unchanged is
 * sent as the bytes that came. Every packet is written twice by the same code, first only to count. */
#include "proxy/mqtt/codec.h"

#include <assert.h>

/* Where bytes go. at is NULL while they are only counted. */
struct writer {
    uint8_t *at;
    size_t length;
};

static void put_bytes(struct writer *writer, struct view bytes)
{
    if (writer->at != NULL && bytes.length > 0) {
        memcpy(writer->at, bytes.data, bytes.length);
        writer->at += bytes.length;
    }
    writer->length += bytes.length;
}

static void put_byte(struct writer *writer, unsigned byte)
{
    uint8_t value = (uint8_t)byte;
    put_bytes(writer, (struct view){&value, 1});
}

static void put_u16(struct writer *writer, unsigned number)
{
    put_byte(writer, number >> 8);
    put_byte(writer, number & 0xFF);
}

static void put_string(struct writer *writer, struct view string)
{
    assert(string.length <= CODEC_STRING_MAXIMUM);
    put_u16(writer, (unsigned)string.length);
    put_bytes(writer, string);
}

static void put_varint(struct writer *writer, size_t value)
{
    assert(value <= CODEC_VARINT_MAXIMUM);
    do {
        size_t rest = value >> 7;
        put_byte(writer, (unsigned)(value & 0x7F) | (rest > 0 ? 0x80u : 0u));
        value = rest;
    } while (value > 0);
}

static void put_properties(
    struct writer *writer, enum mqtt_version version, const struct mqtt_properties *properties)
{
    if (version == MQTT_V5) {
        put_varint(writer, properties->raw.length);
        put_bytes(writer, properties->raw);
    } else {
        assert(properties->raw.length == 0);
    }
}

/* The optional end of acknowledgements, DISCONNECT and AUTH, in its shortest form. */
static void put_outcome(
    struct writer *writer, enum mqtt_version version, uint8_t code, const struct mqtt_properties *properties)
{
    if (version != MQTT_V5) {
        return;
    }
    if (code != 0 || properties->raw.length > 0) {
        put_byte(writer, code);
    }
    if (properties->raw.length > 0) {
        put_properties(writer, version, properties);
    }
}

size_t mqtt_varint_size(uint32_t value)
{
    assert(value <= CODEC_VARINT_MAXIMUM);
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

void mqtt_varint_write(struct buffer *out, uint32_t value)
{
    struct writer writer = {buffer_reserve(out, mqtt_varint_size(value)), 0};
    put_varint(&writer, value);
    out->end += writer.length;
}

/* ---- one packet's body each ---- */

static unsigned connect_flags(const struct mqtt_connect *connect)
{
    unsigned flags = connect->clean_start ? 0x02 : 0;
    if (connect->has_will) {
        assert(connect->will.qos <= 2);
        flags |= 0x04 | (unsigned)connect->will.qos << 3 | (connect->will.retain ? 0x20 : 0);
    }
    assert(connect->has_username || !connect->has_password || connect->version == MQTT_V5);
    return flags | (connect->has_password ? 0x40 : 0) | (connect->has_username ? 0x80 : 0);
}

static void put_connect(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_connect *connect = &packet->u.connect;
    enum mqtt_version version = connect->version;
    assert(version == packet->version && !(connect->bridge && version == MQTT_V5));
    put_string(writer, version == MQTT_V31 ? VIEW("MQIsdp") : VIEW("MQTT"));
    put_byte(writer, (unsigned)version | (connect->bridge ? 0x80 : 0));
    put_byte(writer, connect_flags(connect));
    put_u16(writer, connect->keep_alive);
    put_properties(writer, version, &connect->properties);
    put_string(writer, connect->client_id);
    if (connect->has_will) {
        put_properties(writer, version, &connect->will.properties);
        put_string(writer, connect->will.topic);
        put_string(writer, connect->will.payload);
    }
    if (connect->has_username) {
        put_string(writer, connect->username);
    }
    if (connect->has_password) {
        put_string(writer, connect->password);
    }
}

static void put_connack(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_connack *connack = &packet->u.connack;
    assert(!connack->session_present || connack->code == 0);
    put_byte(writer, connack->session_present);
    put_byte(writer, connack->code);
    put_properties(writer, packet->version, &connack->properties);
}

static void put_publish(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_publish *publish = &packet->u.publish;
    assert(publish->qos <= 2 && (publish->qos > 0 || !publish->dup));
    assert((publish->qos > 0) == (publish->packet_id != 0));
    assert(publish->topic.length > 0 || publish->topic_alias > 0);
    assert((publish->topic_alias != 0) == mqtt_properties_has(&publish->properties, MQTT_TOPIC_ALIAS));
    put_string(writer, publish->topic);
    if (publish->qos > 0) {
        put_u16(writer, publish->packet_id);
    }
    put_properties(writer, packet->version, &publish->properties);
    put_bytes(writer, publish->payload);
}

static void put_ack(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_ack *ack = &packet->u.ack;
    assert(ack->packet_id != 0);
    put_u16(writer, ack->packet_id);
    put_outcome(writer, packet->version, ack->code, &ack->properties);
}

static void put_subscribe(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_subscribe *subscribe = &packet->u.subscribe;
    assert(subscribe->packet_id != 0 && subscribe->filters.length > 0);
    assert(subscribe->has_options == (packet->type == MQTT_SUBSCRIBE));
    put_u16(writer, subscribe->packet_id);
    put_properties(writer, packet->version, &subscribe->properties);
    put_bytes(writer, subscribe->filters);
}

static void put_suback(struct writer *writer, const struct mqtt_packet *packet)
{
    const struct mqtt_suback *suback = &packet->u.suback;
    assert(suback->packet_id != 0);
    put_u16(writer, suback->packet_id);
    put_properties(writer, packet->version, &suback->properties);
    if (packet->version == MQTT_V5 || packet->type == MQTT_SUBACK) {
        assert(suback->codes.length > 0);
        put_bytes(writer, suback->codes);
    }
}

static void put_nothing(struct writer *writer, const struct mqtt_packet *packet)
{
    (void)writer;
    (void)packet;
}

static void put_disconnect(struct writer *writer, const struct mqtt_packet *packet)
{
    put_outcome(writer, packet->version, packet->u.disconnect.code, &packet->u.disconnect.properties);
}

static void put_auth(struct writer *writer, const struct mqtt_packet *packet)
{
    assert(packet->version == MQTT_V5);
    put_outcome(writer, packet->version, packet->u.auth.code, &packet->u.auth.properties);
}

static const struct encoder {
    void (*put)(struct writer *writer, const struct mqtt_packet *packet);
    uint8_t flags; /* of the fixed header; PUBLISH has its own */
} encoders[] = {
    [MQTT_CONNECT] = {put_connect, 0},
    [MQTT_CONNACK] = {put_connack, 0},
    [MQTT_PUBLISH] = {put_publish, 0},
    [MQTT_PUBACK] = {put_ack, 0},
    [MQTT_PUBREC] = {put_ack, 0},
    [MQTT_PUBREL] = {put_ack, 2},
    [MQTT_PUBCOMP] = {put_ack, 0},
    [MQTT_SUBSCRIBE] = {put_subscribe, 2},
    [MQTT_SUBACK] = {put_suback, 0},
    [MQTT_UNSUBSCRIBE] = {put_subscribe, 2},
    [MQTT_UNSUBACK] = {put_suback, 0},
    [MQTT_PINGREQ] = {put_nothing, 0},
    [MQTT_PINGRESP] = {put_nothing, 0},
    [MQTT_DISCONNECT] = {put_disconnect, 0},
    [MQTT_AUTH] = {put_auth, 0},
};

static unsigned first_byte(const struct mqtt_packet *packet)
{
    unsigned flags = encoders[packet->type].flags;
    if (packet->type == MQTT_PUBLISH) {
        const struct mqtt_publish *publish = &packet->u.publish;
        flags = (publish->dup ? 8u : 0u) | (unsigned)publish->qos << 1 | publish->retain;
    }
    return (unsigned)packet->type << 4 | flags;
}

void mqtt_encode(const struct mqtt_packet *packet, struct buffer *out)
{
    assert(packet->type >= MQTT_CONNECT && packet->type <= MQTT_AUTH);
    assert(packet->version >= MQTT_V31 && packet->version <= MQTT_V5);
    const struct encoder *encoder = &encoders[packet->type];
    struct writer count = {NULL, 0};
    encoder->put(&count, packet);
    assert(count.length <= CODEC_VARINT_MAXIMUM);
    size_t size = 1 + mqtt_varint_size((uint32_t)count.length) + count.length;
    struct writer writer = {buffer_reserve(out, size), 0};
    put_byte(&writer, first_byte(packet));
    put_varint(&writer, count.length);
    encoder->put(&writer, packet);
    assert(writer.length == size);
    out->end += size;
}

/* ---- packets that the proxy makes up ---- */

void mqtt_encode_connack(struct buffer *out, enum mqtt_version version, bool session_present, uint8_t code)
{
    struct mqtt_packet packet = {.type = MQTT_CONNACK, .version = version};
    packet.u.connack.session_present = session_present;
    packet.u.connack.code = code;
    mqtt_encode(&packet, out);
}

void mqtt_encode_ack(
    struct buffer *out, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id, uint8_t code)
{
    assert(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP);
    struct mqtt_packet packet = {.type = type, .version = version};
    packet.u.ack.packet_id = packet_id;
    packet.u.ack.code = code;
    mqtt_encode(&packet, out);
}

void mqtt_encode_disconnect(struct buffer *out, enum mqtt_version version, uint8_t code)
{
    struct mqtt_packet packet = {.type = MQTT_DISCONNECT, .version = version};
    packet.u.disconnect.code = code;
    mqtt_encode(&packet, out);
}

void mqtt_encode_suback(
    struct buffer *out, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id, struct view codes)
{
    assert(type == MQTT_SUBACK || type == MQTT_UNSUBACK);
    struct mqtt_packet packet = {.type = type, .version = version};
    packet.u.suback.packet_id = packet_id;
    packet.u.suback.codes = codes;
    mqtt_encode(&packet, out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what micro.c measures of the codec: a packet found in the stream and decoded, as the general path does
 * it. The stream is as full of packets as a TLS record is when a batch arrives. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "micro.h"
#include "proxy/mqtt/mqtt.h"

#define RECORD 16384 /* bytes of the stream, about */
#define TIMES 4000
#define PACKET_MAX 65536

static const struct codec_case {
    const char *name;
    enum mqtt_type type;
    enum mqtt_version version;
    enum mqtt_direction from;
    uint8_t qos;
    bool properties;
    size_t size; /* of a PUBLISH the payload; of a SUBSCRIBE the number of filters */
} cases[] = {
    {"PUBLISH QoS 0, 64 B, 3.1.1, from client", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_CLIENT, 0, false, 64},
    {"PUBLISH QoS 0, 64 B, 3.1.1, from broker", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_SERVER, 0, false, 64},
    {"PUBLISH QoS 1, 64 B, 3.1.1, from client", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_CLIENT, 1, false, 64},
    {"PUBLISH QoS 1, 64 B, 3.1.1, from broker", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_SERVER, 1, false, 64},
    {"PUBLISH QoS 0, 64 B, 5.0, from client", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_CLIENT, 0, false, 64},
    {"PUBLISH QoS 0, 64 B, 5.0, from broker", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_SERVER, 0, false, 64},
    {"PUBLISH QoS 1, 64 B, 5.0, from client", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_CLIENT, 1, false, 64},
    {"PUBLISH QoS 1, 64 B, 5.0, from broker", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_SERVER, 1, false, 64},
    {"PUBLISH QoS 1, 64 B, 5.0, properties, from client", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_CLIENT, 1, true,
        64},
    {"PUBLISH QoS 1, 64 B, 5.0, properties, from broker", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_SERVER, 1, true,
        64},
    {"PUBLISH QoS 0, 1 KiB, 3.1.1, from client", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_CLIENT, 0, false, 1024},
    {"PUBLISH QoS 0, 1 KiB, 3.1.1, from broker", MQTT_PUBLISH, MQTT_V311, MQTT_FROM_SERVER, 0, false, 1024},
    {"PUBLISH QoS 1, 1 KiB, 5.0, properties, from client", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_CLIENT, 1, true,
        1024},
    {"PUBLISH QoS 1, 1 KiB, 5.0, properties, from broker", MQTT_PUBLISH, MQTT_V5, MQTT_FROM_SERVER, 1, true,
        1024},
    {"PUBACK, 3.1.1, from broker", MQTT_PUBACK, MQTT_V311, MQTT_FROM_SERVER, 0, false, 0},
    {"PUBACK, 5.0, from client", MQTT_PUBACK, MQTT_V5, MQTT_FROM_CLIENT, 0, false, 0},
    {"CONNECT, 3.1.1", MQTT_CONNECT, MQTT_V311, MQTT_FROM_CLIENT, 0, false, 0},
    {"CONNECT, 5.0, will and properties", MQTT_CONNECT, MQTT_V5, MQTT_FROM_CLIENT, 0, true, 0},
    {"SUBSCRIBE, 1 filter, 3.1.1", MQTT_SUBSCRIBE, MQTT_V311, MQTT_FROM_CLIENT, 0, false, 1},
    {"SUBSCRIBE, 10 filters, 5.0", MQTT_SUBSCRIBE, MQTT_V5, MQTT_FROM_CLIENT, 0, false, 10},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct stream {
    const struct codec_case *row;
    struct buffer bytes;
};

/* ---- running ---- */

static void decode(const struct codec_case *row, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_publish publish;
    struct mqtt_error error;

    if (row->type == MQTT_PUBLISH) {
        if (mqtt_decode_publish(frame, row->from, row->version, NULL, &publish, &error) != MQTT_OK ||
            publish.payload.length != row->size)
            abort();
    } else if (mqtt_decode(frame, row->from, row->version, NULL, &packet, &error) != MQTT_OK)
        abort();
}

static void run(void *context, size_t count)
{
    const struct stream *stream = context;
    const struct codec_case *row = stream->row;
    enum mqtt_version version = row->type == MQTT_CONNECT ? 0 : row->version;
    struct view input = {NULL, 0};
    struct mqtt_frame frame;
    struct mqtt_error error;

    for (size_t i = 0; i < count; i++) {
        if (input.length == 0)
            input = buffer_view(&stream->bytes);
        if (mqtt_frame_next(input, row->from, version, PACKET_MAX, &frame, &error) != MQTT_OK)
            abort();
        decode(row, &frame);
        input = view_skip(input, frame.bytes.length);
    }
}

static void destroy(void *context)
{
    struct stream *stream = context;

    buffer_release(&stream->bytes);
    free(stream);
}

/* ---- packets ---- */

static void fill_publish(const struct codec_case *row, struct mqtt_packet *packet, struct buffer *raw)
{
    static const uint8_t payload[1024];

    if (row->properties) {
        mqtt_property_write_string(raw, MQTT_CONTENT_TYPE, VIEW("application/json"));
        mqtt_property_write_number(raw, MQTT_MESSAGE_EXPIRY_INTERVAL, 3600);
        mqtt_property_write_pair(raw, VIEW("line"), VIEW("17"));
    }
    packet->u.publish = (struct mqtt_publish){.qos = row->qos,
        .packet_id = row->qos == 0 ? 0 : 4711,
        .topic = VIEW("bench/00042/data"),
        .properties = {.raw = buffer_view(raw)},
        .payload = view_of(payload, row->size)};
}

static void fill_connect(const struct codec_case *row, struct mqtt_packet *packet, struct buffer *raw)
{
    struct mqtt_connect *connect = &packet->u.connect;

    *connect = (struct mqtt_connect){.version = row->version,
        .clean_start = true,
        .has_username = true,
        .has_password = true,
        .keep_alive = 60,
        .client_id = VIEW("plc-00042"),
        .username = VIEW("plc-00042"),
        .password = VIEW("correct horse battery staple")};
    if (!row->properties)
        return;
    mqtt_property_write_number(raw, MQTT_SESSION_EXPIRY_INTERVAL, 3600);
    mqtt_property_write_number(raw, MQTT_RECEIVE_MAXIMUM, 100);
    mqtt_property_write_pair(raw, VIEW("line"), VIEW("17"));
    connect->properties.raw = buffer_view(raw);
    connect->has_will = true;
    connect->will = (struct mqtt_will){.topic = VIEW("st/a/plc-00042"), .payload = VIEW("gone"), .qos = 1};
}

static void fill_subscribe(const struct codec_case *row, struct mqtt_packet *packet, struct buffer *filters)
{
    for (size_t i = 0; i < row->size; i++) {
        static const char filter[] = "\0\x13"
                                     "cmd/a/plc-00042/+/#\x01";
        buffer_append(filters, view_of(filter, sizeof(filter) - 1));
    }
    packet->u.subscribe = (struct mqtt_subscribe){
        .packet_id = 1, .filters = buffer_view(filters), .count = row->size, .has_options = true};
}

static struct stream *new_stream(const struct codec_case *row)
{
    struct stream *stream = memory_calloc(1, sizeof(*stream));
    struct mqtt_packet packet = {.type = row->type, .version = row->version};
    struct buffer raw = {0};

    stream->row = row;
    if (row->type == MQTT_PUBLISH)
        fill_publish(row, &packet, &raw);
    else if (row->type == MQTT_CONNECT)
        fill_connect(row, &packet, &raw);
    else if (row->type == MQTT_SUBSCRIBE)
        fill_subscribe(row, &packet, &raw);
    else
        packet.u.ack = (struct mqtt_ack){.packet_id = 4711};
    do
        mqtt_encode(&packet, &stream->bytes);
    while (buffer_length(&stream->bytes) < RECORD);
    buffer_release(&raw);
    return stream;
}

size_t micro_codec(struct micro_subject *subjects, size_t max)
{
    assert(CASES <= max);
    for (size_t i = 0; i < CASES; i++) {
        subjects[i] = (struct micro_subject){"", run, NULL, destroy, new_stream(&cases[i]), TIMES};
        snprintf(subjects[i].name, sizeof(subjects[i].name), "%s", cases[i].name);
    }
    return CASES;
}

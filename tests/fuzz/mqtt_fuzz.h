/* SPDX-License-Identifier: Apache-2.0 */
/* What the two fuzz targets of the codec share: how the first byte of an input sets the connection, and what
 * must hold for every packet that the codec accepts. */
#ifndef MQWARD_TESTS_FUZZ_MQTT_FUZZ_H
#define MQWARD_TESTS_FUZZ_MQTT_FUZZ_H

#include <assert.h>

#include "proxy/mqtt/mqtt.h"

struct fuzz_connection {
    enum mqtt_direction direction;
    enum mqtt_version version;
    struct mqtt_options options;
};

static inline struct fuzz_connection fuzz_connection_of(uint8_t byte)
{
    return (struct fuzz_connection){(enum mqtt_direction)(byte & 1),
        (enum mqtt_version)(MQTT_V31 + (byte >> 1 & 3) % 3),
        {.refuse_control_characters = (byte >> 3 & 1) != 0}};
}

static inline bool fuzz_inside(struct view inner, struct view outer)
{
    return inner.length == 0 ||
           (inner.data >= outer.data && inner.data + inner.length <= outer.data + outer.length);
}

/* Every property and filter can be walked and lies inside the packet. */
static inline void fuzz_walk(const struct mqtt_packet *packet, const struct mqtt_properties *properties)
{
    struct mqtt_property_value value;
    uint64_t present = 0;
    for (size_t offset = 0; mqtt_properties_next(properties, &offset, &value);) {
        assert(fuzz_inside(value.raw, packet->frame.bytes) && fuzz_inside(value.string, value.raw));
        assert(fuzz_inside(value.value, value.raw) && mqtt_property_name(value.id) != NULL);
        present |= UINT64_C(1) << value.id;
    }
    assert(present == properties->present);
}

static inline void fuzz_walk_packet(const struct mqtt_packet *packet)
{
    if (packet->type == MQTT_SUBSCRIBE || packet->type == MQTT_UNSUBSCRIBE) {
        struct mqtt_filter filter;
        size_t count = 0;
        for (size_t offset = 0; mqtt_filter_next(&packet->u.subscribe, &offset, &filter); count++)
            assert(fuzz_inside(filter.filter, packet->frame.bytes));
        assert(count == packet->u.subscribe.count && count > 0);
        fuzz_walk(packet, &packet->u.subscribe.properties);
    } else if (packet->type == MQTT_CONNECT) {
        fuzz_walk(packet, &packet->u.connect.properties);
        fuzz_walk(packet, &packet->u.connect.will.properties);
    } else if (packet->type == MQTT_PUBLISH) {
        assert(fuzz_inside(packet->u.publish.topic, packet->frame.bytes));
        assert(fuzz_inside(packet->u.publish.payload, packet->frame.bytes));
        fuzz_walk(packet, &packet->u.publish.properties);
    }
}

/* An accepted packet encodes to bytes that decode to a packet that encodes to the same bytes; and to its own
 * bytes, unless its version has longer forms of the same. */
static inline void fuzz_check_packet(
    const struct fuzz_connection *connection, const struct mqtt_packet *packet)
{
    struct view original = packet->frame.bytes;
    struct buffer once = {0}, twice = {0};
    struct mqtt_packet again;
    struct mqtt_frame frame;
    struct mqtt_error error;
    fuzz_walk_packet(packet);
    mqtt_encode(packet, &once);
    struct view bytes = buffer_view(&once);
    assert(packet->version != MQTT_V311 || view_equal(bytes, original));
    assert(packet->version != MQTT_V5 || bytes.length < original.length || view_equal(bytes, original));
    assert(bytes.length <= original.length);
    enum mqtt_result result =
        mqtt_frame_next(bytes, connection->direction, packet->version, bytes.length, &frame, &error);
    assert(result == MQTT_OK && frame.bytes.length == bytes.length);
    result =
        mqtt_decode(&frame, connection->direction, packet->version, &connection->options, &again, &error);
    assert(result == MQTT_OK && again.type == packet->type && again.version == packet->version);
    mqtt_encode(&again, &twice);
    assert(view_equal(bytes, buffer_view(&twice)));
    buffer_release(&once);
    buffer_release(&twice);
}

#endif

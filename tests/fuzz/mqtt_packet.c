/* SPDX-License-Identifier: Apache-2.0 */
/* One packet: a byte that sets direction, version and options, then the packet's bytes. No crash, no read
 * beyond the end, an error for what is refused, and a faithful round trip for what is accepted. */
#include <assert.h>

#include "mqtt_fuzz.h"
#include "proxy/mqtt/plain_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is found plain is what decoding finds, and nothing plain is missed. */
static void check_plain_puback(const struct fuzz_connection *connection, struct view input)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    uint16_t packet_id = mqtt_plain_puback(input);

    if (packet_id == 0)
        return;
    assert(mqtt_frame_next(input, connection->direction, connection->version, SIZE_MAX, &frame, NULL) ==
           MQTT_OK);
    assert(frame.size == MQTT_PLAIN_PUBACK_SIZE);
    assert(mqtt_decode(&frame, connection->direction, connection->version, NULL, &packet, NULL) == MQTT_OK);
    assert(packet.type == MQTT_PUBACK && packet.u.ack.packet_id == packet_id && packet.u.ack.code == 0);
}

static void check_plain(const struct fuzz_connection *connection, struct view input)
{
    struct mqtt_plain_publish plain;
    struct mqtt_frame frame;
    struct mqtt_publish publish;
    bool found = mqtt_plain_publish(input, connection->version, &plain);
    enum mqtt_result framed =
        mqtt_frame_next(input, connection->direction, connection->version, SIZE_MAX, &frame, NULL);

    assert(!found || (framed == MQTT_OK && frame.size == plain.size && frame.type == MQTT_PUBLISH));
    if (framed != MQTT_OK || frame.type != MQTT_PUBLISH ||
        mqtt_decode_publish(&frame, connection->direction, connection->version, NULL, &publish, NULL) !=
            MQTT_OK)
        return;
    assert(found == ((frame.flags == 0 || frame.flags == 2) && frame.header_length <= 3 &&
                        publish.topic.length > 0 && publish.properties.raw.length == 0));
    if (found)
        assert(publish.topic.data == plain.topic.data && publish.topic.length == plain.topic.length &&
               publish.payload.length == plain.payload && publish.packet_id == plain.packet_id &&
               (publish.qos == 1) == (plain.packet_id != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct fuzz_connection connection = fuzz_connection_of(data[0]);
    struct view input = {data + 1, size - 1};
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_publish publish;
    struct mqtt_error error = {REASON_none, NULL, NULL};
    check_plain(&connection, input);
    check_plain_puback(&connection, input);
    enum mqtt_result result =
        mqtt_frame_next(input, connection.direction, connection.version, SIZE_MAX, &frame, &error);
    if (result == MQTT_OK) {
        assert(frame.size == frame.bytes.length && frame.size <= input.length && frame.header_length <= 5);
        result = mqtt_decode(
            &frame, connection.direction, connection.version, &connection.options, &packet, &error);
        assert(result != MQTT_MORE);
        if (frame.type == MQTT_PUBLISH)
            assert(mqtt_decode_publish(&frame, connection.direction, connection.version, &connection.options,
                       &publish, NULL) == result);
    }
    if (result == MQTT_OK)
        fuzz_check_packet(&connection, &packet);
    if (result == MQTT_BAD)
        assert(error.reason != REASON_none && error.statement[0] != 0 && error.text[0] != 0);
    return 0;
}

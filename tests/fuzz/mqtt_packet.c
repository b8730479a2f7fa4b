/* SPDX-License-Identifier: Apache-2.0 */
/* One packet: a byte that sets direction, version and options, then the packet's bytes. No crash, no read
 * beyond the end, an error for what is refused, and a faithful round trip for what is accepted. */
#include <assert.h>

#include "mqtt_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of one direction: a byte that sets direction, version and options, a byte that cuts the rest into
 * pieces, and the rest. The pieces give the same packets and the same errors as the whole. */
#include <assert.h>
#include <stdlib.h>

#include "mqtt_fuzz.h"

/* What came of a stream: a hash over every packet and error, and the bytes left over. */
struct outcome {
    uint64_t hash;
    size_t packets, left;
    enum mqtt_result last;
};

static void note(struct outcome *outcome, uint64_t value)
{
    outcome->hash = (outcome->hash ^ value) * 0x100000001B3u;
}

static enum mqtt_result take_packet(
    struct fuzz_connection *connection, struct view input, struct outcome *outcome, size_t *size)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_error error = {REASON_none, NULL, NULL};
    enum mqtt_result result =
        mqtt_frame_next(input, connection->direction, connection->version, 2048, &frame, &error);
    if (result == MQTT_OK) {
        result = mqtt_decode(
            &frame, connection->direction, connection->version, &connection->options, &packet, &error);
        *size = frame.size;
    }
    if (result == MQTT_OK) {
        fuzz_check_packet(connection, &packet);
        connection->version = packet.version;
        note(outcome, (uint64_t)packet.type << 32 | frame.size);
        outcome->packets++;
    } else if (result == MQTT_BAD) {
        note(outcome, (uint64_t)(uintptr_t)error.text);
    }
    return result;
}

/* Feeds the stream in pieces of 1 to limit bytes, or at once when limit is 0. Each call sees a copy of
 * exactly the bytes that have come so far. */
static struct outcome feed(struct fuzz_connection connection, struct view stream, size_t limit, uint32_t seed)
{
    struct outcome outcome = {0, 0, 0, MQTT_MORE};
    size_t start = 0, end = 0;
    while (end < stream.length && outcome.last != MQTT_BAD) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = limit == 0 ? stream.length : 1 + (seed >> 8) % limit;
        end = piece < stream.length - end ? end + piece : stream.length;
        do {
            size_t size = 0, length = end - start;
            uint8_t *copy = malloc(length);
            if (length > 0)
                memcpy(copy, stream.data + start, length);
            outcome.last = take_packet(&connection, (struct view){copy, length}, &outcome, &size);
            free(copy);
            start += outcome.last == MQTT_OK ? size : 0;
        } while (outcome.last == MQTT_OK);
    }
    outcome.left = outcome.last == MQTT_BAD ? 0 : stream.length - start;
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1500)
        return 0;
    struct fuzz_connection connection = fuzz_connection_of(data[0]);
    struct view stream = {data + 2, size - 2};
    struct outcome whole = feed(connection, stream, 0, data[1]);
    struct outcome pieces = feed(connection, stream, 1 + (data[1] & 63) * 8u, data[1]);
    assert(whole.hash == pieces.hash && whole.packets == pieces.packets);
    assert(whole.left == pieces.left && whole.last == pieces.last);
    return 0;
}

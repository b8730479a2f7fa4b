/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed header beyond the vectors: sizes and their maximum, versions, streams of packets in pieces. */
#include "vector.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static enum mqtt_result next(struct view bytes, enum mqtt_direction direction, enum mqtt_version version,
    size_t maximum, struct mqtt_frame *frame, struct mqtt_error *error)
{
    struct view copy = vector_copy(bytes);
    enum mqtt_result result = mqtt_frame_next(copy, direction, version, maximum, frame, error);
    free((void *)copy.data);
    return result;
}

Test(frame, a_packet_of_exactly_the_maximum_passes)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    struct view packet = VIEW("\x30\x05\x00\x01"
                              "abc");
    cr_expect_eq(next(packet, MQTT_FROM_CLIENT, MQTT_V311, 7, &frame, &error), MQTT_OK);
    cr_expect_eq(frame.size, 7);
    cr_expect_eq(frame.header_length, 2);
    cr_expect_eq(frame.type, MQTT_PUBLISH);
    cr_expect_eq(frame.flags, 0);
}

Test(frame, a_packet_above_the_maximum_is_bad_from_the_fixed_header_alone)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    cr_expect_eq(next(VIEW("\x30\x06"), MQTT_FROM_CLIENT, MQTT_V311, 7, &frame, &error), MQTT_BAD);
    cr_expect_eq(error.reason, REASON_packet_too_large);
    cr_expect_str_eq(error.statement, "MQTT-3.2.2-15");
    cr_expect_eq(frame.size, 8, "the size is known, for the report");
    cr_expect_eq(
        next(VIEW("\x30\xff\xff\xff\x7f"), MQTT_FROM_SERVER, MQTT_V5, 1000000, &frame, &error), MQTT_BAD);
    cr_expect_str_eq(error.statement, "MQTT-3.1.2-24");
    cr_expect_eq(frame.size, 268435460);
}

Test(frame, the_largest_packet_of_mqtt_is_awaited_when_allowed)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    cr_expect_eq(
        next(VIEW("\x30\xff\xff\xff\x7f"), MQTT_FROM_CLIENT, MQTT_V5, SIZE_MAX, &frame, &error), MQTT_MORE);
    cr_expect_eq(frame.size, 268435460);
}

Test(frame, an_unfinished_length_is_never_a_finished_one)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    static const struct view prefixes[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x30", 1},
        {(const uint8_t *)"\x30\x80", 2},
        {(const uint8_t *)"\x30\x80\x80", 3},
        {(const uint8_t *)"\x30\x80\x80\x80", 4},
        {(const uint8_t *)"\x30\xff\xff\xff", 4},
    };
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        frame.size = 77;
        cr_expect_eq(
            next(prefixes[i], MQTT_FROM_CLIENT, MQTT_V5, 10, &frame, &error), MQTT_MORE, "prefix %zu", i);
        cr_expect_eq(frame.size, 0, "prefix %zu", i);
    }
}

Test(frame, auth_is_unknown_before_connect)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    enum mqtt_version none = (enum mqtt_version)0;
    cr_expect_eq(next(VIEW("\xf0\x00"), MQTT_FROM_CLIENT, none, 100, &frame, &error), MQTT_BAD);
    cr_expect_eq(error.reason, REASON_malformed_packet);
    cr_expect_eq(next(VIEW("\xc0\x00"), MQTT_FROM_CLIENT, none, 100, &frame, &error), MQTT_OK);
    cr_expect_eq(next(VIEW("\x8a\x00"), MQTT_FROM_CLIENT, none, 100, &frame, &error), MQTT_BAD,
        "the DUP of 3.1 is granted once the version is known");
}

Test(frame, an_error_that_nobody_wants_is_left_out)
{
    struct mqtt_frame frame;
    cr_expect_eq(next(VIEW("\x00"), MQTT_FROM_CLIENT, MQTT_V5, 100, &frame, NULL), MQTT_BAD);
}

Test(frame, a_stream_in_pieces_gives_its_packets_in_order)
{
    struct buffer stream = {0};
    cr_assert(vector_packet("c000 30 ('a' 78*300) e000 32 ('b' 0007) c000", &stream));
    static const uint8_t types[] = {MQTT_PINGREQ, MQTT_PUBLISH, MQTT_DISCONNECT, MQTT_PUBLISH, MQTT_PINGREQ};
    for (size_t piece = 1; piece < buffer_length(&stream); piece++) {
        struct buffer received = {0};
        struct view left = buffer_view(&stream);
        size_t packets = 0;
        while (left.length > 0) {
            size_t take = piece < left.length ? piece : left.length;
            buffer_append(&received, (struct view){left.data, take});
            left = view_skip(left, take);
            struct mqtt_frame frame;
            struct mqtt_error error;
            while (mqtt_frame_next(buffer_view(&received), MQTT_FROM_CLIENT, MQTT_V311, 1000, &frame,
                       &error) == MQTT_OK) {
                cr_assert_lt(packets, 5);
                cr_expect_eq(frame.type, types[packets++]);
                buffer_consume(&received, frame.bytes.length);
            }
        }
        cr_expect_eq(packets, 5, "%zu packets in pieces of %zu", packets, piece);
        cr_expect_eq(buffer_length(&received), 0);
        buffer_release(&received);
    }
    buffer_release(&stream);
}

Test(frame, names_are_those_of_the_specification)
{
    cr_expect_str_eq(mqtt_type_name(MQTT_CONNECT), "CONNECT");
    cr_expect_str_eq(mqtt_type_name(MQTT_UNSUBACK), "UNSUBACK");
    cr_expect_str_eq(mqtt_type_name(MQTT_AUTH), "AUTH");
    cr_expect_str_eq(mqtt_version_name(MQTT_V31), "3.1");
    cr_expect_str_eq(mqtt_version_name(MQTT_V311), "3.1.1");
    cr_expect_str_eq(mqtt_version_name(MQTT_V5), "5.0");
}

/* Every first byte, against the tables of sections 2.1.2 and 2.1.3 written down as a rule. */
static bool first_byte_allowed(unsigned byte, enum mqtt_direction direction, enum mqtt_version version)
{
    unsigned type = byte >> 4, flags = byte & 15;
    static const char senders[] = "-CSBBBBBCSCSCSBB";
    char sender = senders[type];
    if (type == MQTT_DISCONNECT && version != MQTT_V5) {
        sender = 'C';
    }
    if (type == MQTT_AUTH && version != MQTT_V5) {
        sender = '-';
    }
    if (sender != 'B' && sender != (direction == MQTT_FROM_CLIENT ? 'C' : 'S')) {
        return false;
    }
    if (type == MQTT_PUBLISH) {
        return (flags & 6) != 6 && ((flags & 6) != 0 || (flags & 8) == 0);
    }
    if (type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE) {
        return flags == 2 || (version == MQTT_V31 && flags == 10);
    }
    return flags == 0;
}

Test(frame, every_first_byte_is_judged)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (int version = MQTT_V31; version <= MQTT_V5; version++) {
            for (int direction = MQTT_FROM_CLIENT; direction <= MQTT_FROM_SERVER; direction++) {
                uint8_t bytes[2] = {(uint8_t)byte, 0};
                struct mqtt_frame frame;
                struct mqtt_error error;
                enum mqtt_result expected =
                    first_byte_allowed(byte, (enum mqtt_direction)direction, (enum mqtt_version)version)
                        ? MQTT_OK
                        : MQTT_BAD;
                enum mqtt_result result = next(view_of(bytes, 2), (enum mqtt_direction)direction,
                    (enum mqtt_version)version, 100, &frame, &error);
                cr_expect_eq(
                    result, expected, "byte %02x, version %d, direction %d", byte, version, direction);
            }
        }
    }
}

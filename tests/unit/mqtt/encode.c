/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that the proxy makes up or changes, as bytes. */
#include "vector.h"

#include <criterion/criterion.h>
#include <signal.h>

/* Compares out with a packet's notation, and empties it. */
static void expect_bytes(struct buffer *out, const char *notation)
{
    struct buffer expected = {0};
    cr_assert(vector_packet(notation, &expected));
    cr_expect(view_equal(buffer_view(out), buffer_view(&expected)), "not %s", notation);
    buffer_release(&expected);
    buffer_release(out);
}

Test(encode, connack)
{
    struct buffer out = {0};
    mqtt_encode_connack(&out, MQTT_V311, false, 5);
    expect_bytes(&out, "20 (00 05)");
    mqtt_encode_connack(&out, MQTT_V31, true, 0);
    expect_bytes(&out, "20 (01 00)");
    mqtt_encode_connack(&out, MQTT_V5, false, 0x87);
    expect_bytes(&out, "20 (00 87 ())");
}

Test(encode, acknowledgements)
{
    struct buffer out = {0};
    mqtt_encode_ack(&out, MQTT_V311, MQTT_PUBACK, 0x102, 0x87);
    expect_bytes(&out, "40 (0102)");
    mqtt_encode_ack(&out, MQTT_V5, MQTT_PUBACK, 0x102, 0x87);
    expect_bytes(&out, "40 (0102 87)");
    mqtt_encode_ack(&out, MQTT_V5, MQTT_PUBREC, 0x102, 0);
    expect_bytes(&out, "50 (0102)");
    mqtt_encode_ack(&out, MQTT_V5, MQTT_PUBREL, 1, 0);
    expect_bytes(&out, "62 (0001)");
    mqtt_encode_ack(&out, MQTT_V31, MQTT_PUBCOMP, 1, 0);
    expect_bytes(&out, "70 (0001)");
}

Test(encode, disconnect)
{
    struct buffer out = {0};
    mqtt_encode_disconnect(&out, MQTT_V5, 0x8B);
    expect_bytes(&out, "e0 (8b)");
    mqtt_encode_disconnect(&out, MQTT_V5, 0);
    expect_bytes(&out, "e0 00");
    mqtt_encode_disconnect(&out, MQTT_V311, 0x8B);
    expect_bytes(&out, "e0 00");
}

Test(encode, suback_and_unsuback)
{
    struct buffer out = {0};
    mqtt_encode_suback(&out, MQTT_V5, MQTT_SUBACK, 7, VIEW("\0\x87"));
    expect_bytes(&out, "90 (0007 () 00 87)");
    mqtt_encode_suback(&out, MQTT_V311, MQTT_SUBACK, 7, VIEW("\1\x80"));
    expect_bytes(&out, "90 (0007 01 80)");
    mqtt_encode_suback(&out, MQTT_V5, MQTT_UNSUBACK, 7, VIEW("\x11"));
    expect_bytes(&out, "b0 (0007 () 11)");
    mqtt_encode_suback(&out, MQTT_V311, MQTT_UNSUBACK, 7, VIEW("\0"));
    expect_bytes(&out, "b0 (0007)");
}

Test(encode, appends_packet_to_packet)
{
    struct buffer out = {0};
    mqtt_encode_ack(&out, MQTT_V311, MQTT_PUBACK, 1, 0);
    mqtt_encode_ack(&out, MQTT_V311, MQTT_PUBACK, 2, 0);
    expect_bytes(&out, "40 (0001) 40 (0002)");
}

Test(encode, a_publish_with_a_property_added)
{
    struct buffer raw = {0}, out = {0};
    mqtt_property_write_pair(&raw, VIEW("mac"), VIEW("1234"));
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = MQTT_V5};
    packet.u.publish = (struct mqtt_publish){.qos = 1,
        .retain = true,
        .packet_id = 9,
        .topic = VIEW("a/b"),
        .payload = VIEW("hello"),
        .properties = {buffer_view(&raw), UINT64_C(1) << MQTT_USER_PROPERTY}};
    mqtt_encode(&packet, &out);
    expect_bytes(&out, "33 ('a/b' 0009 (26 'mac' '1234') \"hello\")");
    buffer_release(&raw);
}

Test(encode, a_subscribe_with_one_filter_left)
{
    struct buffer filters = {0}, out = {0};
    cr_assert(vector_packet("'b' 01", &filters));
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE, .version = MQTT_V311};
    packet.u.subscribe = (struct mqtt_subscribe){
        .packet_id = 3, .filters = buffer_view(&filters), .count = 1, .has_options = true};
    mqtt_encode(&packet, &out);
    expect_bytes(&out, "82 (0003 'b' 01)");
    buffer_release(&filters);
}

Test(encode, a_long_publish_needs_a_longer_fixed_header)
{
    static uint8_t payload[20000];
    struct buffer out = {0};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = MQTT_V311};
    packet.u.publish =
        (struct mqtt_publish){.topic = VIEW("a"), .payload = view_of(payload, sizeof(payload))};
    mqtt_encode(&packet, &out);
    expect_bytes(&out, "30 ('a' 00*20000)");
}

/* Fields that no decoder gives are a mistake of ours. */
Test(encode, asserts_that_a_publish_with_qos_has_a_packet_id, .signal = SIGABRT)
{
    struct buffer out = {0};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = MQTT_V311};
    packet.u.publish = (struct mqtt_publish){.qos = 1, .topic = VIEW("a")};
    mqtt_encode(&packet, &out);
}

Test(encode, asserts_that_3_x_has_no_properties, .signal = SIGABRT)
{
    struct buffer out = {0};
    struct mqtt_packet packet = {.type = MQTT_SUBACK, .version = MQTT_V311};
    packet.u.suback = (struct mqtt_suback){.packet_id = 1,
        .codes = VIEW("\0"),
        .properties = {VIEW("\x26\0\0\0\0"), UINT64_C(1) << MQTT_USER_PROPERTY}};
    mqtt_encode(&packet, &out);
}

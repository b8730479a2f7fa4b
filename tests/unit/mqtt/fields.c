/* SPDX-License-Identifier: Apache-2.0 */
/* What a decoder puts into the fields of a packet. */
#include "vector.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Bytes that live as long as the test's process. */
static struct mqtt_packet decoded(
    const char *notation, enum mqtt_direction direction, enum mqtt_version version)
{
    struct buffer bytes = {0};
    cr_assert(vector_packet(notation, &bytes));
    static struct view kept[4];
    static size_t count;
    cr_assert_lt(count, 4);
    kept[count] = vector_copy(buffer_view(&bytes));
    buffer_release(&bytes);
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    memset(&packet, 0xAA, sizeof(packet)); /* what is not set shows */
    struct mqtt_error error = {0};
    enum mqtt_version stream = (kept[count].data[0] >> 4) == MQTT_CONNECT ? (enum mqtt_version)0 : version;
    cr_assert_eq(
        mqtt_frame_next(kept[count], direction, stream, 100000, &frame, &error), MQTT_OK, "%s", error.text);
    cr_assert_eq(mqtt_decode(&frame, direction, version, NULL, &packet, &error), MQTT_OK, "%s", error.text);
    count++;
    return packet;
}

#define EXPECT_VIEW(view, text) cr_expect(view_equal_string((view), (text)), "%.*s", VIEW_ARGS(view))

Test(fields, of_connect_with_everything)
{
    struct mqtt_packet packet =
        decoded("10 ('MQTT' 05 ee 0102 (21 0014) 'me' (18 0000003c) 'will/t' 'gone' 'user' 'pw')",
            MQTT_FROM_CLIENT, MQTT_V5);
    const struct mqtt_connect *connect = &packet.u.connect;
    cr_expect_eq(packet.type, MQTT_CONNECT);
    cr_expect_eq(connect->version, MQTT_V5);
    cr_expect(connect->clean_start && connect->has_will && connect->has_username && connect->has_password);
    cr_expect_not(connect->bridge);
    cr_expect_eq(connect->keep_alive, 0x102);
    EXPECT_VIEW(connect->client_id, "me");
    EXPECT_VIEW(connect->username, "user");
    EXPECT_VIEW(connect->password, "pw");
    EXPECT_VIEW(connect->will.topic, "will/t");
    EXPECT_VIEW(connect->will.payload, "gone");
    cr_expect_eq(connect->will.qos, 1);
    cr_expect(connect->will.retain);
    cr_expect_eq(mqtt_properties_number(&connect->properties, MQTT_RECEIVE_MAXIMUM, 65535), 20);
    cr_expect_eq(mqtt_properties_number(&connect->will.properties, MQTT_WILL_DELAY_INTERVAL, 0), 60);
    cr_expect_not(mqtt_properties_has(&connect->properties, MQTT_WILL_DELAY_INTERVAL));
}

Test(fields, of_connect_with_little)
{
    struct mqtt_packet packet = decoded("10 ('MQIsdp' 83 00 0000 'me')", MQTT_FROM_CLIENT, MQTT_V5);
    const struct mqtt_connect *connect = &packet.u.connect;
    cr_expect_eq(packet.version, MQTT_V31, "the packet's own version, not the one that was passed");
    cr_expect(connect->bridge);
    cr_expect_not(
        connect->clean_start || connect->has_will || connect->has_username || connect->has_password);
    cr_expect_eq(connect->username.length + connect->password.length + connect->will.topic.length, 0);
    cr_expect_eq(connect->properties.raw.length, 0);
    cr_expect_eq(connect->properties.present, 0);
}

Test(fields, of_connect_whose_credentials_3_1_lets_be_missing)
{
    struct mqtt_packet packet = decoded("10 ('MQIsdp' 03 c2 0000 'me')", MQTT_FROM_CLIENT, MQTT_V31);
    cr_expect_not(packet.u.connect.has_username);
    cr_expect_not(packet.u.connect.has_password);
    packet = decoded("10 ('MQIsdp' 03 c2 0000 'me' 'user')", MQTT_FROM_CLIENT, MQTT_V31);
    cr_expect(packet.u.connect.has_username);
    cr_expect_not(packet.u.connect.has_password);
}

Test(fields, of_connack)
{
    struct mqtt_packet packet = decoded("20 (01 00 (12 'auto' 13 0078))", MQTT_FROM_SERVER, MQTT_V5);
    struct mqtt_property_value value;
    cr_expect(packet.u.connack.session_present);
    cr_expect_eq(packet.u.connack.code, 0);
    cr_assert(mqtt_properties_find(&packet.u.connack.properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER, &value));
    EXPECT_VIEW(value.string, "auto");
    packet = decoded("20 (00 05)", MQTT_FROM_SERVER, MQTT_V311);
    cr_expect_not(packet.u.connack.session_present);
    cr_expect_eq(packet.u.connack.code, 5);
    cr_expect_eq(packet.u.connack.properties.present, 0);
}

Test(fields, of_publish)
{
    struct mqtt_packet packet =
        decoded("3d ('a/b' 0102 (23 0304 01 01) \"hello\")", MQTT_FROM_CLIENT, MQTT_V5);
    const struct mqtt_publish *publish = &packet.u.publish;
    cr_expect(publish->dup && publish->retain);
    cr_expect_eq(publish->qos, 2);
    cr_expect_eq(publish->packet_id, 0x102);
    cr_expect_eq(publish->topic_alias, 0x304);
    EXPECT_VIEW(publish->topic, "a/b");
    EXPECT_VIEW(publish->payload, "hello");
    packet = decoded("30 ('a')", MQTT_FROM_SERVER, MQTT_V311);
    cr_expect_not(publish->dup || publish->retain);
    cr_expect_eq(publish->qos + publish->packet_id + publish->topic_alias, 0);
    cr_expect_eq(publish->payload.length, 0);
    cr_expect_eq(publish->properties.present, 0);
    cr_expect_eq(publish->properties.raw.length, 0);
}

Test(fields, of_publish_are_the_same_on_the_hot_path)
{
    struct mqtt_packet packet =
        decoded("3b ('a/b' 0102 (23 0304 26 'k' 'v') \"hello\")", MQTT_FROM_SERVER, MQTT_V5);
    const struct mqtt_publish *slow = &packet.u.publish;
    struct mqtt_publish fast;
    struct mqtt_error error;
    memset(&fast, 0xAA, sizeof(fast));
    cr_assert_eq(mqtt_decode_publish(&packet.frame, MQTT_FROM_SERVER, MQTT_V5, NULL, &fast, &error), MQTT_OK);
    cr_expect(fast.dup == slow->dup && fast.retain == slow->retain && fast.qos == slow->qos);
    cr_expect(fast.packet_id == slow->packet_id && fast.topic_alias == slow->topic_alias);
    cr_expect_eq(fast.topic.data, slow->topic.data);
    cr_expect_eq(fast.payload.data, slow->payload.data);
    cr_expect_eq(fast.payload.length, 5);
    cr_expect_eq(fast.properties.present, slow->properties.present);
    packet.frame.bytes.length -= 18;
    cr_expect_eq(
        mqtt_decode_publish(&packet.frame, MQTT_FROM_SERVER, MQTT_V5, NULL, &fast, &error), MQTT_BAD);
}

Test(fields, of_acknowledgements)
{
    struct mqtt_packet packet = decoded("50 (0102 87 (1f 'no'))", MQTT_FROM_SERVER, MQTT_V5);
    cr_expect_eq(packet.type, MQTT_PUBREC);
    cr_expect_eq(packet.u.ack.packet_id, 0x102);
    cr_expect_eq(packet.u.ack.code, 0x87);
    cr_expect(mqtt_properties_has(&packet.u.ack.properties, MQTT_REASON_STRING));
    packet = decoded("62 (0001)", MQTT_FROM_SERVER, MQTT_V5);
    cr_expect_eq(packet.u.ack.code, 0);
    cr_expect_eq(packet.u.ack.properties.present, 0);
}

Test(fields, of_subscribe)
{
    struct mqtt_packet packet =
        decoded("82 (0001 (0b 8001) 'a/+' 2d '$share/g/b' 01)", MQTT_FROM_CLIENT, MQTT_V5);
    const struct mqtt_subscribe *subscribe = &packet.u.subscribe;
    cr_expect_eq(subscribe->count, 2);
    cr_expect(subscribe->has_options);
    cr_expect_eq(mqtt_properties_number(&subscribe->properties, MQTT_SUBSCRIPTION_IDENTIFIER, 0), 128);
    struct mqtt_filter filter;
    size_t offset = 0;
    cr_assert(mqtt_filter_next(subscribe, &offset, &filter));
    EXPECT_VIEW(filter.filter, "a/+");
    cr_expect_eq(filter.options, 0x2d);
    cr_assert(mqtt_filter_next(subscribe, &offset, &filter));
    EXPECT_VIEW(filter.filter, "$share/g/b");
    cr_expect_eq(filter.options, 1);
    cr_expect_not(mqtt_filter_next(subscribe, &offset, &filter));
    cr_expect_not(mqtt_filter_next(subscribe, &offset, &filter), "the end is the end");
}

Test(fields, of_unsubscribe)
{
    struct mqtt_packet packet = decoded("a2 (0001 'a' 'bc')", MQTT_FROM_CLIENT, MQTT_V311);
    const struct mqtt_subscribe *unsubscribe = &packet.u.subscribe;
    struct mqtt_filter filter;
    size_t offset = 0, count = 0;
    cr_expect_eq(unsubscribe->count, 2);
    cr_expect_not(unsubscribe->has_options);
    while (mqtt_filter_next(unsubscribe, &offset, &filter)) {
        EXPECT_VIEW(filter.filter, count == 0 ? "a" : "bc");
        cr_expect_eq(filter.options, 0);
        count++;
    }
    cr_expect_eq(count, 2);
}

Test(fields, of_suback_and_unsuback)
{
    struct mqtt_packet packet = decoded("90 (0001 () 00 87 02)", MQTT_FROM_SERVER, MQTT_V5);
    cr_expect(view_equal(packet.u.suback.codes, VIEW("\0\x87\2")));
    packet = decoded("b0 (0102)", MQTT_FROM_SERVER, MQTT_V311);
    cr_expect_eq(packet.u.suback.packet_id, 0x102);
    cr_expect_eq(packet.u.suback.codes.length, 0);
}

Test(fields, of_disconnect_and_auth)
{
    struct mqtt_packet packet = decoded("e0 (04 (11 00000001))", MQTT_FROM_CLIENT, MQTT_V5);
    cr_expect_eq(packet.u.disconnect.code, 4);
    cr_expect_eq(mqtt_properties_number(&packet.u.disconnect.properties, MQTT_SESSION_EXPIRY_INTERVAL, 0), 1);
    packet = decoded("e0 00", MQTT_FROM_CLIENT, MQTT_V311);
    cr_expect_eq(packet.u.disconnect.code, 0);
    cr_expect_eq(packet.u.disconnect.properties.present, 0);
    packet = decoded("f0 (18 (15 'SCRAM' 16 <00>))", MQTT_FROM_SERVER, MQTT_V5);
    cr_expect_eq(packet.u.auth.code, 0x18);
    cr_expect(mqtt_properties_has(&packet.u.auth.properties, MQTT_AUTHENTICATION_DATA));
}

/* A refused PUBLISH may have been decoded in part: the error is what counts. */
Test(fields, of_an_error_name_reason_statement_and_text)
{
    struct buffer bytes = {0};
    cr_assert(vector_packet("30 ('a' (23 0000))", &bytes));
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_error error;
    cr_assert_eq(
        mqtt_frame_next(buffer_view(&bytes), MQTT_FROM_CLIENT, MQTT_V5, 100, &frame, &error), MQTT_OK);
    cr_assert_eq(mqtt_decode(&frame, MQTT_FROM_CLIENT, MQTT_V5, NULL, &packet, &error), MQTT_BAD);
    cr_expect_eq(error.reason, REASON_topic_alias_invalid);
    cr_expect_str_eq(error.statement, "MQTT-3.3.2-8");
    cr_expect_str_eq(error.text, "Topic Alias is 0");
    buffer_release(&bytes);
}

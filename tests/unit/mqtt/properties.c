/* SPDX-License-Identifier: Apache-2.0 */
/* Iterating over properties, finding one, writing new ones, copying without some. */
#include "vector.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define BIT(id) (UINT64_C(1) << (id))
#define EXPECT_VIEW(view, text) cr_expect(view_equal_string((view), (text)), "%.*s", VIEW_ARGS(view))

static struct buffer bytes;

/* The properties of a PUBLISH from a server. */
static struct mqtt_properties properties_of(const char *notation)
{
    char packet[512];
    snprintf(packet, sizeof(packet), "30 ('a' (%s))", notation);
    buffer_clear(&bytes);
    cr_assert(vector_packet(packet, &bytes));
    struct mqtt_frame frame;
    struct mqtt_publish publish;
    struct mqtt_error error = {0};
    cr_assert_eq(
        mqtt_frame_next(buffer_view(&bytes), MQTT_FROM_SERVER, MQTT_V5, 1000, &frame, &error), MQTT_OK);
    enum mqtt_result result = mqtt_decode_publish(&frame, MQTT_FROM_SERVER, MQTT_V5, NULL, &publish, &error);
    cr_assert_eq(result, MQTT_OK, "%s", error.text);
    return publish.properties;
}

static void release(void)
{
    buffer_release(&bytes);
}

TestSuite(properties, .fini = release);

Test(properties, are_read_in_their_order)
{
    struct mqtt_properties properties =
        properties_of("01 01 02 00010203 03 'text' 09 <00ff> 0b ffffff7f 23 0102 26 'k' 'v' 26 'k' ''");
    static const struct {
        enum mqtt_property id;
        uint32_t number;
        struct view string, value;
        size_t size;
    } expected[] = {
        {MQTT_PAYLOAD_FORMAT_INDICATOR, 1, {NULL, 0}, {NULL, 0}, 2},
        {MQTT_MESSAGE_EXPIRY_INTERVAL, 0x010203, {NULL, 0}, {NULL, 0}, 5},
        {MQTT_CONTENT_TYPE, 0, {(const uint8_t *)"text", 4}, {NULL, 0}, 7},
        {MQTT_CORRELATION_DATA, 0, {(const uint8_t *)"\0\xff", 2}, {NULL, 0}, 5},
        {MQTT_SUBSCRIPTION_IDENTIFIER, 268435455, {NULL, 0}, {NULL, 0}, 5},
        {MQTT_TOPIC_ALIAS, 0x0102, {NULL, 0}, {NULL, 0}, 3},
        {MQTT_USER_PROPERTY, 0, {(const uint8_t *)"k", 1}, {(const uint8_t *)"v", 1}, 7},
        {MQTT_USER_PROPERTY, 0, {(const uint8_t *)"k", 1}, {NULL, 0}, 6},
    };
    size_t offset = 0, count = 0;
    struct mqtt_property_value value;
    while (mqtt_properties_next(&properties, &offset, &value)) {
        cr_assert_lt(count, 8);
        cr_expect_eq(value.id, expected[count].id, "property %zu", count);
        cr_expect_eq(value.number, expected[count].number, "property %zu", count);
        cr_expect(view_equal(value.string, expected[count].string), "property %zu", count);
        cr_expect(view_equal(value.value, expected[count].value), "property %zu", count);
        cr_expect_eq(value.raw.length, expected[count].size, "property %zu", count);
        cr_expect_eq(value.raw.data[0], value.id, "property %zu", count);
        count++;
    }
    cr_expect_eq(count, 8);
    cr_expect_not(mqtt_properties_next(&properties, &offset, &value), "the end is the end");
}

Test(properties, none_at_all)
{
    struct mqtt_properties properties = properties_of("");
    struct mqtt_property_value value;
    size_t offset = 0;
    cr_expect_not(mqtt_properties_next(&properties, &offset, &value));
    cr_expect_not(mqtt_properties_find(&properties, MQTT_TOPIC_ALIAS, &value));
    cr_expect_eq(mqtt_properties_number(&properties, MQTT_TOPIC_ALIAS, 7), 7);
}

Test(properties, the_first_of_several_is_found)
{
    struct mqtt_properties properties = properties_of("23 0009 26 'a' '1' 0b 05 26 'b' '2' 0b 06");
    struct mqtt_property_value value;
    cr_assert(mqtt_properties_find(&properties, MQTT_USER_PROPERTY, &value));
    EXPECT_VIEW(value.string, "a");
    EXPECT_VIEW(value.value, "1");
    cr_expect_eq(mqtt_properties_number(&properties, MQTT_SUBSCRIPTION_IDENTIFIER, 0), 5);
    cr_expect(mqtt_properties_has(&properties, MQTT_TOPIC_ALIAS));
    cr_expect_not(mqtt_properties_has(&properties, MQTT_CONTENT_TYPE));
}

Test(properties, written_are_read_back)
{
    struct buffer out = {0};
    mqtt_property_write_number(&out, MQTT_PAYLOAD_FORMAT_INDICATOR, 0);
    mqtt_property_write_number(&out, MQTT_MESSAGE_EXPIRY_INTERVAL, 0xFEDCBA98);
    mqtt_property_write_number(&out, MQTT_TOPIC_ALIAS, 65535);
    mqtt_property_write_number(&out, MQTT_SUBSCRIPTION_IDENTIFIER, 16384);
    mqtt_property_write_string(&out, MQTT_RESPONSE_TOPIC, VIEW("r/t"));
    mqtt_property_write_string(&out, MQTT_CORRELATION_DATA, VIEW("\0\1"));
    mqtt_property_write_pair(&out, VIEW("name"), VIEW(""));
    struct buffer expected = {0};
    cr_assert(
        vector_packet("01 00 02 fedcba98 23 ffff 0b 808001 08 'r/t' 09 <0001> 26 'name' ''", &expected));
    cr_expect(view_equal(buffer_view(&out), buffer_view(&expected)));
    buffer_release(&out);
    buffer_release(&expected);
}

static void expect_copy(const struct mqtt_properties *properties, uint64_t without, const char *notation)
{
    struct buffer out = {0}, expected = {0};
    buffer_append_byte(&out, '!'); /* it appends */
    mqtt_properties_copy_without(&out, properties, without);
    buffer_consume(&out, 1);
    cr_assert(vector_packet(notation, &expected));
    cr_expect(view_equal(buffer_view(&out), buffer_view(&expected)), "without %llx: not %s",
        (unsigned long long)without, notation);
    buffer_release(&out);
    buffer_release(&expected);
}

Test(properties, are_copied_without_some)
{
    struct mqtt_properties properties = properties_of("23 0009 26 'a' '1' 0b 05 26 'b' '2' 01 00");
    expect_copy(&properties, 0, "23 0009 26 'a' '1' 0b 05 26 'b' '2' 01 00");
    expect_copy(&properties, BIT(MQTT_CONTENT_TYPE), "23 0009 26 'a' '1' 0b 05 26 'b' '2' 01 00");
    expect_copy(&properties, BIT(MQTT_TOPIC_ALIAS), "26 'a' '1' 0b 05 26 'b' '2' 01 00");
    expect_copy(&properties, BIT(MQTT_USER_PROPERTY), "23 0009 0b 05 01 00");
    expect_copy(&properties, BIT(MQTT_TOPIC_ALIAS) | BIT(MQTT_PAYLOAD_FORMAT_INDICATOR),
        "26 'a' '1' 0b 05 26 'b' '2'");
    expect_copy(&properties, UINT64_MAX, "");
}

Test(properties, have_names)
{
    cr_expect_str_eq(mqtt_property_name(MQTT_TOPIC_ALIAS), "Topic Alias");
    cr_expect_str_eq(mqtt_property_name(MQTT_SHARED_SUBSCRIPTION_AVAILABLE), "Shared Subscription Available");
    size_t count = 0;
    for (unsigned id = 0; id < 300; id++) {
        count += mqtt_property_name((enum mqtt_property)id) != NULL;
    }
    cr_expect_eq(count, 27);
    cr_expect_null(mqtt_property_name((enum mqtt_property)0));
    cr_expect_null(mqtt_property_name((enum mqtt_property)0x2B));
}

Test(properties, varints_have_their_shortest_size)
{
    static const struct {
        uint32_t value;
        size_t size;
    } rows[] = {
        {0, 1}, {127, 1}, {128, 2}, {16383, 2}, {16384, 3}, {2097151, 3}, {2097152, 4}, {268435455, 4}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out = {0};
        mqtt_varint_write(&out, rows[i].value);
        cr_expect_eq(mqtt_varint_size(rows[i].value), rows[i].size, "%u", rows[i].value);
        cr_expect_eq(buffer_length(&out), rows[i].size, "%u", rows[i].value);
        buffer_release(&out);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The plainest PUBLISH, by itself: what is one, what is none, at every cut. tests/fuzz/mqtt_packet.c holds it
 * against the decoder. */
#include <criterion/criterion.h>

#include "proxy/mqtt/plain_packet.h"

struct plain_case {
    const char *what;
    enum mqtt_version version;
    const char *bytes;
    size_t length;
    bool plain;
    size_t topic, payload;
};

#define BYTES(text) text, sizeof(text) - 1
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN

static const struct plain_case cases[] = {
    {"a topic and a payload", MQTT_V311,
        BYTES("\x30\x07\x00\x03"
              "a/bXY"),
        true, 3, 2},
    {"the same in 3.1", MQTT_V31,
        BYTES("\x30\x07\x00\x03"
              "a/bXY"),
        true, 3, 2},
    {"no payload", MQTT_V311,
        BYTES("\x30\x05\x00\x03"
              "a/b"),
        true, 3, 0},
    {"a length of two bytes", MQTT_V311,
        BYTES("\x30\x97\x01\x00\x01"
              "a" FIFTY FIFTY FIFTY TEN "12"),
        true, 1, 148},
    {"no properties in 5.0", MQTT_V5,
        BYTES("\x30\x06\x00\x03"
              "a/b\x00"),
        true, 3, 0},
    {"no properties in 5.0, a payload", MQTT_V5,
        BYTES("\x30\x08\x00\x03"
              "a/b\x00"
              "XY"),
        true, 3, 2},
    {"what follows is another's", MQTT_V311,
        BYTES("\x30\x05\x00\x03"
              "a/b\x30\x05"),
        true, 3, 0},
    {"QoS 1", MQTT_V311,
        BYTES("\x32\x07\x00\x03"
              "a/b\x00\x01"),
        true, 3, 0},
    {"QoS 1 in 5.0", MQTT_V5,
        BYTES("\x32\x0a\x00\x03"
              "a/b\x00\x01\x00XY"),
        true, 3, 2},
    {"QoS 1 with a packet id of 0", MQTT_V311,
        BYTES("\x32\x07\x00\x03"
              "a/b\x00\x00"),
        false, 0, 0},
    {"QoS 1 without a packet id", MQTT_V311,
        BYTES("\x32\x06\x00\x03"
              "a/b\x00"),
        false, 0, 0},
    {"QoS 2", MQTT_V311,
        BYTES("\x34\x07\x00\x03"
              "a/b\x00\x01"),
        false, 0, 0},
    {"retained", MQTT_V311,
        BYTES("\x31\x05\x00\x03"
              "a/b"),
        false, 0, 0},
    {"DUP", MQTT_V311,
        BYTES("\x38\x05\x00\x03"
              "a/b"),
        false, 0, 0},
    {"another type", MQTT_V311, BYTES("\xc0\x00\x00\x00\x00"), false, 0, 0},
    {"an empty topic", MQTT_V311, BYTES("\x30\x04\x00\x00XY"), false, 0, 0},
    {"an alias in place of a topic", MQTT_V5, BYTES("\x30\x06\x00\x00\x03\x23\x00\x01"), false, 0, 0},
    {"a property", MQTT_V5,
        BYTES("\x30\x08\x00\x03"
              "a/b\x02\x01\x00"),
        false, 0, 0},
    {"no property length", MQTT_V5,
        BYTES("\x30\x05\x00\x03"
              "a/b\x00"),
        false, 0, 0},
    {"a topic beyond the packet", MQTT_V311,
        BYTES("\x30\x05\x00\x04"
              "a/bXY"),
        false, 0, 0},
    {"a length for no topic length", MQTT_V311, BYTES("\x30\x01\x00\x00\x00"), false, 0, 0},
    {"a length that is longer than it need be", MQTT_V311,
        BYTES("\x30\x85\x00\x00\x03"
              "a/b"),
        false, 0, 0},
    {"a length of three bytes", MQTT_V311,
        BYTES("\x30\x80\x80\x01\x00\x03"
              "a/b"),
        false, 0, 0},
};

Test(plain, is_told_from_all_others)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct plain_case *c = &cases[i];
        const uint8_t *bytes = (const uint8_t *)c->bytes;
        struct mqtt_plain_publish found = {0};

        cr_expect_eq(
            mqtt_plain_publish(view_of(bytes, c->length), c->version, &found), c->plain, "%s", c->what);
        if (!c->plain)
            continue;
        cr_expect_eq(found.topic.length, c->topic, "%s", c->what);
        cr_expect_eq(found.payload, c->payload, "%s", c->what);
        cr_expect(
            found.topic.data + c->topic + c->payload + (c->version == MQTT_V5) + (found.packet_id != 0) * 2 ==
                bytes + found.size,
            "%s", c->what);
        for (size_t cut = 0; cut < found.size; cut++)
            cr_expect_not(
                mqtt_plain_publish(view_of(bytes, cut), c->version, &found), "%s, cut at %zu", c->what, cut);
    }
}

Test(plain, a_puback_is_told_by_its_four_bytes)
{
    static const uint8_t good[] = {0x40, 2, 0x12, 0x34, 0}, longer[] = {0x40, 3, 0, 1, 0},
                         other[] = {0x50, 2, 0, 1}, zero[] = {0x40, 2, 0, 0};

    cr_expect_eq(mqtt_plain_puback(view_of(good, 4)), 0x1234);
    cr_expect_eq(mqtt_plain_puback(view_of(good, 5)), 0x1234, "what follows is another's");
    for (size_t cut = 0; cut < 4; cut++)
        cr_expect_eq(mqtt_plain_puback(view_of(good, cut)), 0);
    cr_expect_eq(mqtt_plain_puback(view_of(longer, 5)), 0);
    cr_expect_eq(mqtt_plain_puback(view_of(other, 4)), 0);
    cr_expect_eq(mqtt_plain_puback(view_of(zero, 4)), 0);
}

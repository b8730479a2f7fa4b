/* SPDX-License-Identifier: Apache-2.0 */
/* Reason and return codes: all 256 of every packet that carries one, against the tables of the specification.
 */
#include "vector.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct table {
    const char *packet; /* notation, with the code's byte as %02x */
    enum mqtt_version version;
    enum mqtt_direction direction;
    const char *codes; /* hexadecimal, in the order of the specification's table */
};

static const struct table tables[] = {
    {"20 (00 %02x)", MQTT_V31, MQTT_FROM_SERVER, "00 01 02 03 04 05"},
    {"20 (00 %02x)", MQTT_V311, MQTT_FROM_SERVER, "00 01 02 03 04 05"},
    {"90 (0001 %02x)", MQTT_V31, MQTT_FROM_SERVER, "00 01 02 80"},
    {"90 (0001 %02x)", MQTT_V311, MQTT_FROM_SERVER, "00 01 02 80"},
    {"20 (00 %02x ())", MQTT_V5, MQTT_FROM_SERVER,
        "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"},
    {"40 (0001 %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 10 80 83 87 90 91 97 99"},
    {"40 (0001 %02x)", MQTT_V5, MQTT_FROM_CLIENT, "00 80 83 87 90 91 97 99"},
    {"50 (0001 %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 10 80 83 87 90 91 97 99"},
    {"50 (0001 %02x)", MQTT_V5, MQTT_FROM_CLIENT, "00 80 83 87 90 91 97 99"},
    {"62 (0001 %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 92"},
    {"62 (0001 %02x)", MQTT_V5, MQTT_FROM_CLIENT, "00 92"},
    {"70 (0001 %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 92"},
    {"70 (0001 %02x)", MQTT_V5, MQTT_FROM_CLIENT, "00 92"},
    {"90 (0001 () %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 01 02 80 83 87 8f 91 97 9e a1 a2"},
    {"b0 (0001 () %02x)", MQTT_V5, MQTT_FROM_SERVER, "00 11 80 83 87 8f 91"},
    {"e0 (%02x)", MQTT_V5, MQTT_FROM_CLIENT, "00 04 80 81 82 83 90 93 94 95 96 97 98 99"},
    {"e0 (%02x)", MQTT_V5, MQTT_FROM_SERVER,
        "00 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2"},
    {"f0 (%02x (15 'm'))", MQTT_V5, MQTT_FROM_CLIENT, "18 19"},
    {"f0 (%02x (15 'm'))", MQTT_V5, MQTT_FROM_SERVER, "00 18"},
};

static enum mqtt_result decode(const struct table *table, unsigned code)
{
    char notation[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(notation, sizeof(notation), table->packet, code);
#pragma GCC diagnostic pop
    struct buffer bytes = {0};
    cr_assert(vector_packet(notation, &bytes));
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct mqtt_error error;
    cr_assert_eq(
        mqtt_frame_next(buffer_view(&bytes), table->direction, table->version, 100, &frame, &error), MQTT_OK);
    enum mqtt_result result = mqtt_decode(&frame, table->direction, table->version, NULL, &packet, &error);
    if (result == MQTT_BAD) {
        cr_expect_eq(error.reason, REASON_protocol_error, "%s", notation);
    }
    buffer_release(&bytes);
    return result;
}

Test(codes, each_packet_takes_the_codes_of_its_table_and_no_other)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (unsigned code = 0; code < 256; code++) {
            char hex[3];
            snprintf(hex, sizeof(hex), "%02x", code);
            enum mqtt_result expected = strstr(tables[i].codes, hex) != NULL ? MQTT_OK : MQTT_BAD;
            cr_expect_eq(decode(&tables[i], code), expected, "code %s in %s, %s, from %s", hex,
                tables[i].packet, mqtt_version_name(tables[i].version),
                tables[i].direction == MQTT_FROM_CLIENT ? "client" : "server");
        }
    }
}

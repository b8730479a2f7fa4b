/* SPDX-License-Identifier: Apache-2.0 */
/* Every packet of tests/vectors/mqtt: whole, cut at every byte, re-encoded, with its body cut off. */
#include "vector.h"

#include "base/reason.h"

#include <criterion/criterion.h>
#include <stdlib.h>

/* Cuts of packets longer than this are tried at both ends only. */
#define LONG_PACKET 600

static enum mqtt_version stream_version(const struct vector *vector)
{
    bool connect = vector->packet.data[0] >> 4 == MQTT_CONNECT;
    return connect && vector->direction == MQTT_FROM_CLIENT ? (enum mqtt_version)0 : vector->version;
}

static enum mqtt_result next_frame(
    const struct vector *vector, struct view bytes, struct mqtt_frame *frame, struct mqtt_error *error)
{
    return mqtt_frame_next(bytes, vector->direction, stream_version(vector), SIZE_MAX, frame, error);
}

/* Frame and packet at once. */
static enum mqtt_result decode(const struct vector *vector, struct view bytes,
    const struct mqtt_options *options, struct mqtt_packet *packet, struct mqtt_error *error)
{
    struct mqtt_frame frame;
    enum mqtt_result result = next_frame(vector, bytes, &frame, error);
    if (result != MQTT_OK) {
        return result;
    }
    return mqtt_decode(&frame, vector->direction, vector->version, options, packet, error);
}

static const char *result_name(enum mqtt_result result)
{
    return (const char *const[]){"OK", "MORE", "BAD"}[result];
}

static void expect_bad(const struct vector *vector, enum mqtt_result result, const struct mqtt_error *error)
{
    cr_expect_eq(result, MQTT_BAD, "%s: %s instead of BAD", vector->label, result_name(result));
    if (result == MQTT_BAD) {
        const char *reason = reason_info(error->reason)->name;
        cr_expect_str_eq(reason, vector->reason, "%s: reason %s (%s)", vector->label, reason, error->text);
        cr_expect_str_eq(error->statement, vector->statement, "%s: statement %s (%s)", vector->label,
            error->statement, error->text);
    }
}

static void expect_ok(const struct vector *vector, enum mqtt_result result, const struct mqtt_error *error)
{
    cr_expect_eq(result, MQTT_OK, "%s: %s %s", vector->label, result_name(result),
        result == MQTT_BAD ? error->text : "");
}

static void visit_whole(const struct vector *vector, void *user)
{
    (void)user;
    struct mqtt_packet packet;
    struct mqtt_error error = {0};
    static const struct mqtt_options refuse = {.refuse_control_characters = true};
    enum mqtt_result result = decode(vector, vector->packet, NULL, &packet, &error);
    if (vector->result == VECTOR_BAD) {
        expect_bad(vector, result, &error);
        result = decode(vector, vector->packet, &refuse, &packet, &error);
        cr_expect_eq(result, MQTT_BAD, "%s: %s with the stricter option", vector->label, result_name(result));
        return;
    }
    expect_ok(vector, result, &error);
    if (result != MQTT_OK) {
        return;
    }
    cr_expect_eq(packet.version, vector->version, "%s: another version", vector->label);
    cr_expect_eq(packet.frame.bytes.length, vector->packet.length, "%s: another length", vector->label);
    result = decode(vector, vector->packet, &refuse, &packet, &error);
    if (vector->result == VECTOR_UNWISE) {
        cr_expect(result == MQTT_BAD && error.reason == REASON_control_characters, "%s: not refused",
            vector->label);
    } else {
        expect_ok(vector, result, &error);
    }
}

Test(vectors, every_packet_is_judged_as_the_specification_says)
{
    size_t count = vector_each(visit_whole, NULL);
    cr_expect_gt(count, 1000, "%zu vectors", count);
}

/* A prefix gives MORE, or already the BAD that the whole gives. */
static void check_prefix(const struct vector *vector, size_t length, size_t header_length)
{
    struct view prefix = vector_copy((struct view){vector->packet.data, length});
    struct mqtt_frame frame = {.size = 77};
    struct mqtt_error error;
    enum mqtt_result result = next_frame(vector, prefix, &frame, &error);
    if (result == MQTT_BAD && vector->result == VECTOR_BAD) {
        expect_bad(vector, result, &error);
    } else {
        cr_expect_eq(result, MQTT_MORE, "%s: %s after %zu bytes", vector->label, result_name(result), length);
        size_t size = header_length > 0 && length >= header_length ? vector->packet.length : 0;
        cr_expect_eq(frame.size, size, "%s: size %zu after %zu bytes", vector->label, frame.size, length);
    }
    free((void *)prefix.data);
}

static void visit_split(const struct vector *vector, void *user)
{
    (void)user;
    struct mqtt_frame frame;
    struct mqtt_error error;
    bool framed = next_frame(vector, vector->packet, &frame, &error) == MQTT_OK;
    for (size_t length = 0; length < vector->packet.length; length++) {
        if (length > LONG_PACKET / 2 && length + LONG_PACKET / 2 < vector->packet.length) {
            continue;
        }
        check_prefix(vector, length, framed ? frame.header_length : 0);
    }
    /* The bytes of the next packet behind it change nothing. */
    struct buffer more = {0};
    buffer_append(&more, vector->packet);
    buffer_append(&more, VIEW("\xff\xff"));
    struct mqtt_frame again;
    enum mqtt_result result = next_frame(vector, buffer_view(&more), &again, &error);
    if (framed) {
        cr_expect(
            result == MQTT_OK && again.bytes.length == vector->packet.length, "%s: reads on", vector->label);
    } else {
        cr_expect_eq(result, MQTT_BAD, "%s: MORE makes it good", vector->label);
    }
    buffer_release(&more);
}

Test(vectors, every_split_of_a_packet_gives_the_same_packet)
{
    vector_each(visit_split, NULL);
}

static void visit_round_trip(const struct vector *vector, void *user)
{
    (void)user;
    struct mqtt_packet packet;
    struct mqtt_error error;
    if (vector->result == VECTOR_BAD || decode(vector, vector->packet, NULL, &packet, &error) != MQTT_OK) {
        return;
    }
    struct buffer once = {0}, twice = {0};
    mqtt_encode(&packet, &once);
    if (vector->result != VECTOR_SHORT) {
        cr_expect(
            view_equal(buffer_view(&once), vector->packet), "%s: encodes to other bytes", vector->label);
    } else {
        cr_expect_not(view_equal(buffer_view(&once), vector->packet), "%s: is not short", vector->label);
        cr_expect_leq(buffer_length(&once), vector->packet.length, "%s: grows", vector->label);
    }
    struct mqtt_packet again;
    enum mqtt_result result = decode(vector, buffer_view(&once), NULL, &again, &error);
    expect_ok(vector, result, &error);
    if (result == MQTT_OK) {
        mqtt_encode(&again, &twice);
        cr_expect(view_equal(buffer_view(&once), buffer_view(&twice)), "%s: not stable", vector->label);
    }
    buffer_release(&once);
    buffer_release(&twice);
}

Test(vectors, a_decoded_packet_encodes_to_the_bytes_it_came_from)
{
    vector_each(visit_round_trip, NULL);
}

/* Decodes the body cut to length, behind a fixed header that says so. */
static void decode_cut(const struct vector *vector, struct view body, size_t length)
{
    struct buffer bytes = {0};
    buffer_append_byte(&bytes, vector->packet.data[0]);
    mqtt_varint_write(&bytes, (uint32_t)length);
    buffer_append(&bytes, (struct view){body.data, length});
    struct view exact = vector_copy(buffer_view(&bytes));
    struct mqtt_packet packet;
    struct mqtt_error error = {0};
    enum mqtt_result result = decode(vector, exact, NULL, &packet, &error);
    cr_expect_neq(result, MQTT_MORE, "%s: MORE of a body of %zu bytes", vector->label, length);
    cr_expect(
        result == MQTT_OK || (error.text != NULL && error.statement[0] != 0 && error.reason != REASON_none),
        "%s: BAD without an error", vector->label);
    free((void *)exact.data);
    buffer_release(&bytes);
}

static void visit_cut(const struct vector *vector, void *user)
{
    (void)user;
    struct mqtt_frame frame;
    struct mqtt_error error;
    if (next_frame(vector, vector->packet, &frame, &error) != MQTT_OK) {
        return;
    }
    struct view body = view_skip(vector->packet, frame.header_length);
    for (size_t length = 0; length < body.length; length++) {
        if (length < LONG_PACKET / 2 || length + LONG_PACKET / 2 > body.length) {
            decode_cut(vector, body, length);
        }
    }
}

Test(vectors, a_body_cut_off_anywhere_is_never_read_beyond_its_end)
{
    vector_each(visit_cut, NULL);
}

/* ---- every fault is met ---- */

static const struct {
    const char *name;
    const char *text;
} faults[] = {
#define FAULT(identifier, reason, statement, text) {#identifier, text},
#include "proxy/mqtt/fault.def"
#undef FAULT
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void visit_fault(const struct vector *vector, void *user)
{
    bool *met = user;
    static const struct mqtt_options refuse = {.refuse_control_characters = true};
    struct mqtt_packet packet;
    struct mqtt_error error;
    if (decode(vector, vector->packet, &refuse, &packet, &error) != MQTT_BAD) {
        return;
    }
    for (size_t i = 0; i < FAULTS; i++) {
        if (strcmp(faults[i].text, error.text) == 0) {
            met[i] = true;
        }
    }
}

/* Two rows can share a text, where only the statement differs. The sizes have a test in frame.c. */
Test(vectors, every_fault_of_the_codec_is_met)
{
    bool met[FAULTS] = {false};
    vector_each(visit_fault, met);
    for (size_t i = 0; i < FAULTS; i++) {
        bool elsewhere = strncmp(faults[i].name, "size_from_", 10) == 0;
        cr_expect(met[i] || elsewhere, "no vector meets the fault %s", faults[i].name);
    }
}

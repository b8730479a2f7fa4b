/* SPDX-License-Identifier: Apache-2.0 */
/* The encoding of events in rings: all fields, caps, damage. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "event.h"
#include "exporters/audit_fields.h"

static uint8_t record[AUDIT_EVENT_MAX];

Test(audit, every_field_comes_back)
{
    struct audit_event event = event_full(), back;
    size_t length = audit_event_encode(&event, record);

    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    cr_assert(event_equal(&event, &back));
}

Test(audit, absent_fields_take_no_room)
{
    struct audit_event event = {.action = AUDIT_proxy_started, .reason = REASON_started}, back;
    size_t length = audit_event_encode(&event, record);

    cr_assert_leq(length, 48);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    cr_assert(event_equal(&event, &back));
}

Test(audit, every_action_reason_and_disposition_comes_back)
{
    for (unsigned action = 0; action < AUDIT_ACTION_COUNT; action++) {
        for (unsigned reason = 0; reason < REASON_COUNT; reason++) {
            struct audit_event back, event = {.action = (enum audit_action)action,
                                         .reason = (enum reason)reason,
                                         .disposition = (enum audit_disposition)(reason % 7)};
            size_t length = audit_event_encode(&event, record);
            cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
            cr_assert(event_equal(&event, &back));
        }
    }
}

/* All texts of length bytes each. */
static struct audit_event event_with_texts(const uint8_t *bytes, size_t length)
{
    struct audit_event event = event_full();
    struct view text = view_of(bytes, length);

#define FIELD_TEXT(member) event.member = text;
#define FIELD_ROLES(member)                                                                                  \
    for (size_t i = 0; i < AUDIT_ROLES_MAX; i++)                                                             \
        event.member[i] = text;                                                                              \
    event.role_count = AUDIT_ROLES_MAX;
#define FIELD_ACTION(member)
#define FIELD_REASON(member)
#define FIELD_DISPOSITION(member)
#define FIELD_U8(member)
#define FIELD_U16(member) event.member = UINT16_MAX;
#define FIELD_U64(member) event.member = UINT64_MAX;
#define FIELD_FLAG(member) event.member = true;
#define FIELD_HASH(member)
#define FIELD(id, kind, member, cap) FIELD_##kind(member)
    AUDIT_FIELDS(FIELD)
#undef FIELD
    return event;
}

Test(audit, the_longest_event_fits_and_is_cut_with_a_mark)
{
    static uint8_t bytes[100000];
    struct audit_event back;

    memset(bytes, 'x', sizeof(bytes));
    struct audit_event event = event_with_texts(bytes, sizeof(bytes));
    size_t length = audit_event_encode(&event, record);
    cr_assert_leq(length, AUDIT_EVENT_MAX);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    json_t *document = event_document(&back);
    const char *topic = string_at(document, "mqtt.topic");
    cr_assert_eq(strlen(topic), AUDIT_CAP_topic + 3);
    cr_assert_str_eq(topic + AUDIT_CAP_topic, "\xE2\x80\xA6");
    json_decref(document);
}

Test(audit, a_cut_leaves_no_half_of_a_character_anywhere_in_the_document)
{
    for (size_t before = 0; before < 4; before++) {
        static uint8_t bytes[AUDIT_CAP_topic + 64];
        struct audit_event event = event_full(), back;

        memset(bytes, 't', before);
        for (size_t i = before; i + 4 <= sizeof(bytes); i += 4)
            memcpy(bytes + i, "\xF0\x9F\x90\x8D", 4);
        event.topic = view_of(bytes, sizeof(bytes) - 4);
        size_t length = audit_event_encode(&event, record);
        cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
        json_t *document = event_document(&back);
        cr_assert_null(strstr(string_at(document, "mqtt.topic"), "\xEF\xBF\xBD"));
        cr_assert_null(strstr(string_at(document, "message"), "\xEF\xBF\xBD"));
        json_decref(document);
    }
}

Test(audit, a_text_of_exactly_its_cap_is_not_cut)
{
    static uint8_t bytes[AUDIT_CAP_topic];
    struct audit_event event = event_full(), back;

    memset(bytes, 't', sizeof(bytes));
    event.topic = view_of(bytes, sizeof(bytes));
    size_t length = audit_event_encode(&event, record);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    json_t *document = event_document(&back);
    cr_assert_eq(strlen(string_at(document, "mqtt.topic")), AUDIT_CAP_topic);
    json_decref(document);
}

/* Whatever decodes is the one encoding of what it says. */
static void check_damaged(const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length > 0 ? length : 1); /* so that a read beyond the end is found */
    static uint8_t again[AUDIT_EVENT_MAX];
    struct audit_event back;

    memcpy(exact, bytes, length);
    if (audit_event_decode(view_of(exact, length), &back) == 0) {
        cr_assert_eq(audit_event_encode(&back, again), length);
        cr_assert_arr_eq(again, exact, length);
    }
    free(exact);
}

Test(audit, no_truncation_is_taken_for_an_event_with_other_bytes)
{
    struct audit_event event = event_full();
    size_t length = audit_event_encode(&event, record);

    for (size_t cut = 0; cut < length; cut++)
        check_damaged(record, cut);
}

Test(audit, no_bit_flip_crashes_or_decodes_to_something_else_than_it_says)
{
    struct audit_event event = event_full();
    size_t length = audit_event_encode(&event, record);

    for (size_t bit = 0; bit < length * 8; bit++) {
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        check_damaged(record, length);
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(audit, bytes_behind_an_event_make_it_damaged)
{
    struct audit_event event = event_full(), back;
    size_t length = audit_event_encode(&event, record);

    record[length] = 0;
    cr_assert_eq(audit_event_decode(view_of(record, length + 1), &back), -1);
    cr_assert_eq(audit_event_decode(view_of(record, 0), &back), -1);
    cr_assert_eq(audit_event_decode(view_of(record, 1), &back), -1);
}

Test(audit, an_event_of_another_version_is_not_one)
{
    struct audit_event event = event_full(), back;
    size_t length = audit_event_encode(&event, record);

    record[0]++;
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), -1);
}

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

/* What is left of a text of length bytes: all up to the cap, above it the cap and the mark of the cut. */
static void check_kept(const char *member, struct view text, size_t length, size_t cap)
{
    cr_expect_eq(
        text.length, length > cap ? cap + 1 : length, "%s of %zu bytes has %zu", member, length, text.length);
}

/* Every text of every field is length bytes long. */
static void check_caps(size_t length)
{
    static uint8_t bytes[64 * 1024];
    struct audit_event back;

    memset(bytes, 'x', sizeof(bytes));
    struct audit_event event = event_with_texts(view_of(bytes, length));
    size_t size = audit_event_encode(&event, record);
    cr_assert_leq(size, AUDIT_EVENT_MAX);
    cr_assert_eq(audit_event_decode(view_of(record, size), &back), 0);
#define CHECK_TEXT(member, cap) check_kept(#member, back.member, length, cap);
#define CHECK_LIST(member, cap)                                                                              \
    for (size_t i = 0; i < AUDIT_LIST_MAX; i++)                                                              \
        check_kept(#member, back.member[i], length, cap);
#define CHECK_U64(member, cap) cr_expect(back.member == UINT64_MAX);
#define CHECK_U16(member, cap)
#define CHECK_U8(member, cap)
#define CHECK_FLAG(member, cap) cr_expect(back.member);
#define CHECK_HASH(member, cap)
#define CHECK_ACTION(member, cap)
#define CHECK_REASON(member, cap)
#define CHECK_DISPOSITION(member, cap)
#define FIELD(id, kind, member, cap) CHECK_##kind(member, cap)
    AUDIT_FIELDS(FIELD)
#undef FIELD
}

Test(audit, every_text_is_kept_up_to_its_cap)
{
#define FIELD(id, kind, member, cap)                                                                         \
    if (AUDIT_CAP_##member > 0) {                                                                            \
        check_caps(AUDIT_CAP_##member);                                                                      \
        check_caps(AUDIT_CAP_##member + 1);                                                                  \
    }
    AUDIT_FIELDS(FIELD)
#undef FIELD
    check_caps(1);
    check_caps((size_t)64 * 1024);
}

Test(audit, the_longest_event_fits_and_is_cut_with_a_mark)
{
    static uint8_t bytes[100000];
    struct audit_event back;

    memset(bytes, 'x', sizeof(bytes));
    struct audit_event event = event_with_texts(view_of(bytes, sizeof(bytes)));
    size_t length = audit_event_encode(&event, record);
    cr_assert_leq(length, AUDIT_EVENT_MAX);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    json_t *document = event_document(&back);
    const char *topic = string_at(document, "mqtt.topic");
    cr_assert_eq(strlen(topic), AUDIT_CAP_topic);
    cr_assert_str_eq(topic + AUDIT_CAP_topic - 3, "\xE2\x80\xA6");
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

Test(audit, an_empty_text_of_a_list_is_left_out)
{
    struct audit_event event = event_full(), back;

    for (uint8_t i = 0; i < AUDIT_YARA_MAX; i++)
        event.yara_tags[i] = i % 2 == 0 ? VIEW("even") : (struct view){0};
    event.yara_tag_count = AUDIT_YARA_MAX;
    size_t length = audit_event_encode(&event, record);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    cr_assert_eq(back.yara_tag_count, AUDIT_YARA_MAX / 2);
    cr_assert(view_equal_string(back.yara_tags[AUDIT_YARA_MAX / 2 - 1], "even"));
}

/* A record whose last field is a list of count texts. */
static int decode_list(uint8_t count, uint8_t text_length, struct audit_event *back)
{
    struct audit_event event = {.action = AUDIT_proxy_started, .reason = REASON_started};
    size_t length = audit_event_encode(&event, record);

    record[length++] = 69; /* yara_tags */
    record[length++] = count;
    for (uint8_t i = 0; i < count; i++) {
        record[length++] = text_length;
        record[length++] = 0;
        memset(record + length, 'x', text_length);
        length += text_length;
    }
    return audit_event_decode(view_of(record, length), back);
}

Test(audit, a_list_longer_than_its_place_or_of_nothing_is_damaged)
{
    struct audit_event back;

    cr_assert_eq(decode_list(AUDIT_LIST_MAX, AUDIT_CAP_yara_tags + 1, &back), 0);
    cr_assert_eq(back.yara_tag_count, AUDIT_LIST_MAX);
    cr_assert_eq(decode_list(AUDIT_LIST_MAX, AUDIT_CAP_yara_tags + 2, &back), -1);
    cr_assert_eq(decode_list(AUDIT_LIST_MAX + 1, 1, &back), -1);
    cr_assert_eq(decode_list(UINT8_MAX, 1, &back), -1);
    cr_assert_eq(decode_list(0, 1, &back), -1);
    cr_assert_eq(decode_list(1, 0, &back), -1);
    cr_assert_eq(decode_list(1, 1, &back), 0);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* The event that tells of many: it fits, and says nothing that is not true of all. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "repeats_world.h"

/* ---- what is too long ---- */

Test(repeats, of_long_texts_all_counts_what_is_cut_off_too)
{
    static uint8_t letters[2][3 * AUDIT_FIELD_MAX];
    struct world world;
    struct audit_event event = event_plain();

    memset(letters, 'x', sizeof(letters));
    letters[1][3 * AUDIT_FIELD_MAX - 1] = 'y';
    world_begin(&world, 4);
    event.topic = view_of(letters[0], sizeof(letters[0]));
    cr_assert(happens(&world, &event, 0));
    event.topic = view_of(letters[1], sizeof(letters[1]));
    cr_assert(happens(&world, &event, 0));
    cr_assert_not(happens(&world, &event, 0));
    event.response_topic = event.topic;
    event.topic = VIEW("short");
    cr_assert(happens(&world, &event, 0));
    event.response_topic = view_of(letters[0], sizeof(letters[0]));
    cr_assert(happens(&world, &event, 0));
    world_end(&world);
}

/* Its length is the client's to choose: it is cut, and counted all the same. */
Test(repeats, an_event_of_any_length_is_aggregated)
{
    static const char *const starts[] = {"a", "\xc3\xa4", "\xff"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        static uint8_t letters[2 * AUDIT_FIELD_MAX];
        size_t unit = strlen(starts[i]);
        struct world world;
        struct audit_event event;

        for (size_t at = 0; at + unit <= sizeof(letters); at += unit)
            memcpy(letters + at, starts[i], unit);
        event = event_with_texts(view_of(letters, sizeof(letters)));
        event.action = AUDIT_payload_blocked;
        event.suppressed = 0;
        world_begin(&world, 1);
        cr_assert(happens(&world, &event, 0));
        for (int k = 0; k < 5; k++)
            cr_assert_not(happens(&world, &event, 0));
        take(&world);
        cr_assert(repeats_tell_all(world.repeats, world.ring));
        struct ring_record record;
        cr_assert_eq(ring_peek(world.ring, &record), 1);
        cr_assert_eq(audit_event_decode(record.payload, &event), 0);
        cr_assert_leq(record.payload.length, REPEATS_PAGE + 32);
        cr_assert_gt(event.topic.length, 20);
        cr_assert_eq(event.yara_rule_count, AUDIT_LIST_MAX);
        cr_assert_eq(
            memcmp(event.topic.data + event.topic.length - 3, "\xe2\x80\xa6", 3), 0, "the cut is marked");
        if (unit == 2)
            cr_assert_eq((event.topic.length - 3) % 2, 0, "between characters");
        cr_assert_eq(event.suppressed, 4);
        world_end(&world);
    }
}

/* ---- who is named ---- */

/* The event that tells of many, of the last of count alike ones. */
static struct audit_event tell_of(struct world *world, const struct audit_event *first,
    const struct audit_event *second, uint8_t record[AUDIT_EVENT_MAX])
{
    struct audit_event event;
    struct ring_record found;

    world_begin(world, 4);
    cr_assert(happens(world, first, 0));
    cr_assert_not(happens(world, second, 0));
    take(world);
    cr_assert(repeats_tell_all(world->repeats, world->ring));
    cr_assert_eq(ring_peek(world->ring, &found), 1);
    memcpy(record, found.payload.data, found.payload.length);
    cr_assert_eq(audit_event_decode(view_of(record, found.payload.length), &event), 0);
    return event;
}

Test(repeats, of_several_connections_nobody_is_named_who_may_not_have_done_it)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct world world;
    struct audit_event first = event_full(), second, event;

    first.action = AUDIT_connect_refused;
    second = first;
    second.session_id = VIEW("9c1f-000413"); /* of the same port: it was free again */
    second.client_id = VIEW("evil");
    event = tell_of(&world, &first, &second, record);
    cr_expect_eq(event.client_id.length, 0);
    cr_expect_eq(event.session_id.length, 0);
    cr_expect_eq(event.client_port, 0);
    cr_expect_eq(event.role_count, 0);
    cr_expect_eq(event.server_ip.length, 0);
    cr_expect_eq(event.tls_server_name.length, 0);
    cr_expect_not(event.has_connect);
    cr_expect_not(event.has_totals);
    cr_expect_not(event.has_payload);
    cr_expect_not(event.has_topic);
    cr_expect_not(event.has_yara_offset);
    cr_expect_eq(event.detail.length, 0);
    /* what was compared */
    cr_expect(view_equal(event.username, first.username));
    cr_expect(view_equal(event.tls_fingerprint, first.tls_fingerprint));
    cr_expect(view_equal(event.listener, first.listener));
    cr_expect(view_equal(event.client_ip, first.client_ip));
    world_end(&world);
}

Test(repeats, any_difference_of_the_connection_is_one)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct audit_event others[8], event;

    for (size_t i = 0; i < 8; i++)
        others[i] = event_plain();
    others[0].session_id = VIEW("another");
    others[1].client_port++;
    others[2].server_ip = VIEW("10.0.0.6");
    others[3].username = VIEW("somebody");
    others[4].roles[1] = VIEW("admin");
    others[5].mqtt_version = VIEW("3.1.1");
    others[6].tls_server_name = VIEW("elsewhere.example");
    others[7].keep_alive++;
    for (size_t i = 0; i < 8; i++) {
        struct world world;
        const struct audit_event first = event_plain();

        event = tell_of(&world, &first, &others[i], record);
        cr_expect_eq(event.session_id.length, 0, "%zu", i);
        cr_expect_eq(event.username.length, 0, "%zu", i);
        world_end(&world);
    }
}

Test(repeats, of_a_message_that_went_on_the_payload_is_told)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct world world;
    struct audit_event first = event_plain(), event;

    first.disposition = AUDIT_MONITORED;
    event = tell_of(&world, &first, &first, record);
    cr_expect(event.has_payload_hash);
    cr_expect_eq(memcmp(event.payload_sha256, first.payload_sha256, 32), 0);
    cr_expect(event.retained);
    world_end(&world);
    /* but policies that are compared do not look into it */
    first.action = AUDIT_shadow_diff;
    first.disposition = AUDIT_INFORMED;
    struct audit_event second = first;
    second.payload_bytes++;
    second.payload_sha256[0]++;
    event = tell_of(&world, &first, &second, record);
    cr_expect_not(event.has_payload);
    world_end(&world);
}

Test(repeats, a_clock_that_is_set_back_makes_no_end_before_its_beginning)
{
    struct world world;
    struct audit_event event = event_plain();

    world_begin(&world, 4);
    event.wall_us = 5000;
    cr_assert(happens(&world, &event, 0));
    for (uint64_t wall_us = 4000; wall_us > 1000; wall_us -= 1000) {
        event.wall_us = wall_us;
        cr_assert_not(happens(&world, &event, 0));
    }
    take(&world);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    struct told told = take(&world);
    cr_assert_eq(told.last.start_us, 2000);
    cr_assert_eq(told.last.end_us, 5000);
    cr_assert_eq(told.last.wall_us, 5000, "not before the first event's");
    world_end(&world);
}

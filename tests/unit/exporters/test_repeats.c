/* SPDX-License-Identifier: Apache-2.0 */
/* Repeats: what is one, and what a full table or a full ring makes of it. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "repeats_world.h"

/* ---- what is one ---- */

Test(repeats, the_first_is_told_at_once_and_the_rest_at_the_end_of_the_interval)
{
    struct world world;
    struct audit_event event = event_plain();
    struct told told;

    world_begin(&world, 4);
    event.wall_us = 1000000;
    cr_assert(happens(&world, &event, 1000));
    event.suppressed = 0;
    for (uint64_t i = 1; i <= 9999; i++) {
        event.wall_us = 1000000 + i;
        cr_assert_not(happens(&world, &event, 1000 + i % 100));
    }
    cr_assert_eq(repeats_due_ms(world.repeats), 1000 + INTERVAL);
    told = take(&world);
    cr_assert_eq(told.events, 1);
    cr_assert(repeats_tell(world.repeats, world.ring, 1000 + INTERVAL - 1));
    cr_assert_eq(take(&world).events, 0);
    cr_assert(repeats_tell(world.repeats, world.ring, 1000 + INTERVAL));
    told = take(&world);
    cr_assert_eq(told.events, 1);
    cr_assert_eq(told.things, 9999);
    cr_assert_eq(told.last.wall_us, 1009999, "when the last of them happened");
    cr_assert_eq(told.last.start_us, 1000001);
    cr_assert_eq(told.last.end_us, 1009999);
    cr_assert_str_eq(told.topic, "plant/a/valve/3/cmd");
    cr_assert_str_eq(told.session, "9c1f-000412");
    cr_assert_not(told.last.has_payload, "it is about many payloads");
    cr_assert_eq(told.last.packet_id, 0);
    /* and the next is news again */
    cr_assert_eq(repeats_due_ms(world.repeats), 0);
    cr_assert(happens(&world, &event, 1000 + INTERVAL));
    cr_assert(take(&world).last.has_payload);
    cr_assert(repeats_tell(world.repeats, world.ring, 1000 + 2 * INTERVAL));
    cr_assert_eq(take(&world).events, 0, "of nothing nothing is told");
    cr_assert_eq(repeats_due_ms(world.repeats), 0);
    world_end(&world);
}

/* Nobody keeps an act of his from an event of its own by repeating it now and then. */
Test(repeats, an_act_now_and_then_has_an_event_of_its_own_each_interval)
{
    struct world world;
    struct audit_event event = event_plain();
    uint64_t whole = 0, things = 0;

    world_begin(&world, 4);
    event.suppressed = 0;
    for (uint64_t now = 0; now < 10 * INTERVAL; now += INTERVAL / 2) {
        cr_assert(repeats_tell(world.repeats, world.ring, now));
        things += take(&world).things;
        happens(&world, &event, now);
        struct told told = take(&world);
        whole += told.events > 0 && told.last.has_payload;
        things += told.things;
    }
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    things += take(&world).things;
    cr_assert_eq(things, 20);
    cr_assert_eq(whole, 10, "%lu", whole);
    world_end(&world);
}

Test(repeats, a_flood_that_lasts_is_an_event_and_a_number_an_interval)
{
    struct world world;
    struct audit_event event = event_plain();
    uint64_t things = 0, events = 0;

    event.suppressed = 0;
    world_begin(&world, 4);
    for (uint64_t now = 0; now < 10 * INTERVAL; now += 10) {
        happens(&world, &event, now);
        cr_assert(repeats_tell(world.repeats, world.ring, now));
        struct told told = take(&world);
        things += told.things;
        events += told.events;
    }
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    things += take(&world).things;
    cr_assert_eq(things, INTERVAL, "%lu", things);
    cr_assert_leq(events, 20);
    cr_assert(repeats_is_empty(world.repeats));
    world_end(&world);
}

Test(repeats, another_principal_decision_rule_or_topic_is_another_event)
{
    struct world world;
    const struct audit_event event = event_plain();
    struct audit_event others[28];
    size_t count = sizeof(others) / sizeof(others[0]);

    for (size_t i = 0; i < count; i++)
        others[i] = event;
    others[1].user = VIEW("sensor-18");
    others[2].action = AUDIT_delivery_filtered;
    others[3].reason = REASON_no_allow;
    others[4].disposition = AUDIT_MONITORED;
    others[5].rule = VIEW("valve");
    others[6].topic = VIEW("plant/a/valve/3/cmd/");
    others[7].client_ip = VIEW("203.0.113.10");
    others[8].client_id = VIEW("client-18");
    others[9].policy_version = VIEW("sha256:6b1f");
    others[10].outbound = true;
    /* the same bytes, cut elsewhere */
    others[11].user = VIEW("sensor-1");
    others[11].client_ip = VIEW("7203.0.113.9");
    others[12].response_topic = VIEW("secret/1");
    others[13].retained = !event.retained;
    others[14].qos = (uint8_t)(event.qos ^ 1);
    others[15].signature_kid = VIEW("another");
    others[16].signature_sub = VIEW("admin");
    /* of what went on all the same, another payload is another event */
    others[17].disposition = others[18].disposition = AUDIT_MONITORED;
    others[17].has_payload_hash = others[18].has_payload_hash = true;
    others[17].payload_sha256[0] = 1;
    others[18].payload_sha256[0] = 2;
    others[19].listener = VIEW("plain");
    others[20].tls_fingerprint = VIEW("decaf");
    others[21].source = VIEW("password");
    others[22].reason_code = 0x97;
    others[23].upstream = VIEW("other");
    others[24].rule_location = VIEW("policy.yaml:42");
    others[25].nearest = VIEW("telemetry:size");
    /* where hashes of payloads are not wanted, their size */
    others[26].disposition = others[27].disposition = AUDIT_MONITORED;
    others[26].has_payload_hash = others[27].has_payload_hash = false;
    others[27].payload_bytes = event.payload_bytes + 1;
    world_begin(&world, 64);
    for (size_t i = 0; i < count; i++)
        cr_expect(happens(&world, &others[i], 0), "%zu is news", i);
    for (size_t i = 0; i < count; i++)
        cr_expect_not(happens(&world, &others[i], 0), "%zu is not", i);
    world_end(&world);
}

Test(repeats, what_was_allowed_and_the_life_of_sessions_is_not_aggregated)
{
    static const enum audit_action each[] = {AUDIT_connect_accepted, AUDIT_disconnect, AUDIT_publish_allowed,
        AUDIT_subscribe_granted, AUDIT_client_banned, AUDIT_audit_gap, AUDIT_proxy_started};
    struct world world;

    world_begin(&world, 4);
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct audit_event event = event_plain();
        event.action = each[i];
        cr_expect(happens(&world, &event, 0));
        cr_expect(happens(&world, &event, 0), "%s", audit_action_name(each[i]));
    }
    world_end(&world);
}

Test(repeats, a_rate_is_one_whatever_the_topic_and_says_none_for_many)
{
    struct world world;
    struct audit_event event = event_plain();

    world_begin(&world, 4);
    event.action = AUDIT_rate_limited;
    event.suppressed = 0;
    cr_assert(happens(&world, &event, 0));
    event.topic = VIEW("elsewhere");
    event.client_port = 7;
    cr_assert_not(happens(&world, &event, 0));
    take(&world);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    struct told told = take(&world);
    cr_assert_eq(told.things, 1);
    cr_assert_not(told.last.has_topic);
    cr_assert_str_eq(told.session, "", "of another connection");
    world_end(&world);
}

Test(repeats, finds_of_a_scan_differ_by_what_was_found_and_kept)
{
    struct world world;
    struct audit_event event = event_full();

    world_begin(&world, 8);
    event.action = AUDIT_payload_blocked;
    cr_assert(happens(&world, &event, 0));
    event.payload_sha256[0]++;
    cr_assert_not(happens(&world, &event, 0));
    event.quarantine_sha256[31]++;
    cr_assert(happens(&world, &event, 0));
    event.yara_rules[0] = VIEW("another");
    cr_assert(happens(&world, &event, 0));
    event.yara_rules[1] = VIEW("beside it");
    cr_assert(happens(&world, &event, 0));
    event.yara_sets[0] = VIEW("elsewhere");
    cr_assert(happens(&world, &event, 0));
    event.action = AUDIT_scan_failed;
    cr_assert(happens(&world, &event, 0));
    event.yara_rules[1] = VIEW("worse");
    cr_assert(happens(&world, &event, 0), "a scan that failed has findings, too");
    world_end(&world);
}

Test(repeats, long_texts_do_not_keep_a_flood_from_being_one)
{
    static uint8_t letters[2][AUDIT_FIELD_MAX];
    struct world world;
    struct audit_event event = event_plain();

    memset(letters, 'x', sizeof(letters));
    event.user = event.client_id = event.topic = event.response_topic = event.username = event.detail =
        event.tls_subject = event.tls_issuer = view_of(letters[0], AUDIT_FIELD_MAX);
    event.suppressed = 0;
    world_begin(&world, 4);
    cr_assert(happens(&world, &event, 0));
    cr_assert_not(happens(&world, &event, 0));
    letters[1][AUDIT_FIELD_MAX - 1] = 'y';
    event.topic = view_of(letters[1], AUDIT_FIELD_MAX);
    cr_assert(happens(&world, &event, 0));
    take(&world);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert_eq(take(&world).things, 1);
    world_end(&world);
}

/* ---- room ---- */

Test(repeats, a_full_table_tells_its_oldest)
{
    struct world world;
    char user[32];
    struct audit_event event;
    uint64_t things = 0;

    world_begin(&world, 4);
    for (uint64_t number = 0; number < 100; number++) {
        event = event_numbered(number, user);
        cr_assert(happens(&world, &event, number));
        for (uint64_t i = 0; i < number % 3; i++, things++)
            cr_assert_not(happens(&world, &event, number));
        things++;
    }
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert_eq(take(&world).things, things);
    /* The four latest were counted to the end. */
    world_end(&world);
}

Test(repeats, without_room_repeats_stay_counted_and_nothing_new_takes_their_place)
{
    struct world world;
    char user[32], other[32];
    struct audit_event event = event_numbered(1, user), next = event_numbered(2, other);
    uint64_t pushed = 0, things;

    world_begin(&world, 1);
    cr_assert(happens(&world, &event, 0));
    cr_assert_not(happens(&world, &event, 0));
    while (ring_push(world.ring, VIEW("\x01 something else")))
        pushed++;
    cr_assert_not(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_assert_not(repeats_tell_all(world.repeats, world.ring));
    cr_assert_not(repeats_count(world.repeats, &next));
    repeats_begin(world.repeats, &next, world.ring, 1);
    cr_assert_not(repeats_count(world.repeats, &next), "there was no slot for it");
    cr_assert(repeats_count(world.repeats, &event));
    ring_discard(world.ring);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    things = take(&world).things;
    cr_assert_eq(things, 2);
    cr_assert_gt(pushed, 1);
    world_end(&world);
}

/* No share pays for what is told: it waits where it is counted, and leaves the ring to those who have one. */
Test(repeats, what_is_told_leaves_half_of_the_ring)
{
    struct world world;
    char user[32];
    struct audit_event event;
    uint64_t things = 0;

    world_begin(&world, 64);
    for (uint64_t number = 0; number < 64; number++)
        for (int i = 0; i < 2; i++, things++) {
            event = event_numbered(number, user);
            happens(&world, &event, 0);
        }
    while (ring_used(world.ring) <= RING / 2 - 2000) {
        uint8_t record[AUDIT_EVENT_MAX];
        event.action = AUDIT_disconnect;
        cr_assert(ring_push(world.ring, view_of(record, audit_event_encode(&event, record))));
        things++;
    }
    cr_assert_not(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_assert_leq(ring_used(world.ring), RING / 2 + REPEATS_PAGE);
    uint64_t told = take(&world).things;
    cr_assert(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_assert_eq(told + take(&world).things, things);
    world_end(&world);
}

Test(repeats, without_slots_nothing_is_aggregated)
{
    struct world world;
    const struct audit_event event = event_plain();

    world_begin(&world, 0);
    for (int i = 0; i < 3; i++)
        cr_assert(happens(&world, &event, 0));
    cr_assert_eq(repeats_due_ms(world.repeats), 0);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert(repeats_is_empty(world.repeats));
    world_end(&world);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: what is taken at a glance, and what is left to a second look. That nothing else comes of a packet
 * that is taken, the scenarios and the model show with every packet: their worlds try a run first. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "packet_text.h"
#include "world.h"

#define POLICY(audit)                                                                                        \
    "version: 1\npolicy: t\n" audit "identity:\n  - anonymous: {id: plc-7}\n"                                \
    "rules:\n"                                                                                               \
    "  - {rule: own, who: everyone, allow: [publish, subscribe], topics: [\"a/#\"]}\n"                       \
    "  - {rule: short, who: everyone, allow: publish, topics: [\"s/#\"], if: {max_size: 4}}\n"               \
    "checks:\n"                                                                                              \
    "  - {check: scanned, topics: [a/scanned], yara: {rules: [iot]}}\n"

#define X "PUBLISH a/x payload=1"
#define Y "PUBLISH a/y payload=2"

struct place {
    struct world *world;
    struct policy *policy;
};

static void append(struct buffer *bytes, const char *line)
{
    const char *error = "";

    cr_assert(packet_text_parse(line, MQTT_V5, bytes, &error), "%s: %s", line, error);
}

static void feed(struct place *place, enum mqtt_direction from, const char *line)
{
    struct buffer bytes = {0};

    append(&bytes, line);
    world_feed(place->world, from, buffer_view(&bytes));
    buffer_release(&bytes);
    world_forget_lines(place->world);
}

static struct place begin(const char *text)
{
    struct place place = {memory_calloc(1, sizeof(*place.world)), world_policy(text)};

    world_init(place.world, place.policy, text);
    world_begin(place.world);
    feed(&place, MQTT_FROM_CLIENT, "CONNECT id=plc-7 keepalive=60");
    feed(&place, MQTT_FROM_SERVER, "CONNACK 0");
    cr_assert(session_is_open(place.world->session));
    return place;
}

static void end(struct place *place)
{
    world_end(place->world, REASON_client_lost);
    world_free(place->world);
    free(place->world);
    policy_release(place->policy);
}

/* How many of the packets a run takes, which are whole ones. */
static uint64_t run_of(struct place *place, enum mqtt_direction from, const char *const *lines, uint64_t most)
{
    struct buffer bytes = {0};
    size_t ends[16] = {0}, count = 0;
    struct session_run run;
    uint64_t packets;

    for (; lines[count] != NULL; count++) {
        append(&bytes, lines[count]);
        ends[count + 1] = buffer_length(&bytes);
    }
    run = (from == MQTT_FROM_CLIENT ? session_client_run : session_broker_run)(
        place->world->session, buffer_view(&bytes), most);
    packets = run.publishes + run.pubacks;
    cr_assert_leq(packets, count);
    cr_expect_eq(run.length, ends[packets]);
    buffer_release(&bytes);
    return packets;
}

static bool is_among(const struct world *world, const char *line)
{
    for (size_t i = 0; i < world->count; i++)
        if (strcmp(world->lines[i], line) == 0)
            return true;
    return false;
}

#define CLIENT_RUN(place, ...) run_of(place, MQTT_FROM_CLIENT, (const char *const[]){__VA_ARGS__, NULL}, 100)

Test(run, takes_all_in_a_row_whose_topics_were_allowed_before)
{
    struct place place = begin(POLICY(""));

    cr_expect_eq(CLIENT_RUN(&place, X), 0, "nothing is known yet");
    feed(&place, MQTT_FROM_CLIENT, X);
    cr_expect_eq(CLIENT_RUN(&place, X, X, X, Y, X), 3);
    feed(&place, MQTT_FROM_CLIENT, Y);
    cr_expect_eq(CLIENT_RUN(&place, X, Y, Y, X, X), 5);
    end(&place);
}

Test(run, takes_no_more_than_it_is_asked_for)
{
    struct place place = begin(POLICY(""));
    const char *const lines[] = {X, X, X, NULL};

    feed(&place, MQTT_FROM_CLIENT, X);
    cr_expect_eq(run_of(&place, MQTT_FROM_CLIENT, lines, 2), 2);
    cr_expect_eq(run_of(&place, MQTT_FROM_CLIENT, lines, 0), 0);
    end(&place);
}

Test(run, ends_before_what_needs_a_second_look)
{
    static const char *const others[] = {
        "PUBLISH a/x payload=1 qos=2 id=1",
        "PUBLISH a/x payload=1 qos=1 id=1 dup=true",
        "PUBACK 9",
        "PUBLISH a/x payload=1 retain=true",
        "PUBLISH a/x payload=1 topic_alias=1",
        "PUBLISH a/x payload=1 response_topic=a/r",
        "PUBLISH b/x payload=1",
        "PUBLISH a/ payload=x1",
        "PUBLISH a/scanned payload=1",
        "PINGREQ",
    };
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, X);
    feed(&place, MQTT_FROM_CLIENT, "PUBLISH a/scanned payload=1");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_eq(CLIENT_RUN(&place, X, others[i], X), 1, "%s", others[i]);
    end(&place);
}

Test(run, leaves_a_payload_above_the_rules_limit)
{
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, "PUBLISH s/x payload=1234");
    cr_expect_eq(CLIENT_RUN(&place, "PUBLISH s/x payload=4321", "PUBLISH s/x payload=12345"), 1);
    end(&place);
}

Test(run, leaves_a_packet_that_the_broker_does_not_take_so_large)
{
    struct place place = {memory_calloc(1, sizeof(*place.world)), world_policy(POLICY(""))};

    world_init(place.world, place.policy, POLICY(""));
    world_begin(place.world);
    feed(&place, MQTT_FROM_CLIENT, "CONNECT id=plc-7 keepalive=60");
    feed(&place, MQTT_FROM_SERVER, "CONNACK 0 maximum_packet_size=20");
    feed(&place, MQTT_FROM_CLIENT, X);
    cr_expect_eq(CLIENT_RUN(&place, X, "PUBLISH a/x payload=0123456789abcdef"), 1);
    end(&place);
}

Test(run, is_none_where_nothing_can_be_recorded)
{
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, X);
    session_set_room(place.world->session, SESSION_ROOM_DENIED);
    cr_expect_eq(CLIENT_RUN(&place, X), 0);
    session_set_room(place.world->session, SESSION_ROOM);
    cr_expect_eq(CLIENT_RUN(&place, X), 1);
    end(&place);
}

Test(run, is_none_behind_a_packet_that_waits)
{
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, X);
    place.world->scan_later = true;
    feed(&place, MQTT_FROM_CLIENT, "PUBLISH a/scanned payload=1");
    cr_expect_eq(CLIENT_RUN(&place, X), 0);
    cr_assert(world_scanned(place.world, false, false));
    cr_expect_eq(CLIENT_RUN(&place, X), 1);
    end(&place);
}

Test(run, is_none_of_what_another_policy_has_not_judged)
{
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, X);
    world_rebind(place.world, POLICY("mode: enforce\n"));
    cr_expect_eq(CLIENT_RUN(&place, X), 0);
    end(&place);
}

Test(run, of_deliveries_is_one_of_what_the_client_may_have)
{
    struct place place = begin(POLICY(""));
    const char *const lines[] = {X, X, "PUBLISH b/x payload=1", X, NULL};

    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, lines, 100), 0, "nothing is known yet");
    feed(&place, MQTT_FROM_SERVER, X);
    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, lines, 100), 2);
    cr_expect_eq(run_of(&place, MQTT_FROM_CLIENT, lines, 100), 0, "what it may receive it may not publish");
    end(&place);
}

Test(run, ends_before_a_message_that_the_audit_wants_to_see)
{
    struct place all = begin(POLICY("audit: {allow: 100%}\n"));
    struct place half = begin(POLICY("audit: {allow: 50%}\n"));
    unsigned before;

    feed(&all, MQTT_FROM_CLIENT, X);
    cr_expect_eq(CLIENT_RUN(&all, X), 0);
    end(&all);

    feed(&half, MQTT_FROM_CLIENT, X);
    before = half.world->events;
    for (int i = 0; i < 1000; i++)
        feed(&half, MQTT_FROM_CLIENT, X); /* as a run where it is one */
    cr_expect(half.world->events - before > 400 && half.world->events - before < 600, "%u of 1,000 were told",
        half.world->events - before);
    end(&half);
}

#define QOS_1(id) "PUBLISH a/x payload=1 qos=1 id=" #id

Test(run, of_qos_1_is_one_of_ids_that_are_free)
{
    struct place place = begin(POLICY(""));

    feed(&place, MQTT_FROM_CLIENT, QOS_1(1));
    cr_expect_eq(CLIENT_RUN(&place, QOS_1(2), QOS_1(3), X, QOS_1(4)), 4);
    cr_expect_eq(CLIENT_RUN(&place, QOS_1(4)), 0, "in flight");
    feed(&place, MQTT_FROM_SERVER, "PUBACK 1");
    cr_expect_eq(CLIENT_RUN(&place, QOS_1(1)), 1, "free again");
    end(&place);
}

Test(run, of_answers_is_one_of_those_that_are_due_next)
{
    struct place place = begin(POLICY(""));
    const char *const in_order[] = {"PUBACK 1", "PUBACK 2", NULL};
    const char *const skips[] = {"PUBACK 4", "PUBACK 3", NULL};
    const char *const unknown[] = {"PUBACK 77", NULL};

    feed(&place, MQTT_FROM_CLIENT, QOS_1(1));
    cr_assert_eq(CLIENT_RUN(&place, QOS_1(2), QOS_1(3), QOS_1(4)), 3);
    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, in_order, 100), 2);
    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, skips, 100), 0);
    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, unknown, 100), 0);
    end(&place);
}

/* [MQTT-4.6.0-2]: what the proxy answers itself comes behind what the broker answers before. */
Test(run, ends_before_an_answer_that_makes_the_proxys_own_due)
{
    struct place place = begin(POLICY(""));
    const char *const answers[] = {"PUBACK 1", "PUBACK 2", NULL};

    feed(&place, MQTT_FROM_CLIENT, QOS_1(1));
    feed(&place, MQTT_FROM_CLIENT, QOS_1(2));
    feed(&place, MQTT_FROM_CLIENT, "PUBLISH b/denied payload=1 qos=1 id=3");
    cr_expect_eq(run_of(&place, MQTT_FROM_SERVER, answers, 100), 1);
    end(&place);
}

Test(run, keeps_to_the_brokers_receive_maximum)
{
    struct place place = {memory_calloc(1, sizeof(*place.world)), world_policy(POLICY(""))};

    world_init(place.world, place.policy, POLICY(""));
    world_begin(place.world);
    feed(&place, MQTT_FROM_CLIENT, "CONNECT id=plc-7 keepalive=60");
    feed(&place, MQTT_FROM_SERVER, "CONNACK 0 receive_maximum=2");
    feed(&place, MQTT_FROM_CLIENT, X);
    cr_expect_eq(CLIENT_RUN(&place, QOS_1(1), QOS_1(2), QOS_1(3)), 2);
    end(&place);
}

/* Of so many topics in turn each is decided once. */
Test(run, knows_a_gateways_fifty_topics)
{
    struct place place = begin(POLICY(""));
    char line[64];
    uint64_t known = 0;

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 50; i++) {
            snprintf(line, sizeof(line), "PUBLISH a/line-%d/temperature payload=1", i);
            if (round == 0)
                feed(&place, MQTT_FROM_CLIENT, line);
            else
                known += CLIENT_RUN(&place, line);
        }
    /* the few that share a set with too many others are decided again */
    cr_expect_geq(known, 45, "%d", (int)known);
    end(&place);
}

Test(run, keeps_no_more_topics_than_it_may)
{
    struct place place = begin(POLICY(""));
    char line[64];
    uint64_t known = 0;

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 1000; i++) {
            snprintf(line, sizeof(line), "PUBLISH a/line-%d/temperature payload=1", i);
            if (round == 0)
                feed(&place, MQTT_FROM_CLIENT, line);
            else
                known += CLIENT_RUN(&place, line);
        }
    cr_expect(known > 0 && known <= 64, "%d", (int)known);
    end(&place);
}

/* All in one piece, as they come from a socket: none that is due is asked again, and becomes another's. */
Test(run, gives_the_audit_its_share_in_long_runs)
{
    struct place place = begin(POLICY("audit: {allow: 10%}\n"));
    struct buffer bytes = {0}, one = {0};
    unsigned before, told;
    size_t runs = 0;

    feed(&place, MQTT_FROM_CLIENT, X);
    append(&one, X);
    for (int i = 0; i < 5000; i++)
        append(&bytes, X);
    before = place.world->events;
    while (buffer_length(&bytes) > 0) {
        struct session_run run = session_client_run(place.world->session, buffer_view(&bytes), 64);

        if (run.length > 0)
            buffer_consume(&bytes, run.length);
        else { /* one by one, as the connection does it; the world tries a run once more */
            world_feed(place.world, MQTT_FROM_CLIENT, buffer_view(&one));
            world_forget_lines(place.world);
            buffer_consume(&bytes, buffer_length(&one));
        }
        runs++;
    }
    told = place.world->events - before;
    cr_expect(told > 400 && told < 600, "%u of 5,000 were told", told);
    cr_expect_lt(runs, 2500, "%zu", runs);
    buffer_release(&bytes);
    buffer_release(&one);
    end(&place);
}

/* Its entry in the order of the answers stays behind where the client answers far out of order. */
Test(run, leaves_an_answer_whose_id_is_owed_twice)
{
    struct place place = begin(POLICY(""));
    struct buffer denied = {0};
    char line[64];

    feed(&place, MQTT_FROM_SERVER, X);
    for (int i = 1; i <= 600; i++) {
        snprintf(line, sizeof(line), "PUBLISH a/x payload=1 qos=1 id=%d", i);
        feed(&place, MQTT_FROM_SERVER, line);
    }
    feed(&place, MQTT_FROM_CLIENT, "PUBACK 600");
    feed(&place, MQTT_FROM_SERVER, "PUBLISH a/x payload=1 qos=1 id=600");
    for (int i = 1; i <= 599; i++) {
        snprintf(line, sizeof(line), "PUBACK %d", i);
        feed(&place, MQTT_FROM_CLIENT, line);
    }
    feed(&place, MQTT_FROM_CLIENT, "PUBACK 600");
    /* a delivery that the client may not have is answered at once: nothing is owed any more */
    append(&denied, "PUBLISH b/x payload=1 qos=1 id=700");
    world_feed(place.world, MQTT_FROM_SERVER, buffer_view(&denied));
    cr_expect(is_among(place.world, "to-broker PUBACK 700 0x00"));
    buffer_release(&denied);
    end(&place);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Scans of messages that no line of a scenario has room for: those with very many properties. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "packet_text.h"
#include "world.h"

static const char policy_text[] = "version: 1\n"
                                  "policy: t\n"
                                  "identity:\n"
                                  "  - anonymous: {id: plc-7}\n"
                                  "rules:\n"
                                  "  - rule: all\n"
                                  "    who: everyone\n"
                                  "    allow: [publish, subscribe]\n"
                                  "    topics: [\"#\"]\n"
                                  "checks:\n"
                                  "  - check: rejecting\n"
                                  "    topics: [rej/#]\n"
                                  "    yara: {rules: [iot]}\n"
                                  "  - check: second\n"
                                  "    topics: [rej/#]\n"
                                  "    yara: {rules: [web]}\n";

static void feed_line(struct world *world, enum mqtt_direction from, const char *line)
{
    struct buffer bytes = {0};
    const char *error = "";

    cr_assert(packet_text_parse(line, MQTT_V5, &bytes, &error), "%s: %s", line, error);
    world_feed(world, from, buffer_view(&bytes));
    buffer_release(&bytes);
}

static struct world *open_world(const struct policy *policy)
{
    struct world *world = memory_calloc(1, sizeof(*world));

    world_init(world, policy, policy_text);
    world_begin(world);
    feed_line(world, MQTT_FROM_CLIENT, "CONNECT id=plc-7 keepalive=60");
    feed_line(world, MQTT_FROM_SERVER, "CONNACK 0");
    cr_assert(session_is_open(world->session));
    world_forget_lines(world);
    return world;
}

static void close_world(struct world *world, struct policy *policy)
{
    world_end(world, REASON_client_lost);
    world_free(world);
    free(world);
    policy_release(policy);
}

/* A PUBLISH of count User Properties: empty ones, or "n" and "v" and in the last "bad". */
static void feed_properties(struct world *world, unsigned count, bool empty)
{
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = MQTT_V5};
    struct mqtt_publish *publish = &packet.u.publish;
    struct buffer properties = {0}, bytes = {0};

    for (unsigned i = 1; i <= count; i++)
        mqtt_property_write_pair(&properties, empty ? VIEW("") : VIEW("n"),
            empty       ? VIEW("")
            : i < count ? VIEW("v")
                        : VIEW("bad"));
    publish->topic = VIEW("rej/x");
    publish->payload = VIEW("hello");
    publish->properties.raw = buffer_view(&properties);
    publish->properties.present = UINT64_C(1) << MQTT_USER_PROPERTY;
    mqtt_encode(&packet, &bytes);
    world_feed(world, MQTT_FROM_CLIENT, buffer_view(&bytes));
    buffer_release(&bytes);
    buffer_release(&properties);
}

static bool is_line(const struct world *world, size_t at, const char *begins, const char *has)
{
    return at < world->count && strncmp(world->lines[at], begins, strlen(begins)) == 0 &&
           strstr(world->lines[at], has) != NULL;
}

Test(scan, every_property_of_a_thousand_parts_is_looked_at)
{
    struct policy *policy = world_policy(policy_text);
    struct world *world = open_world(policy);

    feed_properties(world, 511, false);
    cr_assert(world->count == 1 && is_line(world, 0, "scans in 1 2", ""));
    cr_expect_eq(world->scan_parts, 1023);
    world_forget_lines(world);
    cr_assert(world_scanned(world, false, false));
    cr_expect(is_line(world, 0, "audit mqtt-payload-blocked payload_matched dropped", " part=user_property"));
    close_world(world, policy);
}

Test(scan, a_message_of_more_parts_than_are_listed_is_not_scanned_to_its_end)
{
    struct policy *policy = world_policy(policy_text);
    struct world *world = open_world(policy);

    feed_properties(world, 10000, false);
    cr_assert(world->count == 1 && is_line(world, 0, "scans in 1 2", ""));
    cr_expect_eq(world->scan_parts, 1024);
    world_forget_lines(world);
    cr_assert(world_scanned(world, false, false));
    cr_expect(is_line(world, 0, "audit mqtt-scan-failed scan_incomplete dropped", " incomplete=parts"));
    close_world(world, policy);
}

Test(scan, properties_without_a_byte_are_nothing_to_look_at)
{
    struct policy *policy = world_policy(policy_text);
    struct world *world = open_world(policy);

    feed_properties(world, 1000, true);
    cr_assert(world->count == 1 && is_line(world, 0, "forward", ""));
    cr_expect_eq(world->scan_parts, 1);
    close_world(world, policy);
}

Test(scan, more_properties_than_are_looked_at_are_not_scanned_to_their_end_even_if_empty)
{
    struct policy *policy = world_policy(policy_text);
    struct world *world = open_world(policy);

    feed_properties(world, 10000, true);
    cr_expect(world->count >= 1 &&
              is_line(world, 0, "audit mqtt-scan-failed scan_incomplete dropped", " incomplete=parts"));
    cr_expect_eq(world->scan_parts, 1);
    close_world(world, policy);
}

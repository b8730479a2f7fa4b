/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's line: members as ECS has them, hostile texts, the head and origin read back, the manual's
 * tables. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "event.h"
#include "exporters/chain.h"

Test(record, a_denied_publish_reads_as_the_manual_shows_it)
{
    struct audit_event event = event_plain();
    event.rule = (struct view){0};
    event.reason = REASON_no_allow;
    event.detail = (struct view){0};
    json_t *document = event_document(&event);
    static const char *const expected[][2] = {
        {"@timestamp", "2026-01-02T03:04:06.001245Z"},
        {"event.created", "2026-01-02T03:04:06.001999Z"},
        {"event.id", "6920d2f13f1c9a52-1042"},
        {"event.kind", "event"},
        {"event.category.0", "network"},
        {"event.type.0", "access"},
        {"event.type.1", "denied"},
        {"event.action", "mqtt-publish-denied"},
        {"event.outcome", "failure"},
        {"event.reason", "no_allow"},
        {"event.code", "ACL-1001"},
        {"event.module", "mqward"},
        {"event.dataset", "mqward.audit"},
        {"message", "PUBLISH denied: sensor-17 -> plant/a/valve/3/cmd"},
        {"network.transport", "tcp"},
        {"network.protocol", "mqtt"},
        {"network.direction", "inbound"},
        {"source.ip", "203.0.113.9"},
        {"client.ip", "203.0.113.9"},
        {"server.ip", "10.0.0.5"},
        {"user.name", "sensor-17"},
        {"user.roles.1", "plant-a"},
        {"tls.version", "1.3"},
        {"tls.version_protocol", "tls"},
        {"tls.cipher", "TLS_AES_128_GCM_SHA256"},
        {"tls.client.server_name", "mqtt.example"},
        {"tls.client.subject", "CN=sensor-17,O=Plant A"},
        {"tls.client.issuer", "CN=ca,O=Plant A"},
        {"tls.client.hash.sha256", "c0ffee"},
        {"tls.client.x509.serial_number", "0a1b"},
        {"rule.ruleset", "plant-a"},
        {"rule.id", "default-deny"},
        {"rule.name", "default deny"},
        {"rule.category", "access-control"},
        {"rule.version", "sha256:6b1e"},
        {"observer.vendor", "mqward"},
        {"observer.hostname", "edge-1"},
        {"related.ip.1", "10.0.0.5"},
        {"related.user.0", "sensor-17"},
        {"related.user.1", "sensor"},
        {"mqtt.packet", "publish"},
        {"mqtt.version", "5.0"},
        {"mqtt.client_id", "client-17"},
        {"mqtt.session_id", "9c1f-000412"},
        {"mqtt.topic", "plant/a/valve/3/cmd"},
        {"mqtt.payload.excerpt", "open"},
        {"mqtt.statement", "MQTT-3.3.1-4"},
        {"mqward.origin", "6920d2f13f1c9a52.3.77"},
        {"mqward.disposition", "rejected"},
        {"mqward.policy_version", "sha256:6b1e"},
        {"mqward.rule_line", "policy.yaml:41"},
        {"mqward.nearest", "telemetry:max_qos"},
        {"mqward.listener", "tls"},
        {"mqward.upstream", "broker"},
        {"mqward.identity_source", "cert"},
        {"ecs.version", "9.4.0"},
    };

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_expect_str_eq(string_at(document, expected[i][0]), expected[i][1], "%s", expected[i][0]);
    cr_expect_eq(number_at(document, "event.sequence"), 1042);
    cr_expect_eq(number_at(document, "event.severity"), 47);
    cr_expect_eq(number_at(document, "event.duration"), 1500000000);
    cr_expect_eq(number_at(document, "client.bytes"), 100);
    cr_expect_eq(number_at(document, "mqtt.reason_code"), 135);
    cr_expect_eq(number_at(document, "mqtt.message_id"), 7);
    cr_expect_eq(number_at(document, "mqtt.payload.bytes"), 4);
    cr_expect_eq(strlen(string_at(document, "mqtt.payload.sha256")), 64);
    cr_expect(json_is_true(json_at(document, "mqtt.retained")));
    cr_expect(json_is_true(json_at(document, "tls.resumed")));
    json_decref(document);
}

Test(record, every_action_and_reason_renders)
{
    for (unsigned i = 0; i < AUDIT_ACTION_COUNT * REASON_COUNT; i++) {
        struct audit_event event = event_full();
        event.action = (enum audit_action)(i % AUDIT_ACTION_COUNT);
        event.reason = (enum reason)(i / AUDIT_ACTION_COUNT);
        json_t *document = event_document(&event);
        cr_assert_str_eq(string_at(document, "event.action"), audit_action_name(event.action));
        cr_assert_str_eq(string_at(document, "event.reason"), reason_info(event.reason)->name);
        json_decref(document);
    }
}

Test(record, an_event_of_the_proxy_has_no_peer)
{
    struct audit_event event = {
        .action = AUDIT_proxy_started, .reason = REASON_started, .disposition = AUDIT_INFORMED};
    json_t *document = event_document(&event);

    cr_assert_str_eq(string_at(document, "event.category.0"), "configuration");
    cr_assert_null(json_at(document, "source"));
    cr_assert_null(json_at(document, "network"));
    cr_assert_null(json_at(document, "rule"));
    cr_assert_null(json_at(document, "user"));
    json_decref(document);
}

Test(record, what_monitor_mode_let_pass_does_not_count_as_denied)
{
    struct audit_event event = event_full();
    event.disposition = AUDIT_MONITORED;
    json_t *document = event_document(&event);

    cr_assert_str_eq(string_at(document, "event.type.1"), "allowed");
    cr_assert_str_eq(string_at(document, "event.outcome"), "success");
    cr_assert_str_eq(string_at(document, "mqward.disposition"), "monitored");
    json_decref(document);
}

Test(record, a_filtered_delivery_comes_from_the_broker)
{
    struct audit_event event = event_full();
    event.action = AUDIT_delivery_filtered;
    event.outbound = true;
    json_t *document = event_document(&event);

    cr_assert_str_eq(string_at(document, "network.direction"), "outbound");
    cr_assert_str_eq(string_at(document, "source.ip"), "10.0.0.5");
    cr_assert_str_eq(string_at(document, "destination.ip"), "203.0.113.9");
    cr_assert_str_eq(string_at(document, "client.ip"), "203.0.113.9");
    json_decref(document);
}

Test(record, what_is_no_ip_address_is_not_put_where_indexes_expect_one)
{
    struct audit_event event = event_full();
    event.client_ip = VIEW("fe80::1%eth0");
    event.server_ip = VIEW("broker.example");
    json_t *document = event_document(&event);

    cr_assert_str_eq(string_at(document, "source.address"), "fe80::1%eth0");
    cr_assert_str_eq(string_at(document, "server.address"), "broker.example");
    cr_assert_null(json_at(document, "source.ip"));
    cr_assert_null(json_at(document, "related.ip"));
    json_decref(document);
}

/* ---- hostile texts ---- */

Test(record, no_text_breaks_out_of_its_string)
{
    for (size_t i = 0; i < EVENT_HOSTILE; i++) {
        struct audit_event event = event_full();
        struct buffer out = {0};
        struct record_origin origin;
        struct record_head head;
        event.topic = event.client_id = event.user = event.detail = event.username = event.roles[0] =
            event_hostile[i];
        event.tls_subject = event.payload_excerpt = event.client_ip = event.rule = event_hostile[i];
        json_t *document = event_document(&event);
        cr_expect_str_eq(string_at(document, "event.action"), "mqtt-publish-denied");
        cr_expect_str_eq(string_at(document, "mqward.origin"), "6920d2f13f1c9a52.3.77");
        json_decref(document);
        record_render(&out, &event, &event_seal);
        struct view line = view_of(out.data, buffer_length(&out) - 1);
        cr_expect_eq(record_parse_head(line, &head), 0);
        cr_expect_eq(record_parse_origin(line, &origin), 0);
        cr_expect_eq(origin.serial, 77, "the origin is the member, not a text that looks like it");
        buffer_release(&out);
    }
}

Test(record, the_longest_line_is_shorter_than_the_bound)
{
    static uint8_t bytes[2000];

    for (unsigned byte = 0x01; byte <= 0xff; byte += 0xfe) { /* either is six characters */
        struct buffer out = {0};
        memset(bytes, (int)byte, sizeof(bytes));
        for (unsigned action = 0; action < AUDIT_ACTION_COUNT; action++) {
            struct audit_event event = event_with_texts(view_of(bytes, sizeof(bytes)));
            event.action = (enum audit_action)action;
            buffer_clear(&out);
            record_render(&out, &event, &event_seal); /* asserts it */
            cr_assert_gt(buffer_length(&out), 100000);
        }
        buffer_release(&out);
    }
}

/* ---- reading back ---- */

static void render_line(struct buffer *out)
{
    struct audit_event event = event_full();

    record_render(out, &event, &event_seal);
    out->end--; /* without its newline */
}

Test(record, head_and_origin_come_back)
{
    struct buffer out = {0};
    struct record_head head;
    struct record_origin origin;

    render_line(&out);
    cr_assert_eq(record_parse_head(buffer_view(&out), &head), 0);
    cr_assert_eq(head.epoch, event_seal.epoch);
    cr_assert_eq(head.sequence, event_seal.sequence);
    cr_assert_eq(head.sealed_us, event_seal.sealed_us);
    cr_assert_eq(record_parse_origin(buffer_view(&out), &origin), 0);
    cr_assert(origin.run == event_seal.origin.run && origin.ring == 3 && origin.serial == 77);
    buffer_release(&out);
}

/* A torn line has no newline either: the journal's repair looks at that first. */
Test(record, no_cut_line_is_a_line_unless_two_objects_end_there)
{
    struct buffer out = {0};
    struct record_head head;

    render_line(&out);
    for (size_t length = 0; length < buffer_length(&out); length++) {
        uint8_t *exact = malloc(length > 0 ? length : 1);
        memcpy(exact, out.data, length);
        bool ends = view_ends_with(view_of(exact, length), VIEW("}}"));
        cr_assert(ends || record_parse_head(view_of(exact, length), &head) == -1, "cut to %zu bytes", length);
        free(exact);
    }
    buffer_release(&out);
}

Test(record, a_line_with_a_broken_head_is_no_line)
{
    static const char *const broken[][2] = {
        {"2026-01-02T03:04:06.001245Z", "2026-02-31T03:04:06.001245Z"},
        {"\"sequence\":1042", "\"sequence\":1043"},
        {"\"sequence\":1042", "\"sequence\":    "},
        {"6920d2f13f1c9a52-", "6920D2F13F1C9A52-"},
        {"\"created\"", "\"crEated\""},
    };
    struct record_head head;

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct buffer out = {0};
        render_line(&out);
        uint8_t *place = memmem(out.data, buffer_length(&out), broken[i][0], strlen(broken[i][0]));
        cr_assert_not_null(place);
        memcpy(place, broken[i][1], strlen(broken[i][1]));
        cr_expect_eq(record_parse_head(buffer_view(&out), &head), -1, "%s", broken[i][1]);
        buffer_release(&out);
    }
}

/* ---- the manual ---- */

static char *read_manual(void)
{
    FILE *file = fopen(MQWARD_SOURCE_DIR "/docs/audit.md", "r");
    char *text = calloc(1, 1 << 20);

    cr_assert_not_null(file);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    text[length] = '\0';
    return text;
}

Test(record, the_manual_has_the_tables_of_the_code)
{
    static const char begin[] = "<!-- generated: audit reference -->\n", end[] = "<!-- end of generated -->";
    char *manual = read_manual();
    struct buffer out = {0};

    audit_print_reference(&out);
    char *from = strstr(manual, begin);
    cr_assert_not_null(from);
    from += strlen(begin);
    char *to = strstr(from, end);
    cr_assert_not_null(to);
    cr_assert(view_equal(view_of(from, (size_t)(to - from)), buffer_view(&out)),
        "docs/audit.md is not what audit_print_reference() prints");
    buffer_release(&out);
    free(manual);
}

static void check_documented(const char *manual, const char *prefix, json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        char path[128], cell[140];
        snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key);
        if (json_is_object(value)) {
            check_documented(manual, path, value);
            continue;
        }
        snprintf(cell, sizeof(cell), "| `%s` |", path);
        cr_expect_not_null(strstr(manual, cell), "docs/audit.md does not say what %s is", path);
    }
}

static void check_rendered(const char *manual, json_t *const *documents, size_t count)
{
    char path[128];

    for (const char *row = strstr(manual, "| field |"); row != NULL && row[0] == '|';
         row = strchr(row, '\n') + 1) {
        bool rendered = false;
        if (sscanf(row, "| `%127[^`]` |", path) != 1)
            continue;
        for (size_t i = 0; i < count; i++)
            rendered = rendered || json_at(documents[i], path) != NULL;
        cr_expect(rendered, "%s is in no record", path);
    }
}

/* A checkpoint, as the sealer leaves it in the journal. */
static json_t *sealed_checkpoint(void)
{
    static const struct record_checkpoint checkpoint = {.previous = "6920d2f13f1c9a52-1",
        .events = 1041,
        .interval_events = 1000,
        .key = "ab",
        .signature = "=="};
    const struct audit_event event = {.action = AUDIT_checkpoint, .reason = REASON_checkpoint};
    struct record_seal seal = event_seal;
    struct chain_cursor cursor = {0};
    struct buffer out = {0};
    const uint8_t secret[CHAIN_KEY_SIZE] = {0};

    seal.checkpoint = &checkpoint;
    record_render(&out, &event, &seal);
    chain_begin(&cursor, secret, seal.epoch, 1);
    chain_seal(&cursor, &out, 0);
    json_t *document = json_loadb((const char *)buffer_view(&out).data, buffer_length(&out), 0, NULL);
    cr_assert_not_null(document);
    buffer_release(&out);
    return document;
}

Test(record, the_manual_says_what_each_field_is)
{
    char *manual = read_manual();
    struct audit_event events[] = {event_full(), event_plain(), event_plain(), event_plain()};
    json_t *documents[5] = {sealed_checkpoint()};

    events[1].outbound = events[2].outbound = true;
    events[2].client_ip = events[2].server_ip = VIEW("/run/broker.sock");
    for (size_t i = 1; i < 5; i++)
        documents[i] = event_document(&events[i - 1]);
    for (size_t i = 0; i < 5; i++)
        check_documented(manual, "", documents[i]);
    check_rendered(manual, documents, 5);
    for (size_t i = 0; i < 5; i++)
        json_decref(documents[i]);
    free(manual);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the events that the exporters' tests push, and looking into the documents that they become. */
#include "event.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "exporters/audit_fields.h"

const struct record_seal event_seal = {.epoch = 0x6920d2f13f1c9a52,
    .sequence = 1042,
    .sealed_us = 1767323046001999,
    .origin = {0x6920d2f13f1c9a52, 3, 77},
    .hostname = "edge-1"};

const struct view event_hostile[EVENT_HOSTILE] = {
    VIEW("\"},\"event\":{\"action\":\"forged\"},\"x\":{\"y\":\""),
    VIEW("a\nb\r\n{\"@timestamp\":\"forged\"}\n"),
    VIEW("back\\slash\\"),
    VIEW("\x1b[2J\x07\x7f\x00mid"),
    VIEW("\xff\xfe\xc0\xaf\xed\xa0\x80"),
    VIEW("\xe2\x80\xa8\xe2\x80\xa9"),
    VIEW("\"mqward\":{\"origin\":\"0000000000000001.0.1\""),
    VIEW("cut in a character \xe2\x82"),
};

struct audit_event event_plain(void)
{
    struct audit_event event = {
        .action = AUDIT_publish_denied,
        .reason = REASON_denied_by_rule,
        .disposition = AUDIT_REJECTED,
        .wall_us = 1767323046001245,
        .detail = VIEW("max_qos is 0"),
        .statement = VIEW("MQTT-3.3.1-4"),
        .session_id = VIEW("9c1f-000412"),
        .client_ip = VIEW("203.0.113.9"),
        .client_port = 51724,
        .server_ip = VIEW("10.0.0.5"),
        .server_port = 1883,
        .listener = VIEW("tls"),
        .upstream = VIEW("broker"),
        .tls = true,
        .tls_resumed = true,
        .tls_version = VIEW("1.3"),
        .tls_cipher = VIEW("TLS_AES_128_GCM_SHA256"),
        .tls_server_name = VIEW("mqtt.example"),
        .tls_subject = VIEW("CN=sensor-17,O=Plant A"),
        .tls_issuer = VIEW("CN=ca,O=Plant A"),
        .tls_serial = VIEW("0a1b"),
        .tls_fingerprint = VIEW("c0ffee"),
        .user = VIEW("sensor-17"),
        .source = VIEW("cert"),
        .username = VIEW("sensor"),
        .roles = {VIEW("sensor"), VIEW("plant-a")},
        .role_count = 2,
        .client_id = VIEW("client-17"),
        .packet = VIEW("publish"),
        .mqtt_version = VIEW("5.0"),
        .has_topic = true,
        .topic = VIEW("plant/a/valve/3/cmd"),
        .response_topic = VIEW("plant/a/answers"),
        .has_qos = true,
        .qos = 1,
        .retained = true,
        .duplicate = true,
        .packet_id = 7,
        .has_reason_code = true,
        .reason_code = 135,
        .has_payload = true,
        .payload_bytes = 4,
        .has_payload_hash = true,
        .payload_sha256 = {0x9f, 0x86, 0xd0, 0x81},
        .payload_excerpt = VIEW("open"),
        .has_connect = true,
        .clean_start = true,
        .keep_alive = 60,
        .ruleset = VIEW("plant-a"),
        .policy_version = VIEW("sha256:6b1e"),
        .previous_policy = VIEW("sha256:5a0d"),
        .rule = VIEW("valves"),
        .rule_location = VIEW("policy.yaml:41"),
        .nearest = VIEW("telemetry:max_qos"),
        .has_totals = true,
        .duration_ms = 1500,
        .client_bytes = 100,
        .client_packets = 5,
        .server_bytes = 200,
        .server_packets = 6,
        .start_us = 1767323040000000,
        .end_us = 1767323045999999,
        .gap_first = 1001,
        .gap_last = 1009,
        .shadow_policy = VIEW("sha256:7c2f"),
        .shadow_decision = VIEW("allow"),
        .shadow_rule = VIEW("valves-next"),
        .shadow_location = VIEW("next.yaml:12"),
        .shadow_reason = VIEW("allowed"),
        .count = 9,
        .suppressed = 41,
        .signature_kid = VIEW("m25a.2"),
        .signature_sub = VIEW("plc-3"),
        .ban_by = VIEW("id"),
        .ban_value = VIEW("sensor-17"),
        .ban_until_us = 1767323646001245,
    };

    return event;
}

struct audit_event event_full(void)
{
    struct audit_event event = event_plain();

    event.yara_rules[0] = VIEW("elf_anywhere");
    event.yara_rules[1] = VIEW("busybox");
    event.yara_rules[2] = VIEW("dropper");
    event.yara_rule_count = 3;
    event.yara_sets[0] = VIEW("iot");
    event.yara_sets[1] = VIEW("site");
    event.yara_set_count = 2;
    event.yara_tags[0] = VIEW("executable");
    event.yara_tags[1] = VIEW("linux");
    event.yara_tag_count = 2;
    event.yara_techniques[0] = VIEW("T1105");
    event.yara_techniques[1] = VIEW("T1059.004");
    event.yara_technique_count = 2;
    event.yara_id = VIEW("iot-001");
    event.yara_description = VIEW("ELF where telemetry belongs");
    event.yara_reference = VIEW("https://attack.mitre.org/techniques/T1105/");
    event.yara_severity = VIEW("high");
    event.has_yara_offset = true;
    event.yara_offset = 12;
    event.yara_view = VIEW("json/base64");
    event.yara_part = VIEW("user_property");
    event.yara_matches = 5;
    event.scan_incomplete = VIEW("bomb: ratio");
    event.quarantine = VIEW("stored");
    event.has_quarantine_sha256 = true;
    event.quarantine_sha256[0] = 0xab;
    return event;
}

struct audit_event event_with_texts(struct view text)
{
    struct audit_event event = event_full();

#define FIELD_TEXT(member) event.member = text;
#define FIELD_LIST(member)                                                                                   \
    for (size_t i = 0; i < AUDIT_LIST_MAX; i++)                                                              \
        event.member[i] = text;
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
    event.role_count = event.yara_rule_count = event.yara_set_count = event.yara_tag_count =
        event.yara_technique_count = AUDIT_LIST_MAX;
    return event;
}

struct audit_event event_numbered(uint64_t number, char user[32])
{
    snprintf(user, 32, "%" PRIu64, number);
    return (struct audit_event){.action = AUDIT_publish_denied,
        .reason = REASON_no_allow,
        .disposition = AUDIT_DROPPED,
        .wall_us = 1767323046001245 + number,
        .client_ip = VIEW("203.0.113.9"),
        .user = view_of_string(user),
        .has_topic = true,
        .topic = VIEW("plant/a/valve/3/cmd")};
}

bool event_equal(const struct audit_event *a, const struct audit_event *b)
{
#define TEXT(member) view_equal(a->member, b->member)
#define SAME(member) (a->member == b->member)
    for (size_t i = 0; i < AUDIT_LIST_MAX; i++) {
        if (!TEXT(roles[i]) || !TEXT(yara_rules[i]) || !TEXT(yara_sets[i]) || !TEXT(yara_tags[i]) ||
            !TEXT(yara_techniques[i]))
            return false;
    }
    return SAME(action) && SAME(reason) && SAME(disposition) && SAME(wall_us) && SAME(outbound) &&
           TEXT(detail) && TEXT(statement) && TEXT(session_id) && TEXT(client_ip) && SAME(client_port) &&
           TEXT(server_ip) && SAME(server_port) && TEXT(listener) && TEXT(upstream) && SAME(tls) &&
           SAME(tls_resumed) && TEXT(tls_version) && TEXT(tls_cipher) && TEXT(tls_server_name) &&
           TEXT(tls_subject) && TEXT(tls_issuer) && TEXT(tls_serial) && TEXT(tls_fingerprint) && TEXT(user) &&
           TEXT(source) && TEXT(username) && SAME(role_count) && TEXT(client_id) && TEXT(packet) &&
           TEXT(mqtt_version) && SAME(has_topic) && TEXT(topic) && TEXT(response_topic) && SAME(has_qos) &&
           SAME(qos) && SAME(retained) && SAME(duplicate) && SAME(packet_id) && SAME(has_reason_code) &&
           SAME(reason_code) && SAME(has_payload) && SAME(payload_bytes) && SAME(has_payload_hash) &&
           memcmp(a->payload_sha256, b->payload_sha256, 32) == 0 && TEXT(payload_excerpt) &&
           SAME(has_connect) && SAME(clean_start) && SAME(keep_alive) && TEXT(ruleset) &&
           TEXT(policy_version) && TEXT(rule) && TEXT(rule_location) && TEXT(nearest) && SAME(has_totals) &&
           SAME(duration_ms) && SAME(client_bytes) && SAME(client_packets) && SAME(server_bytes) &&
           SAME(server_packets) && SAME(count) && SAME(suppressed) && TEXT(signature_kid) &&
           SAME(yara_rule_count) && SAME(yara_set_count) && SAME(yara_tag_count) &&
           SAME(yara_technique_count) && TEXT(yara_id) && TEXT(yara_description) && TEXT(yara_reference) &&
           TEXT(yara_severity) && SAME(has_yara_offset) && SAME(yara_offset) && TEXT(yara_view) &&
           TEXT(yara_part) && SAME(yara_matches) && TEXT(scan_incomplete) && TEXT(quarantine) &&
           SAME(has_quarantine_sha256) &&
           memcmp(a->quarantine_sha256, b->quarantine_sha256, sizeof(a->quarantine_sha256)) == 0 &&
           TEXT(previous_policy) && SAME(start_us) && SAME(end_us) && SAME(gap_first) && SAME(gap_last) &&
           TEXT(shadow_policy) && TEXT(shadow_decision) && TEXT(shadow_rule) && TEXT(shadow_location) &&
           TEXT(shadow_reason) && TEXT(signature_sub) && TEXT(ban_by) && TEXT(ban_value) &&
           SAME(ban_until_us);
#undef TEXT
#undef SAME
}

json_t *json_at(json_t *root, const char *path)
{
    char copy[128], *rest = NULL;

    snprintf(copy, sizeof(copy), "%s", path);
    for (char *part = strtok_r(copy, ".", &rest); part != NULL && root != NULL;
         part = strtok_r(NULL, ".", &rest))
        root = json_is_array(root) ? json_array_get(root, (size_t)atoi(part)) : json_object_get(root, part);
    return root;
}

const char *string_at(json_t *root, const char *path)
{
    const char *text = json_string_value(json_at(root, path));

    return text == NULL ? "(absent)" : text;
}

int64_t number_at(json_t *root, const char *path)
{
    json_t *value = json_at(root, path);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

json_t *event_document(const struct audit_event *event)
{
    struct buffer out = {0};
    json_error_t error;

    record_render(&out, event, &event_seal);
    struct view line = buffer_view(&out);
    cr_assert(line.length > 1 && line.data[line.length - 1] == '\n');
    cr_assert_null(memchr(line.data, '\n', line.length - 1), "a line has one newline, at its end");
    json_t *document =
        json_loadb((const char *)line.data, line.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    cr_assert_not_null(document, "%s: %.*s", error.text, VIEW_ARGS(line));
    buffer_release(&out);
    return document;
}

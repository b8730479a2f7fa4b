/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the journal's line: an event rendered as an ECS 9 document. Called by the exporter thread when it
 * seals; the reader functions are called by the journal (repair), recovery and the sinks.
 *
 * The order is fixed: @timestamp, event {created, sequence, id ...}, ..., mqward {origin ...}, ecs. What a
 * reader needs of a line stands at a fixed place, so that nothing has to parse JSON that it wrote itself. */
#include "exporters/record.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/buffer.h"
#include "exporters/record_write.h"
#include "exporters/record_yara.h"

/* ---- what differs by action ---- */

/* EITHER: the topic if there is one, else the address. */
enum record_shape { SHAPE_TOPIC, SHAPE_ADDRESS, SHAPE_EITHER, SHAPE_DETAIL };

/* message: "<phrase>: <who> -> <topic>", "<phrase>: <who> from <address>", "<phrase>: <detail>". */
struct record_style {
    const char *phrase;
    enum record_shape shape;
    const char *outcome;
};

static const struct record_style record_styles[AUDIT_ACTION_COUNT] = {
    [AUDIT_connect_accepted] = {"CONNECT accepted", SHAPE_ADDRESS, "success"},
    [AUDIT_reauthenticated] = {"AUTH accepted", SHAPE_ADDRESS, "success"},
    [AUDIT_connect_refused] = {"CONNECT refused", SHAPE_ADDRESS, "failure"},
    [AUDIT_disconnect] = {"connection ended", SHAPE_ADDRESS, "unknown"},
    [AUDIT_publish_allowed] = {"PUBLISH allowed", SHAPE_TOPIC, "success"},
    [AUDIT_publish_denied] = {"PUBLISH denied", SHAPE_TOPIC, "failure"},
    [AUDIT_subscribe_granted] = {"SUBSCRIBE granted", SHAPE_TOPIC, "success"},
    [AUDIT_subscribe_denied] = {"SUBSCRIBE denied", SHAPE_TOPIC, "failure"},
    [AUDIT_subscription_withdrawn] = {"subscription withdrawn", SHAPE_TOPIC, "failure"},
    [AUDIT_delivery_filtered] = {"delivery filtered", SHAPE_TOPIC, "failure"},
    [AUDIT_signature_rejected] = {"signature rejected", SHAPE_TOPIC, "failure"},
    [AUDIT_payload_matched] = {"payload matched", SHAPE_TOPIC, "failure"},
    [AUDIT_scan_failed] = {"scan failed", SHAPE_TOPIC, "failure"},
    [AUDIT_will_denied] = {"will denied", SHAPE_TOPIC, "failure"},
    [AUDIT_protocol_error] = {"protocol error", SHAPE_ADDRESS, "failure"},
    [AUDIT_tls_handshake_failed] = {"TLS handshake failed", SHAPE_ADDRESS, "failure"},
    [AUDIT_rate_limited] = {"rate limited", SHAPE_EITHER, "failure"},
    [AUDIT_client_banned] = {"client banned", SHAPE_ADDRESS, "success"},
    [AUDIT_client_unbanned] = {"client unbanned", SHAPE_ADDRESS, "success"},
    [AUDIT_proxy_started] = {"mqward started", SHAPE_DETAIL, "success"},
    [AUDIT_proxy_stopping] = {"mqward is stopping", SHAPE_DETAIL, "success"},
    [AUDIT_policy_loaded] = {"policy loaded", SHAPE_DETAIL, "success"},
    [AUDIT_policy_rejected] = {"policy rejected", SHAPE_DETAIL, "failure"},
    [AUDIT_sink_down] = {"audit sink down", SHAPE_DETAIL, "failure"},
    [AUDIT_sink_up] = {"audit sink up", SHAPE_DETAIL, "success"},
    [AUDIT_audit_gap] = {"audit events lost", SHAPE_DETAIL, "failure"},
    [AUDIT_audit_recovered] = {"audit events recovered", SHAPE_DETAIL, "success"},
    [AUDIT_key_expiring] = {"signature key expires soon", SHAPE_DETAIL, "unknown"},
    [AUDIT_replay_degraded] = {"shared replay store away", SHAPE_DETAIL, "failure"},
    [AUDIT_replay_restored] = {"shared replay store back", SHAPE_DETAIL, "success"},
};

/* Denials for want of an allow: they are the default deny's, other reasons without a rule are nobody's. */
static bool record_is_default_deny(const struct audit_event *event)
{
    return event->rule.length == 0 &&
           (event->reason == REASON_no_allow || event->reason == REASON_not_covered ||
               event->reason == REASON_feature_not_granted || event->reason == REASON_not_privileged);
}

/* In monitor mode, and where a check on payloads only alerts, nothing was denied: SIEMs must not count it. */
static bool record_went_on(const struct audit_event *event)
{
    bool scan = event->action == AUDIT_payload_matched || event->action == AUDIT_scan_failed;

    return event->disposition == AUDIT_MONITORED || (scan && event->disposition == AUDIT_INFORMED);
}

/* ---- small writers ---- */

/* "a,b,c" as an array. What went on was not denied but allowed. */
static void record_list(struct json *json, const char *key, const char *list, bool went_on)
{
    json_write_array_begin(json, key);
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        struct view item = view_of(list, length);
        json_write_string(json, NULL, went_on && view_equal_string(item, "denied") ? VIEW("allowed") : item);
        list += length + (list[length] == ',' ? 1 : 0);
    }
    json_write_array_end(json);
}

/* Indexes map source.ip to an address type and refuse the whole document for anything else. */
static bool record_is_ip(struct view text)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (text.length == 0 || text.length >= sizeof(copy) || memchr(text.data, '\0', text.length) != NULL)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return inet_pton(AF_INET, copy, &address) == 1 || inet_pton(AF_INET6, copy, &address) == 1;
}

static void record_address(struct json *json, struct view ip, uint16_t port)
{
    record_text(json, record_is_ip(ip) ? "ip" : "address", ip, AUDIT_CAP_server_ip);
    if (port != 0)
        json_write_unsigned(json, "port", port);
}

/* ---- blocks ---- */

static void record_event(struct json *json, const struct audit_event *event, const struct record_seal *seal)
{
    const struct audit_action_info *action = audit_action_info(event->action);
    const struct reason_info *reason = reason_info(event->reason);
    bool went_on = record_went_on(event);
    char id[64];

    json_write_object_begin(json, "event");
    record_timestamp(json, "created", seal->sealed_us);
    json_write_unsigned(json, "sequence", seal->sequence);
    snprintf(id, sizeof(id), "%016" PRIx64 "-%" PRIu64, seal->epoch, seal->sequence);
    record_literal(json, "id", id);
    record_literal(json, "kind", action->kind);
    record_list(json, "category", action->categories, false);
    record_list(json, "type", action->types, went_on);
    record_literal(json, "action", action->name);
    record_literal(json, "outcome", went_on ? "success" : record_styles[event->action].outcome);
    record_literal(json, "reason", reason->name);
    record_literal(json, "code", reason->code);
    json_write_unsigned(json, "severity", record_match_severity(event, reason->severity));
    record_literal(json, "module", "mqward");
    record_literal(json, "dataset", "mqward.audit");
    if (event->has_totals)
        record_number(json, "duration",
            event->duration_ms > INT64_MAX / 1000000 ? INT64_MAX : event->duration_ms * 1000000);
    json_write_object_end(json);
}

static void record_message_part(struct json *json, const char *before, struct view text, size_t cap)
{
    buffer_append(json->out, view_of_string(before));
    json_write_escape_capped(json->out, text, cap);
}

/* "PUBLISH denied: sensor-17 -> plant/a/valve/3/cmd (detail)" */
static void record_message(struct json *json, const struct audit_event *event)
{
    const struct record_style *style = &record_styles[event->action];
    struct view who = event->user.length > 0 ? event->user : event->client_id;
    bool named = false;

    assert(style->phrase != NULL); /* a new action needs its row above */
    json_write_string(json, "message", VIEW(""));
    json->out->end--; /* the closing quote: the text is composed in place, each part escaped */
    record_message_part(json, style->phrase, (struct view){0}, 0);
    if (event->disposition == AUDIT_MONITORED)
        record_message_part(json, " (monitored)", (struct view){0}, 0);
    if (style->shape != SHAPE_DETAIL && who.length > 0) {
        record_message_part(json, ": ", who, AUDIT_CAP_user);
        named = true;
    }
    if (event->has_topic && (style->shape == SHAPE_TOPIC || style->shape == SHAPE_EITHER)) {
        record_message_part(
            json, named ? (event->outbound ? " <- " : " -> ") : ": ", event->topic, AUDIT_CAP_topic);
    } else if (event->client_ip.length > 0 &&
               (style->shape == SHAPE_ADDRESS || style->shape == SHAPE_EITHER)) {
        record_message_part(json, named ? " from " : ": ", event->client_ip, AUDIT_CAP_client_ip);
    }
    if (style->shape == SHAPE_DETAIL && event->count > 0)
        buffer_format(json->out, " (%" PRIu64 ")", event->count);
    if (event->detail.length > 0)
        record_message_part(json, ": ", event->detail, AUDIT_CAP_detail);
    buffer_append_byte(json->out, '"');
}

static void record_side(struct json *json, const char *key, struct view ip, uint16_t port, bool totals,
    uint64_t bytes, uint64_t packets)
{
    if (ip.length == 0 && !totals)
        return;
    json_write_object_begin(json, key);
    record_address(json, ip, port);
    if (totals) {
        record_number(json, "bytes", bytes);
        record_number(json, "packets", packets);
    }
    json_write_object_end(json);
}

/* source is who sent the packet; client and server are the roles, whoever sent it. */
static void record_network(struct json *json, const struct audit_event *event)
{
    struct view client = event->client_ip, server = event->server_ip;

    if (client.length == 0 && event->session_id.length == 0)
        return;
    json_write_object_begin(json, "network");
    record_literal(json, "transport", "tcp");
    record_literal(json, "protocol", "mqtt");
    record_literal(json, "direction", event->outbound ? "outbound" : "inbound");
    json_write_object_end(json);
    if (event->outbound) {
        record_side(json, "source", server, event->server_port, false, 0, 0);
        record_side(json, "destination", client, event->client_port, false, 0, 0);
    } else {
        record_side(json, "source", client, event->client_port, false, 0, 0);
    }
    record_side(json, "client", client, event->client_port, event->has_totals, event->client_bytes,
        event->client_packets);
    record_side(json, "server", server, event->server_port, event->has_totals, event->server_bytes,
        event->server_packets);
}

static void record_user(struct json *json, const struct audit_event *event)
{
    if (event->user.length == 0 && event->role_count == 0)
        return;
    json_write_object_begin(json, "user");
    RECORD_TEXT(json, "name", event, user);
    RECORD_LIST(json, "roles", event, roles, role_count);
    json_write_object_end(json);
}

static void record_tls(struct json *json, const struct audit_event *event)
{
    if (!event->tls)
        return;
    json_write_object_begin(json, "tls");
    RECORD_TEXT(json, "version", event, tls_version);
    record_literal(json, "version_protocol", "tls");
    RECORD_TEXT(json, "cipher", event, tls_cipher);
    json_write_boolean(json, "resumed", event->tls_resumed);
    if (event->tls_server_name.length > 0 || event->tls_subject.length > 0 || event->tls_issuer.length > 0 ||
        event->tls_fingerprint.length > 0 || event->tls_serial.length > 0) {
        json_write_object_begin(json, "client");
        RECORD_TEXT(json, "server_name", event, tls_server_name);
        RECORD_TEXT(json, "subject", event, tls_subject);
        RECORD_TEXT(json, "issuer", event, tls_issuer);
        if (event->tls_fingerprint.length > 0) {
            json_write_object_begin(json, "hash");
            RECORD_TEXT(json, "sha256", event, tls_fingerprint);
            json_write_object_end(json);
        }
        if (event->tls_serial.length > 0) {
            json_write_object_begin(json, "x509");
            RECORD_TEXT(json, "serial_number", event, tls_serial);
            json_write_object_end(json);
        }
        json_write_object_end(json);
    }
    json_write_object_end(json);
}

static void record_rule(struct json *json, const struct audit_event *event)
{
    bool default_deny = record_is_default_deny(event);

    if (record_is_match(event)) {
        record_match_rule(json, event);
        return;
    }
    if (event->ruleset.length == 0 && event->rule.length == 0 && !default_deny)
        return;
    json_write_object_begin(json, "rule");
    RECORD_TEXT(json, "ruleset", event, ruleset);
    if (default_deny) {
        record_literal(json, "id", "default-deny");
        record_literal(json, "name", "default deny");
    } else {
        RECORD_TEXT(json, "id", event, rule);
        RECORD_TEXT(json, "name", event, rule);
    }
    if (default_deny || event->rule.length > 0)
        record_literal(json, "category", "access-control");
    RECORD_TEXT(json, "version", event, policy_version);
    json_write_object_end(json);
}

static void record_observer(struct json *json, const char *hostname)
{
    json_write_object_begin(json, "observer");
    record_literal(json, "vendor", "mqward");
    record_literal(json, "product", "mqward");
    record_literal(json, "type", "proxy");
    record_literal(json, "version", MQWARD_VERSION);
    if (hostname != NULL && hostname[0] != '\0')
        record_literal(json, "hostname", hostname);
    json_write_object_end(json);
}

static void record_related_ips(struct json *json, const struct audit_event *event)
{
    bool client = record_is_ip(event->client_ip);
    bool server =
        record_is_ip(event->server_ip) && !(client && view_equal(event->client_ip, event->server_ip));

    if (!client && !server)
        return;
    json_write_array_begin(json, "ip");
    if (client)
        json_write_string(json, NULL, event->client_ip);
    if (server)
        json_write_string(json, NULL, event->server_ip);
    json_write_array_end(json);
}

static void record_related_hashes(struct json *json, const struct audit_event *event)
{
    bool kept =
        record_has_kept_hash(event) &&
        !(event->has_payload_hash && memcmp(event->quarantine_sha256, event->payload_sha256, 32) == 0);

    if (!event->has_payload_hash && !kept && event->tls_fingerprint.length == 0)
        return;
    json_write_array_begin(json, "hash");
    if (event->has_payload_hash)
        json_write_hex(json, NULL, view_of(event->payload_sha256, sizeof(event->payload_sha256)));
    if (kept)
        json_write_hex(json, NULL, view_of(event->quarantine_sha256, sizeof(event->quarantine_sha256)));
    RECORD_TEXT(json, NULL, event, tls_fingerprint);
    json_write_array_end(json);
}

static void record_related(struct json *json, const struct audit_event *event)
{
    bool username = event->username.length > 0 && !view_equal(event->username, event->user);

    json_write_object_begin(json, "related");
    record_related_ips(json, event);
    if (event->user.length > 0 || username) {
        json_write_array_begin(json, "user");
        RECORD_TEXT(json, NULL, event, user);
        if (username)
            RECORD_TEXT(json, NULL, event, username);
        json_write_array_end(json);
    }
    record_related_hashes(json, event);
    json_write_object_end(json);
}

static void record_mqtt_payload(struct json *json, const struct audit_event *event)
{
    if (!event->has_payload && !event->has_payload_hash && event->payload_excerpt.length == 0)
        return;
    json_write_object_begin(json, "payload");
    if (event->has_payload)
        record_number(json, "bytes", event->payload_bytes);
    if (event->has_payload_hash)
        json_write_hex(json, "sha256", view_of(event->payload_sha256, sizeof(event->payload_sha256)));
    RECORD_TEXT(json, "excerpt", event, payload_excerpt);
    json_write_object_end(json);
}

static void record_mqtt(struct json *json, const struct audit_event *event)
{
    json_write_object_begin(json, "mqtt");
    RECORD_TEXT(json, "packet", event, packet);
    RECORD_TEXT(json, "version", event, mqtt_version);
    RECORD_TEXT(json, "client_id", event, client_id);
    RECORD_TEXT(json, "session_id", event, session_id);
    RECORD_TEXT(json, "username", event, username);
    if (event->has_topic)
        json_write_string_capped(json, "topic", event->topic, AUDIT_CAP_topic);
    RECORD_TEXT(json, "response_topic", event, response_topic);
    if (event->has_qos) { /* the flags of one message travel together */
        json_write_unsigned(json, "qos", event->qos);
        json_write_boolean(json, "retained", event->retained);
        json_write_boolean(json, "duplicate", event->duplicate);
    }
    if (event->packet_id != 0)
        json_write_unsigned(json, "message_id", event->packet_id);
    if (event->has_reason_code)
        json_write_unsigned(json, "reason_code", event->reason_code);
    RECORD_TEXT(json, "statement", event, statement);
    if (event->has_connect) {
        json_write_boolean(json, "clean_start", event->clean_start);
        json_write_unsigned(json, "keep_alive", event->keep_alive);
    }
    record_mqtt_payload(json, event);
    json_write_object_end(json);
}

static void record_ban(struct json *json, const struct audit_event *event)
{
    if (event->ban_by.length == 0)
        return;
    json_write_object_begin(json, "ban");
    RECORD_TEXT(json, "by", event, ban_by);
    RECORD_TEXT(json, "value", event, ban_value);
    if (event->ban_until_us != 0)
        record_timestamp(json, "until", event->ban_until_us);
    json_write_object_end(json);
}

static void record_signature(struct json *json, const struct audit_event *event)
{
    if (event->signature_kid.length == 0)
        return;
    json_write_object_begin(json, "signature");
    RECORD_TEXT(json, "kid", event, signature_kid);
    RECORD_TEXT(json, "signer", event, signature_sub);
    json_write_object_end(json);
}

static void record_mqward(
    struct json *json, const struct audit_event *event, const struct record_origin *origin)
{
    char text[80];

    snprintf(
        text, sizeof(text), "%016" PRIx64 ".%" PRIu32 ".%" PRIu64, origin->run, origin->ring, origin->serial);
    json_write_object_begin(json, "mqward");
    record_literal(json, "origin", text);
    record_literal(json, "disposition", audit_disposition_name(event->disposition));
    RECORD_TEXT(json, "policy_version", event, policy_version);
    RECORD_TEXT(json, "previous_policy_version", event, previous_policy);
    RECORD_TEXT(json, "rule_line", event, rule_location);
    RECORD_TEXT(json, "nearest", event, nearest);
    RECORD_TEXT(json, "detail", event, detail);
    RECORD_TEXT(json, "listener", event, listener);
    RECORD_TEXT(json, "upstream", event, upstream);
    RECORD_TEXT(json, "identity_source", event, source);
    if (event->count > 0)
        record_number(json, "count", event->count);
    if (event->suppressed > 0)
        record_number(json, "suppressed", event->suppressed);
    record_signature(json, event);
    record_scan(json, event);
    record_ban(json, event);
    json_write_object_end(json);
}

void record_render(struct buffer *out, const struct audit_event *event, const struct record_seal *seal)
{
    size_t before = buffer_length(out);
    struct json json;

    json_write_begin(&json, out);
    json_write_object_begin(&json, NULL);
    record_timestamp(&json, "@timestamp", event->wall_us);
    record_event(&json, event, seal);
    record_message(&json, event);
    record_network(&json, event);
    record_user(&json, event);
    record_tls(&json, event);
    record_rule(&json, event);
    record_observer(&json, seal->hostname);
    record_related(&json, event);
    record_mqtt(&json, event);
    record_mqward(&json, event, &seal->origin);
    json_write_object_begin(&json, "ecs");
    record_literal(&json, "version", "9.4.0");
    json_write_object_end(&json);
    json_write_object_end(&json);
    buffer_append_byte(out, '\n');
    assert(buffer_length(out) - before <= RECORD_LINE_MAX);
}

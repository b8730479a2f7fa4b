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

#include "base/buffer.h"
#include "base/number.h"
#include "exporters/chain.h"
#include "exporters/record_shadow.h"
#include "exporters/record_style.h"
#include "exporters/record_write.h"
#include "exporters/record_yara.h"

/* ---- what went on ---- */

/* Denials for want of an allow: they are the default deny's, other reasons without a rule are nobody's. */
static bool record_is_default_deny(const struct audit_event *event)
{
    return event->rule.length == 0 &&
           (event->reason == REASON_no_allow || event->reason == REASON_not_covered ||
               event->reason == REASON_feature_not_granted || event->reason == REASON_not_privileged);
}

/* In monitor mode, and where a failed scan only alerts, nothing was denied: SIEMs must not count it. */
static bool record_went_on(const struct audit_event *event)
{
    return event->disposition == AUDIT_MONITORED ||
           (event->action == AUDIT_scan_failed && event->disposition == AUDIT_INFORMED);
}

/* ---- small writers ---- */

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

/* An end of the connection. */
struct record_party {
    struct view address;
    uint16_t port;
    bool is_ip;
};

static struct record_party record_party_of(struct view address, uint16_t port)
{
    return (struct record_party){address, port, record_is_ip(address)};
}

static void record_address(struct json *json, const struct record_party *party)
{
    record_text(json, party->is_ip ? "ip" : "address", party->address, AUDIT_CAP_server_ip);
    if (party->port != 0)
        json_write_unsigned(json, "port", party->port);
}

/* ---- blocks ---- */

static void record_event(struct json *json, const struct audit_event *event, const struct record_seal *seal)
{
    const struct reason_info *reason = reason_info(event->reason);
    char id[64], *end;

    json_write_object_begin(json, "event");
    record_timestamp(json, "created", seal->sealed_us);
    json_write_unsigned(json, "sequence", seal->sequence);
    end = number_put_hex64(id, seal->epoch);
    *end++ = '-';
    end = number_put_decimal(end, seal->sequence);
    json_write_string(json, "id", view_of(id, (size_t)(end - id)));
    json_write_members(json, record_action_members(event->action, record_went_on(event)));
    json_write_literal(json, "reason", reason->name);
    json_write_literal(json, "code", reason->code);
    json_write_unsigned(json, "severity", record_match_severity(event, reason->severity));
    json_write_literal(json, "module", "mqward");
    json_write_literal(json, "dataset", "mqward.audit");
    if (event->start_us != 0)
        record_timestamp(json, "start", event->start_us);
    if (event->end_us != 0)
        record_timestamp(json, "end", event->end_us);
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
    const struct record_style *style = record_style(event->action);
    struct view who = event->user.length > 0       ? event->user
                      : event->username.length > 0 ? event->username
                                                   : event->client_id;
    bool named = false;

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
    record_shadow_message(json, event);
    if (event->detail.length > 0)
        record_message_part(json, ": ", event->detail, AUDIT_CAP_detail);
    buffer_append_byte(json->out, '"');
}

static void record_side(struct json *json, const char *key, const struct record_party *party)
{
    if (party->address.length == 0)
        return;
    json_write_object_begin(json, key);
    record_address(json, party);
    json_write_object_end(json);
}

/* With what it sent, where the event is about a whole connection. */
static void record_role(struct json *json, const char *key, const struct record_party *party,
    const struct audit_event *event, uint64_t bytes, uint64_t packets)
{
    if (!event->has_totals) {
        record_side(json, key, party);
        return;
    }
    json_write_object_begin(json, key);
    record_address(json, party);
    record_number(json, "bytes", bytes);
    record_number(json, "packets", packets);
    json_write_object_end(json);
}

/* source is who sent the packet; client and server are the roles, whoever sent it. */
static void record_network(struct json *json, const struct audit_event *event,
    const struct record_party *client, const struct record_party *server)
{
    if (client->address.length == 0 && event->session_id.length == 0)
        return;
    json_write_object_begin(json, "network");
    json_write_literal(json, "transport", "tcp");
    json_write_literal(json, "protocol", "mqtt");
    json_write_literal(json, "direction", event->outbound ? "outbound" : "inbound");
    json_write_object_end(json);
    record_side(json, "source", event->outbound ? server : client);
    if (event->outbound)
        record_side(json, "destination", client);
    record_role(json, "client", client, event, event->client_bytes, event->client_packets);
    record_role(json, "server", server, event, event->server_bytes, event->server_packets);
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
    json_write_literal(json, "version_protocol", "tls");
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
        json_write_literal(json, "id", "default-deny");
        json_write_literal(json, "name", "default deny");
    } else {
        RECORD_TEXT(json, "id", event, rule);
        RECORD_TEXT(json, "name", event, rule);
    }
    if (default_deny || event->rule.length > 0)
        json_write_literal(json, "category", "access-control");
    RECORD_TEXT(json, "version", event, policy_version);
    json_write_object_end(json);
}

static void record_observer(struct json *json, const char *hostname)
{
    json_write_object_begin(json, "observer");
    json_write_literal(json, "vendor", "mqward");
    json_write_literal(json, "product", "mqward");
    json_write_literal(json, "type", "proxy");
    json_write_literal(json, "version", MQWARD_VERSION);
    if (hostname != NULL && hostname[0] != '\0')
        json_write_literal(json, "hostname", hostname);
    json_write_object_end(json);
}

static void record_related_ips(
    struct json *json, const struct record_party *client, const struct record_party *server)
{
    bool both = client->is_ip && view_equal(client->address, server->address);

    if (!client->is_ip && !server->is_ip)
        return;
    json_write_array_begin(json, "ip");
    if (client->is_ip)
        json_write_string(json, NULL, client->address);
    if (server->is_ip && !both)
        json_write_string(json, NULL, server->address);
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

static void record_related(struct json *json, const struct audit_event *event,
    const struct record_party *client, const struct record_party *server)
{
    bool username = event->username.length > 0 && !view_equal(event->username, event->user);

    struct record_object related = record_object_begin(json, "related");

    record_related_ips(json, client, server);
    if (event->user.length > 0 || username) {
        json_write_array_begin(json, "user");
        RECORD_TEXT(json, NULL, event, user);
        if (username)
            RECORD_TEXT(json, NULL, event, username);
        json_write_array_end(json);
    }
    record_related_hashes(json, event);
    record_object_end(json, related);
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
    struct record_object mqtt = record_object_begin(json, "mqtt");

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
    record_object_end(json, mqtt);
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

static void record_gap(struct json *json, const struct audit_event *event)
{
    if (event->gap_first == 0)
        return;
    json_write_object_begin(json, "gap");
    record_number(json, "first_sequence", event->gap_first);
    record_number(json, "last_sequence", event->gap_last);
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

static void record_mqward(struct json *json, const struct audit_event *event, const struct record_seal *seal)
{
    const struct record_origin *origin = &seal->origin;
    char text[80], *end;

    end = number_put_hex64(text, origin->run);
    *end++ = '.';
    end = number_put_decimal(end, origin->ring);
    *end++ = '.';
    end = number_put_decimal(end, origin->serial);
    json_write_object_begin(json, "mqward");
    if (seal->checkpoint == NULL) /* the sealer's own: from no ring */
        json_write_string(json, "origin", view_of(text, (size_t)(end - text)));
    json_write_literal(json, "disposition", audit_disposition_name(event->disposition));
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
    record_gap(json, event);
    record_checkpoint(json, seal->checkpoint);
    record_shadow(json, event);
    record_signature(json, event);
    record_scan(json, event);
    record_ban(json, event);
    json_write_object_end(json);
}

void record_render(struct buffer *out, const struct audit_event *event, const struct record_seal *seal)
{
    const struct record_party client = record_party_of(event->client_ip, event->client_port);
    const struct record_party server = record_party_of(event->server_ip, event->server_port);
    size_t before = buffer_length(out);
    struct json json;

    json_write_begin(&json, out);
    json_write_object_begin(&json, NULL);
    record_timestamp(&json, "@timestamp", event->wall_us);
    record_event(&json, event, seal);
    record_message(&json, event);
    record_network(&json, event, &client, &server);
    record_user(&json, event);
    record_tls(&json, event);
    record_rule(&json, event);
    record_observer(&json, seal->hostname);
    record_related(&json, event, &client, &server);
    record_mqtt(&json, event);
    record_mqward(&json, event, seal);
    json_write_object_begin(&json, "ecs");
    json_write_literal(&json, "version", "9.4.0");
    json_write_object_end(&json);
    json_write_object_end(&json);
    buffer_append_byte(out, '\n');
    assert(buffer_length(out) - before + CHAIN_MEMBER_MAX <= RECORD_LINE_MAX);
}

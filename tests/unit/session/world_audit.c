/* SPDX-License-Identifier: Apache-2.0 */
/* Audit events as lines, and what every event must carry. The world's hook for them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/memory.h"
#include "base/ring.h"
#include "world.h"

void world_take_line(struct world *world, struct buffer *text)
{
    cr_assert(world->count < WORLD_LINES_MAX, "too many lines at once");
    world->lines[world->count++] = memory_copy_string(buffer_view(text));
    buffer_release(text);
}

/* " key=value", with '_' for blanks so that a token stays one. */
static void add_token(struct buffer *line, const char *key, struct view value)
{
    if (value.length == 0)
        return;
    buffer_format(line, " %s=", key);
    for (size_t i = 0; i < value.length; i++)
        buffer_append_byte(line, value.data[i] == ' ' ? '_' : value.data[i]);
}

/* "policy.yaml:<line>" of the rule in the policy's text. */
static void check_location(const char *policy_text, const struct audit_event *event)
{
    char wanted[160], location[64];
    unsigned line = 1;
    const char *at;

    if (event->rule.length == 0) {
        cr_expect(event->rule_location.length == 0, "a location without a rule");
        return;
    }
    snprintf(wanted, sizeof(wanted), "rule: %.*s\n", VIEW_ARGS(event->rule));
    at = strstr(policy_text, wanted);
    if (at == NULL) {
        snprintf(wanted, sizeof(wanted), "check: %.*s\n", VIEW_ARGS(event->rule));
        at = strstr(policy_text, wanted);
    }
    if (at == NULL)
        return; /* "client_id" and its like are not rules of the list */
    for (const char *i = policy_text; i < at; i++)
        line += *i == '\n';
    snprintf(location, sizeof(location), "policy.yaml:%u", line);
    cr_expect(view_equal_string(event->rule_location, location), "rule %.*s is at %s, not at %.*s",
        VIEW_ARGS(event->rule), location, VIEW_ARGS(event->rule_location));
}

/* What every event must carry, and that it fits a record. */
static void check_event(struct world *world, const struct audit_event *event)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    const struct session_peer *peer = &world->peer;
    const struct policy_settings *policy = policy_settings(world->settings.policy);

    cr_expect(view_equal(event->session_id, peer->session_id) &&
              view_equal(event->client_ip, peer->address) && event->client_port == peer->port);
    cr_expect(view_equal_string(event->listener, world->settings.listener) &&
              view_equal_string(event->upstream, world->settings.upstream));
    cr_expect(view_equal_string(event->ruleset, policy->name) &&
              view_equal_string(event->policy_version, policy->version));
    cr_expect(event->previous_policy.length == 0 ||
              view_equal_string(event->previous_policy, world->previous_version));
    cr_expect(event->wall_us != 0);
    size_t length = audit_event_encode(event, record);
    cr_expect(length <= AUDIT_EVENT_MAX);
    world->room_taken += length + RING_OVERHEAD + 7;
    check_location(world->policy_text, event);
}

static void add_who(struct buffer *line, const struct audit_event *event)
{
    struct buffer roles = {0};

    add_token(line, "user", event->user);
    add_token(line, "source", event->source);
    add_token(line, "username", event->username);
    add_token(line, "client_id", event->client_id);
    for (uint8_t i = 0; i < event->role_count; i++)
        buffer_format(&roles, "%s%.*s", i > 0 ? "," : "", VIEW_ARGS(event->roles[i]));
    add_token(line, "roles", buffer_view(&roles));
    buffer_release(&roles);
    add_token(line, "version", event->mqtt_version);
    add_token(line, "server", event->server_ip);
    if (event->tls)
        add_token(line, "subject", event->tls_subject);
}

static void add_what(struct buffer *line, const struct audit_event *event)
{
    add_token(line, "packet", event->packet);
    if (event->has_topic)
        add_token(line, "topic", event->topic);
    add_token(line, "response_topic", event->response_topic);
    add_token(line, "kid", event->signature_kid);
    add_token(line, "sub", event->signature_sub);
    if (event->has_qos)
        buffer_format(line, " qos=%u", event->qos);
    if (event->retained)
        buffer_append(line, VIEW(" retained"));
    if (event->duplicate)
        buffer_append(line, VIEW(" duplicate"));
    if (event->packet_id != 0)
        buffer_format(line, " id=%u", event->packet_id);
    if (event->has_reason_code)
        buffer_format(line, " code=0x%02x", event->reason_code);
    if (event->has_payload)
        buffer_format(line, " payload=%llu", (unsigned long long)event->payload_bytes);
    if (event->has_payload_hash)
        buffer_format(line, " sha256=%02x%02x%02x%02x", event->payload_sha256[0], event->payload_sha256[1],
            event->payload_sha256[2], event->payload_sha256[3]);
    add_token(line, "excerpt", event->payload_excerpt);
    if (event->has_connect)
        buffer_format(
            line, " clean=%s keepalive=%u", event->clean_start ? "true" : "false", event->keep_alive);
    if (event->has_totals)
        buffer_format(line, " bytes=%llu/%llu packets=%llu/%llu", (unsigned long long)event->client_bytes,
            (unsigned long long)event->server_bytes, (unsigned long long)event->client_packets,
            (unsigned long long)event->server_packets);
}

static void add_list(struct buffer *line, const char *key, const struct view *items, uint8_t count)
{
    for (uint8_t i = 0; i < count; i++)
        buffer_format(line, "%s%s%s%.*s", i == 0 ? " " : ",", i == 0 ? key : "", i == 0 ? "=" : "",
            VIEW_ARGS(items[i]));
}

static void add_scan(struct buffer *line, const struct audit_event *event)
{
    add_list(line, "found", event->yara_rules, event->yara_rule_count);
    add_list(line, "sets", event->yara_sets, event->yara_set_count);
    add_list(line, "tags", event->yara_tags, event->yara_tag_count);
    add_list(line, "attack", event->yara_techniques, event->yara_technique_count);
    add_token(line, "rule_id", event->yara_id);
    add_token(line, "description", event->yara_description);
    add_token(line, "reference", event->yara_reference);
    add_token(line, "severity", event->yara_severity);
    add_token(line, "view", event->yara_view);
    add_token(line, "part", event->yara_part);
    if (event->has_yara_offset)
        buffer_format(line, " offset=%llu", (unsigned long long)event->yara_offset);
    if (event->yara_matches != 0)
        buffer_format(line, " matches=%llu", (unsigned long long)event->yara_matches);
    add_token(line, "incomplete", event->scan_incomplete);
    add_token(line, "quarantine", event->quarantine);
}

static void add_shadow(struct buffer *line, const struct audit_event *event)
{
    add_token(line, "shadow", event->shadow_decision);
    add_token(line, "shadow_reason", event->shadow_reason);
    add_token(line, "shadow_rule", event->shadow_rule);
}

void world_audit(void *context, const struct audit_event *event)
{
    struct world *world = context;
    struct buffer line = {0};
    bool monitored = event->disposition == AUDIT_MONITORED;

    check_event(world, event);
    world->events++;
    world->accepted += event->action == AUDIT_connect_accepted;
    world->refused += event->action == AUDIT_connect_refused && !monitored;
    world->errors += event->action == AUDIT_protocol_error;
    world->disconnects += event->action == AUDIT_disconnect;
    buffer_format(&line, "audit %s %s %s", audit_action_name(event->action), reason_info(event->reason)->name,
        audit_disposition_name(event->disposition));
    add_token(&line, "rule", event->rule);
    add_token(&line, "nearest", event->nearest);
    buffer_append(&line, event->outbound ? VIEW(" outbound") : VIEW(" inbound"));
    add_token(&line, "statement", event->statement);
    add_token(&line, "detail", event->detail);
    if (event->previous_policy.length > 0)
        buffer_append(&line, VIEW(" previous"));
    add_who(&line, event);
    add_what(&line, event);
    add_scan(&line, event);
    add_shadow(&line, event);
    world_take_line(world, &line);
}

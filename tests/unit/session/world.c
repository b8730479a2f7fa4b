/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of a session under test. Used by scenario.c and the tests in C. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "packet_text.h"

struct policy *world_policy(const char *text)
{
    static const char *const cas[] = {"fleet"};
    static const char *const files[] = {"users"};
    static const struct policy_names names = {cas, 1, files, 1};
    const struct diag_source source = {"policy.yaml", view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, &names, diag);

    if (policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    return policy;
}

/* ---- what comes out, as lines ---- */

static void take_line(struct world *world, struct buffer *text)
{
    cr_assert(world->count < WORLD_LINES_MAX, "too many lines at once");
    world->lines[world->count++] = memory_copy_string(buffer_view(text));
    buffer_release(text);
}

static void add_line(struct world *world, const char *text)
{
    struct buffer line = {0};

    buffer_append(&line, view_of_string(text));
    take_line(world, &line);
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
static void check_location(const struct world *world, const struct audit_event *event)
{
    char wanted[160], location[64];
    unsigned line = 1;
    const char *at;

    if (event->rule.length == 0) {
        cr_expect(event->rule_location.length == 0, "a location without a rule");
        return;
    }
    snprintf(wanted, sizeof(wanted), "rule: %.*s\n", VIEW_ARGS(event->rule));
    at = strstr(world->policy_text, wanted);
    if (at == NULL)
        return; /* "client_id" and its like are not rules of the list */
    for (const char *i = world->policy_text; i < at; i++)
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
    cr_expect(event->wall_us != 0);
    cr_expect(audit_event_encode(event, record) <= AUDIT_EVENT_MAX);
    check_location(world, event);
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

static void on_audit(void *context, const struct audit_event *event)
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
    add_who(&line, event);
    add_what(&line, event);
    take_line(world, &line);
}

static enum reason on_password(void *context, const char *file, struct view name, struct view password)
{
    struct world *world = context;

    snprintf(world->password_asked, sizeof(world->password_asked), "%s %.*s %.*s", file, VIEW_ARGS(name),
        VIEW_ARGS(password));
    return world->password_answer;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    struct world *world = context;

    world->claims++;
    snprintf(world->claimed, sizeof(world->claimed), "%s%.*s %.*s %llu", proven ? "" : "? ",
        VIEW_ARGS(identity), client_id.length == 0 ? 1 : (int)client_id.length,
        client_id.length == 0 ? "-" : (const char *)client_id.data, (unsigned long long)limit);
    return world->claim_answer;
}

/* ---- life ---- */

void world_init(struct world *world, const struct policy *policy, const char *policy_text)
{
    static const char *const cas[] = {"fleet"};

    *world = (struct world){.policy_text = policy_text};
    world->settings = (struct session_settings){
        .policy = policy,
        .dialect = DIALECT_MOSQUITTO,
        .listener = "outside",
        .upstream = "broker",
        .broker_max_packet = 1 << 20,
        .topic_alias_maximum = 16,
        .max_filters = 8,
    };
    world->peer = (struct session_peer){
        .session_id = VIEW("9c1f-000412"),
        .address = VIEW("203.0.113.9"),
        .port = 51724,
        .certificate_cas = cas,
        .certificate_values = world->certificate_values,
    };
}

void world_begin(struct world *world)
{
    const struct session_hooks hooks = {on_audit, on_password, on_claim, world};

    world->peer.certificate_ca_count = world->peer.has_certificate ? 1 : 0;
    world->session = session_new(&world->settings, &world->peer, &hooks);
}

void world_forget_lines(struct world *world)
{
    for (size_t i = 0; i < world->count; i++)
        free(world->lines[i]);
    world->count = 0;
}

void world_free(struct world *world)
{
    world_forget_lines(world);
    session_free(world->session);
    buffer_release(&world->to_client);
    buffer_release(&world->to_broker);
    buffer_release(&world->held);
}

/* ---- bytes in, lines out ---- */

static void add_packets(
    struct world *world, const char *prefix, enum mqtt_direction direction, struct buffer *bytes)
{
    enum mqtt_version version = session_version(world->session);
    struct mqtt_frame frame;
    struct mqtt_error error;

    while (buffer_length(bytes) > 0) {
        struct buffer line = {0};
        struct view rest = buffer_view(bytes);
        bool connect = rest.data[0] >> 4 == MQTT_CONNECT;
        enum mqtt_result result =
            mqtt_frame_next(rest, direction, connect ? 0 : version, SIZE_MAX, &frame, &error);

        cr_assert(
            result == MQTT_OK, "%s: not a packet: %s", prefix, result == MQTT_BAD ? error.text : "cut off");
        buffer_append(&line, view_of_string(prefix));
        packet_text_print(frame.bytes, direction, version, &line);
        take_line(world, &line);
        buffer_consume(bytes, frame.bytes.length);
    }
    buffer_clear(bytes);
}

static void carry_out(struct world *world, struct session_output *output)
{
    add_packets(world, "to-broker ", MQTT_FROM_CLIENT, &world->to_broker);
    add_packets(world, "to-client ", MQTT_FROM_SERVER, &world->to_client);
    if (output->open_broker)
        add_line(world, "open-broker");
    if (output->close) {
        struct buffer line = {0};

        cr_expect_not(world->closed, "closed twice");
        world->closed = true;
        world->closing = output->reason;
        buffer_format(&line, "close %s", reason_info(output->reason)->name);
        take_line(world, &line);
    }
}

static struct session_output begin_output(struct world *world)
{
    return (struct session_output){.to_client = &world->to_client, .to_broker = &world->to_broker};
}

static void feed_packet(struct world *world, enum mqtt_direction from, const struct mqtt_frame *frame)
{
    struct session_output output = begin_output(world);
    size_t room = session_audit_room(world->session, frame);
    enum session_verdict verdict = from == MQTT_FROM_CLIENT
                                       ? session_client_packet(world->session, frame, &output)
                                       : session_broker_packet(world->session, frame, &output);

    cr_expect(room > 0);
    if (verdict == SESSION_FORWARD)
        add_line(world, "forward");
    carry_out(world, &output);
}

static void feed_malformed(struct world *world, enum mqtt_direction from, const struct mqtt_error *error)
{
    struct session_output output = begin_output(world);

    if (from == MQTT_FROM_CLIENT)
        session_client_malformed(world->session, error, &output);
    else
        session_broker_malformed(world->session, error, &output);
    carry_out(world, &output);
}

/* Returns the bytes taken; the rest waits, or is nobody's any more. */
static size_t feed(struct world *world, enum mqtt_direction from, struct view bytes)
{
    size_t taken = 0;

    while (taken < bytes.length && !world->closed) {
        struct mqtt_frame frame;
        struct mqtt_error error;
        size_t maximum = from == MQTT_FROM_CLIENT ? session_client_max_packet(world->session)
                                                  : session_broker_max_packet(world->session);
        enum mqtt_result result = mqtt_frame_next(
            view_skip(bytes, taken), from, session_version(world->session), maximum, &frame, &error);

        if (result == MQTT_MORE)
            break;
        if (result == MQTT_BAD) {
            feed_malformed(world, from, &error);
            return bytes.length;
        }
        if (from == MQTT_FROM_CLIENT && !session_client_ready(world->session)) {
            add_line(world, "held");
            break;
        }
        feed_packet(world, from, &frame);
        taken += frame.bytes.length;
    }
    return world->closed ? bytes.length : taken;
}

void world_feed(struct world *world, enum mqtt_direction from, struct view bytes)
{
    if (world->closed)
        return;
    if (from == MQTT_FROM_CLIENT) {
        buffer_append(&world->held, bytes);
        buffer_consume(&world->held, feed(world, from, buffer_view(&world->held)));
        return;
    }
    feed(world, from, bytes);
    if (buffer_length(&world->held) > 0 && !world->closed && session_client_ready(world->session))
        buffer_consume(&world->held, feed(world, MQTT_FROM_CLIENT, buffer_view(&world->held)));
}

void world_abort(struct world *world, enum reason reason)
{
    struct session_output output = begin_output(world);

    session_abort(world->session, reason, &output);
    carry_out(world, &output);
}

void world_end(struct world *world, enum reason reason)
{
    const struct session_totals totals = {1500, 1000, 10, 2000, 20};

    session_ended(world->session, reason, &totals);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CONNACK: the broker's answer, made true for the client: what the proxy limits is said (MQTT 5.0, 3.2.2.3).
 */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define BIT(id) (UINT64_C(1) << (id))

static void audit_accepted(struct session *session)
{
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_connect_accepted, REASON_allowed, AUDIT_FORWARDED);
    event.packet = VIEW("connect");
    event.has_connect = true;
    event.clean_start = session->clean_start;
    event.keep_alive = session->keep_alive;
    session_event_emit(session, &event);
    session->accepted = true;
}

/* The broker said no: its own answer goes to the client. */
static enum session_verdict refused_by_broker(
    struct session *session, struct mqtt_packet *packet, struct session_output *output)
{
    const struct mqtt_connack *connack = &packet->u.connack;
    struct audit_event event;

    session_count_refused(session, REASON_broker_refused);
    session_event_begin(session, &event, AUDIT_connect_refused, REASON_broker_refused, AUDIT_REJECTED);
    event.packet = VIEW("connack");
    event.outbound = true;
    event.has_reason_code = true;
    event.reason_code = connack->code;
    session_event_emit(session, &event);
    session->refused = true;
    session_set_state(session, SESSION_CLOSING);
    output->close = true;
    output->reason = REASON_broker_refused;
    if (packet->frame.bytes.length <= session->client_packet_limit)
        return SESSION_FORWARD;
    session_encode_to_client(session, packet, &packet->u.connack.properties, output);
    return SESSION_CONSUMED;
}

/* A client without an id has the one that the broker gave it. 3.x brokers do not tell. */
static struct policy_identification learn_client_id(
    struct session *session, const struct mqtt_properties *properties)
{
    struct mqtt_property_value assigned = {0};

    if (mqtt_properties_find(properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER, &assigned)) {
        free((void *)(uintptr_t)session->client_id.data);
        session->client_id = view_of(memory_copy_string(assigned.string), assigned.string.length);
    }
    session_scan_forget(session); /* who is not believed has no groups */
    return policy_subject_set_client_id(session->settings->policy, session->subject, session->client_id);
}

/* The broker's yes proves who the client is, or names it: what could not be claimed at CONNECT is now. False:
 * refused. */
static bool claim(
    struct session *session, const struct mqtt_properties *properties, struct session_output *output)
{
    struct policy_identification found = {.reason = REASON_none};
    bool unnamed = session->client_id.length == 0;

    if (session_is_broker_identified(session) && !session_rates_enter(session, output))
        return false;
    if (unnamed)
        found = learn_client_id(session, properties);
    if (found.reason == REASON_none &&
        (session_is_broker_identified(session) || (unnamed && session->client_id.length != 0)))
        found.reason = session_claim(session, true);
    if (found.reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR) {
        session_connect_would_refuse(session, found.reason, found.rule, found.detail);
        return true;
    }
    session_connect_refuse(session, found.reason, found.rule, found.detail, output);
    return false;
}

/* So many messages may be in flight: of those that are counted, the replay store knows no more, and what is
 * older when it is sent again could not be told from a replay. */
static uint16_t receive_maximum(const struct session *session, const struct mqtt_properties *properties)
{
    uint32_t maximum = mqtt_properties_number(properties, MQTT_RECEIVE_MAXIMUM, UINT16_MAX);
    const struct policy *policy = session->settings->policy;

    for (uint64_t rest = policy_signature_checks(policy); rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);

        if (maximum > REPLAY_WINDOW &&
            policy_check(policy, check)->signature->replay == SIGNATURE_REPLAY_SEQ &&
            policy_check_applies(policy, check, session->subject))
            maximum = REPLAY_WINDOW;
    }
    return (uint16_t)maximum;
}

/* What the broker says it can do, [MQTT-3.2.2-11] and on. 3.x says nothing: every number is the protocol's
 * own. */
static void learn_limits(struct session *session, const struct mqtt_properties *properties)
{
    session->keep_alive =
        (uint16_t)mqtt_properties_number(properties, MQTT_SERVER_KEEP_ALIVE, session->keep_alive);
    session->broker_packet_limit = mqtt_properties_number(properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    session->broker_receive_maximum = receive_maximum(session, properties);
    session->broker_max_qos = (uint8_t)mqtt_properties_number(properties, MQTT_MAXIMUM_QOS, 2);
    session->broker_retains = mqtt_properties_number(properties, MQTT_RETAIN_AVAILABLE, 1) != 0;
}

static void write_connack_v5(
    struct session *session, const struct mqtt_packet *packet, struct session_output *output)
{
    struct mqtt_packet rewritten = *packet;
    const struct mqtt_properties *given = &packet->u.connack.properties;
    uint32_t limit = mqtt_properties_number(given, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    bool lowered =
        session->broker_receive_maximum < mqtt_properties_number(given, MQTT_RECEIVE_MAXIMUM, UINT16_MAX);

    if (limit > session->packet_limit)
        limit = (uint32_t)session->packet_limit;
    mqtt_properties_copy_without(&session->scratch, given,
        BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) |
            (lowered ? BIT(MQTT_RECEIVE_MAXIMUM) : 0));
    /* The broker knows nothing of an exchange that ended here, [MQTT-4.12.0-5]. */
    if (session->token_in == POLICY_TOKEN_AUTHENTICATION)
        mqtt_property_write_string(
            &session->scratch, MQTT_AUTHENTICATION_METHOD, session->authentication_method);
    mqtt_property_write_number(&session->scratch, MQTT_MAXIMUM_PACKET_SIZE, limit);
    if (lowered)
        mqtt_property_write_number(&session->scratch, MQTT_RECEIVE_MAXIMUM, session->broker_receive_maximum);
    if (session->aliases.maximum != 0)
        mqtt_property_write_number(&session->scratch, MQTT_TOPIC_ALIAS_MAXIMUM, session->aliases.maximum);
    if (session->session_expiry_limited && !mqtt_properties_has(given, MQTT_SESSION_EXPIRY_INTERVAL))
        mqtt_property_write_number(&session->scratch, MQTT_SESSION_EXPIRY_INTERVAL, session->session_expiry);
    rewritten.u.connack.properties = (struct mqtt_properties){buffer_view(&session->scratch), given->present};
    session_encode_to_client(session, &rewritten, &rewritten.u.connack.properties, output);
    buffer_clear(&session->scratch);
}

/* A broker that only speaks 3.1.1 says so to a 5.0 client in its own form, [MQTT-3.1.2-2] of 3.1.1. */
static bool is_old_refusal(const struct mqtt_frame *frame)
{
    return frame->bytes.length == 4 && frame->bytes.data[2] == 0 && frame->bytes.data[3] == 1;
}

enum session_verdict session_broker_connack(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    const struct mqtt_connack *connack = &packet.u.connack;

    assert(session->state == SESSION_CONNECTING);
    if (session->version == MQTT_V5 && is_old_refusal(frame)) {
        session_will_answered(session, false);
        session_connect_refuse(session, REASON_unsupported_version, NULL, "by the broker", output);
        return SESSION_CONSUMED;
    }
    if (mqtt_decode(frame, MQTT_FROM_SERVER, session->version, &session->settings->options, &packet,
            &error) != MQTT_OK)
        return session_broker_violation(session, error.statement, error.text, output);
    session_will_answered(session, connack->code == 0);
    if (connack->code != 0)
        return refused_by_broker(session, &packet, output);
    session->identified = true;
    if (session->unrecorded) {
        session_connect_refuse(session, REASON_audit_unavailable, NULL, NULL, output);
        return SESSION_CONSUMED;
    }
    if (session_refuse_banned(session, output) || !claim(session, &connack->properties, output))
        return SESSION_CONSUMED;
    learn_limits(session, &connack->properties);
    session->resumed = session->version == MQTT_V31 ? !session->clean_start : connack->session_present;
    if (session->version == MQTT_V5)
        write_connack_v5(session, &packet, output);
    if (output->close) /* it does not fit what the client takes */
        return SESSION_CONSUMED;
    session_set_state(session, SESSION_OPEN);
    audit_accepted(session);
    session_shadow_begin(session);
    return session->version == MQTT_V5 ? SESSION_CONSUMED : SESSION_FORWARD;
}

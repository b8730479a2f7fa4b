/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT: who is it, may it, and what goes on to the broker (mqtt-semantics "Sessions"). */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define BIT(id) (UINT64_C(1) << (id))

void session_connect_refuse(struct session *session, enum reason reason, const struct policy_rule_info *rule,
    const char *detail, struct session_output *output)
{
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_connect_refused, reason, AUDIT_REJECTED);
    event.packet = VIEW("connect");
    event.has_connect = true;
    event.clean_start = session->clean_start;
    event.keep_alive = session->keep_alive;
    event.detail = view_of_string(detail);
    if (rule != NULL) {
        event.rule = view_of_string(rule->name);
        event.rule_location = view_of_string(rule->location);
    }
    event.has_reason_code = session_connack_code(session, reason, &event.reason_code);
    session_event_emit(session, &event);
    session->refused = true;
    session_close(session, reason, output);
}

void session_connect_would_refuse(const struct session *session, enum reason reason,
    const struct policy_rule_info *rule, const char *detail)
{
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_connect_refused, reason, AUDIT_MONITORED);
    event.packet = VIEW("connect");
    event.detail = view_of_string(detail);
    if (rule != NULL) {
        event.rule = view_of_string(rule->name);
        event.rule_location = view_of_string(rule->location);
    }
    session_event_emit(session, &event);
}

/* ---- identity ---- */

static bool identify(
    struct session *session, const struct mqtt_connect *connect, struct session_output *output)
{
    const struct policy_credentials credentials = {
        .has_certificate = session->peer->has_certificate,
        .certificate_cas = session->peer->certificate_cas,
        .certificate_ca_count = session->peer->certificate_ca_count,
        .certificate_values = session->peer->certificate_values,
        .certificate_value_count = session->peer->certificate_value_count,
        .has_username = connect->has_username,
        .username = connect->username,
        .has_password = connect->has_password,
        .password = connect->password,
        .client_id = connect->client_id,
        .address = session->peer->address,
        .dialect = session->settings->dialect,
    };
    struct policy_identification found =
        policy_identify(session->settings->policy, &credentials, &session->subject);

    /* With an authentication method the broker authenticates whom the exchange names, and never looks at the
     * user name that the identity would be taken from. */
    if (found.result == POLICY_ASK_BROKER && session->has_authentication) {
        found.result = POLICY_REFUSED;
        found.reason = REASON_bad_authentication_method;
    }
    if (found.result == POLICY_CHECK_PASSWORD)
        found.reason = session->hooks.check_password(
            session->hooks.context, found.password_file, connect->username, connect->password);
    else if (found.result != POLICY_REFUSED)
        return true;
    if (found.reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR && session->subject != NULL) {
        session_connect_would_refuse(session, found.reason, found.rule, found.detail);
        return true;
    }
    session_connect_refuse(session, found.reason, found.rule, found.detail, output);
    return false;
}

bool session_is_broker_identified(const struct session *session)
{
    return policy_subject_source(session->subject) == POLICY_SOURCE_BROKER;
}

enum reason session_claim(struct session *session, bool proven)
{
    uint64_t limit = session->policy->mode == POLICY_MONITOR ? 0 : session->policy->limit_sessions;

    return session->hooks.claim(
        session->hooks.context, policy_subject_id(session->subject), session->client_id, limit, proven);
}

static bool claim(struct session *session, struct session_output *output)
{
    enum reason reason = session_claim(session, !session_is_broker_identified(session));

    if (reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR) {
        session_connect_would_refuse(session, reason, NULL, NULL);
        return true;
    }
    session_connect_refuse(session, reason, NULL, NULL, output);
    return false;
}

/* ---- the will is judged exactly as a publish ---- */

static bool will_allowed(struct session *session, const struct mqtt_will *will, struct session_output *output)
{
    const struct policy_request request = {
        POLICY_WILL, will->topic, session->settings->dialect, will->qos, will->retain, will->payload.length};
    struct policy_verdict verdict;
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];
    struct view response_topic = {NULL, 0};

    session_judge(session, &request, &verdict);
    if (verdict.allowed)
        session_response_topic_allowed(session, &will->properties, &verdict, &response_topic);
    if (verdict.allowed && !verdict.would_be_denied)
        return true;
    session_event_begin(session, &event, AUDIT_will_denied, verdict.reason,
        verdict.allowed ? AUDIT_MONITORED : AUDIT_REJECTED);
    session_event_verdict(&event, &verdict, nearest);
    event.packet = VIEW("connect");
    event.has_topic = true;
    event.topic = will->topic;
    event.response_topic = response_topic;
    event.has_qos = true;
    event.qos = will->qos;
    event.retained = will->retain;
    session_event_payload(session, &event, will->payload);
    session_event_emit(session, &event);
    if (!verdict.allowed)
        session_connect_refuse(session, verdict.reason, verdict.rule, "will", output);
    return verdict.allowed;
}

/* ---- what the broker gets ---- */

static uint32_t lower_of(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* 5.0: no topic aliases towards the proxy; the session no longer than the policy allows; no packet larger
 * than what both the client and the proxy take. */
static void write_connect_v5(
    struct session *session, const struct mqtt_packet *packet, struct session_output *output)
{
    struct mqtt_packet rewritten = *packet;
    const struct mqtt_properties *given = &packet->u.connect.properties;

    session->session_expiry_asked = mqtt_properties_number(given, MQTT_SESSION_EXPIRY_INTERVAL, 0);
    session->session_expiry =
        lower_of(session->session_expiry_asked, session->policy->limit_session_expiry_s);
    session->session_expiry_limited = session->session_expiry != session->session_expiry_asked;
    mqtt_properties_copy_without(&session->scratch, given,
        BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL));
    mqtt_property_write_number(&session->scratch, MQTT_MAXIMUM_PACKET_SIZE,
        lower_of(session->settings->broker_max_packet, session->client_packet_limit));
    if (session->session_expiry != 0)
        mqtt_property_write_number(&session->scratch, MQTT_SESSION_EXPIRY_INTERVAL, session->session_expiry);
    rewritten.u.connect.properties = (struct mqtt_properties){buffer_view(&session->scratch), given->present};
    mqtt_encode(&rewritten, output->to_broker);
    buffer_clear(&session->scratch);
}

static void remember(struct session *session, const struct mqtt_connect *connect)
{
    struct mqtt_property_value method;

    session->version = connect->version;
    session->keep_alive = connect->keep_alive;
    session->clean_start = connect->clean_start;
    session->client_packet_limit =
        mqtt_properties_number(&connect->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    session->has_authentication =
        mqtt_properties_find(&connect->properties, MQTT_AUTHENTICATION_METHOD, &method);
    if (session->has_authentication)
        session->authentication_method = view_of(memory_copy_string(method.string), method.string.length);
    session->client_id = view_of(memory_copy_string(connect->client_id), connect->client_id.length);
    session->username = view_of(memory_copy_string(connect->username), connect->username.length);
}

/* The version in which a CONNECT too broken to decode is refused: 5.0's form for level 5, 3.1.1's for the
 * other levels of its name, those that are still to come too. 0: not even the name is MQTT's, or there is
 * none; whoever it is gets no answer, [MQTT-3.1.2-1]. */
static enum mqtt_version claimed_version(const struct mqtt_frame *frame)
{
    struct view body = view_skip(frame->bytes, frame->header_length);
    size_t name = body.length < 2 ? 0 : (size_t)body.data[0] << 8 | body.data[1];

    if (body.length < 2 + name + 1)
        return 0;
    if (view_equal(view_of(body.data + 2, name), VIEW("MQIsdp")))
        return MQTT_V31;
    if (!view_equal(view_of(body.data + 2, name), VIEW("MQTT")))
        return 0;
    return body.data[2 + name] == 5 ? MQTT_V5 : MQTT_V311;
}

enum session_verdict session_client_connect(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    const struct mqtt_connect *connect = &packet.u.connect;

    assert(session->state == SESSION_NEW);
    if (mqtt_decode(frame, MQTT_FROM_CLIENT, 0, &session->settings->options, &packet, &error) != MQTT_OK) {
        session->version = claimed_version(frame);
        return session_client_error(session, &error, MQTT_CONNECT, output);
    }
    remember(session, connect);
    if (connect->bridge)
        return session_client_violation(session, REASON_unsupported_version, "MQTT-3.1.2-2",
            "a bridge's private protocol level", MQTT_CONNECT, output);
    if (!identify(session, connect, output))
        return SESSION_CONSUMED;
    if (connect->has_will && !will_allowed(session, &connect->will, output))
        return SESSION_CONSUMED;
    if (!claim(session, output))
        return SESSION_CONSUMED;
    session_set_state(session, SESSION_CONNECTING);
    output->open_broker = true;
    if (session->version != MQTT_V5)
        return SESSION_FORWARD;
    write_connect_v5(session, &packet, output);
    return SESSION_CONSUMED;
}

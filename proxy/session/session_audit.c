/* SPDX-License-Identifier: Apache-2.0 */
/* Audit events of a session: who, from where, over what; the handlers add what happened. */
#include <openssl/evp.h>
#include <stdio.h>

#include "base/clock.h"
#include "proxy/session/session_internal.h"

static void event_peer(const struct session_peer *peer, struct audit_event *event)
{
    event->session_id = peer->session_id;
    event->client_ip = peer->address;
    event->client_port = peer->port;
    event->tls = peer->tls;
    event->tls_resumed = peer->tls_resumed;
    event->tls_version = peer->tls_version;
    event->tls_cipher = peer->tls_cipher;
    event->tls_server_name = peer->tls_server_name;
    event->tls_subject = peer->tls_subject;
    event->tls_issuer = peer->tls_issuer;
    event->tls_serial = peer->tls_serial;
    event->tls_fingerprint = peer->tls_fingerprint;
}

static void event_subject(const struct session *session, struct audit_event *event)
{
    const char *groups[AUDIT_ROLES_MAX];

    if (session->former_user.data != NULL) {
        event->user = session->former_user;
        event->source = view_of_string(policy_source_name(session->former_source));
        return;
    }
    if (session->subject == NULL)
        return;
    event->user = policy_subject_id(session->subject);
    event->source = view_of_string(policy_source_name(policy_subject_source(session->subject)));
    event->role_count =
        (uint8_t)policy_subject_groups(session->settings->policy, session->subject, groups, AUDIT_ROLES_MAX);
    for (uint8_t i = 0; i < event->role_count; i++)
        event->roles[i] = view_of_string(groups[i]);
}

void session_event_begin(const struct session *session, struct audit_event *event, enum audit_action action,
    enum reason reason, enum audit_disposition disposition)
{
    *event = (struct audit_event){
        .action = action,
        .reason = reason,
        .disposition = disposition,
        .wall_us = clock_wall_us(),
        .server_ip = session->server_address,
        .server_port = session->server_port,
        .listener = view_of_string(session->settings->listener),
        .upstream = view_of_string(session->settings->upstream),
        .username = session->username,
        .client_id = session->client_id,
        .ruleset = view_of_string(session->policy->name),
        .policy_version = view_of_string(session->policy->version),
        .previous_policy = view_of_string(session->previous_policy),
    };
    if (session->version != 0)
        event->mqtt_version = view_of_string(mqtt_version_name(session->version));
    event_peer(session->peer, event);
    event_subject(session, event);
}

void session_event_verdict(struct audit_event *event, const struct policy_verdict *verdict, char *nearest)
{
    const struct policy_rule_info *rule = verdict->would_deny != NULL ? verdict->would_deny : verdict->rule;

    if (rule != NULL) {
        event->rule = view_of_string(rule->name);
        event->rule_location = view_of_string(rule->location);
    }
    if (verdict->nearest != NULL) {
        snprintf(nearest, SESSION_NEAREST_MAX, "%s:%s", verdict->nearest->name, verdict->nearest_condition);
        event->nearest = view_of_string(nearest);
    }
}

void session_event_will(
    struct audit_event *event, const struct session_will *will, struct view response_topic)
{
    event->has_topic = true;
    event->topic = will->topic;
    event->response_topic = response_topic;
    event->has_qos = true;
    event->qos = will->qos;
    event->retained = will->retain;
}

void session_event_payload(const struct session *session, struct audit_event *event, struct view payload)
{
    unsigned length = 0;

    event->has_payload = true;
    event->payload_bytes = payload.length;
    if (session->policy->audit_payload == POLICY_PAYLOAD_NONE)
        return;
    event->has_payload_hash =
        EVP_Digest(payload.data, payload.length, event->payload_sha256, &length, EVP_sha256(), NULL) == 1;
    if (session->policy->audit_payload == POLICY_PAYLOAD_EXCERPT)
        event->payload_excerpt = view_of(payload.data, payload.length < session->policy->audit_excerpt
                                                           ? payload.length
                                                           : session->policy->audit_excerpt);
}

/* What audit: {deny: none} leaves out. Refused connections and broken protocol are always told. */
static bool is_denial(enum audit_action action)
{
    return action == AUDIT_publish_denied || action == AUDIT_subscribe_denied ||
           action == AUDIT_delivery_filtered || action == AUDIT_will_denied ||
           action == AUDIT_subscription_withdrawn || action == AUDIT_rate_limited ||
           action == AUDIT_signature_rejected;
}

bool session_audit_tells(const struct session *session, enum audit_action action)
{
    return session->policy->audit_deny || !is_denial(action);
}

/* May it be counted without its payload? */
static bool is_counted_apart(
    const struct session *session, enum audit_action action, enum audit_disposition disposition)
{
    return session->hooks->audit_repeat != NULL && !repeats_compares_payload(action, disposition) &&
           disposition != AUDIT_FORWARDED && disposition != AUDIT_REWRITTEN;
}

/* Refusals of one thing after the other are most of what there is to tell: what is a repeat is known as early
 * as can be, and the hash of a payload is worked out for who reads it. */
void session_audit_publish(struct session *session, const struct session_publish *context,
    enum audit_action action, enum audit_disposition disposition, int reason_code)
{
    bool apart = is_counted_apart(session, action, disposition);
    struct session_act act;
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];
    struct session_scan_text text;

    if (!session_audit_tells(session, action))
        return;
    if (apart && context->scanned == NULL) {
        act = session_act_of(context, action, disposition, reason_code);
        if (session_repeats_count(session, &act, 1))
            return;
    }
    session_event_begin(session, &event, action, context->verdict.reason, disposition);
    session_event_verdict(&event, &context->verdict, nearest);
    event.outbound = context->request.operation == POLICY_RECEIVE;
    event.packet = VIEW("publish");
    event.has_topic = true;
    event.topic = context->packet.topic;
    event.response_topic = context->response_topic;
    event.has_qos = true;
    event.qos = context->packet.qos;
    event.retained = context->packet.retain;
    event.duplicate = context->packet.dup;
    event.packet_id = context->packet.packet_id;
    event.has_reason_code = reason_code >= 0;
    event.reason_code = (uint8_t)reason_code;
    if (context->is_signed)
        session_event_signature(&event, &context->signature);
    if (context->scanned != NULL)
        session_event_scan(&event, context->scanned, &text);
    if (action == AUDIT_rate_limited) { /* of a flood: how much there was, not what */
        event.has_payload = true;
        event.payload_bytes = context->packet.payload.length;
    }
    if (apart && session_repeats_ask(session, context->scanned == NULL ? &act : NULL, &event))
        return;
    if (action != AUDIT_rate_limited)
        session_event_payload(session, &event, context->packet.payload);
    session_event_emit(session, &event);
}

void session_audit_signatures(
    struct session *session, struct session_publish *context, enum audit_action action)
{
    const struct policy_verdict allowed = context->verdict;
    const char *detail = context->signature.found.detail;

    for (uint64_t rest = context->signature.monitored; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);

        context->verdict = (struct policy_verdict){.reason = context->signature.would[check].reason,
            .rule = &policy_check(session->settings->policy, check)->info};
        context->signature.found.detail = context->signature.would[check].detail;
        session_count_monitored(session, &context->verdict);
        session_audit_publish(session, context, action, AUDIT_MONITORED, -1);
    }
    context->signature.monitored = 0;
    context->verdict = allowed;
    context->signature.found.detail = detail;
}

void session_event_emit(const struct session *session, const struct audit_event *event)
{
    if (session_audit_tells(session, event->action))
        session->hooks->audit(session->context, event);
}

static bool draw(struct session *session)
{
    /* xorshift64*: cheap, and good enough to pick one of many */
    session->sample ^= session->sample >> 12;
    session->sample ^= session->sample << 25;
    session->sample ^= session->sample >> 27;
    return (session->sample * UINT64_C(0x2545F4914F6CDD1D) >> 32) * 1000000 >> 32 <
           session->policy->audit_allow_ppm;
}

bool session_sample(struct session *session)
{
    bool due = session->sample_is_due;

    session->sample_is_due = false;
    return session->policy->audit_allow_ppm != 0 && (due || draw(session));
}

bool session_sample_is_due(struct session *session)
{
    session->sample_is_due =
        session->policy->audit_allow_ppm != 0 && (session->sample_is_due || draw(session));
    return session->sample_is_due;
}

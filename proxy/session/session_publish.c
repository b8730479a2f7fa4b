/* SPDX-License-Identifier: Apache-2.0 */
/* PUBLISH of a client: alias, policy, checks, answer (mqtt-semantics "Publish"). The hot path is
 * session_client_publish() -> session_cache_find() -> FORWARD. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* ---- judging ---- */

void session_judge(
    const struct session *session, const struct policy_request *request, struct policy_verdict *verdict)
{
    policy_decide(session->settings->policy, session->subject, request, verdict);
}

bool session_may_receive_response(
    const struct session *session, struct view topic, struct policy_verdict *verdict)
{
    const struct policy_request request = {
        .operation = POLICY_RECEIVE, .topic = topic, .dialect = session->settings->dialect};
    struct policy_verdict received;

    policy_decide(session->settings->policy, session->subject, &request, &received);
    if (received.allowed && !received.would_be_denied)
        return true;
    *verdict = received;
    verdict->reason = REASON_response_topic_denied;
    verdict->envelope.valid = false;
    return false;
}

/* ---- from the client ---- */

/* Puts the full topic in place of an alias. False: the client broke the rules of aliases (and was answered).
 */
static bool resolve_alias(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    struct mqtt_publish *packet = &context->packet;

    if (packet->topic_alias == 0 && !mqtt_properties_has(&packet->properties, MQTT_TOPIC_ALIAS))
        return true;
    context->rewritten = true;
    if (packet->topic.length != 0 ? session_alias_set(&session->aliases, packet->topic_alias, packet->topic)
                                  : session_alias_get(&session->aliases, packet->topic_alias, &packet->topic))
        return true;
    session_client_violation(session, REASON_topic_alias_invalid, "MQTT-3.3.2-9",
        packet->topic_alias > session->aliases.maximum ? "a topic alias above the maximum"
                                                       : "an unknown topic alias",
        MQTT_PUBLISH, output);
    return false;
}

/* PUBACK and PUBREC have no place for "packet too large" and "message rate too high"; the nearest is a quota.
 */
static uint8_t answer_code(uint8_t code)
{
    return code == 0x95 || code == 0x96 ? 0x97 : code;
}

static void audit_refused(struct session *session, struct session_publish *context,
    enum audit_disposition disposition, int reason_code)
{
    bool by_signature = context->is_signed && context->signature.refusing != NULL;

    session_audit_publish(session, context,
        context->limited_by != 0   ? AUDIT_rate_limited
        : context->scanned != NULL ? session_scan_action(context->scanned, disposition)
        : by_signature             ? AUDIT_signature_rejected
                                   : AUDIT_publish_denied,
        disposition, reason_code);
}

static void refuse_publish(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;
    enum policy_deny_publish answer = context->scanned != NULL ? context->scanned->answer
                                      : session->unrecorded ? POLICY_PUBLISH_REJECT /* the connection stays */
                                                            : session->policy->deny_publish;
    uint8_t ending = session_refusal_code_of(session, context->verdict.reason), code = answer_code(ending);
    bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5;

    session_count_denied(session, SESSION_OPERATION_PUBLISH, &context->verdict);
    if (answer == POLICY_PUBLISH_DISCONNECT) {
        audit_refused(session, context, AUDIT_CLOSED, session->version == MQTT_V5 ? ending : -1);
        session_close(session, context->verdict.reason, output);
        return;
    }
    if (!reject)
        code = 0; /* 3.x has no way to say no: acknowledged and dropped */
    audit_refused(session, context, reject && packet->qos > 0 ? AUDIT_REJECTED : AUDIT_DROPPED,
        reject && packet->qos > 0 ? code : -1);
    if (packet->qos > 0)
        session_flow_refuse(
            &session->from_client, packet->qos, packet->packet_id, code, session->version, output->to_client);
}

/* The packet without its alias and with its topic in full, and its signature as it goes on. False: the broker
 * does not take it that large; no fault of the client's, who knew the size of what it sent. */
static bool write_rewritten(
    struct session *session, const struct session_publish *context, struct session_output *output)
{
    struct mqtt_packet packet = {
        .type = MQTT_PUBLISH, .version = session->version, .u.publish = context->packet};
    size_t before = buffer_length(output->to_broker);

    if (context->is_signed) {
        packet.u.publish.payload = context->carrier.payload;
        session_carrier_properties(&context->carrier, &session->scratch, &context->packet.properties,
            UINT64_C(1) << MQTT_TOPIC_ALIAS);
    } else
        mqtt_properties_copy_without(
            &session->scratch, &context->packet.properties, UINT64_C(1) << MQTT_TOPIC_ALIAS);
    packet.u.publish.topic_alias = 0;
    packet.u.publish.properties.raw = buffer_view(&session->scratch);
    packet.u.publish.properties.present &= ~(UINT64_C(1) << MQTT_TOPIC_ALIAS);
    mqtt_encode(&packet, output->to_broker);
    buffer_clear(&session->scratch);
    if (buffer_length(output->to_broker) - before <= session->broker_packet_limit)
        return true;
    output->to_broker->end = output->to_broker->start + before;
    return false;
}

/* What the broker announced that it can't do, and what is more than it takes at once: the client was told in
 * CONNACK. False: it did so all the same (and was answered). */
static bool within_limits(
    struct session *session, const struct mqtt_publish *packet, struct session_output *output)
{
    if (packet->qos > session->broker_max_qos)
        session_client_violation(session, REASON_qos_not_supported, "MQTT-3.2.2-11",
            "a QoS above the maximum of CONNACK", MQTT_PUBLISH, output);
    else if (packet->retain && !session->broker_retains)
        session_client_violation(session, REASON_retain_not_supported, "MQTT-3.2.2-14",
            "RETAIN although CONNACK says that there are no retained messages", MQTT_PUBLISH, output);
    else if (packet->qos > 0 && session->version == MQTT_V5 &&
             session->from_client.ids.count >= session->broker_receive_maximum &&
             session_flow_is_new(&session->from_client, packet->packet_id))
        session_client_violation(session, REASON_receive_maximum_exceeded, "MQTT-3.3.4-9",
            "more messages in flight than CONNACK's receive maximum", MQTT_PUBLISH, output);
    else
        return true;
    return false;
}

/* What the replay store is to hear of a message that goes on: now, or with the broker's answer. */
static void await_answer(struct session *session, const struct session_publish *context)
{
    const struct mqtt_publish *packet = &context->packet;

    if (!context->is_signed || context->signature.replay_check == NULL)
        return;
    if (packet->qos == 0)
        session_signature_done(session, &context->signature);
    else
        session_marks_put(&session->marks, packet->packet_id, packet->qos, &context->signature.replay,
            context->signature.answer == REPLAY_NEW);
}

static enum session_verdict forward(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;
    enum reason reason = REASON_none;

    if (packet->qos > 0 && session_flow_is_refused(&session->from_client, packet->packet_id))
        reason = REASON_packet_id_in_use;
    else if (context->rewritten && !write_rewritten(session, context, output))
        reason = REASON_packet_too_large;
    if (reason != REASON_none) {
        context->verdict = (struct policy_verdict){.reason = reason};
        refuse_publish(session, context, output);
        if (context->is_signed)
            session_signature_undo(session, &context->signature);
        return SESSION_CONSUMED;
    }
    await_answer(session, context);
    if (packet->qos > 0)
        session_flow_forwarded(
            &session->from_client, packet->qos, packet->packet_id, session->version, output->to_client);
    return context->rewritten ? SESSION_CONSUMED : SESSION_FORWARD;
}

/* The policies' verdict on a message that nothing is known of, and on the topic for its answer. */
static void decide_publish(struct session *session, struct session_publish *context)
{
    struct policy_verdict *verdict = &context->verdict;
    struct mqtt_property_value value;
    uint64_t checks;
    bool by_topic;

    session_judge(session, &context->request, verdict);
    checks = verdict->checks;
    by_topic = !verdict->allowed;
    if (verdict->allowed && mqtt_properties_find(&context->packet.properties, MQTT_RESPONSE_TOPIC, &value)) {
        context->response_topic = value.string;
        session_may_receive_response(session, value.string, verdict);
        verdict->checks = checks;
    }
    session_shadow_act(session, &context->request, context->response_topic, verdict);
    if (by_topic)
        session_denials_add(session, &session->publish_denials, &context->request, verdict);
}

/* The policy's verdict, and what the audit is to know of it. False: refused (and answered). */
static bool judge_publish(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    struct policy_verdict *verdict = &context->verdict;
    const struct policy_verdict *known = session_denials_find(session->publish_denials, &context->request);

    if (known != NULL)
        *verdict = *known;
    else
        decide_publish(session, context);
    if (!verdict->allowed) {
        refuse_publish(session, context, output);
        session_denied(session, verdict, output);
        return false;
    }
    if (verdict->would_be_denied) {
        if (session->scanned == NULL) { /* or it was told before it waited */
            session_count_monitored(session, verdict);
            session_audit_publish(session, context, AUDIT_publish_denied, AUDIT_MONITORED, -1);
        }
    } else if (!mqtt_properties_has(&context->packet.properties, MQTT_RESPONSE_TOPIC))
        session_cache_add(&session->publish_cache, &context->request, verdict);
    return true;
}

/* ---- the checks ---- */

static void audit_monitored_rates(
    struct session *session, struct session_publish *context, const struct session_rates *rates)
{
    const struct policy_verdict allowed = context->verdict;

    for (uint64_t rest = rates->monitored; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);

        context->verdict = (struct policy_verdict){
            .reason = REASON_rate_exceeded, .rule = &policy_check(session->settings->policy, check)->info};
        context->limited_by = rest & -rest;
        session_count_monitored(session, &context->verdict);
        audit_refused(session, context, AUDIT_MONITORED, -1);
    }
    context->verdict = allowed;
    context->limited_by = 0;
}

/* What the rates said where that is not just yes. */
static bool judge_rates(struct session *session, struct session_publish *context,
    const struct session_rates *rates, struct session_output *output)
{
    const struct policy_check_info *check;

    if (rates->refused == 0) {
        audit_monitored_rates(session, context, rates);
        return true;
    }
    check = policy_check(session->settings->policy, (size_t)__builtin_ctzll(rates->refused));
    context->limited_by = rates->refused;
    context->verdict = (struct policy_verdict){.reason = REASON_rate_exceeded, .rule = &check->info};
    refuse_publish(session, context, output);
    if (session_rate_is_own(session, check))
        session_denied(session, &context->verdict, output);
    return false;
}

/* False: refused (and answered). */
static bool pass_rates(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    const struct session_rates rates = session->hooks->count(
        session->context, SESSION_MESSAGE, context->verdict.checks, context->packet.payload.length);

    if ((rates.refused | rates.monitored) == 0)
        return true;
    return judge_rates(session, context, &rates, output);
}

/* A retransmission of what the broker has acknowledged: the sender gets the answer that was lost, if he does
 * not ask for it too often. */
static void confirm(
    struct session *session, struct session_publish *context, uint64_t checks, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;
    const struct policy_verdict suppressed = context->verdict;

    context->verdict.checks = checks;
    /* or it was counted before it waited */
    if (session->scanned == NULL && !pass_rates(session, context, output))
        return;
    context->verdict = suppressed;
    session_audit_publish(session, context, AUDIT_signature_rejected, AUDIT_DROPPED, 0);
    session_flow_refuse(
        &session->from_client, packet->qos, packet->packet_id, 0, session->version, output->to_client);
}

/* What the signature of an allowed message says, and in which form the message goes on. False: it does not
 * (and was answered). */
static bool pass_signature(
    struct session *session, struct session_publish *context, uint64_t checks, struct session_output *output)
{
    struct session_signature *signature = &context->signature;
    const struct mqtt_publish *packet = &context->packet;
    uint64_t all = context->verdict.checks;
    const struct signature_message message =
        session_signed_message(session, packet->topic, packet->payload, &packet->properties, packet->retain);
    enum reason reason = session_signature_verify(session, SIGNATURE_INGRESS, &message, checks, signature);

    context->is_signed = true;
    if (reason == REASON_none)
        reason = session_signature_seen(session, signature, packet->qos, packet->dup, packet->packet_id);
    session_count_signature(session, reason, signature);
    if (signature->monitored != 0 && session->scanned == NULL)
        session_audit_signatures(session, context, AUDIT_signature_rejected);
    if (reason != REASON_none) {
        context->verdict = (struct policy_verdict){.reason = reason, .rule = &signature->refusing->info};
        if (reason == REASON_sig_dup_suppressed)
            confirm(session, context, all, output);
        else {
            refuse_publish(session, context, output);
            session_denied(session, &context->verdict, output);
        }
        return false;
    }
    session_signature_forward(signature, packet->payload, packet->retain, &context->carrier);
    context->rewritten = context->rewritten || context->carrier.changed;
    return true;
}

/* Of what a scan is about: the answer is the check's. */
static void refuse_scanned(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    session->refusal_code = context->scanned->check->yara->reason_code;
    refuse_publish(session, context, output);
    session->refusal_code = 0;
    /* what could not be scanned may be no fault of the client's */
    if (context->scanned->reason == REASON_payload_matched)
        session_denied(session, &context->verdict, output);
}

/* It waits with what the replay store has said, so that it is not asked twice. */
static void hold_answer(struct session *session, const struct session_publish *context)
{
    const struct session_signature *signature = &context->signature;
    struct session_hold *hold = &session->hold;

    if (!context->is_signed || signature->replay_check == NULL)
        return;
    if (hold->known == NULL)
        hold->known = memory_calloc(1, sizeof(*hold->known));
    *hold->known = (struct session_foreseen){.now_ms = signature->now_ms, .answer = signature->answer};
    session_mark_take(&hold->known->mark, &signature->replay);
}

/* What passed the signature, and is counted, but for what it was counted before it waited. False: as below.
 */
static bool pass_rest(struct session *session, struct session_publish *context, struct session_output *output)
{
    uint64_t checks = context->verdict.checks & policy_yara_checks(session->settings->policy);

    /* After the signature: who has a login but no key uses up nobody's rate. */
    if (session->scanned == NULL && !pass_rates(session, context, output))
        return false;
    /* Last: it costs most, and a flood is to end at a rate. */
    return checks == 0 || session_scan_pass(session, context, checks, refuse_scanned, output);
}

/* An allowed message passes all checks that it has to, and is counted. False: refused (and answered), or it
 * waits for a scan (session->hold). */
static bool pass_checks(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    uint64_t checks = context->verdict.checks & policy_signature_checks(session->settings->policy);

    if (checks != 0 && !pass_signature(session, context, checks, output))
        return false;
    if (pass_rest(session, context, output))
        return true;
    if (session->hold.ticket != 0)
        hold_answer(session, context);
    else if (context->is_signed)
        session_signature_undo(session, &context->signature);
    if (context->is_signed)
        session_carrier_release(&context->carrier);
    return false;
}

/* Fills in context for the packet, its alias resolved and put in request. */
static void begin(const struct session *session, struct session_publish *context)
{
    const struct mqtt_publish *packet = &context->packet;

    context->limited_by = 0;
    context->response_topic = (struct view){NULL, 0};
    context->scanned = NULL;
    context->is_signed = false;
    context->request = (struct policy_request){POLICY_PUBLISH, packet->topic, session->settings->dialect,
        packet->qos, packet->retain, packet->payload.length};
}

/* What was decided before; false: the policy is to be asked. */
static bool is_known(struct session *session, struct session_publish *context)
{
    const struct session_cache_entry *known;

    if (mqtt_properties_has(&context->packet.properties, MQTT_RESPONSE_TOPIC))
        return false;
    known = session_cache_find(session->publish_cache, &context->request);
    if (known != NULL)
        context->verdict = (struct policy_verdict){
            .allowed = true, .reason = REASON_allowed, .rule = known->rule, .checks = known->checks};
    return known != NULL;
}

enum session_verdict session_client_publish(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct session_publish context;
    struct mqtt_error error;
    const struct mqtt_publish *packet = &context.packet;
    enum session_verdict verdict;

    context.rewritten = false;
    if (mqtt_decode_publish(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options,
            &context.packet, &error) != MQTT_OK)
        return session_client_error(session, &error, MQTT_PUBLISH, output);
    if (packet->properties.present != 0 && !resolve_alias(session, &context, output))
        return SESSION_CONSUMED;
    if (!within_limits(session, packet, output))
        return SESSION_CONSUMED;
    begin(session, &context);
    if (session->unrecorded) {
        context.verdict = (struct policy_verdict){.reason = REASON_audit_unavailable};
        refuse_publish(session, &context, output);
        return SESSION_CONSUMED;
    }
    if (!is_known(session, &context) && !judge_publish(session, &context, output))
        return SESSION_CONSUMED;
    if (context.verdict.checks != 0 && !pass_checks(session, &context, output))
        return SESSION_CONSUMED;
    verdict = forward(session, &context, output);
    if (context.verdict.allowed)
        session_count_passed(session, SESSION_OPERATION_PUBLISH, &context.verdict);
    if (context.verdict.allowed && !context.verdict.would_be_denied && session_sample(session))
        session_audit_publish(session, &context, AUDIT_publish_allowed,
            context.rewritten ? AUDIT_REWRITTEN : AUDIT_FORWARDED, -1);
    if (context.is_signed)
        session_carrier_release(&context.carrier);
    return verdict;
}

/* ---- what is asked ahead ---- */

/* False: what the alias stands for is not known before its turn, or never. */
static bool peek_alias(const struct session *session, struct mqtt_publish *packet, bool first)
{
    if (packet->topic.length != 0)
        return true;
    return first && session_alias_get(&session->aliases, packet->topic_alias, &packet->topic);
}

/* Would the policy let it go on to its checks? */
static bool would_pass(struct session *session, struct session_publish *context)
{
    struct mqtt_property_value value;

    if (is_known(session, context))
        return true;
    session_judge(session, &context->request, &context->verdict);
    if (context->verdict.allowed &&
        mqtt_properties_find(&context->packet.properties, MQTT_RESPONSE_TOPIC, &value)) {
        uint64_t checks = context->verdict.checks;

        session_may_receive_response(session, value.string, &context->verdict);
        context->verdict.checks = checks;
    }
    return context->verdict.allowed;
}

bool session_publish_foresee(struct session *session, const struct mqtt_frame *frame, bool first,
    uint64_t now_ms, struct session_mark *mark)
{
    struct session_foreseen at = {.now_ms = now_ms};
    struct session_publish context;
    struct signature_message message;
    struct mqtt_error error;
    enum reason reason;

    if (mqtt_decode_publish(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options,
            &context.packet, &error) != MQTT_OK ||
        !peek_alias(session, &context.packet, first))
        return false;
    begin(session, &context);
    if (!would_pass(session, &context))
        return false;
    message = session_signed_message(session, context.packet.topic, context.packet.payload,
        &context.packet.properties, context.packet.retain);
    session->foreseen = &at;
    reason = session_signature_verify(session, SIGNATURE_INGRESS, &message,
        context.verdict.checks & policy_signature_checks(session->settings->policy), &context.signature);
    session->foreseen = NULL;
    if (reason != REASON_none || context.signature.replay_check == NULL)
        return false;
    context.signature.replay.mark.again = context.packet.dup && context.packet.qos > 0;
    session_mark_take(mark, &context.signature.replay);
    return true;
}

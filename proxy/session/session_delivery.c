/* SPDX-License-Identifier: Apache-2.0 */
/* PUBLISH of a broker: delivery is always checked, scanned and signed again where checks say so
 * (mqtt-semantics "Subscribe and delivery", payload-signatures "Forwarding", payload-scanning). */
#include "proxy/session/session_internal.h"

/* Acknowledged in the client's stead, so that the broker's window does not stall. */
static void filter_delivery(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;

    session_count_denied(session, SESSION_OPERATION_RECEIVE, &context->verdict);
    session_audit_publish(session, context,
        context->scanned != NULL ? session_scan_action(context->scanned, AUDIT_DROPPED)
                                 : AUDIT_delivery_filtered,
        AUDIT_DROPPED, -1);
    if (packet->qos > 0)
        session_flow_refuse(
            &session->from_broker, packet->qos, packet->packet_id, 0, session->version, output->to_broker);
}

/* ---- signatures ---- */

static uint64_t resigning(const struct session *session, uint64_t checks)
{
    uint64_t found = 0;

    for (uint64_t rest = checks; rest != 0; rest &= rest - 1)
        if (policy_check(session->settings->policy, (size_t)__builtin_ctzll(rest))->signature->forward ==
            SIGNATURE_RESIGN)
            found |= rest & -rest;
    return found;
}

/* Of the checks that sign again each is about messages of its own keys. The first whose signature stands
 * counts; if none does, the first that names the key says why, or else the last. */
static enum reason verify_to_resign(const struct session *session, const struct signature_message *message,
    uint64_t checks, struct session_signature *signature)
{
    uint64_t refusing = 0;
    bool named = false;

    for (uint64_t rest = checks; rest != 0; rest &= rest - 1) {
        uint64_t check = rest & -rest;
        enum reason reason = session_signature_verify(session, SIGNATURE_DELIVERY, message, check, signature);

        if (signature->monitored != 0)
            reason = signature->would[__builtin_ctzll(check)].reason;
        if (reason == REASON_none && signature->check != NULL)
            return REASON_none;
        if (reason != REASON_none && !named) {
            named = reason != REASON_sig_key_unknown;
            refusing = check;
        }
    }
    return session_signature_verify(session, SIGNATURE_DELIVERY, message, refusing, signature);
}

/* The client's own signature in place of the origin's: where its version has a place for it. */
static enum reason resign(
    const struct session *session, const struct signature_message *message, struct session_publish *context)
{
    struct session_signature *signature = &context->signature;
    struct session_carrier *carrier = &context->carrier;
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header header;
    char property[MPS1_PROPERTY_MAX + 4];
    enum reason reason;

    reason = signature_resign(session->settings->keyring, signature->check->signature, message,
        policy_subject_id(session->subject), signature->now_ms, &signature->found, &header, space);
    if (reason != REASON_none)
        return reason;
    carrier->changed = carrier->without_property = true;
    if (session->version == MQTT_V5) {
        carrier->payload = signature->found.payload;
        mqtt_property_write_pair(&carrier->properties, VIEW(MPS1_PROPERTY),
            view_of(property, mps1_write_property(view_of(space, header.length), property)));
    } else {
        buffer_append(&carrier->space, view_of(space, header.length));
        buffer_append(&carrier->space, signature->found.payload);
        carrier->payload = buffer_view(&carrier->space);
    }
    return REASON_none;
}

/* A signature can cover properties that subscribers of MQTT 3 never get. */
static const char *detail_of(const struct session *session, const struct session_signature *signature)
{
    if (session->version != MQTT_V5 && (signature->found.header.flags & MPS1_PROPS) != 0)
        return "it covers properties, which MQTT 3 does not have";
    return signature->found.detail;
}

/* The client gets its own signature. REASON_none, or why it can't have one. */
static enum reason pass_resigned(struct session *session, const struct signature_message *message,
    struct session_publish *context, uint64_t checks)
{
    struct session_signature *signature = &context->signature;
    enum reason reason = verify_to_resign(session, message, checks, signature);

    if (reason != REASON_none || signature->check == NULL)
        return reason;
    reason = resign(session, message, context);
    if (reason == REASON_none)
        return REASON_none;
    if (!signature->check->monitor) {
        signature->refusing = signature->check;
        return reason;
    }
    session_signature_note(session, signature, signature->check, reason);
    return REASON_none;
}

/* What waited for a scan was told before it waited. */
static void audit_monitored(struct session *session, struct session_publish *context)
{
    if (session->scanned == NULL)
        session_audit_signatures(session, context, AUDIT_delivery_filtered);
    context->signature.monitored = 0;
}

/* REASON_none, or why the client does not get it: context->signature.refusing. */
static enum reason pass_signatures(struct session *session, struct session_publish *context, uint64_t checks)
{
    const struct mqtt_publish *packet = &context->packet;
    const struct signature_message message =
        session_signed_message(session, packet->topic, packet->payload, &packet->properties, packet->retain);
    uint64_t resigns = resigning(session, checks);
    struct session_signature *signature = &context->signature;
    enum reason reason =
        session_signature_verify(session, SIGNATURE_DELIVERY, &message, checks & ~resigns, signature);

    context->is_signed = true;
    context->carrier = (struct session_carrier){.payload = packet->payload};
    audit_monitored(session, context);
    if (reason == REASON_none && resigns != 0) {
        reason = pass_resigned(session, &message, context, resigns);
        audit_monitored(session, context);
    }
    session_count_signature(session, reason, signature);
    if (reason == REASON_sig_invalid)
        signature->found.detail = detail_of(session, signature);
    return reason;
}

/* ---- the whole ---- */

/* The packet with the client's signature. False: the client does not take it that large. */
static bool write_resigned(
    struct session *session, const struct session_publish *context, struct session_output *output)
{
    struct mqtt_packet packet = {
        .type = MQTT_PUBLISH, .version = session->version, .u.publish = context->packet};
    size_t before = buffer_length(output->to_client);

    session_carrier_properties(&context->carrier, &session->scratch, &context->packet.properties, 0);
    packet.u.publish.payload = context->carrier.payload;
    packet.u.publish.properties.raw = buffer_view(&session->scratch);
    mqtt_encode(&packet, output->to_client);
    buffer_clear(&session->scratch);
    if (buffer_length(output->to_client) - before <= session->client_packet_limit)
        return true;
    output->to_client->end = output->to_client->start + before;
    return false;
}

/* The client's version of it, where that differs. REASON_none, or why it can't have it; *refusing: the check.
 */
static enum reason write_changed(struct session *session, struct session_publish *context,
    const struct policy_check_info **refusing, struct session_output *output)
{
    const struct policy_check_info *check = context->signature.check;

    context->rewritten = context->carrier.changed;
    if (!context->rewritten || write_resigned(session, context, output))
        return REASON_none;
    *refusing = NULL;
    if (!check->monitor)
        return REASON_packet_too_large;
    context->rewritten = false; /* it goes on as it came */
    session_signature_note(session, &context->signature, check, REASON_packet_too_large);
    session_audit_signatures(session, context, AUDIT_delivery_filtered);
    return REASON_none;
}

/* False: the client does not get it (and the audit knows), or it waits. */
static bool deliver(
    struct session *session, struct session_publish *context, uint64_t checks, struct session_output *output)
{
    const struct policy *policy = session->settings->policy;
    uint64_t signatures = checks & policy_signature_checks(policy),
             scans = checks & policy_yara_checks(policy);
    const struct policy_check_info *refusing = NULL;
    enum reason reason = REASON_none;
    bool passes = true;

    if (signatures != 0) {
        reason = pass_signatures(session, context, signatures);
        refusing = context->signature.refusing;
    }
    if (reason == REASON_none && scans != 0)
        /* a receiver is not the sender: nobody is disconnected, and nobody's denials are counted */
        passes = session_scan_pass(session, context, scans, filter_delivery, output);
    if (reason == REASON_none && passes && signatures != 0)
        reason = write_changed(session, context, &refusing, output);
    if (reason != REASON_none) {
        context->verdict =
            (struct policy_verdict){.reason = reason, .rule = refusing == NULL ? NULL : &refusing->info};
        filter_delivery(session, context, output);
    }
    if (signatures != 0)
        session_carrier_release(&context->carrier);
    return passes && reason == REASON_none;
}

/* The policies' verdict on a delivery that nothing is known of. */
static void decide_delivery(struct session *session, struct session_publish *context)
{
    struct policy_verdict *verdict = &context->verdict;

    session_judge(session, &context->request, verdict);
    session_shadow_act(session, &context->request, (struct view){NULL, 0}, verdict);
    if (!verdict->allowed)
        session_denials_add(session, &session->receive_denials, &context->request, verdict);
}

/* The policy's verdict. False: the client may not have it (and the audit knows). */
static bool judge_delivery(
    struct session *session, struct session_publish *context, struct session_output *output)
{
    const struct session_cache_entry *known = session_cache_find(session->receive_cache, &context->request);
    const struct policy_verdict *denied;

    if (known != NULL) {
        context->verdict = (struct policy_verdict){
            .allowed = true, .reason = REASON_allowed, .rule = known->rule, .checks = known->checks};
        return true;
    }
    denied = session_denials_find(session->receive_denials, &context->request);
    if (denied != NULL)
        context->verdict = *denied;
    else
        decide_delivery(session, context);
    if (!context->verdict.allowed) {
        filter_delivery(session, context, output);
        return false;
    }
    if (context->verdict.would_be_denied) {
        if (session->scanned == NULL) { /* or it was told before it waited */
            session_count_monitored(session, &context->verdict);
            session_audit_publish(session, context, AUDIT_delivery_filtered, AUDIT_MONITORED, -1);
        }
    } else
        session_cache_add(&session->receive_cache, &context->request, &context->verdict);
    return true;
}

enum session_verdict session_broker_publish(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct session_publish context;
    struct mqtt_error error;
    const struct mqtt_publish *packet = &context.packet;
    uint64_t checks;

    context.rewritten = context.is_signed = false;
    context.limited_by = 0;
    context.scanned = NULL;
    context.response_topic = (struct view){NULL, 0};
    if (mqtt_decode_publish(frame, MQTT_FROM_SERVER, session->version, &session->settings->options,
            &context.packet, &error) != MQTT_OK)
        return session_broker_violation(session, error.statement, error.text, output);
    if (mqtt_properties_has(&packet->properties, MQTT_TOPIC_ALIAS))
        return session_broker_violation(
            session, "MQTT-3.1.2-26", "a topic alias although none was permitted", output);
    context.request = (struct policy_request){POLICY_RECEIVE, packet->topic, session->settings->dialect,
        packet->qos, packet->retain, packet->payload.length};
    if (session->unrecorded) {
        context.verdict = (struct policy_verdict){.reason = REASON_audit_unavailable};
        filter_delivery(session, &context, output);
        return SESSION_CONSUMED;
    }
    if (frame->bytes.length > session->client_packet_limit) {
        /* [MQTT-3.1.2-25]: thrown away, as if it had been delivered */
        context.verdict = (struct policy_verdict){.reason = REASON_packet_too_large};
        filter_delivery(session, &context, output);
        return SESSION_CONSUMED;
    }
    if (!judge_delivery(session, &context, output))
        return SESSION_CONSUMED;
    checks = context.verdict.checks;
    if (checks != 0 && !deliver(session, &context, checks, output))
        return SESSION_CONSUMED;
    session_count_passed(session, SESSION_OPERATION_RECEIVE, &context.verdict);
    if (packet->qos > 0)
        session_flow_forwarded(
            &session->from_broker, packet->qos, packet->packet_id, session->version, output->to_broker);
    return context.rewritten ? SESSION_CONSUMED : SESSION_FORWARD;
}

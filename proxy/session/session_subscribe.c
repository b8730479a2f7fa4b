/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and SUBACK: each filter by itself, every answer in its place (mqtt-semantics "Subscribe and
 * delivery"). */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define QOS_BITS 0x03

/* ---- one filter ---- */

static void audit_filter(const struct session *session, const struct policy_subscribe_verdict *verdict,
    const struct mqtt_filter *filter, uint16_t packet_id, enum audit_action action,
    enum audit_disposition disposition, int code)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

    session_event_begin(session, &event, action, verdict->verdict.reason, disposition);
    session_event_verdict(&event, &verdict->verdict, nearest);
    event.packet = VIEW("subscribe");
    event.has_topic = true;
    event.topic = filter->filter;
    event.has_qos = true;
    event.qos = filter->options & QOS_BITS;
    event.packet_id = packet_id;
    event.has_reason_code = code >= 0;
    event.reason_code = (uint8_t)code;
    if (verdict->filtered)
        event.detail = VIEW("deliveries will be filtered");
    else if (verdict->verdict.allowed && verdict->max_qos < event.qos)
        event.detail = VIEW("granted with a lower QoS");
    session_event_emit(session, &event);
}

/* 5.0: the reason; 3.1.1: failure; 3.1 has no failure code: granted, and never sent on. */
uint8_t session_refusal_code(const struct session *session, enum reason reason)
{
    switch (session->version) {
    case MQTT_V5:
        return reason_info(reason)->v5;
    case MQTT_V311:
        return 0x80;
    case MQTT_V31:
        break;
    }
    return 0x00;
}

/* The policy's verdict, and its limits. added: filters of the same packet that will be held anew. */
static void judge_filter(const struct session *session, const struct mqtt_filter *filter,
    const struct session_filters *added, struct policy_subscribe_verdict *verdict)
{
    const struct policy_subscribe_request request = {
        filter->filter, session->settings->dialect, filter->options & QOS_BITS};
    const struct session_subscriptions *subscriptions = &session->subscriptions;
    const struct policy_settings *policy = session->policy;
    uint64_t hash = session_filter_hash(filter->filter);
    enum reason limit = REASON_none;

    if (session->unrecorded) {
        *verdict = (struct policy_subscribe_verdict){.verdict = {.reason = REASON_audit_unavailable}};
        return;
    }
    policy_decide_subscribe(session->settings->policy, session->subject, &request, verdict);
    session_shadow_subscribe(session, &request, verdict);
    if (!verdict->verdict.allowed || (policy->mode == POLICY_MONITOR && verdict->verdict.would_be_denied))
        return;
    if (policy->limit_subscriptions != 0 &&
        subscriptions->held.count + added->count >= policy->limit_subscriptions &&
        !session_held_has(&subscriptions->held, hash) && !session_filters_has(added, hash))
        limit = REASON_subscriptions_exceeded;
    if (limit == REASON_none)
        return;
    verdict->verdict = (struct policy_verdict){.reason = limit};
    verdict->verdict.allowed = verdict->verdict.would_be_denied = policy->mode == POLICY_MONITOR;
}

/* ---- the packet ---- */

/* What is being made of a SUBSCRIBE: first every filter is judged, then what follows is done. */
struct subscribe_context {
    const struct mqtt_subscribe *packet;
    struct policy_subscribe_verdict *verdicts; /* one a filter */
    struct session_pending *pending;
    struct buffer filters; /* what goes on: filters and options */
    bool changed;          /* what goes on is not what came */
    enum reason close;     /* on_deny: disconnect */
};

/* Appends a filter and its options as they stand in a SUBSCRIBE's payload. */
static void write_filter(struct buffer *out, struct view filter, uint8_t options)
{
    buffer_append_byte(out, (uint8_t)(filter.length >> 8));
    buffer_append_byte(out, (uint8_t)filter.length);
    buffer_append(out, filter);
    buffer_append_byte(out, options);
}

static void judge_all(const struct session *session, struct subscribe_context *context)
{
    bool disconnect = session->policy->deny_subscribe == POLICY_SUBSCRIBE_DISCONNECT && !session->unrecorded;
    struct mqtt_filter filter;
    struct session_filters added = {0};
    size_t index = 0;

    for (size_t offset = 0; mqtt_filter_next(context->packet, &offset, &filter); index++) {
        struct policy_subscribe_verdict *verdict = &context->verdicts[index];

        uint64_t hash = session_filter_hash(filter.filter);

        judge_filter(session, &filter, &added, verdict);
        if (!verdict->verdict.allowed && disconnect)
            context->close = verdict->verdict.reason;
        else if (verdict->verdict.allowed && !session_held_has(&session->subscriptions.held, hash))
            session_filters_add(&added, hash, SIZE_MAX);
    }
    session_filters_free(&added);
}

static void refuse_filter(struct session *session, struct subscribe_context *context,
    const struct mqtt_filter *filter, const struct policy_subscribe_verdict *verdict,
    struct session_pending_filter *slot)
{
    bool close = context->close != REASON_none;

    session_count_denied(session, SESSION_OPERATION_SUBSCRIBE, &verdict->verdict);
    slot->code = session_refusal_code(session, verdict->verdict.reason);
    context->changed = true;
    if (!session_held_has(&session->subscriptions.held, session_filter_hash(filter->filter)))
        session_filters_add(
            &session->subscriptions.refused, session_filter_hash(filter->filter), SESSION_REFUSED_MAX);
    if (session->unrecordable)
        return; /* audit_unrecordable() tells of all of them */
    audit_filter(session, verdict, filter, context->packet->packet_id, AUDIT_subscribe_denied,
        close ? AUDIT_CLOSED : AUDIT_REJECTED, close ? -1 : slot->code);
}

/* So many filters that their events could take more of the ring than can be waited for: one event. */
static void audit_unrecordable(const struct session *session, const struct mqtt_subscribe *packet)
{
    struct audit_event event;
    struct mqtt_filter filter;
    size_t offset = 0;

    session_event_begin(session, &event, AUDIT_subscribe_denied, REASON_audit_unavailable, AUDIT_REJECTED);
    event.packet = VIEW("subscribe");
    event.packet_id = packet->packet_id;
    event.detail = VIEW("all filters of the packet: their events could take more than half of a ring");
    if (mqtt_filter_next(packet, &offset, &filter)) {
        event.has_topic = true;
        event.topic = filter.filter;
    }
    event.has_reason_code = true;
    event.reason_code = session_refusal_code(session, REASON_audit_unavailable);
    session_event_emit(session, &event);
}

static void grant_filter(struct session *session, struct subscribe_context *context,
    const struct mqtt_filter *filter, const struct policy_subscribe_verdict *verdict,
    struct session_pending_filter *slot)
{
    uint8_t options = filter->options;
    uint64_t hash = session_filter_hash(filter->filter);

    if (verdict->max_qos < (options & QOS_BITS) && !verdict->verdict.would_be_denied) {
        options = (uint8_t)((options & ~QOS_BITS) | verdict->max_qos);
        context->changed = true;
    }
    slot->code = SESSION_BROKER_ANSWERS;
    context->pending->forwarded++;
    session_filters_remove(&session->subscriptions.refused, hash);
    slot->hash = hash;
    slot->generation = session_held_ask(&session->subscriptions.held, hash, filter->filter, options);
    write_filter(&context->filters, filter->filter, options);
    session_count_passed(session, SESSION_OPERATION_SUBSCRIBE, &verdict->verdict);
    if (verdict->verdict.would_be_denied) {
        session_count_monitored(session, &verdict->verdict);
        audit_filter(session, verdict, filter, context->packet->packet_id, AUDIT_subscribe_denied,
            AUDIT_MONITORED, -1);
    } else if (session_sample(session))
        audit_filter(session, verdict, filter, context->packet->packet_id, AUDIT_subscribe_granted,
            options == filter->options ? AUDIT_FORWARDED : AUDIT_REWRITTEN, -1);
}

/* One refused filter ends the session if the policy says so: then nothing of the packet is granted. */
static void act_on_all(struct session *session, struct subscribe_context *context)
{
    struct mqtt_filter filter;
    size_t index = 0;

    for (size_t offset = 0; mqtt_filter_next(context->packet, &offset, &filter); index++) {
        const struct policy_subscribe_verdict *verdict = &context->verdicts[index];

        if (!verdict->verdict.allowed)
            refuse_filter(session, context, &filter, verdict, &context->pending->filters[index]);
        else if (context->close == REASON_none)
            grant_filter(session, context, &filter, verdict, &context->pending->filters[index]);
    }
}

static enum session_verdict finish_subscribe(struct session *session, const struct mqtt_packet *packet,
    struct subscribe_context *context, struct session_output *output)
{
    struct mqtt_packet rewritten = *packet;

    if (context->close != REASON_none) {
        free(context->pending);
        session_close(session, context->close, output);
        return SESSION_CONSUMED;
    }
    if (context->pending->forwarded == 0) {
        session_pending_answer(session, context->pending, output);
        free(context->pending);
        return SESSION_CONSUMED;
    }
    session_pending_await(session, context->pending);
    if (!context->changed)
        return SESSION_FORWARD;
    rewritten.u.subscribe.filters = buffer_view(&context->filters);
    rewritten.u.subscribe.count = context->pending->forwarded;
    mqtt_encode(&rewritten, output->to_broker);
    return SESSION_CONSUMED;
}

/* Each refused filter is a denial. */
static void count_denials(
    struct session *session, const struct subscribe_context *context, struct session_output *output)
{
    for (uint32_t i = 0; i < context->packet->count; i++)
        if (!context->verdicts[i].verdict.allowed &&
            session_denied(session, &context->verdicts[i].verdict, output))
            break;
}

enum session_verdict session_client_subscribe(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    struct subscribe_context context = {.packet = &packet.u.subscribe};
    enum session_verdict verdict;

    if (mqtt_decode(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options, &packet,
            &error) != MQTT_OK)
        return session_client_error(session, &error, MQTT_SUBSCRIBE, output);
    if (packet.u.subscribe.count > session->settings->max_filters)
        return session_too_many_filters(session, MQTT_SUBSCRIBE, output);
    context.pending = session_pending_new(&packet, MQTT_SUBACK);
    context.verdicts = memory_calloc(packet.u.subscribe.count, sizeof(*context.verdicts));
    if (session->unrecordable)
        audit_unrecordable(session, context.packet);
    judge_all(session, &context);
    act_on_all(session, &context);
    verdict = finish_subscribe(session, &packet, &context, output);
    if (!session->unrecorded)
        count_denials(session, &context, output);
    buffer_release(&context.filters);
    free(context.verdicts);
    return verdict;
}

/* ---- the broker's answer ---- */

enum session_verdict session_broker_suback(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    struct session_pending *pending;

    if (mqtt_decode(frame, MQTT_FROM_SERVER, session->version, &session->settings->options, &packet,
            &error) != MQTT_OK)
        return session_broker_violation(session, error.statement, error.text, output);
    pending = session_pending_take(session, MQTT_SUBACK, packet.u.suback.packet_id);
    if (pending != NULL && pending->forwarded == packet.u.suback.codes.length)
        return session_pending_merge(session, pending, &packet, output);
    if (pending != NULL && session_pending_counts_once(pending, packet.u.suback.codes.length)) {
        session_pending_pass(session, pending, &packet);
        return SESSION_FORWARD;
    }
    free(pending);
    return session_broker_violation(
        session, "MQTT-3.8.4-6", "a SUBACK that answers no SUBSCRIBE, or not all of its filters", output);
}

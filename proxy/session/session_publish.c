/* SPDX-License-Identifier: Apache-2.0 */
/* PUBLISH, both ways: alias, policy, answer (mqtt-semantics "Publish", "Subscribe and delivery"). The hot
 * path is session_client_publish() -> remembered() -> FORWARD. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* ---- decisions that hold again ---- */

static bool entry_holds(const struct session_cache_entry *entry, const struct policy_request *request)
{
    return entry->length == request->topic.length && request->qos <= entry->max_qos &&
           (!request->retain || entry->retain) && request->size <= entry->max_size && entry->topic != NULL &&
           memcmp(entry->topic, request->topic.data, entry->length) == 0;
}

/* What allowed the same before, within the bounds that the policy gave; NULL: ask it. */
static const struct session_cache_entry *remembered(
    struct session_cache *cache, const struct policy_request *request)
{
    if (cache == NULL)
        return NULL;
    if (entry_holds(&cache->entries[cache->last], request))
        return &cache->entries[cache->last];
    for (uint8_t i = 0; i < SESSION_CACHE_ENTRIES; i++)
        if (entry_holds(&cache->entries[i], request)) {
            cache->last = i;
            return &cache->entries[i];
        }
    return NULL;
}

/* Longer topics are rare, and an attacker's: they are decided each time. */
#define CACHE_TOPIC_MAX 256

static void remember(
    struct session_cache **cache, const struct policy_request *request, const struct policy_verdict *verdict)
{
    struct session_cache_entry *entry;

    if (!verdict->envelope.valid || !verdict->allowed || verdict->rule == NULL ||
        request->topic.length > CACHE_TOPIC_MAX)
        return;
    if (*cache == NULL)
        *cache = memory_calloc(1, sizeof(**cache));
    (*cache)->last = (*cache)->next;
    entry = &(*cache)->entries[(*cache)->next];
    (*cache)->next = (uint8_t)(((*cache)->next + 1) % SESSION_CACHE_ENTRIES);
    free(entry->topic);
    *entry = (struct session_cache_entry){
        .topic = (uint8_t *)memory_copy_string(request->topic),
        .length = (uint32_t)request->topic.length,
        .max_qos = verdict->envelope.max_qos,
        .retain = verdict->envelope.retain,
        .max_size = verdict->envelope.max_size,
        .checks = verdict->checks,
        .rule = verdict->rule,
    };
}

void session_cache_free(struct session_cache *cache)
{
    if (cache == NULL)
        return;
    for (int i = 0; i < SESSION_CACHE_ENTRIES; i++)
        free(cache->entries[i].topic);
    free(cache);
}

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

struct publish_context {
    struct mqtt_publish packet;
    struct policy_request request;
    struct policy_verdict verdict;
    struct view response_topic;
    bool rewritten;      /* the alias ends here: the bytes that go on are not the ones that came */
    uint64_t limited_by; /* bit of the check whose rate refuses it; 0: none does */
    uint64_t limited_ns; /* when */
    uint64_t suppressed; /* messages like it that the audit did not hear of */
};

static void audit_publish(const struct session *session, const struct publish_context *context,
    enum audit_action action, enum audit_disposition disposition, int reason_code)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

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
    event.suppressed = context->suppressed;
    session_event_payload(session, &event, context->packet.payload);
    session_event_emit(session, &event);
}

/* Puts the full topic in place of an alias. False: the client broke the rules of aliases (and was answered).
 */
static bool resolve_alias(
    struct session *session, struct publish_context *context, struct session_output *output)
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

/* Of what a rate refuses not every message gets an event. */
static void audit_refused(struct session *session, struct publish_context *context,
    enum audit_disposition disposition, int reason_code)
{
    if (context->limited_by == 0)
        audit_publish(session, context, AUDIT_publish_denied, disposition, reason_code);
    else if (session_rates_tell(
                 session, context->limited_by, disposition, context->limited_ns, &context->suppressed))
        audit_publish(session, context, AUDIT_rate_limited, disposition, reason_code);
}

static void refuse_publish(
    struct session *session, struct publish_context *context, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;
    enum policy_deny_publish answer = session->policy->deny_publish;
    uint8_t ending = reason_info(context->verdict.reason)->v5, code = answer_code(ending);
    bool reject = answer == POLICY_PUBLISH_REJECT && session->version == MQTT_V5;

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

/* The packet without its alias and with its topic in full. False: the broker does not take it that large; no
 * fault of the client's, who knew the size of what it sent. */
static bool write_rewritten(
    struct session *session, const struct publish_context *context, struct session_output *output)
{
    struct mqtt_packet packet = {
        .type = MQTT_PUBLISH, .version = session->version, .u.publish = context->packet};
    size_t before = buffer_length(output->to_broker);

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

static enum session_verdict forward(
    struct session *session, struct publish_context *context, struct session_output *output)
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
        return SESSION_CONSUMED;
    }
    if (packet->qos > 0)
        session_flow_forwarded(
            &session->from_client, packet->qos, packet->packet_id, session->version, output->to_client);
    return context->rewritten ? SESSION_CONSUMED : SESSION_FORWARD;
}

/* The policy's verdict, and what the audit is to know of it. False: refused (and answered). */
static bool judge_publish(
    struct session *session, struct publish_context *context, struct session_output *output)
{
    struct policy_verdict *verdict = &context->verdict;
    struct mqtt_property_value value;

    session_judge(session, &context->request, verdict);
    uint64_t checks = verdict->checks;
    if (verdict->allowed && mqtt_properties_find(&context->packet.properties, MQTT_RESPONSE_TOPIC, &value)) {
        context->response_topic = value.string;
        session_may_receive_response(session, value.string, verdict);
        verdict->checks = checks;
    }
    if (!verdict->allowed) {
        refuse_publish(session, context, output);
        session_denied(session, verdict, output);
        return false;
    }
    if (verdict->would_be_denied)
        audit_publish(session, context, AUDIT_publish_denied, AUDIT_MONITORED, -1);
    else if (!mqtt_properties_has(&context->packet.properties, MQTT_RESPONSE_TOPIC))
        remember(&session->publish_cache, &context->request, verdict);
    return true;
}

/* ---- the checks ---- */

static void audit_monitored_rates(
    struct session *session, struct publish_context *context, const struct session_rates *rates)
{
    const struct policy_verdict allowed = context->verdict;

    for (uint64_t rest = rates->monitored; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);

        context->verdict = (struct policy_verdict){
            .reason = REASON_rate_exceeded, .rule = &policy_check(session->settings->policy, check)->info};
        context->limited_by = rest & -rest;
        audit_refused(session, context, AUDIT_MONITORED, -1);
    }
    context->verdict = allowed;
    context->limited_by = context->suppressed = 0;
}

/* What the rates said where that is not just yes. */
static bool judge_rates(struct session *session, struct publish_context *context,
    const struct session_rates *rates, struct session_output *output)
{
    const struct policy_check_info *check;

    context->limited_ns = rates->now_ns;
    if (rates->refused == 0) {
        session_rates_passed(session, context->verdict.checks & ~rates->monitored, rates->now_ns);
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

/* An allowed message passes all checks that it has to, and is counted. False: refused (and answered). */
static bool pass_checks(
    struct session *session, struct publish_context *context, struct session_output *output)
{
    const struct session_rates rates = session->hooks.count(
        session->hooks.context, SESSION_MESSAGE, context->verdict.checks, context->packet.payload.length);

    if ((rates.refused | rates.monitored | session->rates_untold) == 0)
        return true;
    return judge_rates(session, context, &rates, output);
}

enum session_verdict session_client_publish(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct publish_context context;
    struct mqtt_error error;
    const struct mqtt_publish *packet = &context.packet;
    const struct session_cache_entry *known = NULL;
    enum session_verdict verdict;

    context.rewritten = false;
    context.limited_by = context.suppressed = 0;
    context.response_topic = (struct view){NULL, 0};
    if (mqtt_decode_publish(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options,
            &context.packet, &error) != MQTT_OK)
        return session_client_error(session, &error, MQTT_PUBLISH, output);
    if (packet->properties.present != 0 && !resolve_alias(session, &context, output))
        return SESSION_CONSUMED;
    if (!within_limits(session, packet, output))
        return SESSION_CONSUMED;
    context.request = (struct policy_request){POLICY_PUBLISH, packet->topic, session->settings->dialect,
        packet->qos, packet->retain, packet->payload.length};
    if (!mqtt_properties_has(&packet->properties, MQTT_RESPONSE_TOPIC))
        known = remembered(session->publish_cache, &context.request);
    if (known == NULL) {
        if (!judge_publish(session, &context, output))
            return SESSION_CONSUMED;
    } else
        context.verdict = (struct policy_verdict){
            .allowed = true, .reason = REASON_allowed, .rule = known->rule, .checks = known->checks};
    if (context.verdict.checks != 0 && !pass_checks(session, &context, output))
        return SESSION_CONSUMED;
    verdict = forward(session, &context, output);
    if (context.verdict.allowed && !context.verdict.would_be_denied && session_sample(session))
        audit_publish(session, &context, AUDIT_publish_allowed,
            context.rewritten ? AUDIT_REWRITTEN : AUDIT_FORWARDED, -1);
    return verdict;
}

/* ---- from the broker: delivery is always checked ---- */

/* Acknowledged in the client's stead, so that the broker's window does not stall. */
static void filter_delivery(
    struct session *session, struct publish_context *context, struct session_output *output)
{
    const struct mqtt_publish *packet = &context->packet;

    audit_publish(session, context, AUDIT_delivery_filtered, AUDIT_DROPPED, -1);
    if (packet->qos > 0)
        session_flow_refuse(
            &session->from_broker, packet->qos, packet->packet_id, 0, session->version, output->to_broker);
}

enum session_verdict session_broker_publish(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct publish_context context;
    struct mqtt_error error;
    const struct mqtt_publish *packet = &context.packet;

    context.rewritten = false;
    context.limited_by = context.suppressed = 0;
    context.response_topic = (struct view){NULL, 0};
    if (mqtt_decode_publish(frame, MQTT_FROM_SERVER, session->version, &session->settings->options,
            &context.packet, &error) != MQTT_OK)
        return session_broker_violation(session, error.statement, error.text, output);
    if (mqtt_properties_has(&packet->properties, MQTT_TOPIC_ALIAS))
        return session_broker_violation(
            session, "MQTT-3.1.2-26", "a topic alias although none was permitted", output);
    context.request = (struct policy_request){POLICY_RECEIVE, packet->topic, session->settings->dialect,
        packet->qos, packet->retain, packet->payload.length};
    if (frame->bytes.length > session->client_packet_limit) {
        /* [MQTT-3.1.2-25]: thrown away, as if it had been delivered */
        context.verdict = (struct policy_verdict){.reason = REASON_packet_too_large};
        filter_delivery(session, &context, output);
        return SESSION_CONSUMED;
    }
    if (remembered(session->receive_cache, &context.request) == NULL) {
        session_judge(session, &context.request, &context.verdict);
        if (!context.verdict.allowed) {
            filter_delivery(session, &context, output);
            return SESSION_CONSUMED;
        }
        if (context.verdict.would_be_denied)
            audit_publish(session, &context, AUDIT_delivery_filtered, AUDIT_MONITORED, -1);
        else
            remember(&session->receive_cache, &context.request, &context.verdict);
    }
    if (packet->qos > 0)
        session_flow_forwarded(
            &session->from_broker, packet->qos, packet->packet_id, session->version, output->to_broker);
    return SESSION_FORWARD;
}

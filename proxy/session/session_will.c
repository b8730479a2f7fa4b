/* SPDX-License-Identifier: Apache-2.0 */
/* The will: judged at CONNECT exactly as a publish, its signature included, and judged anew by another policy
 * (mqtt-semantics "Publish"). Called by the handler of CONNECT and by session_rebind.c. */
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

void session_will_free(struct session_will *will)
{
    if (will == NULL)
        return;
    free((void *)(uintptr_t)will->topic.data);
    free((void *)(uintptr_t)will->response_topic.data);
    free((void *)(uintptr_t)will->kid.data);
    free((void *)(uintptr_t)will->sub.data);
    free(will->mark);
    free(will);
}

static struct session_will *will_new(const struct mqtt_will *given)
{
    struct session_will *will = memory_calloc(1, sizeof(*will));
    struct mqtt_property_value value;

    will->qos = given->qos;
    will->retain = given->retain;
    will->size = given->payload.length;
    will->topic = view_of(memory_copy_string(given->topic), given->topic.length);
    if (mqtt_properties_find(&given->properties, MQTT_RESPONSE_TOPIC, &value))
        will->response_topic = view_of(memory_copy_string(value.string), value.string.length);
    return will;
}

bool session_judge_will(const struct session *session, const struct session_will *will,
    struct policy_verdict *verdict, struct view *response_topic)
{
    const struct policy_request request = {
        POLICY_WILL, will->topic, session->settings->dialect, will->qos, will->retain, will->size};

    session_judge(session, &request, verdict);
    if (verdict->allowed && will->response_topic.data != NULL) {
        uint64_t checks = verdict->checks;

        *response_topic = will->response_topic;
        session_may_receive_response(session, will->response_topic, verdict);
        verdict->checks = checks;
    }
    return verdict->allowed && !verdict->would_be_denied;
}

/* Says of a will that is denied, or would be, what there is to say; signature may be NULL. */
static void audit_will(const struct session *session, const struct mqtt_will *will,
    const struct policy_verdict *verdict, struct view response_topic,
    const struct session_signature *signature, enum audit_disposition disposition)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

    session_event_begin(session, &event, signature == NULL ? AUDIT_will_denied : AUDIT_signature_rejected,
        verdict->reason, disposition);
    session_event_verdict(&event, verdict, nearest);
    event.packet = VIEW("connect");
    session_event_will(&event, session->will, response_topic);
    if (signature != NULL)
        session_event_signature(&event, signature);
    session_event_payload(session, &event, will->payload);
    session_event_emit(session, &event);
}

/* What the policy, or another one since, does not let pass, or would not. */
static void count(const struct session *session, const struct policy_verdict *verdict)
{
    if (verdict->allowed)
        session_count_monitored(session, verdict);
    else
        session_count_denied(session, SESSION_OPERATION_WILL, verdict);
}

static void refuse(
    struct session *session, const struct policy_verdict *verdict, struct session_output *output)
{
    session_connect_refuse(session, verdict->reason, verdict->rule, "will", output);
    session_denied(session, verdict, output);
}

bool session_will_allowed(
    struct session *session, const struct mqtt_will *will, uint64_t *checks, struct session_output *output)
{
    struct policy_verdict verdict;
    struct view response_topic = {NULL, 0};
    bool passes;

    session->will = will_new(will);
    passes = session_judge_will(session, session->will, &verdict, &response_topic);
    *checks = verdict.checks;
    session->will->verdict = verdict;
    if (passes)
        return true;
    count(session, &verdict);
    audit_will(
        session, will, &verdict, response_topic, NULL, verdict.allowed ? AUDIT_MONITORED : AUDIT_REJECTED);
    if (!verdict.allowed)
        refuse(session, &verdict, output);
    return verdict.allowed;
}

/* ---- its signature ---- */

static enum reason verify(const struct session *session, const struct mqtt_will *will, uint64_t checks,
    struct session_signature *signature)
{
    struct signature_message message =
        session_signed_message(session, will->topic, will->payload, &will->properties, will->retain);

    message.will = true;
    return session_signature_verify(session, SIGNATURE_INGRESS, &message, checks, signature);
}

bool session_will_foresee(struct session *session, const struct mqtt_will *will, uint64_t checks,
    uint64_t now_ms, struct session_mark *mark)
{
    struct session_foreseen at = {.now_ms = now_ms};
    struct session_signature signature;
    enum reason reason;

    session->foreseen = &at;
    reason = verify(session, will, checks, &signature);
    session->foreseen = NULL;
    if (reason != REASON_none || signature.replay_check == NULL)
        return false;
    session_mark_take(mark, &signature.replay);
    return true;
}

static void audit_monitored(
    const struct session *session, const struct mqtt_will *will, struct session_signature *signature)
{
    const char *detail = signature->found.detail;

    for (uint64_t rest = signature->monitored; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);
        const struct policy_verdict verdict = {.reason = signature->would[check].reason,
            .rule = &policy_check(session->settings->policy, check)->info};

        signature->found.detail = signature->would[check].detail;
        session_count_monitored(session, &verdict);
        audit_will(session, will, &verdict, (struct view){NULL, 0}, signature, AUDIT_MONITORED);
    }
    signature->found.detail = detail;
}

bool session_will_signed(struct session *session, const struct mqtt_will *will, uint64_t checks,
    struct session_signature *signature, struct session_carrier *carrier, struct session_output *output)
{
    enum reason reason = verify(session, will, checks, signature);

    if (reason == REASON_none) /* a CONNECT is never sent again: each has a signature of its own */
        reason = session_signature_seen(session, signature, 0, false, 0);
    session_count_signature(session, reason, signature);
    if (session->scanned == NULL) /* or it was told before it waited */
        audit_monitored(session, will, signature);
    if (reason != REASON_none) {
        const struct policy_verdict verdict = {.reason = reason, .rule = &signature->refusing->info};

        count(session, &verdict);
        audit_will(session, will, &verdict, (struct view){NULL, 0}, signature, AUDIT_REJECTED);
        refuse(session, &verdict, output);
        return false;
    }
    if (signature->check != NULL) {
        const struct mps1_header *header = &signature->found.header;

        free((void *)(uintptr_t)session->will->kid.data); /* of the turn before it waited */
        free((void *)(uintptr_t)session->will->sub.data);
        session->will->kid = view_of(memory_copy_string(header->kid), header->kid.length);
        session->will->sub = view_of(memory_copy_string(header->sub), header->sub.length);
    }
    session_signature_forward(signature, will->payload, will->retain, carrier);
    return true;
}

/* ---- its payload ---- */

static void audit_scan(const struct session *session, const struct mqtt_will *will,
    const struct session_scan_found *found, enum audit_disposition disposition)
{
    struct audit_event event;
    struct session_scan_text text;

    session_event_begin(session, &event, session_scan_action(found, disposition), found->reason, disposition);
    event.packet = VIEW("connect");
    session_event_will(&event, session->will, (struct view){NULL, 0});
    session_event_scan(&event, found, &text);
    session_event_payload(session, &event, will->payload);
    session_event_emit(session, &event);
}

bool session_will_scanned(struct session *session, const struct mqtt_will *will, uint64_t checks,
    const struct session_signature *signature, struct session_output *output)
{
    bool stands = signature != NULL && signature->check != NULL;
    const struct session_scan_message message = {.topic = will->topic,
        .payload = stands ? signature->found.payload : will->payload,
        .properties = &will->properties,
        .size = will->payload.length,
        .qos = will->qos,
        .retain = will->retain};
    struct session_scan_run run;
    struct session_scan_found found;
    enum session_scan_step step;
    bool refused = false;

    session_scan_begin(&run, session, &message, checks);
    while (!refused && (step = session_scan_next(&run, &found)) == SESSION_SCAN_FOUND) {
        const struct policy_verdict verdict = {
            .allowed = !found.refuses, .reason = found.reason, .rule = &found.check->info};

        refused = found.refuses;
        if (refused || found.monitored)
            count(session, &verdict);
        audit_scan(session, will, &found,
            refused           ? AUDIT_REJECTED
            : found.monitored ? AUDIT_MONITORED
                              : AUDIT_INFORMED);
    }
    if (refused) {
        const struct policy_verdict verdict = {.reason = found.reason, .rule = &found.check->info};

        session->refusal_code = found.check->yara->reason_code;
        session_connect_refuse(session, verdict.reason, verdict.rule, "will", output);
        session->refusal_code = 0;
        if (found.reason == REASON_payload_matched) /* as for a publish */
            session_denied(session, &verdict, output);
    }
    session_scan_end(&run);
    return !refused && step == SESSION_SCAN_PASSED;
}

void session_will_sent(struct session *session, const struct session_signature *signature)
{
    if (signature->replay_check == NULL)
        return;
    session->will->mark = memory_calloc(1, sizeof(*session->will->mark));
    session_mark_take(session->will->mark, &signature->replay);
}

void session_will_answered(struct session *session, bool accepted)
{
    struct session_replay replay;

    if (session->will == NULL || session->will->mark == NULL)
        return;
    replay = session_mark_replay(session->will->mark);
    session->hooks->replay_end(session->context, &replay, accepted);
    free(session->will->mark);
    session->will->mark = NULL;
}

/* ---- another policy, or other keys ---- */

/* The message itself is the broker's by now: its signature is as good as its key. */
static enum reason judge_key(const struct session *session, const struct policy_check_info *info)
{
    const struct session_will *will = session->will;
    const struct keyring_entry *entry;
    const uint64_t *groups;
    uint32_t generation;
    size_t words;

    if (will->kid.data == NULL)
        return info->signature->when_present ? REASON_none : REASON_sig_missing;
    if (session->settings->keyring == NULL)
        return REASON_sig_key_unknown;
    entry = keyring_find_kid(session->settings->keyring, will->kid, &generation);
    if (entry == NULL || !signature_names_key(info->signature, view_of_string(entry->kid)))
        return REASON_sig_key_unknown;
    if (keyring_is_revoked(entry, will->sub, generation))
        return REASON_sig_key_revoked;
    groups = policy_subject_group_bits(session->settings->policy, session->subject, &words);
    return signature_may_bring(info->signature, policy_subject_id(session->subject), groups, words, will->sub)
               ? REASON_none
               : REASON_sig_identity;
}

static void audit_again(const struct session *session, const struct policy_verdict *verdict,
    struct view response_topic, enum audit_action action)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

    count(session, verdict);
    session_event_begin(
        session, &event, action, verdict->reason, verdict->allowed ? AUDIT_MONITORED : AUDIT_CLOSED);
    session_event_verdict(&event, verdict, nearest);
    session_event_will(&event, session->will, response_topic);
    event.signature_kid = session->will->kid;
    event.signature_sub = session->will->sub;
    session_event_emit(session, &event);
}

/* REASON_none, or why it may not stay. */
static enum reason judge_signature(const struct session *session, uint64_t checks)
{
    for (uint64_t rest = checks & policy_signature_checks(session->settings->policy); rest != 0;
         rest &= rest - 1) {
        const struct policy_check_info *info =
            policy_check(session->settings->policy, (size_t)__builtin_ctzll(rest));
        const struct policy_verdict verdict = {
            .allowed = info->monitor, .reason = judge_key(session, info), .rule = &info->info};

        if (verdict.reason == REASON_none)
            continue;
        audit_again(session, &verdict, (struct view){NULL, 0}, AUDIT_signature_rejected);
        if (!verdict.allowed)
            return verdict.reason;
    }
    return REASON_none;
}

bool session_will_again(struct session *session, struct session_output *output)
{
    struct policy_verdict verdict;
    struct view response_topic = {NULL, 0};
    enum reason reason;

    if (session->will == NULL)
        return true;
    if (!session_judge_will(session, session->will, &verdict, &response_topic))
        audit_again(session, &verdict, response_topic, AUDIT_will_denied);
    reason = verdict.allowed ? judge_signature(session, verdict.checks) : verdict.reason;
    if (reason != REASON_none)
        session_evict(session, reason, output);
    return reason == REASON_none;
}

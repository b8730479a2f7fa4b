/* SPDX-License-Identifier: Apache-2.0 */
/* A shadow policy: it is asked about what the policy in force is asked about, and where it decides otherwise,
 * the audit has a shadow-diff. Nothing else comes of it (policy-language "Semantics", 9). Rules and
 * identities are compared; checks are not: no rate counts twice, no payload is scanned twice. Both are
 * compared as they would be enforced, whatever their mode. */
#include <stdio.h>

#include "proxy/session/session_internal.h"

static bool denies(const struct policy_verdict *verdict)
{
    return !verdict->allowed || verdict->would_be_denied;
}

/* The event is filled in by its caller but for what the shadow says. */
static void tell(
    const struct session *session, struct audit_event *event, const struct policy_verdict *shadow)
{
    const struct policy_rule_info *rule = shadow->would_deny != NULL ? shadow->would_deny : shadow->rule;

    event->shadow_policy = view_of_string(policy_settings(session->settings->shadow)->version);
    event->shadow_decision = denies(shadow) ? VIEW("deny") : VIEW("allow");
    session_count_shadow(session, denies(shadow));
    event->shadow_reason = view_of_string(reason_info(shadow->reason)->name);
    if (rule != NULL) {
        event->shadow_rule = view_of_string(rule->name);
        event->shadow_location = view_of_string(rule->location);
    }
    session_event_emit(session, event);
}

/* ---- what is told ---- */

static void tell_of_identity(
    const struct session *session, enum reason live, const struct policy_identification *found)
{
    struct audit_event event;
    const bool refused = found->result == POLICY_REFUSED;
    const struct policy_verdict shadow = {.allowed = !refused,
        .reason = refused ? found->reason : REASON_allowed,
        .rule = refused ? found->rule : NULL};

    session_event_begin(session, &event, AUDIT_shadow_diff, live, AUDIT_INFORMED);
    event.packet = VIEW("connect");
    event.detail = view_of_string(found->detail);
    tell(session, &event, &shadow);
}

/* ---- what ---- */

static void tell_of_act(const struct session *session, const struct policy_request *request,
    struct view response_topic, const struct policy_verdict *verdict, const struct policy_verdict *shadow)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

    session_event_begin(session, &event, AUDIT_shadow_diff, verdict->reason, AUDIT_INFORMED);
    session_event_verdict(&event, verdict, nearest);
    event.outbound = request->operation == POLICY_RECEIVE;
    event.packet = request->operation == POLICY_WILL ? VIEW("connect") : VIEW("publish");
    event.has_topic = true;
    event.topic = request->topic;
    event.response_topic = response_topic;
    event.has_qos = true;
    event.qos = request->qos;
    event.retained = request->retain;
    event.has_payload = true;
    event.payload_bytes = request->size;
    tell(session, &event, shadow);
}

static void decide(const struct session *session, const struct policy_request *request,
    struct view response_topic, struct policy_verdict *verdict)
{
    const struct policy_request answer = {
        .operation = POLICY_RECEIVE, .topic = response_topic, .dialect = request->dialect};
    struct policy_verdict received;

    policy_decide(session->settings->shadow, session->shadow, request, verdict);
    if (response_topic.length == 0 || denies(verdict))
        return;
    policy_decide(session->settings->shadow, session->shadow, &answer, &received);
    if (!denies(&received))
        return;
    *verdict = received;
    verdict->reason = REASON_response_topic_denied;
}

/* What is remembered of a decision must hold for both policies. */
static void narrow(struct policy_envelope *envelope, const struct policy_envelope *shadow)
{
    envelope->valid = envelope->valid && shadow->valid;
    envelope->retain = envelope->retain && shadow->retain;
    if (shadow->max_qos < envelope->max_qos)
        envelope->max_qos = shadow->max_qos;
    if (shadow->max_size < envelope->max_size)
        envelope->max_size = shadow->max_size;
}

void session_shadow_act(const struct session *session, const struct policy_request *request,
    struct view response_topic, struct policy_verdict *verdict)
{
    struct policy_verdict shadow;

    if (session->shadow == NULL)
        return;
    decide(session, request, response_topic, &shadow);
    if (denies(verdict) == denies(&shadow)) {
        narrow(&verdict->envelope, &shadow.envelope);
        return;
    }
    verdict->envelope.valid = false; /* the next one is to be told of, too */
    if (session->scanned == NULL)    /* or it was told before it waited */
        tell_of_act(session, request, response_topic, verdict, &shadow);
}

/* Of a will that the policy in force refuses there is no session to compare. */
static void compare_will(const struct session *session)
{
    const struct session_will *will = session->will;
    const struct policy_request request = {
        POLICY_WILL, will->topic, session->settings->dialect, will->qos, will->retain, will->size};
    struct policy_verdict verdict;
    struct view denied = {NULL, 0};

    session_judge_will(session, will, &verdict, &denied);
    session_shadow_act(session, &request, will->response_topic, &verdict);
}

void session_shadow_subscribe(const struct session *session, const struct policy_subscribe_request *request,
    const struct policy_subscribe_verdict *verdict)
{
    struct policy_subscribe_verdict shadow;
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX], detail[64];
    bool same;

    if (session->shadow == NULL)
        return;
    policy_decide_subscribe(session->settings->shadow, session->shadow, request, &shadow);
    same = denies(&verdict->verdict) == denies(&shadow.verdict);
    if (same && (denies(&shadow.verdict) || verdict->max_qos == shadow.max_qos))
        return;
    session_event_begin(session, &event, AUDIT_shadow_diff, verdict->verdict.reason, AUDIT_INFORMED);
    session_event_verdict(&event, &verdict->verdict, nearest);
    event.packet = VIEW("subscribe");
    event.has_topic = true;
    event.topic = request->filter;
    event.has_qos = true;
    event.qos = request->qos;
    if (same) {
        snprintf(detail, sizeof(detail), "QoS %u would be granted instead of %u", shadow.max_qos,
            verdict->max_qos);
        event.detail = view_of_string(detail);
    }
    tell(session, &event, &shadow.verdict);
}

/* ---- who ---- */

void session_shadow_begin(struct session *session)
{
    const struct policy *shadow = session->settings->shadow;
    struct policy_credentials credentials;
    struct policy_identification found;
    bool distrusted = policy_subject_is_distrusted(session->subject);

    session_shadow_end(session);
    if (shadow == NULL)
        return;
    credentials = session_credentials(session);
    found = policy_identify(shadow, &credentials, &session->shadow);
    if ((found.result == POLICY_REFUSED) != distrusted)
        tell_of_identity(session, distrusted ? REASON_none : REASON_allowed, &found);
    if (found.result == POLICY_REFUSED) /* there would be nothing more to decide */
        session_shadow_end(session);
    else if (session->will != NULL)
        compare_will(session);
}

void session_shadow_end(struct session *session)
{
    policy_subject_free(session->shadow);
    session->shadow = NULL;
}

void session_shadow_refused(
    const struct session *session, const struct policy_credentials *credentials, enum reason reason)
{
    struct policy_subject *subject = NULL;
    struct policy_identification found;

    if (session->settings->shadow == NULL)
        return;
    found = policy_identify(session->settings->shadow, credentials, &subject);
    policy_subject_free(subject);
    if (found.result != POLICY_REFUSED)
        tell_of_identity(session, reason, &found);
}

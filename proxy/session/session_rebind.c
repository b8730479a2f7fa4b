/* SPDX-License-Identifier: Apache-2.0 */
/* Another policy for a session that goes on (design "Threads": live sessions are re-bound). The client is
 * identified anew from what it presented, its will and its subscriptions are judged anew, and what the new
 * policy forbids ends now: the connection, or the subscription at the broker. What was remembered is
 * forgotten, so that publishes and deliveries are judged by the new policy from the next one on. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

void session_evict(struct session *session, enum reason reason, struct session_output *output)
{
    if (session->state == SESSION_OPEN)
        mqtt_encode_disconnect(output->to_broker, session->version, 0);
    session_close(session, reason, output);
}

/* ---- who ---- */

/* The session's end is still about whom its beginning was about. */
static void remember_user(struct session *session, const struct policy_identification *found)
{
    struct view user = policy_subject_id(session->subject);

    session->former_user = view_of(memory_copy_string(user), user.length);
    session->former_source = policy_subject_source(session->subject);
    session->end_rule = found->rule;
    session->end_detail = memory_copy_string(view_of_string(found->detail));
}

static void replace_subject(struct session *session, struct policy_subject *subject)
{
    session_room_forget(session);
    policy_subject_free(session->subject);
    session->subject = subject;
}

/* What an answer that does not refuse rests on may be gone, or may never have been asked for. */
static enum reason check_proof(const struct session *session, const struct policy_identification *found)
{
    /* The password itself is not kept: what it was checked with must still be there. */
    bool checked = session->password_tag != 0 && found->result == POLICY_CHECK_PASSWORD &&
                   session_password_tag(session, found) == session->password_tag;
    /* The broker never saw a password that was a token. */
    bool asked = found->result == POLICY_ASK_BROKER && session->token_in != POLICY_TOKEN_PASSWORD;

    return found->result == POLICY_IDENTIFIED || checked || asked ? REASON_none : REASON_credential_changed;
}

/* A client whose identifier nobody knows is judged as at its CONNACK. */
static void check_client_id(
    const struct session *session, struct policy_subject *subject, struct policy_identification *found)
{
    struct policy_identification check;

    if (found->result == POLICY_REFUSED || session->client_id.length > 0)
        return;
    check = policy_subject_set_client_id(session->settings->policy, subject, session->client_id);
    if (check.result == POLICY_REFUSED)
        *found = check;
}

/* False: the session has ended. Monitor mode reports and goes on. */
static bool identify_again(struct session *session, struct session_output *output)
{
    struct policy_credentials credentials = session_credentials(session);
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(session->settings->policy, &credentials, &subject);
    enum reason reason;

    check_client_id(session, subject, &found);
    reason = session_check_identity(session, &found);
    session->expires_s = found.expires_s;
    if (reason == REASON_none)
        reason = check_proof(session, &found);
    if (reason == REASON_credential_changed && session->policy->mode == POLICY_MONITOR)
        policy_subject_distrust(session->settings->policy, subject);
    if (reason == REASON_none && !view_equal(policy_subject_id(subject), policy_subject_id(session->subject)))
        reason = REASON_identity_changed;
    if (reason != REASON_none && session->policy->mode != POLICY_MONITOR)
        remember_user(session, &found);
    replace_subject(session, subject);
    if (reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR) {
        session_connect_would_refuse(session, reason, found.rule, found.detail);
        return true;
    }
    session_evict(session, reason, output);
    return false;
}

/* Monitor mode lets in whoever can't have the place that a session claims, and a limit may be lower now. */
static bool claim_again(
    struct session *session, const struct policy_settings *before, struct session_output *output)
{
    const struct policy_settings *now = session->policy;
    bool lower = now->limit_sessions != 0 &&
                 (before->limit_sessions == 0 || now->limit_sessions < before->limit_sessions);
    enum reason reason;

    if (now->mode == POLICY_MONITOR || (before->mode != POLICY_MONITOR && !lower))
        return true;
    reason = session_claim(session, true);
    if (reason != REASON_none)
        session_evict(session, reason, output);
    return reason == REASON_none;
}

/* ---- the whole ---- */

static void forget_decisions(struct session *session)
{
    session_cache_free(session->publish_cache);
    session_cache_free(session->receive_cache);
    session->publish_cache = session->receive_cache = NULL;
    session_denials_free(session->publish_denials);
    session_denials_free(session->receive_denials);
    session->publish_denials = session->receive_denials = NULL;
    session_scan_forget(session);
}

void session_rebind(
    struct session *session, const struct session_settings *settings, struct session_output *output)
{
    const struct policy_settings *before = session->policy;

    assert(session->magic == SESSION_MAGIC);
    assert(session->state == SESSION_NEW || session->state == SESSION_OPEN);
    session->settings = settings;
    session->policy = policy_settings(settings->policy);
    session_room_forget(session);
    if (session->state == SESSION_NEW) { /* nobody was judged, nothing was announced */
        session_take_limits(session);
        return;
    }
    if (strcmp(before->version, session->policy->version) != 0)
        session->previous_policy = memory_copy_string(view_of_string(before->version));
    forget_decisions(session);
    if (identify_again(session, output)) {
        session_shadow_begin(session);
        session_rates_hold(session, session->subject);
        if (claim_again(session, before, output) && session_will_again(session, output))
            session_withdraw(session, output);
    }
    /* it says why something happened, and does so once */
    if (!output->close) {
        free(session->previous_policy);
        session->previous_policy = NULL;
    }
}

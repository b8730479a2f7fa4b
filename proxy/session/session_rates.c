/* SPDX-License-Identifier: Apache-2.0 */
/* What rates mean to a session: when it counts. The counting itself is behind hooks.count. Called by the
 * handlers of CONNECT and CONNACK; those of PUBLISH are in session_publish.c. */
#include "proxy/session/session_internal.h"

void session_rates_hold(struct session *session, const struct policy_subject *subject)
{
    const struct policy *policy = session->settings->policy;

    if (!session->holds_rates && policy_check_count(policy) == 0)
        return;
    session->hooks->hold_rates(session->context, policy, subject);
    session->holds_rates = policy_check_count(policy) > 0;
}

/* ---- CONNECT ---- */

static const struct policy_rule_info *first_check(const struct session *session, uint64_t checks)
{
    return &policy_check(session->settings->policy, (size_t)__builtin_ctzll(checks))->info;
}

/* False: refused (and answered). */
static bool count_connect(
    struct session *session, enum session_counted counted, struct session_output *output)
{
    struct session_rates rates;

    if (!session->holds_rates)
        return true;
    rates = session->hooks->count(session->context, counted, UINT64_MAX, 0);
    for (uint64_t rest = rates.monitored; rest != 0; rest &= rest - 1)
        session_connect_would_refuse(session, REASON_connect_rate_exceeded, first_check(session, rest), NULL);
    if (rates.refused != 0)
        session_connect_refuse(
            session, REASON_connect_rate_exceeded, first_check(session, rates.refused), NULL, output);
    return rates.refused == 0;
}

bool session_rates_arrive(struct session *session, struct session_output *output)
{
    session_rates_hold(session, NULL);
    return count_connect(session, SESSION_ARRIVAL, output);
}

bool session_rates_enter(struct session *session, struct session_output *output)
{
    session_rates_hold(session, session->subject);
    return count_connect(session, SESSION_ENTRY, output);
}

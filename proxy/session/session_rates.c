/* SPDX-License-Identifier: Apache-2.0 */
/* What rates mean to a session: when it counts, and how the audit hears of what was refused. The counting
 * itself is behind hooks.count. Called by the handlers of CONNECT, CONNACK and PUBLISH, and at the end. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* Between two events of a session about the same check. */
#define TELL_INTERVAL_NS RATE_SECOND_NS

/* What the audit was told of a check, and what it was not told yet. */
struct session_rate_told {
    uint64_t at_ns;      /* of the last event */
    uint64_t suppressed; /* messages refused since */
    enum audit_disposition disposition;
};

void session_rates_hold(struct session *session, const struct policy_subject *subject)
{
    const struct policy *policy = session->settings->policy;

    if (!session->holds_rates && policy_check_count(policy) == 0)
        return;
    session->hooks.hold_rates(session->hooks.context, policy, subject);
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
    rates = session->hooks.count(session->hooks.context, counted, UINT64_MAX, 0);
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

/* ---- the audit of refused messages ---- */

bool session_rates_tell(struct session *session, uint64_t check, enum audit_disposition disposition,
    uint64_t now_ns, uint64_t *suppressed)
{
    struct session_rate_told *told;

    assert(check != 0 && (check & (check - 1)) == 0);
    if (session->rates_told == NULL)
        session->rates_told =
            memory_calloc(policy_check_count(session->settings->policy), sizeof(*session->rates_told));
    told = &session->rates_told[__builtin_ctzll(check)];
    if (told->at_ns != 0 && now_ns - told->at_ns < TELL_INTERVAL_NS) {
        told->suppressed++;
        told->disposition = disposition;
        session->rates_untold |= check;
        return false;
    }
    *suppressed = told->suppressed;
    *told = (struct session_rate_told){.at_ns = now_ns == 0 ? 1 : now_ns};
    session->rates_untold &= ~check;
    return true;
}

/* Of the messages that have no event of their own the last one gets this, so that every event stands for one
 * message and those that it says were suppressed. */
static void tell_rest(struct session *session, uint64_t check)
{
    struct session_rate_told *told = &session->rates_told[__builtin_ctzll(check)];
    const struct policy_rule_info *info = first_check(session, check);
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_rate_limited, REASON_rate_exceeded, told->disposition);
    event.packet = VIEW("publish");
    event.rule = view_of_string(info->name);
    event.rule_location = view_of_string(info->location);
    event.suppressed = told->suppressed - 1;
    session_event_emit(session, &event);
    told->suppressed = 0;
    session->rates_untold &= ~check;
}

void session_rates_passed(struct session *session, uint64_t checks, uint64_t now_ns)
{
    for (uint64_t rest = session->rates_untold & checks; rest != 0; rest &= rest - 1) {
        struct session_rate_told *told = &session->rates_told[__builtin_ctzll(rest)];

        if (now_ns - told->at_ns < TELL_INTERVAL_NS)
            continue;
        tell_rest(session, rest & -rest);
        told->at_ns = now_ns;
    }
}

uint64_t session_rates_due_ns(const struct session *session)
{
    uint64_t due = 0;

    for (uint64_t rest = session->rates_untold; rest != 0; rest &= rest - 1) {
        uint64_t at = session->rates_told[__builtin_ctzll(rest)].at_ns + TELL_INTERVAL_NS;

        due = due == 0 || at < due ? at : due;
    }
    return due;
}

void session_rates_tell_due(struct session *session, uint64_t now_ns)
{
    session_rates_passed(session, UINT64_MAX, now_ns);
}

void session_rates_flush(struct session *session)
{
    while (session->rates_untold != 0)
        tell_rest(session, session->rates_untold & -session->rates_untold);
    free(session->rates_told);
    session->rates_told = NULL;
}

void session_rates_free(struct session *session)
{
    free(session->rates_told);
}

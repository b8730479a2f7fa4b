/* SPDX-License-Identifier: Apache-2.0 */
/* Where sessions count what they do (session_counters.h). Called by the handlers of packets, once for each
 * act of a client or a broker. */
#include "base/clock.h"
#include "proxy/session/session_internal.h"

static void count_rule(
    const struct session *session, const struct policy_rule_info *rule, enum session_result result)
{
    counter_add(&session->hooks->counters->rules[session_rule_slot(session, rule)][result], 1);
}

void session_count_denials(const struct session *session, enum session_operation operation,
    const struct policy_verdict *verdict, uint64_t count)
{
    struct session_counters *counters = session->hooks->counters;

    if (counters == NULL)
        return;
    counter_add(&counters->decisions[operation][SESSION_DENIED], count);
    counter_add(&counters->refusals[verdict->reason], count);
    counter_add(&counters->rules[session_rule_slot(session, verdict->rule)][SESSION_DENIED], count);
}

void session_count_denied(
    const struct session *session, enum session_operation operation, const struct policy_verdict *verdict)
{
    session_count_denials(session, operation, verdict, 1);
}

void session_count_monitored(const struct session *session, const struct policy_verdict *verdict)
{
    struct session_counters *counters = session->hooks->counters;
    bool by_rule = verdict->would_deny != NULL; /* its own monitor mode: reason is that of the rest */

    if (counters == NULL)
        return;
    counter_add(&counters->monitored[by_rule ? REASON_denied_by_rule : verdict->reason], 1);
    count_rule(session, by_rule ? verdict->would_deny : verdict->rule, SESSION_MONITORED);
}

void session_count_shadow(const struct session *session, bool denies)
{
    if (session->hooks->counters != NULL)
        counter_add(
            &session->hooks->counters->shadow[denies ? SESSION_SHADOW_DENY : SESSION_SHADOW_ALLOW], 1);
}

void session_count_refused(const struct session *session, enum reason reason)
{
    if (session->hooks->counters != NULL)
        counter_add(&session->hooks->counters->connects_refused[reason], 1);
}

void session_count_violation(const struct session *session, enum reason reason)
{
    if (session->hooks->counters != NULL)
        counter_add(&session->hooks->counters->protocol_errors[reason], 1);
}

/* ---- signatures ---- */

void session_count_signature(
    const struct session *session, enum reason reason, const struct session_signature *signature)
{
    struct session_counters *counters = session->hooks->counters;

    /* what has waited for a scan was counted before */
    if (counters == NULL || session->scanned != NULL)
        return;
    for (uint64_t rest = signature->monitored; rest != 0; rest &= rest - 1)
        counter_add(&counters->signatures[signature->would[__builtin_ctzll(rest)].reason], 1);
    if (reason != REASON_none || signature->check != NULL)
        counter_add(&counters->signatures[reason], 1);
    else if (signature->monitored == 0)
        counter_add(&counters->unsigned_messages, 1);
}

uint64_t session_signature_begin(const struct session *session)
{
    struct session_counters *counters = session->hooks->counters;

    return counters == NULL || counters->signature_sample++ % SESSION_SIGNATURE_SAMPLE != 0
               ? 0
               : clock_monotonic_ns();
}

void session_signature_end(const struct session *session, uint64_t begun_ns)
{
    if (begun_ns != 0)
        histogram_add(
            &session->hooks->counters->signature, &histogram_short, clock_monotonic_ns() - begun_ns);
}

/* ---- scans ---- */

static bool has_finding_of(const struct scan_result *result, const char *set)
{
    size_t listed = result->count < SCAN_FINDINGS_MAX ? result->count : SCAN_FINDINGS_MAX;

    for (size_t i = 0; i < listed; i++)
        if (strcmp(result->findings[i].rule->set, set) == 0)
            return true;
    return false;
}

static enum session_scan_outcome outcome_of(const struct scan_result *result, bool matched)
{
    return matched                 ? SESSION_SCAN_MATCHED
           : result->error != NULL ? SESSION_SCAN_ERROR
           : !result->complete     ? SESSION_SCAN_INCOMPLETE
                                   : SESSION_SCAN_CLEAN;
}

void session_count_scan(const struct session *session, size_t check, enum session_scan_place place,
    const struct scan_result *result)
{
    const struct session_settings *settings = session->settings;
    struct session_counters *counters = session->hooks->counters;

    if (counters == NULL)
        return;
    counter_add(&counters->scans[place][outcome_of(result, result->count > 0)], 1);
    for (uint64_t rest = settings->scan_sets[check]; rest != 0 && settings->slots.sets != NULL;
         rest &= rest - 1) {
        const struct session_set_slot *set = &settings->slots.sets[__builtin_ctzll(rest)];
        bool matched = result->count > 0 && has_finding_of(result, set->name);

        counter_add(&counters->sets[atomic_load_explicit(&set->slot, memory_order_relaxed)]
                                   [outcome_of(result, matched)],
            1);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from the notation to the policy's decisions: its client to policy_identify(), its acts to the
 * functions that the daemon decides with, and what checks say to a message that is signed as it says. Called
 * by test.c and explain.c. */
#include <assert.h>
#include <stdio.h>

#include "policy/notation.h"
#include "policy/parse_keys.h"
#include "policy/signature.h"
#include "policy/yara.h"

/* ---- who ---- */

static void note_mistaken(const struct policy_identification *found, struct view id,
    const struct notated_client *client, struct policy_outcome *outcome)
{
    if (found->source == client->row->source && view_equal(id, client->id))
        return;
    outcome->mistaken = true;
    snprintf(outcome->detail, sizeof(outcome->detail), "%s %.*s", policy_source_name(found->source),
        VIEW_ARGS(id));
}

void notation_identify(const struct policy *policy, const struct notated_client *client,
    struct policy_subject **subject, struct policy_outcome *outcome)
{
    struct policy_identification found = policy_identify(policy, &client->credentials, subject);
    *outcome = (struct policy_outcome){.act = POLICY_ACT_CONNECT, .allowed = true, .reason = REASON_allowed};
    if (found.result == POLICY_REFUSED) {
        outcome->refused = true;
        outcome->reason = found.reason;
        outcome->rule = found.rule;
        snprintf(outcome->detail, sizeof(outcome->detail), "%s", found.detail);
    } else {
        note_mistaken(&found, policy_subject_id(*subject), client, outcome);
    }
    outcome->allowed = !outcome->refused && !outcome->mistaken;
    if (!outcome->allowed) {
        policy_subject_free(*subject);
        *subject = NULL;
    }
}

/* ---- may it ---- */

/* The reason says what an enforced policy does, whatever the policy's mode lets pass. */
static void take_verdict(const struct policy_verdict *verdict, struct policy_outcome *outcome)
{
    outcome->allowed = verdict->reason == REASON_allowed;
    outcome->reason = verdict->reason;
    outcome->rule = verdict->rule;
    outcome->nearest = verdict->nearest;
    outcome->nearest_condition = verdict->nearest_condition;
    outcome->would_deny = verdict->would_deny;
    outcome->checks = verdict->checks;
}

struct policy_request notation_request(enum dialect dialect, const struct notated_act *act)
{
    static const enum policy_operation operations[] = {[POLICY_ACT_PUBLISH] = POLICY_PUBLISH,
        [POLICY_ACT_WILL] = POLICY_WILL,
        [POLICY_ACT_RECEIVE] = POLICY_RECEIVE};
    assert(act->act == POLICY_ACT_PUBLISH || act->act == POLICY_ACT_WILL || act->act == POLICY_ACT_RECEIVE);
    return (struct policy_request){
        .operation = operations[act->act],
        .topic = act->topic,
        .dialect = dialect,
        .qos = act->qos,
        .retain = act->retain,
        .size = act->size,
    };
}

struct policy_subscribe_request notation_subscribe_request(
    enum dialect dialect, const struct notated_act *act)
{
    return (struct policy_subscribe_request){.filter = act->topic, .dialect = dialect, .qos = act->qos};
}

static void decide_subscribe(const struct policy *policy, const struct policy_subject *subject,
    enum dialect dialect, const struct notated_act *act, struct policy_outcome *outcome)
{
    const struct policy_subscribe_request request = notation_subscribe_request(dialect, act);
    struct policy_subscribe_verdict verdict;
    policy_decide_subscribe(policy, subject, &request, &verdict);
    take_verdict(&verdict.verdict, outcome);
    outcome->filtered = verdict.filtered;
    outcome->qos_asked = act->qos;
    outcome->qos = verdict.max_qos;
}

/* ---- checks ---- */

/* A signature that stands has a key of the check, and somebody whom the client may bring. At delivery nobody
 * knows who brought it. An identity that no header can name signs nothing. */
static enum reason ask_signature(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_check *check, const struct notated_act *act)
{
    const struct signature_terms *terms = check->info.signature;
    struct view signer = act->signer.length > 0 ? act->signer : subject->id, master;
    uint32_t generation;
    if (act->kid.length == 0)
        return terms->when_present ? REASON_none : REASON_sig_missing;
    if (!signature_names_key(terms, act->kid) &&
        !(parse_generation(act->kid, &master, &generation) && signature_names_key(terms, master)))
        return REASON_sig_key_unknown;
    if (act->act != POLICY_ACT_RECEIVE &&
        (!mps1_sub_valid(signer) ||
            !signature_may_bring(terms, subject->id, subject->groups, policy->group_words, signer)))
        return REASON_sig_identity;
    return REASON_none;
}

static enum reason ask_yara(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_check *check, const struct notated_act *act)
{
    const struct yara_terms *terms = check->info.yara;
    (void)policy;
    (void)subject;
    for (size_t i = 0; i < terms->rule_count; i++) {
        for (size_t k = 0; k < act->match_count; k++) {
            if (view_equal_string(act->matches[k], terms->rules[i]))
                return REASON_payload_matched;
        }
    }
    return REASON_none;
}

/* A single message exceeds no rate. */
static enum reason ask_rate(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_check *check, const struct notated_act *act)
{
    (void)policy;
    (void)subject;
    (void)check;
    (void)act;
    return REASON_none;
}

enum reason notation_ask_check(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_check *check, const struct notated_act *act)
{
    static enum reason (*const asks[POLICY_CHECK_KINDS])(const struct policy *, const struct policy_subject *,
        const struct policy_check *, const struct notated_act *) = {
        [POLICY_CHECK_RATE] = ask_rate,
        [POLICY_CHECK_SIGNATURE] = ask_signature,
        [POLICY_CHECK_YARA] = ask_yara,
    };
    return asks[check->info.kind](policy, subject, check, act);
}

bool notation_only_reports(const struct policy_check_info *check)
{
    return check->yara != NULL && check->yara->on_match == YARA_MATCH_ALERT;
}

/* Each check that signs again what is delivered is about messages of its own keys: one that takes it is
 * enough, and if none does, the last says so. */
uint64_t notation_checks_to_ask(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, uint64_t checks)
{
    uint64_t resigns = checks & policy->resign_checks, last = 0;
    if (act->act != POLICY_ACT_RECEIVE || act->kid.length == 0)
        return checks;
    for (size_t i = 0; i < policy->check_count; i++) {
        if ((resigns >> i & 1) == 0)
            continue;
        if (notation_ask_check(policy, subject, &policy->checks[i], act) == REASON_none)
            return checks & ~resigns;
        last = UINT64_C(1) << i;
    }
    return (checks & ~resigns) | last;
}

/* In the file's order. False if one denied it. */
static bool ask_checks(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, uint64_t checks, struct policy_outcome *outcome)
{
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check *check = &policy->checks[i];
        enum reason reason =
            (checks >> i & 1) == 0 ? REASON_none : notation_ask_check(policy, subject, check, act);
        if (reason == REASON_none)
            continue;
        if (notation_only_reports(&check->info)) {
            if (outcome->reported_by == NULL)
                outcome->reported_by = &check->info.info;
            continue;
        }
        if (check->match.monitor) {
            if (outcome->would_deny == NULL) {
                outcome->would_deny = &check->info.info;
                outcome->would_reason = reason;
            }
            continue;
        }
        outcome->allowed = false;
        outcome->reason = reason;
        outcome->allowed_by = outcome->rule;
        outcome->rule = &check->info.info;
        return false;
    }
    return true;
}

/* A signature says whose payload it is before anybody looks into it. */
void notation_ask_checks(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, struct policy_outcome *outcome)
{
    uint64_t checks = notation_checks_to_ask(policy, subject, act, outcome->checks);
    uint64_t resigns = act->act == POLICY_ACT_RECEIVE ? checks & policy->resign_checks : 0;
    uint64_t scans = checks & policy->checks_of[POLICY_CHECK_YARA];
    const uint64_t turns[] = {checks & ~resigns & ~scans, resigns, scans};
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        if (!ask_checks(policy, subject, act, turns[i], outcome))
            return;
    }
}

void notation_decide(const struct policy *policy, const struct policy_subject *subject, enum dialect dialect,
    const struct notated_act *act, struct policy_outcome *outcome)
{
    struct policy_verdict verdict;
    *outcome = (struct policy_outcome){.act = act->act, .allowed = true, .reason = REASON_allowed};
    if (act->act == POLICY_ACT_CONNECT)
        return;
    if (act->act == POLICY_ACT_SUBSCRIBE) {
        decide_subscribe(policy, subject, dialect, act, outcome);
        return;
    }
    const struct policy_request request = notation_request(dialect, act);
    policy_decide(policy, subject, &request, &verdict);
    take_verdict(&verdict, outcome);
    notation_ask_checks(policy, subject, act, outcome);
}

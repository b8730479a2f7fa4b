/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the run of a policy's own tests, and the words in which an outcome is told. Called by policy.c when a
 * policy is loaded, and by 'mqward policy test'. Decisions come from the functions that the daemon uses. */
#include "policy/test.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "policy/notation.h"

/* ---- in words ---- */

static void print_rule(struct buffer *out, const struct policy_rule_info *rule)
{
    buffer_format(out, "%s (%s)", rule->name, rule->location);
}

static void print_allowed(const struct policy_outcome *outcome, struct buffer *out)
{
    bool subscription = outcome->act == POLICY_ACT_SUBSCRIBE;
    buffer_format(out, "%s",
        outcome->act == POLICY_ACT_CONNECT ? "accepted"
        : subscription                     ? "granted"
                                           : "allowed");
    if (outcome->rule != NULL) {
        buffer_format(out, " by ");
        print_rule(out, outcome->rule);
    }
    if (subscription && outcome->qos < outcome->qos_asked)
        buffer_format(out, ", with QoS %u", outcome->qos);
    if (outcome->filtered)
        buffer_format(out, ", deliveries filtered");
    if (outcome->would_deny != NULL) {
        buffer_format(out, ", would be denied by ");
        print_rule(out, outcome->would_deny);
        if (outcome->would_reason != REASON_none)
            buffer_format(out, ": %s", reason_info(outcome->would_reason)->name);
    }
    if (outcome->reported_by != NULL) {
        buffer_format(out, ", reported by ");
        print_rule(out, outcome->reported_by);
    }
}

static void print_refused(const struct policy_outcome *outcome, struct buffer *out)
{
    buffer_format(out, "refused at CONNECT: %s", reason_info(outcome->reason)->name);
    if (outcome->detail[0] != '\0')
        buffer_format(out, ": %s", outcome->detail);
    if (outcome->rule != NULL) {
        buffer_format(out, ", because of ");
        print_rule(out, outcome->rule);
    }
}

static void print_denied(const struct policy_outcome *outcome, struct buffer *out)
{
    if (outcome->reason == REASON_denied_by_rule) {
        buffer_format(out, "denied by ");
        print_rule(out, outcome->rule);
        return;
    }
    if (outcome->allowed_by != NULL) {
        buffer_format(out, "denied by ");
        print_rule(out, outcome->rule);
        buffer_format(out, ": %s", reason_info(outcome->reason)->name);
        return;
    }
    buffer_format(out, "denied: %s", reason_info(outcome->reason)->name);
    if (outcome->rule != NULL) {
        buffer_format(out, ", because of ");
        print_rule(out, outcome->rule);
    } else if (outcome->nearest != NULL) {
        buffer_format(out, ", nearest is ");
        print_rule(out, outcome->nearest);
        buffer_format(out, " but for %s", outcome->nearest_condition);
    }
}

void policy_outcome_print(const struct policy_outcome *outcome, struct buffer *out)
{
    if (outcome->mistaken)
        buffer_format(out, "not asked: to the policy, such a client is '%s'", outcome->detail);
    else if (outcome->refused)
        print_refused(outcome, out);
    else if (outcome->allowed)
        print_allowed(outcome, out);
    else
        print_denied(outcome, out);
}

static const char *outcome_text(struct arena *arena, const struct policy_outcome *outcome)
{
    struct buffer text = {0};
    policy_outcome_print(outcome, &text);
    const char *result = arena_copy_string(arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

static const char *expected_text(
    struct arena *arena, const struct policy_test_case *one, const struct policy_outcome *outcome)
{
    const char *verb = one->expects_allow ? "allowed" : "denied";
    if (outcome->refused && one->act.act != POLICY_ACT_CONNECT && one->by == NULL)
        return arena_format(arena, "accepted at CONNECT, and then %s", verb);
    return one->by == NULL ? verb : arena_format(arena, "%s by %s", verb, one->by);
}

/* ---- the run ---- */

/* Is a rule or reason with this name what decided? */
static bool decided_by(const struct policy_outcome *outcome, const char *by)
{
    return (outcome->rule != NULL && strcmp(outcome->rule->name, by) == 0) ||
           (!outcome->allowed && strcmp(reason_info(outcome->reason)->name, by) == 0);
}

/* A client that is refused at CONNECT does none of what the case is about: such a case says nothing of the
 * rules, so it passes only if it names that refusal. */
static bool has_passed(const struct policy_test_case *one, const struct policy_outcome *outcome)
{
    if (outcome->mistaken || outcome->allowed != one->expects_allow)
        return false;
    if (one->by != NULL)
        return decided_by(outcome, one->by);
    return !outcome->refused || one->act.act == POLICY_ACT_CONNECT;
}

static void run_test(
    const struct policy *policy, const struct policy_test *test, struct policy_test_report *report)
{
    struct policy_subject *subject;
    struct policy_outcome connect;
    notation_identify(policy, &test->client, &subject, &connect);
    for (size_t i = 0; i < test->case_count; i++) {
        const struct policy_test_case *one = &test->cases[i];
        struct policy_test_result *result = &report->results[report->count++];
        *result = (struct policy_test_result){
            .as = test->as,
            .act = one->text,
            .location = one->location,
            .expects_allow = one->expects_allow,
            .by = one->by,
            .outcome = connect,
        };
        if (subject != NULL)
            notation_decide(policy, subject, test->client.dialect, &one->act, &result->outcome);
        result->expected = expected_text(report->arena, one, &result->outcome);
        result->passed = has_passed(one, &result->outcome);
        result->verdict = outcome_text(report->arena, &result->outcome);
        report->failed += !result->passed;
    }
    policy_subject_free(subject);
}

static int compare_rules(const void *a, const void *b)
{
    const struct policy_rule_info *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

static bool has_rule(
    const struct policy_rule_info *const *rules, size_t count, const struct policy_rule_info *rule)
{
    return bsearch(&rule, rules, count, sizeof(const struct policy_rule_info *), compare_rules) != NULL;
}

static void count_check(
    struct policy_test_report *report, const struct policy_check_info *check, bool reached)
{
    if (check->kind == POLICY_CHECK_RATE)
        return;
    report->checks[check->kind].count++;
    if (reached)
        return;
    report->checks[check->kind].unreached++;
    report->unreached_checks[report->unreached_check_count++] = &check->info;
}

/* The rules that decided no case: allowed, denied or, in monitor mode, would have denied; and the checks that
 * denied none, or would have, or reported none. */
static void find_unreached(const struct policy *policy, struct policy_test_report *report)
{
    const struct policy_rule_info **reached =
        memory_calloc(4 * report->count + 1, sizeof(const struct policy_rule_info *));
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) {
        const struct policy_outcome *outcome = &report->results[i].outcome;
        const struct policy_rule_info *const rules[] = {
            outcome->rule, outcome->would_deny, outcome->allowed_by, outcome->reported_by};
        for (size_t k = 0; k < sizeof(rules) / sizeof(rules[0]) && !outcome->refused; k++) {
            if (rules[k] != NULL)
                reached[count++] = rules[k];
        }
    }
    qsort(reached, count, sizeof(const struct policy_rule_info *), compare_rules);
    report->rule_count = policy->rule_count;
    report->unreached =
        arena_calloc(report->arena, policy->rule_count + 1, sizeof(const struct policy_rule_info *));
    report->unreached_checks =
        arena_calloc(report->arena, policy->check_count + 1, sizeof(const struct policy_rule_info *));
    for (size_t i = 0; i < policy->rule_count; i++) {
        if (!has_rule(reached, count, &policy->rules[i].info))
            report->unreached[report->unreached_count++] = &policy->rules[i].info;
    }
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check_info *check = &policy->checks[i].info;
        count_check(report, check, has_rule(reached, count, &check->info));
    }
    free(reached);
}

struct policy_test_report *policy_test_run(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    struct arena *arena = arena_new();
    struct policy_test_report *report = arena_alloc(arena, sizeof(*report));
    size_t cases = 0;
    report->arena = arena;
    for (size_t i = 0; i < policy->test_count; i++)
        cases += policy->tests[i].case_count;
    report->results = arena_calloc(arena, cases, sizeof(*report->results));
    for (size_t i = 0; i < policy->test_count; i++)
        run_test(policy, &policy->tests[i], report);
    find_unreached(policy, report);
    return report;
}

void policy_test_report_free(struct policy_test_report *report)
{
    if (report != NULL)
        arena_free(report->arena);
}

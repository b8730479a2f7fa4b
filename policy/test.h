/* SPDX-License-Identifier: Apache-2.0 */
/* The policy's own tests: run with the very functions that the daemon decides with. A policy whose tests fail
 * is never loaded: policy_load() and policy_compile() run them; tools that want to see all results load with
 * policy_load_untested(). */
#ifndef MQWARD_POLICY_TEST_H
#define MQWARD_POLICY_TEST_H

#include "policy/policy.h"

enum policy_act {
    POLICY_ACT_PUBLISH,
    POLICY_ACT_WILL,
    POLICY_ACT_SUBSCRIBE,
    POLICY_ACT_RECEIVE,
    POLICY_ACT_CONNECT
};

/* What the policy says to an act of a client, as if it were enforced: mode: monitor of the policy does not
 * show here. A rule in monitor mode does: it is named, and does nothing. */
struct policy_outcome {
    enum policy_act act;
    bool allowed;
    bool refused; /* already at CONNECT; the act was not asked about */
    enum reason reason;
    const struct policy_rule_info *rule;
    const struct policy_rule_info *nearest; /* as in struct policy_verdict */
    const char *nearest_condition;
    const struct policy_rule_info *would_deny;
    enum reason would_reason; /* of a check in monitor mode that would deny; else REASON_none */
    const struct policy_rule_info *reported_by; /* a check that finds something, and only reports it */
    const struct policy_rule_info *allowed_by;  /* what a check denies that rules allow: rule is the check */
    uint64_t checks;                            /* that what rules allow is to pass, as bits */
    bool filtered;                              /* a subscription whose deliveries are filtered */
    uint8_t qos_asked, qos;                     /* of a subscription: wanted, granted */
    bool mistaken;    /* the policy takes the credentials for somebody else: detail says whom */
    char detail[128]; /* of a refused CONNECT: which value */
};

/* "denied by firmware-guard (policy.yaml:44)", into out. */
struct buffer;
void policy_outcome_print(const struct policy_outcome *outcome, struct buffer *out);

/* One case. All texts live as long as the report. */
struct policy_test_result {
    const char *as;       /* as the policy writes it */
    const char *act;      /* the same, without "by" */
    const char *location; /* "policy.yaml:71" */
    bool expects_allow;
    const char *by; /* the rule or reason that is expected to decide, or NULL */
    bool passed;
    struct policy_outcome outcome;
    const char *verdict;  /* the outcome as a text */
    const char *expected; /* "denied by firmware-guard" */
};

struct policy_test_report {
    struct arena *arena;
    struct policy_test_result *results; /* in the file's order */
    size_t count, failed;
    const struct policy_rule_info **unreached; /* rules that decided no case */
    size_t unreached_count;
    size_t rule_count;
    const struct policy_rule_info **unreached_checks; /* that denied no case, and reported none */
    size_t unreached_check_count;
    struct {
        size_t count, unreached;
    } checks[POLICY_CHECK_KINDS]; /* rates are not counted: no case exceeds one */
};

/* Runs all tests of a policy, which outlives the report. */
struct policy_test_report *policy_test_run(const struct policy *policy);
void policy_test_report_free(struct policy_test_report *report); /* NULL is fine */

/* As policy_load(), but tests that fail do not matter. */
struct policy *policy_load_untested(const char *path, const struct policy_names *names,
    struct diag_list *diag, const struct diag_place *referrer);

#endif

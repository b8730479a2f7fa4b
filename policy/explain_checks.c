/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look at each check for a message that the rules allow: is it to pass it? Called by
 * explain_rules.c. As there, without the engine's trie. */
#include "policy/explain_rules.h"
#include "policy/signature.h"

size_t checks_depth(const struct policy *policy)
{
    size_t depth = 0;
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_rule *match = &policy->checks[i].match;
        for (size_t k = 0; k < match->topic_count; k++)
            depth = match->topics[k].count > depth ? match->topics[k].count : depth;
    }
    return depth;
}

/* What is delivered is signed again whoever it came from. */
static bool signs_again(
    const struct policy_check *check, enum policy_operation operation, const struct region *region)
{
    static const struct view unknown[PLACEHOLDER_NAMES_MAXIMUM];
    const struct signature_terms *terms = check->info.signature;
    return operation == POLICY_RECEIVE && terms != NULL && terms->forward == SIGNATURE_RESIGN &&
           rule_has_topic(&check->match, unknown, region, region->count);
}

static bool is_to_pass(const struct policy_subject *subject, const struct policy_check *check,
    enum policy_operation operation, const struct region *region)
{
    const struct policy_rule *match = &check->match;
    bool rate = check->info.kind == POLICY_CHECK_RATE;
    return (match->verbs & operation_verb(operation)) != 0 && !(rate && operation == POLICY_WILL) &&
           rule_applies(subject->policy, match, subject->groups) &&
           rule_has_topic(match, subject->values, region, region->count);
}

uint64_t explain_checks(const struct policy *policy, const struct policy_subject *subject,
    enum policy_operation operation, const struct region *region)
{
    uint64_t checks = 0;
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check *check = &policy->checks[i];
        if (is_to_pass(subject, check, operation, region) || signs_again(check, operation, region))
            checks |= UINT64_C(1) << i;
    }
    return checks;
}

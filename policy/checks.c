/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is asked of a policy's checks: which of them a publish is to pass, and what each says. Called by
 * decide.c, by the proxy where it counts, and by the command line. */
#include "policy/checks.h"

#include <assert.h>

/* Where a value is not known, a check holds: it takes from what rules allow, as a deny does. groups NULL: the
 * checks whoever they are about. */
static uint64_t find_checks(const struct policy *policy, const struct view *values, const uint64_t *groups,
    unsigned verb, const struct region *region)
{
    struct rule_hits hits;
    uint64_t checks = 0;
    rule_trie_match(policy->check_trie, verb, values, region, region->count, &hits);
    for (size_t i = 0; i < hits.count; i++) {
        const struct rule_terminal *terminal = hits.items[i].terminal;
        for (uint32_t k = 0; k < terminal->count; k++) {
            const struct policy_rule *match = terminal->references[k].rule;
            if ((match->verbs & verb) != 0 && (groups == NULL || rule_applies(policy, match, groups)))
                checks |= UINT64_C(1) << match->rank;
        }
    }
    rule_hits_release(&hits);
    return checks;
}

uint64_t checks_match(const struct policy *policy, const struct policy_subject *subject,
    enum policy_operation operation, const struct region *region)
{
    static const struct view unknown[PLACEHOLDER_NAMES_MAXIMUM];
    uint64_t checks =
        find_checks(policy, subject->values, subject->groups, operation_verb(operation), region);
    if (operation == POLICY_WILL)
        return checks & ~policy->checks_of[POLICY_CHECK_RATE]; /* which count what comes as PUBLISH */
    /* Who published is not known any more: neither the groups nor the values are the receiver's. */
    if (operation == POLICY_RECEIVE && policy->resign_checks != 0)
        checks |= find_checks(policy, unknown, NULL, VERB_PUBLISH, region) & policy->resign_checks;
    return checks;
}

size_t policy_rule_info_count(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    return policy->rule_count + policy->check_count;
}

const struct policy_rule_info *policy_rule_info_at(const struct policy *policy, size_t index)
{
    assert(policy->magic == POLICY_MAGIC && index < policy->rule_count + policy->check_count);
    return index < policy->rule_count ? &policy->rules[index].info
                                      : &policy->checks[index - policy->rule_count].info.info;
}

size_t policy_check_count(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    return policy->check_count;
}

const struct policy_check_info *policy_check(const struct policy *policy, size_t index)
{
    assert(policy->magic == POLICY_MAGIC && index < policy->check_count);
    return &policy->checks[index].info;
}

uint64_t policy_signature_checks(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    return policy->checks_of[POLICY_CHECK_SIGNATURE];
}

uint64_t policy_yara_checks(const struct policy *policy)
{
    assert(policy->magic == POLICY_MAGIC);
    return policy->checks_of[POLICY_CHECK_YARA];
}

void policy_replay_span(const struct policy *policy, struct replay_span *span)
{
    assert(policy->magic == POLICY_MAGIC);
    *span = policy->replay_span;
}

bool policy_check_applies(const struct policy *policy, size_t index, const struct policy_subject *subject)
{
    assert(policy->magic == POLICY_MAGIC && index < policy->check_count && subject->policy == policy);
    return rule_applies(policy, &policy->checks[index].match, subject->groups);
}

const char *policy_check_next_group(
    const struct policy *policy, size_t index, const struct policy_subject *subject, size_t *next)
{
    assert(policy->magic == POLICY_MAGIC && index < policy->check_count && subject->policy == policy);
    const uint64_t *who = policy->checks[index].match.who;
    for (size_t bit = *next; bit <= policy->group_count; bit++) {
        if ((who[bit / 64] & subject->groups[bit / 64] & UINT64_C(1) << bit % 64) == 0)
            continue;
        *next = bit + 1;
        return bit == 0 ? "everyone" : policy->groups[bit - 1].name;
    }
    *next = policy->group_count + 1;
    return NULL;
}

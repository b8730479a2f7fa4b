/* SPDX-License-Identifier: Apache-2.0 */
/* The slow look at each rule, beside the engine's walk of the trie. Private to policy/. */
#ifndef MQWARD_POLICY_EXPLAIN_RULES_H
#define MQWARD_POLICY_EXPLAIN_RULES_H

#include "policy/compiled.h"
#include "policy/explain.h"

/* MAYBE: a value on the way is not known. */
enum meets { MEETS_NO, MEETS_MAYBE, MEETS_YES };
/* Does the pattern match the topic (or the witness) that is region's first count levels? */
enum meets pattern_meets(
    const struct pattern *pattern, const struct view *values, const struct region *region, size_t count);
/* Have they a topic in common? */
enum meets pattern_overlaps(
    const struct pattern *pattern, const struct view *values, const struct region *region);
/* Whether it counts: an allow's topic must match for sure, a deny's may; with its excepts it is the other way
 * round. */
bool rule_has_topic(
    const struct policy_rule *rule, const struct view *values, const struct region *region, size_t count);
bool rule_excepts_topic(
    const struct policy_rule *rule, const struct view *values, const struct region *region, size_t count);
size_t rules_depth(const struct policy *policy); /* levels of the deepest pattern */
/* The checks that a message is to pass, as bits; region: its topic, as deep as the deepest of rules and
 * checks. */
uint64_t explain_checks(const struct policy *policy, const struct policy_subject *subject,
    enum policy_operation operation, const struct region *region);
size_t checks_depth(const struct policy *policy);
/* keeps the one that names a decision: the one with the lowest rank */
void rules_keep_first(const struct policy_rule **best, const struct policy_rule *rule);

/* What the listing makes of a rule; why is in the arena. */
struct consideration {
    enum policy_consideration kind;
    const char *why;
};

/* Fill considerations (as many as rules), their texts in the arena; both NULL: only the outcome is wanted.
 * DECIDED and WOULD_DENY are the caller's to set. False if no rule was asked, because the topic's form
 * decides. */
bool explain_request(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_request *request, struct arena *arena, struct consideration *considerations,
    struct policy_outcome *outcome);
bool explain_subscribe(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_subscribe_request *request, struct arena *arena, struct consideration *considerations,
    struct policy_outcome *outcome);

/* "who is devices, operators" and the like, for a rule that is not about the subject. */
const char *explain_other_client(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_rule *rule, struct arena *arena);
/* "its topics are dt/a/plc-7/#": with the values filled in. */
const char *explain_topics(
    const struct policy_subject *subject, const struct policy_rule *rule, struct arena *arena);

#endif

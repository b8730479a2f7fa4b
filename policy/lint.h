/* SPDX-License-Identifier: Apache-2.0 */
/* What the linter's files share. Private to policy/lint*.c. */
#ifndef MQWARD_POLICY_LINT_H
#define MQWARD_POLICY_LINT_H

#include "policy/compile.h"

void lint_warn(
    struct compiler *compiler, const struct diag_place *place, const char *hint, const char *message);
void lint_rules(struct compiler *compiler);
void lint_checks(struct compiler *compiler);
void lint_cover(struct compiler *compiler);
void lint_signatures(struct compiler *compiler);

const char *lint_show_source(struct compiler *compiler, const struct identity_row *row);
bool lint_row_has_attribute(const struct identity_row *row, uint8_t slot);
/* False only if no identity of the row can be in the group. */
bool lint_row_fits_group(
    const struct policy *policy, const struct identity_row *row, const struct policy_group *group);
/* True only if every identity of the row is in the group. */
bool lint_row_surely_in_group(const struct identity_row *row, const struct policy_group *group);
/* Can the rule, or what a check matches, be about a client of the row? */
bool lint_row_concerned(
    const struct policy *policy, const struct policy_rule *rule, const struct identity_row *row);
/* Of a group's bit; 0: everyone. */
bool lint_group_possible(const struct policy *policy, size_t bit);
/* Everybody whom who: names is also named by unless:, or can't be. */
bool lint_nobody_left(const struct policy *policy, const struct policy_rule *rule);

/* A rule, or what a check matches, that needs values which a source's clients can't have; place: its name's.
 */
void lint_values(struct compiler *compiler, const struct diag_place *place, const char *what,
    const struct policy_rule *rule);
/* Placeholders of other products, which are plain text here. */
void lint_foreign(struct compiler *compiler, const struct keyword_string *topic);

/* The pattern with '+' for each level that has a placeholder: what it may match, whatever the values are; in
 * the compiler's arena. data NULL: no filter says that. */
struct view lint_loosen(struct compiler *compiler, const struct pattern *pattern);
/* False only if no topic is matched by both, whatever the values of their placeholders are. */
bool lint_patterns_may_meet(struct compiler *compiler, const struct pattern *a, const struct pattern *b);

static inline bool lint_has_bit(const uint64_t *bits, size_t bit)
{
    return (bits[bit / 64] >> bit % 64 & 1) != 0;
}

#endif

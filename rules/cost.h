/* SPDX-License-Identifier: Apache-2.0 */
/* What rules cost on payloads that are made to be dear. */
#ifndef MQWARD_RULES_COST_H
#define MQWARD_RULES_COST_H

#include "rules/group.h"

/* The hostile payloads, made ready. For reading: several threads may use one. */
struct cost_trial;
struct cost_trial *cost_trial_new(void);
void cost_trial_free(struct cost_trial *trial); /* NULL is fine */

/* In ns of CPU time for each KiB of the payload that is the dearest, by its number; UINT64_MAX: libyara gives
 * up on it. */
struct cost_found {
    uint64_t cost;
    size_t which;
};
/* What is not above the budget is measured less exactly. */
struct cost_found cost_of(YR_RULES *rules, const struct cost_trial *trial, uint64_t budget_ns);
/* If a group of the set, by its number in the set, was found to be above the source's budget: measures each
 * of its rules. One that is above it, or that libyara gives up on, is an error, with allow_slow a warning. */
void cost_check(const struct group_set *set, size_t number, const struct cost_found *found,
    const struct cost_trial *trial, struct diag_list *diag);
/* Measures each rule by itself, in their order; of a set that can't be cut, all of it. */
void cost_measure(const struct group_set *set, const struct scan_measure *measure);

#endif

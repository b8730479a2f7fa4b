/* SPDX-License-Identifier: Apache-2.0 */
/* What rules cost on payloads that are made to be dear. */
#ifndef MQWARD_RULES_COST_H
#define MQWARD_RULES_COST_H

#include "rules/group.h"

/* Scans hostile payloads with each group of the set, and with each rule of those that are above the source's
 * budget (0: no test). A rule above it, or that libyara gives up on, is an error, with allow_slow a warning.
 */
void cost_check(const struct group_set *set, const struct scan_source *source, struct diag_list *diag);
/* Measures each rule by itself, in their order; of a set that can't be cut, all of it. */
void cost_measure(const struct group_set *set, const struct scan_measure *measure);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* From rule sets that were read to their groups and the prefilter. */
#ifndef MQWARD_RULES_BUILD_H
#define MQWARD_RULES_BUILD_H

#include "rules/group.h"

/* Groups, compiles and measures the rules of the sets of a generation that are good, and compiles its
 * prefilter, on as many threads as there are processors. Messages go to diag; with more errors in it than
 * that, there is no prefilter. sets: beside those of the generation. */
void build_groups(struct scan_rules *rules, struct group_set *sets, const struct scan_load *how,
    size_t errors, struct diag_list *diag);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The rule sets of a snapshot. */
#ifndef MQWARD_PROXY_SERVICE_RULES_H
#define MQWARD_PROXY_SERVICE_RULES_H

#include "proxy/service.h"

/* The rule sets of a configuration, or of a part of one, as scan_rules_load() takes them, in the arena. Those
 * without files are left out. */
const struct scan_source *service_rule_sources(
    const struct config *config, struct arena *arena, size_t *count);
/* Their names, in the arena; never NULL. */
const char *const *service_rule_names(const struct config *config, struct arena *arena, size_t *count);

/* Compiles them into snapshot->scan_rules; errors and warnings go to diag. Seconds with thousands of rules.
 */
void service_rules_load(struct snapshot *snapshot, const struct config *config, struct diag_list *diag);
/* Ties the policy's checks to them: fills snapshot->scan_sets. Needs both, and the whole configuration. */
void service_rules_bind(struct snapshot *snapshot, struct diag_list *diag);

#endif

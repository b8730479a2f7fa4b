/* SPDX-License-Identifier: Apache-2.0 */
/* What 'mqward scan' is to scan for: the terms of checks of the policy, or all rules. */
#ifndef MQWARD_PROXY_CLI_SCAN_TERMS_H
#define MQWARD_PROXY_CLI_SCAN_TERMS_H

#include "policy/policy.h"
#include "policy/yara.h"
#include "proxy/cli/rules_input.h"

/* Options of 'mqward scan', behind the common ones. */
enum {
    SCAN_OPTION_RULES = RULES_OPTIONS,
    SCAN_OPTION_CHECK,
    SCAN_OPTION_AS,
    SCAN_OPTION_TOPIC,
    SCAN_OPTION_DELIVERY,
    SCAN_OPTION_WITH,
    SCAN_OPTION_VIEWS,
    SCAN_OPTION_MAX_SCAN,
    SCAN_OPTION_PLAINLY,
    SCAN_OPTIONS
};

/* A scan: of a check, or (check NULL) of all rules with all views. */
struct scan_terms {
    const struct policy_check_info *check;
    struct yara_terms terms;
    uint64_t sets;
};

struct scan_plan {
    struct policy *policy; /* NULL: no check is asked for */
    struct scan_terms *scans;
    size_t count; /* 0: no check is about such a message */
};

/* What the options ask for; sample gets what they say of the message. CLI_USAGE after a message,
 * CLI_FINDINGS with errors in the input's diag. The plan's checks hold until it is released. */
int scan_plan_make(struct scan_plan *plan, const struct cli_command *command, const char *const *values,
    struct rules_input *input, struct sample *sample);
void scan_plan_release(struct scan_plan *plan);

/* "quarantine" */
const char *scan_match_name(enum yara_on_match on_match);
/* What becomes of a message on these terms: "refused, and stored for an analyst". delivery: it is one. */
const char *scan_outcome(const struct yara_terms *terms, const struct scan_result *result, bool delivery);

#endif

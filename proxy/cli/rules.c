/* SPDX-License-Identifier: Apache-2.0 */
/* mqward rules: the verbs that work with rule sets of YARA without serving them. One file (rules_<verb>.c)
 * and one row here each. */
#include <stddef.h>

#include "proxy/cli/cli.h"

static const struct cli_command *const verbs[] = {&cli_rules_test, &cli_rules_stats, NULL};

const struct cli_command cli_rules = {.name = "rules",
    .arguments = "",
    .summary = "work with rule sets of YARA without serving them",
    .verbs = verbs};

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward policy: the verbs that work with a policy without serving it. One file (policy_<verb>.c) and one row
 * here each. */
#include <stddef.h>

#include "proxy/cli/cli.h"

static const struct cli_command *const verbs[] = {
    &cli_policy_test, &cli_policy_explain, &cli_policy_schema, NULL};

const struct cli_command cli_policy = {
    .name = "policy", .arguments = "", .summary = "work with a policy without serving it", .verbs = verbs};

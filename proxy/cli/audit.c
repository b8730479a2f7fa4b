/* SPDX-License-Identifier: Apache-2.0 */
/* mqward audit: the verbs for the audit trail. One file (audit_<verb>.c) and one row here each. */
#include <stddef.h>

#include "proxy/cli/cli.h"

static const struct cli_command *const verbs[] = {
    &cli_audit_verify, &cli_audit_tail, &cli_audit_replay, &cli_audit_keys, NULL};

const struct cli_command cli_audit = {.name = "audit",
    .arguments = "",
    .summary = "the audit trail: verify it, look at it, deliver it again, make its keys",
    .verbs = verbs};

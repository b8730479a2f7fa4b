/* SPDX-License-Identifier: Apache-2.0 */
/* mqward policy schema: the JSON Schema of policy.yaml, for editors. */
#include <stdio.h>

#include "base/buffer.h"
#include "policy/policy.h"
#include "proxy/cli/cli.h"

static const struct cli_option options[] = {{NULL, 0, NULL, NULL}};

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct buffer out = {0};

    (void)values;
    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    policy_print_schema(&out);
    fwrite(out.data + out.start, 1, buffer_length(&out), stdout);
    buffer_release(&out);
    return CLI_OK;
}

const struct cli_command cli_policy_schema = {.name = "policy schema",
    .arguments = "",
    .summary = "print the JSON Schema (draft-07) of policy.yaml, for editors",
    .options = options,
    .run = run};

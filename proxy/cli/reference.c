/* SPDX-License-Identifier: Apache-2.0 */
/* mqward reference: the manual's tables, printed from the tables that the program itself uses. */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "exporters/audit.h"
#include "policy/keyring.h"
#include "policy/policy.h"
#include "proxy/cli/cli.h"
#include "proxy/config.h"
#include "proxy/metrics.h"

static const struct cli_option options[] = {{NULL, 0, NULL, NULL}};

static const struct {
    const char *name;
    void (*print)(struct buffer *out);
} topics[] = {
    {"config", config_print_reference},
    {"policy", policy_print_reference},
    {"keys", keyring_print_reference},
    {"audit", audit_print_reference},
    {"metrics", metrics_print_reference},
};

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct buffer out = {0};

    (void)values;
    if (argc != 1)
        return cli_usage_error(command, "one topic is needed: config, policy, keys, audit or metrics");
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        if (strcmp(topics[i].name, argv[0]) == 0) {
            topics[i].print(&out);
            fwrite(out.data + out.start, 1, buffer_length(&out), stdout);
            buffer_release(&out);
            return CLI_OK;
        }
    return cli_usage_error(
        command, "unknown topic '%s': expected config, policy, keys, audit or metrics", argv[0]);
}

const struct cli_command cli_reference = {.name = "reference",
    .arguments = " config|policy|keys|audit|metrics",
    .summary = "print the reference of mqward.yaml, of the policy, of keys.yaml, of audit records, or of "
               "metrics (Markdown)",
    .options = options,
    .run = run};

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward run: the daemon, in the foreground, its log on stderr. */
#include <stdio.h>

#include "base/log.h"
#include "proxy/cli/cli.h"
#include "proxy/server.h"

static const struct cli_option options[] = {
    {"config", 'c', "FILE", "mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    {NULL, 0, NULL, NULL},
};

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct diag_list *diag;
    struct snapshot *snapshot;
    const char *path;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    diag = diag_list_new();
    path = values[0] == NULL ? "/etc/mqward/mqward.yaml" : values[0];
    snapshot = snapshot_load(path, diag);
    diag_print(diag, stderr);
    if (snapshot == NULL) {
        fprintf(stderr, "mqward: %zu error%s: not started\n", diag_errors(diag),
            diag_errors(diag) == 1 ? "" : "s");
        diag_list_free(diag);
        return CLI_FINDINGS;
    }
    diag_list_free(diag);
    log_configure(
        (enum log_level)snapshot->config->log_level, (enum log_format)snapshot->config->log_format, 2);
    return server_run(path, snapshot);
}

const struct cli_command cli_run = {.name = "run",
    .arguments = "",
    .summary = "serve: the daemon, in the foreground, its log on stderr",
    .options = options,
    .run = run};

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward run: the daemon, in the foreground, its log on stderr. */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "proxy/cli/cli.h"
#include "proxy/server.h"

static const struct cli_option options[] = {
    {"config", 'c', "FILE", "mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    {"core-dumps", 0, NULL, "leave core dumps as the system has them: they hold keys and passwords"},
    {NULL, 0, NULL, NULL},
};

/* What is read from here on has secrets in it, libraries' copies of them included: TLS keys, passwords. Where
 * dumps are piped to a program (systemd-coredump, apport) the limit does not hold for them, core(5); what is
 * not dumpable is not given to it, and other processes of the user's can't look into it, either, ptrace(2).
 */
static void leave_no_core_dump(void)
{
    struct rlimit limit;

    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (getrlimit(RLIMIT_CORE, &limit) != 0)
        return;
    limit.rlim_cur = 0;
    (void)setrlimit(RLIMIT_CORE, &limit);
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct diag_list *diag;
    struct snapshot *snapshot;
    const char *path;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (values[1] == NULL)
        leave_no_core_dump();
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

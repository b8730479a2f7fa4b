/* SPDX-License-Identifier: Apache-2.0 */
/* mqward check: reads everything that run would, and reports all that is wrong with it. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/json.h"
#include "proxy/cli/cli.h"
#include "proxy/service.h"

static const struct cli_option options[] = {
    {"config", 'c', "FILE", "mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    {"json", 0, NULL, "findings as one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

static void print_json(const struct diag_list *diag)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", diag_errors(diag) == 0);
    json_write_unsigned(&json, "errors", diag_errors(diag));
    json_write_unsigned(&json, "warnings", diag_warnings(diag));
    diag_print_json(diag, &json, "findings");
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *path = values[0] == NULL ? "/etc/mqward/mqward.yaml" : values[0];
    struct diag_list *diag;
    struct snapshot *snapshot;
    int status;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    diag = diag_list_new();
    snapshot = snapshot_load(path, diag);
    if (values[1] != NULL)
        print_json(diag);
    else {
        diag_print(diag, stderr);
        printf("%s: %zu error%s, %zu warning%s\n", path, diag_errors(diag), diag_errors(diag) == 1 ? "" : "s",
            diag_warnings(diag), diag_warnings(diag) == 1 ? "" : "s");
    }
    status = diag_errors(diag) == 0 ? CLI_OK : CLI_FINDINGS;
    snapshot_release(snapshot);
    diag_list_free(diag);
    return status;
}

const struct cli_command cli_check = {.name = "check",
    .arguments = "",
    .summary = "check configuration, policy, keys, certificates and passwords; all findings at once",
    .options = options,
    .run = run};

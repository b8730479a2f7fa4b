/* SPDX-License-Identifier: Apache-2.0 */
/* mqward check: reads everything that run would, and reports all that is wrong with it. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/json.h"
#include "proxy/cli/check_user.h"
#include "proxy/cli/cli.h"
#include "proxy/preflight.h"
#include "proxy/service.h"

static const struct cli_option options[] = {
    {"config", 'c', "FILE", "mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    {"json", 0, NULL, "findings as one JSON object on standard output"},
    {"user", 'u', "NAME", "look as this user does (default as root: who audit.directory belongs to)"},
    {NULL, 0, NULL, NULL},
};

static void print_json(const struct diag_list *diag, const char *user)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", diag_errors(diag) == 0);
    json_write_unsigned(&json, "errors", diag_errors(diag));
    json_write_unsigned(&json, "warnings", diag_warnings(diag));
    if (*user != '\0')
        json_write_string(&json, "user", view_of_string(user));
    diag_print_json(diag, &json, "findings");
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

static void print_text(const struct diag_list *diag, const char *path, const char *user)
{
    diag_print(diag, stderr);
    printf("%s: %zu error%s, %zu warning%s%s%s\n", path, diag_errors(diag), diag_errors(diag) == 1 ? "" : "s",
        diag_warnings(diag), diag_warnings(diag) == 1 ? "" : "s", *user == '\0' ? "" : ", looked at as user ",
        user);
}

/* Of a container that root may do little in: there the findings are those of root's own start. */
static void warn_of_root(struct diag_list *diag, const char *path, const struct check_user *user)
{
    const struct diag_place place = {.source = diag_add_source(diag, path)};

    if (user->unreachable[0] != '\0')
        diag_add(diag, DIAG_WARNING, &place, "run it as the user that mqward runs as",
            "this is what root would find, and audit.directory belongs to another user: %s",
            user->unreachable);
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *path = values[0] == NULL ? "/etc/mqward/mqward.yaml" : values[0];
    struct diag_list *diag;
    struct snapshot *snapshot;
    struct check_user user;
    char error[256];
    int status;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (!check_user_become(values[2], path, &user, error, sizeof(error))) {
        fprintf(stderr, "mqward: %s\n", error);
        return CLI_FINDINGS;
    }
    diag = diag_list_new();
    snapshot = snapshot_load_checked(path, diag, preflight_check);
    warn_of_root(diag, path, &user);
    if (values[1] != NULL)
        print_json(diag, user.name);
    else
        print_text(diag, path, user.name);
    status = diag_errors(diag) == 0 ? CLI_OK : CLI_FINDINGS;
    snapshot_release(snapshot);
    diag_list_free(diag);
    return status;
}

const struct cli_command cli_check = {.name = "check",
    .arguments = "",
    .summary =
        "check what a start needs: configuration, policy, keys, certificates, folders; all findings at once",
    .options = options,
    .run = run};

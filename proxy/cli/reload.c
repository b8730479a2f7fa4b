/* SPDX-License-Identifier: Apache-2.0 */
/* mqward reload: the running mqward reads its files again, as on SIGHUP, and says how it went. */
#include <stdio.h>

#include "proxy/cli/control_client.h"
#include "proxy/cli/text.h"

static const struct cli_option options[] = {
    CONTROL_CLIENT_OPTIONS,
    {NULL, 0, NULL, NULL},
};

static struct view text_of(const json_t *answer, const char *key)
{
    const json_t *value = json_object_get(answer, key);

    return view_of(json_string_value(value), json_string_length(value));
}

/* Line by line: each in itself is shown as a text of strangers is. */
static void print_findings(struct view text)
{
    while (text.length > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.length);
        size_t length = end == NULL ? text.length : (size_t)(end - text.data);

        text_print(stderr, view_of(text.data, length));
        fputc('\n', stderr);
        text = view_skip(text, length + 1);
    }
}

static void print(const json_t *answer, bool done)
{
    print_findings(text_of(answer, "findings"));
    fputs(done ? "reloaded: policy " : "not reloaded, in force stays: policy ", stdout);
    text_print(stdout, text_of(answer, "policy"));
    fputc(' ', stdout);
    text_print(stdout, text_of(answer, "version"));
    fputc('\n', stdout);
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    json_t *answer;
    bool done;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    answer = control_client_ask(values, json_pack("{s:s}", "request", "reload"));
    if (answer == NULL)
        return CLI_FINDINGS;
    done = json_is_true(json_object_get(answer, "ok"));
    if (values[CONTROL_CLIENT_JSON] == NULL && json_object_get(answer, "findings") != NULL)
        print(answer, done);
    else if (!done)
        control_client_status(values, answer);
    json_decref(answer);
    return done ? CLI_OK : CLI_FINDINGS;
}

const struct cli_command cli_reload = {.name = "reload",
    .arguments = "",
    .summary = "have the running mqward read its files again; waits for the result",
    .options = options,
    .run = run};

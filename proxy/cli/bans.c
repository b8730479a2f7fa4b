/* SPDX-License-Identifier: Apache-2.0 */
/* mqward bans: who is banned, and an operator's own say in it. */
#include <stdio.h>

#include "base/number.h"
#include "proxy/bans.h"
#include "proxy/cli/control_client.h"
#include "proxy/cli/text.h"

static const struct cli_option list_options[] = {
    CONTROL_CLIENT_OPTIONS,
    {NULL, 0, NULL, NULL},
};
enum { LIFT_ALL = CONTROL_CLIENT_OPTION_COUNT };
static const struct cli_option lift_options[] = {
    CONTROL_CLIENT_OPTIONS,
    {"all", 0, NULL, "every ban"},
    {NULL, 0, NULL, NULL},
};
enum { ADD_FOR = CONTROL_CLIENT_OPTION_COUNT, ADD_REASON };
static const struct cli_option add_options[] = {
    CONTROL_CLIENT_OPTIONS,
    {"for", 0, "TIME", "how long, such as 10m, 1h, 7d; at most 365d"},
    {"reason", 0, "TEXT", "for the list and the audit; at most 200 bytes"},
    {NULL, 0, NULL, NULL},
};

static struct view text_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return view_of(json_string_value(value), json_string_length(value));
}

/* ---- list ---- */

static void print_ban(const json_t *ban)
{
    json_int_t left = json_integer_value(json_object_get(ban, "left_ms"));

    printf("%-8s", json_string_value(json_object_get(ban, "by")));
    text_print_part(stdout, text_of(ban, "value"), BAN_VALUE_SHOWN);
    printf("%s\n        until ", json_is_true(json_object_get(ban, "cut")) ? "..." : "");
    text_print(stdout, text_of(ban, "until"));
    printf(" (%lld s), %s", (long long)((left + 999) / 1000),
        json_is_true(json_object_get(ban, "ordered")) ? "ordered" : "by the policy");
    if (text_of(ban, "reason").length > 0)
        fputs(": ", stdout);
    text_print(stdout, text_of(ban, "reason"));
    putchar('\n');
}

static int run_list(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    json_t *answer;
    const json_t *bans;
    int status;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    answer = control_client_ask(values, json_pack("{s:s}", "request", "bans"));
    if (answer == NULL)
        return CLI_FINDINGS;
    status = control_client_status(values, answer);
    bans = json_object_get(answer, "bans");
    if (values[CONTROL_CLIENT_JSON] == NULL && status == CLI_OK) {
        for (size_t i = 0; i < json_array_size(bans); i++)
            print_ban(json_array_get(bans, i));
        printf("%zu ban%s\n", json_array_size(bans), json_array_size(bans) == 1 ? "" : "s");
    }
    json_decref(answer);
    return status;
}

/* ---- add, lift ---- */

/* "id NAME" or "address ADDRESS" into the request. False after a message. */
static bool add_party(const struct cli_command *command, json_t *request, int argc, char **argv)
{
    bool known = argc > 0 && (strcmp(argv[0], ban_by_name(BAN_BY_ID)) == 0 ||
                                 strcmp(argv[0], ban_by_name(BAN_BY_ADDRESS)) == 0);

    if (argc == 2 && known && argv[1][0] != 0) {
        json_object_set_new(request, "by", json_string(argv[0]));
        if (json_object_set_new(request, "value", json_string(argv[1])) == 0)
            return true;
        fprintf(stderr, "mqward: the value is not UTF-8\n");
        return false;
    }
    cli_usage_error(command, "expected 'id NAME' or 'address ADDRESS'");
    return false;
}

/* Asks, if the request was filled in without a message. *answer is NULL without one, and to be given back. */
static int ask(const char *const *values, json_t *request, bool filled, json_t **answer)
{
    *answer = NULL;
    if (!filled) {
        json_decref(request);
        return CLI_USAGE;
    }
    *answer = control_client_ask(values, request);
    return *answer == NULL ? CLI_FINDINGS : control_client_status(values, *answer);
}

static int run_lift(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    json_t *request, *answer;
    bool all = values[LIFT_ALL] != NULL;
    int status;

    if (all && argc > 0)
        return cli_usage_error(command, "either --all or one");
    request = json_pack("{s:s}", "request", "lift");
    if (all)
        json_object_set_new(request, "all", json_true());
    status = ask(values, request, all || add_party(command, request, argc, argv), &answer);
    if (values[CONTROL_CLIENT_JSON] == NULL && status == CLI_OK)
        printf("lifted: %lld\n", (long long)json_integer_value(json_object_get(answer, "lifted")));
    json_decref(answer);
    return status;
}

/* The options into the request. False after a message. */
static bool add_terms(const struct cli_command *command, const char *const *values, json_t *request)
{
    uint64_t for_ms = 0;

    if (values[ADD_FOR] == NULL) {
        cli_usage_error(command, "for how long? --for TIME says so");
        return false;
    }
    if (number_parse_duration_ms(view_of_string(values[ADD_FOR]), &for_ms) != 0 || for_ms == 0 ||
        for_ms > BAN_LONGEST_MS) {
        cli_usage_error(
            command, "--for: expected a time from 1ms to 365d, such as 10m, found '%s'", values[ADD_FOR]);
        return false;
    }
    json_object_set_new(request, "for_ms", json_integer((json_int_t)for_ms));
    if (values[ADD_REASON] == NULL ||
        json_object_set_new(request, "reason", json_string(values[ADD_REASON])) == 0)
        return true;
    cli_usage_error(command, "--reason: not UTF-8");
    return false;
}

static int run_add(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    json_t *request = json_pack("{s:s}", "request", "ban"), *answer;
    int status = ask(values, request,
        add_party(command, request, argc, argv) && add_terms(command, values, request), &answer);

    if (values[CONTROL_CLIENT_JSON] == NULL && status == CLI_OK) {
        printf("banned: %s ", json_string_value(json_object_get(answer, "by")));
        text_print_part(stdout, text_of(answer, "value"), BAN_VALUE_SHOWN);
        fputs(" until ", stdout);
        text_print(stdout, text_of(answer, "until"));
        putchar('\n');
    }
    json_decref(answer);
    return status;
}

static const struct cli_command cli_bans_list = {.name = "bans list",
    .arguments = "",
    .summary = "who is banned, until when and why",
    .options = list_options,
    .run = run_list};
static const struct cli_command cli_bans_lift = {.name = "bans lift",
    .arguments = " id NAME | address ADDRESS",
    .summary = "end a ban, or with --all every ban",
    .options = lift_options,
    .options_anywhere = true,
    .run = run_lift};
static const struct cli_command cli_bans_add = {.name = "bans add",
    .arguments = " id NAME | address ADDRESS",
    .summary = "ban an identity or an address; who is connected is disconnected",
    .options = add_options,
    .options_anywhere = true,
    .run = run_add};
static const struct cli_command *const verbs[] = {&cli_bans_list, &cli_bans_lift, &cli_bans_add, NULL};

const struct cli_command cli_bans = {
    .name = "bans", .summary = "clients that the running mqward keeps out: list, lift, add", .verbs = verbs};

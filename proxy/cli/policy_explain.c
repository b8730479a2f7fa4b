/* SPDX-License-Identifier: Apache-2.0 */
/* mqward policy explain: what the policy says to an act of a client, and why; from the command line, or from
 * an audit record. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "policy/explain.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/policy_event.h"
#include "proxy/cli/policy_input.h"
#include "proxy/cli/text.h"

enum { OPTION_CONFIG, OPTION_POLICY, OPTION_EVENT, OPTION_JSON };
static const struct cli_option options[] = {
    [OPTION_CONFIG] = {"config", 'c', "FILE",
        "the policy of this mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    [OPTION_POLICY] = {"policy", 'p', "POLICY", "this policy, which may name CAs and files as it likes"},
    [OPTION_EVENT] = {"event", 'e', "FILE",
        "explain what this audit record (JSON, '-': standard input) is about; words <name>=<value> add "
        "what it lacks"},
    [OPTION_JSON] = {"json", 0, NULL, "the explanation as one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

/* ---- for people ---- */

/* "verdict   denied", in one line whatever the text is. */
static void print_field(const char *name, const char *text)
{
    printf("%-10s", name);
    text_print(stdout, view_of_string(text));
    putchar('\n');
}

static void print_list(const char *name, const char *const *items, size_t count)
{
    printf("%-10s%s", name, count == 0 ? "none" : "");
    for (size_t i = 0; i < count; i++) {
        printf("%s", i == 0 ? "" : ", ");
        text_print(stdout, view_of_string(items[i]));
    }
    putchar('\n');
}

static void print_rules(const struct policy_explanation *explanation)
{
    int heading = -1;

    for (size_t i = 0; i < explanation->rule_count; i++) {
        const struct policy_considered_rule *rule = &explanation->rules[i];

        if ((int)rule->consideration != heading)
            printf("rules: %s\n", policy_consideration_text(rule->consideration));
        heading = (int)rule->consideration;
        printf("  %s %s (%s)%s%s", rule->deny ? "deny " : "allow", rule->info->name, rule->info->location,
            rule->monitor ? ", monitor" : "", rule->why[0] == '\0' ? "" : ": ");
        text_print(stdout, view_of_string(rule->why));
        putchar('\n');
    }
}

static const char *effect_of(const struct policy_considered_check *check)
{
    return check->reports ? "reports it" : check->monitor ? "would refuse it" : "refuses it";
}

static void print_checks(const struct policy_explanation *explanation)
{
    if (explanation->check_count > 0)
        printf("checks: what it is to pass, too\n");
    for (size_t i = 0; i < explanation->check_count; i++) {
        const struct policy_considered_check *check = &explanation->checks[i];

        printf("  %s (%s)%s: %s\n", check->info->name, check->info->location,
            check->monitor ? ", monitor" : "", check->what);
        if (check->reason != REASON_none)
            printf("    %s: %s, %s\n", effect_of(check), reason_info(check->reason)->name,
                reason_info(check->reason)->text);
    }
}

static void print_record(const struct policy_event *event)
{
    struct view rest = buffer_view(&event->lacks);

    printf("%-10s", "record");
    text_print(stdout, buffer_view(&event->decided));
    putchar('\n');
    while (rest.length > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.length);
        size_t length = (size_t)(end - rest.data);

        printf("%-10s", "lacks");
        text_print(stdout, view_of(rest.data, length));
        putchar('\n');
        rest = view_skip(rest, length + 1);
    }
}

static void print_text(const struct policy *policy, const struct policy_explanation *explanation,
    const struct policy_event *event)
{
    const struct policy_outcome *outcome = &explanation->outcome;
    const char *client_id =
        explanation->client_id[0] == '\0' ? "assigned by the broker" : explanation->client_id;

    if (event != NULL)
        print_record(event);
    print_field("as", explanation->as);
    print_field("act", explanation->act);
    printf("%-10s%s, %s\n", "policy", policy_settings(policy)->name,
        explanation->monitored ? "monitor: nothing is blocked" : "enforced");
    print_field("identity", explanation->id);
    print_field("source", explanation->source);
    print_field("client id", client_id);
    print_field("dialect", explanation->dialect);
    print_list("values", explanation->attributes, explanation->attribute_count);
    if (explanation->missing_count > 0)
        print_list("without", explanation->missing, explanation->missing_count);
    print_list("groups", explanation->groups, explanation->group_count);
    print_field("verdict", explanation->verdict);
    if (!outcome->mistaken && !outcome->allowed)
        print_field("", reason_info(outcome->reason)->text);
    print_rules(explanation);
    print_checks(explanation);
    if (!explanation->agrees)
        printf("error in mqward: rule by rule it is %s; please report this\n",
            reason_info(explanation->own.reason)->name);
}

/* ---- for programs ---- */

static void json_list(struct json *json, const char *key, const char *const *items, size_t count)
{
    json_write_array_begin(json, key);
    for (size_t i = 0; i < count; i++)
        policy_json_text(json, NULL, items[i]);
    json_write_array_end(json);
}

static void json_verdict(struct json *json, const struct policy_explanation *explanation)
{
    const struct policy_outcome *outcome = &explanation->outcome;

    json_write_object_begin(json, "verdict");
    json_write_boolean(json, "allowed", outcome->allowed);
    json_write_boolean(json, "refused", outcome->refused);
    policy_json_text(json, "reason", outcome->mistaken ? "other_client" : reason_info(outcome->reason)->name);
    policy_json_rule(json, "rule", outcome->rule);
    policy_json_rule(json, "allowed_by", outcome->allowed_by);
    policy_json_rule(json, "nearest", outcome->nearest);
    if (outcome->nearest != NULL)
        policy_json_text(json, "nearest_condition", outcome->nearest_condition);
    policy_json_rule(json, "would_deny", outcome->would_deny);
    policy_json_rule(json, "reported_by", outcome->reported_by);
    json_write_boolean(json, "filtered", outcome->filtered);
    policy_json_text(json, "text", explanation->verdict);
    json_write_object_end(json);
}

static void json_rules(struct json *json, const struct policy_explanation *explanation)
{
    json_write_array_begin(json, "rules");
    for (size_t i = 0; i < explanation->rule_count; i++) {
        const struct policy_considered_rule *rule = &explanation->rules[i];

        json_write_object_begin(json, NULL);
        policy_json_text(json, "name", rule->info->name);
        policy_json_text(json, "location", rule->info->location);
        policy_json_text(json, "effect", rule->deny ? "deny" : "allow");
        json_write_boolean(json, "monitor", rule->monitor);
        policy_json_text(json, "consideration", policy_consideration_name(rule->consideration));
        policy_json_text(json, "why", rule->why);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void json_checks(struct json *json, const struct policy_explanation *explanation)
{
    json_write_array_begin(json, "checks");
    for (size_t i = 0; i < explanation->check_count; i++) {
        const struct policy_considered_check *check = &explanation->checks[i];

        json_write_object_begin(json, NULL);
        policy_json_text(json, "name", check->info->name);
        policy_json_text(json, "location", check->info->location);
        json_write_boolean(json, "monitor", check->monitor);
        json_write_boolean(json, "reports", check->reports);
        policy_json_text(json, "what", check->what);
        policy_json_text(
            json, "reason", check->reason == REASON_none ? NULL : reason_info(check->reason)->name);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void print_json(const struct policy *policy, const struct policy_explanation *explanation,
    const struct policy_event *event)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    if (event != NULL) {
        json_write_string(&json, "record", buffer_view(&event->decided));
        json_write_string(&json, "lacks", buffer_view(&event->lacks));
    }
    policy_json_text(&json, "as", explanation->as);
    policy_json_text(&json, "act", explanation->act);
    policy_json_text(&json, "policy", policy_settings(policy)->name);
    policy_json_text(&json, "mode", explanation->monitored ? "monitor" : "enforce");
    policy_json_text(&json, "source", explanation->source);
    policy_json_text(&json, "id", explanation->id);
    policy_json_text(&json, "client_id", explanation->client_id);
    policy_json_text(&json, "dialect", explanation->dialect);
    json_list(&json, "values", explanation->attributes, explanation->attribute_count);
    json_list(&json, "without", explanation->missing, explanation->missing_count);
    json_list(&json, "groups", explanation->groups, explanation->group_count);
    json_verdict(&json, explanation);
    json_rules(&json, explanation);
    json_checks(&json, explanation);
    json_write_boolean(&json, "agrees", explanation->agrees);
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

/* ---- the whole ---- */

/* Explains the line. What is wrong with its words is the command line's fault, unless a record gave them. */
static int explain_line(
    struct policy_input *source, struct buffer *line, const struct policy_event *event, bool json)
{
    const struct diag_source words = {
        .path = event == NULL ? "command line" : "record", .text = buffer_view(line)};
    struct diag_list *diag = diag_list_new();
    struct policy_explanation *explanation = policy_explain(source->policy, &words, diag);
    int status = event == NULL ? CLI_USAGE : CLI_FINDINGS;

    diag_print(diag, stderr);
    if (explanation != NULL) {
        (json ? print_json : print_text)(source->policy, explanation, event);
        status = explanation->agrees ? CLI_OK : CLI_FINDINGS;
    }
    policy_explanation_free(explanation);
    diag_list_free(diag);
    return status;
}

static int explain_words(struct policy_input *source, int argc, char **argv, bool json)
{
    struct buffer line = {0};

    for (int i = 1; i < argc; i++)
        policy_event_append_word(&line, "", view_of_string(argv[i]));
    int status = explain_line(source, &line, NULL, json);
    buffer_release(&line);
    return status;
}

static int explain_event(struct policy_input *source, const char *path, int argc, char **argv, bool json)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    struct policy_event event = {0};
    struct buffer line = {0};
    int status = CLI_FINDINGS;

    if (in == NULL) {
        fprintf(stderr, "mqward: %s can't be read: %s\n", path, strerror(errno));
        return CLI_FINDINGS;
    }
    if (policy_event_read(in, source, (const char *const *)argv, (size_t)argc, &event)) {
        buffer_append(&line, buffer_view(&event.client));
        buffer_append_byte(&line, ' ');
        buffer_append(&line, buffer_view(&event.act));
        status = explain_line(source, &line, &event, json);
    }
    if (in != stdin)
        fclose(in);
    policy_event_release(&event);
    buffer_release(&line);
    return status;
}

/* 0, or CLI_USAGE after a message. */
static int check_words(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    if (values[OPTION_CONFIG] != NULL && values[OPTION_POLICY] != NULL)
        return cli_usage_error(command, "either --config or --policy");
    if (values[OPTION_EVENT] == NULL && (argc < 1 || strcmp(argv[0], "as") != 0))
        return cli_usage_error(command, "expected 'as SOURCE IDENTITY ... ACT ...', or --event");
    for (int i = 0; i < argc && values[OPTION_EVENT] != NULL; i++) {
        if (strchr(argv[i], '=') == NULL)
            return cli_usage_error(command, "with --event, words are NAME=VALUE, not '%s'", argv[i]);
    }
    return 0;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *config = values[OPTION_CONFIG] == NULL ? "/etc/mqward/mqward.yaml" : values[OPTION_CONFIG];
    struct policy_input source;
    int status = check_words(command, values, argc, argv);
    bool json = values[OPTION_JSON] != NULL;

    if (status != 0)
        return status;
    if (values[OPTION_POLICY] != NULL)
        policy_input_open_policy(&source, values[OPTION_POLICY]);
    else
        policy_input_open_config(&source, config);
    if (diag_errors(source.diag) > 0)
        diag_print(source.diag, stderr);
    if (source.policy == NULL)
        status = CLI_FINDINGS;
    else if (values[OPTION_EVENT] != NULL)
        status = explain_event(&source, values[OPTION_EVENT], argc, argv, json);
    else
        status = explain_words(&source, argc, argv, json);
    policy_input_close(&source);
    return status;
}

const struct cli_command cli_policy_explain = {.name = "policy explain",
    .arguments = " as SOURCE IDENTITY [NAME=VALUE...] ACT [TOPIC] [WORD...] | --event FILE [NAME=VALUE...]",
    .summary = "explain what the policy says to an act of a client, rule by rule",
    .options = options,
    .run = run};

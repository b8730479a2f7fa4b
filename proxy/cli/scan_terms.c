/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what 'mqward scan' scans for. Called by scan.c. */
#include "proxy/cli/scan_terms.h"

#include "base/number.h"
#include "policy/explain.h"
#include "proxy/cli/policy_event.h"
#include "proxy/service.h"

static const struct {
    const char *name, *published, *delivered;
} matches[] = {
    [YARA_MATCH_REJECT] = {"reject", "refused", "not delivered"},
    [YARA_MATCH_DROP] = {"drop", "acknowledged and thrown away", "not delivered"},
    [YARA_MATCH_DISCONNECT] = {"disconnect", "refused, and the sender's session ends", "not delivered"},
    [YARA_MATCH_ALERT] = {"alert", "passed on, and the audit says so", "delivered, and the audit says so"},
    [YARA_MATCH_QUARANTINE] = {"quarantine", "refused, and stored for an analyst",
        "not delivered, and stored for an analyst"},
};

const char *scan_match_name(enum yara_on_match on_match)
{
    return matches[on_match].name;
}

const char *scan_outcome(const struct yara_terms *terms, const struct scan_result *result, bool delivery)
{
    if (result->count > 0)
        return delivery ? matches[terms->on_match].delivered : matches[terms->on_match].published;
    if (result->complete)
        return delivery ? "delivered" : "passed on";
    if (terms->on_error == YARA_ERROR_REJECT)
        return delivery ? "not delivered: it was not scanned to its end"
                        : "refused: it was not scanned to its end";
    return delivery ? "delivered, and the audit says that it was not scanned to its end"
                    : "passed on, and the audit says that it was not scanned to its end";
}

/* ---- of the command line ---- */

static int read_views(const struct cli_command *command, const char *list, unsigned *views)
{
    *views = 0;
    if (strcmp(list, "all") == 0)
        *views = SCAN_VIEWS_ALL;
    if (strcmp(list, "all") == 0 || strcmp(list, "none") == 0)
        return CLI_OK;
    while (*list != '\0') {
        struct view name = view_of(list, strcspn(list, ","));
        unsigned kind = SCAN_RAW + 1;
        while (kind < SCAN_VIEW_KINDS && !view_equal_string(name, scan_view_name((enum scan_view_kind)kind)))
            kind++;
        if (kind == SCAN_VIEW_KINDS)
            return cli_usage_error(command,
                "--views: expected all, none, or some of base64,hex,json,gzip,utf16, not '%.*s'",
                VIEW_ARGS(name));
        *views |= 1U << kind;
        list += name.length + (list[name.length] == ',');
    }
    return CLI_OK;
}

/* NAME=VALUE of what the message has besides its payload. */
static int read_with(const struct cli_command *command, const char *list, struct sample *sample)
{
    for (; list != NULL && *list != '\0'; list += strlen(list) + 1) {
        size_t length = strcspn(list, "=");
        if (list[length] == '\0')
            return cli_usage_error(command, "--with: expected NAME=VALUE, not '%s'", list);
        const char *wrong = sample_set(sample, view_of(list, length), view_of_string(list + length + 1));
        if (wrong != NULL)
            return cli_usage_error(command, "--with: '%s': %s", list, wrong);
    }
    return CLI_OK;
}

static int read_message(const struct cli_command *command, const char *const *values, struct sample *sample)
{
    sample->context.topic = view_of_string(values[SCAN_OPTION_TOPIC]);
    sample->context.outbound = values[SCAN_OPTION_DELIVERY] != NULL;
    return read_with(command, values[SCAN_OPTION_WITH], sample);
}

/* ---- checks ---- */

static void add_scan(struct scan_plan *plan, const struct rules_input *input,
    const struct policy_check_info *check, const struct yara_terms *terms)
{
    struct scan_terms *scan = &plan->scans[plan->count++];

    *scan = (struct scan_terms){.check = check, .terms = *terms};
    for (size_t i = 0; i < terms->rule_count; i++)
        scan->sets |= scan_rules_set(input->rules, terms->rules[i]);
}

static int add_named(struct scan_plan *plan, const struct cli_command *command,
    const struct rules_input *input, const char *name)
{
    for (size_t i = 0; i < policy_check_count(plan->policy); i++) {
        const struct policy_check_info *check = policy_check(plan->policy, i);
        if (strcmp(check->info.name, name) != 0)
            continue;
        if (check->yara == NULL)
            return cli_usage_error(command, "--check: '%s' (%s) does not scan", name, check->info.location);
        add_scan(plan, input, check, check->yara);
        return CLI_OK;
    }
    return cli_usage_error(command, "--check: the policy has no check '%s'", name);
}

/* What is known of the client goes into the message. */
static void take_client(struct sample *sample, const struct policy_explanation *explanation)
{
    struct buffer groups = {0};

    for (size_t i = 0; i < explanation->group_count; i++)
        buffer_format(&groups, "%s%s", i == 0 ? "" : ",", explanation->groups[i]);
    sample_set(sample, VIEW("groups"), buffer_view(&groups));
    sample_set(sample, VIEW("identity"), view_of_string(explanation->id));
    sample_set(sample, VIEW("client_id"), view_of_string(explanation->client_id));
    buffer_release(&groups);
}

/* Those that a message of this client, or to it, is to pass. */
static int add_asked(struct scan_plan *plan, const struct cli_command *command, const char *const *values,
    const struct rules_input *input, struct sample *sample)
{
    struct buffer line = {0};

    buffer_format(
        &line, "%s %s", values[SCAN_OPTION_AS], values[SCAN_OPTION_DELIVERY] == NULL ? "publish" : "receive");
    policy_event_append_word(&line, "", view_of_string(values[SCAN_OPTION_TOPIC]));
    struct diag_source *words = arena_alloc(input->arena, sizeof(*words)); /* as long as messages about it */
    *words =
        (struct diag_source){.path = "command line", .text = arena_copy(input->arena, buffer_view(&line))};
    struct policy_explanation *explanation = policy_explain(plan->policy, words, input->diag);
    int status = explanation == NULL ? CLI_USAGE : CLI_OK; /* its words are of the command line */

    if (explanation != NULL && !explanation->outcome.allowed)
        status = cli_usage_error(command, "such a message is not allowed at all: %s", explanation->verdict);
    if (status == CLI_OK)
        take_client(sample, explanation);
    for (size_t i = 0; status == CLI_OK && i < policy_check_count(plan->policy); i++) {
        const struct policy_check_info *check = policy_check(plan->policy, i);
        if (check->yara != NULL && (explanation->outcome.checks >> i & 1) != 0)
            add_scan(plan, input, check, check->yara);
    }
    policy_explanation_free(explanation);
    buffer_release(&line);
    return status;
}

static int add_checks(struct scan_plan *plan, const struct cli_command *command, const char *const *values,
    struct rules_input *input, struct sample *sample)
{
    const struct config *config = input->config;
    const struct policy_names names = snapshot_policy_names(config, NULL, input->arena);

    if (config->policy.path != NULL)
        plan->policy = policy_load_untested(config->policy.path, &names, input->diag, &config->policy.place);
    if (plan->policy == NULL)
        return CLI_FINDINGS;
    plan->scans = arena_calloc(input->arena, policy_check_count(plan->policy) + 1, sizeof(*plan->scans));
    if (values[SCAN_OPTION_CHECK] != NULL)
        return add_named(plan, command, input, values[SCAN_OPTION_CHECK]);
    return add_asked(plan, command, values, input, sample);
}

static void add_all(struct scan_plan *plan, struct rules_input *input)
{
    static const struct yara_terms terms = {
        .max_scan = YARA_MAX_SCAN, .timeout_ms = YARA_TIMEOUT_MS, .views = SCAN_VIEWS_ALL};

    plan->scans = arena_calloc(input->arena, 1, sizeof(*plan->scans));
    add_scan(plan, input, NULL, &terms);
    plan->scans[0].sets = rules_all_sets(input->rules);
}

/* What the command line says instead of the terms. */
static int override(
    const struct scan_plan *plan, const struct cli_command *command, const char *const *values)
{
    const char *size = values[SCAN_OPTION_MAX_SCAN], *list = values[SCAN_OPTION_VIEWS];
    uint64_t max_scan = 0;
    unsigned views = 0;

    if (size != NULL &&
        (number_parse_size(view_of_string(size), &max_scan) != 0 || max_scan == 0 || max_scan > SAMPLE_MAX))
        return cli_usage_error(command, "--max-scan: '%s' is not a size such as 256KiB", size);
    if (list != NULL && read_views(command, list, &views) != CLI_OK)
        return CLI_USAGE;
    for (size_t i = 0; i < plan->count; i++) {
        if (size != NULL)
            plan->scans[i].terms.max_scan = max_scan;
        if (list != NULL)
            plan->scans[i].terms.views = views;
    }
    return CLI_OK;
}

static int check_options(const struct cli_command *command, const char *const *values)
{
    bool check = values[SCAN_OPTION_CHECK] != NULL, as = values[SCAN_OPTION_AS] != NULL;

    if ((check || as) && values[SCAN_OPTION_RULES] != NULL)
        return cli_usage_error(command, "--check and --as are about a policy, which --rules has not");
    if (check && as)
        return cli_usage_error(command, "either --check or --as");
    if (as && values[SCAN_OPTION_TOPIC] == NULL)
        return cli_usage_error(command, "--as needs the --topic of the message");
    return CLI_OK;
}

int scan_plan_make(struct scan_plan *plan, const struct cli_command *command, const char *const *values,
    struct rules_input *input, struct sample *sample)
{
    int status = check_options(command, values);

    *plan = (struct scan_plan){0};
    if (status == CLI_OK)
        status = read_message(command, values, sample);
    if (status == CLI_OK && input->rules == NULL)
        status = CLI_FINDINGS;
    if (status != CLI_OK)
        return status;
    if (values[SCAN_OPTION_CHECK] == NULL && values[SCAN_OPTION_AS] == NULL)
        add_all(plan, input);
    else
        status = add_checks(plan, command, values, input, sample);
    /* Once more: they win over what is known of the client. */
    if (status == CLI_OK)
        status = read_with(command, values[SCAN_OPTION_WITH], sample);
    return status == CLI_OK ? override(plan, command, values) : status;
}

void scan_plan_release(struct scan_plan *plan)
{
    policy_release(plan->policy);
}

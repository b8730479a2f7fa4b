/* SPDX-License-Identifier: Apache-2.0 */
/* mqward rules test: each rule with the samples that it names, all of them with ordinary messages, and what
 * they cost. */
#include <stdio.h>

#include "proxy/cli/junit.h"
#include "proxy/cli/rules_trial.h"
#include "proxy/cli/text.h"

enum { OPTION_CORPUS = RULES_OPTIONS, OPTION_COST, OPTION_JUNIT };
static const struct cli_option options[] = {
    RULES_OPTION_ROWS(
        "test the rules of this mqward.yaml (default, without a PATH: /etc/mqward/mqward.yaml)"),
    [OPTION_CORPUS] = {"corpus", 0, "FOLDER",
        "files that are ordinary messages: no rule may match any of them"},
    [OPTION_COST] = {"cost", 0, NULL, "measure what each rule costs, the dearest first"},
    [OPTION_JUNIT] = {"junit", 0, "FILE", "write the results as JUnit XML, too"},
    {NULL, 0, NULL, NULL},
};

static bool is_good(const struct rules_trial *trial)
{
    return diag_errors(trial->input->diag) == 0 && trial->input->rules != NULL && trial->cases_failed == 0 &&
           trial->messages_failed == 0;
}

/* ---- for people ---- */

static void print_counted(const char *before, size_t count, const char *what)
{
    printf("%s%zu %s%s", before, count, what, count == 1 ? "" : "s");
}

static void print_failure(const struct rules_case *failed)
{
    fputs("FAILED  ", stdout);
    rules_print_name(failed->rule);
    printf(": %s ", sample_kind_name(failed->kind));
    text_print(stdout, view_of_string(failed->name));
    fputs(": ", stdout);
    text_print(stdout, view_of_string(failed->failure));
    rules_print_place(failed->rule);
    putchar('\n');
}

/* The cases of one rule, from first to before end. */
static void print_rule(const struct rules_trial *trial, size_t first, size_t end)
{
    size_t counts[SAMPLE_KINDS] = {0};
    bool good = true;

    for (size_t i = first; i < end; i++) {
        counts[trial->cases[i].kind]++;
        good = good && trial->cases[i].failure == NULL;
        if (trial->cases[i].failure != NULL)
            print_failure(&trial->cases[i]);
    }
    if (!good)
        return;
    fputs("ok      ", stdout);
    rules_print_name(trial->cases[first].rule);
    print_counted(": ", counts[SAMPLE_HIT], "hit");
    printf(", %zu miss%s\n", counts[SAMPLE_MISS], counts[SAMPLE_MISS] == 1 ? "" : "es");
}

static void print_message(struct arena *arena, const struct rules_message *message)
{
    for (size_t i = 0; i < message->count; i++) {
        fputs("FAILED  ", stdout);
        text_print(stdout, view_of_string(message->path));
        fputs(": ", stdout);
        rules_print_name(message->found[i].rule);
        printf(" %s\n", rules_found_text(arena, &message->found[i]));
    }
    if (message->failure == NULL)
        return;
    fputs("FAILED  ", stdout);
    text_print(stdout, view_of_string(message->path));
    fputs(": ", stdout);
    text_print(stdout, view_of_string(message->failure));
    putchar('\n');
}

static void print_costs(const struct rules_trial *trial)
{
    if (trial->cost_count > 0)
        printf(
            "ns of CPU time for each KiB of %zu views of the messages (%zu KiB), and of the dearest hostile "
            "payload:\n%12s %12s  %s\n",
            trial->view_count, trial->view_bytes / 1024, "MESSAGES", "HOSTILE", "RULE");
    for (size_t i = 0; i < trial->cost_count; i++) {
        const struct rules_cost *cost = &trial->costs[i];

        if (cost->hostile_ns == UINT64_MAX)
            printf("%12llu %12s  ", (unsigned long long)cost->messages_ns, "given up");
        else
            printf("%12llu %12llu  ", (unsigned long long)cost->messages_ns,
                (unsigned long long)cost->hostile_ns);
        text_print(stdout, view_of_string(cost->set));
        if (cost->rule != NULL)
            printf("/%s", cost->rule);
        printf(" (%s)\n", cost->hostile);
    }
}

static void print_summary(const struct rules_trial *trial, bool corpus)
{
    print_counted("", scan_rules_count(trial->input->rules), "rule");
    print_counted(", ", trial->case_count, "sample");
    printf(", %zu failed", trial->cases_failed);
    print_counted("; ", trial->untested_count, "rule");
    printf(" without samples");
    if (corpus) {
        print_counted("; ", trial->message_count, "message");
        printf(", %zu failed", trial->messages_failed);
    }
    putchar('\n');
}

static void print_text(const struct rules_trial *trial, bool corpus)
{
    size_t first = 0;

    diag_print(trial->input->diag, stderr);
    if (trial->input->rules == NULL) {
        print_counted("not tested: ", diag_errors(trial->input->diag), "error");
        putchar('\n');
        return;
    }
    for (size_t i = 1; i <= trial->case_count; i++) {
        if (i < trial->case_count && trial->cases[i].rule == trial->cases[first].rule)
            continue;
        print_rule(trial, first, i);
        first = i;
    }
    for (size_t i = 0; i < trial->message_count; i++)
        print_message(trial->input->arena, &trial->messages[i]);
    for (size_t i = 0; i < trial->untested_count; i++) {
        fputs("without samples: ", stdout);
        rules_print_name(trial->untested[i]);
        rules_print_place(trial->untested[i]);
        putchar('\n');
    }
    print_costs(trial);
    print_summary(trial, corpus);
}

/* ---- for programs ---- */

static void json_text(struct json *json, const char *key, const char *text)
{
    if (text == NULL)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(text));
}

static void json_cases(struct json *json, const struct rules_trial *trial)
{
    json_write_array_begin(json, "samples");
    for (size_t i = 0; i < trial->case_count; i++) {
        const struct rules_case *own = &trial->cases[i];
        json_write_object_begin(json, NULL);
        rules_json_rule(json, own->rule);
        json_text(json, "kind", sample_kind_name(own->kind));
        json_text(json, "sample", own->name);
        json_write_boolean(json, "passed", own->failure == NULL);
        json_text(json, "failure", own->failure);
        json_write_object_end(json);
    }
    json_write_array_end(json);
    json_write_array_begin(json, "untested");
    for (size_t i = 0; i < trial->untested_count; i++) {
        json_write_object_begin(json, NULL);
        rules_json_rule(json, trial->untested[i]);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void json_found(struct json *json, const struct rules_found *found)
{
    json_write_object_begin(json, NULL);
    rules_json_rule(json, found->rule);
    json_text(json, "view", found->view);
    if (found->offset == UINT64_MAX)
        json_write_null(json, "offset");
    else
        json_write_unsigned(json, "offset", found->offset);
    json_write_object_end(json);
}

static void json_messages(struct json *json, const struct rules_trial *trial)
{
    json_write_array_begin(json, "messages_failed");
    for (size_t i = 0; i < trial->message_count; i++) {
        const struct rules_message *message = &trial->messages[i];
        if (message->count == 0 && message->failure == NULL)
            continue;
        json_write_object_begin(json, NULL);
        json_text(json, "message", message->path);
        json_text(json, "failure", message->failure);
        json_write_array_begin(json, "found");
        for (size_t k = 0; k < message->count; k++)
            json_found(json, &message->found[k]);
        json_write_array_end(json);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void json_costs(struct json *json, const struct rules_trial *trial)
{
    json_write_array_begin(json, "costs");
    for (size_t i = 0; i < trial->cost_count; i++) {
        const struct rules_cost *cost = &trial->costs[i];
        json_write_object_begin(json, NULL);
        json_text(json, "set", cost->set);
        json_text(json, "rule", cost->rule);
        json_write_unsigned(json, "messages_ns_per_kib", cost->messages_ns);
        if (cost->hostile_ns == UINT64_MAX)
            json_write_null(json, "hostile_ns_per_kib");
        else
            json_write_unsigned(json, "hostile_ns_per_kib", cost->hostile_ns);
        json_text(json, "hostile", cost->hostile);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void print_json(const struct rules_trial *trial, bool cost)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", is_good(trial));
    diag_print_json(trial->input->diag, &json, "findings");
    if (trial->input->rules != NULL) {
        json_write_unsigned(&json, "rules", scan_rules_count(trial->input->rules));
        json_write_unsigned(&json, "messages", trial->message_count);
        json_cases(&json, trial);
        json_messages(&json, trial);
    }
    if (cost)
        json_costs(&json, trial);
    json_write_object_end(&json);
    rules_print_json(&out);
}

/* Both as a class and a name of it. */
static void junit_sample(struct buffer *out, struct arena *arena, const struct rules_case *own)
{
    const struct scan_rule *rule = own->rule;
    const char *detail = rule->path == NULL ? "" : arena_format(arena, "%s:%u", rule->path, rule->line);

    junit_case(out, arena_format(arena, "%s/%s", rule->set, rule->name),
        arena_format(arena, "%s %s", sample_kind_name(own->kind), own->name), own->failure, detail);
}

static void junit_message(struct buffer *out, struct arena *arena, const struct rules_message *message)
{
    struct buffer detail = {0};

    for (size_t i = 0; i < message->count; i++)
        buffer_format(&detail, "%s/%s %s\n", message->found[i].rule->set, message->found[i].rule->name,
            rules_found_text(arena, &message->found[i]));
    buffer_append_byte(&detail, '\0');
    junit_case(out, "corpus", message->path, message->count > 0 ? "rules match it" : message->failure,
        (const char *)buffer_view(&detail).data);
    buffer_release(&detail);
}

static bool write_junit(const struct rules_trial *trial, const char *path)
{
    const struct junit_suite suite = {.name = "rules",
        .cases = trial->case_count + trial->message_count,
        .failed = trial->cases_failed + trial->messages_failed,
        .diag = trial->input->diag,
        .loaded = trial->input->rules != NULL};
    struct buffer out = {0};

    junit_begin(&out, "mqward rules test");
    junit_suite_begin(&out, &suite, "rules");
    for (size_t i = 0; i < trial->case_count; i++)
        junit_sample(&out, trial->input->arena, &trial->cases[i]);
    for (size_t i = 0; i < trial->message_count; i++)
        junit_message(&out, trial->input->arena, &trial->messages[i]);
    junit_suite_end(&out);
    junit_end(&out);
    bool written = junit_write(&out, path);
    buffer_release(&out);
    return written;
}

/* ---- the command ---- */

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *corpus = values[OPTION_CORPUS];
    struct rules_input input;
    struct rules_trial trial = {.input = &input};
    int status = rules_input_open(&input, command, values, (const char *const *)argv, (size_t)argc, NULL);

    if (status != CLI_OK)
        return status;
    if (input.rules != NULL) {
        rules_trial_begin(&trial, &input, values[OPTION_COST] != NULL);
        if (corpus != NULL)
            rules_trial_corpus(&trial, corpus);
        if (values[OPTION_COST] != NULL)
            rules_trial_measure(&trial);
    }
    if (values[RULES_OPTION_JSON] != NULL)
        print_json(&trial, values[OPTION_COST] != NULL);
    else
        print_text(&trial, corpus != NULL);
    bool good =
        (values[OPTION_JUNIT] == NULL || write_junit(&trial, values[OPTION_JUNIT])) && is_good(&trial);
    rules_trial_end(&trial);
    rules_input_close(&input);
    return good ? CLI_OK : CLI_FINDINGS;
}

const struct cli_command cli_rules_test = {.name = "rules test",
    .arguments = " [PATH...]",
    .summary = "try rules with the samples that they name; a PATH is a rule file, or a folder of them",
    .options = options,
    .run = run,
    .options_anywhere = true};

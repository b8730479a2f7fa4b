/* SPDX-License-Identifier: Apache-2.0 */
/* mqward scan: scans a file as the proxy would scan it as a message's payload, with the proxy's own code. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/cli/scan_terms.h"
#include "proxy/cli/text.h"

#define PLAIN_TIMEOUT_NS UINT64_C(60000000000)

static const struct cli_option options[] = {
    RULES_OPTION_ROWS(
        "rules and policy of this mqward.yaml (default, without --rules: /etc/mqward/mqward.yaml)"),
    [SCAN_OPTION_RULES] = {"rules", 'r', "PATH...", "scan with this rule file, or folder of them, instead"},
    [SCAN_OPTION_CHECK] = {"check", 0, "NAME", "on the terms of this check (default: all rules, all views)"},
    [SCAN_OPTION_AS] = {"as", 0, "CLIENT",
        "on the terms of all checks of what this client publishes: \"cert plc-7 site=a\""},
    [SCAN_OPTION_TOPIC] = {"topic", 't', "TOPIC", "the message's topic"},
    [SCAN_OPTION_DELIVERY] = {"delivery", 0, NULL, "it is delivered to the client, not published by it"},
    [SCAN_OPTION_WITH] = {"with", 'w', "NAME=VALUE...",
        "what else the message has: client_id, username, identity, groups, content_type, qos, retain"},
    [SCAN_OPTION_VIEWS] = {"views", 0, "LIST",
        "decode these: all, none, or some of base64,hex,json,gzip,utf16"},
    [SCAN_OPTION_MAX_SCAN] = {"max-scan", 0, "SIZE", "look at no more of each view (default: 256KiB)"},
    [SCAN_OPTION_PLAINLY] = {"plainly", 0, NULL, "compare with libyara without any shortcut"},
    {NULL, 0, NULL, NULL},
};

/* All findings of a scan, and its end. */
struct scanned {
    struct scan_finding *found;
    size_t count, capacity;
    struct scan_result result;
};

struct report {
    const struct scan_terms *terms;
    struct scanned scanned, plain;
    bool compared; /* plain is there */
    bool differs;
    const char *outcome; /* what becomes of the message */
};

/* ---- scanning ---- */

static void on_finding(void *context, const struct scan_finding *finding)
{
    struct scanned *scanned = context;

    if (scanned->count == scanned->capacity) {
        scanned->capacity = 2 * scanned->capacity + 16;
        scanned->found = memory_realloc(scanned->found, scanned->capacity, sizeof(*scanned->found));
    }
    scanned->found[scanned->count++] = *finding;
}

typedef void scan_function(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result);

static void scan(struct scanned *scanned, struct rules_input *input, const struct scan_terms *terms,
    const struct sample *sample, bool plainly)
{
    const struct scan_part part = {SCAN_PAYLOAD, buffer_view(&sample->bytes)};
    struct scan_request request = rules_request(sample, &part, terms->sets);
    struct scanner *scanner = scanner_new();
    scan_function *const function = plainly ? scanner_scan_plainly : scanner_scan;

    request.max_scan = terms->terms.max_scan;
    request.views = terms->terms.views;
    request.timeout_ns = plainly ? PLAIN_TIMEOUT_NS : terms->terms.timeout_ms * 1000000;
    request.each = on_finding;
    request.each_context = scanned;
    function(scanner, input->rules, &request, &scanned->result);
    scanner_free(scanner);
}

static bool is_same(const struct scanned *a, const struct scanned *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct scan_finding *x = &a->found[i], *y = &b->found[i];
        if (x->rule != y->rule || x->offset != y->offset || x->view.length != y->view.length ||
            x->view.offset != y->view.offset || memcmp(x->view.kinds, y->view.kinds, x->view.length) != 0)
            return false;
    }
    return true;
}

static void make_report(struct report *report, struct rules_input *input, const struct scan_terms *terms,
    const struct sample *sample, bool plainly)
{
    *report = (struct report){.terms = terms};
    scan(&report->scanned, input, terms, sample, false);
    report->outcome = scan_outcome(&terms->terms, &report->scanned.result, sample->context.outbound);
    if (!plainly)
        return;
    scan(&report->plain, input, terms, sample, true);
    report->compared = true;
    report->differs = !is_same(&report->scanned, &report->plain);
}

/* ---- for people ---- */

static void print_line(const char *name, const char *text)
{
    if (text == NULL)
        return;
    printf("        %-13s", name);
    text_print(stdout, view_of_string(text));
    putchar('\n');
}

static void print_finding(const struct scan_finding *finding, const char *mark)
{
    const struct scan_rule *rule = finding->rule;
    struct buffer view = {0};

    rules_view_append(&view, &finding->view);
    fputs(mark, stdout);
    rules_print_name(rule);
    printf(" in %.*s", VIEW_ARGS(buffer_view(&view)));
    if (finding->offset != UINT64_MAX)
        printf(" at %llu", (unsigned long long)finding->offset);
    if (finding->view.length > 0)
        printf(", decoded from %llu", (unsigned long long)finding->view.offset);
    rules_print_place(rule);
    putchar('\n');
    buffer_release(&view);
}

static void print_rule(const struct scan_rule *rule)
{
    print_line("id", rule->id);
    print_line("description", rule->description);
    print_line("severity", rule->severity);
    print_line("mitre_attack", rule->mitre_attack);
    print_line("reference", rule->reference);
    print_line("action", rule->action);
}

/* Of a rule that is found several times, its meta is shown once. */
static void print_findings(const struct scanned *scanned, struct scan_rules *rules)
{
    const size_t count = scan_rules_count(rules);
    bool *shown = memory_calloc(count + 1, sizeof(*shown));

    for (size_t i = 0; i < scanned->count; i++) {
        const struct scan_rule *rule = scanned->found[i].rule;
        size_t number = (size_t)(rule - scan_rules_at(rules, 0));
        print_finding(&scanned->found[i], "FOUND   ");
        if (!shown[number])
            print_rule(rule);
        shown[number] = true;
    }
    free(shown);
}

static void print_end(const struct scan_result *result)
{
    printf("%zu finding%s; ", result->count, result->count == 1 ? "" : "s");
    if (result->error != NULL) {
        printf("rule set ");
        text_print(stdout, view_of_string(result->error_set));
        printf(": %s; ", result->error);
    }
    if (result->complete)
        puts("all of it was looked at");
    else
        printf("not all of it was looked at%s%s\n", result->incomplete == NULL ? "" : ": ",
            result->incomplete == NULL ? "" : result->incomplete);
}

static void print_comparison(const struct report *report)
{
    if (!report->compared)
        return;
    puts(report->differs ? "libyara without shortcuts DIFFERS:" : "libyara without shortcuts says the same");
    for (size_t i = 0; report->differs && i < report->plain.count; i++)
        print_finding(&report->plain.found[i], "  it found  ");
    if (report->plain.result.error != NULL)
        printf("  it failed: %s\n", report->plain.result.error);
}

static void print_text(const struct report *report, struct scan_rules *rules)
{
    const struct policy_check_info *check = report->terms->check;

    if (check != NULL) {
        fputs("check ", stdout);
        text_print(stdout, view_of_string(check->info.name));
        fputs(" (", stdout);
        text_print(stdout, view_of_string(check->info.location));
        puts(")");
    }
    print_findings(&report->scanned, rules);
    print_end(&report->scanned.result);
    print_comparison(report);
    if (check != NULL)
        printf("the message is %s%s\n", report->outcome,
            check->monitor && (report->scanned.count > 0 || !report->scanned.result.complete)
                ? ", but for mode: monitor"
                : "");
}

/* ---- for programs ---- */

static void json_meta(struct json *json, const struct scan_rule *rule)
{
    json_write_array_begin(json, "meta");
    for (size_t i = 0; i < rule->meta_count; i++) {
        json_write_object_begin(json, NULL);
        json_write_string(json, "name", view_of_string(rule->meta[i].name));
        if (rule->meta[i].text == NULL)
            json_write_number(json, "value", rule->meta[i].number);
        else
            json_write_string(json, "value", view_of_string(rule->meta[i].text));
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void json_finding(struct json *json, const struct scan_finding *finding)
{
    struct buffer view = {0};

    rules_view_append(&view, &finding->view);
    json_write_object_begin(json, NULL);
    rules_json_rule(json, finding->rule);
    json_write_string(json, "view", buffer_view(&view));
    json_write_unsigned(json, "decoded_from", finding->view.offset);
    if (finding->offset == UINT64_MAX)
        json_write_null(json, "offset");
    else
        json_write_unsigned(json, "offset", finding->offset);
    json_meta(json, finding->rule);
    json_write_object_end(json);
    buffer_release(&view);
}

static void json_literal(struct json *json, const char *key, const char *text)
{
    if (text == NULL)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(text));
}

static void json_check(struct json *json, const struct report *report)
{
    const struct policy_check_info *check = report->terms->check;

    if (check == NULL)
        return;
    json_write_string(json, "check", view_of_string(check->info.name));
    json_write_string(json, "location", view_of_string(check->info.location));
    json_write_boolean(json, "monitor", check->monitor);
    json_literal(json, "on_match", scan_match_name(report->terms->terms.on_match));
    json_literal(json, "outcome", report->outcome);
}

static void json_report(struct json *json, const struct report *report)
{
    const struct scan_result *result = &report->scanned.result;

    json_write_object_begin(json, NULL);
    json_check(json, report);
    json_write_array_begin(json, "found");
    for (size_t i = 0; i < report->scanned.count; i++)
        json_finding(json, &report->scanned.found[i]);
    json_write_array_end(json);
    json_write_boolean(json, "complete", result->complete);
    json_literal(json, "incomplete", result->incomplete);
    json_literal(json, "error", result->error);
    json_literal(json, "error_set", result->error_set);
    if (report->compared)
        json_write_boolean(json, "same_as_libyara", !report->differs);
    json_write_object_end(json);
}

/* ---- the command ---- */

static bool is_clean(const struct report *report)
{
    return report->scanned.count == 0 && report->scanned.result.complete && !report->differs;
}

static void print_json(
    const struct report *reports, size_t count, const struct rules_input *input, bool clean)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "clean", clean);
    diag_print_json(input->diag, &json, "findings");
    json_write_array_begin(&json, "scans");
    for (size_t i = 0; i < count; i++)
        json_report(&json, &reports[i]);
    json_write_array_end(&json);
    json_write_object_end(&json);
    rules_print_json(&out);
}

/* False after an error in the input's diag. */
static bool read_payload(struct rules_input *input, const char *path, struct sample *sample)
{
    bool good = strcmp(path, "-") == 0
                    ? sample_read_stream(STDIN_FILENO, "standard input", &sample->bytes, input->diag)
                    : sample_read_bytes(path, &sample->bytes, input->diag);

    sample->context.payload_size = buffer_length(&sample->bytes);
    return good;
}

static int scan_all(const struct cli_command *command, const char *const *values, struct rules_input *input,
    const char *path, struct sample *sample)
{
    struct scan_plan plan;
    bool json = values[RULES_OPTION_JSON] != NULL, clean = true;
    int status = scan_plan_make(&plan, command, values, input, sample);

    if (status == CLI_OK && !read_payload(input, path, sample))
        status = CLI_FINDINGS;
    size_t count = status == CLI_OK ? plan.count : 0;
    struct report *reports = memory_calloc(count + 1, sizeof(*reports));
    for (size_t i = 0; i < count; i++) {
        make_report(&reports[i], input, &plan.scans[i], sample, values[SCAN_OPTION_PLAINLY] != NULL);
        clean = clean && is_clean(&reports[i]);
    }
    if ((!json || status == CLI_USAGE) && diag_errors(input->diag) > 0)
        diag_print(input->diag, stderr);
    if (status != CLI_USAGE && json)
        print_json(reports, count, input, status == CLI_OK && clean);
    for (size_t i = 0; i < count && !json; i++)
        print_text(&reports[i], input->rules);
    if (status == CLI_OK && count == 0 && !json)
        puts("no check scans such a message");
    for (size_t i = 0; i < count; i++) {
        free(reports[i].scanned.found);
        free(reports[i].plain.found);
    }
    free(reports);
    scan_plan_release(&plan);
    return status == CLI_OK && !clean ? CLI_FINDINGS : status;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *paths[SCAN_SETS_MAX + 1];
    size_t count = 0;
    const struct scan_load how = {.plain = values[SCAN_OPTION_PLAINLY] != NULL};
    struct rules_input input;

    if (argc != 1)
        return cli_usage_error(command, "one FILE is scanned ('-': standard input)");
    for (const char *at = values[SCAN_OPTION_RULES]; at != NULL && *at != '\0'; at += strlen(at) + 1) {
        if (count < SCAN_SETS_MAX + 1)
            paths[count++] = at;
    }
    int status = rules_input_open(&input, command, values, paths, count, &how);
    if (status != CLI_OK)
        return status;
    struct sample sample = {.arena = arena_new()};
    status = scan_all(command, values, &input, argv[0], &sample);
    sample_release(&sample);
    rules_input_close(&input);
    return status;
}

const struct cli_command cli_scan = {.name = "scan",
    .arguments = " FILE",
    .summary = "scan a file as a message's payload: what YARA finds, in which view, and what becomes of it",
    .options = options,
    .run = run,
    .options_anywhere = true};

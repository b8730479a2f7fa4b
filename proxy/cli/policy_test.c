/* SPDX-License-Identifier: Apache-2.0 */
/* mqward policy test: a policy's own tests, case by case, and the rules that none of them reached. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/json.h"
#include "base/memory.h"
#include "proxy/cli/cli.h"
#include "proxy/cli/junit.h"
#include "proxy/cli/policy_input.h"
#include "proxy/cli/text.h"

enum { OPTION_CONFIG, OPTION_JUNIT, OPTION_JSON };
static const struct cli_option options[] = {
    [OPTION_CONFIG] = {"config", 'c', "FILE",
        "test the policy of this mqward.yaml (default, without a POLICY: /etc/mqward/mqward.yaml)"},
    [OPTION_JUNIT] = {"junit", 0, "FILE", "write the results as JUnit XML, too"},
    [OPTION_JSON] = {"json", 0, NULL, "results as one JSON object on standard output"},
    {NULL, 0, NULL, NULL},
};

/* The kinds of checks that cases reach. */
static const struct {
    const char *text, *member; /* member: of the JSON object */
} kinds[POLICY_CHECK_KINDS] = {
    [POLICY_CHECK_SIGNATURE] = {"signature", "signature_checks"},
    [POLICY_CHECK_YARA] = {"YARA", "yara_checks"},
};

struct tested {
    struct policy_input source;
    struct policy_test_report *report; /* NULL: the policy has errors */
};

static void test_policy(struct tested *tested)
{
    if (tested->source.policy != NULL)
        tested->report = policy_test_run(tested->source.policy);
}

static bool is_good(const struct tested *tested)
{
    return diag_errors(tested->source.diag) == 0 && tested->report != NULL && tested->report->failed == 0;
}

/* ---- for people ---- */

/* A policy is tried before it is trusted. */
static void print_clean(const char *before, const char *text)
{
    fputs(before, stdout);
    text_print(stdout, view_of_string(text));
}

static void print_result(const struct policy_test_result *result)
{
    print_clean(result->passed ? "ok      as " : "FAILED  as ", result->as);
    print_clean(": ", result->act);
    print_clean(": ", result->verdict);
    if (!result->passed) {
        print_clean("; expected: ", result->expected);
        print_clean(" (", result->location);
        putchar(')');
    }
    putchar('\n');
}

static void print_unreached(const char *before, const struct policy_rule_info *const *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        print_clean(before, rules[i]->name);
        print_clean(" (", rules[i]->location);
        fputs(")\n", stdout);
    }
}

static void print_checks(const struct policy_test_report *report)
{
    for (int kind = 0; kind < POLICY_CHECK_KINDS; kind++) {
        size_t count = report->checks[kind].count;
        if (count > 0)
            printf(", %zu of %zu %s check%s", count - report->checks[kind].unreached, count, kinds[kind].text,
                count == 1 ? "" : "s");
    }
}

static void print_report(const struct tested *tested)
{
    const struct policy_test_report *report = tested->report;

    diag_print(tested->source.diag, stderr);
    if (report == NULL) {
        print_clean("", tested->source.path);
        printf(": not tested, %zu error%s\n", diag_errors(tested->source.diag),
            diag_errors(tested->source.diag) == 1 ? "" : "s");
        return;
    }
    for (size_t i = 0; i < report->count; i++)
        print_result(&report->results[i]);
    print_unreached("not reached by any test: ", report->unreached, report->unreached_count);
    print_unreached("refused nothing in any test: ", report->unreached_checks, report->unreached_check_count);
    print_clean("", tested->source.path);
    printf(": %zu case%s, %zu failed; %zu of %zu rules reached", report->count, report->count == 1 ? "" : "s",
        report->failed, report->rule_count - report->unreached_count, report->rule_count);
    print_checks(report);
    putchar('\n');
}

/* ---- for programs ---- */

static void json_result(struct json *json, const struct policy_test_result *result)
{
    const struct policy_outcome *outcome = &result->outcome;

    json_write_object_begin(json, NULL);
    json_write_boolean(json, "passed", result->passed);
    policy_json_text(json, "as", result->as);
    policy_json_text(json, "act", result->act);
    policy_json_text(json, "location", result->location);
    policy_json_text(json, "expected", result->expects_allow ? "allow" : "deny");
    policy_json_text(json, "expected_by", result->by);
    json_write_boolean(json, "allowed", outcome->allowed);
    policy_json_text(json, "reason", outcome->mistaken ? NULL : reason_info(outcome->reason)->name);
    policy_json_rule(json, "rule", outcome->rule);
    policy_json_rule(json, "allowed_by", outcome->allowed_by);
    policy_json_rule(json, "would_deny", outcome->would_deny);
    policy_json_rule(json, "reported_by", outcome->reported_by);
    policy_json_text(json, "verdict", result->verdict);
    json_write_object_end(json);
}

static void json_report(struct json *json, const struct policy_test_report *report)
{
    json_write_unsigned(json, "cases", report->count);
    json_write_unsigned(json, "failed", report->failed);
    json_write_unsigned(json, "rules", report->rule_count);
    for (int kind = 0; kind < POLICY_CHECK_KINDS; kind++) {
        if (kinds[kind].member != NULL)
            json_write_unsigned(json, kinds[kind].member, report->checks[kind].count);
    }
    json_write_array_begin(json, "results");
    for (size_t i = 0; i < report->count; i++)
        json_result(json, &report->results[i]);
    json_write_array_end(json);
    json_write_array_begin(json, "unreached");
    for (size_t i = 0; i < report->unreached_count; i++)
        policy_json_rule(json, NULL, report->unreached[i]);
    json_write_array_end(json);
    json_write_array_begin(json, "unreached_checks");
    for (size_t i = 0; i < report->unreached_check_count; i++)
        policy_json_rule(json, NULL, report->unreached_checks[i]);
    json_write_array_end(json);
}

static void print_json(const struct tested *tested, size_t count, bool good)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", good);
    json_write_array_begin(&json, "policies");
    for (size_t i = 0; i < count; i++) {
        json_write_object_begin(&json, NULL);
        policy_json_text(&json, "file", tested[i].source.path);
        json_write_boolean(&json, "ok", is_good(&tested[i]));
        diag_print_json(tested[i].source.diag, &json, "findings");
        if (tested[i].report != NULL)
            json_report(&json, tested[i].report);
        json_write_object_end(&json);
    }
    json_write_array_end(&json);
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

/* False after a message. */
static bool write_junit(const char *path, const struct tested *tested, size_t count)
{
    struct buffer out = {0};

    junit_begin(&out, "mqward policy test");
    for (size_t i = 0; i < count; i++)
        junit_policy(&out, tested[i].source.path, tested[i].report, tested[i].source.diag);
    junit_end(&out);
    bool written = junit_write(&out, path);
    buffer_release(&out);
    return written;
}

static bool report_all(const struct tested *tested, size_t count, const char *const *values)
{
    bool good = true;

    for (size_t i = 0; i < count; i++)
        good = is_good(&tested[i]) && good;
    if (values[OPTION_JSON] != NULL)
        print_json(tested, count, good);
    for (size_t i = 0; i < count && values[OPTION_JSON] == NULL; i++)
        print_report(&tested[i]);
    return (values[OPTION_JUNIT] == NULL || write_junit(values[OPTION_JUNIT], tested, count)) && good;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    const char *config = values[OPTION_CONFIG];
    struct tested *tested = memory_calloc((size_t)argc + 1, sizeof(*tested));
    size_t count = 0;

    for (int i = 0; i < argc; i++) {
        if (argv[i][0] != '-')
            continue;
        free(tested);
        return cli_usage_error(command, "'%s': options come before policies", argv[i]);
    }
    if (config == NULL && argc == 0)
        config = "/etc/mqward/mqward.yaml";
    if (config != NULL)
        policy_input_open_config(&tested[count++].source, config);
    for (int i = 0; i < argc; i++)
        policy_input_open_policy(&tested[count++].source, argv[i]);
    for (size_t i = 0; i < count; i++)
        test_policy(&tested[i]);
    bool good = report_all(tested, count, values);
    for (size_t i = 0; i < count; i++) {
        policy_test_report_free(tested[i].report);
        policy_input_close(&tested[i].source);
    }
    free(tested);
    return good ? CLI_OK : CLI_FINDINGS;
}

const struct cli_command cli_policy_test = {.name = "policy test",
    .arguments = " [POLICY...]",
    .summary = "run a policy's own tests; a POLICY alone may name CAs and files as it likes",
    .options = options,
    .run = run};

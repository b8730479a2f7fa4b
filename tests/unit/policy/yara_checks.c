/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of YARA in a policy: which messages are to pass them, what they demand, and what tests and
 * explanations make of them. What policies may not say is in tests/policies/bad/check-yara-*.yaml. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/explain.h"
#include "policy/yara.h"
#include "support.h"

#define HEAD                                                                                                 \
    "version: 1\npolicy: p\nidentity:\n"                                                                     \
    "  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"                                                     \
    "  - password: {file: users}\n"                                                                          \
    "groups:\n  devices: {source: cert}\n  people: {source: password}\n"                                     \
    "rules:\n"                                                                                               \
    "  - {rule: all, who: everyone, allow: [publish, subscribe], topics: \"#\"}\n"                           \
    "  - {rule: never, who: everyone, deny: [publish, receive], topics: [never/#]}\n"                        \
    "checks:\n"

/* The digits of a string are the checks. */
static const char nine[] = HEAD
    "  - {check: c0, who: devices, topics: [dt/#, never/#], yara: {rules: iot}}\n"
    "  - {check: c1, topics: \"#\", rate: {per: id, messages: 1/s}}\n"
    "  - {check: c2, who: people, topics: dt/#, yara: {rules: iot, at: receive}}\n"
    "  - {check: c3, who: devices, topics: [rs/<site>/<id>/#], yara: {rules: iot, at: [publish, receive]}}\n"
    "  - {check: c4, unless: people, topics: rs/+/+/x, signature: {keys: m25a, require: when_present}}\n"
    "  - {check: c5, topics: [rs/#], yara: {rules: packers, on_match: quarantine, views: none}}\n"
    "  - {check: c6, mode: monitor, topics: mo/#, yara: {rules: iot}}\n"
    "  - {check: c7, topics: al/#, yara: {rules: iot, on_match: alert, on_error: alert}}\n"
    "  - {check: c8, topics: [al/#, mo/#], yara: {rules: [iot, packers], on_match: drop}}\n";

static void expect_checks(const struct fixture *fixture, const struct policy_subject *subject,
    enum policy_operation operation, const char *topic, const char *digits)
{
    const struct policy_request request = {.operation = operation, .topic = view_of_string(topic)};
    struct policy_verdict verdict;
    uint64_t expected = 0;

    for (const char *digit = digits; *digit != '\0'; digit++)
        expected |= UINT64_C(1) << (*digit - '0');
    policy_decide(fixture->policy, subject, &request, &verdict);
    cr_expect_eq(verdict.checks, expected, "%d %s: 0x%llx, not 0x%llx", (int)operation, topic,
        (unsigned long long)verdict.checks, (unsigned long long)expected);
}

Test(yara_checks, a_policy_says_which_they_are)
{
    struct fixture fixture = fixture_good(nine);
    cr_expect_eq(policy_yara_checks(fixture.policy), 0x1ed);
    cr_expect_eq(policy_signature_checks(fixture.policy), 0x10);
    cr_expect_eq(policy_check(fixture.policy, 1)->kind, POLICY_CHECK_RATE);
    cr_expect_null(policy_check(fixture.policy, 1)->yara);
    cr_expect_eq(policy_check(fixture.policy, 4)->kind, POLICY_CHECK_SIGNATURE);
    cr_expect_null(policy_check(fixture.policy, 4)->yara);
    cr_expect_eq(policy_check(fixture.policy, 2)->kind, POLICY_CHECK_YARA);
    cr_expect_not_null(policy_check(fixture.policy, 2)->yara);
    cr_expect_null(policy_check(fixture.policy, 2)->signature);
    fixture_free(&fixture);
    fixture = fixture_good(HEAD "  - {check: c1, topics: \"#\", rate: {per: id, messages: 1/s}}\n");
    cr_expect_eq(policy_yara_checks(fixture.policy), 0);
    fixture_free(&fixture);
}

Test(yara_checks, a_message_passes_those_of_its_direction)
{
    struct fixture fixture = fixture_good(nine);
    struct policy_subject *device = fixture_device(&fixture, "plc-7", "a");
    struct policy_subject *user = fixture_user(&fixture, "eva");
    static const struct {
        enum policy_operation operation;
        const char *topic, *device, *user;
    } rows[] = {
        {POLICY_PUBLISH, "dt/a", "01", "1"},
        {POLICY_WILL, "dt/a", "0", ""},
        {POLICY_RECEIVE, "dt/a", "", "2"},
        {POLICY_PUBLISH, "rs/a/plc-7/x", "1345", "15"},
        {POLICY_WILL, "rs/a/plc-7/x", "345", "5"},
        {POLICY_RECEIVE, "rs/a/plc-7/x", "3", ""},
        {POLICY_PUBLISH, "rs/b/plc-7/y", "15", "15"},
        {POLICY_RECEIVE, "rs/b/plc-7/y", "", ""},
        {POLICY_WILL, "mo/x", "68", "68"},
        {POLICY_PUBLISH, "al", "178", "178"},
        {POLICY_PUBLISH, "never/x", "", ""},
        {POLICY_WILL, "never/x", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_checks(&fixture, device, rows[i].operation, rows[i].topic, rows[i].device);
        expect_checks(&fixture, user, rows[i].operation, rows[i].topic, rows[i].user);
    }
    policy_subject_free(device);
    policy_subject_free(user);
    fixture_free(&fixture);
}

Test(yara_checks, what_they_demand)
{
    struct fixture fixture = fixture_good(HEAD
        "  - {check: c0, topics: a, yara: {rules: iot}}\n"
        "  - {check: c1, topics: b, yara: {rules: [packers, iot], at: [publish, receive], max_scan: 1KiB, "
        "views: [utf16, base64], timeout: 10s, on_match: disconnect, on_error: alert, reason_code: "
        "not_authorized}}\n"
        "  - {check: c2, topics: c, yara: {rules: iot, at: receive, views: none, on_match: quarantine}}\n"
        "  - {check: c3, topics: d, yara: {rules: iot, max_scan: 256MiB, timeout: 1ms, on_match: drop, "
        "on_error: alert, views: all}}\n"
        "  - {check: c4, topics: d, yara: {rules: iot, on_match: alert, on_error: reject, views: [gzip, "
        "hex, json, base64, utf16], reason_code: not_authorized}}\n");
    static const char *const texts[] = {
        "rules: [iot], max_scan: 256KiB, views: all, timeout: 50ms, on_match: reject, on_error: reject, "
        "reason_code: payload_format_invalid",
        "rules: [packers, iot], at: [publish, receive], max_scan: 1KiB, views: [base64, utf16], timeout: "
        "10s, "
        "on_match: disconnect, on_error: alert, reason_code: not_authorized",
        "rules: [iot], at: receive, max_scan: 256KiB, views: none, timeout: 50ms, on_match: quarantine, "
        "on_error: reject",
        "rules: [iot], max_scan: 256MiB, views: all, timeout: 1ms, on_match: drop, on_error: alert",
        "rules: [iot], max_scan: 256KiB, views: all, timeout: 50ms, on_match: alert, on_error: reject, "
        "reason_code: not_authorized",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_str_eq(policy_check(fixture.policy, i)->text, texts[i]);
    const struct yara_terms *terms = policy_check(fixture.policy, 0)->yara;
    cr_assert_eq(terms->rule_count, 1);
    cr_expect_str_eq(terms->rules[0], "iot");
    cr_expect_eq(terms->max_scan, YARA_MAX_SCAN);
    cr_expect_eq(terms->timeout_ms, YARA_TIMEOUT_MS);
    cr_expect_eq(terms->views, YARA_VIEWS_ALL);
    cr_expect_eq(terms->on_match, YARA_MATCH_REJECT);
    cr_expect_eq(terms->on_error, YARA_ERROR_REJECT);
    cr_expect_eq(terms->reason_code, 0x99);
    terms = policy_check(fixture.policy, 1)->yara;
    cr_assert_eq(terms->rule_count, 2);
    cr_expect_str_eq(terms->rules[0], "packers");
    cr_expect_eq(terms->max_scan, 1024);
    cr_expect_eq(terms->timeout_ms, 10000);
    cr_expect_eq(terms->views, YARA_VIEW_BASE64 | YARA_VIEW_UTF16);
    cr_expect_eq(terms->on_match, YARA_MATCH_DISCONNECT);
    cr_expect_eq(terms->on_error, YARA_ERROR_ALERT);
    cr_expect_eq(terms->reason_code, 0x87);
    terms = policy_check(fixture.policy, 2)->yara;
    cr_expect_eq(terms->views, 0);
    cr_expect_eq(terms->on_match, YARA_MATCH_QUARANTINE);
    fixture_free(&fixture);
}

/* ---- names ---- */

static char *compile_with(const struct policy_names *names, const char *text)
{
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    char *messages = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&messages, &length);
    policy_release(policy_compile(&source, names, diag));
    diag_print(diag, out);
    fclose(out);
    diag_list_free(diag);
    return messages;
}

Test(yara_checks, where_rule_sets_are_known_a_check_names_those)
{
    static const char *const cas[] = {"fleet"}, *const files[] = {"users"}, *const none[] = {NULL};
    static const char *const many[] = {
        "library", "iot", "packers", "webshells", "cards", "secrets", "wipers", "miners", "lookups", "sql"};
    static const char text[] = HEAD "  - {check: c0, topics: a, yara: {rules: [iot]}}\n";
    struct policy_names names = {
        .cas = cas, .ca_count = 1, .password_files = files, .password_file_count = 1};
    char *messages = compile_with(&names, text);
    cr_expect_null(strstr(messages, "error"), "not known which there are: any is fine");
    free(messages);
    names.rule_sets = none;
    messages = compile_with(&names, text);
    cr_expect_not_null(strstr(messages, "policy.yaml:13:43: error: mqward.yaml defines no rule set 'iot'"));
    cr_expect_not_null(
        strstr(messages, "hint: mqward.yaml defines rule sets with 'rules: {iot: {files: [iot.yar]}}'"));
    free(messages);
    names.rule_sets = many;
    names.rule_set_count = 10;
    messages = compile_with(&names, text);
    cr_expect_null(strstr(messages, "error"), "%s", messages);
    free(messages);
    messages = compile_with(&names, HEAD "  - {check: c0, topics: a, yara: {rules: [pakers]}}\n");
    cr_expect_not_null(strstr(messages, "hint: did you mean 'packers'?"));
    free(messages);
    messages = compile_with(NULL, HEAD "  - {check: c0, topics: a, yara: {rules: [anything]}}\n");
    cr_expect_null(strstr(messages, "error"), "%s", messages);
    free(messages);
}

Test(yara_checks, names_of_rule_sets_have_nothing_that_needs_quotes)
{
    cr_expect(yara_set_name_valid(VIEW("iot")));
    cr_expect(yara_set_name_valid(VIEW("Iot_2.1-b")));
    cr_expect_not(yara_set_name_valid(VIEW("")));
    cr_expect_not(yara_set_name_valid(VIEW("a,b")));
    cr_expect_not(yara_set_name_valid(VIEW("a b")));
    cr_expect_not(yara_set_name_valid(VIEW("a/b")));
    cr_expect_not(yara_set_name_valid(VIEW("a\0b")));
    cr_expect_not(yara_set_name_valid(VIEW("\xc3\xa4")));
}

/* ---- explanations ---- */

static struct policy_explanation *explain(const struct fixture *fixture, const char *text)
{
    const struct diag_source line = {.path = "command line", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    struct policy_explanation *explanation = policy_explain(fixture->policy, &line, diag);
    diag_list_free(diag);
    cr_assert_not_null(explanation, "%s", text);
    cr_expect(explanation->agrees, "%s: %s", text, explanation->verdict);
    return explanation;
}

Test(yara_checks, an_explanation_tells_the_check_that_refuses)
{
    struct fixture fixture = fixture_good(nine);
    static const struct {
        const char *line, *verdict;
        size_t checks;
        int against; /* index of the first that has a reason; -1: none has */
        bool reports;
    } rows[] = {
        {"cert plc-7 site=a publish dt/a", "allowed by all (policy.yaml:10)", 2, -1, false},
        {"cert plc-7 site=a publish dt/a matches=packers", "allowed by all (policy.yaml:10)", 2, -1, false},
        {"cert plc-7 site=a publish dt/a matches=gone", "allowed by all (policy.yaml:10)", 2, -1, false},
        {"cert plc-7 site=a publish dt/a matches=packers,iot",
            "denied by c0 (policy.yaml:13): payload_matched", 2, 0, false},
        {"cert plc-7 site=a will dt/a matches=iot", "denied by c0 (policy.yaml:13): payload_matched", 1, 0,
            false},
        {"password eva receive dt/a matches=iot", "denied by c2 (policy.yaml:15): payload_matched", 1, 0,
            false},
        {"password eva publish dt/a matches=iot", "allowed by all (policy.yaml:10)", 1, -1, false},
        {"cert plc-7 site=a receive rs/a/plc-7/x matches=packers", "allowed by all (policy.yaml:10)", 1, -1,
            false},
        {"password eva publish rs/x matches=packers", "denied by c5 (policy.yaml:18): payload_matched", 2, 1,
            false},
        {"password eva publish mo/x matches=iot", "denied by c8 (policy.yaml:21): payload_matched", 3, 1,
            false},
        {"password eva publish al/x matches=iot", "denied by c8 (policy.yaml:21): payload_matched", 3, 1,
            true},
        {"password eva publish never/x matches=iot", "denied by never (policy.yaml:11)", 0, -1, false},
        {"password eva subscribe dt/#", "granted by all (policy.yaml:10)", 0, -1, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_explanation *explanation = explain(&fixture, rows[i].line);
        int against = -1;
        cr_expect_str_eq(explanation->verdict, rows[i].verdict);
        cr_expect_eq(explanation->check_count, rows[i].checks, "%s", rows[i].line);
        for (size_t k = explanation->check_count; k-- > 0;)
            against = explanation->checks[k].reason == REASON_payload_matched ? (int)k : against;
        cr_assert_eq(against, rows[i].against, "%s: %d", rows[i].line, against);
        if (against >= 0)
            cr_expect_eq(explanation->checks[against].reports, rows[i].reports, "%s", rows[i].line);
        policy_explanation_free(explanation);
    }
    fixture_free(&fixture);
}

Test(yara_checks, one_that_alerts_reports_and_refuses_nothing)
{
    struct fixture fixture = fixture_good(
        HEAD "  - {check: c0, topics: a/#, yara: {rules: iot, on_match: alert, on_error: alert}}\n"
             "  - {check: c1, mode: monitor, topics: a/#, yara: {rules: [iot, packers], on_match: "
             "alert, on_error: alert}}\n"
             "  - {check: c2, mode: monitor, topics: a/b, yara: {rules: iot}}\n");
    static const struct {
        const char *line, *verdict;
    } rows[] = {
        {"password eva publish a/x", "allowed by all (policy.yaml:10)"},
        {"password eva publish a/x matches=iot",
            "allowed by all (policy.yaml:10), reported by c0 (policy.yaml:13)"},
        {"password eva publish a/x matches=packers",
            "allowed by all (policy.yaml:10), reported by c1 (policy.yaml:14)"},
        {"password eva publish a/b matches=iot",
            "allowed by all (policy.yaml:10), would be denied by c2 (policy.yaml:15): payload_matched, "
            "reported by c0 (policy.yaml:13)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_explanation *explanation = explain(&fixture, rows[i].line);
        cr_expect_str_eq(explanation->verdict, rows[i].verdict);
        cr_expect(explanation->outcome.allowed);
        policy_explanation_free(explanation);
    }
    struct policy_explanation *explanation = explain(&fixture, "password eva publish a/x");
    cr_expect_str_eq(explanation->checks[0].what, "yara: {rules: [iot], max_scan: 256KiB, views: all, "
                                                  "timeout: 50ms, on_match: alert, on_error: alert}");
    policy_explanation_free(explanation);
    fixture_free(&fixture);
}

/* Who made a message is asked before what is in it; the order of the file does not matter to that. */
Test(yara_checks, signatures_are_asked_first)
{
    struct fixture fixture = fixture_good(
        HEAD "  - {check: c0, topics: a, yara: {rules: iot, at: [publish, receive]}}\n"
             "  - {check: c1, topics: a, signature: {keys: m25a, forward: resign, receiver_key: m25a}}\n");
    static const struct {
        const char *line, *verdict;
    } rows[] = {
        {"password eva publish a matches=iot", "denied by c1 (policy.yaml:14): sig_missing"},
        {"password eva publish a matches=iot signed=m25a", "denied by c0 (policy.yaml:13): payload_matched"},
        {"password eva receive a matches=iot", "denied by c1 (policy.yaml:14): sig_missing"},
        {"password eva receive a signed=m25a:x matches=iot",
            "denied by c0 (policy.yaml:13): payload_matched"},
        {"password eva receive a signed=m25a:x", "allowed by all (policy.yaml:10)"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_explanation *explanation = explain(&fixture, rows[i].line);
        cr_expect_str_eq(explanation->verdict, rows[i].verdict);
        policy_explanation_free(explanation);
    }
    fixture_free(&fixture);
}

/* ---- tests of policies ---- */

Test(yara_checks, a_check_is_reached_by_a_case_that_it_refuses_or_reports)
{
    char path[] = "/tmp/mqward-tests-XXXXXX";
    static const char text[] =
        "tests:\n  - as: cert plc-7 site=a\n"
        "    allow: [publish al/x matches=packers, publish dt/a matches=packers, publish cmd/x matches=iot]\n"
        "    deny: [publish dt/a matches=iot by c0, publish rs/x matches=packers by payload_matched]\n";
    static const char alerts[] =
        "  - {check: c9, topics: [al/#, cmd/#], yara: {rules: [iot, packers], on_match: "
        "alert, on_error: alert}}\n";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    const char *end = strstr(nine, "  - {check: c8");
    cr_assert_gt(dprintf(fd, "%.*s%s%s", (int)(end - nine), nine, alerts, text), 0);
    close(fd);
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_load(path, NULL, diag, NULL);
    if (policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    unlink(path);
    cr_assert_not_null(policy);
    struct policy_test_report *report = policy_test_run(policy);
    cr_expect_eq(report->failed, 0);
    cr_expect_eq(report->checks[POLICY_CHECK_YARA].count, 7);
    cr_expect_eq(report->checks[POLICY_CHECK_YARA].unreached, 4);
    cr_expect_eq(report->checks[POLICY_CHECK_SIGNATURE].count, 1);
    cr_expect_eq(report->checks[POLICY_CHECK_SIGNATURE].unreached, 1);
    cr_assert_eq(report->unreached_check_count, 5);
    static const char *const names[] = {"c2", "c3", "c4", "c6", "c7"};
    for (size_t i = 0; i < 5; i++)
        cr_expect_str_eq(report->unreached_checks[i]->name, names[i]);
    policy_test_report_free(report);
    policy_release(policy);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The run of a policy's own tests: what passes, who decided, which rules no test reached. What is wrong with
 * the notation, and failures as errors of the file, are in tests/policies/bad/tests-*.yaml. */
#include "policy/test.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

#define RULES                                                                                                \
    "identity: [cert: {ca: fleet, id: cn, attrs: {site: ou}}, password: {file: users}]\n"                    \
    "groups: {devices: {source: cert}}\n"                                                                    \
    "rules:\n"                                                                                               \
    "  - {rule: own, who: devices, allow: [publish, subscribe], topics: [dt/<site>/<id>/#]}\n"               \
    "  - {rule: watch, who: everyone, mode: monitor, deny: publish, topics: [dt/+/+/debug]}\n"               \
    "  - {rule: never, who: everyone, deny: publish, topics: [fw/#]}\n"                                      \
    "  - {rule: nobody-asks, who: everyone, allow: subscribe, topics: [news/#]}\n"
#define POLICY "version: 1\npolicy: p\n" RULES

/* The report on a policy that is loaded whether or not its tests pass. */
static struct policy_test_report *run(const char *text, struct policy **policy)
{
    char path[] = "/tmp/mqward-tests-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    struct diag_list *diag = diag_list_new();
    *policy = policy_load_untested(path, NULL, diag, NULL);
    if (*policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    unlink(path);
    cr_assert_not_null(*policy);
    return policy_test_run(*policy);
}

static void done(struct policy_test_report *report, struct policy *policy)
{
    policy_test_report_free(report);
    policy_release(policy);
}

Test(tests, say_what_was_expected_and_who_decided)
{
    struct policy *policy;
    struct policy_test_report *report = run(POLICY "tests:\n"
                                                   "  - as: cert plc-7 site=a\n"
                                                   "    allow: [publish dt/a/plc-7/t by own, publish fw/x]\n"
                                                   "    deny: subscribe dt/a/plc-7/#\n",
        &policy);
    cr_assert_eq(report->count, 3);
    cr_expect_eq(report->failed, 2);
    cr_expect(report->results[0].passed);
    cr_expect_str_eq(report->results[0].as, "cert plc-7 site=a");
    cr_expect_str_eq(report->results[0].act, "publish dt/a/plc-7/t");
    cr_expect_str_eq(report->results[0].by, "own");
    cr_expect_str_eq(rule_name(report->results[0].outcome.rule), "own");
    cr_expect_not(report->results[1].passed);
    cr_expect_eq(report->results[1].outcome.reason, REASON_denied_by_rule);
    cr_expect_str_eq(report->results[1].expected, "allowed");
    cr_expect_not(report->results[2].passed);
    cr_expect_str_eq(report->results[2].expected, "denied");
    cr_expect_str_eq(strrchr(report->results[2].location, ':'), ":13");
    done(report, policy);
}

Test(tests, name_the_rules_that_no_case_reached)
{
    struct policy *policy;
    struct policy_test_report *report =
        run(POLICY "tests:\n  - {as: cert plc-7 site=a, allow: publish dt/a/plc-7/debug, deny: publish x}\n",
            &policy);
    cr_expect_eq(report->failed, 0);
    /* own allowed, watch would have denied. */
    cr_expect_eq(report->rule_count, 4);
    cr_assert_eq(report->unreached_count, 2);
    cr_expect_str_eq(report->unreached[0]->name, "never");
    cr_expect_str_eq(report->unreached[1]->name, "nobody-asks");
    done(report, policy);
}

Test(tests, without_any_reach_nothing)
{
    struct policy *policy;
    struct policy_test_report *report = run(POLICY, &policy);
    cr_expect_eq(report->count, 0);
    cr_expect_eq(report->unreached_count, 4);
    done(report, policy);
}

Test(tests, of_a_policy_in_monitor_mode_say_what_it_will_do_when_it_is_enforced)
{
    struct policy *policy;
    struct policy_test_report *report = run("version: 1\npolicy: p\nmode: monitor\n" RULES "tests:\n"
                                            "  - as: cert plc-7 site=a\n    allow: publish dt/a/plc-7/t\n    "
                                            "deny: [publish fw/x by never, publish y]\n"
                                            "  - {as: cert plc-7, deny: connect by identity_missing}\n"
                                            "  - {as: cert plc-7, deny: publish y}\n",
        &policy);
    cr_expect_eq(report->count, 5);
    for (size_t i = 0; i < 4; i++)
        cr_expect(report->results[i].passed, "%s: %s", report->results[i].act, report->results[i].verdict);
    cr_expect_not(report->results[4].passed);
    cr_expect(report->results[4].outcome.refused);
    done(report, policy);
}

Test(tests, that_fail_keep_a_policy_from_being_loaded)
{
    struct fixture fixture =
        fixture_compile(POLICY "tests:\n  - {as: cert plc-7 site=a, deny: publish dt/a/plc-7/t}\n");
    cr_expect_null(fixture.policy);
    cr_expect_str_eq(fixture.messages, "policy.yaml:11:35: error: test failed: 'publish dt/a/plc-7/t', as "
                                       "'cert plc-7 site=a', is allowed by "
                                       "own (policy.yaml:6)\n"
                                       "  - {as: cert plc-7 site=a, deny: publish dt/a/plc-7/t}\n"
                                       "                                  ^~~~~~~~~~~~~~~~~~~~\n"
                                       "  hint: expected: denied\n");
    fixture_free(&fixture);
}

/* A client identifier that is not given is one that fits the policy. */
Test(tests, choose_the_client_identifier_that_the_policy_wants)
{
    static const char *const patterns[] = {"<id>", "\"<id>-*\"", "\"*\"", "\"dev-<site>-*\"", "x1"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        char text[1000];
        struct policy *policy;
        snprintf(text, sizeof(text),
            POLICY "client_id: %s\ntests:\n"
                   "  - {as: cert plc-7 site=a, allow: connect}\n"
                   "  - {as: cert plc-7 site=a client_id=/, deny: connect%s}\n",
            patterns[i], strcmp(patterns[i], "\"*\"") == 0 ? " by identity_unsafe" : " by client_id");
        struct policy_test_report *report = run(text, &policy);
        cr_expect(report->results[0].passed, "%s: %s", patterns[i], report->results[0].verdict);
        cr_expect_eq(report->results[1].passed, strcmp(patterns[i], "\"*\"") != 0, "%s: %s", patterns[i],
            report->results[1].verdict);
        done(report, policy);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of signatures in a policy: which messages are to pass them, what they demand, and what tests and
 * explanations make of them. What policies may not say is in tests/policies/bad/check-signature-*.yaml. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "policy/explain.h"
#include "policy/signature.h"
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
static const char eight[] =
    HEAD "  - {check: c0, who: devices, topics: [dt/#, never/#], signature: {keys: m25a}}\n"
         "  - {check: c1, topics: \"#\", rate: {per: id, messages: 1/s}}\n"
         "  - {check: c2, who: people, topics: dt/#, signature: {keys: m25a, at: receive}}\n"
         "  - {check: c3, who: devices, topics: [rs/<site>/<id>/#], signature: {keys: m25a, forward: resign, "
         "receiver_key: m25a}}\n"
         "  - {check: c4, unless: people, topics: rs/+/+/x, signature: {keys: m25a, forward: resign, "
         "receiver_key: m25a}}\n"
         "  - {check: c5, who: devices, topics: [ps/#], signature: {keys: m25a, at: [publish, receive], "
         "forward: pass}}\n"
         "  - {check: c6, mode: monitor, topics: mo/#, signature: {keys: m25a}}\n"
         "  - {check: c7, who: people, topics: ps/<id>/#, signature: {keys: m25a, at: receive}}\n";

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

Test(signature_checks, a_policy_says_which_they_are)
{
    struct fixture fixture = fixture_good(eight);
    cr_expect_eq(policy_signature_checks(fixture.policy), 0xfd);
    cr_expect_null(policy_check(fixture.policy, 1)->signature);
    cr_expect_not_null(policy_check(fixture.policy, 2)->signature);
    fixture_free(&fixture);
    fixture = fixture_good(HEAD "  - {check: c1, topics: \"#\", rate: {per: id, messages: 1/s}}\n");
    cr_expect_eq(policy_signature_checks(fixture.policy), 0);
    fixture_free(&fixture);
}

Test(signature_checks, a_publish_passes_those_at_publish_and_a_will_no_rate)
{
    struct fixture fixture = fixture_good(eight);
    struct policy_subject *device = fixture_device(&fixture, "plc-7", "a");
    struct policy_subject *user = fixture_user(&fixture, "eva");
    static const struct {
        const char *topic, *device, *user;
    } rows[] = {
        {"dt/a", "0", ""},
        {"rs/a/plc-7/x", "34", ""},
        {"rs/a/plc-8/x", "4", ""},
        {"rs/b/plc-7/y", "", ""},
        {"ps/eva/x", "5", ""},
        {"mo/x", "6", "6"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rates[8];
        expect_checks(&fixture, device, POLICY_WILL, rows[i].topic, rows[i].device);
        expect_checks(&fixture, user, POLICY_WILL, rows[i].topic, rows[i].user);
        snprintf(rates, sizeof(rates), "1%s", rows[i].device);
        expect_checks(&fixture, device, POLICY_PUBLISH, rows[i].topic, rates);
        snprintf(rates, sizeof(rates), "1%s", rows[i].user);
        expect_checks(&fixture, user, POLICY_PUBLISH, rows[i].topic, rates);
    }
    expect_checks(&fixture, device, POLICY_PUBLISH, "never/x", "");
    expect_checks(&fixture, device, POLICY_WILL, "never/x", "");
    policy_subject_free(device);
    policy_subject_free(user);
    fixture_free(&fixture);
}

/* Who published is not known: a check that signs again is about all topics that it may be about. */
Test(signature_checks, a_delivery_passes_those_at_receive_and_all_that_sign_again)
{
    struct fixture fixture = fixture_good(eight);
    struct policy_subject *device = fixture_device(&fixture, "plc-7", "a");
    struct policy_subject *user = fixture_user(&fixture, "eva");
    static const struct {
        const char *topic, *device, *user;
    } rows[] = {
        {"dt/a", "", "2"},
        {"rs/a/plc-7/y", "3", "3"},
        {"rs/b/plc-8/y", "3", "3"},
        {"rs/b/plc-8/x", "34", "34"},
        {"rs/b", "", ""},
        {"ps/eva/x", "5", "7"},
        {"ps/plc-7/x", "5", ""},
        {"mo/x", "", ""},
        {"never/x", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_checks(&fixture, device, POLICY_RECEIVE, rows[i].topic, rows[i].device);
        expect_checks(&fixture, user, POLICY_RECEIVE, rows[i].topic, rows[i].user);
    }
    policy_subject_free(device);
    policy_subject_free(user);
    fixture_free(&fixture);
}

Test(signature_checks, what_they_demand)
{
    struct fixture fixture = fixture_good(
        HEAD "  - {check: c0, topics: a, signature: {keys: m25a}}\n"
             "  - {check: c1, topics: b, signature: {keys: [ops-1, m25a], at: [publish, receive], require: "
             "when_present, max_age: 36h, skew: 1500ms, replay: seq, store_down: local, forward: resign, "
             "receiver_key: m25a, relay: {people: [plc-*, \"x:y\"], devices: twin}}}\n"
             "  - {check: c2, topics: c, signature: {keys: m25a, at: receive}}\n"
             "  - {check: c3, topics: d, signature: {keys: m25a, replay: none, forward: pass, skew: 0}}\n");
    static const char *const texts[] = {
        "keys: [m25a], max_age: 5m, skew: 1m, replay: nonce, store_down: deny, forward: strip",
        "keys: [ops-1, m25a], at: [publish, receive], require: when_present, max_age: 36h, skew: 1500ms, "
        "replay: seq, store_down: local, forward: resign, receiver_key: m25a, relay: {people: [plc-*, x:y], "
        "devices: [twin]}",
        "keys: [m25a], at: receive",
        "keys: [m25a], max_age: 5m, skew: 0, replay: none, forward: pass",
    };
    for (size_t i = 0; i < 4; i++)
        cr_expect_str_eq(policy_check(fixture.policy, i)->text, texts[i]);
    const struct signature_terms *terms = policy_check(fixture.policy, 0)->signature;
    cr_expect_eq(terms->max_age_ms, SIGNATURE_MAX_AGE_MS);
    cr_expect_eq(terms->skew_ms, SIGNATURE_SKEW_MS);
    cr_expect_eq(terms->replay, SIGNATURE_REPLAY_NONCE);
    cr_expect_eq(terms->forward, SIGNATURE_STRIP);
    cr_expect_eq(terms->store_down, SIGNATURE_STORE_DENY);
    cr_expect_not(terms->when_present);
    cr_expect_eq(terms->relay_count, 0);
    terms = policy_check(fixture.policy, 1)->signature;
    cr_expect_eq(terms->max_age_ms, 36 * 3600 * 1000);
    cr_expect_eq(terms->skew_ms, 1500);
    cr_expect_eq(terms->replay, SIGNATURE_REPLAY_SEQ);
    cr_expect_eq(terms->forward, SIGNATURE_RESIGN);
    cr_expect_eq(terms->store_down, SIGNATURE_STORE_LOCAL);
    cr_expect(terms->when_present);
    cr_expect(view_equal(terms->receiver_key, VIEW("m25a")));
    cr_assert_eq(terms->relay_count, 2);
    cr_expect_eq(terms->relays[0].signer_count, 2);
    fixture_free(&fixture);
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

Test(signature_checks, an_explanation_tells_the_check_that_refuses_and_why)
{
    struct fixture fixture = fixture_good(eight);
    static const struct {
        const char *line, *verdict;
        size_t checks, refusing; /* index of the check that refuses, or its count */
        enum reason reason;
    } rows[] = {
        {"cert plc-7 site=a publish dt/a", "denied by c0 (policy.yaml:13): sig_missing", 2, 0,
            REASON_sig_missing},
        {"cert plc-7 site=a publish dt/a signed=m25a", "allowed by all (policy.yaml:10)", 2, 2, REASON_none},
        {"cert plc-7 site=a publish dt/a signed=m25a.3", "allowed by all (policy.yaml:10)", 2, 2,
            REASON_none},
        {"cert plc-7 site=a will dt/a signed=ops-1", "denied by c0 (policy.yaml:13): sig_key_unknown", 1, 0,
            REASON_sig_key_unknown},
        {"cert plc-7 site=a publish dt/a signed=m25a:plc-8", "denied by c0 (policy.yaml:13): sig_identity", 2,
            0, REASON_sig_identity},
        {"cert plc-7 site=a publish mo/x",
            "allowed by all (policy.yaml:10), would be denied by c6 (policy.yaml:19): sig_missing", 2, 1,
            REASON_sig_missing},
        {"cert plc-7 site=a publish never/x", "denied by never (policy.yaml:11)", 0, 0, REASON_none},
        {"password eva receive rs/b/plc-8/y", "denied by c3 (policy.yaml:16): sig_missing", 1, 0,
            REASON_sig_missing},
        {"password eva receive rs/b/plc-8/y signed=m25a:plc-8", "allowed by all (policy.yaml:10)", 1, 1,
            REASON_none},
        {"password eva subscribe rs/#", "granted by all (policy.yaml:10)", 0, 0, REASON_none},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_explanation *explanation = explain(&fixture, rows[i].line);
        cr_expect_str_eq(explanation->verdict, rows[i].verdict);
        cr_assert_eq(explanation->check_count, rows[i].checks, "%s", rows[i].line);
        if (rows[i].refusing < rows[i].checks)
            cr_expect_eq(explanation->checks[rows[i].refusing].reason, rows[i].reason);
        policy_explanation_free(explanation);
    }
    fixture_free(&fixture);
}

Test(signature_checks, of_those_that_sign_again_one_that_takes_the_message_is_enough)
{
    struct fixture fixture = fixture_good(HEAD
        "  - {check: c0, who: devices, topics: rs/#, signature: {keys: m25a, forward: resign, receiver_key: "
        "m25a}}\n"
        "  - {check: c1, who: people, topics: rs/#, signature: {keys: ops-1, forward: resign, receiver_key: "
        "m25a}}\n"
        "  - {check: c2, topics: rs/x, signature: {keys: ops-1, at: receive}}\n");
    static const struct {
        const char *line, *verdict;
        enum reason reasons[3];
    } rows[] = {
        {"password eva receive rs/a signed=m25a:plc-7", "allowed by all (policy.yaml:10)", {0}},
        {"password eva receive rs/a signed=ops-1:x", "allowed by all (policy.yaml:10)", {0}},
        {"password eva receive rs/a signed=m25b:x", "denied by c1 (policy.yaml:14): sig_key_unknown",
            {0, REASON_sig_key_unknown}},
        {"password eva receive rs/a", "denied by c0 (policy.yaml:13): sig_missing",
            {REASON_sig_missing, REASON_sig_missing}},
        {"password eva receive rs/x signed=m25a:x", "denied by c2 (policy.yaml:15): sig_key_unknown",
            {0, 0, REASON_sig_key_unknown}},
        {"password eva publish rs/a signed=m25a", "denied by c1 (policy.yaml:14): sig_key_unknown",
            {REASON_sig_key_unknown}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_explanation *explanation = explain(&fixture, rows[i].line);
        cr_expect_str_eq(explanation->verdict, rows[i].verdict);
        for (size_t k = 0; k < explanation->check_count; k++)
            cr_expect_eq(explanation->checks[k].reason, rows[i].reasons[k], "%s: %zu", rows[i].line, k);
        policy_explanation_free(explanation);
    }
    fixture_free(&fixture);
}

Test(signature_checks, the_rule_that_allows_what_a_check_denies_has_decided)
{
    struct fixture fixture = fixture_good(eight);
    struct policy_explanation *explanation = explain(&fixture, "cert plc-7 site=a publish dt/a");
    cr_expect_str_eq(rule_name(explanation->outcome.rule), "c0");
    cr_expect_str_eq(rule_name(explanation->outcome.allowed_by), "all");
    cr_assert_eq(explanation->rule_count, 2);
    cr_expect_str_eq(explanation->rules[0].info->name, "all");
    cr_expect_eq(explanation->rules[0].consideration, POLICY_RULE_DECIDED);
    cr_expect_str_eq(explanation->checks[0].what,
        "signature: {keys: [m25a], max_age: 5m, skew: 1m, replay: nonce, store_down: deny, forward: strip}");
    cr_expect_str_eq(explanation->checks[1].what, "rate: 1/s per id");
    policy_explanation_free(explanation);
    fixture_free(&fixture);
}

/* A dot is a slash to RabbitMQ, for checks as for rules. */
Test(signature_checks, an_explanation_knows_topics_as_the_broker_does)
{
    struct fixture fixture = fixture_good(eight);
    struct policy_explanation *explanation =
        explain(&fixture, "cert plc-7 site=a dialect=rabbitmq publish dt.a");
    cr_expect_str_eq(explanation->verdict, "denied by c0 (policy.yaml:13): sig_missing");
    policy_explanation_free(explanation);
    explanation = explain(&fixture, "password eva dialect=rabbitmq receive never.x");
    cr_expect_str_eq(explanation->verdict, "denied by never (policy.yaml:11)");
    policy_explanation_free(explanation);
    explanation = explain(&fixture, "password eva dialect=rabbitmq subscribe never.*");
    cr_expect_str_eq(explanation->verdict, "denied by never (policy.yaml:11)");
    policy_explanation_free(explanation);
    fixture_free(&fixture);
}

/* ---- tests of policies ---- */

Test(signature_checks, a_check_is_reached_by_a_case_that_it_refuses)
{
    char path[] = "/tmp/mqward-tests-XXXXXX";
    static const char text[] = "tests:\n  - as: cert plc-7 site=a\n"
                               "    allow: [publish ps/x signed=m25a, publish mo/x, receive rs/b/c/d "
                               "signed=m25a]\n"
                               "    deny: [publish dt/a by c0, publish never/x by never]\n";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(dprintf(fd, "%s%s", eight, text), (int)(strlen(eight) + strlen(text)));
    close(fd);
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_load(path, NULL, diag, NULL);
    diag_list_free(diag);
    unlink(path);
    cr_assert_not_null(policy);
    struct policy_test_report *report = policy_test_run(policy);
    cr_expect_eq(report->failed, 0);
    cr_expect_eq(report->unreached_count, 0, "the rule behind a check's refusal is reached, too");
    cr_expect_eq(report->checks[POLICY_CHECK_SIGNATURE].count, 7);
    cr_expect_eq(report->checks[POLICY_CHECK_SIGNATURE].unreached, 5);
    cr_expect_eq(report->checks[POLICY_CHECK_RATE].count, 0, "no case exceeds a rate");
    cr_assert_eq(report->unreached_check_count, 5);
    cr_expect_str_eq(report->unreached_checks[0]->name, "c2");
    cr_expect_str_eq(report->unreached_checks[4]->name, "c7");
    policy_test_report_free(report);
    policy_release(policy);
}

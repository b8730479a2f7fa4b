/* SPDX-License-Identifier: Apache-2.0 */
/* Checks: which of them a publish is to pass, what they count, whom they are about. */
#include "base/rate.h"
#include "policy/explain.h"
#include "support.h"

#define HEAD                                                                                                 \
    "version: 1\npolicy: p\nidentity:\n"                                                                     \
    "  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"                                                     \
    "  - password: {file: users}\n"                                                                          \
    "groups:\n  devices: {source: cert}\n  people: {source: password}\n"                                     \
    "  lab: {attrs: {site: lab}}\n"                                                                          \
    "rules:\n  - {rule: all, who: [everyone, devices, people, lab], allow: publish, topics: [\"#\", "        \
    "$x/#]}\n"                                                                                               \
    "  - {rule: never, who: everyone, deny: publish, topics: [never/#]}\n"                                   \
    "  - {rule: trial, mode: monitor, who: everyone, deny: publish, topics: [trial/#]}\n"                    \
    "  - {rule: small, who: everyone, allow: subscribe, topics: [\"#\"]}\n"                                  \
    "checks:\n"

#define RATE "rate: {per: id, messages: 1/s}"

/* Ten checks; the digits of a string are the ones that match. */
static const char ten[] =
    HEAD "  - {check: c0, topics: \"#\", " RATE "}\n"
         "  - {check: c1, topics: [dt/+/t, a/b/c/d/e], " RATE "}\n"
         "  - {check: c2, topics: dt/<id>/#, " RATE "}\n"
         "  - {check: c3, who: devices, topics: dt/#, " RATE "}\n"
         "  - {check: c4, unless: devices, topics: dt/#, " RATE "}\n"
         "  - {check: c5, who: lab, topics: \"+/#\", " RATE "}\n"
         "  - {check: c6, who: [devices, people], unless: lab, topics: [dt/x, dt/#], " RATE "}\n"
         "  - {check: c7, topics: $x/#, " RATE "}\n"
         "  - {check: c8, rate: {per: id, connects: 1/s}}\n"
         "  - {check: c9, mode: monitor, topics: never/#, " RATE "}\n";

static void expect_checks(const struct fixture *fixture, const struct policy_subject *subject,
    enum policy_operation operation, const char *topic, const char *digits)
{
    const struct policy_request request = {.operation = operation, .topic = view_of_string(topic)};
    struct policy_verdict verdict;
    uint64_t expected = 0;

    for (const char *digit = digits; *digit != '\0'; digit++)
        expected |= UINT64_C(1) << (*digit - '0');
    policy_decide(fixture->policy, subject, &request, &verdict);
    cr_expect_eq(verdict.checks, expected, "%s: 0x%llx, not 0x%llx", topic,
        (unsigned long long)verdict.checks, (unsigned long long)expected);
}

Test(checks, a_publish_is_to_pass_those_whose_topics_and_clients_match)
{
    struct fixture fixture = fixture_good(ten);
    struct policy_subject *device = fixture_device(&fixture, "plc-7", "a");
    struct policy_subject *lab = fixture_device(&fixture, "plc-8", "lab");
    struct policy_subject *user = fixture_user(&fixture, "eva");

    expect_checks(&fixture, device, POLICY_PUBLISH, "a", "0");
    expect_checks(&fixture, device, POLICY_PUBLISH, "a/b/c/d/e", "01");
    expect_checks(&fixture, device, POLICY_PUBLISH, "a/b/c/d/e/f", "0");
    expect_checks(&fixture, device, POLICY_PUBLISH, "dt/x", "036");
    expect_checks(&fixture, device, POLICY_PUBLISH, "dt/x/t", "0136");
    expect_checks(&fixture, device, POLICY_PUBLISH, "dt/plc-7/t", "01236");
    expect_checks(&fixture, device, POLICY_PUBLISH, "dt/plc-8/u", "036");
    expect_checks(&fixture, lab, POLICY_PUBLISH, "dt/plc-8/u", "0235");
    expect_checks(&fixture, lab, POLICY_PUBLISH, "a", "05");
    expect_checks(&fixture, user, POLICY_PUBLISH, "dt/eva", "0246");
    expect_checks(&fixture, user, POLICY_PUBLISH, "$x/y", "7");
    /* a deny that only would: the message passes, and is counted */
    expect_checks(&fixture, device, POLICY_PUBLISH, "trial/a", "0");
    policy_subject_free(device);
    policy_subject_free(lab);
    policy_subject_free(user);
    fixture_free(&fixture);
}

Test(checks, nothing_else_is_to_pass_any)
{
    struct fixture fixture = fixture_good(ten);
    struct policy_subject *device = fixture_device(&fixture, "plc-7", "a");

    expect_checks(&fixture, device, POLICY_PUBLISH, "never/a", "");
    expect_checks(&fixture, device, POLICY_WILL, "dt/plc-7/t", "");
    expect_checks(&fixture, device, POLICY_RECEIVE, "dt/plc-7/t", "");
    policy_subject_free(device);
    fixture_free(&fixture);
}

/* A check that only reports keeps nobody out who lacks its value. */
Test(checks, a_value_that_is_not_known_may_be_any)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nidentity:\n"
                     "  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"
                     "rules:\n  - {rule: all, who: everyone, allow: publish, topics: \"#\"}\n"
                     "checks:\n  - {check: c0, mode: monitor, topics: dt/<site>/#, " RATE "}\n");
    struct policy_subject *device = fixture_device(&fixture, "plc-7", NULL);

    expect_checks(&fixture, device, POLICY_PUBLISH, "dt/a/t", "0");
    expect_checks(&fixture, device, POLICY_PUBLISH, "st/a/t", "");
    policy_subject_free(device);
    fixture_free(&fixture);
}

/* As with a rule: else leaving a value out would be a way around the check. */
Test(checks, a_client_without_a_value_that_a_check_needs_is_refused)
{
    static const char text[] = HEAD "  - {check: c0, who: devices, topics: dt/<site>/#, " RATE "}\n";
    static const char trial[] =
        HEAD "  - {check: c0, mode: monitor, who: devices, topics: dt/<site>/#, " RATE "}\n";
    static const struct policy_certificate_value cn = {"cn", {(const uint8_t *)"plc-7", 5}};
    static const char *const cas[] = {"fleet"};
    const struct policy_credentials credentials = {.has_certificate = true,
        .certificate_cas = cas,
        .certificate_ca_count = 1,
        .certificate_values = &cn,
        .certificate_value_count = 1,
        .client_id = VIEW("c")};
    struct policy_subject *subject = NULL;
    struct fixture fixture = fixture_good(text);
    struct policy_identification found = policy_identify(fixture.policy, &credentials, &subject);

    cr_expect_eq(found.result, POLICY_REFUSED);
    cr_expect_eq(found.reason, REASON_identity_missing);
    cr_expect_str_eq(rule_name(found.rule), "c0");
    cr_expect_str_eq(found.detail, "site");
    policy_subject_free(subject);
    fixture_free(&fixture);
    fixture = fixture_good(trial);
    subject = NULL;
    cr_expect_eq(policy_identify(fixture.policy, &credentials, &subject).result, POLICY_IDENTIFIED);
    policy_subject_free(subject);
    fixture_free(&fixture);
}

static void expect_limit(const struct policy_check_info *check, enum policy_counted what, uint64_t count,
    uint64_t seconds, uint64_t burst)
{
    struct rate_limit expected = rate_limit_make(count, seconds * RATE_SECOND_NS, burst);

    cr_expect(check->counts[what]);
    cr_expect_eq(check->limits[what].interval, expected.interval, "%s: %d", check->info.name, (int)what);
    cr_expect_eq(
        check->limits[what].tolerance_ns, expected.tolerance_ns, "%s: %d", check->info.name, (int)what);
}

Test(checks, what_they_say)
{
    struct fixture fixture = fixture_good(HEAD
        "  - {check: c0, topics: \"#\", rate: {per: id, messages: 20/s, bytes: 2MiB/m}}\n"
        "  - {check: c1, topics: \"#\", rate: {per: address, messages: 20/h, burst: 3, bytes: 100B/s}}\n"
        "  - {check: c2, mode: monitor, who: lab, rate: {per: group, connects: 5/m, connects_burst: 1}}\n"
        "  - {check: c3, topics: \"#\", rate: {per: id, bytes: 1KB/s, bytes_burst: 2MiB}}\n"
        "limits: {packet: 64KiB}\n");
    const struct policy_check_info *check = policy_check(fixture.policy, 0);

    cr_expect_eq(policy_check_count(fixture.policy), 4);
    expect_limit(check, POLICY_MESSAGES, 20, 1, 20);
    expect_limit(check, POLICY_BYTES, 2 << 20, 60, 2 << 20);
    cr_expect_not(check->counts[POLICY_CONNECTS]);
    cr_expect_str_eq(check->text, "20/s, 2MiB/m per id");
    cr_expect_eq(check->per, POLICY_PER_ID);
    cr_expect_not(check->monitor);
    check = policy_check(fixture.policy, 1);
    expect_limit(check, POLICY_MESSAGES, 20, 3600, 3);
    expect_limit(check, POLICY_BYTES, 100, 1, 64 << 10); /* the largest packet may come */
    cr_expect_str_eq(check->text, "20/h, 100B/s per address");
    check = policy_check(fixture.policy, 2);
    expect_limit(check, POLICY_CONNECTS, 5, 60, 1);
    cr_expect_str_eq(check->text, "5 connects/m per group");
    cr_expect(check->monitor);
    expect_limit(policy_check(fixture.policy, 3), POLICY_BYTES, 1000, 1, 2 << 20);
    fixture_free(&fixture);
}

Test(checks, the_groups_of_who_that_a_client_is_in)
{
    struct fixture fixture = fixture_good(HEAD
        "  - {check: c0, who: [people, lab, devices], unless: people, rate: {per: group, connects: 1/s}}\n"
        "  - {check: c1, rate: {per: group, connects: 1/s}}\n");
    struct policy_subject *lab = fixture_device(&fixture, "plc-8", "lab");
    struct policy_subject *user = fixture_user(&fixture, "eva");
    size_t next = 0;

    cr_expect(policy_check_applies(fixture.policy, 0, lab));
    cr_expect_not(policy_check_applies(fixture.policy, 0, user));
    cr_expect_str_eq(policy_check_next_group(fixture.policy, 0, lab, &next), "devices");
    cr_expect_str_eq(policy_check_next_group(fixture.policy, 0, lab, &next), "lab");
    cr_expect_null(policy_check_next_group(fixture.policy, 0, lab, &next));
    cr_expect_null(policy_check_next_group(fixture.policy, 0, lab, &next));
    next = 0;
    cr_expect_str_eq(policy_check_next_group(fixture.policy, 1, user, &next), "everyone");
    cr_expect_null(policy_check_next_group(fixture.policy, 1, user, &next));
    policy_subject_free(lab);
    policy_subject_free(user);
    fixture_free(&fixture);
}

Test(checks, an_explanation_lists_them)
{
    struct fixture fixture = fixture_good(ten);
    const struct diag_source line = {
        .path = "command line", .text = view_of_string("password eva publish never/a")};
    struct policy_explanation *explanation = policy_explain(fixture.policy, &line, fixture.diag);

    cr_assert_not_null(explanation);
    cr_expect_eq(explanation->check_count, 0, "it is denied");
    policy_explanation_free(explanation);
    const struct diag_source other = {
        .path = "command line", .text = view_of_string("password eva publish dt/eva")};
    explanation = policy_explain(fixture.policy, &other, fixture.diag);
    cr_assert_not_null(explanation);
    cr_assert_eq(explanation->check_count, 4);
    cr_expect_str_eq(explanation->checks[0].info->name, "c0");
    cr_expect_str_eq(explanation->checks[1].info->name, "c2");
    cr_expect_str_eq(explanation->checks[1].what, "rate: 1/s per id");
    cr_expect(explanation->agrees);
    policy_explanation_free(explanation);
    fixture_free(&fixture);
}

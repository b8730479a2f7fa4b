/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about one topic: what the language's page promises, by example. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "support.h"

#define HEAD "version: 1\npolicy: p\nidentity:\n  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"

static void expect_verdict(struct policy_verdict verdict, enum reason reason, const char *rule)
{
    cr_expect_str_eq(reason_info(verdict.reason)->name, reason_info(reason)->name);
    cr_expect_str_eq(rule_name(verdict.rule), rule);
    cr_expect_eq(verdict.allowed, reason == REASON_allowed);
}

Test(decide, a_deny_wins_wherever_it_stands)
{
    struct fixture fixture =
        fixture_good(HEAD "rules:\n"
                          "  - {rule: stop, who: everyone, deny: publish, topics: [a/x]}\n"
                          "  - {rule: let, who: everyone, allow: publish, topics: [a/#, b]}\n"
                          "  - {rule: late, who: everyone, deny: publish, topics: [b]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    expect_verdict(publish(&fixture, subject, "a/x"), REASON_denied_by_rule, "stop");
    expect_verdict(publish(&fixture, subject, "a/y"), REASON_allowed, "let");
    expect_verdict(publish(&fixture, subject, "b"), REASON_denied_by_rule, "late");
    expect_verdict(publish(&fixture, subject, "c"), REASON_no_allow, "");
    cr_expect_str_eq(publish(&fixture, subject, "a/x").rule->location, "policy.yaml:6");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, subscribe_grants_delivery_and_a_deny_of_subscribe_takes_it)
{
    struct fixture fixture =
        fixture_good(HEAD "rules:\n"
                          "  - {rule: in, who: everyone, allow: subscribe, topics: [a/#]}\n"
                          "  - {rule: out, who: everyone, deny: subscribe, topics: [a/s]}\n"
                          "  - {rule: push, who: everyone, allow: receive, topics: [p]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    expect_verdict(receive(&fixture, subject, "a/x"), REASON_allowed, "in");
    expect_verdict(receive(&fixture, subject, "a/s"), REASON_denied_by_rule, "out");
    expect_verdict(receive(&fixture, subject, "p"), REASON_allowed, "push");
    expect_verdict(publish(&fixture, subject, "a/x"), REASON_no_allow, "");
    cr_expect_eq(subscribe(&fixture, subject, "p").verdict.reason, REASON_no_allow);
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, conditions_name_the_nearest_miss)
{
    struct fixture fixture =
        fixture_good(HEAD "rules:\n"
                          "  - {rule: t, who: everyone, allow: publish, topics: [t], if: {max_qos: 1, "
                          "retain: false, max_size: 100}}\n"
                          "  - {rule: r, who: everyone, allow: publish, topics: [r], if: {retain: true}}\n"
                          "  - {rule: dr, who: everyone, deny: publish, topics: [d], if: {retain: true}}\n"
                          "  - {rule: da, who: everyone, allow: publish, topics: [d]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    static const struct {
        const char *topic;
        uint8_t qos;
        bool retain;
        uint64_t size;
        enum reason reason;
        const char *condition;
    } rows[] = {
        {"t", 1, false, 100, REASON_allowed, NULL},
        {"t", 2, false, 100, REASON_no_allow, "max_qos"},
        {"t", 0, true, 100, REASON_no_allow, "retain"},
        {"t", 0, false, 101, REASON_no_allow, "max_size"},
        {"t", 2, true, 0, REASON_no_allow, NULL}, /* two conditions: no near miss */
        {"r", 0, false, 0, REASON_no_allow, "retain"},
        {"r", 2, true, 0, REASON_allowed, NULL},
        {"d", 0, true, 0, REASON_denied_by_rule, NULL},
        {"d", 0, false, 0, REASON_allowed, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct policy_request request = {.topic = view_of_string(rows[i].topic),
            .qos = rows[i].qos,
            .retain = rows[i].retain,
            .size = rows[i].size};
        struct policy_verdict verdict;
        policy_decide(fixture.policy, subject, &request, &verdict);
        cr_expect_eq(verdict.reason, rows[i].reason, "row %zu", i);
        cr_expect_str_eq(verdict.nearest_condition == NULL ? "" : verdict.nearest_condition,
            rows[i].condition == NULL ? "" : rows[i].condition, "row %zu", i);
        request.operation = POLICY_WILL;
        policy_decide(fixture.policy, subject, &request, &verdict);
        cr_expect_eq(verdict.reason, rows[i].reason, "a will is judged as a publish, row %zu", i);
    }
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, dollar_topics_need_a_literal_allow_and_the_brokers_own_a_privilege)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: all, who: everyone, allow: [publish, subscribe], topics: [\"#\", +/x]}\n"
             "  - {rule: aws, who: everyone, allow: publish, topics: [$aws/x]}\n"
             "  - {rule: control, who: everyone, allow: publish, topics: [$CONTROL/#]}\n"
             "  - {rule: admin, who: everyone, allow: publish, topics: [$SYS/#], privileged: true}\n"
             "  - {rule: watch, who: everyone, allow: subscribe, topics: [$SYS/#]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    expect_verdict(publish(&fixture, subject, "$foo/x"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "$aws/x"), REASON_allowed, "aws");
    expect_verdict(publish(&fixture, subject, "$CONTROL/v1"), REASON_not_privileged, "");
    expect_verdict(publish(&fixture, subject, "$SYS/v1"), REASON_allowed, "admin");
    expect_verdict(publish(&fixture, subject, "$SYSTEM"), REASON_no_allow, "");
    expect_verdict(receive(&fixture, subject, "$SYS/v1"), REASON_allowed, "watch");
    expect_verdict(receive(&fixture, subject, "$CONTROL/v1"), REASON_no_allow, "");
    cr_expect(subscribe(&fixture, subject, "$SYS/#").verdict.allowed);
    cr_expect_not(subscribe(&fixture, subject, "$CONTROL/#").verdict.allowed);
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, placeholders_are_filled_literally_alone_or_inside_a_level)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: own, who: everyone, allow: publish, topics: [dt/<site>/<id>/#, dev-<id>.x/y]}\n"
             "  - {rule: not, who: everyone, deny: publish, topics: [dt/+/bad-<id>/#], except: [dt/+/+/ok]}\n"
             "  - {rule: bad, who: everyone, allow: publish, topics: [dt/+/bad-d1/#]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d1", "a");
    expect_verdict(publish(&fixture, subject, "dt/a/d1"), REASON_allowed, "own");
    expect_verdict(publish(&fixture, subject, "dt/a/d1/x/y"), REASON_allowed, "own");
    expect_verdict(publish(&fixture, subject, "dt/a/d11"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "dt/b/d1"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "dt/<site>/<id>"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "dev-d1.x/y"), REASON_allowed, "own");
    expect_verdict(publish(&fixture, subject, "dev-d1/y"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "dev-.x/y"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "dt/q/bad-d1"), REASON_denied_by_rule, "not");
    expect_verdict(publish(&fixture, subject, "dt/q/bad-d1/ok"), REASON_allowed, "bad");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, delayed_publishing_is_judged_by_the_real_topic_and_is_a_feature)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: plain, who: everyone, allow: publish, topics: [a]}\n"
             "  - {rule: slow, who: everyone, allow: publish, topics: [b], features: delayed}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    expect_verdict(publish(&fixture, subject, "$delayed/10/b"), REASON_allowed, "slow");
    expect_verdict(publish(&fixture, subject, "$delayed/1/$delayed/10/b"), REASON_allowed, "slow");
    expect_verdict(publish(&fixture, subject, "$delayed/10/a"), REASON_feature_not_granted, "");
    expect_verdict(publish(&fixture, subject, "$delayed/10/c"), REASON_no_allow, "");
    expect_verdict(publish(&fixture, subject, "$delayed/x/b"), REASON_topic_name_invalid, "");
    struct policy_request request = {.topic = VIEW("$delayed/10/b"), .dialect = DIALECT_MOSQUITTO};
    struct policy_verdict verdict;
    policy_decide(fixture.policy, subject, &request, &verdict);
    cr_expect_eq(verdict.reason, REASON_no_allow, "another broker takes it literally");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, topics_deeper_than_the_limit_are_refused_in_what_a_client_sends)
{
    struct fixture fixture = fixture_good(
        HEAD "limits: {topic_levels: 3}\nrules:\n"
             "  - {rule: a, who: everyone, allow: [publish, subscribe], topics: [a/#], features: delayed}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    expect_verdict(publish(&fixture, subject, "a/b/c"), REASON_allowed, "a");
    expect_verdict(publish(&fixture, subject, "a/b/c/d"), REASON_topic_too_deep, "");
    expect_verdict(publish(&fixture, subject, "$delayed/1/a/b/c"), REASON_allowed, "a");
    expect_verdict(receive(&fixture, subject, "a/b/c/d"), REASON_allowed, "a");
    cr_expect_eq(subscribe(&fixture, subject, "a/+/+/#").verdict.reason, REASON_topic_too_deep);
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, monitor_rules_report_and_grant_nothing)
{
    struct fixture fixture =
        fixture_good(HEAD "rules:\n"
                          "  - {rule: let, who: everyone, allow: publish, topics: [a/#]}\n"
                          "  - {rule: trial, who: everyone, deny: publish, topics: [a/x], mode: monitor}\n"
                          "  - {rule: hope, who: everyone, allow: publish, topics: [b], mode: monitor}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    struct policy_verdict verdict = publish(&fixture, subject, "a/x");
    expect_verdict(verdict, REASON_allowed, "let");
    cr_expect_str_eq(rule_name(verdict.would_deny), "trial");
    cr_expect(verdict.would_be_denied);
    cr_expect_not(verdict.envelope.valid, "each such message is to be reported");
    cr_expect_not(publish(&fixture, subject, "a/y").would_be_denied);
    expect_verdict(publish(&fixture, subject, "b"), REASON_no_allow, "");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, a_policy_in_monitor_mode_allows_everything_and_says_the_true_reason)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nmode: monitor\nidentity:\n  - anonymous: {}\nrules:\n"
                     "  - {rule: stop, who: everyone, deny: publish, topics: [a]}\n"
                     "  - {rule: in, who: everyone, allow: subscribe, topics: [a], if: {max_qos: 0}}\n");
    struct policy_subject *subject = fixture_user(&fixture, "u");
    struct policy_verdict verdict = publish(&fixture, subject, "a");
    cr_expect(verdict.allowed && verdict.would_be_denied);
    cr_expect_eq(verdict.reason, REASON_denied_by_rule);
    cr_expect_str_eq(rule_name(verdict.rule), "stop");
    struct policy_subscribe_verdict granted = subscribe(&fixture, subject, "#");
    cr_expect(granted.verdict.allowed && granted.verdict.would_be_denied);
    cr_expect_eq(granted.verdict.reason, REASON_not_covered);
    cr_expect_eq(subscribe(&fixture, subject, "a").max_qos, 2, "nothing is lowered");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(decide, the_rule_with_the_widest_bounds_names_the_decision)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: small, who: everyone, allow: publish, topics: [a], if: {max_size: 10}}\n"
             "  - {rule: large, who: everyone, allow: publish, topics: [a], if: {max_size: 1KiB}}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    struct policy_verdict verdict = publish(&fixture, subject, "a");
    expect_verdict(verdict, REASON_allowed, "large");
    cr_expect(verdict.envelope.valid && verdict.envelope.retain);
    cr_expect_eq(verdict.envelope.max_qos, 2);
    cr_expect_eq(verdict.envelope.max_size, 1024);
    policy_subject_free(subject);
    fixture_free(&fixture);
}

/* Topics and filters that are as long and as deep as MQTT has them, against patterns that branch at every
 * level. */
Test(decide, hostile_topics_take_bounded_time, .timeout = 30)
{
    struct buffer text = {0};
    buffer_format(&text, HEAD "rules:\n");
    for (unsigned n = 0; n < 1024; n++) {
        buffer_format(&text, "  - {rule: r%u, who: everyone, allow: [publish, subscribe], topics: [\"", n);
        for (unsigned level = 0; level < 10; level++)
            buffer_format(&text, "%s/", (n >> level & 1) != 0 ? "+" : "");
        buffer_format(&text, "#\"]}\n");
    }
    buffer_append_byte(&text, '\0');
    struct fixture fixture = fixture_good((const char *)buffer_view(&text).data);
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    static char slashes[65536], wild[65536], one_level[65536];
    memset(slashes, '/', 65535);
    memset(one_level, 'x', 65535);
    for (size_t i = 0; i < 65535; i++)
        wild[i] = i % 2 == 0 ? '+' : '/';
    for (int i = 0; i < 50; i++) {
        cr_assert(publish(&fixture, subject, slashes).allowed);
        cr_assert_not(publish(&fixture, subject, one_level).allowed);
        cr_assert(subscribe(&fixture, subject, wild).verdict.allowed);
        cr_assert_not(subscribe(&fixture, subject, "+/+/+/+/+/+/+/+/+/+/+/#").filtered);
        cr_assert_not(subscribe(&fixture, subject, "#").verdict.allowed);
    }
    policy_subject_free(subject);
    fixture_free(&fixture);
    buffer_release(&text);
}

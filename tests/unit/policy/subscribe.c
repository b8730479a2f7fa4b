/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about filters, by example; random_decide.c has the rest. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HEAD "version: 1\npolicy: p\nidentity:\n  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"

struct row {
    const char *filter;
    enum reason reason;
    bool filtered;
    const char *rule;
};

static void expect_rows(const char *policy, const struct row *rows, size_t count)
{
    struct fixture fixture = fixture_good(policy);
    struct policy_subject *subject = fixture_device(&fixture, "d1", "s");
    for (size_t i = 0; i < count; i++) {
        struct policy_subscribe_verdict verdict = subscribe(&fixture, subject, rows[i].filter);
        cr_expect_str_eq(reason_info(verdict.verdict.reason)->name, reason_info(rows[i].reason)->name,
            "%s: %s, not %s", rows[i].filter, reason_info(verdict.verdict.reason)->name,
            reason_info(rows[i].reason)->name);
        cr_expect_eq(verdict.verdict.allowed, rows[i].reason == REASON_allowed, "%s", rows[i].filter);
        cr_expect_eq(verdict.filtered, rows[i].filtered, "%s: filtered %d", rows[i].filter, verdict.filtered);
        cr_expect_str_eq(rule_name(verdict.verdict.rule), rows[i].rule, "%s: %s", rows[i].filter,
            rule_name(verdict.verdict.rule));
    }
    policy_subject_free(subject);
    fixture_free(&fixture);
}
#define EXPECT_ROWS(policy, rows) expect_rows(policy, rows, sizeof(rows) / sizeof((rows)[0]))

Test(subscribe, cover_is_exact_for_unions)
{
    static const struct row rows[] = {
        {"a", REASON_allowed, false, "one"},
        {"a/b", REASON_allowed, false, "two"},
        {"a/#", REASON_allowed, false, "one"},
        {"a/+", REASON_allowed, false, "two"},
        {"+", REASON_not_covered, false, ""},
        {"#", REASON_not_covered, false, ""},
        {"b/#", REASON_no_allow, false, ""},
        {"c/x/+/y", REASON_allowed, false, "three"},
        {"c/+/+/y", REASON_not_covered, false, ""},
        {"dt/d1/#", REASON_allowed, false, "own"},
        {"dt/+/#", REASON_not_covered, false, ""},
        {"$share/g/a/b", REASON_feature_not_granted, false, ""},
        {"$share//a", REASON_topic_filter_invalid, false, ""},
    };
    EXPECT_ROWS(HEAD "rules:\n"
                     "  - {rule: one, who: everyone, allow: subscribe, topics: [a]}\n"
                     "  - {rule: two, who: everyone, allow: subscribe, topics: [a/+/#]}\n"
                     "  - {rule: three, who: everyone, allow: subscribe, topics: [c/x/+/+]}\n"
                     "  - {rule: own, who: everyone, allow: subscribe, topics: [dt/<id>/#]}\n",
        rows);
}

Test(subscribe, what_denies_and_excepts_touch_is_filtered_and_what_they_cover_is_refused)
{
    static const struct row rows[] = {
        {"a/#", REASON_allowed, true, "all"},
        {"a/s/#", REASON_allowed, true, "all"}, /* a/s/public is in it */
        {"a/s/x/#", REASON_denied_by_rule, false, "secret"},
        {"a/s/x", REASON_denied_by_rule, false, "secret"},
        {"a/+/x", REASON_allowed, true, "all"},
        {"a/s/public", REASON_allowed, false, "all"},
        {"a/s/+", REASON_allowed, true, "all"},
        {"a/t", REASON_allowed, false, "all"},
        {"a/own/#", REASON_not_covered, false, ""}, /* all of it excepted */
        {"$share/g/a/#", REASON_shared_needs_filter, false, "secret"},
        {"$share/g/a/t", REASON_allowed, false, "all"},
        {"$share/g/a/s/public", REASON_allowed, false, "all"},
        {"$queue/a/t", REASON_feature_not_granted, false, ""},
        {"e/+", REASON_allowed, true, "holes"},
        {"$share/g/e/+", REASON_shared_needs_filter, false, ""},
    };
    EXPECT_ROWS(HEAD
        "rules:\n"
        "  - {rule: all, who: everyone, allow: subscribe, topics: [a/#], except: [a/own/#], features: "
        "shared}\n"
        "  - {rule: holes, who: everyone, allow: subscribe, topics: [e/+], except: [e/x], features: shared}\n"
        "  - {rule: secret, who: everyone, deny: receive, topics: [a/s/#], except: [a/s/public]}\n",
        rows);
}

Test(subscribe, an_except_that_another_rule_fills_leaves_no_hole)
{
    static const struct row rows[] = {
        {"e/+", REASON_allowed, false, "most"},
        {"$share/g/e/+", REASON_allowed, false, "most"},
    };
    EXPECT_ROWS(HEAD
        "rules:\n"
        "  - {rule: most, who: everyone, allow: subscribe, topics: [e/+], except: [e/x], features: shared}\n"
        "  - {rule: rest, who: everyone, allow: subscribe, topics: [e/x], features: shared}\n",
        rows);
}

Test(subscribe, a_deny_that_is_excepted_somewhere_covers_when_another_fills_it)
{
    static const struct row rows[] = {
        {"e/+", REASON_denied_by_rule, false, "most"},
        {"f/+", REASON_allowed, true, "all"},
    };
    EXPECT_ROWS(HEAD
        "rules:\n"
        "  - {rule: all, who: everyone, allow: subscribe, topics: [e/#, f/#]}\n"
        "  - {rule: most, who: everyone, deny: subscribe, topics: [e/+, f/+], except: [e/x, f/x]}\n"
        "  - {rule: rest, who: everyone, deny: receive, topics: [e/x]}\n",
        rows);
}

Test(subscribe, uncovered_filter_grants_what_reaches_anything)
{
    static const struct row rows[] = {
        {"#", REASON_allowed, true, ""},
        {"a/+", REASON_allowed, true, ""},
        {"a/b", REASON_allowed, false, "ab"},
        {"z/#", REASON_no_allow, false, ""},
        {"$SYS/#", REASON_no_allow, false, ""},
        {"$share/g/#", REASON_feature_not_granted, false, ""},
    };
    EXPECT_ROWS(HEAD "uncovered: filter\nrules:\n"
                     "  - {rule: ab, who: everyone, allow: subscribe, topics: [a/b, x]}\n"
                     "  - {rule: not-here, who: everyone, deny: receive, topics: [q]}\n",
        rows);
}

Test(subscribe, the_qos_is_the_largest_with_which_the_filter_is_still_covered)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: all, who: everyone, allow: subscribe, topics: [a/#], if: {max_qos: 0}}\n"
             "  - {rule: some, who: everyone, allow: subscribe, topics: [a/b/#], if: {max_qos: 1}}\n"
             "  - {rule: one, who: everyone, allow: subscribe, topics: [a/b/c]}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    cr_expect_eq(subscribe(&fixture, subject, "a/#").max_qos, 0);
    cr_expect_eq(subscribe(&fixture, subject, "a/b/#").max_qos, 1);
    cr_expect_eq(subscribe(&fixture, subject, "a/b/+").max_qos, 1);
    cr_expect_eq(subscribe(&fixture, subject, "a/b/c").max_qos, 2);
    struct policy_subscribe_request request = {.filter = VIEW("a/b/c"), .qos = 0};
    struct policy_subscribe_verdict verdict;
    policy_decide_subscribe(fixture.policy, subject, &request, &verdict);
    cr_expect_eq(verdict.max_qos, 0, "never more than asked for");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(subscribe, a_monitor_deny_reports_and_filters_nothing)
{
    struct fixture fixture = fixture_good(
        HEAD "rules:\n"
             "  - {rule: all, who: everyone, allow: subscribe, topics: [a/#], features: shared}\n"
             "  - {rule: trial, who: everyone, deny: receive, topics: [a/s/#], mode: monitor}\n");
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    struct policy_subscribe_verdict verdict = subscribe(&fixture, subject, "a/s/+");
    cr_expect(verdict.verdict.allowed && verdict.verdict.would_be_denied && !verdict.filtered);
    cr_expect_str_eq(rule_name(verdict.verdict.would_deny), "trial");
    verdict = subscribe(&fixture, subject, "a/#");
    cr_expect(verdict.verdict.allowed && !verdict.verdict.would_be_denied && !verdict.filtered);
    verdict = subscribe(&fixture, subject, "$share/g/a/#");
    cr_expect(verdict.verdict.allowed && verdict.verdict.would_be_denied, "it would have been refused");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

/* 5,000 excepts that cut into one another, and a second rule that allows what they leave out: each of them
 * would have to be looked at within each other. */
Test(subscribe, thousands_of_nested_excepts_cost_a_bounded_time)
{
    enum { EXCEPTS = 5000, LEVELS = 12 };
    size_t size = EXCEPTS * 40 + 1024;
    char *text = malloc(size);
    size_t length = (size_t)snprintf(text, size,
        HEAD "rules:\n"
             "  - {rule: rest, who: everyone, allow: subscribe, topics: ['#']}\n"
             "  - rule: most\n    who: everyone\n    allow: subscribe\n    topics: ['#']\n    except:\n");
    for (unsigned i = 0; i < EXCEPTS; i++) {
        length += (size_t)snprintf(text + length, size - length, "      - '");
        for (unsigned level = 0; level < LEVELS; level++)
            length +=
                (size_t)snprintf(text + length, size - length, "%s/", (i >> level & 1) != 0 ? "x" : "+");
        length += (size_t)snprintf(text + length, size - length, "%u'\n", i);
    }
    struct fixture fixture = fixture_good(text);
    struct policy_subject *subject = fixture_device(&fixture, "d", "s");
    clock_t before = clock();
    struct policy_subscribe_verdict verdict = subscribe(&fixture, subject, "#");
    double seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
    cr_expect(verdict.verdict.allowed && verdict.filtered, "deliveries are decided one by one instead");
    cr_expect_lt(seconds, 0.25);
    policy_subject_free(subject);
    fixture_free(&fixture);
    free(text);
}

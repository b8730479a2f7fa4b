/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations: what each rule has to do with a decision. That the rules, one by one, come to what the engine
 * decides is checked on the random policies (random_decide.c). */
#include "policy/explain.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

static const char policy_text[] =
    "version: 1\n"
    "policy: p\n"
    "identity: [cert: {ca: fleet, id: cn, attrs: {site: ou, line: o}}, password: {file: users}]\n"
    "groups:\n"
    "  devices: {source: cert}\n"
    "  operators: {source: password}\n"
    "rules:\n"
    "  - {rule: own, who: devices, allow: publish, topics: [dt/<id>/#], if: {max_qos: 1, max_size: 1KiB}}\n"
    "  - {rule: wide, who: devices, allow: publish, topics: [dt/#], if: {max_qos: 0}}\n"
    "  - {rule: notes, who: everyone, allow: publish, topics: [notes/<site>]}\n"
    "  - {rule: orders, who: operators, allow: publish, topics: [dt/#]}\n"
    "  - {rule: read, who: everyone, unless: operators, allow: subscribe, topics: [dt/#, st/#], except: "
    "[st/x]}\n"
    "  - {rule: secrets, who: everyone, deny: receive, topics: [dt/+/secret]}\n"
    "  - {rule: debug, who: everyone, mode: monitor, deny: publish, topics: [dt/+/debug]}\n";

static struct policy_explanation *explain(const struct fixture *fixture, const char *line)
{
    const struct diag_source source = {.path = "line", .text = view_of_string(line)};
    struct diag_list *diag = diag_list_new();
    struct policy_explanation *explanation = policy_explain(fixture->policy, &source, diag);
    if (explanation == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    cr_assert_not_null(explanation, "%s", line);
    cr_expect(explanation->agrees, "%s", line);
    return explanation;
}

/* "own:decided, wide:matches", in the order of the listing. */
static void expect_rules(const struct policy_explanation *explanation, const char *expected)
{
    char text[1000] = "";
    for (size_t i = 0; i < explanation->rule_count; i++) {
        const struct policy_considered_rule *rule = &explanation->rules[i];
        size_t length = strlen(text);
        snprintf(text + length, sizeof(text) - length, "%s%s:%s", i == 0 ? "" : ", ", rule->info->name,
            policy_consideration_name(rule->consideration));
    }
    cr_expect_str_eq(text, expected);
}

static const char *why(const struct policy_explanation *explanation, const char *name)
{
    for (size_t i = 0; i < explanation->rule_count; i++) {
        if (strcmp(explanation->rules[i].info->name, name) == 0)
            return explanation->rules[i].why;
    }
    return "(no such rule)";
}

Test(explain, an_allowed_message_names_the_rule_and_those_that_lost)
{
    struct fixture fixture = fixture_good(policy_text);
    struct policy_explanation *found = explain(&fixture, "cert plc-7 site=a line=1 publish dt/plc-7/debug");
    cr_expect(found->outcome.allowed);
    cr_expect_str_eq(found->as, "cert plc-7 site=a line=1");
    cr_expect_str_eq(found->act, "publish dt/plc-7/debug");
    cr_expect_eq(found->group_count, 1);
    cr_expect_str_eq(found->groups[0], "devices");
    expect_rules(found,
        "wide:decided, debug:would_deny, own:matches, notes:other_topic, orders:other_client, "
        "read:other_act, secrets:other_act");
    cr_expect_str_eq(why(found, "notes"), "topics are notes/a");
    cr_expect_str_eq(why(found, "orders"), "who is operators");
    policy_explanation_free(found);
    fixture_free(&fixture);
}

Test(explain, a_missed_condition_says_what_is_wanted_and_what_there_is)
{
    struct fixture fixture = fixture_good(policy_text);
    struct policy_explanation *found =
        explain(&fixture, "cert plc-7 site=a publish dt/plc-7/t qos=1 size=2KiB");
    cr_expect_not(found->outcome.allowed);
    expect_rules(found, "own:missed_one, wide:missed_one, notes:other_topic, debug:other_topic, "
                        "orders:other_client, read:other_act, secrets:other_act");
    cr_expect_str_eq(why(found, "own"), "max_size is 1KiB, the payload has 2KiB");
    cr_expect_str_eq(why(found, "wide"), "max_qos is 0, the QoS is 1");
    cr_assert_eq(found->missing_count, 1);
    cr_expect_str_eq(found->missing[0], "line");
    policy_explanation_free(found);
    found = explain(&fixture, "cert plc-7 site=a publish dt/plc-7/t qos=2 size=2KiB");
    cr_expect_str_eq(why(found, "own"), "max_qos is 1, the QoS is 2; max_size is 1KiB, the payload has 2KiB");
    cr_expect_eq(found->rules[1].consideration, POLICY_RULE_MISSED_MORE);
    policy_explanation_free(found);
    fixture_free(&fixture);
}

Test(explain, a_subscription_tells_who_has_all_topics_and_who_has_some)
{
    struct fixture fixture = fixture_good(policy_text);
    struct policy_explanation *found = explain(&fixture, "cert plc-7 site=a subscribe dt/#");
    cr_expect(found->outcome.allowed);
    cr_expect(found->outcome.filtered);
    cr_expect_str_eq(why(found, "read"), "has all topics of the filter");
    cr_expect_str_eq(why(found, "secrets"), "has a part of the filter's topics");
    policy_explanation_free(found);
    found = explain(&fixture, "password eva username=eva subscribe dt/#");
    cr_expect(found->outcome.refused, "notes needs <site>");
    cr_expect_eq(found->rule_count, 0);
    policy_explanation_free(found);
    fixture_free(&fixture);
}

Test(explain, a_group_that_the_rule_is_not_about_is_named)
{
    struct fixture fixture = fixture_good(
        "version: 1\npolicy: p\nidentity: [password: {file: users}]\n"
        "groups: {operators: {source: password}}\n"
        "rules:\n  - {rule: read, who: everyone, unless: operators, allow: subscribe, topics: [dt/#]}\n");
    struct policy_explanation *found = explain(&fixture, "password eva receive dt/x");
    expect_rules(found, "read:other_client");
    cr_expect_str_eq(why(found, "read"), "unless operators");
    policy_explanation_free(found);
    fixture_free(&fixture);
}

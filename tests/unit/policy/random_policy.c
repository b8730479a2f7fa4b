/* SPDX-License-Identifier: Apache-2.0 */
/* Random policies over a small alphabet, so that rules meet, overlap and cover each other. */
#include "random_policy.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *const levels[] = {
    "a", "b", "", "+", "+", "<id>", "<site>", "p<id>", "<client_id>", "<username>s", "$x", "$SYS"};
#define LEVELS (sizeof(levels) / sizeof(levels[0]))

static void random_pattern(struct random *random, char *out)
{
    size_t count = 1 + random_below(random, 2);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(out, i == 0 ? "" : "/");
        /* '$' makes sense in front only. */
        strcat(out, levels[random_below(random, i == 0 ? LEVELS : LEVELS - 2)]);
    }
    if (random_chance(random, 35))
        strcat(out, "/#");
    if (random_chance(random, 4))
        strcpy(out, "#");
    if (out[0] == '\0')
        strcpy(out, "a");
}

static void random_conditions(struct random *random, struct random_rule *rule)
{
    static const long sizes[] = {0, 10, 100};
    if (rule->deny) {
        if (rule->verbs == R_PUBLISH && random_chance(random, 30))
            rule->retain = (int)random_below(random, 2);
        return;
    }
    if ((rule->verbs & (R_PUBLISH | R_SUBSCRIBE)) != 0 && random_chance(random, 40))
        rule->max_qos = (int)random_below(random, 3);
    if ((rule->verbs & R_PUBLISH) != 0) {
        if (random_chance(random, 25))
            rule->retain = (int)random_below(random, 2);
        if (random_chance(random, 40))
            rule->max_size = sizes[random_below(random, 3)];
        rule->privileged = random_chance(random, 30);
        rule->features |= random_chance(random, 30) ? POLICY_FEATURE_DELAYED : 0U;
    }
    if ((rule->verbs & R_SUBSCRIBE) != 0)
        rule->features |= random_chance(random, 50) ? POLICY_FEATURE_SHARED : 0U;
}

static void random_rule(struct random *random, struct random_rule *rule)
{
    *rule = (struct random_rule){.max_qos = -1, .retain = -1, .max_size = -1};
    rule->who = random_chance(random, 60) ? 1 : 1 + (unsigned)random_below(random, 15);
    rule->unless = random_chance(random, 15) ? (1 + (unsigned)random_below(random, 7)) << 1 : 0;
    rule->deny = random_chance(random, 30);
    rule->monitor = random_chance(random, 12);
    rule->verbs = 1 + (unsigned)random_below(random, 7);
    rule->topics = 1 + random_below(random, PATTERNS);
    rule->excepts = random_chance(random, 35) ? 1 + random_below(random, PATTERNS) : 0;
    for (size_t i = 0; i < rule->topics; i++)
        random_pattern(random, rule->topic[i]);
    for (size_t i = 0; i < rule->excepts; i++)
        random_pattern(random, rule->except[i]);
    random_conditions(random, rule);
}

void random_policy(struct random *random, struct random_policy *policy)
{
    policy->rules = 1 + random_below(random, RULES);
    policy->monitor = random_chance(random, 8);
    policy->uncovered_filter = random_chance(random, 25);
    for (size_t i = 0; i < policy->rules; i++)
        random_rule(random, &policy->rule[i]);
}

static void print_bits(struct buffer *out, const char *key, unsigned bits, const char *const *names)
{
    const char *separator = "";
    buffer_format(out, "    %s: [", key);
    for (unsigned i = 0; i < 4; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        buffer_format(out, "%s%s", separator, names[i]);
        separator = ", ";
    }
    buffer_format(out, "]\n");
}

static void print_rule(const struct random_rule *rule, size_t number, struct buffer *out)
{
    static const char *const groups[] = {"everyone", "g0", "g1", "g2"};
    static const char *const verbs[] = {"publish", "subscribe", "receive", ""};
    buffer_format(out, "  - rule: r%zu\n", number);
    print_bits(out, "who", rule->who, groups);
    if (rule->unless != 0)
        print_bits(out, "unless", rule->unless, groups);
    print_bits(out, rule->deny ? "deny" : "allow", rule->verbs, verbs);
    buffer_format(out, "    topics:\n");
    for (size_t i = 0; i < rule->topics; i++)
        buffer_format(out, "      - \"%s\"\n", rule->topic[i]);
    for (size_t i = 0; i < rule->excepts; i++)
        buffer_format(out, "%s      - \"%s\"\n", i == 0 ? "    except:\n" : "", rule->except[i]);
    if (rule->max_qos >= 0 || rule->retain >= 0 || rule->max_size >= 0)
        buffer_format(out, "    if:\n");
    if (rule->max_qos >= 0)
        buffer_format(out, "      max_qos: %d\n", rule->max_qos);
    if (rule->retain >= 0)
        buffer_format(out, "      retain: %s\n", rule->retain ? "true" : "false");
    if (rule->max_size >= 0)
        buffer_format(out, "      max_size: %ld\n", rule->max_size);
    if (rule->features != 0)
        buffer_format(out, "    features: [%s%s%s]\n",
            (rule->features & POLICY_FEATURE_SHARED) != 0 ? "shared" : "",
            rule->features == (POLICY_FEATURE_SHARED | POLICY_FEATURE_DELAYED) ? ", " : "",
            (rule->features & POLICY_FEATURE_DELAYED) != 0 ? "delayed" : "");
    if (rule->privileged)
        buffer_format(out, "    privileged: true\n");
    if (rule->monitor)
        buffer_format(out, "    mode: monitor\n");
}

void random_policy_print(const struct random_policy *policy, struct buffer *out)
{
    buffer_format(out, "version: 1\npolicy: random\nmode: %s\nuncovered: %s\n",
        policy->monitor ? "monitor" : "enforce", policy->uncovered_filter ? "filter" : "refuse");
    buffer_format(out, "identity:\n  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n");
    buffer_format(
        out, "groups:\n  g0: {ids: [a, b]}\n  g1: {attrs: {site: a}}\n  g2: {ids: \"x*\"}\nrules:\n");
    for (size_t i = 0; i < policy->rules; i++)
        print_rule(&policy->rule[i], i, out);
}

void random_subject(struct random *random, struct random_subject *subject)
{
    static const char *const ids[] = {"a", "b", "x1", "c"};
    static const char *const names[] = {"a", "b", "u"};
    subject->id = ids[random_below(random, 4)];
    subject->site = names[random_below(random, 3)];
    subject->client_id = random_chance(random, 15) ? NULL : names[random_below(random, 3)];
    subject->username = names[random_below(random, 3)];
    subject->groups = 1;
    subject->groups |= strcmp(subject->id, "a") == 0 || strcmp(subject->id, "b") == 0 ? 2U : 0U;
    subject->groups |= strcmp(subject->site, "a") == 0 ? 4U : 0U;
    subject->groups |= subject->id[0] == 'x' ? 8U : 0U;
}

struct policy_subject *random_subject_identify(
    const struct fixture *fixture, const struct random_subject *subject)
{
    static const char *const cas[] = {"other", "fleet"};
    const struct policy_certificate_value values[] = {
        {"ou", view_of_string(subject->site)}, {"cn", view_of_string(subject->id)}};
    const struct policy_credentials credentials = {
        .has_certificate = true,
        .certificate_cas = cas,
        .certificate_ca_count = 2,
        .certificate_values = values,
        .certificate_value_count = 2,
        .has_username = true,
        .username = view_of_string(subject->username),
        .client_id = view_of_string(subject->client_id),
    };
    struct policy_subject *identified = NULL;
    struct policy_identification found = policy_identify(fixture->policy, &credentials, &identified);
    cr_assert(found.result == POLICY_IDENTIFIED, "%s", reason_info(found.reason)->name);
    return identified;
}

void random_topic(struct random *random, char *out)
{
    static const char *const texts[] = {"a", "b", "", "z", "pa", "pb", "us", "x1", "u", "$x", "$SYS"};
    size_t count = 1 + random_below(random, 4);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(out, i == 0 ? "" : "/");
        strcat(out, texts[random_below(random, i == 0 ? 11 : 9)]);
    }
    if (out[0] == '\0')
        strcpy(out, "a");
}

void random_filter(struct random *random, char *out)
{
    static const char *const texts[] = {"a", "b", "", "+", "+", "z", "pa", "$x"};
    size_t count = 1 + random_below(random, 3);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(out, i == 0 ? "" : "/");
        strcat(out, texts[random_below(random, i == 0 ? 8 : 7)]);
    }
    if (random_chance(random, 30))
        strcat(out, "/#");
    if (random_chance(random, 5))
        strcpy(out, "#");
    if (out[0] == '\0')
        strcpy(out, "+");
}

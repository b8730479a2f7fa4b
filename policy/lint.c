/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about policies that are valid and still can't mean what they say. Called by policy.c when
 * there are no errors. Each subject is a row of a table at the end. */
#include "policy/compile.h"
#include "policy/topic_algebra.h"

#include <stdlib.h>

#include "base/memory.h"

static void warn(
    struct compiler *compiler, const struct diag_place *place, const char *hint, const char *message)
{
    diag_add(compiler->diag, DIAG_WARNING, place, hint, "%s", message);
}

/* ---- identity ---- */

static bool same_source(const struct identity_row *a, const struct identity_row *b)
{
    return a->source == b->source && (a->source != POLICY_SOURCE_CERT || strcmp(a->ca, b->ca) == 0) &&
           (a->source != POLICY_SOURCE_BROKER || a->from_client_id == b->from_client_id);
}

static void lint_identity(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct diag_place whole = {.source = compiler->parsed->name.place.source};
    if (policy->identity_count == 0)
        warn(compiler, &whole, NULL, "no identity source: nobody can connect");
    for (size_t i = 0; i < policy->identity_count; i++) {
        bool reached = true;
        for (size_t k = 0; k < i && reached; k++)
            reached = policy->identities[k].source != POLICY_SOURCE_ANONYMOUS &&
                      !same_source(&policy->identities[k], &policy->identities[i]);
        if (!reached)
            warn(compiler, &compiler->parsed->identities.items[i].place, NULL,
                "this identity source is never reached: one above takes every client that it would");
    }
}

/* ---- groups ---- */

static bool row_has_attribute(const struct identity_row *row, uint8_t slot)
{
    for (size_t i = 0; i < row->attribute_count; i++) {
        if (row->attributes[i].slot == slot)
            return true;
    }
    return false;
}

/* Could an identity of this row be in the group? */
static bool row_fits_group(const struct identity_row *row, const struct policy_group *group)
{
    if (group->sources != 0 && (group->sources & row->source) == 0)
        return false;
    for (size_t i = 0; i < group->attribute_count; i++) {
        if (!row_has_attribute(row, group->attributes[i].slot))
            return false;
    }
    if (row->source != POLICY_SOURCE_ANONYMOUS || group->id_count == 0)
        return true;
    for (size_t i = 0; i < group->id_count; i++) {
        if (glob_matches(group->ids[i], row->anonymous_id))
            return true;
    }
    return false;
}

static bool group_possible(const struct policy *policy, size_t bit)
{
    for (size_t i = 0; i < policy->identity_count; i++) {
        if (bit == 0 || row_fits_group(&policy->identities[i], &policy->groups[bit - 1]))
            return true;
    }
    return false;
}

static bool has_bit(const uint64_t *bits, size_t bit)
{
    return (bits[bit / 64] >> bit % 64 & 1) != 0;
}

static void lint_groups(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    uint64_t *used = memory_calloc(policy->group_words, sizeof(*used));
    for (size_t i = 0; i < policy->rule_count; i++) {
        for (size_t word = 0; word < policy->group_words; word++)
            used[word] |= policy->rules[i].who[word] | policy->rules[i].unless[word];
    }
    for (size_t bit = 1; bit <= policy->group_count; bit++) {
        const struct keyword_string *name = &compiler->parsed->groups.items[bit - 1].name;
        if (!group_possible(policy, bit))
            diag_add(compiler->diag, DIAG_WARNING, &name->place, NULL,
                "nobody can be in group '%.*s': no identity source fits its conditions",
                VIEW_ARGS(name->text));
        else if (!has_bit(used, bit))
            diag_add(compiler->diag, DIAG_WARNING, &name->place, NULL, "group '%.*s' is used by no rule",
                VIEW_ARGS(name->text));
    }
    free(used);
}

/* ---- rules ---- */

/* Everybody whom who: names is also named by unless:, or can't be. */
static bool nobody_left(const struct policy *policy, const struct policy_rule *rule)
{
    if (has_bit(rule->unless, 0))
        return true;
    for (size_t bit = 0; bit <= policy->group_count; bit++) {
        if (has_bit(rule->who, bit) && !has_bit(rule->unless, bit) && group_possible(policy, bit))
            return false;
    }
    return true;
}

static bool in_own_tree(struct view topic)
{
    static const char *const trees[] = {"$SYS", "$CONTROL"};
    const uint8_t *slash = memchr(topic.data, '/', topic.length);
    struct view first = view_of(topic.data, slash == NULL ? topic.length : (size_t)(slash - topic.data));
    return view_equal_string(first, trees[0]) || view_equal_string(first, trees[1]);
}

/* Placeholders of the same name have the same value, so patterns can be compared as if their text were a
 * filter. */
static void lint_excepts(
    struct compiler *compiler, const struct parsed_rule *parsed, const struct policy_rule *rule)
{
    struct view *excepts = memory_calloc(rule->except_count + 1, sizeof(*excepts));
    for (size_t i = 0; i < rule->except_count; i++)
        excepts[i] = rule->excepts[i].text;
    for (size_t i = 0; i < rule->topic_count; i++) {
        if (topic_covered(rule->topics[i].text, excepts, rule->except_count))
            warn(compiler, &parsed->topics.items[i].place, NULL,
                "the rule's own except takes all of these topics away");
    }
    free(excepts);
}

static void lint_topic(
    struct compiler *compiler, const struct policy_rule *rule, const struct keyword_string *topic)
{
    static const struct view share = {(const uint8_t *)"$share/", 7};
    bool allows_publish = !rule->deny && (rule->verbs & VERB_PUBLISH) != 0;
    bool everything = view_equal(topic->text, VIEW("#")) || view_equal(topic->text, VIEW("+/#"));
    if (allows_publish && everything)
        warn(compiler, &topic->place, "name the topics", "this lets publish to every topic");
    if (view_starts_with(topic->text, share))
        warn(compiler, &topic->place, "write the filter behind it and 'features: shared'",
            "rules see topics without '$share/<group>/'");
    if (allows_publish && in_own_tree(topic->text) && !rule->privileged)
        warn(compiler, &topic->place, "add 'privileged: true' if it is meant",
            "publishing to the broker's own topics needs a privileged rule");
}

static void lint_rule(
    struct compiler *compiler, const struct parsed_rule *parsed, const struct policy_rule *rule)
{
    bool own_tree = false;
    if (nobody_left(compiler->policy, rule))
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place, NULL,
            "rule '%s' can never decide: nobody is left in who", rule->info.name);
    for (size_t i = 0; i < rule->topic_count; i++) {
        lint_topic(compiler, rule, &parsed->topics.items[i]);
        own_tree = own_tree || parsed->topics.items[i].text.data[0] == '$';
    }
    if (rule->except_count > 0)
        lint_excepts(compiler, parsed, rule);
    if (rule->privileged && !own_tree)
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place, NULL,
            "rule '%s' is privileged, but none of its topics is the broker's own", rule->info.name);
    bool by_client_id = (rule->slots >> SLOT_CLIENT_ID & 1) != 0;
    if (by_client_id && !rule->deny && !compiler->policy->client_id.given)
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
            "bind client identifiers with 'client_id: <id>'",
            "rule '%s' allows by <client_id>, which every client chooses as it likes", rule->info.name);
}

static void lint_rules(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct diag_place whole = {.source = compiler->parsed->name.place.source};
    if (policy->rule_count == 0)
        warn(compiler, &whole, NULL, "no rules: everything is denied");
    for (size_t i = 0; i < policy->rule_count; i++)
        lint_rule(compiler, &compiler->parsed->rules.items[i], &policy->rules[i]);
}

void lint_policy(struct compiler *compiler)
{
    static void (*const subjects[])(struct compiler * compiler) = {lint_identity, lint_groups, lint_rules};
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        subjects[i](compiler);
}

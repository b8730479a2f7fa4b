/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about a rule by itself: about nobody, about nothing, about everything. Called by lint.c.
 */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "policy/lint.h"
#include "policy/topic_algebra.h"

bool lint_nobody_left(const struct policy *policy, const struct policy_rule *rule)
{
    if (lint_has_bit(rule->unless, 0))
        return true;
    for (size_t bit = 0; bit <= policy->group_count; bit++) {
        if (lint_has_bit(rule->who, bit) && !lint_has_bit(rule->unless, bit) &&
            lint_group_possible(policy, bit))
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

/* "$x<id>": no '+' stands for that. */
static bool begins_with_dollar_and_value(const struct pattern *pattern)
{
    return pattern->count > 0 && pattern->levels[0].kind == PATTERN_PLACEHOLDER &&
           view_starts_with(pattern->levels[0].prefix, VIEW("$"));
}

struct view lint_loosen(struct compiler *compiler, const struct pattern *pattern)
{
    struct buffer text = {0};
    if (pattern->slots == 0)
        return pattern->text;
    if (begins_with_dollar_and_value(pattern))
        return (struct view){NULL, 0};
    for (size_t i = 0; i < pattern->count; i++) {
        const struct pattern_level *level = &pattern->levels[i];
        buffer_append(&text, i == 0 ? VIEW("") : VIEW("/"));
        buffer_append(&text, level->kind == PATTERN_LITERAL ? level->prefix : VIEW("+"));
    }
    if (pattern->multi)
        buffer_append(&text, pattern->count == 0 ? VIEW("#") : VIEW("/#"));
    struct view copy = arena_copy(compiler->arena, buffer_view(&text));
    buffer_release(&text);
    return copy;
}

bool lint_patterns_may_meet(struct compiler *compiler, const struct pattern *a, const struct pattern *b)
{
    struct view x = lint_loosen(compiler, a), y = lint_loosen(compiler, b);
    return x.data == NULL || y.data == NULL || topic_overlaps(x, y);
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
            lint_warn(compiler, &parsed->topics.items[i].place, "remove one of the two",
                "the rule's own except takes all of these topics away");
    }
    free(excepts);
    for (size_t i = 0; i < rule->except_count; i++) {
        bool meets = false;
        for (size_t k = 0; k < rule->topic_count && !meets; k++)
            meets = lint_patterns_may_meet(compiler, &rule->excepts[i], &rule->topics[k]);
        if (!meets)
            lint_warn(compiler, &parsed->except.items[i].place, "it is about topics of this rule alone",
                "this except takes nothing away: it meets none of the rule's topics");
    }
}

bool lint_row_surely_in_group(const struct identity_row *row, const struct policy_group *group)
{
    return (group->sources & row->source) != 0 && group->id_count == 0 && group->member_count == 0 &&
           group->network_count == 0 && group->attribute_count == 0;
}

bool lint_row_concerned(
    const struct policy *policy, const struct policy_rule *rule, const struct identity_row *row)
{
    bool in = lint_has_bit(rule->who, 0);
    for (size_t bit = 1; bit <= policy->group_count; bit++) {
        const struct policy_group *group = &policy->groups[bit - 1];
        if (lint_has_bit(rule->unless, bit) && lint_row_surely_in_group(row, group))
            return false;
        in = in || (lint_has_bit(rule->who, bit) && lint_row_fits_group(policy, row, group));
    }
    return in && !lint_has_bit(rule->unless, 0);
}

/* Has a client of any source that can be in the group the value? */
static bool group_has_value(const struct policy *policy, const struct policy_group *group, uint8_t slot)
{
    for (size_t i = 0; i < policy->identity_count; i++) {
        if (lint_row_has_attribute(&policy->identities[i], slot) &&
            lint_row_fits_group(policy, &policy->identities[i], group))
            return true;
    }
    return false;
}

/* Is there surely a client of the row, which lacks the value, that the rule is about? A group of names or
 * networks may have nobody of this source; it counts where nobody in it can have the value. */
static bool row_lacks(
    const struct policy *policy, const struct policy_rule *rule, const struct identity_row *row, uint8_t slot)
{
    if (lint_row_has_attribute(row, slot) || !lint_row_concerned(policy, rule, row))
        return false;
    bool lacks = lint_has_bit(rule->who, 0);
    for (size_t bit = 1; bit <= policy->group_count && !lacks; bit++) {
        const struct policy_group *group = &policy->groups[bit - 1];
        if (!lint_has_bit(rule->who, bit) || !lint_row_fits_group(policy, row, group))
            continue;
        lacks = lint_row_surely_in_group(row, group) || !group_has_value(policy, group, slot);
    }
    return lacks;
}

/* A rule that needs a value keeps clients without it out. That is meant where a value is left out by mistake,
 * not where a source can't have it. */
void lint_values(struct compiler *compiler, const struct diag_place *place, const char *what,
    const struct policy_rule *rule)
{
    const struct policy *policy = compiler->policy;
    uint64_t wanted = rule->monitor ? 0 : rule->slots >> SLOT_FIRST_ATTRIBUTE << SLOT_FIRST_ATTRIBUTE;
    for (size_t i = 0; i < policy->identity_count && wanted != 0; i++) {
        const struct identity_row *row = &policy->identities[i];
        for (uint8_t slot = SLOT_FIRST_ATTRIBUTE; slot < policy->names.count; slot++) {
            if ((wanted >> slot & 1) == 0 || !row_lacks(policy, rule, row, slot))
                continue;
            diag_add(compiler->diag, DIAG_WARNING, place,
                "name a group in 'who' whose members have it, or add it to the source's 'attrs'",
                "%s '%s' keeps all clients of the identity source '%s' that it is about from connecting: "
                "they have no <%s>",
                what, rule->info.name, lint_show_source(compiler, row), policy->names.names[slot]);
        }
    }
}

/* What stands for a client's values in the files of others, and is plain text here. */
static const struct {
    const char *text, *hint;
} foreign_placeholders[] = {
    {"%u", "Mosquitto's %u is written <username>, or better <id>"},
    {"%c", "Mosquitto's %c is written <client_id>"},
    {"${username}", "EMQX's ${username} is written <username>, or better <id>"},
    {"${clientid}", "EMQX's ${clientid} is written <client_id>"},
    {"${cert_common_name}", "EMQX's ${cert_common_name} is written <id>, of a source 'cert: {id: cn}'"},
};

void lint_foreign(struct compiler *compiler, const struct keyword_string *topic)
{
    for (size_t i = 0; i < sizeof(foreign_placeholders) / sizeof(foreign_placeholders[0]); i++) {
        const char *text = foreign_placeholders[i].text;
        const uint8_t *found = memmem(topic->text.data, topic->text.length, text, strlen(text));
        if (found == NULL)
            continue;
        struct diag_place place = pattern_place(topic, view_of(found, strlen(text)));
        diag_add(compiler->diag, DIAG_WARNING, &place, foreign_placeholders[i].hint,
            "'%s' is not a placeholder: it matches itself alone", text);
    }
}

/* In MQTT a '*' is a letter. */
static void lint_star(struct compiler *compiler, const struct keyword_string *topic)
{
    struct view rest = topic->text;
    while (rest.length > 0) {
        const uint8_t *slash = memchr(rest.data, '/', rest.length);
        struct view level = view_of(rest.data, slash == NULL ? rest.length : (size_t)(slash - rest.data));
        rest = view_skip(rest, level.length + (slash == NULL ? 0 : 1));
        if (!view_equal(level, VIEW("*")) && !view_equal(level, VIEW("**")))
            continue;
        struct diag_place place = pattern_place(topic, level);
        diag_add(compiler->diag, DIAG_WARNING, &place, "MQTT's wildcards are '+' and '#'",
            "'%.*s' is no wildcard: it matches itself alone", VIEW_ARGS(level));
    }
}

static void lint_topic(
    struct compiler *compiler, const struct policy_rule *rule, const struct keyword_string *topic)
{
    static const struct view share = {(const uint8_t *)"$share/", 7};
    bool allows_publish = !rule->deny && (rule->verbs & VERB_PUBLISH) != 0;
    bool allows_subscribe = !rule->deny && (rule->verbs & VERB_SUBSCRIBE) != 0;
    bool everything = view_equal(topic->text, VIEW("#")) || view_equal(topic->text, VIEW("+/#"));
    if (allows_publish && everything)
        lint_warn(compiler, &topic->place, "name the topics", "this lets publish to every topic");
    /* A group that reads everything may be meant: those who watch the plant. */
    if (allows_subscribe && everything && lint_has_bit(rule->who, 0))
        lint_warn(compiler, &topic->place, "name the topics, or a group in 'who'",
            "this lets everyone subscribe to every topic");
    lint_foreign(compiler, topic);
    lint_star(compiler, topic);
    if (view_starts_with(topic->text, share))
        lint_warn(compiler, &topic->place, "write the filter behind it and 'features: shared'",
            "rules see topics without '$share/<group>/'");
    if (allows_publish && in_own_tree(topic->text) && !rule->privileged)
        lint_warn(compiler, &topic->place, "add 'privileged: true' if it is meant",
            "publishing to the broker's own topics needs a privileged rule");
}

/* Does the rule need a client identifier that nobody checked? Where it is the identity, the broker does. */
static bool client_id_is_chosen(const struct policy *policy, const struct policy_rule *rule)
{
    bool chosen = false;
    for (size_t i = 0; i < policy->identity_count; i++)
        chosen = chosen || (!policy->identities[i].from_client_id &&
                               lint_row_concerned(policy, rule, &policy->identities[i]));
    return chosen && (rule->slots >> SLOT_CLIENT_ID & 1) != 0;
}

static void lint_rule(
    struct compiler *compiler, const struct parsed_rule *parsed, const struct policy_rule *rule)
{
    bool own_tree = false;
    if (lint_nobody_left(compiler->policy, rule))
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
            "nobody can be in the groups of 'who', or 'unless' names all of them",
            "rule '%s' can never decide: it is about nobody", rule->info.name);
    if (rule->monitor && !rule->deny)
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place, "remove 'mode: monitor' to grant it",
            "rule '%s' grants nothing: it is an allow in monitor mode", rule->info.name);
    lint_values(compiler, &parsed->name.place, "rule", rule);
    for (size_t i = 0; i < rule->topic_count; i++) {
        lint_topic(compiler, rule, &parsed->topics.items[i]);
        own_tree = own_tree || parsed->topics.items[i].text.data[0] == '$';
    }
    if (rule->except_count > 0)
        lint_excepts(compiler, parsed, rule);
    if (rule->privileged && !own_tree)
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place, NULL,
            "rule '%s' is privileged, but none of its topics is the broker's own", rule->info.name);
    if (!rule->deny && !compiler->policy->client_id.given && client_id_is_chosen(compiler->policy, rule))
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
            "bind client identifiers with 'client_id: <id>'",
            "rule '%s' allows by <client_id>, which every client chooses as it likes", rule->info.name);
}

void lint_rules(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct diag_place whole = {.source = compiler->parsed->whole};
    if (policy->rule_count == 0)
        lint_warn(compiler, &whole, NULL, "no rules: everything is denied");
    for (size_t i = 0; i < policy->rule_count; i++)
        lint_rule(compiler, &compiler->parsed->rules.items[i], &policy->rules[i]);
}

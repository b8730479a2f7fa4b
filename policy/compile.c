/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of settings and rules, and what all of the compiler shares. Called by policy.c. Errors
 * do not stop it: it goes on with what can be used, so that one run reports all. */
#include "policy/compile.h"

#include <stdlib.h>

#include "base/memory.h"

#define HINT_LIST_MAXIMUM 12

const char *compile_hint(
    struct compiler *compiler, struct view word, const char *const *candidates, size_t count)
{
    if (count <= HINT_LIST_MAXIMUM)
        return diag_hint(compiler->diag, word, candidates, count);
    const char *near = diag_suggest(word, candidates, count);
    return near == NULL ? NULL : diag_hint(compiler->diag, word, &near, 1);
}

struct policy_rule_info compile_info(
    struct compiler *compiler, struct view name, const struct diag_place *place)
{
    const char *path = place->source == NULL || place->source->path == NULL ? "policy" : place->source->path;
    const char *slash = strrchr(path, '/');
    return (struct policy_rule_info){
        .name = arena_copy_string(compiler->arena, name),
        .location = arena_format(compiler->arena, "%s:%u", slash == NULL ? path : slash + 1, place->line),
    };
}

const struct view *compile_globs(struct compiler *compiler, const struct keyword_strings *strings)
{
    struct view *globs = arena_calloc(compiler->arena, strings->count, sizeof(*globs));
    for (size_t i = 0; i < strings->count; i++)
        globs[i] = strings->items[i].text;
    return globs;
}

static struct policy_repeat compile_repeat(const struct parsed_policy *parsed)
{
    bool anything = !parsed->on_deny.repeat.has_by;

    return (struct policy_repeat){
        .count = (uint32_t)parsed->on_deny.repeat.count,
        .within_ms = parsed->on_deny.repeat.within_ms,
        .ban_ms = parsed->on_deny.repeat.ban_ms,
        .ban_id = anything || (parsed->on_deny.repeat.by & PARSED_BAN_ID) != 0,
        .ban_address = anything || (parsed->on_deny.repeat.by & PARSED_BAN_ADDRESS) != 0,
    };
}

void compile_settings(struct compiler *compiler)
{
    const struct parsed_policy *parsed = compiler->parsed;
    struct policy_settings *settings = &compiler->policy->settings;
    uint64_t expiry_ms = parsed->limits.session_expiry_ms;

    compiler->policy->uncovered_filter = parsed->uncovered_filter != 0;
    settings->name = arena_copy_string(compiler->arena, parsed->name.text);
    settings->mode = (enum policy_mode)parsed->mode;
    settings->deny_publish = (enum policy_deny_publish)parsed->on_deny.publish;
    settings->deny_subscribe = (enum policy_deny_subscribe)parsed->on_deny.subscribe;
    settings->repeat = compile_repeat(parsed);
    settings->limit_sessions = parsed->limits.sessions;
    settings->limit_subscriptions = parsed->limits.subscriptions;
    settings->limit_topic_levels = parsed->limits.topic_levels;
    settings->limit_packet = parsed->limits.packet;
    settings->limit_session_expiry_s = expiry_ms == SESSION_EXPIRY_NO_LIMIT ? UINT32_MAX : expiry_ms / 1000;
    settings->audit_deny = parsed->audit.deny != 0;
    settings->audit_allow_ppm = parsed->audit.allow_ppm;
    settings->audit_payload = (enum policy_audit_payload)parsed->audit.payload;
    settings->audit_excerpt = parsed->audit.excerpt;
}

/* ---- rules ---- */

struct diag_place compile_key_place(
    const struct yaml_node *node, const struct keyword_string *name, const char *key, const char *inner)
{
    const struct yaml_node *member = node->first;
    while (member != NULL && !view_equal_string(member->key, key))
        member = member->next;
    if (member == NULL)
        return name->place;
    const struct yaml_node *child = inner == NULL ? NULL : member->first;
    while (child != NULL && !view_equal_string(child->key, inner))
        child = child->next;
    return child == NULL ? member->key_place : child->key_place;
}

/* A key of a rule, or one within it, that does not go with the rest. */
struct misfit {
    bool found;
    const char *key, *inner, *message, *hint;
};

static void report_misfits(
    struct compiler *compiler, const struct parsed_rule *rule, const struct misfit *misfits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!misfits[i].found)
            continue;
        struct diag_place place =
            compile_key_place(rule->node, &rule->name, misfits[i].key, misfits[i].inner);
        diag_add(compiler->diag, DIAG_ERROR, &place, misfits[i].hint, "rule '%.*s': %s",
            VIEW_ARGS(rule->name.text), misfits[i].message);
    }
}

/* For somebody who wrote what is no group's name. */
static const char *group_hint(struct compiler *compiler, struct view name, const char *const *names)
{
    static const char *const everybody[] = {"*", "all", "any", "anyone", "anybody", "everybody"};
    static const char *const sources[] = {"cert", "jwt", "password", "broker", "anonymous"};
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    for (size_t i = 0; i < sizeof(everybody) / sizeof(everybody[0]); i++) {
        if (view_equal_string(name, everybody[i]))
            return "write everyone";
    }
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        if (view_equal_string(name, sources[i]))
            return arena_format(compiler->arena,
                "it is a source: define a group with '{source: %s}' under 'groups', and name that",
                sources[i]);
    }
    const char *list = keyword_hint_list(&context, name);
    const char *near = diag_suggest(name, names, compiler->policy->group_count + 1);
    return list != NULL   ? list
           : near != NULL ? diag_hint(compiler->diag, name, &near, 1)
                          : "define it under 'groups'; 'everyone' is there without";
}

static void set_group_bit(
    struct compiler *compiler, const struct keyword_string *name, const char *const *names, uint64_t *bits)
{
    for (size_t i = 0; i <= compiler->policy->group_count; i++) {
        if (view_equal_string(name->text, names[i])) {
            bits[i / 64] |= UINT64_C(1) << i % 64;
            return;
        }
    }
    diag_add(compiler->diag, DIAG_ERROR, &name->place, group_hint(compiler, name->text, names),
        "unknown group '%.*s'", VIEW_ARGS(name->text));
}

const char **compile_group_names(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    const char **names = arena_calloc(compiler->arena, policy->group_count + 1, sizeof(*names));
    names[0] = "everyone";
    for (size_t i = 0; i < policy->group_count; i++)
        names[i + 1] = policy->groups[i].name;
    return names;
}

const uint64_t *compile_group_set(
    struct compiler *compiler, const struct keyword_strings *strings, const char *const *names)
{
    uint64_t *bits = arena_calloc(compiler->arena, compiler->policy->group_words, sizeof(*bits));
    for (size_t i = 0; i < strings->count; i++)
        set_group_bit(compiler, &strings->items[i], names, bits);
    return bits;
}

const struct pattern *compile_patterns(
    struct compiler *compiler, const struct keyword_strings *strings, uint64_t *slots)
{
    struct pattern *patterns = arena_calloc(compiler->arena, strings->count, sizeof(*patterns));
    for (size_t i = 0; i < strings->count; i++) {
        pattern_parse(
            compiler->arena, compiler->diag, &compiler->policy->names, &strings->items[i], &patterns[i]);
        *slots |= patterns[i].slots;
    }
    return patterns;
}

static void check_deny(struct compiler *compiler, const struct parsed_rule *rule)
{
    static const char bound[] = "write the bound into the allow: what it does not allow is denied";
    const struct parsed_conditions *conditions = &rule->conditions;
    const struct misfit misfits[] = {
        {conditions->has_max_qos, "if", "max_qos", "a deny with max_qos would let pass what is above it",
            bound},
        {conditions->has_max_size, "if", "max_size", "a deny with max_size would let pass what is above it",
            bound},
        {conditions->has_retain && rule->deny != VERB_PUBLISH, "if", "retain",
            "in a deny, retain is about publish alone",
            "make two rules: one that denies publish, with retain, and one for the rest"},
        {rule->has_features, "features", NULL, "features are what an allow grants",
            "remove it: a deny holds with every prefix"},
        {rule->privileged, "privileged", NULL, "privileged is what an allow is",
            "remove it: a deny holds for the broker's own topics, too"},
    };
    report_misfits(compiler, rule, misfits, sizeof(misfits) / sizeof(misfits[0]));
}

static void check_allow(struct compiler *compiler, const struct parsed_rule *rule)
{
    static const char publish[] = "remove it, or add publish to 'allow'",
                      subscribe[] = "remove it, or add subscribe to 'allow'";
    const struct parsed_conditions *conditions = &rule->conditions;
    const bool no_publish = (rule->allow & VERB_PUBLISH) == 0;
    const bool no_subscribe = (rule->allow & VERB_SUBSCRIBE) == 0;
    const bool of_publish = (rule->features & POLICY_FEATURE_DELAYED) != 0;
    const bool of_subscribe = (rule->features & ~(unsigned)POLICY_FEATURE_DELAYED) != 0;
    const struct misfit misfits[] = {
        {conditions->has_retain && no_publish, "if", "retain",
            "retain is a condition of publish, which it does not allow", publish},
        {conditions->has_max_size && no_publish, "if", "max_size",
            "max_size is a condition of publish, which it does not allow", publish},
        {conditions->has_max_qos && no_publish && no_subscribe, "if", "max_qos",
            "max_qos is a condition of publish and subscribe, which it does not allow",
            "remove it, or add publish or subscribe to 'allow'"},
        {rule->privileged && no_publish, "privileged", NULL,
            "privileged is about publish, which it does not allow", publish},
        {of_publish && no_publish, "features", NULL,
            "the feature delayed is about publish, which it does not allow", publish},
        {of_subscribe && no_subscribe, "features", NULL,
            "the features shared, queue, exclusive and stream are about subscribe, which it does not allow",
            subscribe},
    };
    report_misfits(compiler, rule, misfits, sizeof(misfits) / sizeof(misfits[0]));
}

static void check_rule(struct compiler *compiler, const struct parsed_rule *rule)
{
    if (rule->has_allow == rule->has_deny)
        return; /* refused by its table */
    if (rule->has_deny)
        check_deny(compiler, rule);
    else
        check_allow(compiler, rule);
}

static uint8_t rule_verbs(const struct parsed_rule *rule)
{
    unsigned verbs = rule->has_deny ? rule->deny : rule->allow;
    if ((verbs & VERB_SUBSCRIBE) != 0)
        verbs |= VERB_RECEIVE;
    if (rule->has_deny && (verbs & VERB_RECEIVE) != 0)
        verbs |= VERB_SUBSCRIBE;
    return (uint8_t)verbs;
}

static uint8_t rule_retain(const struct parsed_conditions *conditions)
{
    if (!conditions->has_retain)
        return RETAIN_ANY;
    return conditions->retain ? RETAIN_ONLY : RETAIN_NEVER;
}

static void compile_rule(struct compiler *compiler, const struct parsed_rule *parsed,
    const char *const *names, struct policy_rule *rule)
{
    const struct parsed_conditions *conditions = &parsed->conditions;
    if (parsed->name.text.length == 0)
        return; /* reported as missing */
    check_rule(compiler, parsed);
    *rule = (struct policy_rule){
        .info = compile_info(compiler, parsed->name.text, &parsed->name.place),
        .who = compile_group_set(compiler, &parsed->who, names),
        .unless = compile_group_set(compiler, &parsed->unless, names),
        .verbs = rule_verbs(parsed),
        .features = (uint8_t)parsed->features,
        .max_qos = conditions->has_max_qos ? (uint8_t)conditions->max_qos : 2,
        .max_size = conditions->has_max_size ? conditions->max_size : UINT64_MAX,
        .retain = rule_retain(conditions),
        .deny = parsed->has_deny,
        .monitor = parsed->mode == POLICY_MONITOR,
        .privileged = parsed->privileged,
        .topic_count = parsed->topics.count,
        .except_count = parsed->except.count,
    };
    rule->topics = compile_patterns(compiler, &parsed->topics, &rule->slots);
    rule->excepts = compile_patterns(compiler, &parsed->except, &rule->slots);
}

/* The order of rules that decide alike: those that ask for less first, so that an answer holds for as many
 * requests as possible, then the file's. */
static int compare_ranks(const void *a, const void *b)
{
    const struct policy_rule *x = *(struct policy_rule *const *)a, *y = *(struct policy_rule *const *)b;
    if (x->max_size != y->max_size)
        return x->max_size > y->max_size ? -1 : 1;
    if (x->max_qos != y->max_qos)
        return x->max_qos > y->max_qos ? -1 : 1;
    if ((x->retain == RETAIN_ANY) != (y->retain == RETAIN_ANY))
        return x->retain == RETAIN_ANY ? -1 : 1;
    return (x > y) - (x < y);
}

static void rank_rules(struct policy_rule *rules, size_t count)
{
    if (count == 0)
        return;
    struct policy_rule **order = memory_calloc(count, sizeof(struct policy_rule *));
    for (size_t i = 0; i < count; i++)
        order[i] = &rules[i];
    qsort(order, count, sizeof(struct policy_rule *), compare_ranks);
    for (size_t i = 0; i < count; i++)
        order[i]->rank = (uint32_t)i;
    free(order);
}

/* The name of a rule or a check; order is the file's, rules first. */
struct named {
    const struct keyword_string *name;
    const char *what;
    size_t order;
};

static int compare_names(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    /* Both are followed by a NUL and have none inside. */
    int order = strcmp((const char *)x->name->text.data, (const char *)y->name->text.data);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static void refuse_same_name(struct compiler *compiler, const struct named *first, const struct named *other)
{
    const char *hint = arena_format(compiler->arena, "the other is at %s:%u: give one of them another name",
        first->name->place.source->path, first->name->place.line);
    if (first->what == other->what)
        diag_add(compiler->diag, DIAG_ERROR, &other->name->place, hint, "there are two %ss '%.*s'",
            other->what, VIEW_ARGS(other->name->text));
    else
        diag_add(compiler->diag, DIAG_ERROR, &other->name->place, hint, "there are a %s and a %s '%.*s'",
            first->what, other->what, VIEW_ARGS(other->name->text));
}

/* Decisions are told by the names of rules and checks alone. */
static void check_names(struct compiler *compiler)
{
    static const char rule[] = "rule", check[] = "check";
    const struct parsed_rules *rules = &compiler->parsed->rules;
    const struct parsed_checks *checks = &compiler->parsed->checks;
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    struct named *names = memory_calloc(rules->count + checks->count + 1, sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < rules->count + checks->count; i++) {
        bool is_rule = i < rules->count;
        const struct keyword_string *name =
            is_rule ? &rules->items[i].name : &checks->items[i - rules->count].name;
        const char *what = is_rule ? rule : check;
        if (name->text.length > 0 && parse_check_name(&context, name, what))
            names[count++] = (struct named){name, what, i};
    }
    qsort(names, count, sizeof(*names), compare_names);
    const struct named *first = &names[0];
    for (size_t i = 1; i < count; i++) {
        if (view_equal(names[i].name->text, first->name->text))
            refuse_same_name(compiler, first, &names[i]);
        else
            first = &names[i];
    }
    free(names);
}

void compile_rules(struct compiler *compiler)
{
    const struct parsed_rules *parsed = &compiler->parsed->rules;
    struct policy_rule *rules = arena_calloc(compiler->arena, parsed->count, sizeof(*rules));
    const char **names = compile_group_names(compiler);
    for (size_t i = 0; i < parsed->count; i++) {
        compile_rule(compiler, &parsed->items[i], names, &rules[i]);
        rules[i].info.index = (uint32_t)i;
    }
    check_names(compiler);
    rank_rules(rules, parsed->count);
    compiler->policy->rules = rules;
    compiler->policy->rule_count = parsed->count;
}

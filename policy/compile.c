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

static void rule_error(
    struct compiler *compiler, const struct parsed_rule *rule, const char *hint, const char *message)
{
    diag_add(compiler->diag, DIAG_ERROR, &rule->name.place, hint, "rule '%.*s': %s",
        VIEW_ARGS(rule->name.text), message);
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
    diag_add(compiler->diag, DIAG_ERROR, &name->place,
        compile_hint(compiler, name->text, names, compiler->policy->group_count + 1), "unknown group '%.*s'",
        VIEW_ARGS(name->text));
}

/* Group names by bit: everyone first. */
static const char **group_names(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    const char **names = arena_calloc(compiler->arena, policy->group_count + 1, sizeof(*names));
    names[0] = "everyone";
    for (size_t i = 0; i < policy->group_count; i++)
        names[i + 1] = policy->groups[i].name;
    return names;
}

static const uint64_t *compile_group_set(
    struct compiler *compiler, const struct keyword_strings *strings, const char *const *names)
{
    uint64_t *bits = arena_calloc(compiler->arena, compiler->policy->group_words, sizeof(*bits));
    for (size_t i = 0; i < strings->count; i++)
        set_group_bit(compiler, &strings->items[i], names, bits);
    return bits;
}

static const struct pattern *compile_patterns(
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
    const struct parsed_conditions *conditions = &rule->conditions;
    if (conditions->has_max_qos || conditions->has_max_size)
        rule_error(compiler, rule, "write the bound into the allow: what it does not allow is denied",
            "a deny with max_qos or max_size would let pass what is above it");
    else if (rule->has_conditions && rule->deny != VERB_PUBLISH)
        rule_error(compiler, rule, "split the rule", "conditions of a deny are about publish alone");
    if (rule->has_features)
        rule_error(compiler, rule, NULL, "features are granted by allows");
    if (rule->privileged)
        rule_error(compiler, rule, NULL, "privileged belongs to allows");
}

static void check_allow(struct compiler *compiler, const struct parsed_rule *rule)
{
    const struct parsed_conditions *conditions = &rule->conditions;
    if ((conditions->has_retain || conditions->has_max_size) && (rule->allow & VERB_PUBLISH) == 0)
        rule_error(compiler, rule, NULL, "retain and max_size are conditions of publish");
    if (conditions->has_max_qos && (rule->allow & (VERB_PUBLISH | VERB_SUBSCRIBE)) == 0)
        rule_error(compiler, rule, NULL, "max_qos is a condition of publish and subscribe");
    if (rule->privileged && (rule->allow & VERB_PUBLISH) == 0)
        rule_error(compiler, rule, NULL, "privileged is about publish");
    if ((rule->features & POLICY_FEATURE_DELAYED) != 0 && (rule->allow & VERB_PUBLISH) == 0)
        rule_error(compiler, rule, NULL, "the feature delayed is about publish");
    if ((rule->features & ~(unsigned)POLICY_FEATURE_DELAYED) != 0 && (rule->allow & VERB_SUBSCRIBE) == 0)
        rule_error(
            compiler, rule, NULL, "the features shared, queue, exclusive and stream are about subscribe");
}

static void check_rule(struct compiler *compiler, const struct parsed_rule *rule)
{
    if (rule->has_allow == rule->has_deny)
        rule_error(compiler, rule, NULL, rule->has_allow ? "has both allow and deny" : "needs allow or deny");
    else if (rule->has_deny)
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

static int compare_names(const void *a, const void *b)
{
    const struct parsed_rule *x = *(const struct parsed_rule *const *)a,
                             *y = *(const struct parsed_rule *const *)b;
    /* Both are followed by a NUL and have none inside. */
    int order = strcmp((const char *)x->name.text.data, (const char *)y->name.text.data);
    return order != 0 ? order : (x > y) - (x < y);
}

static void check_names(struct compiler *compiler)
{
    const struct parsed_rules *rules = &compiler->parsed->rules;
    struct keyword_context context = {.arena = compiler->arena, .diag = compiler->diag};
    const struct parsed_rule **order = memory_calloc(rules->count + 1, sizeof(const struct parsed_rule *));
    size_t count = 0;
    for (size_t i = 0; i < rules->count; i++) {
        const struct keyword_string *name = &rules->items[i].name;
        if (name->text.length > 0 && parse_check_name(&context, name, "rule"))
            order[count++] = &rules->items[i];
    }
    qsort(order, count, sizeof(const struct parsed_rule *), compare_names);
    for (size_t i = 1; i < count; i++) {
        const struct keyword_string *name = &order[i]->name, *before = &order[i - 1]->name;
        if (view_equal(name->text, before->text))
            diag_add(compiler->diag, DIAG_ERROR, &name->place, NULL,
                "rule '%.*s' is defined already, in line %u", VIEW_ARGS(name->text), before->place.line);
    }
    free(order);
}

void compile_rules(struct compiler *compiler)
{
    const struct parsed_rules *parsed = &compiler->parsed->rules;
    struct policy_rule *rules = arena_calloc(compiler->arena, parsed->count, sizeof(*rules));
    const char **names = group_names(compiler);
    for (size_t i = 0; i < parsed->count; i++)
        compile_rule(compiler, &parsed->items[i], names, &rules[i]);
    check_names(compiler);
    rank_rules(rules, parsed->count);
    compiler->policy->rules = rules;
    compiler->policy->rule_count = parsed->count;
}

void compile_trie(struct compiler *compiler)
{
    struct policy *policy = compiler->policy;
    policy->trie = rule_trie_new(compiler->arena);
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        for (size_t k = 0; k < rule->topic_count; k++)
            rule_trie_add(policy->trie, rule, &rule->topics[k], false, rule->verbs);
        for (size_t k = 0; k < rule->except_count; k++)
            rule_trie_add(policy->trie, rule, &rule->excepts[k], true, rule->verbs);
    }
    rule_trie_finish(policy->trie);
}

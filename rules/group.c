/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the grouping. Called by load.c.
 *
 * A group reports about SCAN_GROUP_SIZE rules. What they refer to, and the global rules of their set, are
 * compiled into it as well and not reported from it, so that a helper that hundreds of rules use does not
 * pull them all into one group. Rules that use modules, and rules that must always run, have groups of their
 * own. */
#include "rules/group.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "rules/externals.h"
#include "rules/parallel.h"

enum kind { CLASS_STRINGS, CLASS_MODULES, CLASS_ALWAYS, CLASS_ALWAYS_MODULES, CLASSES };

static struct scan_set *set_of(const struct group_set *set)
{
    return &set->rules->sets[set->set];
}

static const YR_RULE *rule_of(const struct group_set *set, uint32_t rule)
{
    return &set_of(set)->whole->rules_table[rule];
}

/* ---- the text of rules ---- */

void group_match_text(struct group_set *set)
{
    uint32_t count = set_of(set)->rule_count, rule = 0;

    set->files = memory_calloc(count + 1, sizeof(*set->files));
    set->places = memory_calloc(count + 1, sizeof(*set->places));
    set->cut = true;
    for (size_t i = 0; i < set->text->file_count; i++) {
        const struct source_file *file = &set->text->files[i];
        for (size_t k = 0; k < file->rule_count; k++, rule++) {
            if (rule >= count || !view_equal_string(file->rules[k].name, rule_of(set, rule)->identifier)) {
                set->cut = false;
                return;
            }
            set->files[rule] = i;
            set->places[rule] = k;
        }
    }
    set->cut = rule == count;
}

const struct source_rule *group_text(const struct group_set *set, uint32_t rule)
{
    return &set->text->files[set->files[rule]].rules[set->places[rule]];
}

static bool is_module(const char *object)
{
    return externals_bit(object) == 0;
}

static void append_imports(const struct group_set *set, const bool *needed, struct buffer *text)
{
    const char **seen = NULL;
    size_t seen_count = 0;

    for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
        const struct classified *rule = &set->classified[i];
        for (size_t k = 0; needed[i] && k < rule->object_count; k++) {
            bool known = !is_module(rule->objects[k]);
            for (size_t s = 0; s < seen_count && !known; s++)
                known = strcmp(seen[s], rule->objects[k]) == 0;
            if (known)
                continue;
            seen = memory_realloc(seen, seen_count + 1, sizeof(*seen));
            seen[seen_count++] = rule->objects[k];
            buffer_format(text, "import \"%s\"\n", rule->objects[k]);
        }
    }
    free(seen);
}

/* The rules that came out are those that went in. */
static bool is_expected(const struct group_set *set, const bool *needed, const YR_RULES *rules)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
        if (!needed[i])
            continue;
        const YR_RULE *expected = rule_of(set, i), *rule = &rules->rules_table[at];
        if (at == rules->num_rules || strcmp(expected->identifier, rule->identifier) != 0 ||
            expected->flags != rule->flags)
            return false;
        at++;
    }
    return at == rules->num_rules;
}

YR_RULES *group_compile(const struct group_set *set, const bool *needed, size_t *count)
{
    struct buffer text = {0};

    *count = 0;
    append_imports(set, needed, &text);
    for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
        if (!needed[i])
            continue;
        const struct source_file *file = &set->text->files[set->files[i]];
        const struct source_rule *rule = group_text(set, i);
        buffer_append(&text, view_of(buffer_view(&file->text).data + rule->start, rule->end - rule->start));
        buffer_append_byte(&text, '\n');
        (*count)++;
    }
    buffer_append_byte(&text, '\0');
    YR_RULES *rules = compile_text(buffer_view(&text), set_of(set)->name);
    buffer_release(&text);
    if (rules != NULL && !is_expected(set, needed, rules)) {
        yr_rules_destroy(rules);
        rules = NULL;
    }
    return rules;
}

/* ---- what depends on what ---- */

/* Adds what the marked ones refer to. Rules refer to earlier ones only: one pass, from the last, finds all.
 */
static void close_needs(const struct group_set *set, bool *needed)
{
    for (uint32_t i = set_of(set)->rule_count; i-- > 0;) {
        for (size_t k = 0; needed[i] && k < set->classified[i].need_count; k++)
            needed[set->classified[i].needs[k]] = true;
    }
}

void group_mark(const struct group_set *set, const uint32_t *rules, size_t count, bool *needed)
{
    for (size_t i = 0; i < count; i++)
        needed[rules[i]] = true;
    for (uint32_t i = 0; i < set_of(set)->rule_count; i++)
        needed[i] = needed[i] || RULE_IS_GLOBAL(rule_of(set, i));
    close_needs(set, needed);
}

/* Of all rules; a private rule is reported by none. */
static void find_classes(const struct group_set *set, enum kind *classes)
{
    uint32_t count = set_of(set)->rule_count;
    bool *modules = memory_calloc(count, sizeof(*modules)), all = false;

    for (uint32_t i = 0; i < count; i++) {
        const struct classified *rule = &set->classified[i];
        for (size_t k = 0; k < rule->object_count; k++)
            modules[i] = modules[i] || is_module(rule->objects[k]);
        for (size_t k = 0; k < rule->need_count; k++)
            modules[i] = modules[i] || modules[rule->needs[k]];
        all = all || (modules[i] && RULE_IS_GLOBAL(rule_of(set, i)));
    }
    for (uint32_t i = 0; i < count; i++) {
        bool uses = all || modules[i];
        if (set->classified[i].always)
            classes[i] = uses ? CLASS_ALWAYS_MODULES : CLASS_ALWAYS;
        else
            classes[i] = uses ? CLASS_MODULES : CLASS_STRINGS;
        if (RULE_IS_PRIVATE(rule_of(set, i)))
            classes[i] = CLASSES;
    }
    free(modules);
}

/* ---- groups ---- */

static struct scan_group *add_group(struct group_set *set)
{
    struct scan_rules *rules = set->rules;

    rules->groups = memory_realloc(rules->groups, rules->group_count + 1, sizeof(*rules->groups));
    struct scan_group *group = &rules->groups[rules->group_count++];
    *group = (struct scan_group){.set = set->set};
    set_of(set)->group_count++;
    return group;
}

static void note_objects(struct group_set *set, struct scan_group *group, const struct classified *rule)
{
    for (size_t i = 0; i < rule->object_count; i++) {
        group->externals |= externals_bit(rule->objects[i]);
        group->changing = group->changing || strcmp(rule->objects[i], "time") == 0;
    }
    set_of(set)->externals |= group->externals;
}

static void note_prefilter(
    const struct group_set *set, struct prefilter *prefilter, uint32_t rule, uint32_t group)
{
    if (!set->classified[rule].by_needs) {
        prefilter_add_group(prefilter, set->set, rule, group);
        return;
    }
    bool *needed = memory_calloc(set_of(set)->rule_count, sizeof(*needed));
    needed[rule] = true;
    close_needs(set, needed);
    for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
        if (needed[i])
            prefilter_add_group(prefilter, set->set, i, group);
    }
    free(needed);
}

/* A group before it is compiled. */
struct plan {
    uint32_t members[SCAN_GROUP_SIZE]; /* rules that it reports */
    size_t count;
    bool always;
    YR_RULES *rules; /* NULL: it can't be compiled alone */
};

struct plans {
    struct group_set *set;
    struct plan *plans;
    size_t count;
};

static void add_member(struct plans *plans, uint32_t rule, bool always, bool fresh)
{
    if (fresh) {
        plans->plans = memory_realloc(plans->plans, plans->count + 1, sizeof(*plans->plans));
        plans->plans[plans->count++] = (struct plan){.always = always};
    }
    struct plan *plan = &plans->plans[plans->count - 1];
    plan->members[plan->count++] = rule;
}

static void plan_groups(struct plans *plans, const enum kind *classes)
{
    const struct group_set *set = plans->set;

    assert(set->size >= 1 && set->size <= SCAN_GROUP_SIZE);
    for (unsigned kind = 0; kind < CLASSES; kind++) {
        size_t count = 0;
        for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
            if (classes[i] == kind)
                add_member(plans, i, kind >= CLASS_ALWAYS, count++ % set->size == 0);
        }
    }
}

/* For parallel_each(). */
static void compile_plan(void *context, size_t i)
{
    const struct plans *plans = context;
    struct plan *plan = &plans->plans[i];
    bool *needed = memory_calloc(set_of(plans->set)->rule_count, sizeof(*needed));
    size_t compiled;

    group_mark(plans->set, plan->members, plan->count, needed);
    plan->rules = group_compile(plans->set, needed, &compiled);
    free(needed);
}

static void build_group(struct group_set *set, const struct plan *plan, struct prefilter *prefilter)
{
    uint32_t rules = set_of(set)->rule_count, at = 0, number = (uint32_t)set->rules->group_count;
    bool *needed = memory_calloc(rules, sizeof(*needed)), *member = memory_calloc(rules, sizeof(*member));

    group_mark(set, plan->members, plan->count, needed);
    for (size_t i = 0; i < plan->count; i++)
        member[plan->members[i]] = true;
    struct scan_group *group = add_group(set);
    uint32_t *reported = arena_calloc(set->rules->arena, plan->rules->num_rules, sizeof(*reported));
    for (uint32_t i = 0; i < rules; i++) {
        if (!needed[i])
            continue;
        reported[at++] = member[i] ? set_of(set)->first_rule + i : SCAN_NO_RULE;
        note_objects(set, group, &set->classified[i]);
    }
    group->rules = plan->rules;
    group->owned = true;
    group->reported = reported;
    group->always = plan->always;
    for (size_t i = 0; i < plan->count && !plan->always; i++)
        note_prefilter(set, prefilter, plan->members[i], number);
    free(needed);
    free(member);
}

/* All rules in one group that is always scanned: right, and slow. */
static void build_whole(struct group_set *set)
{
    struct scan_set *own = set_of(set);
    struct scan_group *group = add_group(set);
    uint32_t *reported = arena_calloc(set->rules->arena, own->rule_count, sizeof(*reported));

    for (uint32_t i = 0; i < own->rule_count; i++)
        reported[i] = own->first_rule + i;
    own->externals = group->externals = (1U << EXTERNALS) - 1;
    group->changing = true;
    group->rules = own->whole;
    group->reported = reported;
    group->always = true;
}

/* false: some rules can't be compiled without the others. */
static bool build_groups(struct group_set *set, const enum kind *classes, struct prefilter *prefilter)
{
    struct plans plans = {.set = set};
    bool good = true;

    plan_groups(&plans, classes);
    parallel_each(plans.count, compile_plan, &plans);
    for (size_t i = 0; i < plans.count; i++)
        good = good && plans.plans[i].rules != NULL;
    for (size_t i = 0; i < plans.count; i++) {
        if (good)
            build_group(set, &plans.plans[i], prefilter);
        else if (plans.plans[i].rules != NULL)
            yr_rules_destroy(plans.plans[i].rules);
    }
    free(plans.plans);
    return good;
}

bool group_build(struct group_set *set, struct prefilter *prefilter)
{
    struct scan_set *own = set_of(set);
    bool good = set->cut && set->classified != NULL;

    own->first_group = set->rules->group_count;
    if (own->rule_count == 0)
        return true;
    enum kind *classes = memory_calloc(own->rule_count, sizeof(*classes));
    if (good) {
        find_classes(set, classes);
        good = build_groups(set, classes, prefilter);
    }
    if (!good)
        build_whole(set);
    free(classes);
    return good;
}

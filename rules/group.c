/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the grouping. Called by load.c and build.c.
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

enum kind { CLASS_STRINGS, CLASS_MODULES, CLASS_ALWAYS, CLASS_ALWAYS_MODULES, CLASSES };

static struct scan_set *set_of(const struct group_set *set)
{
    return &set->rules->sets[set->set];
}

static const YR_RULE *rule_of(const struct group_set *set, uint32_t rule)
{
    return &set->compiled.rules.rules_table[rule];
}

/* ---- the text of rules ---- */

void group_match_text(struct group_set *set)
{
    uint32_t count = set_of(set)->rule_count, rule = 0;

    set->files = memory_calloc(count + 1, sizeof(*set->files));
    set->places = memory_calloc(count + 1, sizeof(*set->places));
    set->cut = true;
    for (size_t i = 0; i < set->text.file_count; i++) {
        const struct source_file *file = &set->text.files[i];
        for (size_t k = 0; k < file->rule_count; k++, rule++) {
            if (rule >= count || !view_equal_string(file->rules[k].name, rule_of(set, rule)->identifier)) {
                set->cut = false;
                return;
            }
            set->files[rule] = i;
            set->places[rule] = k;
        }
    }
    set->cut = rule == count && set->classified != NULL;
}

const struct source_rule *group_text(const struct group_set *set, uint32_t rule)
{
    return &set->text.files[set->files[rule]].rules[set->places[rule]];
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

YR_RULES *group_compile(const struct group_set *set, const bool *needed)
{
    struct buffer text = {0};

    append_imports(set, needed, &text);
    for (uint32_t i = 0; i < set_of(set)->rule_count; i++) {
        if (!needed[i])
            continue;
        const struct source_file *file = &set->text.files[set->files[i]];
        const struct source_rule *rule = group_text(set, i);
        buffer_append(&text, view_of(buffer_view(&file->text).data + rule->start, rule->end - rule->start));
        buffer_append_byte(&text, '\n');
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

static void add_member(struct group_set *set, uint32_t rule, bool always, bool fresh)
{
    if (fresh) {
        set->plans = memory_realloc(set->plans, set->plan_count + 1, sizeof(*set->plans));
        set->plans[set->plan_count++] = (struct group_plan){.always = always};
    }
    struct group_plan *plan = &set->plans[set->plan_count - 1];
    plan->members[plan->count++] = rule;
}

static void plan_members(struct group_set *set)
{
    uint32_t rules = set_of(set)->rule_count;
    enum kind *classes = memory_calloc(rules, sizeof(*classes));

    assert(set->size >= 1 && set->size <= SCAN_GROUP_SIZE);
    find_classes(set, classes);
    for (unsigned kind = 0; kind < CLASSES; kind++) {
        size_t count = 0;
        for (uint32_t i = 0; i < rules; i++) {
            if (classes[i] == kind)
                add_member(set, i, kind >= CLASS_ALWAYS, count++ % set->size == 0);
        }
    }
    free(classes);
}

static size_t count_marks(const bool *marks, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += marks[i];
    return count;
}

/* All of the group but its compiled form. */
static void plan_group(struct group_set *set, const struct group_plan *plan, struct prefilter *prefilter)
{
    uint32_t rules = set_of(set)->rule_count, number = (uint32_t)set->rules->group_count;
    bool *needed = memory_calloc(rules, sizeof(*needed)), *member = memory_calloc(rules, sizeof(*member));

    group_mark(set, plan->members, plan->count, needed);
    for (size_t i = 0; i < plan->count; i++)
        member[plan->members[i]] = true;
    struct scan_group *group = add_group(set);
    uint32_t *reported = arena_calloc(set->rules->arena, count_marks(needed, rules), sizeof(*reported));
    for (uint32_t i = 0, at = 0; i < rules; i++) {
        if (!needed[i])
            continue;
        reported[at++] = member[i] ? set_of(set)->first_rule + i : SCAN_NO_RULE;
        note_objects(set, group, &set->classified[i]);
    }
    group->owned = true;
    group->reported = reported;
    group->always = plan->always;
    for (size_t i = 0; i < plan->count && !plan->always; i++)
        note_prefilter(set, prefilter, plan->members[i], number);
    free(needed);
    free(member);
}

/* All rules in one group that is always scanned: right, and slow. */
static void plan_whole(struct group_set *set)
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

void group_plan(struct group_set *set, struct prefilter *prefilter)
{
    struct scan_set *own = set_of(set);

    own->first_group = set->rules->group_count;
    own->group_count = 0;
    set->plan_count = 0;
    if (own->rule_count == 0)
        return;
    if (!set->cut) {
        plan_whole(set);
        return;
    }
    plan_members(set);
    for (size_t i = 0; i < set->plan_count; i++)
        plan_group(set, &set->plans[i], prefilter);
}

bool group_compile_planned(struct group_set *set, size_t number)
{
    const struct group_plan *plan = &set->plans[number];
    struct scan_group *group = &set->rules->groups[set_of(set)->first_group + number];
    bool *needed = memory_calloc(set_of(set)->rule_count, sizeof(*needed));

    group_mark(set, plan->members, plan->count, needed);
    group->rules = group_compile(set, needed);
    free(needed);
    return group->rules != NULL;
}

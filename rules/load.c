/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a generation of rules: its way from files to groups, its references and its end. */
#include "rules/generation.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"
#include "rules/build.h"

/* Of a set whose rules may cost more than this for each KiB, nothing is left to a loop. */
#define LOOP_BUDGET_NS 100000

/* ---- libyara ---- */

static bool initialized;

/* These are of the process; nothing else in it uses libyara. */
static void initialize(void)
{
    initialized =
        yr_initialize() == ERROR_SUCCESS &&
        yr_set_configuration_uint32(YR_CONFIG_STACK_SIZE, SCAN_YARA_STACK) == ERROR_SUCCESS &&
        yr_set_configuration_uint32(YR_CONFIG_MAX_STRINGS_PER_RULE, SCAN_YARA_STRINGS_PER_RULE) ==
            ERROR_SUCCESS &&
        yr_set_configuration_uint32(YR_CONFIG_MAX_MATCH_DATA, SCAN_YARA_MATCH_DATA) == ERROR_SUCCESS;
}

bool generation_initialize_yara(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, initialize);
    return initialized;
}

/* ---- rules ---- */

static void take_tags(struct arena *arena, struct scan_rule *rule, const YR_RULE *from)
{
    const char *tag;
    size_t count = 0;

    yr_rule_tags_foreach(from, tag)
    {
        count++;
    }
    const char **tags = arena_calloc(arena, count + 1, sizeof(*tags));
    yr_rule_tags_foreach(from, tag)
    {
        tags[rule->tag_count++] = arena_copy_string(arena, view_of_string(tag));
    }
    rule->tags = tags;
}

static void take_known(struct scan_rule *rule, const struct scan_meta *meta)
{
    static const struct {
        const char *name;
        size_t offset;
    } known[] = {
        {"description", offsetof(struct scan_rule, description)},
        {"reference", offsetof(struct scan_rule, reference)},
        {"id", offsetof(struct scan_rule, id)},
        {"severity", offsetof(struct scan_rule, severity)},
        {"mitre_attack", offsetof(struct scan_rule, mitre_attack)},
        {"action", offsetof(struct scan_rule, action)},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && meta->text != NULL; i++) {
        if (strcmp(meta->name, known[i].name) == 0)
            memcpy((char *)rule + known[i].offset, &meta->text, sizeof(meta->text));
    }
}

static void take_meta(struct arena *arena, struct scan_rule *rule, const YR_RULE *from)
{
    YR_META *meta;
    size_t count = 0;

    yr_rule_metas_foreach(from, meta)
    {
        count++;
    }
    struct scan_meta *all = arena_calloc(arena, count + 1, sizeof(*all));
    yr_rule_metas_foreach(from, meta)
    {
        struct scan_meta *own = &all[rule->meta_count++];
        own->name = arena_copy_string(arena, view_of_string(meta->identifier));
        own->text =
            meta->type == META_TYPE_STRING ? arena_copy_string(arena, view_of_string(meta->string)) : NULL;
        own->number = meta->type == META_TYPE_STRING ? 0 : meta->integer;
        take_known(rule, own);
    }
    rule->meta = all;
}

static void take_rules(struct scan_rules *rules, const struct group_set *from)
{
    const struct scan_set *set = &rules->sets[from->set];

    rules->rules = memory_realloc(rules->rules, rules->rule_count + 1, sizeof(*rules->rules));
    for (uint32_t i = 0; i < set->rule_count; i++) {
        const YR_RULE *read = &from->compiled.rules.rules_table[i];
        struct scan_rule *rule = &rules->rules[set->first_rule + i];
        *rule = (struct scan_rule){.name = arena_copy_string(rules->arena, view_of_string(read->identifier)),
            .set = set->name,
            .hidden = RULE_IS_PRIVATE(read)};
        rule->always = from->classified == NULL || from->classified[i].always;
        take_tags(rules->arena, rule, read);
        take_meta(rules->arena, rule, read);
    }
}

static void take_places(
    struct scan_rules *rules, const struct scan_set *set, const struct group_set *grouping)
{
    const char *path = NULL;

    for (uint32_t i = 0; i < set->rule_count && grouping->cut; i++) {
        const struct source_rule *text = group_text(grouping, i);
        struct scan_rule *rule = &rules->rules[set->first_rule + i];
        if (path == NULL || strcmp(path, text->source->path) != 0)
            path = arena_copy_string(rules->arena, view_of_string(text->source->path));
        rule->path = path;
        rule->line = text->line;
    }
}

/* ---- sets ---- */

static const char *const modules[] = {
#define MODULE(name, help) #name,
#include "rules/module.def"
#undef MODULE
};

static void check_source(const struct scan_source *sources, size_t at, struct diag_list *diag)
{
    const struct scan_source *source = &sources[at];
    const size_t known = sizeof(modules) / sizeof(modules[0]);

    for (size_t i = 0; i < source->module_count; i++) {
        bool found = false;
        for (size_t k = 0; k < known; k++)
            found = found || strcmp(modules[k], source->modules[i]) == 0;
        if (!found)
            diag_add(diag, DIAG_ERROR, &source->place,
                diag_hint(diag, view_of_string(source->modules[i]), modules, known),
                "rule set '%s': module '%s' can't be granted", source->name, source->modules[i]);
    }
    for (size_t i = 0; i < at; i++) {
        if (strcmp(sources[i].name, source->name) == 0)
            diag_add(diag, DIAG_ERROR, &source->place, NULL, "two rule sets are named '%s'", source->name);
    }
    if (at == SCAN_SETS_MAX)
        diag_add(diag, DIAG_ERROR, &source->place, NULL, "more than %d rule sets", SCAN_SETS_MAX);
}

/* libyara's messages, and what can be told of each rule. */
static void read_set(struct group_set *set, struct diag_list *diag)
{
    struct scan_rules *rules = set->rules;
    const struct scan_source *source = set->source;
    size_t errors = diag_errors(diag);
    struct scan_set *own = &rules->sets[set->set];

    source_set_read(&set->text, source, diag);
    *own = (struct scan_set){.name = arena_copy_string(rules->arena, view_of_string(source->name)),
        .first_rule = (uint32_t)rules->rule_count,
        .dear = source->allow_slow || source->budget_ns == 0 || source->budget_ns > LOOP_BUDGET_NS};
    /* With a file that can't be read, messages about what it should have defined would be noise. */
    if (diag_errors(diag) == errors + set->text.refused_imports)
        compile_set(&set->compiled, &set->text, source, diag);
    if (set->compiled.compiler == NULL)
        return;
    set->good = diag_errors(diag) == errors;
    own->rule_count = set->compiled.rules.num_rules;
    rules->rule_count += own->rule_count;
    set->classified = classify(&set->compiled.rules);
    group_match_text(set);
    take_rules(rules, set);
    take_places(rules, own, set);
}

static void release_set(struct group_set *set)
{
    classified_free(set->classified, set->compiled.rules.num_rules);
    free(set->files);
    free(set->places);
    free(set->plans);
    compile_release(&set->compiled);
    source_set_release(&set->text);
}

static void note_always(struct scan_rules *rules)
{
    rules->always = memory_calloc(prefilter_words(rules->group_count) + 1, sizeof(*rules->always));
    for (size_t i = 0; i < rules->group_count; i++) {
        if (rules->groups[i].always)
            rules->always[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

struct scan_rules *scan_rules_load(const struct scan_source *sources, size_t count, struct diag_list *diag)
{
    static const struct scan_load how = {0};

    return scan_rules_load_with(sources, count, diag, &how);
}

static void load_sets(struct scan_rules *rules, const struct scan_source *sources, size_t errors,
    struct diag_list *diag, const struct scan_load *how)
{
    struct group_set *sets = memory_calloc(rules->set_count + 1, sizeof(*sets));

    for (size_t i = 0; i < rules->set_count; i++) {
        sets[i] = (struct group_set){.rules = rules,
            .set = (uint32_t)i,
            .size = how->group_rules == 0 ? SCAN_GROUP_SIZE : how->group_rules,
            .source = &sources[i]};
        read_set(&sets[i], diag);
    }
    build_groups(rules, sets, how, errors, diag);
    for (size_t i = 0; i < rules->set_count; i++)
        release_set(&sets[i]);
    free(sets);
}

struct scan_rules *scan_rules_load_with(
    const struct scan_source *sources, size_t count, struct diag_list *diag, const struct scan_load *how)
{
    struct scan_rules *rules = memory_calloc(1, sizeof(*rules));
    size_t errors = diag_errors(diag);

    if (!generation_initialize_yara())
        memory_exhausted();
    atomic_init(&rules->references, 1);
    rules->arena = arena_new();
    rules->sets = memory_calloc(SCAN_SETS_MAX, sizeof(*rules->sets));
    rules->set_count = count < SCAN_SETS_MAX ? count : SCAN_SETS_MAX;
    rules->plain = how->plain;
    for (size_t i = 0; i < count && i <= SCAN_SETS_MAX; i++)
        check_source(sources, i, diag);
    load_sets(rules, sources, errors, diag, how);
    if (diag_errors(diag) > errors) {
        scan_rules_release(rules);
        return NULL;
    }
    note_always(rules);
    return rules;
}

struct scan_rules *scan_rules_retain(struct scan_rules *rules)
{
    atomic_fetch_add_explicit(&rules->references, 1, memory_order_relaxed);
    return rules;
}

bool scan_rules_is_last(const struct scan_rules *rules)
{
    return atomic_load_explicit(&rules->references, memory_order_acquire) == 1;
}

void scan_rules_release(struct scan_rules *rules)
{
    if (rules == NULL || atomic_fetch_sub_explicit(&rules->references, 1, memory_order_acq_rel) != 1)
        return;
    prefilter_free(rules->prefilter);
    for (size_t i = 0; i < rules->group_count; i++) {
        if (rules->groups[i].owned && rules->groups[i].rules != NULL)
            yr_rules_destroy(rules->groups[i].rules);
    }
    for (size_t i = 0; i < rules->set_count; i++) {
        if (rules->sets[i].whole != NULL)
            yr_rules_destroy(rules->sets[i].whole);
    }
    free(rules->groups);
    free(rules->always);
    free(rules->sets);
    free(rules->rules);
    arena_free(rules->arena);
    free(rules);
}

/* ---- questions ---- */

unsigned scan_rule_rank(const struct scan_rule *rule)
{
    static const char *const names[] = {"low", "medium", "high"};
    unsigned rank = 0;

    while (rank < 3 && (rule->severity == NULL || strcmp(rule->severity, names[rank]) != 0))
        rank++;
    return rank;
}

size_t scan_rules_count(const struct scan_rules *rules)
{
    return rules->rule_count;
}

const struct scan_rule *scan_rules_at(const struct scan_rules *rules, size_t index)
{
    return &rules->rules[index];
}

uint64_t scan_rules_set(const struct scan_rules *rules, const char *name)
{
    for (size_t i = 0; i < rules->set_count; i++) {
        if (strcmp(rules->sets[i].name, name) == 0)
            return UINT64_C(1) << i;
    }
    return 0;
}

struct scan_rules_stats scan_rules_stats(const struct scan_rules *rules)
{
    struct scan_rules_stats stats = {.sets = rules->set_count,
        .rules = rules->rule_count,
        .groups = rules->group_count,
        .literals = prefilter_literals(rules->prefilter),
        .engine = prefilter_engine(rules->prefilter)};

    for (size_t i = 0; i < rules->rule_count; i++)
        stats.always_rules += rules->rules[i].always;
    for (size_t i = 0; i < rules->group_count; i++)
        stats.always_groups += rules->groups[i].always;
    return stats;
}

size_t scan_rules_group(
    const struct scan_rules *rules, size_t group, const struct scan_rule **members, size_t max)
{
    const struct scan_group *own = &rules->groups[group];
    size_t count = 0;

    for (uint32_t i = 0; i < own->rules->num_rules; i++) {
        if (own->reported[i] == SCAN_NO_RULE)
            continue;
        if (count < max)
            members[count] = &rules->rules[own->reported[i]];
        count++;
    }
    return count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the prefilter and the walk over libyara's automata. Called by load.c, build.c, group.c and scanner.c.
 *
 * Every match of a string begins with an atom of it that libyara's automaton found: the walk is the scan of
 * libyara without what follows. Hyperscan (prefilter_hyperscan.c) looks for longer literals, and is faster.
 */
#include "rules/prefilter.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "rules/prefilter_parts.h"

struct prefilter *prefilter_new(bool automaton)
{
    struct prefilter *prefilter = memory_calloc(1, sizeof(*prefilter));

    prefilter->arena = arena_new();
    prefilter->without_engine = automaton;
    return prefilter;
}

void prefilter_add(
    struct prefilter *prefilter, const YR_RULES *rules, const YR_AC_AUTOMATON *automaton, uint32_t set)
{
    struct prefilter_set *own = &prefilter->sets[set];

    assert(set < PREFILTER_SETS);
    own->read = rules;
    own->automaton = automaton;
    own->rule_count = rules->num_rules;
    own->of_rule = arena_calloc(prefilter->arena, rules->num_rules + 1, sizeof(*own->of_rule));
    if (set >= prefilter->set_count)
        prefilter->set_count = set + 1;
}

void prefilter_add_group(struct prefilter *prefilter, uint32_t set, uint32_t rule, uint32_t group)
{
    struct prefilter_groups *groups = &prefilter->sets[set].of_rule[rule];

    /* A group is added at one time: it is the last, if it is there. */
    if (groups->count > 0 && groups->groups[groups->count - 1] == group)
        return;
    groups->groups = memory_realloc(groups->groups, groups->count + 1, sizeof(*groups->groups));
    groups->groups[groups->count++] = group;
}

/* ---- libyara's automaton ---- */

/* The list of a state without the strings that have no atoms: their groups are candidates anyway. */
static void take_list(struct prefilter_set *set, size_t list)
{
    const YR_RULES *rules = set->rules;
    const uint32_t root = rules->ac_match_table[YR_AC_ROOT_STATE];
    const YR_AC_MATCH *end = root == 0 ? NULL : &rules->ac_match_pool[root - 1];
    struct prefilter_groups *groups = &set->of_list[list];

    for (const YR_AC_MATCH *match = &rules->ac_match_pool[list]; match != NULL && match != end;
         match = match->next)
        prefilter_add_groups(groups, &set->of_rule[match->string->rule_idx]);
    prefilter_sort_groups(groups);
}

static void build_lists(struct prefilter_set *set)
{
    const YR_RULES *rules = set->rules;
    const YR_ARENA_BUFFER *buffers = rules->arena->buffers;
    size_t states = buffers[YR_AC_STATE_MATCHES_TABLE].used / sizeof(uint32_t);

    set->list_count = buffers[YR_AC_STATE_MATCHES_POOL].used / sizeof(YR_AC_MATCH);
    set->of_list = memory_calloc(set->list_count + 1, sizeof(*set->of_list));
    for (size_t i = 0; i < states; i++) {
        uint32_t list = rules->ac_match_table[i];
        if (list != 0 && set->of_list[list - 1].groups == NULL)
            take_list(set, list - 1);
    }
}

static inline void take_state(const struct prefilter_set *set, uint32_t state, uint64_t *candidates)
{
    uint32_t list = set->rules->ac_match_table[state];

    if (list != 0)
        prefilter_set_groups(&set->of_list[list - 1], candidates);
}

bool prefilter_finish(struct prefilter *prefilter, size_t group_count)
{
    prefilter->words = prefilter_words(group_count);
    prefilter->certain = memory_calloc(prefilter->words + 1, sizeof(*prefilter->certain));
    prefilter_take_literals(prefilter);
    if (!prefilter->without_engine)
        prefilter->engine = prefilter_engine_new(prefilter);
    return prefilter->engine != NULL;
}

void prefilter_walk(struct prefilter *prefilter, const YR_RULES *rules, uint32_t set)
{
    prefilter->sets[set].rules = rules;
    build_lists(&prefilter->sets[set]);
}

void prefilter_free(struct prefilter *prefilter)
{
    if (prefilter == NULL)
        return;
    prefilter_engine_free(prefilter->engine);
    for (size_t i = 0; i < prefilter->set_count; i++) {
        struct prefilter_set *set = &prefilter->sets[i];
        for (size_t k = 0; k < set->rule_count; k++)
            free(set->of_rule[k].groups);
        for (size_t k = 0; k < set->list_count; k++)
            free(set->of_list[k].groups);
        free(set->of_list);
    }
    for (size_t i = 0; i < prefilter->literal_count; i++)
        free(prefilter->literals[i].groups.groups);
    free(prefilter->literals);
    free(prefilter->certain);
    arena_free(prefilter->arena);
    free(prefilter);
}

size_t prefilter_literals(const struct prefilter *prefilter)
{
    return prefilter->literal_count;
}

const char *prefilter_engine(const struct prefilter *prefilter)
{
    return prefilter->engine == NULL ? "automaton" : "hyperscan";
}

struct prefilter_space *prefilter_space_new(const struct prefilter *prefilter)
{
    return prefilter->engine == NULL ? NULL : prefilter_engine_space(prefilter->engine);
}

void prefilter_space_free(struct prefilter_space *space)
{
    prefilter_engine_space_free(space);
}

/* As libyara's scanner goes. */
static uint32_t next_state(const YR_AC_TRANSITION *table, uint32_t state, uint8_t byte)
{
    uint32_t index = byte + 1U;

    for (;;) {
        YR_AC_TRANSITION transition = table[state + index];
        if (!YR_AC_INVALID_TRANSITION(transition, index))
            return YR_AC_NEXT_STATE(transition);
        if (state == YR_AC_ROOT_STATE)
            return YR_AC_ROOT_STATE;
        state = YR_AC_NEXT_STATE(table[state]);
    }
}

static void walk(const struct prefilter_set *set, struct view bytes, uint64_t *candidates)
{
    uint32_t state = YR_AC_ROOT_STATE;

    for (size_t i = 0; i < bytes.length; i++) {
        take_state(set, state, candidates);
        state = next_state(set->rules->ac_transition_table, state, bytes.data[i]);
    }
    take_state(set, state, candidates);
}

bool prefilter_scan(const struct prefilter *prefilter, struct prefilter_space *space, uint64_t sets,
    struct view bytes, uint64_t *candidates)
{
    for (size_t i = 0; i < prefilter->words; i++)
        candidates[i] |= prefilter->certain[i];
    if (bytes.length == 0)
        return true;
    if (prefilter->engine != NULL)
        return space != NULL && prefilter_engine_scan(prefilter, space, bytes, candidates);
    for (size_t i = 0; i < prefilter->set_count; i++) {
        if ((sets & UINT64_C(1) << i) != 0 && prefilter->sets[i].rules != NULL)
            walk(&prefilter->sets[i], bytes, candidates);
    }
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the prefilter is made of: which groups a rule stands for, the literals, and both engines. */
#ifndef MQWARD_RULES_PREFILTER_PARTS_H
#define MQWARD_RULES_PREFILTER_PARTS_H

#include "base/arena.h"
#include "rules/prefilter.h"

/* What a rule, or a literal, makes candidates. */
struct prefilter_groups {
    uint32_t *groups;
    size_t count;
};

struct prefilter_set {
    size_t rule_count; /* 0: no such set */
    struct prefilter_groups *of_rule;
    /* Until literals are taken. */
    const YR_RULES *read;
    const YR_AC_AUTOMATON *automaton;
    /* For the walk; NULL: Hyperscan is in charge. */
    const YR_RULES *rules;
    struct prefilter_groups *of_list; /* by the number of the first match of a state's list, those of all */
    size_t list_count;
};

struct prefilter_literal {
    struct view bytes;
    bool nocase; /* ASCII letters of either case */
    struct prefilter_groups groups;
};

#define PREFILTER_SETS 64

struct prefilter {
    struct arena *arena;
    bool without_engine;
    struct prefilter_set sets[PREFILTER_SETS];
    size_t set_count;
    /* Literals, each once. */
    struct prefilter_literal *literals;
    size_t literal_count;
    uint64_t *certain; /* groups with a string of which nothing is known; one bit each */
    size_t words;
    struct prefilter_engine *engine; /* NULL: the automata */
};

static inline void prefilter_set_groups(const struct prefilter_groups *groups, uint64_t *candidates)
{
    for (size_t i = 0; i < groups->count; i++)
        candidates[groups->groups[i] / 64] |= UINT64_C(1) << (groups->groups[i] % 64);
}

/* Adds groups, and leaves each once. */
void prefilter_add_groups(struct prefilter_groups *groups, const struct prefilter_groups *more);
void prefilter_sort_groups(struct prefilter_groups *groups);

/* Fills literals and certain from what the compilers of all sets have. */
void prefilter_take_literals(struct prefilter *prefilter);

/* Hyperscan or Vectorscan. NULL: it is not there, or it refuses what it is given. */
struct prefilter_engine *prefilter_engine_new(const struct prefilter *prefilter);
void prefilter_engine_free(struct prefilter_engine *engine); /* NULL is fine */
/* NULL: out of memory for it; then prefilter_engine_scan() can't be called. */
struct prefilter_space *prefilter_engine_space(const struct prefilter_engine *engine);
void prefilter_engine_space_free(struct prefilter_space *space);
bool prefilter_engine_scan(const struct prefilter *prefilter, struct prefilter_space *space,
    struct view bytes, uint64_t *candidates);

#endif

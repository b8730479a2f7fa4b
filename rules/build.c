/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the long part of loading, and its threads. Called by load.c.
 *
 *   each set that was read -> its groups are planned: now it is known which rule wakes which group
 *   on all processors: the prefilter is compiled | each group is compiled and measured
 *
 * The prefilter is one piece of work, and with thousands of rules the longest: it goes first, and the groups
 * fill the other processors meanwhile. */
#include "rules/build.h"

#include <stdlib.h>

#include "base/memory.h"
#include "rules/cost.h"
#include "rules/parallel.h"

/* A group of a set. */
struct piece {
    struct group_set *set;
    size_t number; /* in the set */
    struct cost_found found;
    bool failed;
};

struct build {
    struct scan_rules *rules;
    struct group_set *sets;
    size_t set_count;
    const struct scan_load *how;
    struct diag_list *diag;
    size_t errors; /* with more than these, there is no prefilter */
    struct cost_trial *trial;
    struct piece *pieces;
    size_t piece_count;
    bool has_engine; /* the prefilter is Hyperscan's */
};

static struct scan_set *set_of(const struct group_set *set)
{
    return &set->rules->sets[set->set];
}

/* ---- sets as a whole ---- */

static void say_uncut(const struct build *build, const struct group_set *set)
{
    diag_add(build->diag, DIAG_WARNING, &set->source->place, NULL,
        "rule set '%s' can't be cut into its rules: each payload is scanned with all of it",
        set->source->name);
}

static void finish_whole(const struct build *build, struct group_set *set)
{
    if (set_of(set)->whole != NULL || set->compiled.compiler == NULL)
        return;
    set_of(set)->whole = compile_finish(&set->compiled);
    if (set_of(set)->whole != NULL)
        return;
    diag_add(build->diag, DIAG_ERROR, &set->source->place, "split it", "rule set '%s' is too large",
        set->source->name);
    set->good = false;
}

/* ---- pieces ---- */

static void plan(struct build *build)
{
    struct scan_rules *rules = build->rules;

    rules->group_count = 0;
    prefilter_free(rules->prefilter);
    rules->prefilter = prefilter_new(build->how->automaton);
    for (size_t i = 0; i < build->set_count; i++) {
        struct group_set *set = &build->sets[i];
        if (!set->good)
            continue;
        prefilter_add(rules->prefilter, &set->compiled.rules, set->compiled.compiler->automaton, set->set);
        group_plan(set, rules->prefilter);
    }
    free(build->pieces);
    build->pieces = memory_calloc(rules->group_count + 1, sizeof(*build->pieces));
    build->piece_count = 0;
    for (size_t i = 0; i < build->set_count; i++) {
        struct group_set *set = &build->sets[i];
        for (size_t k = 0; set->good && k < set_of(set)->group_count; k++)
            build->pieces[build->piece_count++] = (struct piece){.set = set, .number = k};
    }
}

static void do_piece(struct build *build, struct piece *piece)
{
    const struct group_set *set = piece->set;
    const struct scan_group *group = &build->rules->groups[set_of(set)->first_group + piece->number];

    piece->failed = set->cut && !group_compile_planned(piece->set, piece->number);
    if (!piece->failed && set->source->budget_ns != 0)
        piece->found = cost_of(group->rules, build->trial, set->source->budget_ns);
}

/* For parallel_each(): the prefilter, then pieces. */
static void do_work(void *context, size_t i)
{
    struct build *build = context;

    if (i > 0)
        do_piece(build, &build->pieces[i - 1]);
    else if (diag_errors(build->diag) == build->errors)
        build->has_engine = prefilter_finish(build->rules->prefilter, build->rules->group_count);
}

/* Sets of which a group can't be compiled are not cut any more; how many they are. */
static size_t give_up_cutting(struct build *build)
{
    size_t count = 0;

    for (size_t i = 0; i < build->piece_count; i++) {
        struct group_set *set = build->pieces[i].set;
        if (!build->pieces[i].failed || !set->cut)
            continue;
        set->cut = false;
        count++;
        say_uncut(build, set);
        finish_whole(build, set);
    }
    return count;
}

static void drop_groups(struct scan_rules *rules)
{
    for (size_t i = 0; i < rules->group_count; i++) {
        if (rules->groups[i].owned && rules->groups[i].rules != NULL)
            yr_rules_destroy(rules->groups[i].rules);
        rules->groups[i].rules = NULL;
    }
}

/* ---- all of it ---- */

static void begin(struct build *build)
{
    bool budget = false;

    for (size_t i = 0; i < build->set_count; i++) {
        struct group_set *set = &build->sets[i];
        if (!set->good)
            continue;
        if (!set->cut && set_of(set)->rule_count > 0)
            say_uncut(build, set);
        if (!set->cut)
            finish_whole(build, set);
        budget = budget || set->source->budget_ns != 0;
    }
    build->trial = budget ? cost_trial_new() : NULL;
}

/* Where Hyperscan is not in charge, or plain scans are asked for. Not before: it changes the compiler's
 * automaton, which literals are taken from. */
static void finish_wholes(struct build *build)
{
    for (size_t i = 0; i < build->set_count; i++) {
        struct group_set *set = &build->sets[i];
        if (set->good)
            finish_whole(build, set);
        if (set->good && !build->has_engine)
            prefilter_walk(build->rules->prefilter, set_of(set)->whole, set->set);
    }
}

static void measure(struct build *build)
{
    for (size_t i = 0; i < build->piece_count; i++) {
        const struct piece *piece = &build->pieces[i];
        cost_check(piece->set, piece->number, &piece->found, build->trial, build->diag);
    }
    for (size_t i = 0; i < build->set_count && build->how->measure != NULL; i++) {
        if (build->sets[i].good)
            cost_measure(&build->sets[i], build->how->measure);
    }
}

void build_groups(struct scan_rules *rules, struct group_set *sets, const struct scan_load *how,
    size_t errors, struct diag_list *diag)
{
    struct build build = {.rules = rules,
        .sets = sets,
        .set_count = rules->set_count,
        .how = how,
        .diag = diag,
        .errors = errors};

    begin(&build);
    plan(&build);
    parallel_each(build.piece_count + 1, do_work, &build);
    while (give_up_cutting(&build) > 0) {
        drop_groups(build.rules);
        plan(&build);
        parallel_each(build.piece_count + 1, do_work, &build);
    }
    measure(&build);
    if ((!build.has_engine || how->plain) && diag_errors(diag) == errors)
        finish_wholes(&build);
    free(build.pieces);
    cost_trial_free(build.trial);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the rules of a set into groups that share a compiled form and a scanner. */
#ifndef MQWARD_RULES_GROUP_H
#define MQWARD_RULES_GROUP_H

#include "rules/classify.h"
#include "rules/compile.h"
#include "rules/generation.h"
#include "rules/source.h"

/* A group before it is compiled. */
struct group_plan {
    uint32_t members[SCAN_GROUP_SIZE]; /* rules that it reports, by number in the set */
    size_t count;
    bool always;
};

/* A set on its way into a generation. */
struct group_set {
    struct scan_rules *rules; /* the generation */
    uint32_t set;             /* its number there */
    size_t size;              /* rules that a group reports; at most SCAN_GROUP_SIZE */
    const struct scan_source *source;
    struct source_set text;
    struct compiled_set compiled;
    struct classified *classified;
    size_t *files, *places; /* for each rule its file, and its number in that */
    bool good;              /* there were no errors yet */
    bool cut;               /* files and places are known, and rules can be compiled without the others */
    struct group_plan *plans;
    size_t plan_count;
};

/* Compares what libyara compiled with what was cut; fills files, places and cut. */
void group_match_text(struct group_set *set);
/* Adds the set's groups to the generation, all but their compiled forms, and to its prefilter what makes them
 * candidates. A set that is not cut is one group, which every payload is scanned with: its whole. */
void group_plan(struct group_set *set, struct prefilter *prefilter);
/* Compiles a group of a set that is cut, by its number in the set. false: libyara gives something else than
 * expected. May be called by several threads, for different groups. */
bool group_compile_planned(struct group_set *set, size_t number);
const struct source_rule *group_text(const struct group_set *set, uint32_t rule);
/* The compiled form of some rules with all that they need: those of needed, by number, in order. NULL:
 * libyara gives something else than expected. */
YR_RULES *group_compile(const struct group_set *set, const bool *needed);
/* Marks in needed (one for each rule of the set) some rules and all that their answers depend on. */
void group_mark(const struct group_set *set, const uint32_t *rules, size_t count, bool *needed);

#endif

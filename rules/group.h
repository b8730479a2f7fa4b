/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the rules of a set into groups that share a compiled form and a scanner. */
#ifndef MQWARD_RULES_GROUP_H
#define MQWARD_RULES_GROUP_H

#include "rules/classify.h"
#include "rules/compile.h"
#include "rules/generation.h"
#include "rules/source.h"

/* A set on its way into a generation. */
struct group_set {
    struct scan_rules *rules; /* the generation */
    uint32_t set;             /* its number there */
    size_t size;              /* rules that a group reports; at most SCAN_GROUP_SIZE */
    struct classified *classified;
    const struct source_set *text;
    size_t *files, *places; /* for each rule its file, and its number in that */
    bool cut;               /* files and places are known */
};

/* Compares what libyara compiled with what was cut; fills files and places. */
void group_match_text(struct group_set *set);
/* Adds the set's groups to the generation, and to its prefilter what makes them candidates. false: its rules
 * can't be told apart and are one group, which every payload is scanned with. */
bool group_build(struct group_set *set, struct prefilter *prefilter);
const struct source_rule *group_text(const struct group_set *set, uint32_t rule);
/* The compiled form of some rules (of count numbers) with all that they need: those of needed, by number, in
 * order. NULL: libyara gives something else than expected. */
YR_RULES *group_compile(const struct group_set *set, const bool *needed, size_t *count);
/* Marks in needed (one for each rule of the set) some rules and all that their answers depend on. */
void group_mark(const struct group_set *set, const uint32_t *rules, size_t count, bool *needed);

#endif

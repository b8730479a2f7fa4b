/* SPDX-License-Identifier: Apache-2.0 */
/* Tells which groups of rules a payload could concern, by the literals and atoms of their strings. It may
 * name too many groups and never too few. */
#ifndef MQWARD_RULES_PREFILTER_H
#define MQWARD_RULES_PREFILTER_H

#include <yara.h>

#include "base/view.h"

struct prefilter;
struct prefilter_space; /* scratch of a thread */

/* automaton: no Hyperscan, even if it is there. */
struct prefilter *prefilter_new(bool automaton);
/* The rules of a set by its number, and the automaton that their compiler has; both until prefilter_finish().
 */
void prefilter_add(
    struct prefilter *prefilter, const YR_RULES *rules, const YR_AC_AUTOMATON *automaton, uint32_t set);
/* The strings of a rule of it make a group a candidate. */
void prefilter_add_group(struct prefilter *prefilter, uint32_t set, uint32_t rule, uint32_t group);
/* Compiles what was added: of all steps the longest. false: Hyperscan is not there, or refuses; libyara's own
 * automata are to be walked, and prefilter_walk() wants them. */
bool prefilter_finish(struct prefilter *prefilter, size_t group_count);
/* The rules of a set with their automaton, which are kept. */
void prefilter_walk(struct prefilter *prefilter, const YR_RULES *rules, uint32_t set);
void prefilter_free(struct prefilter *prefilter); /* NULL is fine */

size_t prefilter_literals(const struct prefilter *prefilter);
const char *prefilter_engine(const struct prefilter *prefilter);

/* Scratch for one thread and one prefilter. */
struct prefilter_space *prefilter_space_new(const struct prefilter *prefilter);
void prefilter_space_free(struct prefilter_space *space); /* NULL is fine */

/* The 64-bit words of a set of groups. */
static inline size_t prefilter_words(size_t groups)
{
    return (groups + 63) / 64;
}
/* Adds the groups that bytes could concern to candidates; groups of other sets than those (as bits) may be
 * among them. false: it can't be told, all of them could be. */
bool prefilter_scan(const struct prefilter *prefilter, struct prefilter_space *space, uint64_t sets,
    struct view bytes, uint64_t *candidates);

#endif

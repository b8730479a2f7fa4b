/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a rule set to libyara's rules, with all of its messages. */
#ifndef MQWARD_RULES_COMPILE_H
#define MQWARD_RULES_COMPILE_H

#include <yara.h>

#include "rules/source.h"

/* A set that libyara has read: all of its rules, but not yet the automaton of all their atoms. That takes
 * three times as long as the reading, and is needed only where the set is scanned as a whole. */
struct compiled_set {
    YR_COMPILER *compiler; /* NULL: there were errors, or there is no file */
    YR_RULES rules;        /* its tables; no ac_*. For reading only, as long as the compiler lives */
};

/* Reads all files of a set in their order, as one namespace. Every error and warning goes to diag with its
 * place; a file with errors does not keep the next ones from being read. */
void compile_set(struct compiled_set *compiled, const struct source_set *set,
    const struct scan_source *source, struct diag_list *diag);
/* All rules with their automaton, for scanning; the caller's. compiled->rules are other pointers afterwards.
 * NULL: it is too large. */
YR_RULES *compile_finish(struct compiled_set *compiled);
void compile_release(struct compiled_set *compiled);
/* Compiles rules that were compiled before as a part of set. NULL if libyara does not take them. */
YR_RULES *compile_text(struct view text, const char *name);

#endif

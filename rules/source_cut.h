/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts the text of rule files: comments, strings, regular expressions and braces as libyara's lexer reads
 * them, and nothing else of the language. */
#ifndef MQWARD_RULES_SOURCE_CUT_H
#define MQWARD_RULES_SOURCE_CUT_H

#include "rules/source.h"

struct cut_hooks {
    /* What is put in the place of an include; NULL: nothing. depth: from 1. */
    const struct diag_source *(*include)(
        void *context, const struct diag_place *place, struct view name, unsigned depth);
    void (*import)(void *context, const struct diag_place *place, struct view name);
};

/* Fills file with text and what it includes. */
void source_cut(
    struct source_file *file, const struct diag_source *text, const struct cut_hooks *hooks, void *context);
/* A whole line of a source, without the blanks before and behind it. */
struct diag_place source_cut_place(const struct diag_source *source, uint32_t line);

#endif

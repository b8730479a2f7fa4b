/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a rule set to libyara's rules, with all of its messages. */
#ifndef MQWARD_RULES_COMPILE_H
#define MQWARD_RULES_COMPILE_H

#include <yara.h>

#include "rules/source.h"

/* Compiles all files of a set in their order, as one namespace. Every error and warning goes to diag with its
 * place; a file with errors does not keep the next ones from being compiled. NULL after an error, and if
 * there are no rules. */
YR_RULES *compile_set(const struct source_set *set, const struct scan_source *source, struct diag_list *diag);
/* Compiles rules that were compiled before as a part of set. NULL if libyara does not take them. */
YR_RULES *compile_text(struct view text, const char *name);

#endif

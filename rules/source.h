/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a rule set: its files in order of their names, includes put in their place, cut into rules. */
#ifndef MQWARD_RULES_SOURCE_H
#define MQWARD_RULES_SOURCE_H

#include "base/buffer.h"
#include "base/diag.h"
#include "rules/scan.h"

/* Where a run of lines of a file's text comes from: its own file, or one that it includes. */
struct source_lines {
    uint32_t at; /* first line of the text, from 1 */
    const struct diag_source *source;
    uint32_t line; /* that it is in source */
};

/* A rule as the cutter sees it. libyara's own list is compared with it. */
struct source_rule {
    size_t start, end;                /* in the text of its file */
    struct view name;                 /* in the list's memory */
    const struct diag_source *source; /* its name is there, at line */
    uint32_t line;
};

/* A file with what it includes. */
struct source_file {
    struct buffer text; /* followed by a NUL that is not counted */
    struct source_lines *lines;
    size_t line_count;
    struct source_rule *rules;
    size_t rule_count;
};

struct source_set {
    struct source_file *files;
    size_t file_count;
    size_t refused_imports; /* errors that say nothing about what is missing in the text */
};

/* Reads and cuts all of it. Errors go to diag: files that can't be read, includes from elsewhere, imports
 * that the set does not grant. A file that was read before (as a file, or by an include) is not read again.
 * What could be read is in set in any case; release it. */
void source_set_read(struct source_set *set, const struct scan_source *source, struct diag_list *diag);
void source_set_release(struct source_set *set);
/* The places of a line of a file's text, and of a rule. */
struct diag_place source_place(const struct source_file *file, uint32_t line);
struct diag_place source_rule_place(const struct source_rule *rule);

#endif

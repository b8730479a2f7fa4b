/* SPDX-License-Identifier: Apache-2.0 */
/* A text that people wrote, as libyaml gets it, and where things are in it. Private to base/yaml*.c. */
#ifndef MQWARD_BASE_YAML_TEXT_H
#define MQWARD_BASE_YAML_TEXT_H

#include "base/diag.h"

/* A position. libyaml counts characters; places count bytes. */
struct yaml_cursor {
    size_t index;      /* in characters */
    size_t offset;     /* in bytes */
    size_t line_start; /* in bytes */
    uint32_t line;     /* from 1 */
};

struct yaml_text {
    struct diag_list *list;
    const struct diag_source *source;
    struct view bytes; /* the source's, with what was refused blotted out */
    size_t characters; /* in bytes */
    struct yaml_cursor cursor;
};

/* Refuses what a text file of ours can't have, and blots it out so that reading can go on with the columns
 * unchanged. False if there is no use in that: it is no text, or its indentation can't be relied on. bytes is
 * the arena's. */
bool yaml_text_check(
    struct yaml_text *text, struct arena *arena, struct diag_list *list, const struct diag_source *source);
/* The place of the character with this index. Indices of successive calls that seldom go back cost one walk
 * over the text, all together. */
struct diag_place yaml_text_place(struct yaml_text *text, size_t index);
/* The same, underlined to the character before end, or to the end of the first line. */
struct diag_place yaml_text_span(struct yaml_text *text, size_t index, size_t end);
/* The place of the last character that is not blank. */
struct diag_place yaml_text_last(struct yaml_text *text);
/* The line of a place, without its end. */
struct view yaml_text_line(const struct yaml_text *text, const struct diag_place *place);

/* What libyaml says about a text that is not YAML; indices in characters. */
struct yaml_problem {
    const char *text, *context; /* context: what it was about, or NULL */
    size_t index, context_index;
};
/* Adds an error in the words of people who do not know libyaml, at the place that is to blame. */
void yaml_syntax_report(struct yaml_text *text, const struct yaml_problem *problem);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a journal line, found without parsing it into a tree: one walk, no allocation, and bounds on
 * depth and path. For renderings of lines in other formats. Lines come from files that a crash, a disk or a
 * person may have damaged: what is no JSON object ends the walk. */
#ifndef MQWARD_EXPORTERS_RECORD_READ_H
#define MQWARD_EXPORTERS_RECORD_READ_H

#include "base/view.h"

#define RECORD_DEPTH_MAX 16  /* of objects and arrays */
#define RECORD_PATH_MAX 255U /* bytes of "a.b.c" */
#define RECORD_PATHS_MAX 64U /* looked up at once */

enum record_kind {
    RECORD_ABSENT,
    RECORD_STRING, /* text: what stands between the quotes, still escaped */
    RECORD_NUMBER, /* text: as it is written */
    RECORD_BOOLEAN,
    RECORD_NULL,
    RECORD_ARRAY, /* text: with its brackets */
};

struct record_value {
    enum record_kind kind;
    struct view text; /* points into the line */
};

/* Calls back for each member that is no object, in the order of the line; path is "event.action". Elements of
 * an array are not called for. call may be NULL. Returns 0, or -1 where the line is no JSON object of these
 * bounds: what came before was called for. */
int record_walk(struct view line, void (*call)(void *argument, struct view path, struct record_value value),
    void *argument);

/* Calls back with the end of each member of the top object: behind its value, before the comma or bracket. As
 * record_walk() otherwise. */
int record_walk_members(struct view line, void (*ended)(void *argument, size_t end), void *argument);

/* Fills in values[i] for paths[i], in one walk; RECORD_ABSENT for what is not there. The first of two members
 * with one path counts. 0, or -1 as above. */
int record_find(struct view line, const char *const *paths, size_t count, struct record_value *values);

/* The number of a RECORD_NUMBER without sign, fraction or exponent; 0 for anything else. */
uint64_t record_value_number(struct record_value value);

/* The next character of a RECORD_STRING's text as a code point, escapes resolved; *text moves behind it. What
 * is not well-formed (UTF-8, an escape, half of a surrogate pair) is U+FFFD. text must not be empty. */
uint32_t record_next_character(struct view *text);
/* Bytes of the code point in UTF-8. */
size_t record_put_character(uint32_t character, uint8_t out[4]);

/* The end of the last whole member of the top object that leaves line[0..end) + "}" within limit bytes; 0 if
 * there is none. For cutting a line to a smaller one that is JSON still. */
size_t record_cut(struct view line, size_t limit);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics about files that people write: severity, file, line, column, the line itself with a caret, what
 * was expected, and a suggestion. Collected, so that one run reports all errors. */
#ifndef MQWARD_BASE_DIAG_H
#define MQWARD_BASE_DIAG_H

#include <stdio.h>

#include "base/arena.h"
#include "base/view.h"

struct json;

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

/* A file's text; lives as long as the diagnostics about it. */
struct diag_source {
    const char *path; /* as the user named it */
    struct view text;
    /* Secrets stand in it, or may by mistake: its lines are never shown, and what is as long as a secret and
     * stands in it is left out of messages about it. */
    bool secret;
};

/* A place in it. line and column count from 1 (column in bytes); 0 = the file as a whole. length: bytes to
 * underline, at least 1. */
struct diag_place {
    const struct diag_source *source;
    uint32_t line;
    uint32_t column;
    uint32_t length;
};

struct diag_list;

struct diag_list *diag_list_new(void);
void diag_list_free(struct diag_list *list);
/* Reads path whole (at most limit bytes) into a source owned by the list. NULL and an error in the list if it
 * can't be read; referrer (may be NULL) is the place that names the file. What a file names must be a file
 * itself: the daemon would wait for the other end of a pipe. */
const struct diag_source *diag_read_file(
    struct diag_list *list, const char *path, size_t limit, const struct diag_place *referrer);
/* A source without text in the list's memory, for findings about what has none of its own (a folder). */
const struct diag_source *diag_add_source(struct diag_list *list, const char *path);
/* A source with a copy of text in the list's memory that is never quoted: struct diag_source's secret. */
const struct diag_source *diag_add_secret(struct diag_list *list, const char *path, struct view text);
/* Adds one. hint: what was expected or is suggested ("expected one of allow, deny", "did you mean
 * 'topics'?"), may be NULL; copied. */
void diag_add(struct diag_list *list, enum diag_severity severity, const struct diag_place *place,
    const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
size_t diag_errors(const struct diag_list *list);
size_t diag_warnings(const struct diag_list *list);
/* "path:line:column: error: message", the line, the caret, "  hint: ..."; in order of file and place. Control
 * characters of the quoted line are shown as '?', tabs as one blank; very long lines are cut around the
 * caret. */
void diag_print(const struct diag_list *list, FILE *out);
/* An array of {severity, file, line, column, message, hint}. */
void diag_print_json(const struct diag_list *list, struct json *json, const char *key);

/* Calls each with every finding, in the order of diag_print(); place is "path:line:column". */
void diag_each(const struct diag_list *list,
    void (*each)(void *context, enum diag_severity severity, const char *place, const char *message),
    void *context);

/* The nearest of candidates to word (Damerau-Levenshtein, at most a third of its length), else one that is
 * the beginning of the other, or NULL. */
const char *diag_suggest(struct view word, const char *const *candidates, size_t count);
/* "did you mean 'x'?" in the list's memory, or, without a near one, "expected one of a, b, c"; NULL if no
 * candidates. */
const char *diag_hint(struct diag_list *list, struct view word, const char *const *candidates, size_t count);

#endif

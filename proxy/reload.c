/* SPDX-License-Identifier: Apache-2.0 */
/* A reload builds and checks a whole new snapshot; only a good one replaces the present one. Called by
 * server_loop.c. */
#include "proxy/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/diag.h"
#include "base/log.h"
#include "base/memory.h"

struct first_error {
    struct buffer *why, *where;
};

/* Findings go to the log one by one, so that what collects logs can match each. */
static void log_finding(void *context, enum diag_severity severity, const char *place, const char *message)
{
    const struct first_error *first = context;

    LOG_EVENT(severity == DIAG_ERROR ? LOG_ERROR : LOG_WARN, "reload",
        severity == DIAG_ERROR ? "an error" : "a warning", log_string("place", place),
        log_string("finding", message));
    if (severity != DIAG_ERROR || buffer_length(first->why) > 0)
        return;
    buffer_format(first->why, "%s: %s", place, message);
    buffer_format(first->where, "%s: an error, which the log has", place);
}

/* What 'mqward check' would print. */
static void print_findings(const struct diag_list *diag, struct buffer *findings)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out == NULL)
        memory_exhausted();
    diag_print(diag, out);
    if (fclose(out) != 0)
        memory_exhausted();
    buffer_append(findings, view_of(text, length));
    free(text);
}

/* The main thread must not wait for the other end of a pipe. (The start may: it serves nobody yet.) */
static bool is_file(const char *path, struct diag_list *diag)
{
    struct diag_place place = {0};
    struct stat status;

    if (stat(path, &status) != 0 || S_ISREG(status.st_mode))
        return true;
    place.source = diag_add_source(diag, path);
    diag_add(diag, DIAG_ERROR, &place, NULL, "cannot be read: it is not a regular file");
    return false;
}

struct snapshot *reload_snapshot(const char *path, const struct snapshot *current, struct buffer *why,
    struct buffer *where, struct buffer *findings)
{
    struct first_error first = {why, where};
    struct diag_list *diag = diag_list_new();
    struct snapshot *next = is_file(path, diag) ? snapshot_load(path, diag) : NULL;
    const char *fixed = next == NULL ? NULL : snapshot_fixed_difference(current, next);

    diag_each(diag, log_finding, &first);
    print_findings(diag, findings);
    if (fixed != NULL) {
        buffer_clear(why);
        buffer_format(why, "%s: '%s' changes only with a restart", path, fixed);
        buffer_clear(where);
        buffer_append(where, buffer_view(why));
        buffer_format(findings, "%s: error: '%s' changes only with a restart\n", path, fixed);
        LOG_EVENT(LOG_ERROR, "reload", "this key changes only with a restart", log_string("key", fixed));
        snapshot_release(next);
        next = NULL;
    }
    diag_list_free(diag);
    return next;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of 'mqward audit' read: the journal of a configuration or of a directory, and places in it.
 */
#ifndef MQWARD_PROXY_CLI_AUDIT_SOURCE_H
#define MQWARD_PROXY_CLI_AUDIT_SOURCE_H

#include "exporters/journal_view.h"
#include "proxy/cli/cli.h"
#include "proxy/config.h"

struct audit_source {
    struct arena *arena;
    struct diag_list *diag;
    const struct config *config; /* NULL: it was not read, or has errors; then directory may still be known */
    const char *directory;       /* of the journal; NULL: not known */
};

/* Reads the configuration at path (NULL: the default one), or takes directory (NULL: the configuration's) as
 * it is. whole: a configuration with errors anywhere will not do. CLI_OK, or CLI_USAGE after a message; close
 * it in both cases. */
int audit_source_open(struct audit_source *source, const char *path, const char *directory, bool whole);
void audit_source_close(struct audit_source *source);

/* A point in time: the wall clock's, or a line. */
struct audit_time {
    bool is_event;
    uint64_t wall_us;
    uint64_t epoch, sequence;
};

/* RFC 3339, a duration back from now, or an event.id. NULL text: time is left as it is. False after a
 * message. */
bool audit_time_parse(
    const struct cli_command *command, const char *option, const char *text, struct audit_time *time);
#define AUDIT_TIME_HELP "such as 2026-01-02T03:04:05Z, 2h (ago), or an event.id"
/* Where it is in the journal. False after a message. */
bool audit_time_find(struct journal *view, const struct audit_time *time, struct journal_position *position);

#endif

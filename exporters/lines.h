/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery of the journal's lines by a thread that writes them (sinks file and stdout): whole lines, in
 * batches, one batch at a time. The kind says how a batch is written; everything else, cursor, fsync policy,
 * back-off and hanging, is here. */
#ifndef MQWARD_EXPORTERS_LINES_H
#define MQWARD_EXPORTERS_LINES_H

#include "base/buffer.h"
#include "exporters/exporter.h"

struct event_base;
struct lines;
struct sink;

#define LINES_DETAIL_MAX 256

/* One batch, for the thread. What could not be written comes again with written as it was left. */
struct lines_job {
    struct buffer lines; /* each with its line feed; perhaps none, then only sync and reopen are asked for */
    size_t written;      /* bytes of them; the kind moves it */
    bool sync;           /* all that was written is to be on the disk */
    bool reopen;         /* whoever rotates files asks for it */

    /* The answer. REASON_none: everything was done. */
    enum reason reason;
    char detail[LINES_DETAIL_MAX];
    bool lost; /* what was written since the last sync may not be on the disk */
};

/* The job failed: for the kinds. */
void lines_job_fail(struct lines_job *job, enum reason reason, const char *what, int error);
/* A line that was begun is written from its start again: its first part went somewhere else. */
void lines_job_restart_line(struct lines_job *job);

struct lines_kind {
    void (*work)(void *state, struct lines_job *job); /* on the thread; may block */
    void (*release)(void *state);
};

struct lines_settings {
    enum exporter_fsync fsync;
    uint64_t fsync_interval_ms;
    uint64_t timeout_ms; /* a batch that takes longer: the sink is down until it is through */
};

/* Owns state from now on. */
struct lines *lines_new(struct sink *sink, const struct lines_kind *kind, void *state,
    const struct lines_settings *settings, struct event_base *base);
/* NULL is fine. */
void lines_free(struct lines *lines);

void lines_start(struct lines *lines); /* on the loop's thread, once */
void lines_wake(struct lines *lines);  /* the journal has more lines */
void lines_flush(struct lines *lines); /* the same; the fsync interval is not waited for (sink_flush()) */
void lines_reopen(struct lines *lines);

#endif

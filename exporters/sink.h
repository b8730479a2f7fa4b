/* SPDX-License-Identifier: Apache-2.0 */
/* What every sink has: a cursor over the journal that moves only on positive answers, and a state that is up
 * or down. A kind of sink is one file with one struct sink_type; it reads lines here, delivers them its own
 * way, and says which were confirmed. Everything runs on the exporter thread and must not block it. */
#ifndef MQWARD_EXPORTERS_SINK_H
#define MQWARD_EXPORTERS_SINK_H

#include "exporters/audit.h"
#include "exporters/exporter.h"
#include "exporters/journal.h"

struct event_base;
struct sink;

struct sink_type {
    const char *name;
    /* Checks the settings and makes what delivers; connects to nothing yet. NULL and a sentence in error. */
    void *(*open)(
        struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size);
    void (*start)(void *link);  /* on the exporter thread: deliver from now on */
    void (*wake)(void *link);   /* the journal has more lines */
    void (*flush)(void *link);  /* as wake, and see sink_flush(); NULL: wake does it */
    void (*reopen)(void *link); /* whoever rotates files asks for it; NULL: the kind has none */
    void (*close)(void *link);  /* NULL is fine */
};

/* What a sink asks of the exporter. */
struct sink_owner {
    void (*report)(void *argument, const struct audit_event *event); /* an event of the sink's own */
    void (*progress)(void *argument);                                /* the confirmed position moved */
    void *argument;
};

/* name is borrowed and becomes <directory>/<name>.cursor. directory NULL: there is no such file, and delivery
 * begins at the oldest line. NULL and a sentence in error. */
struct sink *sink_open(const struct sink_type *type, const char *name, const void *settings,
    const char *directory, enum exporter_fsync fsync, struct journal *journal, struct event_base *base,
    const struct sink_owner *owner, char *error, size_t error_size);
/* Delivery begins there, whatever the cursor says. Before sink_start(). */
void sink_begin_at(struct sink *sink, struct journal_position position);
void sink_start(struct sink *sink);
void sink_wake(struct sink *sink);
/* Wakes it, and what it delivers is to be confirmed as soon as can be: the journal gets no more lines until
 * then (it is full), or none at all (the end). */
void sink_flush(struct sink *sink);
void sink_reopen(struct sink *sink);
void sink_close(struct sink *sink); /* saves the cursor; NULL is fine */

struct journal_position sink_confirmed(const struct sink *sink);
/* True if everything in the journal is confirmed. */
bool sink_is_idle(const struct sink *sink);
bool sink_is_up(const struct sink *sink);
/* Publishes how far the sink is behind; what sink_status() then tells to any thread. */
void sink_measure(struct sink *sink);
void sink_status(struct sink *sink, struct exporter_sink_status *status);
/* Writes the cursor file if it moved, atomically. */
void sink_save(struct sink *sink);

/* ---- for the kinds ---- */

const char *sink_name(const struct sink *sink);
/* The next line to deliver; false if there is none for now. Damaged places are skipped and become audit-gap
 * events. */
bool sink_next(struct sink *sink, struct journal_line *line);
/* Reading starts again behind what is confirmed (the connection is gone, who knows what arrived). */
void sink_rewind(struct sink *sink);
/* Everything before end has a positive answer. Reports sink-up after a sink-down. */
void sink_confirm(struct sink *sink, struct journal_position end);
/* Not delivered: one sink-down event until the next confirmation; the log has it as sink_trouble.h says. */
void sink_fail(struct sink *sink, enum reason reason, const char *detail);

#endif

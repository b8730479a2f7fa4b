/* SPDX-License-Identifier: Apache-2.0 */
/* The sealer: takes events from the rings, gives each its sequence, and gets them into the journal. A ring's
 * tail moves only when the journal has the line. */
#ifndef MQWARD_EXPORTERS_SEALER_H
#define MQWARD_EXPORTERS_SEALER_H

#include "exporters/audit.h"
#include "exporters/exporter.h"
#include "exporters/journal.h"

struct ring;
struct sealer;

enum sealer_result {
    SEALER_IDLE,    /* all rings are empty */
    SEALER_MORE,    /* a batch is in the journal, and there may be more */
    SEALER_BLOCKED, /* the journal takes nothing now: errno, EDQUOT when sinks have to confirm first */
};

/* Makes this run's rings and finds those of earlier runs; the latter are drained first. NULL and a sentence
 * in error. */
struct sealer *sealer_open(
    const struct exporter_settings *settings, struct journal *journal, char *error, size_t error_size);
/* Rings that are empty lose their files; what is in the others is recovered by the next run. NULL is fine. */
void sealer_close(struct sealer *sealer);

struct ring *sealer_ring(struct sealer *sealer, uint32_t index);
/* One batch. */
enum sealer_result sealer_turn(struct sealer *sealer);
bool sealer_is_empty(const struct sealer *sealer);
/* An event of the exporter itself, through a ring of its own. Its thread only. */
void sealer_report(struct sealer *sealer, const struct audit_event *event);
/* True once after a ring that may have been short of room was drained. */
bool sealer_take_relief(struct sealer *sealer);

#endif

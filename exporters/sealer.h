/* SPDX-License-Identifier: Apache-2.0 */
/* The sealer: takes events from the rings, gives each its sequence, and gets them into the journal. A ring's
 * tail moves only when the journal has the line. */
#ifndef MQWARD_EXPORTERS_SEALER_H
#define MQWARD_EXPORTERS_SEALER_H

#include "exporters/audit.h"
#include "exporters/exporter.h"
#include "exporters/journal.h"

struct chain_progress;
struct chain_recovery;
struct repeats;
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
/* The table beside it; the same thread uses both. */
struct repeats *sealer_repeats(struct sealer *sealer, uint32_t index);
/* One batch. */
enum sealer_result sealer_turn(struct sealer *sealer);
/* A checkpoint, if there are lines in the journal behind the last one: the last line of a clean stop. */
enum sealer_result sealer_sign(struct sealer *sealer);
/* About once a second: the state of the chain goes to the disk. */
void sealer_save(struct sealer *sealer);
/* Events that audit-gap events declared missing, sealed since the start. */
uint64_t sealer_lost(const struct sealer *sealer);
/* Events that were lost and that no audit-gap event has declared yet. Its thread, while producers go on. */
uint64_t sealer_lost_untold(const struct sealer *sealer);
/* How far checkpoints are (chain_writer.h). */
struct chain_progress sealer_progress(const struct sealer *sealer);
/* Fill of ring index, those of sealer_ring() and then the exporter's own. Any thread. */
size_t sealer_ring_count(const struct sealer *sealer);
void sealer_ring_status(const struct sealer *sealer, size_t index, struct exporter_ring_status *status);
bool sealer_is_empty(const struct sealer *sealer);
/* An event of the exporter itself, through a ring of its own. Its thread only. */
void sealer_report(struct sealer *sealer, const struct audit_event *event);
/* Events of what the journal's opening and the chain's comparison found. */
void sealer_report_opening(
    struct sealer *sealer, const struct journal *journal, const struct chain_recovery *recovery);
/* True once after a ring that may have been short of room was drained. */
bool sealer_take_relief(struct sealer *sealer);

#endif

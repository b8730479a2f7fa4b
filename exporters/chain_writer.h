/* SPDX-License-Identifier: Apache-2.0 */
/* The chain as the sealer writes it: where it is, when a checkpoint is due, and what of it survives a death.
 * A batch is sealed ahead of the state; the state moves when the journal has the lines, and over as many as
 * it has. The exporter's thread only. */
#ifndef MQWARD_EXPORTERS_CHAIN_WRITER_H
#define MQWARD_EXPORTERS_CHAIN_WRITER_H

#include "exporters/chain_recover.h"
#include "exporters/checkpoint.h"
#include "exporters/exporter.h"
#include "exporters/journal.h"

struct chain_writer;

/* The texts that a checkpoint's record borrows. */
struct chain_checkpoint {
    struct record_checkpoint record;
    struct checkpoint place;
    char signature[89]; /* base64 with its NUL */
};

/* Opens or makes the state and the signing key, compares the state with the journal, and begins a new start
 * in the journal's epoch. The state of it is on the disk when this returns. NULL and a sentence in error. */
struct chain_writer *chain_writer_open(
    const struct exporter_settings *settings, struct journal *journal, char *error, size_t error_size);
/* NULL is fine. */
void chain_writer_close(struct chain_writer *writer);
/* Gets the state to the disk (not with EXPORTER_FSYNC_NEVER): until then an older one is there, whose key
 * seals the lines since. Who can read the disk should find no key of long ago. */
void chain_writer_sync(struct chain_writer *writer);
/* What opening found: each is to be an audit-gap event. */
const struct chain_recovery *chain_writer_recovery(const struct chain_writer *writer);

/* A batch of lines begins, behind what was committed: what was sealed and not committed is forgotten.
 * sealed_us: of its first line, wall clock. */
void chain_writer_begin(struct chain_writer *writer, uint64_t sealed_us);
/* True if the next line has to be a checkpoint: the first one of a start, after so many lines, or when a line
 * has waited for so long. */
bool chain_writer_is_due(const struct chain_writer *writer);
/* True if lines were committed since the last checkpoint. */
bool chain_writer_has_unsigned(const struct chain_writer *writer);
/* How far checkpoints are, of what was committed. */
struct chain_progress {
    uint64_t checkpoint_us;     /* about when the last one of this process was sealed, wall clock; 0: none */
    uint64_t unsigned_lines;    /* behind it */
    uint64_t unsigned_since_ms; /* since when the oldest of them waits, monotonic; 0: there is none */
};
struct chain_progress chain_writer_progress(const struct chain_writer *writer);
/* The checkpoint that is the next line, signed. wall_us: its @timestamp. */
void chain_writer_checkpoint(
    const struct chain_writer *writer, uint64_t wall_us, struct chain_checkpoint *checkpoint);
/* Seals the line of record_render() that begins at offset from of lines, and is the last one there. */
void chain_writer_seal(struct chain_writer *writer, struct buffer *lines, size_t from, bool checkpoint);
/* The journal has the first whole lines of the batch; ends as for journal_append(). Moves the state. */
void chain_writer_commit(
    struct chain_writer *writer, struct view lines, const size_t *ends, size_t count, size_t whole);

#endif

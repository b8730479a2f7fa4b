/* SPDX-License-Identifier: Apache-2.0 */
/* The journal: a directory of NDJSON segments, journal-<epoch>-<first sequence>.ndjson, in which a line is
 * written once and never changed. The exporter thread is its only user; other processes may read the files.
 */
#ifndef MQWARD_EXPORTERS_JOURNAL_H
#define MQWARD_EXPORTERS_JOURNAL_H

#include <limits.h>

#include "base/buffer.h"
#include "exporters/exporter.h"
#include "exporters/record.h"

struct journal;
struct journal_reader;

#define JOURNAL_NAME_MAX 64
#define JOURNAL_QUOTA_MIN ((uint64_t)1024 * 1024)

/* What the chain knows of the journal, whose files anybody may have put there. */
struct journal_chain {
    uint64_t epoch;     /* of the last line that it knows */
    uint64_t sealed_us; /* its event.created */
    /* True if a line beyond that one holds. NULL: there is no chain yet, and every line is believed. */
    bool (*holds)(const void *argument, struct view line);
    const void *argument;
};

struct journal_settings {
    const char *directory;
    enum exporter_fsync fsync;
    uint64_t segment_bytes;
    uint64_t quota_bytes;
    uint64_t retention_ms;
    struct journal_chain chain; /* for journal_open() */
};

/* A place between two lines: offset bytes into the segment that epoch and first sequence name. */
struct journal_position {
    uint64_t epoch;
    uint64_t first;
    uint64_t offset;
};

/* Before everything, and after everything (no sink: all is confirmed). */
#define JOURNAL_START ((struct journal_position){0, 0, 0})
#define JOURNAL_NO_SINK ((struct journal_position){UINT64_MAX, UINT64_MAX, UINT64_MAX})

int journal_position_compare(struct journal_position a, struct journal_position b);

/* What opening found torn and cut, or of a time to come. */
struct journal_repair {
    char name[JOURNAL_NAME_MAX]; /* of the segment; the cut bytes are in <name>.torn */
    uint64_t bytes;
    bool aside; /* all of it is in <name>.damaged-<time> */
};

/* Locks the directory, lists the segments, repairs torn tails, draws a new epoch. NULL and a sentence in
 * error. */
struct journal *journal_open(const struct journal_settings *settings, char *error, size_t error_size);
void journal_close(struct journal *journal); /* NULL is fine */

uint64_t journal_epoch(const struct journal *journal);
/* The sequence of the next line; 1 at first. */
uint64_t journal_next_sequence(const struct journal *journal);
/* The time to seal the next lines with: the wall clock's, but never before an earlier line of this epoch, and
 * a later millisecond than every line of an earlier epoch, so that <milliseconds>-<sequence> only grows. */
uint64_t journal_seal_time(struct journal *journal);
/* The time of the last line that was sealed, or of the last one of earlier epochs; 0: there is none. */
uint64_t journal_sealed_us(const struct journal *journal);
/* The repairs of journal_open(). */
const struct journal_repair *journal_repairs(const struct journal *journal, size_t *count);
/* Bytes of all segments. */
uint64_t journal_bytes(const struct journal *journal);

/* Appends lines; ends[i] is the offset in lines behind the newline of line i. A segment never becomes larger
 * than its settings say, unless one line alone is. With EXPORTER_FSYNC_ALWAYS they are on disk when this
 * returns. Returns how many lines are in the journal for good, from the first on; fewer than count with errno
 * set: EDQUOT (the quota is full of what a sink has not confirmed), ENOSPC, EIO, ... The rest left no trace
 * and may be tried again. */
size_t journal_append(struct journal *journal, struct view lines, const size_t *ends, size_t count);
/* Everything appended is on disk (nothing to do with EXPORTER_FSYNC_NEVER). 0 or -1 (errno). */
int journal_sync(struct journal *journal);
/* How often the disk did not take what was written. */
uint64_t journal_sync_failures(const struct journal *journal);
/* What befell the files, for the trail. */
struct journal_incidents {
    uint64_t written_again; /* lines that the disk took at the second attempt */
    uint64_t displaced;  /* segments that were deleted, moved, cut or appended to while they were written */
    bool directory_made; /* the directory was deleted, and made anew */
};
/* What there was since the last call; false: nothing. */
bool journal_take_incidents(struct journal *journal, struct journal_incidents *incidents);
/* What all sinks have confirmed: segments that end at or before it may be deleted. */
void journal_set_floor(struct journal *journal, struct journal_position floor);
/* True if the oldest segment can't be deleted before sinks confirm it: what was refused with EDQUOT would be
 * refused again. */
bool journal_waits_for_sinks(const struct journal *journal);
/* Deletes confirmed segments that are older than the retention. */
void journal_retain(struct journal *journal);

/* ---- reading ---- */

enum journal_read {
    JOURNAL_LINE,
    JOURNAL_END,     /* nothing more for now */
    JOURNAL_DAMAGED, /* something that is no line was skipped; go on */
    JOURNAL_FAILED,  /* errno; try again later */
};

struct journal_line {
    struct view text; /* without its newline; valid until the next call */
    struct record_head head;
    struct journal_position end; /* behind it */
};

/* Starts at position: at the first segment after it if its own is gone. */
struct journal_reader *journal_reader_new(struct journal *journal, struct journal_position position);
void journal_reader_free(struct journal_reader *reader); /* NULL is fine */
void journal_reader_seek(struct journal_reader *reader, struct journal_position position);
enum journal_read journal_reader_next(struct journal_reader *reader, struct journal_line *line);
/* Where the next line is looked for. */
struct journal_position journal_reader_position(const struct journal_reader *reader);
/* True if position is between two lines of an existing segment, or in a segment that retention has deleted.
 */
bool journal_position_holds(struct journal *journal, struct journal_position position);
/* The end of what is in the journal now. */
struct journal_position journal_end(const struct journal *journal);
/* Bytes of lines behind position. Its cost grows with the number of segments behind it. */
uint64_t journal_behind(const struct journal *journal, struct journal_position position);

/* ---- between the journal_*.c ---- */

struct journal_segment {
    uint64_t epoch;
    uint64_t first;
    uint64_t bytes;      /* of whole lines */
    uint64_t written_ms; /* wall clock of the last write */
};

const struct journal_segment *journal_segments(const struct journal *journal, size_t *count);
/* The segment at or after (epoch, first), or NULL. */
const struct journal_segment *journal_find(const struct journal *journal, uint64_t epoch, uint64_t first);
int journal_open_segment(const struct journal *journal, const struct journal_segment *segment, int flags);
void journal_segment_name(const struct journal_segment *segment, char name[JOURNAL_NAME_MAX]);
/* True if descriptor is still the file that the segment's name leads to. */
bool journal_segment_is_named(int directory, int descriptor, const struct journal_segment *segment);
/* And has all of its lines in it, and behind them at most overhang bytes. */
bool journal_segment_in_place(
    int directory, int descriptor, const struct journal_segment *segment, uint64_t overhang);
/* False if it is not a segment's name. */
bool journal_segment_parse(const char *name, struct journal_segment *segment);
/* Cuts what is no whole line of ours from the end of a segment's file into <name>.torn; sets segment->bytes,
 * *cut and the last line's head (all zero without one). 0 or -1 (errno). */
int journal_repair_tail(
    int directory, struct journal_segment *segment, uint64_t *cut, struct record_head *last);

#endif

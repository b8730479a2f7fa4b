/* SPDX-License-Identifier: Apache-2.0 */
/* What a journal is made of: for journal.c, which writes it, and journal_view.c, which only looks. */
#ifndef MQWARD_EXPORTERS_JOURNAL_PRIVATE_H
#define MQWARD_EXPORTERS_JOURNAL_PRIVATE_H

#include "exporters/journal.h"

#define JOURNAL_MAGIC 0x6a6f7572U
#define JOURNAL_LOCK "lock"

/* A segment that somebody deleted while it was written: still readable here. */
struct journal_kept {
    uint64_t epoch;
    uint64_t first;
    int descriptor;
};

struct journal {
    uint32_t magic;
    struct journal_settings settings;
    int directory;
    int lock;
    struct journal_segment *segments; /* ascending; the last one is open when descriptor is not -1 */
    size_t segment_count, segment_capacity;
    int descriptor;
    bool dirty;        /* written, not synced */
    uint64_t overhang; /* bytes that a failed write left behind segment->bytes: cut before the next write */
    uint64_t bytes;    /* of all segments */
    uint64_t epoch;
    uint64_t sequence;  /* of the next line */
    uint64_t sealed_us; /* the latest event.created */
    struct journal_position floor;
    struct journal_repair *repairs;
    size_t repair_count;

    struct buffer unsynced; /* EXPORTER_FSYNC_INTERVAL: the last lines, since the disk took some */
    bool write_again;       /* the disk did not take them */
    uint64_t sync_failures;
    struct journal_kept *kept;
    size_t kept_count;
    struct journal_incidents incidents;
};

/* journal_open.c */
struct journal_segment *journal_add_segment(struct journal *journal, const struct journal_segment *segment);
/* Locks the directory, and the lock file in it, whose descriptor is returned; -1 (EWOULDBLOCK: another
 * process has it). */
int journal_lock_directory(int directory);
/* Renames what has a segment's name and is none of ours to <name>.damaged-<time>; says so in repair (may be
 * NULL). 0 or -1 (errno). */
int journal_set_aside(
    struct journal *journal, const struct journal_segment *segment, struct journal_repair *repair);
/* Lists the directory's segments, sorted. 0 or -1 (errno). */
int journal_list(struct journal *journal);

/* journal_sync.c */
/* The lines that were appended last, all of them whole. */
void journal_keep_unsynced(struct journal *journal, struct view lines);
void journal_forget_unsynced(struct journal *journal);
/* Writes again what the disk did not take; 0 if there is nothing, -1 (errno) if it does not take it yet. */
int journal_settle(struct journal *journal);
/* As pread(), of [from, from + size) of a segment's lines; what may not be on the disk comes from memory. */
ssize_t journal_read(const struct journal *journal, const struct journal_segment *segment, int descriptor,
    uint8_t *out, size_t size, uint64_t from);

/* journal_gone.c */
/* The segment that is written lost its name: its descriptor stays open for readers. */
void journal_keep_open(struct journal *journal, const struct journal_segment *segment, int descriptor);
void journal_let_go(struct journal *journal, const struct journal_segment *segment);
void journal_let_all_go(struct journal *journal);
/* A descriptor of its own, for reading; -1 (errno). */
int journal_open_to_read(const struct journal *journal, const struct journal_segment *segment);
/* Makes the directory anew if it was deleted. 0, or -1 (errno; ENOENT: it was not, or can't be made). */
int journal_make_directory(struct journal *journal);

#endif

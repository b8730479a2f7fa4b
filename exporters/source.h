/* SPDX-License-Identifier: Apache-2.0 */
/* The ring files of the audit directory, ring-<run>-<index>.ring, and the tables beside them of what is in no
 * ring, repeats-<run>-<index>.table: those of this run, and those that earlier runs left. A run has its own
 * files, so that a record's origin (run, ring, serial) is unique for ever, and other numbers or sizes of
 * rings in the next run do not matter. */
#ifndef MQWARD_EXPORTERS_SOURCE_H
#define MQWARD_EXPORTERS_SOURCE_H

#include "base/ring.h"
#include "exporters/journal.h"
#include "exporters/repeats.h"

struct source {
    struct ring *ring;
    struct repeats *repeats;
    char *path;
    uint64_t run;
    uint32_t index;
    bool damaged;         /* records may be missing */
    uint64_t last_serial; /* the latest that is in the journal, 0: unknown */
    uint64_t inherited;   /* so many of the next records are an earlier run's */
};

struct source_list {
    struct source *items;
    size_t count;
};

/* True of the names of rings and tables. */
bool source_is_name(const char *name);
/* Opens or makes the files. 0, or -1 and a sentence in error. */
int source_open(struct source *source, const char *directory, uint64_t run, uint32_t index, size_t capacity,
    const struct repeats_options *options, char *error, size_t error_size);
/* Closes ring and table; unlinks the files if asked to. */
void source_close(struct source *source, bool unlink_files);
/* All that the source had to tell is in the ring, and that is empty. */
bool source_is_empty(const struct source *source);
/* The files of other runs than this one, opened, without the records that the journal has already. */
int source_list_find(struct source_list *list, const char *directory, uint64_t run, struct journal *journal,
    char *error, size_t error_size);
void source_list_remove(struct source_list *list, size_t index); /* does not close */
/* Closes and unlinks those that are whole and have nothing to tell: their space is free for the new ones. */
void source_list_drop_empty(struct source_list *list);
/* Gives the file of a whole ring that has nothing to tell, with this index and capacity, this run's name: on
 * a full disk its space would not come back. Not where source_list_inherit() finds one. */
void source_list_recycle(
    struct source_list *list, const char *directory, uint64_t run, uint32_t index, size_t capacity);
/* Takes an earlier run's source over as this run's: one that has something to tell, with this index and
 * capacity. Its serials go on, so that origins stay unique. However often a process dies while the journal
 * takes nothing, there are no more files than this. 1: done, 0: there is none, -1 and a sentence in error. */
int source_list_inherit(struct source_list *list, const char *directory, uint32_t index, size_t capacity,
    const struct repeats_options *options, struct source *source, char *error, size_t error_size);

#endif

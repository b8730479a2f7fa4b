/* SPDX-License-Identifier: Apache-2.0 */
/* The ring files of the audit directory, ring-<run>-<index>.ring: those of this run, and those that earlier
 * runs left. A run has its own files, so that a record's origin (run, ring, serial) is unique for ever, and
 * other numbers or sizes of rings in the next run do not matter. */
#ifndef MQWARD_EXPORTERS_SOURCE_H
#define MQWARD_EXPORTERS_SOURCE_H

#include "base/ring.h"
#include "exporters/journal.h"

struct source {
    struct ring *ring;
    char *path;
    uint64_t run;
    uint32_t index;
    bool damaged;         /* records may be missing */
    uint64_t last_serial; /* the latest that is in the journal, 0: unknown */
};

struct source_list {
    struct source *items;
    size_t count;
};

/* Opens or makes the file. 0, or -1 and a sentence in error. */
int source_open(struct source *source, const char *directory, uint64_t run, uint32_t index, size_t capacity,
    char *error, size_t error_size);
/* Closes the ring; unlinks the file if asked to. */
void source_close(struct source *source, bool unlink_file);
/* The files of other runs than this one, opened, without the records that the journal has already. */
int source_list_find(struct source_list *list, const char *directory, uint64_t run, struct journal *journal,
    char *error, size_t error_size);
void source_list_remove(struct source_list *list, size_t index); /* does not close */

#endif

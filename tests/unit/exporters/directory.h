/* SPDX-License-Identifier: Apache-2.0 */
/* An audit directory for one test, and what is in its journal. */
#ifndef MQWARD_TESTS_EXPORTERS_DIRECTORY_H
#define MQWARD_TESTS_EXPORTERS_DIRECTORY_H

#include "exporters/exporter.h"
#include "exporters/journal.h"

#define DIRECTORY_MAX 64

/* Makes a directory under /tmp; directory_remove() deletes it with what is in it. */
void directory_make(char path[DIRECTORY_MAX]);
void directory_remove(const char *path);
/* Files whose names contain part. The first one's path goes to found (NULL: not wanted). */
size_t directory_count(const char *path, const char *part, char found[256]);

struct exporter_settings directory_settings(const char *path);
/* Settings of a journal alone. */
struct journal_settings directory_journal(const char *path);

/* Waits until the condition holds, at most a minute. */
#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        uint64_t wait_until = clock_monotonic_ms() + 60000;                                                  \
        bool wait_met;                                                                                       \
        while (!(wait_met = (condition)) && clock_monotonic_ms() < wait_until)                               \
            usleep(2000);                                                                                    \
        cr_assert(wait_met, "not within a minute: " #condition);                                             \
    } while (0)

/* For exporter_close(), where all is to be delivered: it returns as soon as it is. */
#define CLOSE_MS 60000

/* Calls each line of the journal, in order, with its parsed head. Only while no journal is open. Returns how
 * many. */
size_t directory_lines(const char *path,
    void (*call)(void *argument, struct view line, const struct record_head *head), void *argument);
/* The journal's lines with the action. */
size_t directory_actions(const char *path, const char *action);
/* Asserts: lines parse, sequences are gapless from 1 in each epoch, no origin occurs twice. Marks which
 * numbers of event_numbered() are there (seen may be NULL) and returns how many lines there are that are no
 * checkpoints. */
size_t directory_check(const char *path, uint8_t *seen, size_t seen_size);

#endif

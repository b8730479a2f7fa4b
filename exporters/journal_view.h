/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a journal directory that another process may be writing: no lock is taken and nothing is
 * changed. For the command line: verify, tail, replay. */
#ifndef MQWARD_EXPORTERS_JOURNAL_VIEW_H
#define MQWARD_EXPORTERS_JOURNAL_VIEW_H

#include "exporters/journal.h"
#include "exporters/line_reader.h"

/* A journal to read from (journal_segments(), journal_reader_new(), journal_position_holds(), journal_end()),
 * as the directory is now. It ends with the newest segment's last whole line. directory is borrowed. Free
 * with journal_close(). NULL and a sentence in error. */
struct journal *journal_view_open(const char *directory, char *error, size_t error_size);
/* Looks again: segments that were deleted go, new ones and what was added come. 0 or -1 (errno; the view
 * stays as it was). */
int journal_view_refresh(struct journal *view);
/* Nothing behind position is in the view until the next refresh. */
void journal_view_cut(struct journal *view, struct journal_position position);

/* The position of the first line that was sealed (event.created) at or after sealed_us; the end if there is
 * none. 0 or -1 (errno). */
int journal_view_find_time(struct journal *view, uint64_t sealed_us, struct journal_position *position);
/* The position of a line. 0; 1: the journal does not have it; -1 (errno). */
int journal_view_find_event(
    struct journal *view, uint64_t epoch, uint64_t sequence, struct journal_position *position);

/* Calls stray() for each file of the directory that has the name of a segment, or nearly, and is not read as
 * one. 0 or -1 (errno). */
int journal_view_stray(struct journal *view, void (*stray)(void *argument, const char *name), void *argument);

/* ---- the bytes of all segments, line by line, whatever they are ---- */

struct journal_text {
    struct view text;              /* without its newline; valid until the next call */
    char name[JOURNAL_NAME_MAX];   /* of the segment */
    uint64_t number;               /* of the line in it, from 1; counted from where reading began */
    struct journal_position start; /* of the line */
};

struct journal_texts;

struct journal_texts *journal_texts_new(struct journal *view, struct journal_position from);
void journal_texts_free(struct journal_texts *texts); /* NULL is fine */
/* LINE_END: nothing more for now; after a journal_view_refresh() there may be. LINE_GONE: the
 * segment that starts at line->start was deleted before it could be read; reading goes on with the next one.
 */
enum line_read journal_texts_next(struct journal_texts *texts, struct journal_text *line);
/* Bytes behind the last newline of the segment that is read: half a line. */
struct view journal_texts_rest(const struct journal_texts *texts);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a file, a pipe or a terminal, of which nothing is known: any bytes, any length, memory for one
 * line at most. */
#ifndef MQWARD_EXPORTERS_LINE_READER_H
#define MQWARD_EXPORTERS_LINE_READER_H

#include "base/buffer.h"

enum line_read {
    LINE_WHOLE,
    LINE_TOO_LONG, /* longer than RECORD_LINE_MAX: it was skipped; only its start is shown */
    LINE_GONE,     /* of a journal: the file is not there any more */
    LINE_END,      /* no whole line for now; asked again, the file may have grown */
    LINE_FAILED,   /* errno */
};

struct line_reader {
    int descriptor;  /* borrowed */
    uint64_t offset; /* of the next line, counted from where reading began */
    uint64_t number; /* of the line that was handed out last, from 1 */
    /* the reader's own */
    struct buffer buffer;
    size_t shown;
    bool skipping; /* within a line that is too long */
};

void line_reader_open(struct line_reader *reader, int descriptor);
void line_reader_close(struct line_reader *reader); /* leaves the descriptor open */
/* text is without the newline, and valid until the next call. */
enum line_read line_reader_next(struct line_reader *reader, struct view *text);
/* At LINE_END: what is there of the next line. Empty within one that is too long. */
struct view line_reader_rest(const struct line_reader *reader);

#endif

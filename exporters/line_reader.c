/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the cutting of bytes into lines for the tools that read journals and their copies. */
#include "exporters/line_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "exporters/record.h"

#define LINE_READER_CHUNK ((size_t)64 * 1024)
#define LINE_READER_START ((size_t)256) /* what is shown of a line that is too long */

void line_reader_open(struct line_reader *reader, int descriptor)
{
    *reader = (struct line_reader){.descriptor = descriptor};
}

void line_reader_close(struct line_reader *reader)
{
    buffer_release(&reader->buffer);
}

static ssize_t line_reader_fill(struct line_reader *reader)
{
    uint8_t *room = buffer_reserve(&reader->buffer, LINE_READER_CHUNK);
    ssize_t count;

    do
        count = read(reader->descriptor, room, LINE_READER_CHUNK);
    while (count == -1 && errno == EINTR);
    if (count > 0)
        reader->buffer.end += (size_t)count;
    return count;
}

/* Within a line that is too long, a hole in its file is stepped over: it has no newline, and may be larger
 * than what could be read in a day. Where there are none (pipes, some file systems) nothing happens. */
static void line_reader_leap(struct line_reader *reader)
{
    const off_t here = lseek(reader->descriptor, 0, SEEK_CUR);

    if (here == -1)
        return;
    /* The end is looked up first: what is added meanwhile is not stepped over. */
    const off_t end = lseek(reader->descriptor, 0, SEEK_END);
    off_t data = lseek(reader->descriptor, here, SEEK_DATA);
    if (data == -1 && errno == ENXIO)
        data = end;
    data = data > here ? data : here;
    if (lseek(reader->descriptor, data, SEEK_SET) == data)
        reader->offset += (uint64_t)(data - here);
}

/* Drops bytes up to and with the next newline. LINE_TOO_LONG: it was found. */
static enum line_read line_reader_skip(struct line_reader *reader)
{
    for (;;) {
        struct view have = buffer_view(&reader->buffer);
        const uint8_t *newline = have.length == 0 ? NULL : memchr(have.data, '\n', have.length);
        size_t drop = newline == NULL ? have.length : (size_t)(newline - have.data) + 1;
        buffer_consume(&reader->buffer, drop);
        reader->offset += drop;
        if (newline != NULL) {
            reader->skipping = false;
            return LINE_TOO_LONG;
        }
        line_reader_leap(reader);
        ssize_t count = line_reader_fill(reader);
        if (count <= 0)
            return count == 0 ? LINE_END : LINE_FAILED;
    }
}

enum line_read line_reader_next(struct line_reader *reader, struct view *text)
{
    buffer_consume(&reader->buffer, reader->shown);
    reader->offset += reader->shown;
    reader->shown = 0;
    if (reader->skipping) {
        enum line_read skipped = line_reader_skip(reader);
        if (skipped != LINE_TOO_LONG)
            return skipped;
    }
    for (size_t searched = 0;;) {
        struct view have = buffer_view(&reader->buffer);
        const uint8_t *newline =
            have.length > searched ? memchr(have.data + searched, '\n', have.length - searched) : NULL;
        size_t length = newline == NULL ? have.length : (size_t)(newline - have.data);
        if (length > RECORD_LINE_MAX) {
            /* Said now, so that its start can be shown; the rest of it goes with the next call. */
            *text = view_of(have.data, LINE_READER_START);
            reader->number++;
            reader->skipping = true;
            return LINE_TOO_LONG;
        }
        if (newline != NULL) {
            *text = view_of(have.data, length);
            reader->shown = length + 1;
            reader->number++;
            return LINE_WHOLE;
        }
        searched = have.length;
        ssize_t count = line_reader_fill(reader);
        if (count <= 0)
            return count == 0 ? LINE_END : LINE_FAILED;
    }
}

struct view line_reader_rest(const struct line_reader *reader)
{
    return reader->skipping ? (struct view){NULL, 0} : view_skip(buffer_view(&reader->buffer), reader->shown);
}

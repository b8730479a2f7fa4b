/* SPDX-License-Identifier: Apache-2.0 */
/* Owns reading the journal from a position: one reader a sink, and one while recovering. Called by the
 * exporter thread. It reads only what journal_append() has reported, so it never sees half a line of this
 * run; what an earlier run or the disk left damaged is skipped and said. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "exporters/journal_private.h"

#define READER_MAGIC 0x72656164U
#define READER_CHUNK ((size_t)64 * 1024)

struct journal_reader {
    uint32_t magic;
    struct journal *journal;
    struct journal_position position; /* of the first byte in buffer */
    struct buffer buffer;
    size_t shown;   /* bytes of the line that was handed out: consumed by the next call */
    int descriptor; /* of the segment of position, or -1 */
};

struct journal_reader *journal_reader_new(struct journal *journal, struct journal_position position)
{
    struct journal_reader *reader = memory_calloc(1, sizeof(*reader));

    reader->magic = READER_MAGIC;
    reader->journal = journal;
    reader->position = position;
    reader->descriptor = -1;
    return reader;
}

void journal_reader_seek(struct journal_reader *reader, struct journal_position position)
{
    assert(reader->magic == READER_MAGIC);
    if (reader->descriptor != -1)
        close(reader->descriptor);
    reader->descriptor = -1;
    reader->shown = 0;
    buffer_clear(&reader->buffer);
    reader->position = position;
}

void journal_reader_free(struct journal_reader *reader)
{
    if (reader == NULL)
        return;
    journal_reader_seek(reader, JOURNAL_START);
    buffer_release(&reader->buffer);
    reader->magic = 0;
    free(reader);
}

struct journal_position journal_reader_position(const struct journal_reader *reader)
{
    struct journal_position position = reader->position;

    position.offset += reader->shown;
    return position;
}

/* The segment to read from next, opened. JOURNAL_LINE if there are bytes to read in it. */
static enum journal_read reader_locate(struct journal_reader *reader, const struct journal_segment **out)
{
    for (;;) {
        struct journal_position at = reader->position;
        const struct journal_segment *segment = journal_find(reader->journal, at.epoch, at.first);
        if (segment == NULL)
            return JOURNAL_END;
        bool same = segment->epoch == at.epoch && segment->first == at.first;
        if (same && at.offset + buffer_length(&reader->buffer) >= segment->bytes) {
            if (buffer_length(&reader->buffer) > 0) { /* a closed segment that does not end with a newline */
                journal_reader_seek(reader, (struct journal_position){at.epoch, at.first, segment->bytes});
                return JOURNAL_DAMAGED;
            }
            segment = journal_find(reader->journal, at.epoch, at.first + 1);
            if (segment == NULL)
                return JOURNAL_END;
            same = false;
        }
        if (!same) {
            journal_reader_seek(reader, (struct journal_position){segment->epoch, segment->first, 0});
            continue;
        }
        if (reader->descriptor == -1)
            reader->descriptor = journal_open_to_read(reader->journal, segment);
        *out = segment;
        return reader->descriptor == -1 ? JOURNAL_FAILED : JOURNAL_LINE;
    }
}

/* Gets more bytes behind those in the buffer. JOURNAL_LINE: there are more now. */
static enum journal_read reader_fill(struct journal_reader *reader)
{
    const struct journal_segment *segment = NULL;
    enum journal_read located = reader_locate(reader, &segment);

    if (located == JOURNAL_FAILED && errno == ENOENT) {
        /* Somebody deleted the file: what was in it can't be delivered, and waiting would not bring it back.
         */
        const struct journal_segment *gone =
            journal_find(reader->journal, reader->position.epoch, reader->position.first);
        journal_reader_seek(reader, (struct journal_position){gone->epoch, gone->first, gone->bytes});
        return JOURNAL_DAMAGED;
    }
    if (located != JOURNAL_LINE)
        return located;
    uint64_t from = reader->position.offset + buffer_length(&reader->buffer);
    uint64_t left = segment->bytes - from;
    size_t size = left < READER_CHUNK ? (size_t)left : READER_CHUNK;
    uint8_t *room = buffer_reserve(&reader->buffer, size);
    ssize_t count = journal_read(reader->journal, segment, reader->descriptor, room, size, from);
    if (count > 0) {
        reader->buffer.end += (size_t)count;
        return JOURNAL_LINE;
    }
    if (count == 0) { /* the file is shorter than it was: somebody cut it */
        journal_reader_seek(reader,
            (struct journal_position){reader->position.epoch, reader->position.first, segment->bytes});
        return JOURNAL_DAMAGED;
    }
    /* The next try opens the file anew: whoever moves it away gets us over it. */
    int saved = errno;
    journal_reader_seek(reader, reader->position);
    errno = saved;
    return JOURNAL_FAILED;
}

static void reader_consume(struct journal_reader *reader, size_t count)
{
    buffer_consume(&reader->buffer, count);
    reader->position.offset += count;
}

enum journal_read journal_reader_next(struct journal_reader *reader, struct journal_line *line)
{
    assert(reader->magic == READER_MAGIC);
    reader_consume(reader, reader->shown);
    reader->shown = 0;
    for (size_t searched = 0;;) {
        struct view have = buffer_view(&reader->buffer);
        const uint8_t *newline =
            have.length > searched ? memchr(have.data + searched, '\n', have.length - searched) : NULL;
        if (newline != NULL) {
            line->text = view_of(have.data, (size_t)(newline - have.data));
            if (record_parse_head(line->text, &line->head) == 0 &&
                line->head.epoch == reader->position.epoch) {
                reader->shown = line->text.length + 1;
                line->end = journal_reader_position(reader);
                return JOURNAL_LINE;
            }
            reader_consume(reader, line->text.length + 1);
            return JOURNAL_DAMAGED;
        }
        searched = have.length;
        if (searched > RECORD_LINE_MAX) { /* no line of ours: skip it piece by piece */
            reader_consume(reader, searched);
            return JOURNAL_DAMAGED;
        }
        enum journal_read filled = reader_fill(reader);
        if (filled != JOURNAL_LINE)
            return filled;
    }
}

bool journal_position_holds(struct journal *journal, struct journal_position position)
{
    const struct journal_segment *segment = journal_find(journal, position.epoch, position.first);
    uint8_t before = 0;

    if (position.epoch >= journal_epoch(journal))
        return false; /* of a time to come */
    if (segment == NULL || segment->epoch != position.epoch || segment->first != position.first)
        return true;
    if (position.offset == 0)
        return true;
    if (position.offset > segment->bytes)
        return false;
    int descriptor = journal_open_to_read(journal, segment);
    if (descriptor == -1)
        return false;
    ssize_t count = pread(descriptor, &before, 1, (off_t)(position.offset - 1));
    close(descriptor);
    return count == 1 && before == '\n';
}

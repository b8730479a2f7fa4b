/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the repair of a segment's end: what is no whole line of ours is cut, and kept aside in <name>.torn.
 * Called by journal_open() for every segment, before anything reads it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "exporters/journal.h"

#define REPAIR_WINDOW (2 * RECORD_LINE_MAX)

/* Reads exactly size bytes. 0 or -1 (errno). */
static int repair_read(int descriptor, uint8_t *out, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t count = pread(descriptor, out + done, size - done, (off_t)(offset + done));
        if (count == -1 && errno == EINTR)
            continue;
        if (count <= 0) {
            errno = count == 0 ? EIO : errno;
            return -1;
        }
        done += (size_t)count;
    }
    return 0;
}

static bool repair_is_line(struct view line, const struct journal_segment *segment, struct record_head *head)
{
    return record_parse_head(line, head) == 0 && head->epoch == segment->epoch &&
           head->sequence >= segment->first;
}

/* Moves *end back to the end of the last whole line, window by window: a power cut may leave megabytes of
 * zeros. */
static int repair_find_end(
    int descriptor, const struct journal_segment *segment, uint64_t *end, struct record_head *head)
{
    uint8_t *window = memory_calloc(REPAIR_WINDOW, 1);
    int status = 0;

    while (*end > 0) {
        size_t size = *end < REPAIR_WINDOW ? (size_t)*end : REPAIR_WINDOW;
        uint64_t start = *end - size;
        status = repair_read(descriptor, window, size, start);
        if (status == -1)
            break;
        const uint8_t *newline = memrchr(window, '\n', size);
        if (newline == NULL) { /* no line ends in here */
            *end = start;
            continue;
        }
        if (newline != window + size - 1) { /* bytes behind the last newline: the torn line */
            *end = start + (uint64_t)(newline - window) + 1;
            continue;
        }
        const uint8_t *before = memrchr(window, '\n', size - 1);
        size_t begin = before == NULL ? 0 : (size_t)(before - window) + 1;
        bool whole = before != NULL || start == 0; /* otherwise longer than any line of ours */
        if (whole && repair_is_line(view_of(window + begin, size - 1 - begin), segment, head))
            break;
        *end = start + begin;
    }
    if (*end == 0)
        *head = (struct record_head){0};
    free(window);
    return status;
}

/* Copies [from, to) behind what <name>.torn has, and gets it to the disk before the segment is cut. */
static int repair_keep_aside(int directory, int descriptor, const char *name, uint64_t from, uint64_t to)
{
    char torn[JOURNAL_NAME_MAX + 8];
    uint8_t chunk[16384];
    int out, status = 0;

    snprintf(torn, sizeof(torn), "%s.torn", name);
    out = openat(directory, torn, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out == -1)
        return -1;
    while (status == 0 && from < to) {
        size_t size = to - from < sizeof(chunk) ? (size_t)(to - from) : sizeof(chunk);
        status = repair_read(descriptor, chunk, size, from);
        if (status == 0 && write(out, chunk, size) != (ssize_t)size) {
            errno = errno == 0 ? ENOSPC : errno;
            status = -1;
        }
        from += size;
    }
    if (status == 0)
        status = fsync(out);
    close(out);
    return status;
}

int journal_repair_tail(
    int directory, struct journal_segment *segment, uint64_t *cut, struct record_head *last)
{
    char name[JOURNAL_NAME_MAX];
    uint64_t end = segment->bytes;
    int status = -1;

    *cut = 0;
    *last = (struct record_head){0};
    journal_segment_name(segment, name);
    int descriptor = openat(directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor == -1)
        return -1;
    errno = 0;
    if (repair_find_end(descriptor, segment, &end, last) == -1)
        goto out;
    if (end < segment->bytes) {
        if (repair_keep_aside(directory, descriptor, name, end, segment->bytes) == -1 ||
            ftruncate(descriptor, (off_t)end) == -1)
            goto out;
        *cut = segment->bytes - end;
        segment->bytes = end;
    }
    /* Recovery drops from the rings what it finds here, so it must be on the disk: a killed process left that
     * to the kernel. */
    status = fsync(descriptor);
out:
    close(descriptor);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns getting the journal's lines to the disk, and what becomes of them when the disk does not take them.
 * Called by the journal's other files and the exporter's thread.
 *
 * After a failed fsync the kernel may have thrown the pages away, or have marked them clean: the next fsync
 * succeeds although nothing was written. So the lines since the last good one are kept in memory; after a
 * failure nothing else is appended until they were written again, in their places, and the disk has them. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "exporters/journal_private.h"

#define SYNC_KEPT_MAX ((size_t)4 * 1024 * 1024) /* more are not kept: then it is time to sync */

static uint64_t sync_start(const struct journal *journal)
{
    return journal->segments[journal->segment_count - 1].bytes - buffer_length(&journal->unsynced);
}

void journal_forget_unsynced(struct journal *journal)
{
    buffer_clear(&journal->unsynced);
    journal->dirty = journal->write_again = false;
}

static int sync_write_again(struct journal *journal)
{
    struct view rest = buffer_view(&journal->unsynced);
    uint64_t offset = sync_start(journal);

    while (rest.length > 0) {
        ssize_t written = pwrite(journal->descriptor, rest.data, rest.length, (off_t)offset);
        if (written == -1 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        rest = view_skip(rest, (size_t)written);
        offset += (uint64_t)written;
    }
    return 0;
}

static uint64_t sync_count_lines(struct view lines)
{
    uint64_t count = 0;

    for (size_t i = 0; i < lines.length; i++)
        count += lines.data[i] == '\n';
    return count;
}

int journal_sync(struct journal *journal)
{
    if (!journal->dirty || journal->descriptor == -1 || journal->settings.fsync == EXPORTER_FSYNC_NEVER)
        return 0;
    if ((journal->write_again && sync_write_again(journal) == -1) || fdatasync(journal->descriptor) == -1) {
        int saved = errno;
        journal->sync_failures++;
        journal->write_again = true;
        LOG_LIMITED(
            LOG_ERROR, "journal", "the disk does not take the journal", log_string("error", strerror(saved)));
        errno = saved;
        return -1;
    }
    if (journal->write_again)
        journal->incidents.written_again += sync_count_lines(buffer_view(&journal->unsynced));
    journal_forget_unsynced(journal);
    return 0;
}

int journal_settle(struct journal *journal)
{
    return journal->write_again ? journal_sync(journal) : 0;
}

void journal_keep_unsynced(struct journal *journal, struct view lines)
{
    if (lines.length == 0 || journal->settings.fsync != EXPORTER_FSYNC_INTERVAL)
        return;
    journal->dirty = true;
    buffer_append(&journal->unsynced, lines);
    if (buffer_length(&journal->unsynced) >= SYNC_KEPT_MAX)
        (void)journal_sync(journal); /* a failure is the next append's */
}

uint64_t journal_sync_failures(const struct journal *journal)
{
    return journal->sync_failures;
}

ssize_t journal_read(const struct journal *journal, const struct journal_segment *segment, int descriptor,
    uint8_t *out, size_t size, uint64_t from)
{
    size_t kept = buffer_length(&journal->unsynced);

    if (journal->descriptor == -1 || kept == 0 || segment != &journal->segments[journal->segment_count - 1])
        return pread(descriptor, out, size, (off_t)from);
    uint64_t start = sync_start(journal);
    if (from < start)
        return pread(descriptor, out, start - from < size ? (size_t)(start - from) : size, (off_t)from);
    assert(from + size <= segment->bytes);
    memcpy(out, buffer_view(&journal->unsynced).data + (from - start), size);
    return (ssize_t)size;
}

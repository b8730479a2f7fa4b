/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the journal does when somebody deletes its files under its hands: what is open still can be read,
 * so the sinks get it, and a directory that is gone is made anew. Called by the journal's other files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "exporters/journal_private.h"

static struct journal_kept *gone_find(const struct journal *journal, const struct journal_segment *segment)
{
    for (size_t i = 0; i < journal->kept_count; i++) {
        if (journal->kept[i].epoch == segment->epoch && journal->kept[i].first == segment->first)
            return &journal->kept[i];
    }
    return NULL;
}

void journal_keep_open(struct journal *journal, const struct journal_segment *segment, int descriptor)
{
    journal->incidents.displaced++;
    if (segment->bytes == 0 || journal_segment_is_named(journal->directory, descriptor, segment)) {
        close(descriptor); /* nothing to read, or its name will do */
        return;
    }
    journal->kept = memory_realloc(journal->kept, journal->kept_count + 1, sizeof(*journal->kept));
    journal->kept[journal->kept_count++] = (struct journal_kept){segment->epoch, segment->first, descriptor};
}

void journal_let_go(struct journal *journal, const struct journal_segment *segment)
{
    struct journal_kept *kept = gone_find(journal, segment);

    if (kept == NULL)
        return;
    close(kept->descriptor);
    *kept = journal->kept[--journal->kept_count];
}

void journal_let_all_go(struct journal *journal)
{
    for (size_t i = 0; i < journal->kept_count; i++)
        close(journal->kept[i].descriptor);
    free(journal->kept);
    journal->kept = NULL;
    journal->kept_count = 0;
}

int journal_open_to_read(const struct journal *journal, const struct journal_segment *segment)
{
    const struct journal_kept *kept = gone_find(journal, segment);
    bool current = journal->descriptor != -1 && segment == &journal->segments[journal->segment_count - 1];

    if (kept != NULL || current)
        return fcntl(current ? journal->descriptor : kept->descriptor, F_DUPFD_CLOEXEC, 0);
    return journal_open_segment(journal, segment, O_RDONLY);
}

int journal_make_directory(struct journal *journal)
{
    const char *path = journal->settings.directory;
    struct stat status;

    if (fstat(journal->directory, &status) == -1 || status.st_nlink > 0) {
        errno = ENOENT; /* it was moved, or is not what is missing */
        return -1;
    }
    if (mkdir(path, 0700) == -1 && errno != EEXIST)
        return -1;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (directory == -1)
        return -1;
    int lock = journal_lock_directory(directory);
    if (lock == -1) { /* another process has it now */
        int saved = errno;
        close(directory);
        errno = saved;
        return -1;
    }
    close(journal->directory);
    close(journal->lock);
    journal->directory = directory;
    journal->lock = lock;
    journal->incidents.directory_made = true;
    LOG_EVENT(LOG_ERROR, "journal",
        "the audit directory was deleted, and is made anew: until the next start a killed process loses what "
        "is in its rings",
        log_string("path", path));
    return 0;
}

bool journal_take_incidents(struct journal *journal, struct journal_incidents *incidents)
{
    *incidents = journal->incidents;
    journal->incidents = (struct journal_incidents){0};
    return incidents->written_again > 0 || incidents->displaced > 0 || incidents->directory_made;
}

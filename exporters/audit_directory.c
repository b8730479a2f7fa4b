/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look at the audit directory before a start. Called by preflight.c: what root made there by hand,
 * or a backup brought back, is somebody else's file to the user that mqward runs as. */
#include "exporters/audit_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exporters/chain_state.h"
#include "exporters/journal_private.h"
#include "exporters/source.h"

#define SENTENCE_MAX 512

/* Many files, and one finding. */
struct kind {
    char sentence[SENTENCE_MAX]; /* about the first one */
    size_t count;
};

/* Errno of the open() of the start, or 0. A file that went away is none that is in the way. */
static int open_fault(int directory, const char *name)
{
    int descriptor = openat(directory, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

    if (descriptor == -1)
        return errno == ENOENT ? 0 : errno;
    close(descriptor);
    return 0;
}

static void note(struct kind *kind, const char *directory, const char *name, const char *fault)
{
    if (kind->count++ == 0)
        snprintf(kind->sentence, sizeof(kind->sentence), "%s/%s: %s", directory, name, fault);
}

static void tell(struct kind *kind, void (*found)(void *argument, const char *sentence), void *argument)
{
    size_t length = strlen(kind->sentence);

    if (kind->count > 1)
        snprintf(
            kind->sentence + length, sizeof(kind->sentence) - length, " (and %zu more)", kind->count - 1);
    if (kind->count > 0)
        found(argument, kind->sentence);
}

static void examine_entry(
    int descriptor, const char *directory, const char *name, struct kind *segments, struct kind *rings)
{
    struct journal_segment segment;
    struct stat status;
    int fault;

    if (fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (journal_segment_parse(name, &segment)) { /* what is no file is no segment to the journal, either */
        if (S_ISREG(status.st_mode) && (fault = open_fault(descriptor, name)) != 0)
            note(segments, directory, name, strerror(fault));
    } else if (source_is_name(name)) {
        if (!S_ISREG(status.st_mode))
            note(rings, directory, name, "not a regular file");
        else if ((fault = open_fault(descriptor, name)) != 0)
            note(rings, directory, name, strerror(fault));
    }
}

static void examine_entries(int descriptor, const char *directory,
    void (*found)(void *argument, const char *sentence), void *argument)
{
    int own = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = own == -1 ? NULL : fdopendir(own);
    struct kind segments = {.count = 0}, rings = {.count = 0};
    const struct dirent *entry;

    if (stream == NULL) {
        note(&segments, directory, ".", strerror(errno));
        if (own != -1)
            close(own);
    } else {
        while ((entry = readdir(stream)) != NULL)
            examine_entry(descriptor, directory, entry->d_name, &segments, &rings);
        closedir(stream);
    }
    tell(&segments, found, argument);
    tell(&rings, found, argument);
}

void audit_directory_examine(
    const char *directory, void (*found)(void *argument, const char *sentence), void *argument)
{
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char sentence[SENTENCE_MAX];
    struct kind lock = {.count = 0};
    int fault;

    if (descriptor == -1) {
        snprintf(sentence, sizeof(sentence), "%s: %s", directory, strerror(errno));
        found(argument, sentence);
        return;
    }
    if (chain_state_check(directory, sentence, sizeof(sentence)) != 0)
        found(argument, sentence);
    if ((fault = open_fault(descriptor, JOURNAL_LOCK)) != 0)
        note(&lock, directory, JOURNAL_LOCK, strerror(fault));
    tell(&lock, found, argument);
    examine_entries(descriptor, directory, found, argument);
    close(descriptor);
}

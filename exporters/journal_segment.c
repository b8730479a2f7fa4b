/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the names of segments and the order of places in the journal. Called by the journal's other files and
 * the sinks. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "exporters/journal.h"

int journal_position_compare(struct journal_position a, struct journal_position b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    if (a.first != b.first)
        return a.first < b.first ? -1 : 1;
    return a.offset < b.offset ? -1 : a.offset > b.offset;
}

uint64_t journal_behind(const struct journal *journal, struct journal_position position)
{
    size_t count;
    const struct journal_segment *segments = journal_segments(journal, &count);
    uint64_t bytes = 0;

    while (count > 0) {
        const struct journal_segment *segment = &segments[--count];
        const struct journal_position start = {segment->epoch, segment->first, 0};
        if (journal_position_compare(start, position) <= 0) {
            bool same = segment->epoch == position.epoch && segment->first == position.first;
            return bytes + (same && segment->bytes > position.offset ? segment->bytes - position.offset : 0);
        }
        bytes += segment->bytes;
    }
    return bytes;
}

void journal_segment_name(const struct journal_segment *segment, char name[JOURNAL_NAME_MAX])
{
    snprintf(name, JOURNAL_NAME_MAX, "journal-%016" PRIx64 "-%020" PRIu64 ".ndjson", segment->epoch,
        segment->first);
}

/* Only the very names that journal_segment_name() makes. */
bool journal_segment_parse(const char *name, struct journal_segment *segment)
{
    char again[JOURNAL_NAME_MAX];
    char *end;

    *segment = (struct journal_segment){0};
    if (strncmp(name, "journal-", 8) != 0 || strlen(name) != 8 + 16 + 1 + 20 + 7)
        return false;
    segment->epoch = strtoull(name + 8, &end, 16);
    if (end != name + 24 || *end != '-')
        return false;
    segment->first = strtoull(name + 25, &end, 10);
    journal_segment_name(segment, again);
    return strcmp(name, again) == 0;
}

/* When the file system does not say, nothing is concluded: the write itself will tell. */
bool journal_segment_is_named(int directory, int descriptor, const struct journal_segment *segment)
{
    char name[JOURNAL_NAME_MAX];
    struct stat own, named;

    journal_segment_name(segment, name);
    if (fstat(descriptor, &own) == -1)
        return true;
    if (fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == -1)
        return errno != ENOENT;
    return own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

bool journal_segment_in_place(
    int directory, int descriptor, const struct journal_segment *segment, uint64_t overhang)
{
    struct stat own;

    if (!journal_segment_is_named(directory, descriptor, segment))
        return false;
    if (fstat(descriptor, &own) == -1)
        return true;
    return (uint64_t)own.st_size >= segment->bytes && (uint64_t)own.st_size <= segment->bytes + overhang;
}

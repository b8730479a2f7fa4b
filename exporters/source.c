/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the names and the opening of ring files, and the comparison of what earlier runs left in them with
 * what the journal has. Called by sealer.c.
 *
 * A process that dies between writing a batch to the journal and moving the ring's tail leaves events in both
 * places; a power cut may leave many. Within a ring serials only grow, and reach the journal in that order:
 * the ring's last line in the journal tells which of its records are there. */
#include "exporters/source.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

#define SOURCE_CAPACITY_MIN ((size_t)64 * 1024) /* of a ring that has to be made anew */

int source_open(struct source *source, const char *directory, uint64_t run, uint32_t index, size_t capacity,
    char *error, size_t error_size)
{
    *source = (struct source){.run = run, .index = index};
    source->path = memory_format("%s/ring-%016" PRIx64 "-%" PRIu32 ".ring", directory, run, index);
    source->ring = ring_open(source->path, capacity, &source->damaged, error, error_size);
    if (source->ring != NULL)
        return 0;
    free(source->path);
    source->path = NULL;
    return -1;
}

void source_close(struct source *source, bool unlink_file)
{
    ring_close(source->ring);
    source->ring = NULL;
    if (unlink_file && unlink(source->path) == -1 && errno != ENOENT)
        LOG_EVENT(LOG_WARN, "audit", "ring file not removed", log_string("path", source->path),
            log_string("error", strerror(errno)));
    free(source->path);
    source->path = NULL;
}

void source_list_remove(struct source_list *list, size_t index)
{
    list->count--;
    memmove(list->items + index, list->items + index + 1, (list->count - index) * sizeof(*list->items));
}

/* ---- what earlier runs left ---- */

static bool source_parse_name(const char *name, uint64_t *run, uint32_t *index)
{
    char again[64];

    if (sscanf(name, "ring-%16" SCNx64 "-%10" SCNu32 ".ring", run, index) != 2)
        return false;
    snprintf(again, sizeof(again), "ring-%016" PRIx64 "-%" PRIu32 ".ring", *run, *index);
    return strcmp(name, again) == 0;
}

static struct source *source_of(struct source_list *list, const struct record_origin *origin)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].run == origin->run && list->items[i].index == origin->ring)
            return &list->items[i];
    }
    return NULL;
}

/* Notes for each ring the latest serial in one segment. */
static int source_scan_segment(struct source_list *list, struct journal *journal,
    const struct journal_segment *segment, uint64_t *latest)
{
    const struct journal_position start = {segment->epoch, segment->first, 0};
    struct journal_reader *reader = journal_reader_new(journal, start);
    struct journal_line line;
    struct record_origin origin;
    enum journal_read read;

    while ((read = journal_reader_next(reader, &line)) == JOURNAL_LINE || read == JOURNAL_DAMAGED) {
        if (read == JOURNAL_DAMAGED)
            continue;
        if (line.end.first != segment->first || line.end.epoch != segment->epoch)
            break; /* the next segment has begun */
        if (record_parse_origin(line.text, &origin) == -1)
            continue;
        struct source *source = source_of(list, &origin);
        if (source != NULL && origin.serial > latest[source - list->items])
            latest[source - list->items] = origin.serial;
    }
    journal_reader_free(reader);
    return read == JOURNAL_FAILED ? -1 : 0;
}

/* From the newest segment back, until each ring that has something was seen, or the segments are older than
 * the rings. */
static int source_scan(struct source_list *list, struct journal *journal)
{
    uint64_t *latest = memory_calloc(list->count + 1, sizeof(*latest));
    uint64_t oldest = UINT64_MAX;
    size_t unseen = 1, count;
    int status = 0;
    const struct journal_segment *segments = journal_segments(journal, &count);

    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].run < oldest)
            oldest = list->items[i].run;
    }
    while (status == 0 && unseen > 0 && count > 0 && segments[count - 1].epoch >= oldest) {
        status = source_scan_segment(list, journal, &segments[--count], latest);
        unseen = 0;
        for (size_t i = 0; i < list->count; i++) {
            if (list->items[i].last_serial == 0)
                list->items[i].last_serial = latest[i];
            unseen += list->items[i].last_serial == 0 && ring_used(list->items[i].ring) > 0;
        }
    }
    free(latest);
    return status;
}

/* Takes from the ring what the journal has. */
static void source_skip(struct source *source)
{
    struct ring_record record;
    uint64_t count = 0;

    while (ring_peek(source->ring, &record) == 1 && record.serial <= source->last_serial) {
        ring_pop(source->ring);
        count++;
    }
    if (count > 0)
        LOG_EVENT(LOG_INFO, "audit", "events of an earlier run are in the journal already",
            log_string("ring", source->path), log_unsigned("events", count));
}

int source_list_find(struct source_list *list, const char *directory, uint64_t run, struct journal *journal,
    char *error, size_t error_size)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    struct source source;
    int status = 0;

    if (stream == NULL) {
        snprintf(error, error_size, "%s: %s", directory, strerror(errno));
        return -1;
    }
    while (status == 0 && (entry = readdir(stream)) != NULL) {
        uint64_t other;
        uint32_t index;
        if (!source_parse_name(entry->d_name, &other, &index) || other == run)
            continue;
        status = source_open(&source, directory, other, index, SOURCE_CAPACITY_MIN, error, error_size);
        if (status == -1)
            break;
        list->items = memory_realloc(list->items, list->count + 1, sizeof(*list->items));
        list->items[list->count++] = source;
    }
    closedir(stream);
    if (status == 0 && source_scan(list, journal) == -1) {
        snprintf(error, error_size, "%s: the journal can't be read: %s", directory, strerror(errno));
        status = -1;
    }
    for (size_t i = 0; status == 0 && i < list->count; i++)
        source_skip(&list->items[i]);
    return status;
}

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

static struct repeats *open_table(const char *directory, uint64_t run, uint32_t index,
    const struct repeats_options *options, char *error, size_t error_size)
{
    char *path = memory_format("%s/repeats-%016" PRIx64 "-%" PRIu32 ".table", directory, run, index);
    bool damaged;
    struct repeats *repeats = repeats_open(path, options, &damaged, error, error_size);

    if (damaged)
        LOG_EVENT(LOG_ERROR, "audit", "a table of repeats does not hold: it is kept beside",
            log_string("path", path));
    free(path);
    return repeats;
}

int source_open(struct source *source, const char *directory, uint64_t run, uint32_t index, size_t capacity,
    const struct repeats_options *options, char *error, size_t error_size)
{
    *source = (struct source){.run = run, .index = index};
    source->path = memory_format("%s/ring-%016" PRIx64 "-%" PRIu32 ".ring", directory, run, index);
    source->repeats = open_table(directory, run, index, options, error, error_size);
    if (source->repeats != NULL)
        source->ring = ring_open(source->path, capacity, &source->damaged, error, error_size);
    if (source->ring != NULL)
        return 0;
    repeats_close(source->repeats, false);
    free(source->path);
    source->repeats = NULL;
    source->path = NULL;
    return -1;
}

void source_close(struct source *source, bool unlink_files)
{
    /* The table first: without its ring it could not say what was told. */
    repeats_close(source->repeats, unlink_files);
    source->repeats = NULL;
    ring_close(source->ring);
    source->ring = NULL;
    if (unlink_files && unlink(source->path) == -1 && errno != ENOENT)
        LOG_EVENT(LOG_WARN, "audit", "ring file not removed", log_string("path", source->path),
            log_string("error", strerror(errno)));
    free(source->path);
    source->path = NULL;
}

bool source_is_empty(const struct source *source)
{
    return ring_used(source->ring) == 0 && repeats_is_empty(source->repeats);
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

    if (sscanf(name, "ring-%16" SCNx64 "-%10" SCNu32 ".ring", run, index) == 2)
        snprintf(again, sizeof(again), "ring-%016" PRIx64 "-%" PRIu32 ".ring", *run, *index);
    else if (sscanf(name, "repeats-%16" SCNx64 "-%10" SCNu32 ".table", run, index) == 2)
        snprintf(again, sizeof(again), "repeats-%016" PRIx64 "-%" PRIu32 ".table", *run, *index);
    else
        return false;
    return strcmp(name, again) == 0;
}

bool source_is_name(const char *name)
{
    uint64_t run;
    uint32_t index;

    return source_parse_name(name, &run, &index);
}

static struct source *source_of(struct source_list *list, uint64_t run, uint32_t index)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].run == run && list->items[i].index == index)
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
        struct source *source = source_of(list, origin.run, origin.ring);
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

/* What the table was telling when its process died is told if the ring has it. */
static void source_settle(struct source *source)
{
    uint64_t bad = repeats_settle(source->repeats, ring_next_serial(source->ring));

    if (bad == 0)
        return;
    LOG_EVENT(LOG_ERROR, "audit", "counted repeats do not hold", log_string("ring", source->path),
        log_unsigned("slots", bad));
}

int source_list_find(struct source_list *list, const char *directory, uint64_t run, struct journal *journal,
    char *error, size_t error_size)
{
    const struct repeats_options options = {0};
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
        if (!source_parse_name(entry->d_name, &other, &index) || other == run ||
            source_of(list, other, index) != NULL)
            continue;
        status =
            source_open(&source, directory, other, index, SOURCE_CAPACITY_MIN, &options, error, error_size);
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
    for (size_t i = 0; status == 0 && i < list->count; i++) {
        source_settle(&list->items[i]);
        source_skip(&list->items[i]);
    }
    return status;
}

/* ---- what this run takes over ---- */

void source_list_drop_empty(struct source_list *list)
{
    for (size_t i = list->count; i-- > 0;) {
        if (list->items[i].damaged || !source_is_empty(&list->items[i]))
            continue;
        source_close(&list->items[i], true);
        source_list_remove(list, i);
    }
}

static uint64_t source_count_records(const struct source *source)
{
    struct ring_record record;
    uint64_t cursor = 0, count = 0;

    while (ring_peek_at(source->ring, &cursor, &record) == 1)
        count++;
    return count;
}

/* A power cut may have left an older state of the ring than of the journal: then its next serials are not
 * new. What the journal has was taken from the ring before, so a ring with records is none of these. */
static bool source_may_go_on(const struct source *source)
{
    return !source->damaged && ring_used(source->ring) > 0 &&
           ring_next_serial(source->ring) > source->last_serial;
}

static size_t source_find(const struct source_list *list, uint32_t index, size_t capacity,
    bool (*fits)(const struct source *source))
{
    size_t i = 0;

    while (i < list->count && !(list->items[i].index == index &&
                                  ring_capacity(list->items[i].ring) == capacity && fits(&list->items[i])))
        i++;
    return i;
}

static bool source_is_spare(const struct source *source)
{
    return !source->damaged && source_is_empty(source);
}

void source_list_recycle(
    struct source_list *list, const char *directory, uint64_t run, uint32_t index, size_t capacity)
{
    size_t spare = source_find(list, index, capacity, source_is_spare);

    if (spare == list->count || source_find(list, index, capacity, source_may_go_on) < list->count)
        return;
    char *path = memory_format("%s/ring-%016" PRIx64 "-%" PRIu32 ".ring", directory, run, index);
    char *before = list->items[spare].path;
    repeats_close(list->items[spare].repeats, true);
    ring_close(list->items[spare].ring);
    source_list_remove(list, spare);
    if (rename(before, path) == -1) /* then a new one is made */
        (void)unlink(before);
    free(before);
    free(path);
}

int source_list_inherit(struct source_list *list, const char *directory, uint32_t index, size_t capacity,
    const struct repeats_options *options, struct source *source, char *error, size_t error_size)
{
    size_t i = source_find(list, index, capacity, source_may_go_on);

    if (i == list->count)
        return 0;
    *source = list->items[i];
    source_list_remove(list, i);
    source->inherited = source_count_records(source);
    /* It was opened to be told, and now has to count: one without slots gets them. */
    repeats_close(source->repeats, false);
    source->repeats = open_table(directory, source->run, index, options, error, error_size);
    if (source->repeats != NULL) {
        source_settle(source);
        return 1;
    }
    ring_close(source->ring);
    free(source->path);
    *source = (struct source){0};
    return -1;
}

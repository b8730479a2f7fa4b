/* SPDX-License-Identifier: Apache-2.0 */
/* Owns looking into a journal from outside the process that writes it. Called by the command line.
 *
 * A segment is written by appending, and closed before the next one is begun: whoever lists the directory
 * first and reads a segment to its end afterwards has all of it if the list has a later one. */
#include "exporters/journal_view.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "exporters/journal_private.h"

#define VIEW_TAIL (RECORD_LINE_MAX + 1)
#define TEXTS_MAGIC 0x74657874U

/* ---- the list ---- */

/* The newest segment may end with half a line: it is being written, or was when its writer died. */
static int view_trim(struct journal *view)
{
    if (view->segment_count == 0)
        return 0;
    struct journal_segment *last = &view->segments[view->segment_count - 1];
    int descriptor = journal_open_segment(view, last, O_RDONLY);
    if (descriptor == -1)
        return errno == ENOENT ? 0 : -1;
    uint64_t start = last->bytes > VIEW_TAIL ? last->bytes - VIEW_TAIL : 0;
    uint8_t *tail = memory_calloc(VIEW_TAIL, 1);
    ssize_t count = pread(descriptor, tail, (size_t)(last->bytes - start), (off_t)start);
    const uint8_t *newline = count > 0 ? memrchr(tail, '\n', (size_t)count) : NULL;

    if (count >= 0) /* garbage without a newline is not waited for: readers say that it is damaged */
        last->bytes = newline != NULL ? start + (uint64_t)(newline - tail) + 1 : start;
    free(tail);
    close(descriptor);
    return count == -1 ? -1 : 0;
}

/* The directory may have been deleted and made anew. */
static void view_open_again(struct journal *view)
{
    int descriptor = open(view->settings.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (descriptor == -1)
        return;
    close(view->directory);
    view->directory = descriptor;
}

int journal_view_refresh(struct journal *view)
{
    struct journal_segment *before = view->segments;
    size_t count = view->segment_count, capacity = view->segment_capacity;

    assert(view->magic == JOURNAL_MAGIC && view->lock == -1);
    view_open_again(view);
    view->segments = NULL;
    view->segment_count = view->segment_capacity = 0;
    if (journal_list(view) == 0 && view_trim(view) == 0) {
        free(before);
        view->bytes = 0;
        for (size_t i = 0; i < view->segment_count; i++)
            view->bytes += view->segments[i].bytes;
        return 0;
    }
    int saved = errno;
    free(view->segments);
    view->segments = before;
    view->segment_count = count;
    view->segment_capacity = capacity;
    errno = saved;
    return -1;
}

struct journal *journal_view_open(const char *directory, char *error, size_t error_size)
{
    struct journal *view = memory_calloc(1, sizeof(*view));

    view->magic = JOURNAL_MAGIC;
    view->settings.directory = directory;
    view->settings.fsync = EXPORTER_FSYNC_NEVER;
    view->descriptor = view->lock = -1;
    view->floor = JOURNAL_START;
    view->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (view->directory != -1 && journal_view_refresh(view) == 0)
        return view;
    snprintf(error, error_size, "%s: %s", directory, strerror(errno));
    journal_close(view);
    return NULL;
}

void journal_view_cut(struct journal *view, struct journal_position position)
{
    while (view->segment_count > 0) {
        struct journal_segment *last = &view->segments[view->segment_count - 1];
        const struct journal_position start = {last->epoch, last->first, 0};
        if (journal_position_compare(start, position) < 0) {
            if (last->epoch == position.epoch && last->first == position.first &&
                last->bytes > position.offset)
                last->bytes = position.offset;
            return;
        }
        view->segment_count--;
    }
}

/* ---- looking for a place ---- */

/* Reads on until wanted() is true of a line. 0: position is before it; 1: there is none, position is the
 * end. */
static int view_scan(struct journal *view, struct journal_position from,
    bool (*wanted)(const struct record_head *head, const uint64_t values[2]), const uint64_t values[2],
    struct journal_position *position)
{
    struct journal_texts *texts = journal_texts_new(view, from);
    struct journal_text line;
    int status = 1;

    *position = journal_end(view);
    for (;;) {
        enum line_read read = journal_texts_next(texts, &line);
        struct record_head head;
        if (read == LINE_END)
            break;
        if (read == LINE_FAILED) {
            status = -1;
            break;
        }
        if (read == LINE_WHOLE && record_parse_head(line.text, &head) == 0 && wanted(&head, values)) {
            *position = line.start;
            status = 0;
            break;
        }
    }
    journal_texts_free(texts);
    return status;
}

static bool view_is_since(const struct record_head *head, const uint64_t values[2])
{
    return head->sealed_us >= values[0];
}

static bool view_is_event(const struct record_head *head, const uint64_t values[2])
{
    return head->epoch == values[0] && head->sequence == values[1];
}

static bool view_is_any(const struct record_head *head, const uint64_t values[2])
{
    (void)values;
    (void)head;
    return true;
}

/* The time of the first line of a segment, or of a later one if it has none. 0, or 1: there is none behind.
 */
static int view_first_time(struct journal *view, size_t index, uint64_t *sealed_us)
{
    struct journal_text line;
    struct record_head head = {0};
    struct journal_position position;
    const struct journal_segment *segment = &view->segments[index];
    int status = view_scan(
        view, (struct journal_position){segment->epoch, segment->first, 0}, view_is_any, NULL, &position);

    if (status != 0)
        return status;
    struct journal_texts *texts = journal_texts_new(view, position);
    if (journal_texts_next(texts, &line) == LINE_WHOLE)
        (void)record_parse_head(line.text, &head);
    journal_texts_free(texts);
    *sealed_us = head.sealed_us;
    return 0;
}

/* event.created never goes back, so the segments are in its order. */
int journal_view_find_time(struct journal *view, uint64_t sealed_us, struct journal_position *position)
{
    size_t low = 0, high = view->segment_count;

    while (low < high) { /* the first segment that begins at or after it */
        size_t middle = low + (high - low) / 2;
        uint64_t first_us = UINT64_MAX;
        int status = view_first_time(view, middle, &first_us);
        if (status == -1)
            return -1;
        if (first_us < sealed_us)
            low = middle + 1;
        else
            high = middle;
    }
    if (view->segment_count == 0) {
        *position = journal_end(view);
        return 0;
    }
    const struct journal_segment *segment = &view->segments[low == 0 ? 0 : low - 1];
    int status = view_scan(view, (struct journal_position){segment->epoch, segment->first, 0}, view_is_since,
        (const uint64_t[]){sealed_us, 0}, position);
    return status == -1 ? -1 : 0;
}

int journal_view_find_event(
    struct journal *view, uint64_t epoch, uint64_t sequence, struct journal_position *position)
{
    for (size_t i = view->segment_count; i-- > 0;) {
        const struct journal_segment *segment = &view->segments[i];
        if (segment->epoch == epoch && segment->first <= sequence)
            return view_scan(view, (struct journal_position){segment->epoch, segment->first, 0},
                view_is_event, (const uint64_t[]){epoch, sequence}, position);
    }
    return 1;
}

/* ---- what is no segment ---- */

static bool view_is_stray(const struct journal *view, const char *name)
{
    static const char kept[] = ".torn";
    const size_t length = strlen(name);
    struct journal_segment segment;
    struct stat status;

    if (strncasecmp(name, "journal-", 8) != 0)
        return false;
    if (length > sizeof(kept) - 1 && strcmp(name + length - (sizeof(kept) - 1), kept) == 0)
        return false;
    if (fstatat(view->directory, name, &status, AT_SYMLINK_NOFOLLOW) == -1)
        return errno != ENOENT;
    return !journal_segment_parse(name, &segment) || !S_ISREG(status.st_mode);
}

int journal_view_stray(struct journal *view, void (*stray)(void *argument, const char *name), void *argument)
{
    int descriptor = openat(view->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor == -1 ? NULL : fdopendir(descriptor);
    struct dirent *entry;

    if (directory == NULL) {
        if (descriptor != -1)
            close(descriptor);
        return -1;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (view_is_stray(view, entry->d_name))
            stray(argument, entry->d_name);
    }
    closedir(directory);
    return 0;
}

/* ---- bytes ---- */

struct journal_texts {
    uint32_t magic;
    struct journal *view;
    struct journal_segment segment; /* that is read; its bytes are not looked at */
    bool open;
    int descriptor;
    uint64_t skipped; /* bytes in front of where reading began */
    struct line_reader reader;
    struct journal_position from; /* where to begin, until the first segment is open */
};

struct journal_texts *journal_texts_new(struct journal *view, struct journal_position from)
{
    struct journal_texts *texts = memory_calloc(1, sizeof(*texts));

    texts->magic = TEXTS_MAGIC;
    texts->view = view;
    texts->descriptor = -1;
    texts->from = from;
    return texts;
}

static void texts_close(struct journal_texts *texts)
{
    if (texts->descriptor != -1)
        close(texts->descriptor);
    texts->descriptor = -1;
    line_reader_close(&texts->reader);
}

void journal_texts_free(struct journal_texts *texts)
{
    if (texts == NULL)
        return;
    assert(texts->magic == TEXTS_MAGIC);
    texts_close(texts);
    texts->magic = 0;
    free(texts);
}

/* The segment to read next in the view: the one of from, or the one behind what was read. NULL: none. */
static const struct journal_segment *texts_following(const struct journal_texts *texts)
{
    if (!texts->open)
        return journal_find(texts->view, texts->from.epoch, texts->from.first);
    return journal_find(texts->view, texts->segment.epoch, texts->segment.first + 1);
}

/* Opens it. LINE_WHOLE, LINE_GONE (and the one behind it is next) or LINE_FAILED. */
static enum line_read texts_begin(struct journal_texts *texts, const struct journal_segment *segment)
{
    bool begun = !texts->open && segment->epoch == texts->from.epoch && segment->first == texts->from.first;

    texts_close(texts);
    texts->descriptor = journal_open_segment(texts->view, segment, O_RDONLY);
    if (texts->descriptor == -1 && errno != ENOENT)
        return LINE_FAILED;
    texts->segment = *segment;
    texts->open = true;
    if (texts->descriptor == -1)
        return LINE_GONE;
    texts->skipped = begun ? texts->from.offset : 0;
    if (lseek(texts->descriptor, (off_t)texts->skipped, SEEK_SET) == -1)
        return LINE_FAILED;
    line_reader_open(&texts->reader, texts->descriptor);
    return LINE_WHOLE;
}

enum line_read journal_texts_next(struct journal_texts *texts, struct journal_text *line)
{
    assert(texts->magic == TEXTS_MAGIC);
    for (;;) {
        /* Looked up before the end is found: see the top of this file. */
        const struct journal_segment *following = texts_following(texts);
        enum line_read read = LINE_END;
        if (texts->descriptor != -1)
            read = line_reader_next(&texts->reader, &line->text);
        if (read == LINE_WHOLE || read == LINE_TOO_LONG) {
            journal_segment_name(&texts->segment, line->name);
            line->number = texts->reader.number;
            line->start = (struct journal_position){
                texts->segment.epoch, texts->segment.first, texts->skipped + texts->reader.offset};
            return read;
        }
        if (read == LINE_FAILED)
            return read;
        if (texts->descriptor != -1 && journal_texts_rest(texts).length > 0 && following != NULL) {
            /* half a line in the middle of the journal: shown as the line that it is */
            line->text = journal_texts_rest(texts);
            journal_segment_name(&texts->segment, line->name);
            line->number = ++texts->reader.number;
            line->start = (struct journal_position){
                texts->segment.epoch, texts->segment.first, texts->skipped + texts->reader.offset};
            texts->reader.shown = line->text.length;
            return LINE_WHOLE;
        }
        if (following == NULL)
            return LINE_END;
        line->start = (struct journal_position){following->epoch, following->first, 0};
        journal_segment_name(following, line->name);
        enum line_read begun = texts_begin(texts, following);
        if (begun != LINE_WHOLE)
            return begun;
    }
}

struct view journal_texts_rest(const struct journal_texts *texts)
{
    return texts->descriptor == -1 ? (struct view){NULL, 0} : line_reader_rest(&texts->reader);
}

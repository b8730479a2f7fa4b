/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a journal that another process has locked and is writing. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "event.h"
#include "exporters/journal_view.h"

static struct journal *open_journal(const char *path)
{
    char error[256] = "";
    struct journal_settings settings = directory_journal(path);

    settings.segment_bytes = 20000;
    struct journal *journal = journal_open(&settings, error, sizeof(error));
    cr_assert_not_null(journal, "%s", error);
    return journal;
}

static void append(struct journal *journal, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buffer line = {0};
        struct audit_event event = event_plain();
        struct record_seal seal = event_seal;
        seal.epoch = journal_epoch(journal);
        seal.sequence = journal_next_sequence(journal);
        seal.sealed_us = journal_seal_time(journal);
        record_render(&line, &event, &seal);
        size_t end = buffer_length(&line);
        cr_assert_eq(journal_append(journal, buffer_view(&line), &end, 1), 1);
        buffer_release(&line);
    }
}

static struct journal *open_view(const char *path)
{
    char error[256] = "";
    struct journal *view = journal_view_open(path, error, sizeof(error));

    cr_assert_not_null(view, "%s", error);
    return view;
}

/* Reads what there is; the sequences go on from *last. */
static size_t read_on(struct journal_texts *texts, uint64_t *last)
{
    struct journal_text line;
    struct record_head head;
    size_t count = 0;

    while (journal_texts_next(texts, &line) == LINE_WHOLE) {
        cr_assert_eq(record_parse_head(line.text, &head), 0);
        cr_assert_eq(head.sequence, *last + 1);
        *last = head.sequence;
        count++;
    }
    return count;
}

Test(journal_view, follows_a_journal_that_grows_and_rotates)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_journal(path);
    append(journal, 5);
    struct journal *view = open_view(path);
    struct journal_texts *texts = journal_texts_new(view, JOURNAL_START);
    uint64_t last = 0;
    cr_assert_eq(read_on(texts, &last), 5);
    for (int round = 0; round < 30; round++) {
        append(journal, 4);
        cr_assert_eq(journal_view_refresh(view), 0);
        cr_assert_eq(read_on(texts, &last), 4, "round %d", round);
    }
    size_t count;
    journal_segments(view, &count);
    cr_assert_gt(count, 5);
    journal_texts_free(texts);
    journal_close(view);
    journal_close(journal);
    directory_remove(path);
}

Test(journal_view, changes_nothing_and_takes_no_lock)
{
    char path[DIRECTORY_MAX], name[256], error[256];
    struct stat before, after;
    directory_make(path);
    struct journal *journal = open_journal(path);
    append(journal, 5);
    cr_assert_eq(directory_count(path, ".ndjson", name), 1);
    int descriptor = open(name, O_WRONLY | O_APPEND);
    cr_assert_eq(write(descriptor, "{\"@timest", 9), 9); /* half a line, as in the midst of a write */
    close(descriptor);
    stat(name, &before);
    struct journal *view = open_view(path);
    size_t count;
    cr_assert_eq(journal_segments(view, &count)[0].bytes, (uint64_t)before.st_size - 9);
    journal_close(view);
    stat(name, &after);
    cr_assert_eq(before.st_size, after.st_size);
    cr_assert_eq(directory_count(path, "torn", NULL), 0);
    journal_close(journal);
    view = open_view(path); /* nor does it keep others out */
    journal = journal_open(
        &(struct journal_settings){
            .directory = path, .segment_bytes = 20000, .quota_bytes = JOURNAL_QUOTA_MIN},
        error, sizeof(error));
    cr_assert_not_null(journal);
    journal_close(journal);
    journal_close(view);
    directory_remove(path);
}

Test(journal_view, finds_times_and_events)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_journal(path);
    append(journal, 60);
    uint64_t epoch = journal_epoch(journal);
    struct journal *view = open_view(path);
    struct journal_position position, found;
    for (uint64_t sequence = 1; sequence <= 60; sequence++) {
        struct journal_text line;
        struct record_head head;
        cr_assert_eq(journal_view_find_event(view, epoch, sequence, &position), 0);
        struct journal_texts *texts = journal_texts_new(view, position);
        cr_assert_eq(journal_texts_next(texts, &line), LINE_WHOLE);
        cr_assert_eq(record_parse_head(line.text, &head), 0);
        cr_assert_eq(head.sequence, sequence);
        cr_assert_eq(journal_view_find_time(view, head.sealed_us, &found), 0);
        cr_assert_leq(journal_position_compare(found, position), 0, "lines of one microsecond: the first");
        journal_texts_free(texts);
    }
    cr_assert_eq(journal_view_find_event(view, epoch, 61, &position), 1);
    cr_assert_eq(journal_view_find_event(view, epoch + 1, 1, &position), 1);
    cr_assert_eq(journal_view_find_time(view, 0, &found), 0);
    cr_assert_eq(found.offset, 0);
    cr_assert_eq(found.first, 1);
    cr_assert_eq(journal_view_find_time(view, UINT64_MAX, &found), 0);
    cr_assert_eq(journal_position_compare(found, journal_end(view)), 0);
    journal_close(view);
    journal_close(journal);
    directory_remove(path);
}

Test(journal_view, cut_at_a_position_it_ends_there)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct journal *journal = open_journal(path);
    append(journal, 60);
    struct journal *view = open_view(path);
    struct journal_position position;
    for (uint64_t sequence = 60; sequence >= 1; sequence--) {
        struct journal_line line;
        uint64_t count = 0;
        cr_assert_eq(journal_view_find_event(view, journal_epoch(journal), sequence, &position), 0);
        journal_view_cut(view, position);
        struct journal_reader *reader = journal_reader_new(view, JOURNAL_START);
        while (journal_reader_next(reader, &line) == JOURNAL_LINE)
            count++;
        cr_assert_eq(count, sequence - 1);
        journal_reader_free(reader);
    }
    journal_close(view);
    journal_close(journal);
    directory_remove(path);
}

Test(journal_view, segments_that_are_deleted_meanwhile_are_said)
{
    char path[DIRECTORY_MAX], name[256];
    struct journal_text line;
    directory_make(path);
    struct journal *journal = open_journal(path);
    append(journal, 60);
    struct journal *view = open_view(path);
    size_t count;
    const struct journal_segment *segments = journal_segments(view, &count);
    char segment[JOURNAL_NAME_MAX];
    journal_segment_name(&segments[0], segment);
    snprintf(name, sizeof(name), "%s/%s", path, segment);
    cr_assert_eq(unlink(name), 0);
    struct journal_texts *texts = journal_texts_new(view, JOURNAL_START);
    cr_assert_eq(journal_texts_next(texts, &line), LINE_GONE);
    cr_assert_eq(journal_texts_next(texts, &line), LINE_WHOLE);
    cr_assert_eq(line.start.first, segments[1].first);
    journal_texts_free(texts);
    journal_close(view);
    journal_close(journal);
    directory_remove(path);
}

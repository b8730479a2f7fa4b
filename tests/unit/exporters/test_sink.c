/* SPDX-License-Identifier: Apache-2.0 */
/* What all sinks have in common: a journal that can't be read or is damaged, confirming at the end and where
 * the journal is full, and what the log tells of failures. */
#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/sink.h"
#include "exporters/sink_file.h"
#include "exporters/sink_trouble.h"
#include "exporters/sinks.h"

/* ---- a sink that the test delivers by hand ---- */

static void *hand_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    (void)settings, (void)base, (void)error, (void)error_size;
    return sink;
}

static void hand_nothing(void *link)
{
    (void)link;
}

static const struct sink_type hand = {
    .name = "hand", .open = hand_open, .start = hand_nothing, .wake = hand_nothing, .close = hand_nothing};

struct fixture {
    char path[DIRECTORY_MAX];
    struct journal *journal;
    struct sink *sink;
    unsigned downs, ups, gaps;
    char detail[512]; /* of the last report */
};

static void on_report(void *argument, const struct audit_event *event)
{
    struct fixture *fixture = argument;

    fixture->downs += event->action == AUDIT_sink_down;
    fixture->ups += event->action == AUDIT_sink_up;
    fixture->gaps += event->action == AUDIT_audit_gap;
    snprintf(fixture->detail, sizeof(fixture->detail), "%.*s", VIEW_ARGS(event->detail));
}

static void on_progress(void *argument)
{
    (void)argument;
}

static void append(struct journal *journal, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct record_seal seal = event_seal;
        struct buffer line = {0};
        char user[32];
        seal.epoch = journal_epoch(journal);
        seal.sequence = journal_next_sequence(journal);
        seal.sealed_us = journal_seal_time(journal);
        struct audit_event event = event_numbered(seal.sequence, user);
        record_render(&line, &event, &seal);
        size_t end = buffer_length(&line);
        cr_assert_eq(journal_append(journal, buffer_view(&line), &end, 1), 1);
        buffer_release(&line);
    }
}

/* Segments of about ten lines. */
static void set_up(struct fixture *fixture, size_t lines)
{
    const struct sink_owner owner = {on_report, on_progress, fixture};
    char error[256] = "";

    *fixture = (struct fixture){0};
    directory_make(fixture->path);
    struct journal_settings settings = directory_journal(fixture->path);
    settings.segment_bytes = 10000;
    fixture->journal = journal_open(&settings, error, sizeof(error));
    cr_assert_not_null(fixture->journal, "%s", error);
    append(fixture->journal, lines);
    fixture->sink = sink_open(&hand, "hand", NULL, NULL, EXPORTER_FSYNC_NEVER, fixture->journal, NULL, &owner,
        error, sizeof(error));
    cr_assert_not_null(fixture->sink, "%s", error);
}

static void tear_down(struct fixture *fixture)
{
    sink_close(fixture->sink);
    journal_close(fixture->journal);
    directory_remove(fixture->path);
}

static void segment_path(const struct fixture *fixture, size_t index, char path[256])
{
    size_t count;
    const struct journal_segment *segments = journal_segments(fixture->journal, &count);

    cr_assert_lt(index, count);
    snprintf(path, 256, "%s/journal-%016llx-%020llu.ndjson", fixture->path,
        (unsigned long long)segments[index].epoch, (unsigned long long)segments[index].first);
}

static struct exporter_sink_status status_of(struct fixture *fixture)
{
    struct exporter_sink_status status;

    sink_status(fixture->sink, &status);
    return status;
}

Test(sink, a_journal_that_can_not_be_read_is_a_failure_and_nothing_is_skipped)
{
    struct fixture fixture;
    struct journal_line line, last;
    char path[256], away[300];
    unsigned count = 0;

    set_up(&fixture, 40);
    segment_path(&fixture, 1, path);
    snprintf(away, sizeof(away), "%s.away", path);
    cr_assert_eq(rename(path, away), 0);
    cr_assert_eq(symlink(away, path), 0); /* is not followed */
    uint64_t before = clock_monotonic_ms();
    while (sink_next(fixture.sink, &line)) {
        last = line;
        count++;
    }
    uint64_t failed = status_of(&fixture).failures;
    bool another = sink_next(fixture.sink, &line);
    uint64_t again = status_of(&fixture).failures;
    bool soon = clock_monotonic_ms() - before < 50; /* the shortest back-off */
    cr_assert(count > 5 && count < 40);
    cr_expect_eq(fixture.downs, 1);
    cr_expect_not_null(strstr(fixture.detail, "the journal can't be read"), "%s", fixture.detail);
    cr_expect_not(status_of(&fixture).up);
    cr_expect_eq(failed, 1);
    cr_expect_not(another);
    cr_expect(again == 1 || !soon, "it is not tried again at once");
    sink_confirm(fixture.sink, last.end);
    cr_expect(!status_of(&fixture).up && fixture.ups == 0, "what was under way does not make it work");
    usleep(2000);
    sink_measure(fixture.sink);
    cr_expect(status_of(&fixture).lag_seconds > 0 && status_of(&fixture).lag_bytes > 0, "and it is behind");
    for (uint64_t until = clock_monotonic_ms() + 60000;
         status_of(&fixture).failures < 3 && clock_monotonic_ms() < until; usleep(2000))
        cr_assert_not(sink_next(fixture.sink, &line));
    cr_expect_eq(status_of(&fixture).failures, 3, "now and then it is");
    cr_expect_eq(fixture.downs, 1);
    cr_assert_eq(rename(away, path), 0);
    for (uint64_t until = clock_monotonic_ms() + 60000; count < 40 && clock_monotonic_ms() < until;) {
        bool more = sink_next(fixture.sink, &line);
        count += more;
        if (!more)
            usleep(2000);
    }
    cr_expect_eq(count, 40);
    sink_confirm(fixture.sink, journal_end(fixture.journal));
    cr_expect(status_of(&fixture).up && fixture.ups == 1);
    cr_expect_eq(status_of(&fixture).delivered, 40);
    cr_expect_eq(fixture.gaps, 0);
    tear_down(&fixture);
}

/* After a restart nothing is known of the time before it; and what can't be read is no reason for "no lag".
 */
Test(sink, a_journal_that_can_not_be_read_from_the_start_is_a_lag)
{
    struct fixture fixture;
    struct journal_line line;
    char path[256], away[300];

    set_up(&fixture, 40);
    segment_path(&fixture, 0, path);
    snprintf(away, sizeof(away), "%s.away", path);
    cr_assert_eq(rename(path, away), 0);
    cr_assert_eq(symlink(away, path), 0); /* is not followed */
    cr_assert_not(sink_next(fixture.sink, &line));
    usleep(5000); /* written_ms is of whole milliseconds */
    sink_measure(fixture.sink);
    cr_expect(status_of(&fixture).lag_seconds > 0 && status_of(&fixture).lag_bytes > 0);
    tear_down(&fixture);
}

static void damage(const struct fixture *fixture, size_t index)
{
    char path[256];

    segment_path(fixture, index, path);
    int file = open(path, O_WRONLY);
    cr_assert_neq(file, -1);
    cr_assert_eq(pwrite(file, "xxxx", 4, 0), 4);
    close(file);
}

Test(sink, a_damaged_place_is_reported_once_however_often_it_is_read)
{
    struct fixture fixture;
    struct journal_line line;

    set_up(&fixture, 40);
    damage(&fixture, 0);
    damage(&fixture, 2);
    for (unsigned i = 0; i < 5; i++) {
        unsigned count = 0;
        while (sink_next(fixture.sink, &line))
            count++;
        cr_expect_eq(count, 38);
        sink_rewind(fixture.sink);
    }
    cr_expect_eq(fixture.gaps, 2);
    tear_down(&fixture);
}

/* ---- confirming without waiting for the fsync interval ---- */

struct file_run {
    char trail[DIRECTORY_MAX], out[DIRECTORY_MAX], path[DIRECTORY_MAX + 16];
    struct sink_file_settings file;
    struct exporter_sink sink;
    struct exporter_settings settings;
};

static void file_set_up(struct file_run *run)
{
    directory_make(run->trail);
    directory_make(run->out);
    snprintf(run->path, sizeof(run->path), "%s/out", run->out);
    run->file = (struct sink_file_settings){.path = run->path,
        .mode = 0640,
        .keep = 1,
        .lines = {.fsync = EXPORTER_FSYNC_INTERVAL, .fsync_interval_ms = 3600000, .timeout_ms = 10000}};
    run->sink = (struct exporter_sink){"file", &sink_file, &run->file};
    run->settings = directory_settings(run->trail);
    run->settings.sinks = &run->sink;
    run->settings.sink_count = 1;
}

static struct exporter *file_start(const struct file_run *run)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(&run->settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    return exporter;
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    char user[32];

    for (uint64_t i = first; i < first + count; i++) {
        struct audit_event event = event_numbered(i, user);
        struct view bytes = view_of(record, audit_event_encode(&event, record));
        bool taken = false;
        for (uint64_t until = clock_monotonic_ms() + 60000; !taken && clock_monotonic_ms() < until;) {
            taken = ring_push(exporter_ring(exporter, 0), bytes);
            exporter_wake(exporter);
            if (!taken)
                usleep(2000);
        }
        cr_assert(taken, "no room within a minute");
    }
}

static void count_line(void *argument, struct view line, const struct record_head *head)
{
    (void)line, (void)head;
    ++*(size_t *)argument;
}

static size_t lines_in(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t count = 0;
    int byte;

    cr_assert_not_null(file);
    while ((byte = getc(file)) != EOF)
        count += byte == '\n';
    fclose(file);
    return count;
}

static void file_tear_down(struct file_run *run)
{
    directory_remove(run->trail);
    directory_remove(run->out);
}

Test(sink, a_stop_syncs_what_was_written_and_the_next_start_repeats_nothing)
{
    struct file_run run;
    size_t lines = 0;

    file_set_up(&run);
    for (unsigned i = 0; i < 3; i++) {
        struct exporter *exporter = file_start(&run);
        push(exporter, i * 100, 100);
        uint64_t since = clock_monotonic_ms();
        exporter_close(exporter, CLOSE_MS);
        cr_expect_lt(clock_monotonic_ms() - since, 30000, "nothing is waited for");
    }
    directory_lines(run.trail, count_line, &lines);
    cr_expect_geq(lines, 300);
    cr_expect_eq(lines_in(run.path), lines);
    file_tear_down(&run);
}

Test(sink, a_full_journal_does_not_wait_for_the_fsync_interval, .timeout = 100)
{
    struct file_run run;

    file_set_up(&run);
    run.settings.quota_bytes = JOURNAL_QUOTA_MIN;
    run.settings.ring_bytes = 64 * 1024;
    struct exporter *exporter = file_start(&run);
    push(exporter, 0, 3000); /* some three times the quota */
    exporter_close(exporter, CLOSE_MS);
    cr_expect_geq(lines_in(run.path), 3000);
    file_tear_down(&run);
}

/* ---- the log ---- */

Test(sink, the_log_has_the_first_failure_each_new_one_and_one_a_minute)
{
    struct sink_trouble trouble = {0};
    unsigned logged = 0;
    char detail[32];

    cr_expect(sink_trouble_add(&trouble, "sink_unreachable", "refused", 1000));
    for (uint64_t now = 6000; now < 61000; now += 5000)
        cr_expect_not(sink_trouble_add(&trouble, "sink_unreachable", "refused", now));
    cr_expect(sink_trouble_add(&trouble, "sink_unreachable", "refused", 61000));
    cr_expect_eq(trouble.failures, 13);
    cr_expect(sink_trouble_add(&trouble, "sink_unreachable", "timed out", 62000));
    cr_expect(sink_trouble_add(&trouble, "sink_refused", "refused", 63000));
    cr_expect_not(sink_trouble_add(&trouble, "sink_unreachable", "timed out", 64000));
    for (unsigned i = 0; i < 100; i++) { /* a server that says something else each time */
        snprintf(detail, sizeof(detail), "number %u", i);
        logged += sink_trouble_add(&trouble, "sink_refused", detail, 65000);
    }
    cr_expect_leq(logged, SINK_TROUBLE_TEXTS);
    trouble = (struct sink_trouble){0};
    cr_expect(sink_trouble_add(&trouble, "sink_unreachable", "refused", 66000), "it was up in between");
}

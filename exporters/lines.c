/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the batches of a sink that writes lines. Called by sink_file.c and sink_stdout.c; runs on the exporter
 * thread, but for the kind's work.
 *
 *   READY --batch--> BUSY --done--> READY: written, and confirmed as soon as the fsync policy is met
 *     ^                 |--failed--> WAITING --timer--> READY: the rest of the same batch
 *                       |--no answer in time: reported, and BUSY until there is one */
#include "exporters/lines.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exporters/backoff.h"
#include "exporters/blocking.h"
#include "exporters/sink.h"

#define LINES_MAGIC 0x6c696e65U
#define LINES_BATCH ((size_t)256 * 1024)
#define LINES_END_MS 200 /* at the end the thread has so long */

enum lines_state { LINES_STOPPED, LINES_READY, LINES_BUSY, LINES_WAITING };

/* What the thread works with. */
struct lines_shared {
    struct lines_kind kind;
    void *state;
    struct lines_job job;
};

struct lines {
    uint32_t magic;
    enum lines_state state;
    struct sink *sink;
    struct lines_settings settings;
    struct event_base *base;
    struct lines_shared *shared;
    struct blocking *blocking; /* NULL before the start: shared is ours alone */
    struct event *retry, *deadline, *sync;
    struct backoff backoff;
    struct journal_position end, written; /* of the batch; of what was written and not confirmed yet */
    bool has_written, reopen;
    bool flush; /* as soon as the journal has no more lines, what was written is synced */
    uint64_t synced_ms;
};

static void run(struct lines *lines);

/* ---- for the kinds ---- */

void lines_job_fail(struct lines_job *job, enum reason reason, const char *what, int error)
{
    job->reason = reason;
    snprintf(job->detail, sizeof(job->detail), "%s%s%s", what, error == 0 ? "" : ": ",
        error == 0 ? "" : strerror(error));
}

void lines_job_restart_line(struct lines_job *job)
{
    struct view lines = buffer_view(&job->lines);

    while (job->written > 0 && lines.data[job->written - 1] != '\n')
        job->written--;
}

/* ---- the thread's side ---- */

static void shared_work(void *state)
{
    struct lines_shared *shared = state;

    shared->job.reason = REASON_none;
    shared->job.lost = false;
    shared->kind.work(shared->state, &shared->job);
}

static void shared_release(void *state)
{
    struct lines_shared *shared = state;

    shared->kind.release(shared->state);
    buffer_release(&shared->job.lines);
    free(shared);
}

/* ---- batches ---- */

static void confirm(struct lines *lines)
{
    if (!lines->has_written)
        return;
    lines->has_written = false;
    sink_confirm(lines->sink, lines->written);
}

static void wait_for_retry(struct lines *lines)
{
    const struct timeval wait = backoff_down(&lines->backoff);

    lines->state = LINES_WAITING;
    event_add(lines->retry, &wait);
}

/* What fsync refused is perhaps nowhere, and a second fsync would not say so: it is written again. */
static void start_over(struct lines *lines)
{
    buffer_clear(&lines->shared->job.lines);
    lines->shared->job.written = 0;
    lines->has_written = false;
    sink_rewind(lines->sink);
}

static void on_batch(struct lines *lines)
{
    struct lines_job *job = &lines->shared->job;

    if (buffer_length(&job->lines) > 0) {
        lines->written = lines->end;
        lines->has_written = true;
        buffer_clear(&job->lines);
        job->written = 0;
    }
    if (job->sync)
        lines->synced_ms = clock_monotonic_ms();
    if (job->sync || lines->settings.fsync == EXPORTER_FSYNC_NEVER)
        confirm(lines);
    backoff_up(&lines->backoff);
    lines->state = LINES_READY;
    run(lines);
}

static void on_done(void *argument)
{
    struct lines *lines = argument;
    struct lines_job *job = &lines->shared->job;

    assert(lines->magic == LINES_MAGIC && lines->state == LINES_BUSY);
    event_del(lines->deadline);
    if (job->reason == REASON_none) {
        on_batch(lines);
        return;
    }
    if (job->lost)
        start_over(lines);
    wait_for_retry(lines);
    sink_fail(lines->sink, job->reason, job->detail);
}

static void fill(struct lines *lines)
{
    struct buffer *batch = &lines->shared->job.lines;
    struct journal_line line;

    if (buffer_length(batch) > 0) /* the rest of a batch that failed */
        return;
    while (buffer_length(batch) < LINES_BATCH && sink_next(lines->sink, &line)) {
        buffer_append(batch, line.text);
        buffer_append_byte(batch, '\n');
        lines->end = line.end;
    }
}

static bool sync_is_due(struct lines *lines)
{
    uint64_t since_ms = clock_monotonic_ms() - lines->synced_ms;
    bool some = lines->has_written || buffer_length(&lines->shared->job.lines) > 0;

    if (!some || lines->settings.fsync == EXPORTER_FSYNC_NEVER)
        return false;
    if (lines->settings.fsync == EXPORTER_FSYNC_ALWAYS || since_ms >= lines->settings.fsync_interval_ms)
        return true;
    if (lines->flush && buffer_length(&lines->shared->job.lines) < LINES_BATCH)
        return true;
    uint64_t wait_ms = lines->settings.fsync_interval_ms - since_ms;
    event_add(lines->sync, &(struct timeval){.tv_sec = (time_t)(wait_ms / 1000),
                               .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)});
    return false;
}

/* With the first line; what can't be had now may be had later. */
static bool lines_spawn(struct lines *lines)
{
    static const struct blocking_calls calls = {shared_work, on_done, shared_release};

    lines->blocking = blocking_new(lines->base, &calls, lines->shared, lines);
    if (lines->blocking != NULL)
        return true;
    int error = errno;
    char detail[LINES_DETAIL_MAX];
    snprintf(detail, sizeof(detail), "no thread to write with: %s", strerror(error));
    wait_for_retry(lines);
    sink_fail(lines->sink, REASON_sink_unreachable, detail);
    return false;
}

static void run(struct lines *lines)
{
    struct lines_job *job = &lines->shared->job;
    uint64_t ms = lines->settings.timeout_ms;

    if (lines->state != LINES_READY)
        return;
    fill(lines);
    job->sync = sync_is_due(lines);
    job->reopen = lines->reopen;
    if (buffer_length(&job->lines) == 0 && !job->sync && !job->reopen)
        return;
    if (lines->blocking == NULL && !lines_spawn(lines))
        return;
    lines->reopen = false;
    lines->state = LINES_BUSY;
    event_add(lines->deadline,
        &(struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)});
    blocking_run(lines->blocking);
}

/* ---- time ---- */

static void on_retry(evutil_socket_t descriptor, short events, void *argument)
{
    struct lines *lines = argument;

    (void)descriptor, (void)events;
    assert(lines->magic == LINES_MAGIC && lines->state == LINES_WAITING);
    lines->state = LINES_READY;
    run(lines);
}

static void on_deadline(evutil_socket_t descriptor, short events, void *argument)
{
    struct lines *lines = argument;

    (void)descriptor, (void)events;
    assert(lines->magic == LINES_MAGIC && lines->state == LINES_BUSY);
    sink_fail(lines->sink, REASON_sink_unreachable, "a write hangs");
}

static void on_sync(evutil_socket_t descriptor, short events, void *argument)
{
    (void)descriptor, (void)events;
    run(argument);
}

/* ---- life ---- */

struct lines *lines_new(struct sink *sink, const struct lines_kind *kind, void *state,
    const struct lines_settings *settings, struct event_base *base)
{
    struct lines *lines = memory_calloc(1, sizeof(*lines));

    lines->magic = LINES_MAGIC;
    lines->sink = sink;
    lines->settings = *settings;
    lines->base = base;
    lines->shared = memory_calloc(1, sizeof(*lines->shared));
    lines->shared->kind = *kind;
    lines->shared->state = state;
    lines->retry = evtimer_new(base, on_retry, lines);
    lines->deadline = evtimer_new(base, on_deadline, lines);
    lines->sync = evtimer_new(base, on_sync, lines);
    if (lines->retry == NULL || lines->deadline == NULL || lines->sync == NULL)
        memory_exhausted();
    return lines;
}

void lines_free(struct lines *lines)
{
    if (lines == NULL)
        return;
    assert(lines->magic == LINES_MAGIC);
    if (lines->blocking != NULL)
        blocking_free(lines->blocking, LINES_END_MS);
    else
        shared_release(lines->shared);
    struct event *const events[] = {lines->retry, lines->deadline, lines->sync};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        event_free(events[i]);
    lines->magic = 0;
    free(lines);
}

void lines_start(struct lines *lines)
{
    assert(lines->magic == LINES_MAGIC && lines->state == LINES_STOPPED);
    lines->state = LINES_READY;
    run(lines);
}

void lines_wake(struct lines *lines)
{
    lines->flush = false;
    run(lines);
}

void lines_flush(struct lines *lines)
{
    lines->flush = true;
    run(lines);
}

void lines_reopen(struct lines *lines)
{
    lines->reopen = true;
    if (lines->state == LINES_WAITING) {
        event_del(lines->retry);
        lines->state = LINES_READY;
    }
    run(lines);
}

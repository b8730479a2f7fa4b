/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a sink outside the exporter: a loop, one sink, and the end of it. Called by the command line. */
#include "exporters/sink_replay.h"

#include <stdio.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exporters/sink.h"

#define REPLAY_TICK_US 20000

struct run {
    const struct sink_replay *replay;
    struct sink_replay_result *result;
    struct event_base *base;
    struct sink *sink;
    uint64_t moved_ms; /* when the confirmed position moved last */
};

static void run_tell(struct run *run)
{
    struct exporter_sink_status status;

    sink_status(run->sink, &status);
    run->result->delivered = status.delivered;
    if (run->replay->progress != NULL)
        run->replay->progress(run->replay->argument, status.delivered, run->result->trouble);
}

/* Events of the sink's own: in the daemon they would go into the journal. */
static void run_on_report(void *argument, const struct audit_event *event)
{
    struct run *run = argument;

    if (event->action == AUDIT_audit_gap)
        run->result->damaged++;
    else if (event->action == AUDIT_sink_up)
        run->result->trouble[0] = '\0';
    else
        snprintf(run->result->trouble, sizeof(run->result->trouble), "%s: %.*s",
            reason_info(event->reason)->name, VIEW_ARGS(event->detail));
}

static void run_on_progress(void *argument)
{
    struct run *run = argument;

    run->moved_ms = clock_monotonic_ms();
    if (sink_is_idle(run->sink))
        event_base_loopbreak(run->base);
}

static void run_on_tick(evutil_socket_t descriptor, short events, void *argument)
{
    struct run *run = argument;

    (void)descriptor;
    (void)events;
    run_tell(run);
    if (clock_monotonic_ms() - run->moved_ms >= run->replay->patience_ms)
        event_base_loopbreak(run->base);
    else
        sink_flush(run->sink);
}

/* Damaged places at the end are skipped without an answer to anything: then nothing is left, and nothing
 * moves. */
static bool run_is_complete(const struct run *run)
{
    struct journal_reader *reader = journal_reader_new(run->replay->view, sink_confirmed(run->sink));
    struct journal_line line;
    enum journal_read read;

    while ((read = journal_reader_next(reader, &line)) == JOURNAL_DAMAGED)
        ;
    journal_reader_free(reader);
    return read == JOURNAL_END;
}

int sink_replay_run(
    const struct sink_replay *replay, struct sink_replay_result *result, char *error, size_t error_size)
{
    struct run run = {
        .replay = replay, .result = result, .base = event_base_new(), .moved_ms = clock_monotonic_ms()};
    const struct sink_owner owner = {run_on_report, run_on_progress, &run};
    const struct exporter_sink *row = replay->sink;
    struct event *tick;

    *result = (struct sink_replay_result){0};
    tick = run.base == NULL ? NULL : event_new(run.base, -1, EV_PERSIST, run_on_tick, &run);
    if (tick == NULL)
        memory_exhausted();
    run.sink = sink_open(row->type, row->name, row->settings, NULL, EXPORTER_FSYNC_NEVER, replay->view,
        run.base, &owner, error, error_size);
    if (run.sink != NULL) {
        sink_begin_at(run.sink, replay->from);
        if (!run_is_complete(&run)) {
            event_add(tick, &(struct timeval){.tv_usec = REPLAY_TICK_US});
            sink_start(run.sink);
            event_base_dispatch(run.base);
        }
        result->complete = run_is_complete(&run);
        run_tell(&run);
    }
    const bool made = run.sink != NULL;
    event_free(tick);
    sink_close(run.sink);
    event_base_free(run.base);
    return made ? 0 : -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the exporter thread: its loop, its waking, its back-off, and the order of things between the sealer,
 * the journal and the sinks. Called by the main thread (open, start, close) and by the workers
 * (exporter_wake).
 *
 *   worker: ring_push ... exporter_wake --eventfd--> turn: sealer_turn (rings -> journal) -> sink_wake ->
 * sinks' own events
 *
 * The thread never waits for a sink: sinks are event-driven, and the journal takes lines whatever they do.
 * When the journal takes none (quota full of unconfirmed lines, full disk, I/O error) the rings are left
 * alone and fill, the workers stop reading, and a timer tries again until it works. */
#include "exporters/exporter.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/ring.h"
#include "base/thread.h"
#include "exporters/chain_known.h"
#include "exporters/exporter_private.h"
#include "exporters/journal.h"
#include "exporters/sealer.h"
#include "exporters/sink.h"

#define EXPORTER_BATCHES 2    /* a turn, then the sinks have theirs */
#define EXPORTER_TICK_MS 100  /* looks at the rings even if no wake came */
#define EXPORTER_REST_MS 20   /* between batches: waking for each event costs more than the event */
#define EXPORTER_PRESSING 8   /* a ring that is filled to this part of it is not left alone */
#define EXPORTER_SAVE_MS 1000 /* cursors, retention */
#define EXPORTER_RETRY_MIN_MS 20
#define EXPORTER_RETRY_MAX_MS 1000

/* ---- what sinks say ---- */

static void exporter_on_report(void *argument, const struct audit_event *event)
{
    struct exporter *exporter = argument;

    sealer_report(exporter->sealer, event);
    event_active(exporter->turn_event, EV_TIMEOUT, 0);
}

static void exporter_on_progress(void *argument)
{
    struct exporter *exporter = argument;

    event_active(exporter->turn_event, EV_TIMEOUT, 0);
}

/* What all sinks have confirmed; with no sink everything is. */
static struct journal_position exporter_floor(const struct exporter *exporter)
{
    struct journal_position floor = JOURNAL_NO_SINK;

    for (size_t i = 0; i < exporter->sink_count; i++) {
        struct journal_position confirmed = sink_confirmed(exporter->sinks[i]);
        if (journal_position_compare(confirmed, floor) < 0)
            floor = confirmed;
    }
    return floor;
}

/* ---- rings into the journal ---- */

static void exporter_set_blocked(struct exporter *exporter, int reason)
{
    if (!exporter->blocked) {
        exporter->retry_ms = EXPORTER_RETRY_MIN_MS;
        LOG_EVENT(LOG_ERROR, "audit",
            reason == EDQUOT ? "journal quota is full of unconfirmed events" : "journal can't be written",
            log_string("error", strerror(reason)), log_unsigned("bytes", journal_bytes(exporter->journal)),
            log_string("then", exporter->settings.when_full));
    } else if (exporter->retry_ms < EXPORTER_RETRY_MAX_MS) {
        exporter->retry_ms *= 2;
    }
    exporter->blocked = true;
    exporter->blocked_by_sinks = reason == EDQUOT;
    exporter->retry_at_ms = clock_monotonic_ms() + exporter->retry_ms;
}

static void exporter_set_flowing(struct exporter *exporter)
{
    if (exporter->blocked)
        LOG_EVENT(LOG_INFO, "audit", "journal is written again");
    exporter->blocked = false;
}

/* Up to EXPORTER_BATCHES batches. */
static enum sealer_result exporter_drain(struct exporter *exporter)
{
    enum sealer_result result = SEALER_MORE;

    journal_set_floor(exporter->journal, exporter_floor(exporter));
    for (unsigned i = 0; i < EXPORTER_BATCHES && result == SEALER_MORE; i++) {
        result = sealer_turn(exporter->sealer);
        exporter->moved = exporter->moved || result == SEALER_MORE;
    }
    if (result == SEALER_BLOCKED)
        exporter_set_blocked(exporter, errno);
    else
        exporter_set_flowing(exporter);
    if (sealer_take_relief(exporter->sealer) && exporter->drained != NULL)
        exporter->drained(exporter->drained_argument);
    return result;
}

/* Of a stop: the sinks have the last checkpoint, too. */
static bool exporter_is_done(const struct exporter *exporter)
{
    bool done = exporter->signed_off && sealer_is_empty(exporter->sealer);

    for (size_t i = 0; i < exporter->sink_count; i++)
        done = done && sink_is_idle(exporter->sinks[i]);
    return done || clock_monotonic_ms() >= atomic_load(&exporter->stop_at_ms);
}

/* A batch is dear: none is made only to be refused again. */
static bool exporter_may_drain(struct exporter *exporter)
{
    struct journal_position floor = exporter_floor(exporter);

    if (!exporter->blocked)
        return true;
    journal_set_floor(exporter->journal, floor);
    if (exporter->blocked_by_sinks)
        return !journal_waits_for_sinks(exporter->journal);
    return clock_monotonic_ms() >= exporter->retry_at_ms ||
           journal_position_compare(floor, JOURNAL_NO_SINK) != 0;
}

/* They confirm without delay when no more lines come: at the end, behind the last checkpoint, or when the
 * journal is full. */
static void exporter_wake_sinks(struct exporter *exporter, bool stopping)
{
    bool flush = (exporter->blocked && (exporter->blocked_by_sinks || stopping)) || exporter->signed_off;

    for (size_t i = 0; i < exporter->sink_count; i++) {
        if (flush)
            sink_flush(exporter->sinks[i]);
        else
            sink_wake(exporter->sinks[i]);
    }
}

/* The rings are empty. After a batch there will soon be more: the thread rests, and only a ring that fills
 * ends that before its time. After a rest with nothing to do it sleeps until the next event. It never rests
 * if each event is to be on the disk at once. */
static void exporter_settle(struct exporter *exporter)
{
    bool rests = exporter->moved && exporter->settings.fsync != EXPORTER_FSYNC_ALWAYS;

    atomic_exchange(&exporter->sleeping, rests ? EXPORTER_RESTING : EXPORTER_ASLEEP);
    if (rests)
        event_add(exporter->turn_event, &(struct timeval){.tv_usec = EXPORTER_REST_MS * 1000});
}

/* One turn: rings, sinks, and either the next turn, rest or sleep. A producer pushes and then looks at the
 * flag, we set the flag and then look at the rings: one of us sees the other. */
static void exporter_on_turn(evutil_socket_t descriptor, short events, void *argument)
{
    struct exporter *exporter = argument;
    bool stopping = atomic_load(&exporter->stopping); /* or from the next turn on */
    enum sealer_result result = SEALER_BLOCKED;

    (void)descriptor;
    (void)events;
    assert(exporter->magic == EXPORTER_MAGIC);
    atomic_exchange(&exporter->sleeping, EXPORTER_AWAKE);
    exporter->moved = false;
    if (exporter_may_drain(exporter))
        result = exporter_drain(exporter);
    exporter_report_incidents(exporter);
    if (stopping && sealer_is_empty(exporter->sealer)) /* again if a sink has reported something since */
        exporter->signed_off = sealer_sign(exporter->sealer) != SEALER_BLOCKED;
    exporter_wake_sinks(exporter, stopping);
    exporter_publish_status(exporter);
    if (stopping && exporter_is_done(exporter)) {
        event_base_loopbreak(exporter->base);
        return;
    }
    if (result == SEALER_BLOCKED) /* no wakes: the timer will do */
        return;
    if (result == SEALER_IDLE)
        exporter_settle(exporter);
    /* By the timer: libevent would run what is made active in here before it looks at sockets and timers
     * again, and under steady load no sink would ever be served and nothing synced. */
    if (result == SEALER_MORE || !sealer_is_empty(exporter->sealer))
        event_add(exporter->turn_event, &(struct timeval){0});
}

static void exporter_on_wake(evutil_socket_t descriptor, short events, void *argument)
{
    struct exporter *exporter = argument;
    uint64_t count;

    (void)!read(descriptor, &count, sizeof(count)); /* only to lower it */
    if (atomic_exchange(&exporter->reopening, false))
        for (size_t i = 0; i < exporter->sink_count; i++)
            sink_reopen(exporter->sinks[i]);
    exporter_on_turn(descriptor, events, argument);
}

/* ---- time ---- */

static void exporter_sync(struct exporter *exporter, uint64_t now_ms)
{
    if (exporter->settings.fsync != EXPORTER_FSYNC_INTERVAL ||
        now_ms - exporter->synced_ms < exporter->settings.fsync_interval_ms)
        return;
    exporter->synced_ms = now_ms;
    (void)journal_sync(exporter->journal); /* a failure stops the next append until it is made good */
}

static void exporter_arm_tick(struct exporter *exporter)
{
    uint64_t wait_ms = EXPORTER_TICK_MS;

    if (exporter->settings.fsync == EXPORTER_FSYNC_INTERVAL && exporter->settings.fsync_interval_ms > 0 &&
        exporter->settings.fsync_interval_ms < wait_ms)
        wait_ms = exporter->settings.fsync_interval_ms;
    if (exporter->blocked && exporter->retry_ms < wait_ms)
        wait_ms = exporter->retry_ms;
    event_add(exporter->tick_event, &(struct timeval){.tv_usec = (suseconds_t)(wait_ms * 1000)});
}

static void exporter_on_tick(evutil_socket_t descriptor, short events, void *argument)
{
    struct exporter *exporter = argument;
    uint64_t now_ms = clock_monotonic_ms();

    exporter_sync(exporter, now_ms);
    if (now_ms - exporter->saved_ms >= EXPORTER_SAVE_MS) {
        exporter->saved_ms = now_ms;
        for (size_t i = 0; i < exporter->sink_count; i++)
            sink_save(exporter->sinks[i]);
        sealer_save(exporter->sealer);
        journal_set_floor(exporter->journal, exporter_floor(exporter));
        journal_retain(exporter->journal);
    }
    exporter_on_turn(descriptor, events, exporter);
    for (size_t i = 0; i < exporter->sink_count; i++)
        sink_measure(exporter->sinks[i]);
    exporter_arm_tick(exporter);
}

/* ---- the thread ---- */

static void *exporter_run(void *argument)
{
    struct exporter *exporter = argument;

    for (size_t i = 0; i < exporter->sink_count; i++)
        sink_start(exporter->sinks[i]);
    exporter_arm_tick(exporter);
    event_active(exporter->turn_event, EV_TIMEOUT, 0);
    event_base_dispatch(exporter->base);
    return NULL;
}

int exporter_start(struct exporter *exporter)
{
    assert(exporter->magic == EXPORTER_MAGIC && !exporter->started);
    int status = thread_start(&exporter->thread, exporter_run, exporter);

    if (status != 0) {
        errno = status;
        return -1;
    }
    exporter->started = true;
    return 0;
}

void exporter_wake(struct exporter *exporter)
{
    uint64_t one = 1;

    /* Read-modify-write on both sides: with plain loads and stores each could miss the other. */
    if (atomic_fetch_or(&exporter->sleeping, 0) == EXPORTER_AWAKE ||
        atomic_exchange(&exporter->sleeping, EXPORTER_AWAKE) == EXPORTER_AWAKE)
        return;
    (void)!write(exporter->wake, &one, sizeof(one)); /* full means that a wake is under way */
}

void exporter_tell(struct exporter *exporter, const struct ring *ring)
{
    uint64_t used = ring_used(ring);

    if (used == 0)
        return;
    if (used < ring_capacity(ring) / EXPORTER_PRESSING &&
        atomic_fetch_or(&exporter->sleeping, 0) == EXPORTER_RESTING)
        return;
    exporter_wake(exporter);
}

void exporter_reopen(struct exporter *exporter)
{
    uint64_t one = 1;

    assert(exporter->magic == EXPORTER_MAGIC);
    atomic_store(&exporter->reopening, true);
    (void)!write(exporter->wake, &one, sizeof(one));
}

struct ring *exporter_ring(struct exporter *exporter, uint32_t index)
{
    assert(exporter->magic == EXPORTER_MAGIC && index < exporter->settings.rings);
    return sealer_ring(exporter->sealer, index);
}

struct repeats *exporter_repeats(struct exporter *exporter, uint32_t index)
{
    assert(exporter->magic == EXPORTER_MAGIC && index < exporter->settings.rings);
    return sealer_repeats(exporter->sealer, index);
}

void exporter_on_drained(struct exporter *exporter, void (*call)(void *argument), void *argument)
{
    assert(exporter->magic == EXPORTER_MAGIC && !exporter->started);
    exporter->drained = call;
    exporter->drained_argument = argument;
}

/* ---- life ---- */

static int exporter_open_sinks(struct exporter *exporter, char *error, size_t error_size)
{
    const struct exporter_settings *settings = &exporter->settings;
    const struct sink_owner owner = {exporter_on_report, exporter_on_progress, exporter};

    exporter->sinks = memory_calloc(settings->sink_count + 1, sizeof(struct sink *));
    for (size_t i = 0; i < settings->sink_count; i++) {
        const struct exporter_sink *wanted = &settings->sinks[i];
        for (size_t other = 0; other < i; other++) {
            if (strcmp(wanted->name, settings->sinks[other].name) == 0) {
                snprintf(error, error_size, "two sinks have the name %s", wanted->name);
                return -1;
            }
        }
        exporter->sinks[i] = sink_open(wanted->type, wanted->name, wanted->settings, settings->directory,
            settings->fsync, exporter->journal, exporter->base, &owner, error, error_size);
        if (exporter->sinks[i] == NULL)
            return -1;
        exporter->sink_count++;
    }
    return 0;
}

static int exporter_open_loop(struct exporter *exporter)
{
    exporter->base = event_base_new();
    exporter->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (exporter->base == NULL || exporter->wake == -1)
        return -1;
    exporter->wake_event =
        event_new(exporter->base, exporter->wake, EV_READ | EV_PERSIST, exporter_on_wake, exporter);
    exporter->turn_event = evtimer_new(exporter->base, exporter_on_turn, exporter);
    exporter->tick_event = evtimer_new(exporter->base, exporter_on_tick, exporter);
    if (exporter->wake_event == NULL || exporter->turn_event == NULL || exporter->tick_event == NULL)
        return -1;
    return event_add(exporter->wake_event, NULL);
}

/* Everything that is in the rings, or as much as the journal takes. */
static void exporter_drain_now(struct exporter *exporter)
{
    while (exporter_drain(exporter) == SEALER_MORE)
        ;
    for (size_t i = 0; i < exporter->sink_count; i++)
        sink_measure(exporter->sinks[i]);
    exporter_publish_status(exporter);
}

static void exporter_free(struct exporter *exporter)
{
    for (size_t i = 0; i < exporter->sink_count; i++)
        sink_close(exporter->sinks[i]);
    free(exporter->sinks);
    sealer_close(exporter->sealer);
    journal_close(exporter->journal);
    struct event *const events[] = {exporter->wake_event, exporter->turn_event, exporter->tick_event};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    if (exporter->base != NULL) {
        event_base_loop(exporter->base, EVLOOP_NONBLOCK); /* what libevent frees later */
        event_base_free(exporter->base);
    }
    if (exporter->wake != -1)
        close(exporter->wake);
    exporter->magic = 0;
    free(exporter);
}

/* What the chain knows tells the journal what to believe of the files that lie there. */
static struct journal *exporter_open_journal(
    const struct exporter_settings *settings, char *error, size_t error_size)
{
    struct journal_settings journal = {.directory = settings->directory,
        .fsync = settings->fsync,
        .segment_bytes = settings->segment_bytes,
        .quota_bytes = settings->quota_bytes,
        .retention_ms = settings->retention_ms};
    struct chain_known *known = chain_known_new(settings->directory, &journal.chain);
    struct journal *opened = journal_open(&journal, error, error_size);

    chain_known_free(known);
    return opened;
}

struct exporter *exporter_open(const struct exporter_settings *settings, char *error, size_t error_size)
{
    struct exporter *exporter = memory_calloc(1, sizeof(*exporter));

    assert(settings->rings >= 1);
    exporter->magic = EXPORTER_MAGIC;
    exporter->settings = *settings;
    exporter->wake = -1;
    if (exporter_open_loop(exporter) == -1) {
        snprintf(error, error_size, "no event loop: %s", strerror(errno));
        goto failed;
    }
    exporter->journal = exporter_open_journal(settings, error, error_size);
    if (exporter->journal == NULL || exporter_open_sinks(exporter, error, error_size) == -1)
        goto failed;
    exporter->sealer = sealer_open(settings, exporter->journal, error, error_size);
    if (exporter->sealer == NULL)
        goto failed;
    exporter_drain_now(exporter);
    return exporter;
failed:
    exporter_free(exporter);
    return NULL;
}

void exporter_close(struct exporter *exporter, uint64_t wait_ms)
{
    uint64_t one = 1;

    if (exporter == NULL)
        return;
    assert(exporter->magic == EXPORTER_MAGIC);
    if (exporter->started) {
        atomic_store(&exporter->stop_at_ms, clock_monotonic_ms() + wait_ms);
        atomic_store(&exporter->stopping, true);
        (void)!write(exporter->wake, &one, sizeof(one));
        pthread_join(exporter->thread, NULL);
    }
    exporter_drain_now(
        exporter); /* whatever came last; if the journal takes nothing, the next run recovers it */
    (void)sealer_sign(exporter->sealer);
    exporter_free(exporter);
}

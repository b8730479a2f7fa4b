/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's thread with the journal alone: producers, blocking, relief, closing. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/redis_settings.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"

#define PRODUCERS 3
#define EVENTS 3000

static struct exporter *open_exporter(const struct exporter_settings *settings)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    return exporter;
}

static bool push(struct exporter *exporter, uint32_t ring, uint64_t number)
{
    uint8_t record[AUDIT_EVENT_MAX];
    char user[32];
    struct audit_event event = event_numbered(number, user);

    return ring_push(exporter_ring(exporter, ring), view_of(record, audit_event_encode(&event, record)));
}

struct producer {
    struct exporter *exporter;
    uint32_t ring;
    atomic_uint *relieved;
    uint64_t stops;
};

/* Pushes, and waits for relief when its ring is full, as a worker does. */
static void *produce(void *argument)
{
    struct producer *producer = argument;

    for (uint64_t i = 0; i < EVENTS; i++) {
        while (!push(producer->exporter, producer->ring, producer->ring * EVENTS + i)) {
            unsigned before = atomic_load(producer->relieved);
            producer->stops++;
            exporter_wake(producer->exporter);
            uint64_t until = clock_monotonic_ms() + 20000;
            while (!push(producer->exporter, producer->ring, producer->ring * EVENTS + i)) {
                cr_assert_lt(clock_monotonic_ms(), until, "a full ring is relieved");
                if (atomic_load(producer->relieved) == before)
                    usleep(100);
            }
            i++;
            if (i == EVENTS)
                break;
        }
        if (i % 7 == 0)
            exporter_wake(producer->exporter);
    }
    exporter_wake(producer->exporter);
    return NULL;
}

static void relieve(void *argument)
{
    atomic_fetch_add((atomic_uint *)argument, 1);
}

static void run_producers(enum exporter_fsync policy)
{
    char path[DIRECTORY_MAX];
    pthread_t threads[PRODUCERS];
    struct producer producers[PRODUCERS];
    atomic_uint relieved = 0;
    static uint8_t seen[PRODUCERS * EVENTS];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.rings = PRODUCERS;
    settings.ring_bytes = 64 * 1024;
    settings.fsync = policy;
    settings.segment_bytes = 100000;
    struct exporter *exporter = open_exporter(&settings);
    exporter_on_drained(exporter, relieve, &relieved);
    cr_assert_eq(exporter_start(exporter), 0);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){exporter, i, &relieved, 0};
        cr_assert_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    exporter_close(exporter, CLOSE_MS);
    directory_check(path, seen, sizeof(seen));
    for (size_t i = 0; i < sizeof(seen); i++)
        cr_assert_eq(seen[i], 1, "event %zu is not in the journal", i);
    cr_assert_eq(directory_count(path, ".ring", NULL), 0, "empty rings leave no files");
    directory_remove(path);
}

Test(exporter, all_producers_events_reach_the_journal)
{
    run_producers(EXPORTER_FSYNC_INTERVAL);
}

Test(exporter, all_producers_events_reach_a_journal_that_syncs_always)
{
    run_producers(EXPORTER_FSYNC_ALWAYS);
}

Test(exporter, a_wake_after_sleep_seals_at_once)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.fsync = EXPORTER_FSYNC_NEVER; /* it looks by itself every 100 ms */
    struct exporter *exporter = open_exporter(&settings);
    struct exporter_status status;
    unsigned late = 0;
    cr_assert_eq(exporter_start(exporter), 0);
    for (uint64_t i = 0; i < 30; i++) {
        usleep(30000); /* longer than it rests */
        exporter_status(exporter, &status);
        uint64_t before = clock_monotonic_ms(), sealed = status.events;
        cr_assert(push(exporter, 1, i));
        exporter_wake(exporter);
        do
            exporter_status(exporter, &status);
        while (status.events == sealed && clock_monotonic_ms() - before < 20000);
        late += clock_monotonic_ms() - before >= 50;
    }
    cr_assert_leq(late, 15, "a busy machine may hold up one or the other: %u", late);
    exporter_close(exporter, 1000);
    directory_remove(path);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(exporter, a_full_disk_fills_the_ring_loses_nothing_and_goes_on_by_itself)
{
    char path[DIRECTORY_MAX];
    static uint8_t seen[10000];
    uint64_t pushed = 0;
    struct exporter_status status;
    atomic_uint relieved = 0;
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.ring_bytes = 64 * 1024;
    struct exporter *exporter = open_exporter(&settings);
    exporter_on_drained(exporter, relieve, &relieved);
    cr_assert_eq(exporter_start(exporter), 0);
    limit_file_size(20000);
    do {
        while (push(exporter, 0, pushed))
            pushed++;
        exporter_wake(exporter);
        usleep(10000);
        exporter_status(exporter, &status);
    } while (!status.blocked && pushed < 5000);
    cr_assert(status.blocked);
    while (push(exporter, 0, pushed)) /* the ring is full now */
        pushed++;
    usleep(300000);
    exporter_status(exporter, &status);
    cr_assert(status.blocked);
    cr_assert_leq(status.journal_bytes, 20000);
    unsigned before = atomic_load(&relieved);
    limit_file_size(RLIM_INFINITY);
    WAIT_FOR((exporter_status(exporter, &status), !status.blocked && status.events >= pushed));
    cr_assert_gt(atomic_load(&relieved), before, "those who wait are told");
    cr_assert(push(exporter, 0, pushed++));
    exporter_wake(exporter);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(directory_check(path, seen, sizeof(seen)), pushed);
    for (uint64_t i = 0; i < pushed; i++)
        cr_assert_eq(seen[i], 1);
    directory_remove(path);
}

Test(exporter, what_was_pushed_before_close_is_in_the_journal_even_without_a_thread)
{
    char path[DIRECTORY_MAX];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    struct exporter *exporter = open_exporter(&settings);
    for (uint64_t i = 0; i < 10; i++)
        cr_assert(push(exporter, 0, i));
    exporter_close(exporter, 0);
    cr_assert_eq(directory_check(path, NULL, 0), 10);
    directory_remove(path);
}

Test(exporter, settings_that_can_not_work_are_refused_with_a_sentence)
{
    char path[DIRECTORY_MAX], error[512], host[300] = "";
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    struct exporter_redis redis[2] = {{.address = {"127.0.0.1", 1}, .key = "k", .field = "event"},
        {.address = {"127.0.0.1", 1}, .key = "k", .field = "event"}};
    struct exporter_sink sinks[2] = {{"siem", &sink_redis, &redis[0]}, {"siem", &sink_redis, &redis[1]}};

    settings.directory = "/nonexistent";
    cr_expect_null(exporter_open(&settings, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "/nonexistent"), "%s", error);
    settings.directory = path;
    settings.quota_bytes = 1000;
    cr_expect_null(exporter_open(&settings, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "1 MiB"), "%s", error);
    settings.quota_bytes = 64 * 1024 * 1024;
    settings.sinks = sinks;
    settings.sink_count = 2;
    cr_expect_null(exporter_open(&settings, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "two sinks"), "%s", error);
    sinks[1].name = "../evil";
    cr_expect_null(exporter_open(&settings, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "../evil"), "%s", error);
    sinks[1].name = "other";
    memset(host, 'x', sizeof(host) - 1);
    redis[1].address.host = host;
    cr_expect_null(exporter_open(&settings, error, sizeof(error)));
    cr_expect_not_null(strstr(error, "too long"), "%s", error);
    directory_remove(path);
}

Test(exporter, the_fill_of_rings_and_journal_is_told)
{
    char path[DIRECTORY_MAX];
    struct exporter_ring_status ring;
    struct exporter_trail trail;
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    struct exporter *exporter = open_exporter(&settings);
    cr_assert_eq(exporter_ring_count(exporter), settings.rings);
    for (size_t i = 0; i <= settings.rings; i++) {
        exporter_ring_status(exporter, i, &ring);
        cr_assert_eq(ring.used, 0);
        cr_assert_geq(ring.capacity, settings.ring_bytes);
    }
    cr_assert(push(exporter, 1, 1));
    exporter_ring_status(exporter, 1, &ring);
    cr_assert_gt(ring.used, 100);
    cr_assert_eq(exporter_start(exporter), 0);
    exporter_wake(exporter);
    WAIT_FOR((exporter_ring_status(exporter, 1, &ring), ring.used == 0));
    WAIT_FOR((exporter_trail(exporter, &trail), trail.journal_bytes > 500 && trail.sealed > 0));
    cr_assert_eq(trail.journal_quota_bytes, settings.quota_bytes);
    cr_assert_eq(trail.journal_segments, 1);
    cr_assert(trail.lost == 0 && trail.sync_failures == 0 && !trail.blocked);
    WAIT_FOR((exporter_trail(exporter, &trail), trail.unsigned_events == 1 && trail.unsigned_ms > 0));
    cr_assert(trail.checkpoint_us > clock_wall_us() - 60000000 && trail.checkpoint_us <= clock_wall_us());
    cr_assert_eq(exporter_sink_count(exporter), 0);
    exporter_close(exporter, 100);
    directory_remove(path);
}

/* ---- a stop that comes in the middle of a turn ---- */

/* Takes its time over the first event that is no checkpoint. */
struct slow_sink {
    struct sink *sink;
};
static atomic_bool slow_is_busy, slow_ends_signed;
static bool slow_fails; /* once, at the checkpoint behind that event */

static void *slow_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct slow_sink *slow = calloc(1, sizeof(*slow));

    (void)settings, (void)base, (void)error, (void)error_size;
    slow->sink = sink;
    return slow;
}

static void slow_start(void *link)
{
    (void)link;
}

static void slow_wake(void *link)
{
    struct slow_sink *slow = link;
    struct journal_line line;

    while (sink_next(slow->sink, &line)) {
        bool checkpoint = memmem(line.text.data, line.text.length, "\"checkpoint\"", 12) != NULL;

        atomic_store(&slow_ends_signed, checkpoint);
        if (checkpoint && atomic_load(&slow_is_busy) && slow_fails) {
            slow_fails = false;
            sink_fail(slow->sink, REASON_sink_unreachable, "for a moment");
            sink_rewind(slow->sink);
            return;
        }
        if (!checkpoint && !atomic_exchange(&slow_is_busy, true))
            usleep(300000);
        sink_confirm(slow->sink, line.end);
    }
}

static const struct sink_type slow_type = {
    .name = "slow", .open = slow_open, .start = slow_start, .wake = slow_wake, .close = free};

static void stop_while_busy(bool fails)
{
    char path[DIRECTORY_MAX];
    const struct exporter_sink sink = {"slow", &slow_type, NULL};

    slow_fails = fails;
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.sinks = &sink;
    settings.sink_count = 1;
    struct exporter *exporter = open_exporter(&settings);
    cr_assert_eq(exporter_start(exporter), 0);
    cr_assert(push(exporter, 0, 1));
    exporter_wake(exporter);
    while (!atomic_load(&slow_is_busy))
        usleep(1000);
    exporter_close(exporter, CLOSE_MS);
    cr_expect(atomic_load(&slow_ends_signed));
    cr_expect_eq(directory_actions(path, "sink-down"), fails);
    cr_expect_eq(directory_actions(path, "sink-up"), fails);
    directory_remove(path);
}

Test(exporter, a_stop_in_the_middle_of_a_turn_brings_its_checkpoint_to_the_sinks, .timeout = 60)
{
    stop_while_busy(false);
}

Test(exporter, what_a_sink_reports_during_the_stop_is_signed_and_delivered, .timeout = 60)
{
    stop_while_busy(true);
}

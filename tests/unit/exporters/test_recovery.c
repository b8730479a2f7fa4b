/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that died left behind: nothing lost, nothing twice, and said. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/sink.h"
#include "exporters/source.h"

#define NUMBERS 400000

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

/* Pushes count events and dies without closing anything; with a thread or without. */
static void die_with(const struct exporter_settings *settings, uint64_t first, uint64_t count, uint32_t ring)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct exporter *exporter = open_exporter(settings);
        for (uint64_t i = 0; i < count; i++) {
            if (!push(exporter, ring, first + i))
                _exit(1);
        }
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(recovery, events_in_rings_of_a_dead_process_reach_the_journal_first)
{
    char path[DIRECTORY_MAX];
    static uint8_t seen[100];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);

    settings.rings = 5;
    die_with(&settings, 0, 50, 4);
    settings.rings = 1; /* other rings now */
    settings.ring_bytes = 1024 * 1024;
    struct exporter *exporter = open_exporter(&settings);
    struct exporter_status status;
    exporter_status(exporter, &status);
    cr_assert_geq(status.events, 51, "recovered before anything else: 50 and the report");
    cr_assert(push(exporter, 0, 50));
    exporter_close(exporter, 0);
    cr_assert_eq(directory_check(path, seen, sizeof(seen)), 52);
    for (size_t i = 0; i <= 50; i++)
        cr_assert_eq(seen[i], 1);
    cr_assert_eq(directory_actions(path, "audit-recovered"), 1);
    cr_assert_eq(directory_count(path, ".ring", NULL), 0);
    directory_remove(path);
}

/* Copies the rings as they are now: what they are after a crash between the append and the move of the tail.
 */
static void copy_rings(const char *path, const char *aside, bool back)
{
    char command[512];

    snprintf(command, sizeof(command), back ? "cp %s/* %s/" : "mkdir -p %s && cp %s/*.ring %s/",
        back ? aside : aside, path, aside);
    cr_assert_eq(system(command), 0);
}

Test(recovery, events_that_are_in_ring_and_journal_are_not_written_twice)
{
    char path[DIRECTORY_MAX], aside[DIRECTORY_MAX + 8];
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    pid_t child = fork();
    int status;

    snprintf(aside, sizeof(aside), "%s/aside", path);
    if (child == 0) {
        struct exporter *exporter = open_exporter(&settings);
        for (uint64_t i = 0; i < 40; i++)
            push(exporter, i % 2, i);
        copy_rings(path, aside, false);
        exporter_close(exporter, 0); /* journaled, and the rings are gone */
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(directory_check(path, NULL, 0), 40);
    for (int again = 0; again < 2; again++) {
        copy_rings(path, aside, true);
        struct exporter *exporter = open_exporter(&settings);
        exporter_close(exporter, 0);
        cr_assert_eq(directory_check(path, NULL, 0), 40, "none twice, and nothing to report");
    }
    directory_remove(path);
}

static void damage(const char *file, long offset)
{
    int descriptor = open(file, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    cr_assert(descriptor != -1 && pread(descriptor, &byte, 1, offset) == 1);
    byte ^= 0x55;
    cr_assert_eq(pwrite(descriptor, &byte, 1, offset), 1);
    close(descriptor);
}

Test(recovery, a_damaged_ring_becomes_a_gap_and_is_kept)
{
    static const long places[] = {0, 4096 + 40, 4096 + 3000};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char path[DIRECTORY_MAX], ring[256];
        directory_make(path);
        struct exporter_settings settings = directory_settings(path);
        die_with(&settings, 0, 60, 0);
        cr_assert_geq(directory_count(path, "-0.ring", ring), 1);
        damage(ring, places[i]);
        struct exporter *exporter = open_exporter(&settings);
        exporter_close(exporter, 0);
        directory_check(path, NULL, 0);
        cr_expect_eq(directory_actions(path, "audit-gap"), 1, "damage at %ld", places[i]);
        cr_expect_geq(directory_count(path, ".damaged", NULL), 1, "damage at %ld", places[i]);
        directory_remove(path);
    }
}

/* A start that finds the damage and dies before it could say so: the ring that was salvaged says it for good.
 */
Test(recovery, a_damaged_ring_is_said_by_whichever_start_can)
{
    const struct repeats_options options = {0};
    char path[DIRECTORY_MAX], ring[256], error[256] = "";
    struct source source;
    unsigned long long run;

    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    die_with(&settings, 0, 60, 0);
    cr_assert_geq(directory_count(path, "-0.ring", ring), 1);
    cr_assert_eq(sscanf(strrchr(ring, '/') + 1, "ring-%16llx-0.ring", &run), 1);
    damage(ring, 4096 + 3000);
    char table[256], away[256]; /* one that fails, too: the disk is full, say */
    cr_assert_geq(directory_count(path, "-0.table", table), 1);
    snprintf(away, sizeof(away), "%s/away", path);
    cr_assert_eq(rename(table, away), 0);
    cr_assert_eq(mkdir(table, 0700), 0);
    cr_assert_eq(source_open(&source, path, run, 0, 64 * 1024, &options, error, sizeof(error)), -1);
    cr_assert_eq(rmdir(table), 0);
    cr_assert_eq(rename(away, table), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(source_open(&source, path, run, 0, 64 * 1024, &options, error, sizeof(error)), 0);
        cr_expect(source.damaged, "start %d", i);
        source_close(&source, false);
    }
    exporter_close(open_exporter(&settings), 0);
    directory_check(path, NULL, 0);
    cr_expect_eq(directory_actions(path, "audit-gap"), 1);
    exporter_close(open_exporter(&settings), 0);
    cr_expect_eq(directory_actions(path, "audit-gap"), 1, "and once");
    directory_remove(path);
}

/* ---- death at random moments ---- */

struct progress {
    atomic_uint_fast64_t pushed[2]; /* numbers below are in the ring for sure; by ring */
};

struct killed_producer {
    struct exporter *exporter;
    struct progress *progress;
    uint32_t ring;
};

_Noreturn static void *produce_for_ever(void *argument)
{
    struct killed_producer *producer = argument;
    uint64_t number = atomic_load(&producer->progress->pushed[producer->ring]);

    for (; number < NUMBERS / 2; number++) {
        while (!push(producer->exporter, producer->ring, number * 2 + producer->ring)) {
            exporter_wake(producer->exporter);
            usleep(50);
        }
        atomic_store(&producer->progress->pushed[producer->ring], number + 1);
        if (number % 16 == 0)
            exporter_wake(producer->exporter);
        if (number % 64 == 0)
            usleep(200);
    }
    for (;;)
        pause();
}

_Noreturn static void run_until_killed(const struct exporter_settings *settings, struct progress *progress)
{
    struct killed_producer producers[2];
    pthread_t threads[2];
    struct exporter *exporter = open_exporter(settings);

    if (exporter_start(exporter) != 0)
        _exit(1);
    for (uint32_t i = 0; i < 2; i++) {
        producers[i] = (struct killed_producer){exporter, progress, i};
        pthread_create(&threads[i], NULL, produce_for_ever, &producers[i]);
    }
    for (;;)
        pause();
}

static uint64_t all_pushed(struct progress *progress)
{
    return atomic_load(&progress->pushed[0]) + atomic_load(&progress->pushed[1]);
}

/* Every other child dies wherever it has got to, the rest after some work: on a busy machine none would do
 * any. */
static void let_live(struct progress *progress, int death)
{
    uint64_t wanted = all_pushed(progress) + (uint64_t)(random() % 300);

    for (int ms = 0; death % 2 == 1 && ms < 3000 && all_pushed(progress) < wanted; ms++)
        usleep(1000);
    usleep((useconds_t)(random() % (death % 2 == 1 ? 2000 : 120000)));
}

/* A number that was pushed when the process died but not yet noted comes again in the next run, from another
 * record: that is the test's doing and not a duplicate, which is why origins are compared and not numbers. */
Test(recovery, thirty_deaths_at_random_moments_lose_nothing_and_repeat_nothing, .timeout = 110)
{
    static uint8_t seen[NUMBERS];
    char path[DIRECTORY_MAX];
    int status;
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(progress, MAP_FAILED);

    settings.segment_bytes = 256 * 1024;
    settings.quota_bytes = (uint64_t)1024 * 1024 * 1024;
    srandom((unsigned)getpid());
    for (int death = 0; death < 30; death++) {
        settings.fsync = death % 3 == 0 ? EXPORTER_FSYNC_ALWAYS : EXPORTER_FSYNC_INTERVAL;
        pid_t child = fork();
        if (child == 0)
            run_until_killed(&settings, progress);
        let_live(progress, death);
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "it ended by itself in death %d: %d", death, status);
    }
    exporter_close(open_exporter(&settings), 0);
    size_t lines = directory_check(path, seen, sizeof(seen));
    uint64_t total = all_pushed(progress);
    for (uint32_t ring = 0; ring < 2; ring++) {
        uint64_t pushed = atomic_load(&progress->pushed[ring]);
        for (uint64_t number = 0; number < pushed; number++)
            cr_assert_eq(seen[number * 2 + ring], 1, "event %llu of ring %u is lost",
                (unsigned long long)number, ring);
    }
    cr_assert_gt(total, 100, "the children did something");
    cr_assert_geq(lines, total);
    cr_assert_eq(directory_actions(path, "audit-gap"), 0);
    munmap(progress, sizeof(*progress));
    directory_remove(path);
}

/* ---- a journal that takes nothing, and a process that dies again and again ---- */

struct dead_sink {
    struct sink *sink;
};

static void *dead_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct dead_sink *dead = calloc(1, sizeof(*dead));

    (void)settings;
    (void)base;
    (void)error;
    (void)error_size;
    dead->sink = sink;
    return dead;
}

static void dead_do_nothing(void *link)
{
    (void)link;
}

/* Confirms nothing, ever. */
static const struct sink_type dead_type = {
    .name = "dead", .open = dead_open, .start = dead_do_nothing, .wake = dead_do_nothing, .close = free};

static uint64_t bytes_of(const char *path, const char *part)
{
    char command[256];
    unsigned long long bytes = 0;

    snprintf(command, sizeof(command), "cat %s/*%s* 2>/dev/null | wc -c", path, part);
    FILE *file = popen(command, "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%llu", &bytes), 1);
    pclose(file);
    return bytes;
}

Test(recovery, deaths_while_the_quota_is_full_leave_no_more_files_and_lose_nothing)
{
    char path[DIRECTORY_MAX];
    static uint8_t seen[NUMBERS];
    const struct exporter_sink sink = {"dead", &dead_type, NULL};
    uint64_t pushed = 0, files = 0, bytes = 0;
    directory_make(path);
    struct exporter_settings settings = directory_settings(path);

    settings.quota_bytes = JOURNAL_QUOTA_MIN;
    settings.segment_bytes = JOURNAL_QUOTA_MIN / 4;
    settings.sinks = &sink;
    settings.sink_count = 1;
    while (bytes_of(path, "ndjson") < JOURNAL_QUOTA_MIN - 300 * 1024) { /* the next batch does not fit */
        die_with(&settings, pushed, 200, 0);
        pushed += 200;
    }
    for (unsigned death = 0; death < 12; death++) {
        die_with(&settings, pushed, 20, 0);
        pushed += 20;
        if (death == 1) {
            files = directory_count(path, ".ring", NULL);
            bytes = bytes_of(path, ".ring") + bytes_of(path, ".table");
        }
    }
    cr_assert_leq(directory_count(path, ".ring", NULL), files, "no file more for each death");
    cr_assert_leq(bytes_of(path, ".ring") + bytes_of(path, ".table"), bytes);
    settings.sink_count = 0; /* the sink is taken out: the quota is free again */
    settings.quota_bytes = 64 * 1024 * 1024;
    struct exporter *exporter = open_exporter(&settings);
    exporter_close(exporter, 0);
    directory_check(path, seen, sizeof(seen));
    for (uint64_t i = 0; i < pushed; i++)
        cr_assert_eq(seen[i], 1, "event %lu is missing", (unsigned long)i);
    cr_assert_eq(directory_count(path, ".ring", NULL), 0);
    cr_assert_geq(directory_actions(path, "audit-recovered"), 1);
    directory_remove(path);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-audit: what an audit event costs, stage by stage, and how many of them one exporter thread
 * gets to a Redis stream through the journal. CPU time; the median of rounds.
 *
 *     mqward-bench-audit [directory]     where rings and journal are made; by default /dev/shm
 *
 * The events are denied publishes whose line is about 1 KB. The Redis is a thread of this process that takes
 * commands apart and answers each: its time is not counted, and the time of the kernel on the exporter's side
 * of the socket is. */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/ring.h"
#include "exporters/chain.h"
#include "exporters/journal.h"
#include "exporters/record.h"
#include "exporters/redis_settings.h"
#include "exporters/repeats.h"
#include "exporters/sealer.h"
#include "exporters/sinks.h"
#include "micro_event.h"

#define EVENTS 200000U
#define BATCH 10000U
#define ROUNDS 9
#define RING_BYTES ((size_t)64 << 20)

static double now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* ---- a Redis that answers ---- */

struct redis {
    int listener;
    uint16_t port;
    pid_t thread; /* its id, once it runs */
    _Atomic uint64_t entries;
};

/* The number behind the type of an item, and the length of its line; 0: not all of it is there. */
static size_t read_number(struct view at, size_t *number)
{
    const uint8_t *end = at.length == 0 ? NULL : memchr(at.data, '\n', at.length);

    if (end == NULL)
        return 0;
    *number = strtoul((const char *)at.data + 1, NULL, 10);
    return (size_t)(end - at.data) + 1;
}

/* The length of the first command; 0: not all of it is there. */
static size_t command_length(struct view in, bool *is_entry)
{
    size_t items, used = read_number(in, &items), length;

    for (size_t i = 0; used != 0 && i < items; i++) {
        size_t line = read_number(view_skip(in, used), &length);

        if (line == 0 || used + line + length + 2 > in.length)
            return 0;
        if (i == 0)
            *is_entry = view_starts_with(view_skip(in, used + line), VIEW("XADD"));
        used += line + length + 2;
    }
    return used;
}

static void answer(struct redis *redis, int client, struct buffer *in)
{
    struct buffer out = {0};
    bool is_entry = false;
    size_t length;
    uint64_t entries = 0;

    while ((length = command_length(buffer_view(in), &is_entry)) != 0) {
        buffer_consume(in, length);
        buffer_append(&out, is_entry ? VIEW("$15\r\n1767323046001-1\r\n") : VIEW("+PONG\r\n"));
        entries += is_entry;
    }
    for (struct view left = buffer_view(&out); left.length > 0;) {
        ssize_t sent = send(client, left.data, left.length, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        left = view_skip(left, (size_t)sent);
    }
    buffer_release(&out);
    atomic_fetch_add(&redis->entries, entries);
}

static void *serve(void *argument)
{
    struct redis *redis = argument;
    struct buffer in = {0};
    int client;

    redis->thread = (pid_t)syscall(SYS_gettid);
    client = accept(redis->listener, NULL, NULL);
    for (;;) {
        ssize_t got = recv(client, buffer_reserve(&in, 256 * 1024), 256 * 1024, 0);
        if (got <= 0)
            break;
        in.end += (size_t)got;
        answer(redis, client, &in);
    }
    buffer_release(&in);
    close(client);
    return NULL;
}

static void listen_somewhere(struct redis *redis)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    redis->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(redis->listener, (struct sockaddr *)&address, length) != 0 || listen(redis->listener, 8) != 0)
        abort();
    getsockname(redis->listener, (struct sockaddr *)&address, &length);
    redis->port = ntohs(address.sin_port);
}

/* ---- directories ---- */

static struct exporter_settings settings_for(const char *directory)
{
    return (struct exporter_settings){.directory = directory,
        .fsync = EXPORTER_FSYNC_NEVER,
        .segment_bytes = 256 << 20,
        .quota_bytes = (uint64_t)1 << 30,
        .ring_bytes = RING_BYTES,
        .rings = 1,
        .hostname = "edge-1"};
}

static char *make_directory(const char *where)
{
    char *path = memory_format("%s/mqward-bench-XXXXXX", where);

    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(1);
    }
    return path;
}

static void remove_directory(char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    if (stream != NULL)
        closedir(stream);
    rmdir(path);
    free(path);
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    char user[32], topic[96];

    for (uint64_t i = first; i < first + count; i++) {
        struct audit_event event = micro_event(i, user, topic);
        size_t length = audit_event_encode(&event, record);
        while (!ring_push(exporter_ring(exporter, 0), view_of(record, length))) {
            exporter_wake(exporter);
            usleep(200);
        }
        if (i % 64 == 0)
            exporter_wake(exporter);
    }
    exporter_wake(exporter);
}

/* ---- stages, one thread ---- */

static double median(double *values)
{
    for (int i = 1; i < ROUNDS; i++)
        for (int j = i; j > 0 && values[j] < values[j - 1]; j--) {
            double swap = values[j];
            values[j] = values[j - 1];
            values[j - 1] = swap;
        }
    return values[ROUNDS / 2];
}

struct stages {
    double encode[ROUNDS], decode[ROUNDS], render[ROUNDS], chain[ROUNDS], seal[ROUNDS], read[ROUNDS];
    double news[ROUNDS], repeat[ROUNDS];
    size_t line;
};

static double per_event(double before)
{
    return (now_ns(CLOCK_THREAD_CPUTIME_ID) - before) / BATCH;
}

static void run_codec(struct stages *stages, int round)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    const struct record_seal seal = {
        .epoch = 1, .sequence = 1, .sealed_us = 1767323046001245, .origin = {1, 0, 1}, .hostname = "edge-1"};
    struct buffer lines = {0};
    struct audit_event event, back;
    char user[32], topic[96];
    size_t length = 0;

    double before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++) {
        event = micro_event(i, user, topic);
        length = audit_event_encode(&event, record);
    }
    stages->encode[round] = per_event(before);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++)
        if (audit_event_decode(view_of(record, length), &back) != 0)
            abort();
    stages->decode[round] = per_event(before);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++) {
        buffer_clear(&lines);
        record_render(&lines, &back, &seal);
    }
    stages->render[round] = per_event(before);
    struct buffer sealed = {0};
    struct chain_cursor cursor = {0};
    chain_begin(&cursor, (uint8_t[CHAIN_KEY_SIZE]){1}, 1, 1);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++) {
        buffer_clear(&sealed);
        buffer_append(&sealed, buffer_view(&lines));
        chain_seal(&cursor, &sealed, 0);
    }
    stages->chain[round] = per_event(before);
    buffer_release(&sealed);
    buffer_release(&lines);
}

/* What a worker does with an event that is not like another one, but for the encoding and the push; and with
 * one that is. */
static void run_repeats(struct stages *stages, int round, const char *where)
{
    const struct repeats_options options = {REPEATS_SLOTS, 10000};
    char *directory = make_directory(where), *path = memory_format("%s/a.table", directory), error[256];
    char user[32], topic[96];
    bool damaged;
    struct repeats *repeats = repeats_open(path, &options, &damaged, error, sizeof(error));
    struct ring *ring = ring_new(1 << 20);
    struct audit_event event = micro_event(0, user, topic);
    double made, before = now_ns(CLOCK_THREAD_CPUTIME_ID);

    if (repeats == NULL)
        abort();
    for (unsigned i = 0; i < BATCH; i++)
        event = micro_event(i, user, topic);
    made = per_event(before);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++) {
        event = micro_event(i, user, topic);
        if (repeats_count(repeats, &event))
            abort();
        repeats_begin(repeats, &event, ring, i);
    }
    stages->news[round] = per_event(before) - made;
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 0; i < BATCH; i++)
        if (!repeats_count(repeats, &event))
            abort();
    stages->repeat[round] = per_event(before);
    repeats_close(repeats, true);
    ring_close(ring);
    remove_directory(directory);
    free(path);
}

/* Rings into the journal, and the journal read back as a sink does. */
static void run_journal(struct stages *stages, int round, const char *where)
{
    char *directory = make_directory(where), error[256];
    struct exporter_settings settings = settings_for(directory);
    const struct journal_settings wanted = {.directory = directory,
        .fsync = settings.fsync,
        .segment_bytes = settings.segment_bytes,
        .quota_bytes = settings.quota_bytes,
        .retention_ms = settings.retention_ms};
    struct journal *journal = journal_open(&wanted, error, sizeof(error));
    struct sealer *sealer = journal == NULL ? NULL : sealer_open(&settings, journal, error, sizeof(error));
    static uint8_t record[AUDIT_EVENT_MAX];
    char user[32], topic[96];
    struct journal_line line;

    if (sealer == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    for (unsigned i = 0; i < BATCH; i++) {
        struct audit_event event = micro_event(i, user, topic);
        if (!ring_push(sealer_ring(sealer, 0), view_of(record, audit_event_encode(&event, record))))
            abort();
    }
    double before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    while (sealer_turn(sealer) == SEALER_MORE)
        ;
    stages->seal[round] = per_event(before);
    struct journal_reader *reader = journal_reader_new(journal, JOURNAL_START);
    before = now_ns(CLOCK_THREAD_CPUTIME_ID);
    while (journal_reader_next(reader, &line) == JOURNAL_LINE)
        stages->line = line.text.length;
    stages->read[round] = per_event(before);
    journal_reader_free(reader);
    sealer_close(sealer);
    journal_close(journal);
    remove_directory(directory);
}

/* ---- the whole ---- */

/* CPU time so far of the thread of this process that is neither of the two: the exporter's. */
static double thread_ns(pid_t main_thread, pid_t redis)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    double found = 0;

    while (tasks != NULL && (entry = readdir(tasks)) != NULL) {
        long thread = strtol(entry->d_name, NULL, 10);
        char path[64];
        FILE *file;

        if (thread == 0 || thread == main_thread || thread == redis)
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", thread);
        file = fopen(path, "re");
        if (file == NULL || fscanf(file, "%lf", &found) != 1)
            abort();
        fclose(file);
    }
    closedir(tasks);
    return found;
}

static void run_whole(const char *where)
{
    char *directory = make_directory(where), error[256];
    struct redis redis = {0};
    pthread_t server;

    listen_somewhere(&redis);
    pthread_create(&server, NULL, serve, &redis);
    const struct exporter_redis server_settings = {.address = {"127.0.0.1", redis.port},
        .key = "mqward:audit",
        .field = "event",
        .max_length = 1000000,
        .timeout_ms = 5000};
    const struct exporter_sink sink = {"siem", &sink_redis, &server_settings};
    struct exporter_settings settings = settings_for(directory);
    settings.sinks = &sink;
    settings.sink_count = 1;
    struct exporter *exporter = exporter_open(&settings, error, sizeof(error));
    if (exporter == NULL || exporter_start(exporter) != 0) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    push(exporter, 0, 1000);
    while (atomic_load(&redis.entries) < 1000)
        usleep(1000);
    pid_t self = (pid_t)syscall(SYS_gettid);
    double cpu = thread_ns(self, redis.thread), wall = now_ns(CLOCK_MONOTONIC);
    uint64_t before = atomic_load(&redis.entries);
    push(exporter, 1000, EVENTS);
    while (atomic_load(&redis.entries) < 1000 + EVENTS)
        usleep(1000);
    uint64_t entries = atomic_load(&redis.entries) - before;
    cpu = thread_ns(self, redis.thread) - cpu;
    wall = now_ns(CLOCK_MONOTONIC) - wall;
    printf(
        "\n%-44s %8.0f ns an event\n", "exporter thread, rings to Redis, journal on", cpu / (double)entries);
    printf("%-44s %8.0f events a second of its CPU time\n", "", (double)entries / cpu * 1e9);
    printf("%-44s %8.0f events a second, all threads on this machine\n", "", (double)entries / wall * 1e9);
    exporter_close(exporter, 5000);
    pthread_join(server, NULL);
    close(redis.listener);
    remove_directory(directory);
}

int main(int argc, char **argv)
{
    const char *where = argc > 1 ? argv[1] : "/dev/shm";
    static struct stages stages;

    for (int round = 0; round < ROUNDS; round++) {
        run_codec(&stages, round);
        run_repeats(&stages, round, where);
        run_journal(&stages, round, where);
    }
    double decode = median(stages.decode), render = median(stages.render), chain = median(stages.chain);
    double seal = median(stages.seal);
    printf("a line of %zu bytes\n", stages.line);
    printf("%-44s %8.0f ns\n", "encoded (in the worker)", median(stages.encode));
    printf("%-44s %8.0f ns\n", "the first of its kind, kept", median(stages.news));
    printf("%-44s %8.0f ns\n", "a repeat, counted", median(stages.repeat));
    printf("%-44s %8.0f ns\n", "decoded", decode);
    printf("%-44s %8.0f ns\n", "rendered", render);
    printf("%-44s %8.0f ns\n", "chained (HMAC-SHA-256, the next key)", chain);
    printf("%-44s %8.0f ns\n", "ring and journal", seal - decode - render - chain);
    printf("%-44s %8.0f ns\n", "rings to journal, all of it", seal);
    printf("%-44s %8.0f ns\n", "read back for a sink", median(stages.read));
    run_whole(where);
    return 0;
}

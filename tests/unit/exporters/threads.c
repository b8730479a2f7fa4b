/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's threads at work, for ThreadSanitizer: producers, the exporter, a reader of the status, a
 * look-up, and a server that answers every XADD. A program of its own, because Criterion's runner and
 * ThreadSanitizer can't live in one process (both want the same addresses). Exit code 0: every event was
 * sealed and acknowledged. */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "exporters/exporter.h"
#include "exporters/redis_settings.h"
#include "exporters/sinks.h"

#define PRODUCERS 3
#define EVENTS 1000

struct state {
    struct exporter *exporter;
    atomic_uint relieved;
    atomic_uint added; /* XADD that the server acknowledged */
    atomic_bool ended;
    int listener;
};

struct producer {
    struct state *state;
    uint32_t ring;
};

static bool push(struct state *state, uint32_t ring)
{
    uint8_t record[AUDIT_EVENT_MAX];
    const struct audit_event event = {.action = AUDIT_publish_denied,
        .reason = REASON_no_allow,
        .wall_us = clock_wall_us(),
        .has_topic = true,
        .topic = VIEW("plant/a/valve/3/cmd")};

    return ring_push(
        exporter_ring(state->exporter, ring), view_of(record, audit_event_encode(&event, record)));
}

static void *produce(void *argument)
{
    const struct producer *producer = argument;

    for (unsigned i = 0; i < EVENTS; i++) {
        while (!push(producer->state, producer->ring)) {
            exporter_wake(producer->state->exporter);
            usleep(200);
        }
        if (i % 5 == 0)
            exporter_wake(producer->state->exporter);
    }
    exporter_wake(producer->state->exporter);
    return NULL;
}

static void *watch(void *argument)
{
    struct state *state = argument;
    struct exporter_status status;
    uint64_t last = 0;

    while (!atomic_load(&state->ended)) {
        exporter_status(state->exporter, &status);
        assert(status.events >= last);
        last = status.events;
        usleep(500);
    }
    return NULL;
}

static void relieve(void *argument)
{
    atomic_fetch_add(&((struct state *)argument)->relieved, 1);
}

/* Enough of a Redis: every command ends with a CRLF behind its last argument, and starts with '*' and its
 * name. */
static void serve(struct state *state, int descriptor)
{
    static char buffer[1 << 20];
    size_t length = 0;
    ssize_t count;

    while ((count = read(descriptor, buffer + length, sizeof(buffer) - length)) > 0) {
        length += (size_t)count;
        for (;;) {
            char *end = NULL, *place = buffer, *limit = buffer + length;
            if (length == 0 || memchr(buffer, '\n', length) == NULL)
                break;
            assert(buffer[0] == '*');
            unsigned long arguments = strtoul(buffer + 1, &end, 10);
            const char *name = NULL;
            place = end + 2;
            while (arguments > 0) {
                if (place >= limit || memchr(place, '\n', (size_t)(limit - place)) == NULL)
                    break;
                size_t size = strtoul(place + 1, &end, 10);
                if ((size_t)(limit - end) < size + 4)
                    break;
                name = name == NULL ? end + 2 : name;
                place = end + 2 + size + 2;
                arguments--;
            }
            if (arguments > 0)
                break;
            bool add = memcmp(name, "XADD", 4) == 0;
            const char *answer = add ? "$3\r\n1-1\r\n" : "+PONG\r\n";
            ssize_t sent = send(descriptor, answer, strlen(answer), MSG_NOSIGNAL);
            assert(sent == (ssize_t)strlen(answer));
            atomic_fetch_add(&state->added, add ? 1 : 0);
            length = (size_t)(limit - place);
            memmove(buffer, place, length);
        }
    }
}

static void *run_server(void *argument)
{
    struct state *state = argument;
    int descriptor;

    while ((descriptor = accept(state->listener, NULL, NULL)) != -1) {
        serve(state, descriptor);
        close(descriptor);
    }
    return NULL;
}

static uint16_t listen_somewhere(struct state *state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    state->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bound = bind(state->listener, (struct sockaddr *)&address, length);
    int listening = listen(state->listener, 4);
    int named = getsockname(state->listener, (struct sockaddr *)&address, &length);
    assert(bound == 0 && listening == 0 && named == 0);
    return ntohs(address.sin_port);
}

static void remove_directory(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    assert(stream != NULL);
    while ((entry = readdir(stream)) != NULL)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    rmdir(path);
}

static void run_once(enum exporter_fsync policy)
{
    char path[] = "/tmp/mqward-test-XXXXXX", error[256] = "";
    static struct state state;
    pthread_t threads[PRODUCERS], watcher, server;
    struct producer producers[PRODUCERS];
    char *made = mkdtemp(path);

    assert(made != NULL);
    state = (struct state){.listener = -1};
    const struct exporter_redis redis = {.address = {"localhost", listen_somewhere(&state)},
        .key = "mqward:audit",
        .field = "event",
        .timeout_ms = 5000};
    const struct exporter_sink sink = {"siem", &sink_redis, &redis};
    const struct exporter_settings settings = {.directory = path,
        .fsync = policy,
        .fsync_interval_ms = 10,
        .segment_bytes = 100000,
        .quota_bytes = 64 << 20,
        .ring_bytes = 64 * 1024,
        .rings = PRODUCERS,
        .hostname = "edge-1",
        .sinks = &sink,
        .sink_count = 1};
    state.exporter = exporter_open(&settings, error, sizeof(error));
    if (state.exporter == NULL) {
        fprintf(stderr, "%s\n", error);
        abort();
    }
    exporter_on_drained(state.exporter, relieve, &state);
    pthread_create(&server, NULL, run_server, &state);
    int started = exporter_start(state.exporter);
    assert(started == 0);
    pthread_create(&watcher, NULL, watch, &state);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){&state, i};
        pthread_create(&threads[i], NULL, produce, &producers[i]);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&state.ended, true);
    pthread_join(watcher, NULL);
    exporter_close(state.exporter, 60000);
    shutdown(state.listener, SHUT_RDWR);
    pthread_join(server, NULL);
    close(state.listener);
    assert(atomic_load(&state.added) >= PRODUCERS * EVENTS);
    assert(atomic_load(&state.relieved) > 0);
    remove_directory(path);
}

int main(void)
{
    run_once(EXPORTER_FSYNC_INTERVAL);
    run_once(EXPORTER_FSYNC_ALWAYS);
    return 0;
}

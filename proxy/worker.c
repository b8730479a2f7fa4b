/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: the loop, the list of connections, the ring. Called by server.c (life) and conn*.c (audit,
 * reaping). */
#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "proxy/conn.h"
#include "proxy/counters.h"
#include "proxy/stream_turns.h"
#include "proxy/worker_internal.h"

/* ---- audit ---- */

/* Waits for room, but once the process is to end all events together wait no longer than the drain time: a
 * journal that can't be written would keep it alive. */
bool worker_wait_for_room(struct worker *worker)
{
    struct worker_thread *thread = worker_thread_of(worker);
    const struct timespec pause = {0, 1000000};

    if (atomic_load(&thread->stop_asked) && thread->waited_ms++ >= thread->drain_ms)
        return false;
    exporter_wake(worker->exporter);
    nanosleep(&pause, NULL);
    return true;
}

/* ---- the end of connections ---- */

void worker_reap(struct worker *worker, struct conn *conn)
{
    conn_set_next_reaped(conn, worker->reap);
    worker->reap = conn;
    event_active(worker->reap_event, EV_TIMEOUT, 1);
}

static void on_reap(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;

    (void)fd, (void)what;
    while (worker->reap != NULL) {
        struct conn *conn = worker->reap;

        worker->reap = conn_next_reaped(conn);
        conn_free(conn);
    }
    if (worker->stopping && worker->conn_count == 0)
        event_base_loopbreak(worker->base);
}

/* ---- stopping ---- */

static void on_drain_over(evutil_socket_t fd, short what, void *argument)
{
    struct worker_thread *thread = argument;

    (void)fd, (void)what;
    LOG_EVENT(LOG_WARN, "worker", "connections were cut at the end of the drain time",
        log_unsigned("connections", thread->worker.conn_count));
    event_base_loopbreak(thread->worker.base);
}

static void stop(struct worker_thread *thread)
{
    struct worker *worker = &thread->worker;
    const struct timeval wait = {
        (time_t)(thread->drain_ms / 1000), (suseconds_t)(thread->drain_ms % 1000 * 1000)};

    worker->stopping = true;
    for (size_t i = 0; i < thread->listener_count; i++)
        worker_stop_listening(&thread->listeners[i]);
    for (struct conn *conn = worker->conns; conn != NULL; conn = conn_next(conn))
        conn_stop(conn);
    event_add(thread->drain_event, &wait);
    event_active(worker->reap_event, EV_TIMEOUT, 1);
}

static void run_tasks(struct worker_thread *thread)
{
    struct worker_task *tasks;

    pthread_mutex_lock(&thread->task_lock);
    tasks = thread->first_task;
    thread->first_task = NULL;
    thread->last_task = &thread->first_task;
    pthread_mutex_unlock(&thread->task_lock);
    while (tasks != NULL) {
        struct worker_task *next = tasks->next;

        tasks->run(tasks);
        tasks = next;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    struct worker_thread *thread = argument;
    struct snapshot *next;
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        LOG_LIMITED(LOG_ERROR, "worker", "can't read the wake-up", log_string("error", strerror(errno)));
    if (atomic_exchange(&thread->drained, false))
        worker_resume(thread);
    next = atomic_exchange(&thread->next, NULL);
    if (next != NULL)
        worker_take_snapshot(thread, next);
    if (atomic_exchange(&thread->bans_begun, false))
        worker_begin_bans(thread);
    run_tasks(thread);
    if (atomic_load(&thread->stop_asked) && !thread->worker.stopping)
        stop(thread);
}

static void wake(struct worker_thread *thread)
{
    const uint64_t one = 1;

    while (write(thread->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void worker_stop(struct worker *worker, uint64_t drain_ms)
{
    struct worker_thread *thread = worker_thread_of(worker);

    thread->drain_ms = drain_ms;
    atomic_store(&thread->stop_asked, true);
    wake(thread);
}

void worker_reload(struct worker *worker, struct snapshot *snapshot)
{
    struct worker_thread *thread = worker_thread_of(worker);

    snapshot_release(atomic_exchange(&thread->next, snapshot_retain(snapshot)));
    wake(thread);
}

void worker_post(struct worker *worker, struct worker_task *task)
{
    struct worker_thread *thread = worker_thread_of(worker);

    task->next = NULL;
    pthread_mutex_lock(&thread->task_lock);
    *thread->last_task = task;
    thread->last_task = &task->next;
    pthread_mutex_unlock(&thread->task_lock);
    wake(thread);
}

void worker_enforce_bans(struct worker *worker)
{
    struct worker_thread *thread = worker_thread_of(worker);

    if (!atomic_exchange(&thread->bans_begun, true))
        wake(thread);
}

void worker_audit_drained(struct worker *worker)
{
    struct worker_thread *thread = worker_thread_of(worker);

    if (!atomic_exchange(&thread->drained, true))
        wake(thread);
}

/* ---- life ---- */

static bool is_address(const char *host)
{
    struct evutil_addrinfo hints = {.ai_flags = EVUTIL_AI_NUMERICHOST}, *found = NULL;
    bool address = evutil_getaddrinfo(host, NULL, &hints, &found) == 0;

    if (found != NULL)
        evutil_freeaddrinfo(found);
    return address;
}

struct evdns_base *worker_resolver(struct worker *worker)
{
    const struct config *config = worker->snapshot->config;
    struct evdns_base *dns;

    for (size_t i = 0; i < config->upstream_count; i++)
        if (!is_address(config->upstreams[i].address.host)) {
            dns = evdns_base_new(worker->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
            /* without resolv.conf the hosts file still holds */
            if (dns != NULL && evdns_base_resolv_conf_parse(dns, DNS_OPTIONS_ALL, "/etc/resolv.conf") != 0)
                evdns_base_load_hosts(dns, "/etc/hosts");
            return dns;
        }
    return NULL;
}

struct worker *worker_new(
    unsigned index, const char *run, struct snapshot *snapshot, const struct worker_shared *shared)
{
    struct worker_thread *thread = memory_calloc(1, sizeof(*thread));
    struct worker *worker = &thread->worker;

    worker->index = index;
    worker->counters = counters_new();
    snprintf(worker->run, sizeof(worker->run), "%s", run);
    worker->snapshot = snapshot_retain(snapshot);
    worker->registry = shared->registry;
    worker->exporter = shared->exporter;
    worker->passwords = shared->passwords;
    worker->logins = shared->logins;
    worker->denials = shared->denials;
    worker->bans = shared->bans;
    worker->rates = shared->rates;
    worker->replays = shared->replays;
    worker->scan_pool = shared->scan_pool;
    worker->ring = exporter_ring(shared->exporter, index);
    worker->repeats = exporter_repeats(shared->exporter, index);
    worker->on_full = snapshot->config->audit.on_full;
    worker->aggregates = snapshot->config->audit.aggregate_ms != 0;
    pthread_mutex_init(&thread->task_lock, NULL);
    thread->last_task = &thread->first_task;
    worker->scratch = memory_calloc(1, WORKER_SCRATCH);
    thread->listeners = memory_calloc(snapshot->config->listener_count, sizeof(*thread->listeners));
    thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    worker->base = event_base_new();
    if (worker->base == NULL || thread->wake_fd < 0) {
        worker_free(worker);
        return NULL;
    }
    if (worker_replay_open(worker, shared->replay) != 0) {
        worker_free(worker);
        return NULL;
    }
    worker->session_hooks = conn_hooks(worker);
    worker->streams = stream_turns_new(worker->base);
    worker->dns = worker_resolver(worker);
    worker->reap_event = event_new(worker->base, -1, 0, on_reap, worker);
    worker->tell_event = event_new(worker->base, -1, 0, worker_on_tell, worker);
    thread->wake_event = event_new(worker->base, thread->wake_fd, EV_READ | EV_PERSIST, on_wake, thread);
    thread->rest_event = event_new(worker->base, -1, 0, worker_on_rest_over, thread);
    thread->rebind_event = event_new(worker->base, -1, 0, worker_on_rebind, thread);
    thread->bans_event = event_new(worker->base, -1, 0, worker_on_bans, thread);
    thread->drain_event = event_new(worker->base, -1, 0, on_drain_over, thread);
    event_add(thread->wake_event, NULL);
    return worker;
}

/* The loop, one turn at a time: after each the exporter is woken if there are events for it and it sleeps. */
static void *run(void *argument)
{
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;

    worker_audit_begin(worker);
    while (event_base_loop(worker->base, EVLOOP_ONCE) == 0 && !event_base_got_break(worker->base))
        exporter_tell(worker->exporter, worker->ring);
    event_del(worker->reap_event);
    worker->reap = NULL; /* they are in the list of all, too */
    while (worker->conns != NULL)
        conn_free(worker->conns);
    worker_replay_flush(worker);
    worker_audit_finish(worker);
    event_base_loop(worker->base, EVLOOP_NONBLOCK); /* what cancelled look-ups still owe */
    exporter_wake(worker->exporter);
    atomic_store(&thread->ended, true);
    return NULL;
}

int worker_start(struct worker *worker)
{
    struct worker_thread *thread = worker_thread_of(worker);
    int error;
    char name[16];

    error = thread_start(&thread->thread, run, thread);
    if (error != 0) {
        errno = error;
        return -1;
    }
    snprintf(name, sizeof(name), "worker-%u", worker->index);
    pthread_setname_np(thread->thread, name);
    thread->started = true;
    return 0;
}

bool worker_has_ended(const struct worker *worker)
{
    const struct worker_thread *thread = (const struct worker_thread *)worker; /* its first member */

    return !thread->started || atomic_load(&thread->ended);
}

void worker_join(struct worker *worker)
{
    struct worker_thread *thread = worker_thread_of(worker);

    if (thread->started)
        pthread_join(thread->thread, NULL);
    thread->started = false;
}

void worker_free(struct worker *worker)
{
    struct worker_thread *thread;
    struct event **events[7];

    if (worker == NULL)
        return;
    thread = worker_thread_of(worker);
    assert(!thread->started);
    events[0] = &thread->wake_event;
    events[1] = &thread->rest_event;
    events[2] = &thread->drain_event;
    events[3] = &worker->reap_event;
    events[4] = &thread->rebind_event;
    events[5] = &thread->bans_event;
    events[6] = &worker->tell_event;
    for (size_t i = 0; i < thread->listener_count; i++)
        worker_stop_listening(&thread->listeners[i]);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (*events[i] != NULL)
            event_free(*events[i]);
    worker_replay_close(worker);
    if (worker->dns != NULL)
        evdns_base_free(worker->dns, 1);
    stream_turns_free(worker->streams);
    if (worker->base != NULL)
        event_base_free(worker->base);
    if (thread->wake_fd >= 0)
        close(thread->wake_fd);
    run_tasks(thread); /* the connections are gone: the tasks have nobody to tell */
    pthread_mutex_destroy(&thread->task_lock);
    scanner_free(worker->scanner);
    snapshot_release(worker->snapshot);
    snapshot_release(thread->next);
    buffer_release(&worker->to_client);
    buffer_release(&worker->to_broker);
    counters_free(worker->counters);
    free(worker->scratch);
    free(thread->listeners);
    free(thread);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Workers: the loop, the listeners' sockets, the list of connections, the ring. Called by server.c (life) and
 * conn*.c (audit, reaping). */
#include "proxy/worker.h"

#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "proxy/conn.h"
#include "proxy/scan_pool.h"

/* After a failed accept (no descriptors left) a listener rests for so long; so do listeners and connections
 * when the audit is full and nobody said that it has room again. */
#define WORKER_REST_MS 100

struct worker_listener {
    struct worker_thread *worker;
    struct service *service;
    struct evconnlistener *listener;
};

/* The part of a worker that connections do not see. */
struct worker_thread {
    struct worker worker;
    pthread_t thread;
    bool started;
    struct worker_listener *listeners;
    size_t listener_count;
    int wake_fd;
    struct event *wake_event, *rest_event, *drain_event, *rebind_event, *bans_event;
    _Atomic(struct snapshot *) next; /* to be put in force */
    pthread_mutex_t task_lock;
    struct worker_task *first_task, **last_task;
    _Atomic bool stop_asked, drained, bans_begun;
    bool bans_again; /* another ban has begun while connections were asked */
    uint64_t drain_ms;
    uint64_t waited_ms; /* for room in the ring, since the stop was asked for */
};

static struct worker_thread *thread_of(struct worker *worker)
{
    return (struct worker_thread *)worker; /* its first member */
}

/* ---- audit ---- */

/* Waits for room, but once the process is to end all events together wait no longer than the drain time: a
 * journal that can't be written would keep it alive. */
static bool wait_for_room(struct worker *worker)
{
    struct worker_thread *thread = thread_of(worker);
    const struct timespec pause = {0, 1000000};

    if (atomic_load(&thread->stop_asked) && thread->waited_ms++ >= thread->drain_ms)
        return false;
    exporter_wake(worker->exporter);
    nanosleep(&pause, NULL);
    return true;
}

void worker_audit(struct worker *worker, const struct audit_event *event)
{
    uint8_t record[AUDIT_EVENT_MAX];
    size_t length = audit_event_encode(event, record);

    while (!ring_push(worker->ring, view_of(record, length)))
        if (!wait_for_room(worker)) {
            LOG_EVENT(LOG_ERROR, "audit", "an event was lost: the process ends and the ring has no room",
                log_string("action", audit_action_name(event->action)),
                log_view("session", event->session_id));
            return;
        }
}

static void rest(struct worker_thread *thread)
{
    const struct timeval wait = {0, WORKER_REST_MS * 1000};

    for (size_t i = 0; i < thread->listener_count; i++)
        if (thread->listeners[i].listener != NULL)
            evconnlistener_disable(thread->listeners[i].listener);
    event_add(thread->rest_event, &wait);
}

bool worker_audit_room(struct worker *worker, size_t size)
{
    if (ring_has_room(worker->ring, size) || size > ring_capacity(worker->ring) / 2)
        return true; /* what can never have room at once waits in worker_audit() */
    if (!worker->audit_full) {
        worker->audit_full = true;
        LOG_LIMITED(LOG_ERROR, "audit", "the ring is full: clients are not read until it has room");
        rest(thread_of(worker));
    }
    exporter_wake(worker->exporter);
    return false;
}

/* Listeners and connections that waited go on (and find out whether they may). */
static void resume(struct worker_thread *thread)
{
    struct worker *worker = &thread->worker;

    worker->audit_full = false;
    if (!worker->stopping && worker_audit_room(worker, AUDIT_EVENT_MAX))
        for (size_t i = 0; i < thread->listener_count; i++)
            evconnlistener_enable(thread->listeners[i].listener);
    for (struct conn *conn = worker->conns; conn != NULL; conn = conn_next(conn))
        conn_resume(conn);
}

static void on_rest_over(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    resume(argument);
}

/* ---- accepting ---- */

static void on_accept(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *argument)
{
    struct worker_listener *own = argument;
    struct worker *worker = &own->worker->worker;

    (void)listener, (void)length;
    if (!worker_audit_room(worker, AUDIT_EVENT_MAX)) {
        close(fd); /* the listener rests now; this one came with the same turn */
        return;
    }
    conn_accept(worker, own->service, fd, address);
}

static void on_accept_error(struct evconnlistener *listener, void *argument)
{
    struct worker_listener *own = argument;

    (void)listener;
    LOG_LIMITED(LOG_ERROR, "listener", "can't accept", log_string("listener", own->service->listener->name),
        log_string("error", strerror(errno)));
    rest(own->worker);
}

int worker_listen(struct worker *worker, struct service *service, int fd)
{
    struct worker_thread *thread = thread_of(worker);
    struct worker_listener *own;

    assert(!thread->started && thread->listener_count < worker->snapshot->config->listener_count);
    own = &thread->listeners[thread->listener_count++];
    own->worker = thread;
    own->service = service;
    own->listener = evconnlistener_new(
        worker->base, on_accept, own, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (own->listener == NULL)
        return -1;
    evconnlistener_set_error_cb(own->listener, on_accept_error);
    return 0;
}

/* ---- another snapshot ---- */

/* So many connections are bound anew in one turn of the loop, so that traffic goes on meanwhile. */
#define REBIND_AT_ONCE 128

/* Nobody's any more, all but a few: their memory is given back. */
static void release_rules(struct worker *worker)
{
    if (worker->scanner != NULL)
        scanner_release_rules(worker->scanner);
    scan_pool_release_rules(worker->scan_pool);
}

static void on_rebind(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval at_once = {0, 0}, later = {0, WORKER_REST_MS * 1000};
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;
    bool room = true;

    (void)fd, (void)what;
    for (int i = 0; i < REBIND_AT_ONCE && worker->rebind != NULL && room; i++) {
        struct conn *conn = worker->rebind;

        worker->rebind = conn_next(conn);
        conn_rebind(conn);
        room = worker_audit_room(worker, AUDIT_EVENT_MAX); /* each may have much to tell */
    }
    if (worker->rebind != NULL)
        event_add(thread->rebind_event, room ? &at_once : &later);
    else
        release_rules(worker);
}

static struct evdns_base *resolver(struct worker *worker);

static void reload(struct worker_thread *thread, struct snapshot *next)
{
    static const struct timeval at_once = {0, 0};
    struct worker *worker = &thread->worker;

    for (size_t i = 0; i < thread->listener_count; i++)
        thread->listeners[i].service = snapshot_service(next, thread->listeners[i].service->listener->name);
    snapshot_release(worker->snapshot);
    worker->snapshot = next;
    if (worker->dns == NULL)
        worker->dns = resolver(worker);
    worker->rebind = worker->conns;
    event_add(thread->rebind_event, &at_once);
}

/* ---- bans ---- */

/* So many connections are asked in one turn of the loop. */
#define BANS_AT_ONCE 256

static const struct timeval next_turn = {0, 0}, when_there_is_room = {0, WORKER_REST_MS * 1000};

/* However many bans begin meanwhile, at most one more round follows this one: nobody is to buy work for all
 * connections with each ban. */
static void on_bans(evutil_socket_t fd, short what, void *argument)
{
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;

    bool room = worker_audit_room(worker, AUDIT_EVENT_MAX);

    (void)fd, (void)what;
    for (int i = 0; i < BANS_AT_ONCE && worker->banned != NULL && room; i++) {
        struct conn *conn = worker->banned;

        worker->banned = conn_next(conn);
        conn_enforce_bans(conn);
        room = worker_audit_room(worker, AUDIT_EVENT_MAX);
    }
    if (worker->banned == NULL && thread->bans_again) {
        thread->bans_again = false;
        worker->banned = worker->conns;
    }
    if (worker->banned != NULL)
        event_add(thread->bans_event, room ? &next_turn : &when_there_is_room);
}

static void begin_bans(struct worker_thread *thread)
{
    if (thread->worker.banned != NULL) {
        thread->bans_again = true;
        return;
    }
    thread->worker.banned = thread->worker.conns;
    event_add(thread->bans_event, &next_turn);
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
    for (size_t i = 0; i < thread->listener_count; i++) {
        evconnlistener_free(thread->listeners[i].listener);
        thread->listeners[i].listener = NULL;
    }
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
        resume(thread);
    next = atomic_exchange(&thread->next, NULL);
    if (next != NULL)
        reload(thread, next);
    if (atomic_exchange(&thread->bans_begun, false))
        begin_bans(thread);
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
    struct worker_thread *thread = thread_of(worker);

    thread->drain_ms = drain_ms;
    atomic_store(&thread->stop_asked, true);
    wake(thread);
}

void worker_reload(struct worker *worker, struct snapshot *snapshot)
{
    struct worker_thread *thread = thread_of(worker);

    snapshot_release(atomic_exchange(&thread->next, snapshot_retain(snapshot)));
    wake(thread);
}

void worker_post(struct worker *worker, struct worker_task *task)
{
    struct worker_thread *thread = thread_of(worker);

    task->next = NULL;
    pthread_mutex_lock(&thread->task_lock);
    *thread->last_task = task;
    thread->last_task = &task->next;
    pthread_mutex_unlock(&thread->task_lock);
    wake(thread);
}

void worker_enforce_bans(struct worker *worker)
{
    struct worker_thread *thread = thread_of(worker);

    if (!atomic_exchange(&thread->bans_begun, true))
        wake(thread);
}

void worker_audit_drained(struct worker *worker)
{
    struct worker_thread *thread = thread_of(worker);

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

static struct evdns_base *resolver(struct worker *worker)
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
    worker->dns = resolver(worker);
    worker->reap_event = event_new(worker->base, -1, 0, on_reap, worker);
    thread->wake_event = event_new(worker->base, thread->wake_fd, EV_READ | EV_PERSIST, on_wake, thread);
    thread->rest_event = event_new(worker->base, -1, 0, on_rest_over, thread);
    thread->rebind_event = event_new(worker->base, -1, 0, on_rebind, thread);
    thread->bans_event = event_new(worker->base, -1, 0, on_bans, thread);
    thread->drain_event = event_new(worker->base, -1, 0, on_drain_over, thread);
    event_add(thread->wake_event, NULL);
    return worker;
}

/* The loop, one turn at a time: after each the exporter is woken if there are events for it and it sleeps. */
static void *run(void *argument)
{
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;

    while (event_base_loop(worker->base, EVLOOP_ONCE) == 0 && !event_base_got_break(worker->base))
        if (ring_used(worker->ring) > 0 && ring_consumer_sleeping(worker->ring))
            exporter_wake(worker->exporter);
    event_del(worker->reap_event);
    worker->reap = NULL; /* they are in the list of all, too */
    while (worker->conns != NULL)
        conn_free(worker->conns);
    worker_replay_flush(worker);
    event_base_loop(worker->base, EVLOOP_NONBLOCK); /* what cancelled look-ups still owe */
    exporter_wake(worker->exporter);
    return NULL;
}

int worker_start(struct worker *worker)
{
    struct worker_thread *thread = thread_of(worker);
    sigset_t all, before;
    int error;
    char name[16];

    /* signals are the main thread's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread->thread, NULL, run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    snprintf(name, sizeof(name), "worker-%u", worker->index);
    pthread_setname_np(thread->thread, name);
    thread->started = true;
    return 0;
}

void worker_join(struct worker *worker)
{
    struct worker_thread *thread = thread_of(worker);

    if (thread->started)
        pthread_join(thread->thread, NULL);
    thread->started = false;
}

void worker_free(struct worker *worker)
{
    struct worker_thread *thread;
    struct event **events[6];

    if (worker == NULL)
        return;
    thread = thread_of(worker);
    assert(!thread->started);
    events[0] = &thread->wake_event;
    events[1] = &thread->rest_event;
    events[2] = &thread->drain_event;
    events[3] = &worker->reap_event;
    events[4] = &thread->rebind_event;
    events[5] = &thread->bans_event;
    for (size_t i = 0; i < thread->listener_count; i++)
        if (thread->listeners[i].listener != NULL)
            evconnlistener_free(thread->listeners[i].listener);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (*events[i] != NULL)
            event_free(*events[i]);
    worker_replay_close(worker);
    if (worker->dns != NULL)
        evdns_base_free(worker->dns, 1);
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
    free(worker->scratch);
    free(thread->listeners);
    free(thread);
}

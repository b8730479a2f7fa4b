/* SPDX-License-Identifier: Apache-2.0 */
/* The listeners' sockets of a worker: accepting, and resting while the audit is full or descriptors are
 * short. Called by worker.c, server.c and (worker_rest) worker_audit.c. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "proxy/conn.h"
#include "proxy/stream_turns.h"
#include "proxy/worker_internal.h"

/* Connections that a listener takes in one turn of the loop. */
#define ACCEPT_AT_ONCE 16
/* While so many handshakes wait for their turn, nobody else is taken who would begin one. */
#define HANDSHAKES_WAITING_MAX 256

static void rest(struct worker_thread *thread)
{
    const struct timeval wait = {0, WORKER_REST_MS * 1000};

    for (size_t i = 0; i < thread->listener_count; i++)
        if (thread->listeners[i].fd >= 0)
            event_del(thread->listeners[i].event);
    event_add(thread->rest_event, &wait);
}

void worker_rest(struct worker *worker)
{
    rest(worker_thread_of(worker));
}

void worker_rest_connection(struct worker *worker)
{
    const struct timeval wait = {0, WORKER_REST_MS * 1000};
    struct worker_thread *thread = worker_thread_of(worker);

    if (!event_pending(thread->rest_event, EV_TIMEOUT, NULL))
        event_add(thread->rest_event, &wait);
}

static void listen_again(struct worker_listener *own)
{
    int fd = own->held;

    own->held = -1;
    if (fd >= 0)
        conn_accept(&own->worker->worker, own->service, fd, (struct sockaddr *)&own->held_address);
    event_add(own->event, NULL);
}

void worker_stop_listening(struct worker_listener *own)
{
    if (own->event != NULL)
        event_free(own->event);
    own->event = NULL;
    if (own->fd >= 0)
        close(own->fd);
    own->fd = -1;
    if (own->held >= 0)
        close(own->held);
    own->held = -1;
}

void worker_resume(struct worker_thread *thread)
{
    struct worker *worker = &thread->worker;

    worker->audit_full = false;
    conn_resume_waiting(worker);
    if (worker->stopping || !worker_audit_room(worker, WORKER_EVENT_MOST))
        return;
    worker->audit_full = false; /* some may have found it so a moment ago, and the listeners rest */
    for (size_t i = 0; i < thread->listener_count; i++)
        listen_again(&thread->listeners[i]);
}

void worker_on_rest_over(evutil_socket_t fd, short what, void *argument)
{
    struct worker_thread *thread = argument;

    (void)fd, (void)what;
    conn_look_at_waiting(&thread->worker);
    worker_resume(thread);
}

/* ---- accepting ---- */

/* Came with the same turn in which the room ended: it waits as those do that the kernel holds. The listener
 * rests until then, so there is one at most. */
static void hold(struct worker_listener *own, int fd, const struct sockaddr *address, socklen_t length)
{
    assert(own->held < 0 && length <= sizeof(own->held_address));
    own->held = fd;
    memcpy(&own->held_address, address, length);
    rest(own->worker);
}

static void take(struct worker_listener *own, int fd, const struct sockaddr *address, socklen_t length)
{
    struct worker *worker = &own->worker->worker;

    if (worker_audit_room(worker, WORKER_EVENT_MOST))
        conn_accept(worker, own->service, fd, address);
    else
        hold(own, fd, address, length);
}

static void failed(struct worker_listener *own)
{
    LOG_LIMITED(LOG_ERROR, "listener", "can't accept", log_string("listener", own->service->listener->name),
        log_string("error", strerror(errno)));
    rest(own->worker);
}

/* With the client, or with the broker. */
static bool has_handshakes(const struct service *service)
{
    return service->tls != NULL || service->upstream_tls != NULL;
}

/* Some in each turn of the loop, so that those who are in have theirs, and none while many handshakes wait:
 * where the kernel holds them their time-outs do not run yet. The loop comes back as long as there are any.
 */
static void on_acceptable(evutil_socket_t listening, short what, void *argument)
{
    struct worker_listener *own = argument;
    struct stream_turns *streams = own->worker->worker.streams;

    (void)what;
    for (int i = 0; i < ACCEPT_AT_ONCE && own->held < 0; i++) {
        struct sockaddr_storage address;
        socklen_t length = sizeof(address);
        int fd;

        if (has_handshakes(own->service) && stream_turns_handshakes(streams) >= HANDSHAKES_WAITING_MAX)
            return;
        fd = accept4(listening, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            take(own, fd, (struct sockaddr *)&address, length);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno != EINTR && errno != ECONNABORTED) {
            failed(own);
            return;
        }
    }
}

int worker_listen(struct worker *worker, struct service *service, int fd)
{
    struct worker_thread *thread = worker_thread_of(worker);
    struct worker_listener *own;

    assert(!thread->started && thread->listener_count < worker->snapshot->config->listener_count);
    own = &thread->listeners[thread->listener_count++];
    own->worker = thread;
    own->service = service;
    own->held = -1;
    own->fd = -1;
    own->event = event_new(worker->base, fd, EV_READ | EV_PERSIST, on_acceptable, own);
    if (own->event == NULL)
        memory_exhausted();
    if (event_add(own->event, NULL) != 0)
        return -1;
    own->fd = fd;
    return 0;
}

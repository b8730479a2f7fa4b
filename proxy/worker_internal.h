/* SPDX-License-Identifier: Apache-2.0 */
/* Between worker.c (life, tasks, the end of connections), worker_listen.c (accepting, resting) and
 * worker_sweep.c (what is done to all connections, some in each turn). */
#ifndef MQWARD_PROXY_WORKER_INTERNAL_H
#define MQWARD_PROXY_WORKER_INTERNAL_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "proxy/worker.h"

/* After a failed accept (no descriptors left) a listener rests for so long; so do listeners and connections
 * when the audit is full and nobody said that it has room again. */
#define WORKER_REST_MS 100

struct worker_listener {
    struct worker_thread *worker;
    struct service *service;
    int fd; /* -1: it is closed */
    struct event *event;
    int held; /* a connection that came when there was no room; -1: none */
    struct sockaddr_storage held_address;
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
    _Atomic bool stop_asked, drained, bans_begun, ended;
    bool bans_again; /* another ban has begun while connections were asked */
    uint64_t drain_ms;
    uint64_t waited_ms; /* for room in the ring, since the stop was asked for */
};

static inline struct worker_thread *worker_thread_of(struct worker *worker)
{
    return (struct worker_thread *)worker; /* its first member */
}

/* worker_listen.c */
/* Listeners and connections that waited go on (and find out whether they may). */
void worker_resume(struct worker_thread *thread);
void worker_on_rest_over(evutil_socket_t fd, short what, void *argument);
void worker_stop_listening(struct worker_listener *listener);

/* worker_sweep.c */
/* Puts a snapshot in force; the reference is the worker's from now on. */
void worker_take_snapshot(struct worker_thread *thread, struct snapshot *next);
void worker_on_rebind(evutil_socket_t fd, short what, void *argument);
/* A ban has begun. */
void worker_begin_bans(struct worker_thread *thread);
void worker_on_bans(evutil_socket_t fd, short what, void *argument);

/* worker.c */
/* For names of upstreams; NULL: there are none. */
struct evdns_base *worker_resolver(struct worker *worker);

#endif

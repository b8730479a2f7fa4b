/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one look-up at a time: a detached thread that does nothing but getaddrinfo(). Called by
 * redis_connection.c.
 *
 * The thread may hang for as long as the system's resolver does, so nobody ever joins it: it and the loop
 * share a job with two references, and whoever lets go last frees it. */
#include "exporters/resolver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/memory.h"

struct resolver_job {
    atomic_int references;
    int done; /* eventfd: the thread is through */
    char *host;
    char port[8];
    int result;
    struct addrinfo *list;
};

struct resolver {
    struct resolver_job *job;
    struct event *event;
    resolver_call *call;
    void *argument;
};

static void resolver_release(struct resolver_job *job)
{
    if (atomic_fetch_sub(&job->references, 1) > 1)
        return;
    if (job->list != NULL)
        freeaddrinfo(job->list);
    close(job->done);
    free(job->host);
    free(job);
}

static void *resolver_run(void *argument)
{
    struct resolver_job *job = argument;
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    uint64_t one = 1;

    job->result = getaddrinfo(job->host, job->port, &hints, &job->list);
    if (job->result != 0) /* AI_ADDRCONFIG refuses ::1 and 127.0.0.1 where only the loopback is up */
        job->result = getaddrinfo(job->host, job->port,
            &(struct addrinfo){.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, &job->list);
    ssize_t written = write(job->done, &one, sizeof(one));
    assert(written == (ssize_t)sizeof(one));
    resolver_release(job);
    return NULL;
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    event_free(resolver->event);
    resolver_release(resolver->job);
    free(resolver);
}

static void resolver_on_done(evutil_socket_t descriptor, short events, void *argument)
{
    struct resolver *resolver = argument;
    struct resolver_job *job = resolver->job;
    uint64_t count;

    (void)events;
    if (read(descriptor, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    resolver_call *call = resolver->call;
    void *call_argument = resolver->argument;
    event_free(resolver->event);
    free(resolver);
    call(call_argument, job->result, job->list);
    resolver_release(job);
}

static int resolver_spawn(struct resolver_job *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int status = pthread_attr_init(&attributes);

    if (status != 0)
        return status;
    status = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (status == 0)
        status = pthread_create(&thread, &attributes, resolver_run, job);
    pthread_attr_destroy(&attributes);
    return status;
}

struct resolver *resolver_start(
    struct event_base *base, const char *host, uint16_t port, resolver_call *call, void *argument)
{
    struct resolver_job *job = memory_calloc(1, sizeof(*job));
    struct resolver *resolver = memory_calloc(1, sizeof(*resolver));

    job->host = memory_copy_string(view_of_string(host));
    snprintf(job->port, sizeof(job->port), "%u", (unsigned)port);
    atomic_init(&job->references, 2);
    job->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    resolver->job = job;
    resolver->call = call;
    resolver->argument = argument;
    if (job->done != -1)
        resolver->event = event_new(base, job->done, EV_READ, resolver_on_done, resolver);
    int status =
        resolver->event == NULL || event_add(resolver->event, NULL) == -1 ? EAGAIN : resolver_spawn(job);
    if (status == 0)
        return resolver;
    if (resolver->event != NULL)
        event_free(resolver->event);
    free(resolver);
    atomic_store(&job->references, 1);
    resolver_release(job);
    errno = status;
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the thread behind a sink whose writes may block. Called by lines.c.
 *
 * Nobody joins the thread, because it may never end: it and the loop share an object with two references, and
 * whoever lets go last frees it. */
#include "exporters/blocking.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/memory.h"
#include "base/thread.h"

struct blocking_shared {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool asked, busy, stop, ended; /* below the lock, as the count */
    unsigned references;
    int done; /* eventfd: a work is through */
    struct blocking_calls calls;
    void *state;
};

struct blocking {
    struct blocking_shared *shared;
    struct event *event;
    void *argument;
};

static void shared_release(struct blocking_shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    unsigned left = --shared->references;
    pthread_mutex_unlock(&shared->lock);
    if (left > 0)
        return;
    shared->calls.release(shared->state);
    close(shared->done);
    pthread_cond_destroy(&shared->changed);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

static void *blocking_thread(void *argument)
{
    struct blocking_shared *shared = argument;
    uint64_t one = 1;

    pthread_mutex_lock(&shared->lock);
    while (!shared->stop) {
        if (!shared->asked) {
            pthread_cond_wait(&shared->changed, &shared->lock);
            continue;
        }
        shared->asked = false;
        pthread_mutex_unlock(&shared->lock);
        shared->calls.work(shared->state);
        pthread_mutex_lock(&shared->lock);
        shared->busy = false;
        ssize_t written = write(shared->done, &one, sizeof(one));
        assert(written == (ssize_t)sizeof(one));
    }
    shared->ended = true;
    pthread_cond_signal(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
    shared_release(shared);
    return NULL;
}

static void blocking_on_done(evutil_socket_t descriptor, short events, void *argument)
{
    struct blocking *blocking = argument;
    uint64_t count;

    (void)events;
    if (read(descriptor, &count, sizeof(count)) != (ssize_t)sizeof(count))
        return;
    pthread_mutex_lock(&blocking->shared->lock); /* what the thread wrote to the state is seen from here on */
    bool busy = blocking->shared->busy;
    pthread_mutex_unlock(&blocking->shared->lock);
    if (!busy)
        blocking->shared->calls.done(blocking->argument);
}

void blocking_run(struct blocking *blocking)
{
    struct blocking_shared *shared = blocking->shared;

    pthread_mutex_lock(&shared->lock);
    assert(!shared->busy && !shared->asked);
    shared->busy = shared->asked = true;
    pthread_cond_signal(&shared->changed);
    pthread_mutex_unlock(&shared->lock);
}

static struct blocking_shared *shared_new(const struct blocking_calls *calls, void *state)
{
    struct blocking_shared *shared = memory_calloc(1, sizeof(*shared));
    pthread_condattr_t attributes;

    pthread_mutex_init(&shared->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&shared->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    shared->references = 2;
    shared->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    shared->calls = *calls;
    shared->state = state;
    return shared;
}

static void shared_discard(struct blocking_shared *shared)
{
    if (shared->done != -1)
        close(shared->done);
    pthread_cond_destroy(&shared->changed);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

struct blocking *blocking_new(
    struct event_base *base, const struct blocking_calls *calls, void *state, void *argument)
{
    struct blocking *blocking = memory_calloc(1, sizeof(*blocking));
    struct blocking_shared *shared = shared_new(calls, state);
    int status = EAGAIN;

    blocking->shared = shared;
    blocking->argument = argument;
    if (shared->done != -1)
        blocking->event = event_new(base, shared->done, EV_READ | EV_PERSIST, blocking_on_done, blocking);
    if (blocking->event != NULL && event_add(blocking->event, NULL) == 0)
        status = thread_start(NULL, blocking_thread, shared);
    if (status == 0)
        return blocking;
    if (blocking->event != NULL)
        event_free(blocking->event);
    free(blocking);
    shared_discard(shared);
    errno = status;
    return NULL;
}

void blocking_free(struct blocking *blocking, uint64_t wait_ms)
{
    struct timespec until;

    if (blocking == NULL)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000 * 1000000);
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    event_free(blocking->event);
    pthread_mutex_lock(&blocking->shared->lock);
    blocking->shared->stop = true;
    pthread_cond_signal(&blocking->shared->changed);
    while (!blocking->shared->ended &&
           pthread_cond_timedwait(&blocking->shared->changed, &blocking->shared->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&blocking->shared->lock);
    shared_release(blocking->shared);
    free(blocking);
}

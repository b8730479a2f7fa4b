/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look-ups of the process: detached threads that do nothing but getaddrinfo(). Called by
 * outlet_connect.c, from the loops of several threads.
 *
 *   resolver (an outlet's) --waits for--> look-up <--runs-- thread
 *                          `--waits for----^
 *
 * A thread may hang for as long as the system's resolver does, so nobody ever joins it. Whoever lets go of a
 * look-up last frees it. One that hangs is not begun again at each attempt, but it is not the last word
 * either. The names of the configuration are finitely many and have no other bound; those that servers name
 * could be new ones at each answer, and have one for each giver, so that nobody takes the place of another's.
 */
#include "exporters/resolver.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"

struct lookup {
    struct lookup *next;       /* of those that go on */
    struct resolver *resolver; /* the first that waits for it */
    unsigned references;       /* of the thread and of who waits */
    char *host;
    char port[8];
    const void *giver; /* compared, and nothing else */
    uint64_t begun_ms;
    int result;
    struct addrinfo *list;
};

struct resolver {
    struct lookup *lookup;
    struct resolver *next; /* that waits for the same */
    int done;              /* eventfd */
    struct event *event;
    resolver_call *call;
    void *argument;
};

/* Below the lock: what goes on, who waits, references. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lookup *going_on;

static void lookup_release(struct lookup *lookup)
{
    pthread_mutex_lock(&lock);
    bool last = --lookup->references == 0;
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    if (lookup->list != NULL)
        freeaddrinfo(lookup->list);
    free(lookup->host);
    free(lookup);
}

/* ---- the thread ---- */

static void lookup_end(struct lookup *lookup)
{
    const uint64_t one = 1;
    struct lookup **link = &going_on;

    pthread_mutex_lock(&lock);
    while (*link != lookup)
        link = &(*link)->next;
    *link = lookup->next;
    for (struct resolver *each = lookup->resolver; each != NULL; each = each->next) {
        ssize_t written = write(each->done, &one, sizeof(one));
        assert(written == (ssize_t)sizeof(one));
    }
    pthread_mutex_unlock(&lock);
}

static void *lookup_run(void *argument)
{
    struct lookup *lookup = argument;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

    lookup->result = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
    /* AI_ADDRCONFIG refuses ::1 and 127.0.0.1 where only the loopback is up. A resolver that did not answer
     * is not asked again: the next attempt does that. */
    if (lookup->result != 0 && lookup->result != EAI_AGAIN) {
        hints.ai_flags = 0;
        lookup->result = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
    }
    lookup_end(lookup);
    lookup_release(lookup);
    return NULL;
}

/* ---- who waits ---- */

static void resolver_free(struct resolver *resolver)
{
    event_free(resolver->event);
    close(resolver->done);
    free(resolver);
}

/* Nobody writes to its eventfd after this. */
static void resolver_leave(struct resolver *resolver)
{
    struct resolver **link = &resolver->lookup->resolver;

    pthread_mutex_lock(&lock);
    while (*link != resolver)
        link = &(*link)->next;
    *link = resolver->next;
    pthread_mutex_unlock(&lock);
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver_leave(resolver);
    lookup_release(resolver->lookup);
    resolver_free(resolver);
}

static void resolver_on_done(evutil_socket_t descriptor, short events, void *argument)
{
    struct resolver *resolver = argument;
    struct lookup *lookup = resolver->lookup;
    resolver_call *call = resolver->call;
    void *call_argument = resolver->argument;

    (void)descriptor, (void)events;
    resolver_leave(resolver);
    resolver_free(resolver);
    call(call_argument, lookup->result, lookup->list);
    lookup_release(lookup);
}

/* ---- beginning ---- */

/* Below the lock. The youngest of the name, unless it has had its time; NULL: there is none to wait for. */
static struct lookup *find(const char *host, const char *port)
{
    struct lookup *youngest = NULL;
    uint64_t patience_ms = RESOLVER_PATIENCE_MS / 2;

    for (struct lookup *each = going_on; each != NULL; each = each->next) {
        if (strcmp(each->host, host) != 0 || strcmp(each->port, port) != 0)
            continue;
        if (youngest == NULL)
            youngest = each;
        patience_ms *= 2;
    }
    return youngest != NULL && clock_monotonic_ms() - youngest->begun_ms < patience_ms ? youngest : NULL;
}

/* Below the lock. */
static bool has_room(const void *giver)
{
    unsigned count = 0;

    for (const struct lookup *each = going_on; giver != NULL && each != NULL; each = each->next)
        count += each->giver == giver;
    return count < RESOLVER_GIVEN_MAX;
}

/* Below the lock. 0, or the number of the error. */
static int begin(const struct resolver_name *name, const char *port, struct lookup **out)
{
    struct lookup *lookup;
    int status;

    if (!has_room(name->giver))
        return EDQUOT;
    lookup = memory_calloc(1, sizeof(*lookup));
    lookup->host = memory_copy_string(view_of_string(name->host));
    memcpy(lookup->port, port, strlen(port) + 1);
    lookup->giver = name->giver;
    lookup->begun_ms = clock_monotonic_ms();
    lookup->references = 1;
    status = thread_start(NULL, lookup_run, lookup);
    if (status != 0) {
        free(lookup->host);
        free(lookup);
        return status;
    }
    lookup->next = going_on;
    going_on = lookup;
    *out = lookup;
    return 0;
}

static int join(struct resolver *resolver, const struct resolver_name *name, const char *port)
{
    int status = 0;

    pthread_mutex_lock(&lock);
    resolver->lookup = find(name->host, port);
    if (resolver->lookup == NULL)
        status = begin(name, port, &resolver->lookup);
    if (status == 0) {
        resolver->lookup->references++;
        resolver->next = resolver->lookup->resolver;
        resolver->lookup->resolver = resolver;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

struct resolver *resolver_start(
    struct event_base *base, const struct resolver_name *name, resolver_call *call, void *argument)
{
    struct resolver *resolver = memory_calloc(1, sizeof(*resolver));
    char number[8];
    int status = EAGAIN;

    snprintf(number, sizeof(number), "%u", (unsigned)name->port);
    resolver->call = call;
    resolver->argument = argument;
    resolver->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (resolver->done != -1)
        resolver->event = event_new(base, resolver->done, EV_READ, resolver_on_done, resolver);
    if (resolver->event != NULL && event_add(resolver->event, NULL) == 0)
        status = join(resolver, name, number);
    if (status == 0)
        return resolver;
    if (resolver->event != NULL)
        event_free(resolver->event);
    if (resolver->done != -1)
        close(resolver->done);
    free(resolver);
    errno = status;
    return NULL;
}

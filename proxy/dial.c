/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling with evdns and non-blocking connect(2). Called by conn.c to reach the broker. */
#include "proxy/dial.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"

#define DIAL_MAGIC 0xd1a10001u
#define DIAL_ADDRESSES_MAX 8

struct dial {
    uint32_t magic;
    struct event_base *base;
    struct event event; /* of the socket under way; of nothing between two attempts */
    struct evdns_getaddrinfo_request *request;
    bool resolving; /* evdns owes a callback */
    bool dead;      /* freed while evdns owed it */
    int fd;
    struct sockaddr_storage addresses[DIAL_ADDRESSES_MAX];
    socklen_t lengths[DIAL_ADDRESSES_MAX];
    size_t count, next;
    char address[INET6_ADDRSTRLEN];
    char error[160];
    dial_callback *callback;
    void *argument;
};

static void try_next(evutil_socket_t fd, short what, void *argument);

static void schedule(struct dial *dial)
{
    const struct timeval now = {0, 0};

    event_assign(&dial->event, dial->base, -1, 0, try_next, dial);
    event_add(&dial->event, &now);
}

/* The last thing done to a dial: the callee may free it. */
static void finish(struct dial *dial, int fd)
{
    dial->callback(dial->argument, fd, dial->address, fd < 0 ? dial->error : NULL);
}

static void describe(struct dial *dial, const struct sockaddr *address)
{
    const void *bytes = address->sa_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

    if (inet_ntop(address->sa_family, bytes, dial->address, sizeof(dial->address)) == NULL)
        dial->address[0] = 0;
}

static void connected(evutil_socket_t fd, short what, void *argument)
{
    struct dial *dial = argument;
    int error = 0;
    socklen_t length = sizeof(error);

    (void)what;
    assert(dial->magic == DIAL_MAGIC);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    dial->fd = -1;
    if (error == 0) {
        finish(dial, fd);
        return;
    }
    snprintf(dial->error, sizeof(dial->error), "connect to %s: %s", dial->address, strerror(error));
    close(fd);
    schedule(dial);
}

/* One attempt. False: over at once (dial->error says why). */
static bool attempt(struct dial *dial, const struct sockaddr *address, socklen_t length)
{
    int one = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    describe(dial, address);
    if (fd < 0) {
        snprintf(dial->error, sizeof(dial->error), "socket: %s", strerror(errno));
        return false;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, address, length) != 0 && errno != EINPROGRESS) {
        snprintf(dial->error, sizeof(dial->error), "connect to %s: %s", dial->address, strerror(errno));
        close(fd);
        return false;
    }
    dial->fd = fd;
    event_assign(&dial->event, dial->base, fd, EV_WRITE, connected, dial);
    event_add(&dial->event, NULL);
    return true;
}

static void try_next(evutil_socket_t fd, short what, void *argument)
{
    struct dial *dial = argument;

    (void)fd, (void)what;
    assert(dial->magic == DIAL_MAGIC);
    while (dial->next < dial->count) {
        size_t index = dial->next++;

        if (attempt(dial, (const struct sockaddr *)&dial->addresses[index], dial->lengths[index]))
            return;
    }
    finish(dial, -1);
}

static void add_address(struct dial *dial, const void *address, size_t length)
{
    if (dial->count == DIAL_ADDRESSES_MAX)
        return;
    memcpy(&dial->addresses[dial->count], address, length);
    dial->lengths[dial->count++] = (socklen_t)length;
}

static void resolved(int result, struct evutil_addrinfo *found, void *argument)
{
    struct dial *dial = argument;

    assert(dial->magic == DIAL_MAGIC);
    dial->resolving = false;
    dial->request = NULL;
    for (const struct evutil_addrinfo *at = found; at != NULL; at = at->ai_next)
        add_address(dial, at->ai_addr, at->ai_addrlen);
    if (found != NULL)
        evutil_freeaddrinfo(found);
    if (dial->dead) {
        free(dial);
        return;
    }
    if (dial->count == 0)
        snprintf(dial->error, sizeof(dial->error), "name not found: %s", evutil_gai_strerror(result));
    schedule(dial);
}

struct dial *dial_new(struct event_base *base, struct evdns_base *dns, const char *host, uint16_t port,
    dial_callback *callback, void *argument)
{
    struct dial *dial = memory_calloc(1, sizeof(*dial));
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct evdns_getaddrinfo_request *request;
    char service[8];

    *dial = (struct dial){
        .magic = DIAL_MAGIC, .base = base, .fd = -1, .callback = callback, .argument = argument};
    event_assign(&dial->event, base, -1, 0, try_next, dial);
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        add_address(dial, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        add_address(dial, &v6, sizeof(v6));
    if (dial->count > 0 || dns == NULL) {
        snprintf(dial->error, sizeof(dial->error), "no resolver for %s", host);
        schedule(dial);
        return dial;
    }
    snprintf(service, sizeof(service), "%u", port);
    dial->resolving = true;
    request = evdns_getaddrinfo(dns, host, service, &hints, resolved, dial);
    if (dial->resolving) /* else it was answered at once, from the hosts file */
        dial->request = request;
    return dial;
}

void dial_free(struct dial *dial)
{
    if (dial == NULL)
        return;
    assert(dial->magic == DIAL_MAGIC);
    event_del(&dial->event);
    if (dial->fd >= 0)
        close(dial->fd);
    if (dial->resolving) {
        dial->dead = true;
        if (dial->request != NULL)
            evdns_getaddrinfo_cancel(dial->request);
        return; /* resolved() frees it */
    }
    free(dial);
}

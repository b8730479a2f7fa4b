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
#include "proxy/config.h"

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
    const struct config_address *sources; /* none: the system chooses */
    size_t source_count, first_source;
    char address[INET6_ADDRSTRLEN];
    char error[240];
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

/* A source address of that family, without a port. */
static socklen_t source_of(const struct config_address *source, int family, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool found = family == AF_INET ? inet_pton(AF_INET, source->host, &v4.sin_addr) == 1
                                   : inet_pton(AF_INET6, source->host, &v6.sin6_addr) == 1;
    size_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);

    if (!found)
        return 0;
    memcpy(out, family == AF_INET ? (void *)&v4 : (void *)&v6, length);
    return (socklen_t)length;
}

static void watch(struct dial *dial, int fd)
{
    dial->fd = fd;
    event_assign(&dial->event, dial->base, fd, EV_WRITE, connected, dial);
    event_add(&dial->event, NULL);
}

/* Ends with errno. from NULL: the system chooses where it begins. */
static bool try_from(struct dial *dial, const struct sockaddr *address, socklen_t length,
    const struct sockaddr_storage *from, socklen_t from_length)
{
    int one = 1, error;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    /* The port is chosen by connect(2), so that one serves connections to many brokers. Of IPv6, too. */
    if (from != NULL)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if ((from == NULL || bind(fd, (const struct sockaddr *)from, from_length) == 0) &&
        (connect(fd, address, length) == 0 || errno == EINPROGRESS)) {
        watch(dial, fd);
        return true;
    }
    error = errno;
    close(fd);
    errno = error;
    return false;
}

/* What connect(2) and bind(2) say by EADDRNOTAVAIL helps nobody. */
static void note_failure(struct dial *dial, const char *source)
{
    int error = errno;

    snprintf(dial->error, sizeof(dial->error), "connect to %s%s%s: %s", dial->address,
        source == NULL ? "" : " from ", source == NULL ? "" : source,
        error == EADDRNOTAVAIL ? "no local port is free, or that is no address of this machine; see "
                                 "source_addresses"
                               : strerror(error));
}

/* One attempt, from one source address after the other while they have no port free. False: over at once
 * (dial->error says why). */
static bool attempt(struct dial *dial, const struct sockaddr *address, socklen_t length)
{
    size_t tried = 0;

    describe(dial, address);
    if (dial->source_count == 0) {
        if (try_from(dial, address, length, NULL, 0))
            return true;
        note_failure(dial, NULL);
        return false;
    }
    for (size_t i = 0; i < dial->source_count; i++) {
        const struct config_address *source = &dial->sources[(dial->first_source + i) % dial->source_count];
        struct sockaddr_storage from;
        socklen_t from_length = source_of(source, address->sa_family, &from);

        if (from_length == 0)
            continue;
        tried++;
        if (try_from(dial, address, length, &from, from_length))
            return true;
        note_failure(dial, source->host);
    }
    if (tried == 0)
        snprintf(dial->error, sizeof(dial->error), "connect to %s: no source address is of its family",
            dial->address);
    return false;
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

void dial_from(struct dial *dial, const struct config_address *sources, size_t count, uint64_t first)
{
    dial->sources = sources;
    dial->source_count = count;
    dial->first_source = count == 0 ? 0 : (size_t)(first % count);
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

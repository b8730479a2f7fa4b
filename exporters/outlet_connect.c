/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how an outlet gets its connection: looking up the host, the socket, the TLS session. Called by
 * outlet.c. */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "exporters/outlet_internal.h"

static int make_socket(struct outlet *outlet, int family, int kind)
{
    int one = 1;

    outlet->kind = kind;
    outlet->socket = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (outlet->socket == -1)
        return -1;
    if (kind == SOCK_STREAM && family != AF_UNIX)
        (void)setsockopt(outlet->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return 0;
}

/* The server must prove the name that was configured, or without one the name that it is reached under: what
 * another server's answer calls it is only where it is looked for. */
static int make_tls(struct outlet *outlet)
{
    const char *name = outlet->settings->tls_server_name;
    SSL_CTX *context = credentials_context(outlet->settings->credentials);

    if (context == NULL)
        return 0;
    outlet->wire = tls_wire_new(context, name != NULL ? name : outlet->host, outlet->socket);
    SSL_CTX_free(context);
    return outlet->wire == NULL ? -1 : 0;
}

/* The socket is there; connected, or about to be. */
static void connect_to(struct outlet *outlet, const struct sockaddr *address, socklen_t length)
{
    outlet->state = OUTLET_CONNECTING;
    outlet->written = outlet->acknowledged = 0;
    outlet->opened_ms = outlet->accepted_ms = 0;
    outlet->waits_for_input = false;
    outlet->ledger_first = outlet->ledger_next = 0;
    outlet->read_event =
        event_new(outlet->base, outlet->socket, EV_READ | EV_PERSIST, outlet_on_readable, outlet);
    outlet->write_event = event_new(outlet->base, outlet->socket, EV_WRITE, outlet_on_writable, outlet);
    if (outlet->read_event == NULL || outlet->write_event == NULL || make_tls(outlet) == -1) {
        outlet_fail(outlet, "no connection can be made");
        return;
    }
    if (connect(outlet->socket, address, length) == 0 || errno == EINPROGRESS)
        event_add(outlet->write_event, NULL);
    else /* EAGAIN of a Unix socket: its queue of connections is full */
        outlet_fail(outlet, strerror(errno));
}

static void on_resolved(void *argument, int result, const struct addrinfo *list)
{
    struct outlet *outlet = argument;
    const struct addrinfo *chosen = list;
    char detail[OUTLET_HOST_MAX + 128];
    unsigned count = 0;

    assert(outlet->magic == OUTLET_MAGIC);
    outlet->resolver = NULL;
    if (result != 0 || list == NULL) {
        snprintf(detail, sizeof(detail), "%s: %s", outlet->host, gai_strerror(result));
        outlet_fail(outlet, detail);
        return;
    }
    for (const struct addrinfo *each = list; each != NULL; each = each->ai_next)
        count++;
    for (unsigned skip = outlet->attempts++ % count; skip > 0; skip--)
        chosen = chosen->ai_next;
    if (make_socket(outlet, chosen->ai_family, outlet->settings->udp ? SOCK_DGRAM : SOCK_STREAM) == -1)
        outlet_fail(outlet, strerror(errno));
    else
        connect_to(outlet, chosen->ai_addr, chosen->ai_addrlen);
}

/* Asked anew for each attempt: failover by DNS works. */
static void resolve(struct outlet *outlet)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];

    outlet->state = OUTLET_RESOLVING;
    snprintf(port, sizeof(port), "%u", (unsigned)outlet->port);
    if (getaddrinfo(outlet->host, port, &hints, &list) == 0) { /* an address: nothing to look up */
        on_resolved(outlet, 0, list);
        freeaddrinfo(list);
        return;
    }
    const struct resolver_name name = {outlet->host, outlet->port, outlet->giver};
    outlet->resolver = resolver_start(outlet->base, &name, on_resolved, outlet);
    if (outlet->resolver == NULL)
        outlet_fail(outlet, errno == EDQUOT ? "too many look-ups of names that the server gave hang"
                                            : "no thread for the look-up of the host's name");
}

/* As syslog(3) does: datagrams, and a stream where the socket is none of datagrams. */
static void connect_unix(struct outlet *outlet)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int probe = outlet->settings->datagrams ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    int kind = outlet->settings->datagrams ? SOCK_DGRAM : SOCK_STREAM;

    memcpy(address.sun_path, outlet->host, strlen(outlet->host) + 1);
    if (probe != -1 && connect(probe, (const struct sockaddr *)&address, sizeof(address)) == -1 &&
        errno == EPROTOTYPE)
        kind = SOCK_STREAM;
    if (probe != -1)
        close(probe);
    if (stat(outlet->host, &outlet->target) == -1 || make_socket(outlet, AF_UNIX, kind) == -1)
        outlet_fail(outlet, strerror(errno));
    else
        connect_to(outlet, (const struct sockaddr *)&address, (socklen_t)sizeof(address));
}

void outlet_on_begin(evutil_socket_t descriptor, short events, void *argument)
{
    struct outlet *outlet = argument;
    const struct timeval time = {.tv_sec = (time_t)(outlet->settings->timeout_ms / 1000),
        .tv_usec = (suseconds_t)(outlet->settings->timeout_ms % 1000 * 1000)};

    (void)descriptor, (void)events;
    assert(outlet->magic == OUTLET_MAGIC);
    outlet->is_late = false;
    event_base_update_cache_time(outlet->base); /* the loop's clock stands still within a turn */
    if (outlet->settings->timeout_ms > 0)
        event_add(outlet->deadline, &time);
    if (outlet->host[0] == '/')
        connect_unix(outlet);
    else
        resolve(outlet);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the connection of a syslog sink, or of a Redis client. Called by sink_syslog.c and redis_connection.c.
 *
 *   open -> (timer) begin -> resolver -> connect -> TLS handshake -> connected, then read and write
 *                 any of these, or a time-out, or the peer: close, then failed() */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exporters/outlet_internal.h"

/* A loop that was held up for longer than the time-out (by a slow disk, say) finds the deadline passed, and
 * what has come meanwhile unread: so long it goes on, once. */
#define OUTLET_GRACE_MS 20

/* ---- ending ---- */

static void free_event(struct event **event)
{
    if (*event != NULL)
        event_free(*event);
    *event = NULL;
}

void outlet_close(struct outlet *outlet)
{
    assert(outlet->magic == OUTLET_MAGIC);
    outlet->state = OUTLET_CLOSED;
    event_del(outlet->deadline);
    event_del(outlet->begin);
    free_event(&outlet->read_event);
    free_event(&outlet->write_event);
    resolver_cancel(outlet->resolver);
    outlet->resolver = NULL;
    tls_wire_free(outlet->wire);
    outlet->wire = NULL;
    if (outlet->socket != -1)
        close(outlet->socket);
    outlet->socket = -1;
}

void outlet_fail(struct outlet *outlet, const char *detail)
{
    char copy[OUTLET_DETAIL_MAX]; /* detail may live in what is closed here */

    snprintf(copy, sizeof(copy), "%s", detail);
    outlet_close(outlet);
    outlet->calls.failed(outlet->calls.argument, copy);
}

static void on_deadline(evutil_socket_t descriptor, short events, void *argument)
{
    struct outlet *outlet = argument;

    (void)descriptor, (void)events;
    assert(outlet->magic == OUTLET_MAGIC);
    if (outlet->is_late) {
        outlet_fail(outlet, outlet->state == OUTLET_RESOLVING ? "the name was not resolved in time"
                                                              : "no connection in time");
        return;
    }
    outlet->is_late = true;
    event_add(outlet->deadline, &(struct timeval){.tv_usec = OUTLET_GRACE_MS * 1000});
}

/* ---- the socket ---- */

static void on_connected(struct outlet *outlet)
{
    outlet->state = OUTLET_OPEN;
    outlet->opened_ms = clock_monotonic_ms();
    event_del(outlet->deadline);
    event_add(outlet->read_event, NULL);
    outlet->calls.connected(outlet->calls.argument);
}

static void handshake(struct outlet *outlet)
{
    char detail[OUTLET_DETAIL_MAX];

    outlet->state = OUTLET_HANDSHAKE;
    tls_wire_begin_turn(outlet->wire);
    switch (tls_wire_handshake(outlet->wire)) {
    case TLS_WIRE_DONE:
        on_connected(outlet);
        break;
    case TLS_WIRE_WANTS_INPUT:
        event_add(outlet->read_event, NULL);
        break;
    case TLS_WIRE_WANTS_OUTPUT:
        event_add(outlet->write_event, NULL);
        break;
    case TLS_WIRE_FAILED:
        tls_wire_describe(outlet->wire, detail, sizeof(detail));
        outlet_fail(outlet, detail);
        break;
    }
}

void outlet_on_readable(evutil_socket_t descriptor, short events, void *argument)
{
    struct outlet *outlet = argument;
    char detail[OUTLET_DETAIL_MAX];

    (void)descriptor, (void)events;
    assert(outlet->magic == OUTLET_MAGIC);
    if (outlet->state == OUTLET_HANDSHAKE) {
        handshake(outlet);
    } else if (!outlet_receive(outlet, detail)) {
        outlet_fail(outlet, detail);
    } else if (outlet->state == OUTLET_OPEN && outlet->waits_for_input) {
        outlet->waits_for_input = false;
        outlet->calls.writable(outlet->calls.argument);
    }
}

void outlet_on_writable(evutil_socket_t descriptor, short events, void *argument)
{
    struct outlet *outlet = argument;
    int error = 0;
    socklen_t length = sizeof(error);

    (void)descriptor, (void)events;
    assert(outlet->magic == OUTLET_MAGIC);
    if (outlet->state == OUTLET_CONNECTING) {
        if (getsockopt(outlet->socket, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
            error = errno;
        if (error != 0)
            outlet_fail(outlet, strerror(error));
        else if (outlet->wire != NULL)
            handshake(outlet);
        else
            on_connected(outlet);
    } else if (outlet->state == OUTLET_HANDSHAKE) {
        handshake(outlet);
    } else {
        outlet->calls.writable(outlet->calls.argument);
    }
}

/* ---- life ---- */

bool outlet_host_fits(const char *host)
{
    return strlen(host) < (host[0] == '/' ? sizeof(((struct sockaddr_un *)0)->sun_path) : OUTLET_HOST_MAX);
}

void outlet_open(struct outlet *outlet, const char *host, uint16_t port)
{
    outlet_open_given(outlet, host, port, NULL);
}

void outlet_open_given(struct outlet *outlet, const char *host, uint16_t port, const void *giver)
{
    assert(outlet->magic == OUTLET_MAGIC && outlet->state == OUTLET_CLOSED && outlet_host_fits(host));
    memcpy(outlet->host, host, strlen(host) + 1);
    outlet->port = port;
    outlet->giver = giver;
    event_active(outlet->begin, EV_TIMEOUT, 0);
}

struct outlet *outlet_new(
    const struct outlet_settings *settings, struct event_base *base, const struct outlet_calls *calls)
{
    struct outlet *outlet = memory_calloc(1, sizeof(*outlet));

    outlet->magic = OUTLET_MAGIC;
    outlet->settings = settings;
    outlet->base = base;
    outlet->calls = *calls;
    outlet->socket = -1;
    outlet->deadline = evtimer_new(base, on_deadline, outlet);
    outlet->begin = evtimer_new(base, outlet_on_begin, outlet);
    if (outlet->deadline == NULL || outlet->begin == NULL)
        memory_exhausted();
    return outlet;
}

void outlet_free(struct outlet *outlet)
{
    if (outlet == NULL)
        return;
    outlet_close(outlet);
    event_free(outlet->deadline);
    event_free(outlet->begin);
    outlet->magic = 0;
    free(outlet);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what goes through an outlet, and the account of it. Called by outlet.c and by the outlet's owner.
 *
 * The bytes that the other side has are those written less SIOCOUTQ: of TCP what is not acknowledged, of a
 * Unix socket the memory of what is not read (more than its bytes: a bound on the safe side). Of TLS, records
 * are counted, because nobody can read part of one: a ledger says how many bytes of text end where in what
 * went out. */
#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "exporters/outlet_internal.h"

#define OUTLET_TURN ((size_t)64 * 1024) /* bytes that are read in a turn */
#define OUTLET_ACCEPT_MS 5000U          /* at least so long a server has that gives no sign */

/* ---- reading ---- */

/* Of a plain socket: bytes; 0: none for now; -1: the end, and detail. */
static ssize_t receive_plain(struct outlet *outlet, uint8_t *out, size_t size, char detail[OUTLET_DETAIL_MAX])
{
    ssize_t count = recv(outlet->socket, out, size, MSG_DONTWAIT);

    if (count > 0)
        return count;
    if ((count == 0 && outlet->kind == SOCK_DGRAM) || (count == -1 && (errno == EAGAIN || errno == EINTR)))
        return 0;
    snprintf(
        detail, OUTLET_DETAIL_MAX, "%s", count == 0 ? "the server closed the connection" : strerror(errno));
    return -1;
}

static ssize_t receive_tls(struct outlet *outlet, uint8_t *out, size_t size, char detail[OUTLET_DETAIL_MAX])
{
    size_t count;

    switch (tls_wire_read(outlet->wire, out, size, &count)) {
    case TLS_WIRE_DONE:
        return (ssize_t)count;
    case TLS_WIRE_WANTS_INPUT:
    case TLS_WIRE_WANTS_OUTPUT: /* an alert that waits for room: the next write takes it along */
        return 0;
    case TLS_WIRE_FAILED:
        break;
    }
    tls_wire_describe(outlet->wire, detail, OUTLET_DETAIL_MAX);
    return -1;
}

bool outlet_receive(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX])
{
    uint8_t bytes[TLS_WIRE_RECORD];
    size_t budget = OUTLET_TURN;

    if (outlet->wire != NULL)
        tls_wire_begin_turn(outlet->wire); /* has its own budget, and ends by it */
    for (;;) {
        ssize_t count = outlet->wire != NULL ? receive_tls(outlet, bytes, sizeof(bytes), detail)
                                             : receive_plain(outlet, bytes, sizeof(bytes), detail);
        if (count <= 0)
            return count == 0;
        if (outlet->calls.received != NULL)
            outlet->calls.received(outlet->calls.argument, view_of(bytes, (size_t)count));
        if (outlet->state != OUTLET_OPEN)
            return true;
        if (outlet->wire == NULL) {
            budget -= (size_t)count < budget ? (size_t)count : budget;
            if (budget == 0 || (size_t)count < sizeof(bytes))
                return true;
        }
    }
}

bool outlet_has_unread(const struct outlet *outlet)
{
    int count = 0;

    return ioctl(outlet->socket, FIONREAD, &count) == 0 && count > 0;
}

/* ---- writing ---- */

bool outlet_is_datagram(const struct outlet *outlet)
{
    return outlet->kind == SOCK_DGRAM;
}

void outlet_await_room(struct outlet *outlet)
{
    assert(outlet->state == OUTLET_OPEN);
    event_add(outlet->write_event, NULL);
}

/* Where the record that was just written ends. With a full ledger the last entry stands for several. */
static void ledger_add(struct outlet *outlet)
{
    const struct outlet_record record = {tls_wire_sent(outlet->wire), outlet->written};

    if (outlet->ledger_next - outlet->ledger_first == OUTLET_LEDGER)
        outlet->ledger_next--;
    outlet->ledger[outlet->ledger_next++ % OUTLET_LEDGER] = record;
}

static enum outlet_result write_tls(
    struct outlet *outlet, struct view bytes, size_t *count, char detail[OUTLET_DETAIL_MAX])
{
    switch (tls_wire_write(outlet->wire, bytes, count)) {
    case TLS_WIRE_DONE:
        outlet->written += *count;
        ledger_add(outlet);
        return OUTLET_WRITTEN;
    case TLS_WIRE_WANTS_INPUT: /* the server wants new keys first */
        outlet->waits_for_input = true;
        return OUTLET_FULL;
    case TLS_WIRE_WANTS_OUTPUT:
        outlet_await_room(outlet);
        return OUTLET_FULL;
    case TLS_WIRE_FAILED:
        break;
    }
    tls_wire_describe(outlet->wire, detail, OUTLET_DETAIL_MAX);
    return OUTLET_FAILED;
}

enum outlet_result outlet_write(
    struct outlet *outlet, struct view bytes, size_t *count, char detail[OUTLET_DETAIL_MAX])
{
    assert(outlet->magic == OUTLET_MAGIC && outlet->state == OUTLET_OPEN && bytes.length > 0);
    *count = 0;
    if (outlet->wire != NULL)
        return write_tls(outlet, bytes, count, detail);
    ssize_t sent = send(outlet->socket, bytes.data, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        *count = (size_t)sent;
        outlet->written += *count;
        return OUTLET_WRITTEN;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) {
        outlet_await_room(outlet);
        return OUTLET_FULL;
    }
    snprintf(detail, OUTLET_DETAIL_MAX, "%s", strerror(errno));
    return OUTLET_FAILED;
}

/* ---- the account ---- */

uint64_t outlet_acknowledged(struct outlet *outlet)
{
    int queued = 0;
    uint64_t waiting;

    if (outlet->settings->udp && outlet->host[0] != '/')
        return outlet->written;
    if (ioctl(outlet->socket, SIOCOUTQ, &queued) == -1 || queued < 0)
        return outlet->acknowledged;
    waiting = (uint64_t)queued;
    if (outlet->wire != NULL) {
        uint64_t sent = tls_wire_sent(outlet->wire);
        sent = waiting > sent ? 0 : sent - waiting;
        while (outlet->ledger_first < outlet->ledger_next &&
               outlet->ledger[outlet->ledger_first % OUTLET_LEDGER].sent <= sent)
            outlet->acknowledged = outlet->ledger[outlet->ledger_first++ % OUTLET_LEDGER].text;
    } else if (waiting <= outlet->written && outlet->written - waiting > outlet->acknowledged) {
        outlet->acknowledged = outlet->written - waiting;
    }
    return outlet->acknowledged;
}

uint64_t outlet_accepted_ms(struct outlet *outlet)
{
    uint64_t now_ms = clock_monotonic_ms(), timeout_ms = outlet->settings->timeout_ms;

    assert(outlet->state == OUTLET_OPEN);
    if (outlet->accepted_ms != 0)
        return outlet->accepted_ms;
    if (timeout_ms < OUTLET_ACCEPT_MS)
        timeout_ms = OUTLET_ACCEPT_MS;
    if (outlet->wire == NULL || tls_wire_is_accepted(outlet->wire) ||
        now_ms - outlet->opened_ms >= timeout_ms)
        outlet->accepted_ms = now_ms;
    return outlet->accepted_ms;
}

/* ---- who is there ---- */

/* Another inode. A file system gives a new one the number of one that was just removed; not its time, too. (A
 * chmod changes the time as well: then what was confirmed up to here is enough, and the rest comes again.) */
static bool is_same(const struct stat *then, const struct stat *now)
{
    return then->st_dev == now->st_dev && then->st_ino == now->st_ino &&
           then->st_ctim.tv_sec == now->st_ctim.tv_sec && then->st_ctim.tv_nsec == now->st_ctim.tv_nsec;
}

/* A reader of datagrams that dies takes along what it has not read, and tells nobody. */
static bool target_holds(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat now;
    int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool holds;

    if (probe == -1) {
        snprintf(detail, OUTLET_DETAIL_MAX, "%s", strerror(errno));
        return false;
    }
    memcpy(address.sun_path, outlet->host, strlen(outlet->host) + 1);
    holds = connect(probe, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (!holds)
        snprintf(detail, OUTLET_DETAIL_MAX, "%s", strerror(errno));
    close(probe);
    if (holds && (stat(outlet->host, &now) == -1 || !is_same(&outlet->target, &now))) {
        snprintf(detail, OUTLET_DETAIL_MAX, "the socket was replaced");
        holds = false;
    }
    return holds;
}

/* The end may stand behind more bytes than a turn reads. */
static bool stream_holds(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX])
{
    struct pollfd descriptor = {.fd = outlet->socket, .events = POLLRDHUP};

    if (!outlet_receive(outlet, detail))
        return false;
    if (poll(&descriptor, 1, 0) == 1) {
        snprintf(detail, OUTLET_DETAIL_MAX, "the server closed the connection");
        return false;
    }
    return true;
}

bool outlet_holds(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX])
{
    assert(outlet->state == OUTLET_OPEN);
    if (outlet->kind != SOCK_DGRAM)
        return stream_holds(outlet, detail);
    return outlet->host[0] == '/' ? target_holds(outlet, detail) : outlet_receive(outlet, detail);
}

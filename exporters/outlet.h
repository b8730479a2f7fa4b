/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to a server of the exporters': UDP, TCP, TLS, or a Unix socket, of datagrams or a stream. It
 * knows bytes, not messages, and says how many of them the other side has. Nothing here blocks the loop's
 * thread, and no server keeps it busy for longer than a turn's bound. */
#ifndef MQWARD_EXPORTERS_OUTLET_H
#define MQWARD_EXPORTERS_OUTLET_H

#include "base/view.h"
#include "exporters/credentials.h"

struct event_base;
struct outlet;

#define OUTLET_HOST_MAX 256

struct outlet_settings {
    bool udp;       /* otherwise TCP */
    bool datagrams; /* a Unix socket may be one of datagrams, too; otherwise it is of a stream */
    struct credentials *credentials; /* borrowed; NULL, or without TLS files: plain */
    const char *tls_server_name;     /* NULL: the host */
    uint64_t timeout_ms;             /* to connect, handshake included; 0: any */
};

/* At most one of connected and failed per turn; after failed() the outlet is closed. Whoever is called may
 * close the outlet, and open it again, but not free it. */
struct outlet_calls {
    void (*connected)(void *argument);
    void (*received)(void *argument, struct view bytes); /* NULL: nothing is expected, and thrown away */
    void (*writable)(void *argument);
    void (*failed)(void *argument, const char *detail);
    void *argument;
};

/* settings and the strings in it are borrowed. */
struct outlet *outlet_new(
    const struct outlet_settings *settings, struct event_base *base, const struct outlet_calls *calls);
void outlet_free(struct outlet *outlet); /* NULL is fine; no call comes any more */

/* A host name, an address, or a path starting with '/' for a Unix socket: it is not too long for one. */
bool outlet_host_fits(const char *host);
/* Starts to connect (asserts that it is closed, and that the host fits; it is copied); connected() or
 * failed() follows, never from within this call. */
void outlet_open(struct outlet *outlet, const char *host, uint16_t port);
/* The same for a host that a server named, whose look-ups are bounded: giver as in struct resolver_name;
 * NULL: the configuration. */
void outlet_open_given(struct outlet *outlet, const char *host, uint16_t port, const void *giver);
/* No call comes after this. */
void outlet_close(struct outlet *outlet);
/* Of a connected outlet: each write is a message of its own. */
bool outlet_is_datagram(const struct outlet *outlet);

enum outlet_result {
    OUTLET_WRITTEN, /* *count bytes: 1 at least of a stream, all of a datagram */
    OUTLET_FULL,    /* writable() comes */
    OUTLET_FAILED,  /* detail; the outlet is still open */
};
#define OUTLET_DETAIL_MAX 384
/* What OUTLET_FULL left must come again at the start of the next write of a stream. */
enum outlet_result outlet_write(
    struct outlet *outlet, struct view bytes, size_t *count, char detail[OUTLET_DETAIL_MAX]);
/* writable() comes, from the loop, when the socket has room. */
void outlet_await_room(struct outlet *outlet);
/* Of a connected outlet: something has come that was not read yet. */
bool outlet_has_unread(const struct outlet *outlet);

/* How many of the bytes written to this connection the other side has: its kernel has acknowledged them (TCP,
 * whole TLS records), its process has read them (Unix socket), they have left (UDP). */
uint64_t outlet_acknowledged(struct outlet *outlet);
/* Since when (monotonic) the server is known to accept us, 0: not yet. A server of TLS 1.3 that wants to see
 * mqward's certificate looks at it when mqward's side is through with the handshake: what it has got from us
 * by then means nothing. It tells with a ticket; of one that sends none it is believed after the time-out,
 * five seconds at least. */
uint64_t outlet_accepted_ms(struct outlet *outlet);
/* False if it has turned out since that nobody is there any more who could read what was acknowledged; true
 * proves nothing. */
bool outlet_holds(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX]);

#endif

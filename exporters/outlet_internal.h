/* SPDX-License-Identifier: Apache-2.0 */
/* Between outlet.c (the connection), outlet_connect.c (how it is made) and outlet_io.c (what goes through
 * it). */
#ifndef MQWARD_EXPORTERS_OUTLET_INTERNAL_H
#define MQWARD_EXPORTERS_OUTLET_INTERNAL_H

#include <event2/event.h>
#include <sys/stat.h>

#include "exporters/outlet.h"
#include "exporters/resolver.h"
#include "exporters/tls_wire.h"

#define OUTLET_MAGIC 0x6f75746cU
#define OUTLET_LEDGER 256U /* power of two; more records are told apart less finely */

enum outlet_state { OUTLET_CLOSED, OUTLET_RESOLVING, OUTLET_CONNECTING, OUTLET_HANDSHAKE, OUTLET_OPEN };

struct outlet_record {
    uint64_t sent, text; /* bytes of ciphertext, of text, since the connection was made */
};

struct outlet {
    uint32_t magic;
    enum outlet_state state;
    const struct outlet_settings *settings;
    struct event_base *base;
    struct outlet_calls calls;
    char host[OUTLET_HOST_MAX];
    uint16_t port;
    const void *giver; /* of the host's name: struct resolver_name */
    struct resolver *resolver;
    int socket, kind; /* SOCK_STREAM, SOCK_DGRAM */
    struct event *begin, *deadline, *read_event, *write_event;
    bool is_late;       /* the deadline has passed once */
    unsigned attempts;  /* so that each attempt takes the next address of a name that has several */
    uint64_t written;   /* bytes of text on this connection */
    struct stat target; /* of the path of a Unix socket of datagrams */
    uint64_t opened_ms, accepted_ms;

    struct tls_wire *wire; /* NULL: plain */
    bool waits_for_input;  /* before the next write */
    struct outlet_record ledger[OUTLET_LEDGER];
    uint64_t ledger_first, ledger_next, acknowledged; /* acknowledged: of text, by the ledger */
};

/* Closes it, then failed(). */
void outlet_fail(struct outlet *outlet, const char *detail);
/* Of its socket. */
void outlet_on_readable(evutil_socket_t descriptor, short events, void *argument);
void outlet_on_writable(evutil_socket_t descriptor, short events, void *argument);
/* outlet_connect.c: of the event begin. */
void outlet_on_begin(evutil_socket_t descriptor, short events, void *argument);
/* outlet_io.c: a turn of what has come. False: the connection has ended, and detail says why (it is still
 * open). True also if the owner has closed it meanwhile. */
bool outlet_receive(struct outlet *outlet, char detail[OUTLET_DETAIL_MAX]);

#endif

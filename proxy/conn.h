/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: a client, its session, and its way to the broker. Belongs to one worker's thread. */
#ifndef MQWARD_PROXY_CONN_H
#define MQWARD_PROXY_CONN_H

#include <sys/socket.h>

#include "base/reason.h"
#include "proxy/session/session.h"

struct conn;
struct worker;
struct service;

/* What sessions ask of the worker's connections. */
struct session_hooks conn_hooks(const struct worker *worker);

/* Takes a socket that a listener of the worker accepted. */
void conn_accept(struct worker *worker, struct service *service, int fd, const struct sockaddr *address);
/* The proxy stops: tells the client as its version can, and closes. */
void conn_stop(struct conn *conn);
/* The worker has another snapshot: the connection is bound to it now, or as soon as a handshake or a CONNECT
 * that is under way is done. */
void conn_rebind(struct conn *conn);
/* A ban has begun: ends the connection if it is its client's. */
void conn_enforce_bans(struct conn *conn);
/* It has waited for room in the ring, and has its turn; it may have to wait again. */
void conn_resume(struct conn *conn);
/* The audit may have room again: those that wait have their turns, each once, the longest waiting first, as
 * long as there is room, and if they are not over their shares. */
void conn_resume_waiting(struct worker *worker);
/* Some of those that wait are looked at: who is gone is ended. */
void conn_look_at_waiting(struct worker *worker);
/* Only from the worker's reaper, never from a callback of the connection. */
void conn_free(struct conn *conn);
/* The worker's list of connections and its list of those to be freed. */
struct conn *conn_next(const struct conn *conn);
struct conn *conn_next_reaped(const struct conn *conn);
void conn_set_next_reaped(struct conn *conn, struct conn *next);

#endif

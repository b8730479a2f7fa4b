/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis link's transport: name resolution, TCP, Unix socket or TLS, time-outs. It knows bytes, not
 * commands. Nothing here blocks the exporter thread. */
#ifndef MQWARD_EXPORTERS_REDIS_CONNECTION_H
#define MQWARD_EXPORTERS_REDIS_CONNECTION_H

#include "exporters/exporter.h"

struct event_base;
struct redis_connection;

/* At most one of these per turn ends the connection: failed() comes after everything was closed. */
struct redis_connection_calls {
    void (*connected)(void *argument);
    void (*received)(void *argument, struct view bytes);
    void (*failed)(void *argument, const char *detail);
    void *argument;
};

/* settings is borrowed. Reads certificates and keys: NULL and a sentence in error if they are no good. */
struct redis_connection *redis_connection_new(const struct exporter_redis *settings, struct event_base *base,
    const struct redis_connection_calls *calls, char *error, size_t error_size);
void redis_connection_free(struct redis_connection *connection); /* NULL is fine */

/* Starts to connect (asserts that it is closed); connected() or failed() follows, never from within this
 * call. */
void redis_connection_open(struct redis_connection *connection);
/* No call comes after this. */
void redis_connection_close(struct redis_connection *connection);
void redis_connection_send(struct redis_connection *connection, struct view bytes);
/* An answer is due within the time-out from now on, or none is (false). */
void redis_connection_expect(struct redis_connection *connection, bool answer);

#endif

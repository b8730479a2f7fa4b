/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis link's transport: what is sent waits here for room, what is asked for is due in time. It knows
 * bytes, not commands; connecting is outlet.c's. Nothing here blocks the loop's thread. */
#ifndef MQWARD_EXPORTERS_REDIS_CONNECTION_H
#define MQWARD_EXPORTERS_REDIS_CONNECTION_H

#include "base/view.h"
#include "exporters/redis_settings.h"

struct event_base;
struct redis_connection;

/* At most one of these per turn ends the connection: failed() comes after everything was closed. */
struct redis_connection_calls {
    void (*connected)(void *argument);
    void (*received)(void *argument, struct view bytes);
    void (*failed)(void *argument, const char *detail);
    void *argument;
};

/* access is borrowed. */
struct redis_connection *redis_connection_new(const struct redis_access *access, uint64_t timeout_ms,
    struct event_base *base, const struct redis_connection_calls *calls);
void redis_connection_free(struct redis_connection *connection); /* NULL is fine */

/* Starts to connect (asserts that it is closed); connected() or failed() follows, never from within this
 * call. Of an address that is copied here, and fits (outlet_host_fits()). With TLS the server proves the name
 * of the settings, or this host's without one. giver: who named the host, as in struct resolver_name. */
void redis_connection_open(
    struct redis_connection *connection, const struct redis_address *address, const void *giver);
/* No call comes after this. */
void redis_connection_close(struct redis_connection *connection);
/* What is sent in one turn of the loop goes out together, at its end. */
void redis_connection_send(struct redis_connection *connection, struct view bytes);
/* The same; nothing of it stays in memory here when it has gone out. */
void redis_connection_send_secret(struct redis_connection *connection, struct view bytes);
/* An answer is due within the time-out from now on, or none is (false). A loop that was held up looks at what
 * has come meanwhile before it gives up. */
void redis_connection_expect(struct redis_connection *connection, bool answer);

#endif

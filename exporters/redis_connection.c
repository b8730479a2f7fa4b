/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what waits to be sent to a Redis, and the time in which it has to answer. Called by redis_client.c;
 * the connection is outlet.c's.
 *
 * A server that hangs costs this link its deadline and nobody else anything: every step is an event. */
#include "exporters/redis_connection.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "base/secret.h"
#include "exporters/outlet.h"

#define CONNECTION_MAGIC 0x72636f6eU
/* A loop that was held up for longer than the time-out (by a slow disk, say) finds the deadline passed and
 * the answers unread, or more of them than a turn reads: so long it goes on, and so often. */
#define CONNECTION_GRACE_MS 20
#define CONNECTION_GRACES 50
/* What goes out in a turn of the loop: the others wait. */
#define CONNECTION_TURN_BYTES ((size_t)1024 * 1024)
/* Room that is kept for what is sent next. */
#define CONNECTION_KEPT_BYTES ((size_t)2 * 1024 * 1024)
/* Room for a greeting: what is secret is not left behind in memory that was too small. */
#define CONNECTION_GREETING_BYTES ((size_t)8192)

struct redis_connection {
    uint32_t magic;
    bool is_open;
    struct outlet_settings settings;
    struct outlet *outlet;
    struct event_base *base;
    struct redis_connection_calls calls;
    struct buffer unsent;
    bool has_secret; /* somewhere in the memory of unsent */
    struct event *deadline;
    unsigned graces; /* since the deadline has passed */
};

/* ---- ending ---- */

static void forget_unsent(struct redis_connection *connection)
{
    if (connection->has_secret)
        secret_wipe(connection->unsent.data, connection->unsent.capacity);
    connection->has_secret = false;
    if (connection->unsent.capacity > CONNECTION_KEPT_BYTES)
        buffer_release(&connection->unsent);
    else
        buffer_clear(&connection->unsent);
}

void redis_connection_close(struct redis_connection *connection)
{
    assert(connection->magic == CONNECTION_MAGIC);
    connection->is_open = false;
    event_del(connection->deadline);
    outlet_close(connection->outlet);
    forget_unsent(connection);
}

static void connection_on_failed(void *argument, const char *detail)
{
    struct redis_connection *connection = argument;

    redis_connection_close(connection);
    connection->calls.failed(connection->calls.argument, detail);
}

/* ---- answers in time ---- */

static void connection_wait(struct redis_connection *connection, uint64_t ms)
{
    struct timeval time = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_base_update_cache_time(connection->base); /* the loop's clock stands still within a turn */
    event_add(connection->deadline, &time);
}

static void connection_on_deadline(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_connection *connection = argument;

    (void)descriptor, (void)events;
    assert(connection->magic == CONNECTION_MAGIC && connection->is_open);
    if (connection->graces == CONNECTION_GRACES ||
        (connection->graces > 0 && !outlet_has_unread(connection->outlet))) {
        connection_on_failed(connection, "no answer in time");
        return;
    }
    connection->graces++;
    connection_wait(connection, CONNECTION_GRACE_MS);
}

void redis_connection_expect(struct redis_connection *connection, bool answer)
{
    assert(connection->is_open);
    connection->graces = 0;
    if (answer && connection->settings.timeout_ms > 0)
        connection_wait(connection, connection->settings.timeout_ms);
    else
        event_del(connection->deadline);
}

/* ---- what the outlet says ---- */

static void connection_on_connected(void *argument)
{
    struct redis_connection *connection = argument;

    assert(connection->magic == CONNECTION_MAGIC);
    connection->is_open = true;
    connection->calls.connected(connection->calls.argument);
}

static void connection_on_received(void *argument, struct view bytes)
{
    struct redis_connection *connection = argument;

    assert(connection->magic == CONNECTION_MAGIC && connection->is_open);
    connection->calls.received(connection->calls.argument, bytes);
}

static void connection_on_writable(void *argument)
{
    struct redis_connection *connection = argument;
    size_t turn = 0, count;
    char detail[OUTLET_DETAIL_MAX];

    assert(connection->magic == CONNECTION_MAGIC && connection->is_open);
    while (buffer_length(&connection->unsent) > 0) {
        struct view rest = buffer_view(&connection->unsent);
        if (turn >= CONNECTION_TURN_BYTES) {
            outlet_await_room(connection->outlet);
            return;
        }
        if (rest.length > CONNECTION_TURN_BYTES)
            rest.length = CONNECTION_TURN_BYTES;
        switch (outlet_write(connection->outlet, rest, &count, detail)) {
        case OUTLET_WRITTEN:
            buffer_consume(&connection->unsent, count);
            turn += count;
            break;
        case OUTLET_FULL:
            return;
        case OUTLET_FAILED:
            connection_on_failed(connection, detail);
            return;
        }
    }
    forget_unsent(connection);
}

/* ---- sending ---- */

void redis_connection_send(struct redis_connection *connection, struct view bytes)
{
    assert(connection->magic == CONNECTION_MAGIC && connection->is_open);
    if (buffer_length(&connection->unsent) == 0)
        outlet_await_room(connection->outlet);
    buffer_append(&connection->unsent, bytes);
}

void redis_connection_send_secret(struct redis_connection *connection, struct view bytes)
{
    connection->has_secret = true;
    (void)buffer_reserve(&connection->unsent, CONNECTION_GREETING_BYTES);
    redis_connection_send(connection, bytes);
}

/* ---- life ---- */

void redis_connection_open(
    struct redis_connection *connection, const struct redis_address *address, const void *giver)
{
    assert(connection->magic == CONNECTION_MAGIC && !connection->is_open);
    outlet_open_given(connection->outlet, address->host, address->port, giver);
}

struct redis_connection *redis_connection_new(const struct redis_access *access, uint64_t timeout_ms,
    struct event_base *base, const struct redis_connection_calls *calls)
{
    struct redis_connection *connection = memory_calloc(1, sizeof(*connection));
    const struct outlet_calls own = {.connected = connection_on_connected,
        .received = connection_on_received,
        .writable = connection_on_writable,
        .failed = connection_on_failed,
        .argument = connection};

    connection->magic = CONNECTION_MAGIC;
    connection->settings = (struct outlet_settings){.credentials = access->credentials,
        .tls_server_name = access->tls_server_name,
        .timeout_ms = timeout_ms};
    connection->base = base;
    connection->calls = *calls;
    connection->outlet = outlet_new(&connection->settings, base, &own);
    connection->deadline = evtimer_new(base, connection_on_deadline, connection);
    if (connection->deadline == NULL)
        memory_exhausted();
    return connection;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    redis_connection_close(connection);
    outlet_free(connection->outlet);
    event_free(connection->deadline);
    buffer_release(&connection->unsent);
    connection->magic = 0;
    free(connection);
}

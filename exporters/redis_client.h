/* SPDX-License-Identifier: Apache-2.0 */
/* A client of one Redis, wherever it is (redis_locate.h): finds it, connects, greets (AUTH, SELECT, ROLE,
 * PING), sends commands one behind the other without waiting, and comes back after a failure. hiredis is its
 * codec alone. Used by the Redis sink and by the shared replay store. Nothing here blocks the loop's thread.
 */
#ifndef MQWARD_EXPORTERS_REDIS_CLIENT_H
#define MQWARD_EXPORTERS_REDIS_CLIENT_H

#include "base/view.h"
#include "exporters/redis_reader.h"

struct event_base;
struct exporter_redis;
struct redis_client;

/* None of them comes from within a call of the client's, but failed() from redis_client_fail(). */
struct redis_client_calls {
    /* The greeting is done: commands may be sent. */
    void (*ready)(void *argument);
    /* The answer to what was sent with this command and subject, in the order in which they were sent. It may
     * be an error of the server's. reply lives for the call. */
    void (*answered)(void *argument, unsigned command, void *subject, const struct redisReply *reply);
    /* All answers that came in one go were handed over. */
    void (*settled)(void *argument);
    /* Another node of the cluster has the key. What is under way was not done there, no answer to it will
     * come; the client goes there at once, and ready() says so. NULL where there is no cluster. */
    void (*redirected)(void *argument);
    /* The connection is closed, no answer to what is under way will come; the client comes back by itself,
     * and ready() says so. Also when it could not be made. refused: the server answered with an error (detail
     * is its words). */
    void (*failed)(void *argument, bool refused, const char *detail);
    void *argument;
};

/* settings is borrowed (of it: how the server is reached). window: commands under way at most. NULL and a
 * sentence in error if the address can't be one. */
struct redis_client *redis_client_new(const struct exporter_redis *settings, size_t window,
    struct event_base *base, const struct redis_client_calls *calls, char *error, size_t error_size);
void redis_client_free(struct redis_client *client); /* NULL is fine; no call comes any more */
/* Begins to connect, once. */
void redis_client_start(struct redis_client *client);

bool redis_client_is_ready(const struct redis_client *client);
/* Commands that may be sent now. */
size_t redis_client_room(const struct redis_client *client);
/* Sends; there is room, and the client is ready. command and subject are the caller's: they come back with
 * the answer. */
void redis_client_send(
    struct redis_client *client, unsigned command, void *subject, size_t count, const struct view *arguments);
/* The caller can't go on with this connection: failed() follows, within the call. */
void redis_client_fail(struct redis_client *client, bool refused, const char *detail);

#endif

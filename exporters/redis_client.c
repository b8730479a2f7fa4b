/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the state of a Redis client; its transport is redis_connection.c, its codec hiredis. Called by redis.c
 * and by proxy/replay_shared.c.
 *
 *   WAITING --timer--> CONNECTING --connected--> GREETING (AUTH, SELECT, PING) --PONG--> READY
 *      ^------ any failure: close, forget what was under way, failed() ------------------|
 *
 * Answers come in the order of the commands: a queue says which are due. */
#include "exporters/redis_client.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <event2/util.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exporters/redis_connection.h"

#define CLIENT_MAGIC 0x72636c69U
#define CLIENT_OWN 3                                /* greeting and PING come on top of the window */
#define CLIENT_ANSWER_MAX ((size_t)4 * 1024 * 1024) /* of one reply: more is garbage */
#define CLIENT_ELEMENTS_MAX 4096                    /* of one array */
#define CLIENT_BACKOFF_MIN_MS 100U
#define CLIENT_BACKOFF_MAX_MS 5000U
#define CLIENT_STABLE_MS 10000U /* up for so long: the back-off starts anew */
#define CLIENT_IDLE_S 30        /* then a PING asks whether the server is still there */
#define CLIENT_ARGUMENTS 16

enum client_state { CLIENT_STOPPED, CLIENT_WAITING, CLIENT_CONNECTING, CLIENT_GREETS, CLIENT_READY };

enum client_command { CLIENT_AUTH, CLIENT_SELECT, CLIENT_PING, CLIENT_OWNERS };

struct client_pending {
    enum client_command command;
    unsigned owners; /* of CLIENT_OWNERS: what the owner calls it */
    void *subject;
};

struct redis_client {
    uint32_t magic;
    enum client_state state;
    const struct exporter_redis *settings;
    struct redis_client_calls calls;
    struct redis_connection *connection;
    redisReader *reader;                 /* NULL: there is no connection */
    redisReplyObjectFunctions functions; /* hiredis' own, but for arrays */
    void *(*create_array)(const redisReadTask *task, int elements);
    struct event *retry;
    struct event *idle;
    unsigned failures;
    uint64_t connected_ms;

    struct client_pending *pending;
    size_t window; /* and CLIENT_OWN more */
    uint64_t pending_first, pending_next;
};

/* ---- failing and coming back ---- */

static void forget(struct redis_client *client)
{
    client->pending_first = client->pending_next = 0;
    if (client->reader != NULL)
        redisReaderFree(client->reader);
    client->reader = NULL;
}

/* Doubling from 100 ms to 5 s, each between half and all of it: a thousand proxies do not come back at once.
 * A connection that keeps breaking soon after it was made does not reset it, or its reports would flood the
 * journal. */
static void schedule(struct redis_client *client)
{
    uint32_t wait_ms = CLIENT_BACKOFF_MAX_MS, random;
    struct timeval time;

    if (client->connected_ms != 0 && clock_monotonic_ms() - client->connected_ms > CLIENT_STABLE_MS)
        client->failures = 0;
    client->connected_ms = 0;
    if (client->failures < 6 && CLIENT_BACKOFF_MIN_MS << client->failures < CLIENT_BACKOFF_MAX_MS)
        wait_ms = CLIENT_BACKOFF_MIN_MS << client->failures;
    client->failures++;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    wait_ms = wait_ms / 2 + random % (wait_ms / 2 + 1);
    time = (struct timeval){.tv_sec = wait_ms / 1000, .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    client->state = CLIENT_WAITING;
    event_add(client->retry, &time);
}

/* detail may live in a reply that the caller frees. */
void redis_client_fail(struct redis_client *client, bool refused, const char *detail)
{
    assert(client->magic == CLIENT_MAGIC && client->state >= CLIENT_CONNECTING);
    redis_connection_close(client->connection);
    event_del(client->idle);
    forget(client);
    schedule(client);
    client->calls.failed(client->calls.argument, refused, detail);
}

/* ---- commands ---- */

static void send_command(
    struct redis_client *client, struct client_pending pending, size_t count, const struct view *arguments)
{
    const char *texts[CLIENT_ARGUMENTS];
    size_t lengths[CLIENT_ARGUMENTS];
    char *bytes = NULL;
    int length;

    assert(count <= CLIENT_ARGUMENTS);
    assert(client->pending_next - client->pending_first < client->window + CLIENT_OWN);
    for (size_t i = 0; i < count; i++) {
        texts[i] = (const char *)arguments[i].data;
        lengths[i] = arguments[i].length;
    }
    length = redisFormatCommandArgv(&bytes, (int)count, texts, lengths);
    if (length < 0 || bytes == NULL)
        memory_exhausted();
    redis_connection_send(client->connection, view_of(bytes, (size_t)length));
    if (client->pending_first == client->pending_next)
        redis_connection_expect(client->connection, true);
    client->pending[client->pending_next++ % (client->window + CLIENT_OWN)] = pending;
    redisFreeCommand(bytes);
}

static void send_own(
    struct redis_client *client, enum client_command command, size_t count, const char *const *texts)
{
    struct view arguments[3];

    for (size_t i = 0; i < count; i++)
        arguments[i] = view_of_string(texts[i]);
    send_command(client, (struct client_pending){.command = command}, count, arguments);
}

static void greet(struct redis_client *client)
{
    const struct exporter_redis *settings = client->settings;
    char database[16];

    if (settings->password != NULL && settings->username != NULL)
        send_own(client, CLIENT_AUTH, 3, (const char *[]){"AUTH", settings->username, settings->password});
    else if (settings->password != NULL)
        send_own(client, CLIENT_AUTH, 2, (const char *[]){"AUTH", settings->password});
    if (settings->database != 0) {
        snprintf(database, sizeof(database), "%" PRIu32, settings->database);
        send_own(client, CLIENT_SELECT, 2, (const char *[]){"SELECT", database});
    }
    send_own(client, CLIENT_PING, 1, (const char *[]){"PING"});
}

bool redis_client_is_ready(const struct redis_client *client)
{
    return client->state == CLIENT_READY;
}

size_t redis_client_room(const struct redis_client *client)
{
    size_t pending = (size_t)(client->pending_next - client->pending_first);

    return client->state != CLIENT_READY || pending >= client->window ? 0 : client->window - pending;
}

void redis_client_send(
    struct redis_client *client, unsigned command, void *subject, size_t count, const struct view *arguments)
{
    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_READY);
    send_command(client, (struct client_pending){CLIENT_OWNERS, command, subject}, count, arguments);
}

/* ---- answers ---- */

struct view redis_reply_text(const struct redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS
               ? view_of(reply->str, (size_t)reply->len)
               : view_of(NULL, 0);
}

/* A server that does not know AUTH repeats its arguments in the answer, and the detail goes to log and trail.
 */
static const char *refusal(
    const struct redis_client *client, enum client_command command, const redisReply *reply)
{
    const char *password = client->settings->password;

    if (command == CLIENT_AUTH && (strstr(reply->str, "args beginning with") != NULL ||
                                      (password[0] != 0 && strstr(reply->str, password) != NULL)))
        return "AUTH refused; the answer is not shown because it repeats what was sent";
    return reply->str;
}

static void on_greeted(struct redis_client *client, enum client_command command, const redisReply *reply)
{
    struct view wanted = view_of_string(command == CLIENT_PING ? "PONG" : "OK");

    if (reply->type == REDIS_REPLY_ERROR)
        redis_client_fail(client, true, refusal(client, command, reply));
    else if (!view_starts_with(redis_reply_text(reply), wanted))
        redis_client_fail(client, false, "an answer that is none of Redis");
    else if (command == CLIENT_PING && client->state == CLIENT_GREETS) {
        client->state = CLIENT_READY;
        client->calls.ready(client->calls.argument);
    }
}

static void on_reply(struct redis_client *client, const redisReply *reply)
{
    struct client_pending pending;

    if (client->pending_first == client->pending_next) {
        redis_client_fail(
            client, false, reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer that nobody asked for");
        return;
    }
    pending = client->pending[client->pending_first++ % (client->window + CLIENT_OWN)];
    redis_connection_expect(client->connection, client->pending_first < client->pending_next);
    if (pending.command == CLIENT_OWNERS)
        client->calls.answered(client->calls.argument, pending.owners, pending.subject, reply);
    else
        on_greeted(client, pending.command, reply);
}

/* "*2147483647" would have hiredis allocate 16 GiB and walk over them: an array that no command of ours gets
 * is garbage. */
static void *create_array(const redisReadTask *task, int elements)
{
    const struct redis_client *client = task->privdata;

    return elements > CLIENT_ELEMENTS_MAX
               ? NULL
               : client->create_array(task, elements); /* NULL: an error of the reader */
}

/* ---- what the transport says ---- */

static void on_connected(void *argument)
{
    struct redis_client *client = argument;

    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_CONNECTING);
    client->reader = redisReaderCreate();
    if (client->reader == NULL)
        memory_exhausted();
    client->functions = *client->reader->fn;
    client->create_array = client->functions.createArray;
    client->functions.createArray = create_array;
    client->reader->fn = &client->functions;
    client->reader->privdata = client;
    client->state = CLIENT_GREETS;
    client->connected_ms = clock_monotonic_ms();
    greet(client);
}

static void on_received(void *argument, struct view bytes)
{
    struct redis_client *client = argument;
    void *reply = NULL;

    assert(client->magic == CLIENT_MAGIC && client->reader != NULL);
    event_add(client->idle, &(struct timeval){.tv_sec = CLIENT_IDLE_S});
    if (client->reader->len - client->reader->pos > CLIENT_ANSWER_MAX ||
        redisReaderFeed(client->reader, (const char *)bytes.data, bytes.length) != REDIS_OK) {
        redis_client_fail(client, false, "an answer that is too long");
        return;
    }
    while (client->reader != NULL) { /* NULL: a reply was the end of the connection */
        if (redisReaderGetReply(client->reader, &reply) != REDIS_OK) {
            redis_client_fail(client, false, "an answer that is none of Redis");
            return;
        }
        if (reply == NULL)
            break;
        on_reply(client, reply);
        freeReplyObject(reply);
    }
    if (client->state == CLIENT_READY)
        client->calls.settled(client->calls.argument);
}

static void on_failed(void *argument, const char *detail)
{
    redis_client_fail(argument, false, detail);
}

static void on_retry(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_client *client = argument;

    (void)descriptor;
    (void)events;
    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_WAITING);
    client->state = CLIENT_CONNECTING;
    redis_connection_open(client->connection);
}

/* A server that is gone without a word would otherwise be noticed with the next command only. */
static void on_idle(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_client *client = argument;

    (void)descriptor;
    (void)events;
    if (client->state == CLIENT_READY && client->pending_first == client->pending_next)
        send_own(client, CLIENT_PING, 1, (const char *[]){"PING"});
}

/* ---- life ---- */

void redis_client_free(struct redis_client *client)
{
    if (client == NULL)
        return;
    assert(client->magic == CLIENT_MAGIC);
    redis_connection_free(client->connection);
    forget(client);
    if (client->retry != NULL)
        event_free(client->retry);
    if (client->idle != NULL)
        event_free(client->idle);
    client->magic = 0;
    free(client->pending);
    free(client);
}

struct redis_client *redis_client_new(const struct exporter_redis *settings, size_t window,
    struct event_base *base, const struct redis_client_calls *calls, char *error, size_t error_size)
{
    struct redis_client *client = memory_calloc(1, sizeof(*client));
    const struct redis_connection_calls own = {
        .connected = on_connected, .received = on_received, .failed = on_failed, .argument = client};

    assert(settings->host != NULL);
    client->magic = CLIENT_MAGIC;
    client->settings = settings;
    client->calls = *calls;
    client->window = window;
    client->pending = memory_calloc(window + CLIENT_OWN, sizeof(*client->pending));
    client->retry = evtimer_new(base, on_retry, client);
    client->idle = evtimer_new(base, on_idle, client);
    client->connection = redis_connection_new(settings, base, &own, error, error_size);
    if (client->retry == NULL || client->idle == NULL)
        memory_exhausted();
    if (client->connection != NULL)
        return client;
    redis_client_free(client);
    return NULL;
}

void redis_client_start(struct redis_client *client)
{
    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_STOPPED);
    client->state = CLIENT_CONNECTING;
    redis_connection_open(client->connection);
}

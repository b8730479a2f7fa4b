/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the state of a Redis client; its transport is redis_connection.c, its codec redis_reader.c. Where the
 * server is says redis_locate.c. Called by the Redis sink and by proxy/replay_shared.c.
 *
 *   WAITING --timer--> CONNECTING --connected--> GREETING (AUTH, SELECT, ROLE, PING) --PONG--> READY
 *      ^                ^    ^  `- to a sentinel: GREETING (AUTH, SENTINEL) --the master's address-.   |
 *      |                |    `-----------------------------------------------------------------------'   |
 *      |                |-- a sentinel fails: the next one                                               |
 *      |                `-- MOVED, ASK: forget what was under way, redirected() -------------------------|
 *      `------------------- any other failure: close, forget what was under way, failed() ---------------'
 *
 * Answers come in the order of the commands: a queue says which are due. */
#include "exporters/redis_client.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "exporters/backoff.h"
#include "exporters/credentials.h"
#include "exporters/outlet.h"
#include "exporters/redis_command.h"
#include "exporters/redis_connection.h"
#include "exporters/redis_locate.h"

#define CLIENT_MAGIC 0x72636c69U
#define CLIENT_OWN 6             /* the greeting, and PING or ROLE, come on top of the window */
#define CLIENT_IDLE_S 30         /* then a PING asks whether the server is still there */
#define CLIENT_ROLE_S 5          /* so often a master that sentinels named is asked whether it still is one */
#define CLIENT_SENTINEL_MS 1000U /* a sentinel that takes longer is passed over */
#define CLIENT_DETAIL 512

enum client_state { CLIENT_STOPPED, CLIENT_WAITING, CLIENT_CONNECTING, CLIENT_GREETS, CLIENT_READY };

enum client_command {
    CLIENT_AUTH,
    CLIENT_SELECT,
    CLIENT_ASKING,
    CLIENT_PING,
    CLIENT_ROLE,
    CLIENT_MASTER,
    CLIENT_OWNERS
};

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
    struct redis_locate *locate;
    struct redis_connection *server, *sentinel; /* sentinel NULL: there are none */
    struct redis_connection *link;              /* the one of them that is used */
    struct redis_reader *reader;                /* NULL: there is no connection */
    struct event *retry;
    struct event *idle;
    struct backoff backoff;

    struct client_pending *pending;
    size_t window, pending_max;
    uint64_t pending_first, pending_next;
    size_t under_way;      /* of them the owner's */
    bool role_asked;       /* one of them is a ROLE */
    struct buffer command; /* the one that is sent */
};

static bool to_sentinel(const struct redis_client *client)
{
    return client->link == client->sentinel;
}

/* ---- failing and coming back ---- */

static void forget(struct redis_client *client)
{
    client->pending_first = client->pending_next = 0;
    client->under_way = 0;
    client->role_asked = false;
    redis_reader_free(client->reader);
    client->reader = NULL;
}

static void disconnect(struct redis_client *client)
{
    redis_connection_close(client->link);
    event_del(client->idle);
    forget(client);
}

static void go(struct redis_client *client)
{
    struct redis_address address;

    client->link = redis_locate_target(client->locate, &address) ? client->sentinel : client->server;
    client->state = CLIENT_CONNECTING;
    redis_connection_open(client->link, &address, redis_locate_giver(client->locate));
}

/* Of several servers it matters which one it was. */
static void describe(const struct redis_client *client, char out[CLIENT_DETAIL], const char *detail)
{
    struct redis_address address;
    bool sentinel = redis_locate_target(client->locate, &address);

    if (client->settings->topology == REDIS_SINGLE)
        snprintf(out, CLIENT_DETAIL, "%s", detail);
    else
        snprintf(out, CLIENT_DETAIL, "%s%s:%u: %s", sentinel ? "sentinel " : "", address.host,
            (unsigned)address.port, detail);
}

/* detail may live in a reply that the caller frees. */
void redis_client_fail(struct redis_client *client, bool refused, const char *detail)
{
    char text[CLIENT_DETAIL];

    assert(client->magic == CLIENT_MAGIC && client->state >= CLIENT_CONNECTING);
    describe(client, text, detail);
    disconnect(client);
    if (to_sentinel(client) && redis_locate_skip(client->locate)) {
        LOG_LIMITED(LOG_WARN, "redis", "a sentinel is passed over", log_string("reason", text));
        go(client);
        return;
    }
    redis_locate_fail(client->locate);
    client->state = CLIENT_WAITING;
    struct timeval wait = backoff_down(&client->backoff);
    event_add(client->retry, &wait);
    client->calls.failed(client->calls.argument, refused, text);
}

/* ---- commands ---- */

static void send_command(
    struct redis_client *client, struct client_pending pending, size_t count, const struct view *arguments)
{
    assert(client->pending_next - client->pending_first < client->pending_max);
    redis_command_format(&client->command, count, arguments);
    (pending.command == CLIENT_AUTH ? redis_connection_send_secret : redis_connection_send)(
        client->link, buffer_view(&client->command));
    if (client->pending_first == client->pending_next)
        redis_connection_expect(client->link, true);
    client->pending[client->pending_next++ % client->pending_max] = pending;
    if (pending.command == CLIENT_AUTH)
        secret_wipe(client->command.data, client->command.capacity);
}

static void send_own(
    struct redis_client *client, enum client_command command, size_t count, const char *const *texts)
{
    struct view arguments[3];

    assert(count <= sizeof(arguments) / sizeof(arguments[0]));
    for (size_t i = 0; i < count; i++)
        arguments[i] = view_of_string(texts[i]);
    send_command(client, (struct client_pending){.command = command}, count, arguments);
}

static const struct redis_access *access_of(const struct redis_client *client)
{
    return to_sentinel(client) ? &client->settings->sentinel_access : &client->settings->access;
}

static void send_role(struct redis_client *client)
{
    client->role_asked = true;
    send_own(client, CLIENT_ROLE, 1, (const char *[]){"ROLE"});
}

static void greet(struct redis_client *client)
{
    const struct exporter_redis *settings = client->settings;
    const struct redis_access *access = access_of(client);
    char database[16], *password = credentials_take_password(access->credentials);

    if (password != NULL && access->username != NULL)
        send_own(client, CLIENT_AUTH, 3, (const char *[]){"AUTH", access->username, password});
    else if (password != NULL)
        send_own(client, CLIENT_AUTH, 2, (const char *[]){"AUTH", password});
    credentials_give_password(password);
    if (to_sentinel(client)) {
        send_own(client, CLIENT_MASTER, 3,
            (const char *[]){"SENTINEL", "get-master-addr-by-name", settings->master});
        return;
    }
    if (settings->database != 0) {
        snprintf(database, sizeof(database), "%" PRIu32, settings->database);
        send_own(client, CLIENT_SELECT, 2, (const char *[]){"SELECT", database});
    }
    if (settings->topology == REDIS_SENTINEL)
        send_role(client);
    send_own(client, CLIENT_PING, 1, (const char *[]){"PING"});
}

bool redis_client_is_ready(const struct redis_client *client)
{
    return client->state == CLIENT_READY;
}

size_t redis_client_room(const struct redis_client *client)
{
    return client->state != CLIENT_READY ? 0 : client->window - client->under_way;
}

void redis_client_send(
    struct redis_client *client, unsigned command, void *subject, size_t count, const struct view *arguments)
{
    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_READY);
    assert(client->under_way < client->window);
    if (redis_locate_is_asking(client->locate))
        send_own(client, CLIENT_ASKING, 1, (const char *[]){"ASKING"});
    client->under_way++;
    send_command(client, (struct client_pending){CLIENT_OWNERS, command, subject}, count, arguments);
}

/* ---- answers ---- */

static const char nonsense[] = "an answer that is none of Redis";

/* A server that does not know AUTH repeats its arguments in the answer, and the detail goes to log and trail.
 */
static const char *refusal(
    const struct redis_client *client, enum client_command command, const redisReply *reply)
{
    char *password;
    bool repeats;

    if (command != CLIENT_AUTH)
        return reply->str;
    password = credentials_take_password(access_of(client)->credentials);
    repeats = strstr(reply->str, "args beginning with") != NULL || strstr(reply->str, password) != NULL;
    credentials_give_password(password);
    return repeats ? "AUTH refused; the answer is not shown because it repeats what was sent" : reply->str;
}

static void on_master(struct redis_client *client, const redisReply *reply)
{
    const char *problem = redis_locate_take_master(client->locate, reply);

    if (problem != NULL) {
        redis_client_fail(client, false, problem);
        return;
    }
    disconnect(client);
    go(client);
}

static void on_role(struct redis_client *client, const redisReply *reply)
{
    const char *problem = redis_locate_take_role(client->locate, reply);

    client->role_asked = false;
    if (problem != NULL)
        redis_client_fail(client, true, problem);
}

/* The answer to what was not the owner's. */
static void on_own(struct redis_client *client, enum client_command command, const redisReply *reply)
{
    struct view wanted = view_of_string(command == CLIENT_PING ? "PONG" : "OK");

    if (reply->type == REDIS_REPLY_ERROR)
        redis_client_fail(client, true, refusal(client, command, reply));
    else if (command == CLIENT_MASTER)
        on_master(client, reply);
    else if (command == CLIENT_ROLE)
        on_role(client, reply);
    else if (!view_starts_with(redis_reply_text(reply), wanted))
        redis_client_fail(client, false, nonsense);
    else if (command == CLIENT_PING && client->state == CLIENT_GREETS) {
        client->state = CLIENT_READY;
        client->calls.ready(client->calls.argument);
    }
}

/* True: the answer sends us elsewhere, or nowhere. */
static bool on_redirection(struct redis_client *client, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        redis_locate_settle(client->locate);
        return false;
    }
    switch (redis_locate_redirect(client->locate, view_of(reply->str, (size_t)reply->len))) {
    case REDIS_STAY:
        return false;
    case REDIS_FOLLOW:
        disconnect(client);
        client->calls.redirected(client->calls.argument);
        go(client);
        return true;
    case REDIS_NONSENSE:
        redis_client_fail(client, false, nonsense);
        return true;
    case REDIS_ENDLESS:
        redis_client_fail(client, true, "the nodes of the cluster redirect to each other");
        return true;
    }
    return false;
}

static void on_reply(struct redis_client *client, const redisReply *reply)
{
    struct client_pending pending;

    if (client->pending_first == client->pending_next) {
        redis_client_fail(
            client, false, reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer that nobody asked for");
        return;
    }
    pending = client->pending[client->pending_first++ % client->pending_max];
    redis_connection_expect(client->link, client->pending_first < client->pending_next);
    if (pending.command != CLIENT_OWNERS) {
        on_own(client, pending.command, reply);
        return;
    }
    client->under_way--;
    if (!on_redirection(client, reply))
        client->calls.answered(client->calls.argument, pending.owners, pending.subject, reply);
}

/* ---- what the transport says ---- */

static void wait_idle(struct redis_client *client)
{
    bool asks_role = client->settings->topology == REDIS_SENTINEL;

    if (!asks_role || !evtimer_pending(client->idle, NULL))
        event_add(client->idle, &(struct timeval){.tv_sec = asks_role ? CLIENT_ROLE_S : CLIENT_IDLE_S});
}

static void on_connected(void *argument)
{
    struct redis_client *client = argument;

    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_CONNECTING);
    client->reader = redis_reader_new();
    client->state = CLIENT_GREETS;
    if (!to_sentinel(client))
        backoff_up(&client->backoff);
    greet(client);
}

static void on_received(void *argument, struct view bytes)
{
    struct redis_client *client = argument;
    redisReply *reply = NULL;

    assert(client->magic == CLIENT_MAGIC && client->reader != NULL);
    wait_idle(client);
    if (!redis_reader_feed(client->reader, bytes)) {
        redis_client_fail(client, false, "an answer that is too long");
        return;
    }
    while (client->reader != NULL) { /* NULL: a reply was the end of the connection */
        enum redis_read read = redis_reader_next(client->reader, &reply);
        if (read == REDIS_READ_MORE)
            break;
        if (read == REDIS_READ_BAD) {
            redis_client_fail(client, false, nonsense);
            return;
        }
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
    redis_locate_begin(client->locate);
    go(client);
}

/* A server that is gone without a word would otherwise be noticed with the next command only; one that is no
 * master any more, perhaps never: a replica takes PUBLISH, and tells nobody. */
static void on_idle(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_client *client = argument;

    (void)descriptor;
    (void)events;
    if (client->state != CLIENT_READY)
        return;
    wait_idle(client);
    if (client->settings->topology == REDIS_SENTINEL) {
        if (!client->role_asked)
            send_role(client);
    } else if (client->pending_first == client->pending_next)
        send_own(client, CLIENT_PING, 1, (const char *[]){"PING"});
}

/* ---- life ---- */

void redis_client_free(struct redis_client *client)
{
    if (client == NULL)
        return;
    assert(client->magic == CLIENT_MAGIC);
    redis_connection_free(client->server);
    redis_connection_free(client->sentinel);
    forget(client);
    if (client->retry != NULL)
        event_free(client->retry);
    if (client->idle != NULL)
        event_free(client->idle);
    redis_locate_free(client->locate);
    buffer_release(&client->command);
    client->magic = 0;
    free(client->pending);
    free(client);
}

/* False and a sentence in error. */
static bool check_hosts(const struct exporter_redis *settings, char *error, size_t error_size)
{
    const struct redis_address *addresses = settings->nodes;
    size_t count = settings->node_count;

    if (settings->topology == REDIS_SINGLE) {
        addresses = &settings->address;
        count = 1;
    }
    for (size_t i = 0; i < count; i++)
        if (!outlet_host_fits(addresses[i].host)) {
            snprintf(
                error, error_size, "%s: it is too long for a host name or a Unix socket", addresses[i].host);
            return false;
        }
    return true;
}

static void make_links(struct redis_client *client, struct event_base *base)
{
    const struct exporter_redis *settings = client->settings;
    const struct redis_connection_calls own = {
        .connected = on_connected, .received = on_received, .failed = on_failed, .argument = client};

    client->server = redis_connection_new(&settings->access, settings->timeout_ms, base, &own);
    if (settings->topology == REDIS_SENTINEL)
        client->sentinel = redis_connection_new(&settings->sentinel_access,
            settings->timeout_ms < CLIENT_SENTINEL_MS ? settings->timeout_ms : CLIENT_SENTINEL_MS, base,
            &own);
}

struct redis_client *redis_client_new(const struct exporter_redis *settings, size_t window,
    struct event_base *base, const struct redis_client_calls *calls, char *error, size_t error_size)
{
    struct redis_client *client = memory_calloc(1, sizeof(*client));

    assert(settings->topology != REDIS_CLUSTER || calls->redirected != NULL);
    client->magic = CLIENT_MAGIC;
    client->settings = settings;
    client->calls = *calls;
    client->locate = redis_locate_new(settings);
    client->window = window;
    client->pending_max = window * (settings->topology == REDIS_CLUSTER ? 2 : 1) + CLIENT_OWN; /* ASKING */
    client->pending = memory_calloc(client->pending_max, sizeof(*client->pending));
    client->retry = evtimer_new(base, on_retry, client);
    client->idle = evtimer_new(base, on_idle, client);
    if (client->retry == NULL || client->idle == NULL)
        memory_exhausted();
    make_links(client, base);
    if (check_hosts(settings, error, error_size))
        return client;
    redis_client_free(client);
    return NULL;
}

void redis_client_start(struct redis_client *client)
{
    assert(client->magic == CLIENT_MAGIC && client->state == CLIENT_STOPPED);
    redis_locate_begin(client->locate);
    go(client);
}

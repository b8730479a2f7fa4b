/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Redis sink: XADD to one stream, at least once. A row of the sinks (sink.h); its transport is
 * redis_connection.c, its codec hiredis.
 *
 *   WAITING --timer--> CONNECTING --connected--> GREETING (AUTH, SELECT, PING) --PONG--> STREAMING
 *      ^------ any failure: close, forget what was in flight, go back to the cursor ----------|
 *
 * In flight is a window of entries in the order of the journal, and a queue of commands whose answers are due
 * in that order. An entry goes through these steps:
 *
 *   ADD      XADD <key> <sealed ms>-<sequence>: +id: confirmed
 *            "equal or smaller than the target stream top item": either this very entry is there (it was sent
 * before, and the answer got lost), or the stream is ahead for another reason (another writer, a clock set
 * back, an entry before it was refused and one behind it was not), so ask: VERIFY   XRANGE <key> <id> <id>:
 * the same bytes under this ID: confirmed. Anything else, an answer of "not permitted" included: ADD_ANY XADD
 * <key> *: +id: confirmed. A duplicate is possible here, a loss is not.
 *
 * Any other error answer (-OOM, -LOADING, -READONLY, -MISCONF, -NOPERM, -NOAUTH, -WRONGTYPE, -MOVED ...) is
 * "not delivered yet". */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/util.h>
#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/memory.h"
#include "exporters/redis_connection.h"
#include "exporters/sink.h"

#define REDIS_MAGIC 0x72656469U
#define REDIS_WINDOW 1000U                         /* entries in flight */
#define REDIS_WINDOW_BYTES ((size_t)1024 * 1024)   /* of them */
#define REDIS_COMMANDS (REDIS_WINDOW + 8)          /* one an entry at most, and the greeting */
#define REDIS_ANSWER_MAX ((size_t)4 * 1024 * 1024) /* of one reply: more is garbage */
#define REDIS_ELEMENTS_MAX 4096                    /* of one array */
#define REDIS_BACKOFF_MIN_MS 100U
#define REDIS_BACKOFF_MAX_MS 5000U
#define REDIS_STABLE_MS 10000U /* up for so long: the back-off starts anew */
#define REDIS_IDLE_S 30        /* then a PING asks whether the server is still there */
#define REDIS_ARGUMENTS 9

enum redis_state { REDIS_STOPPED, REDIS_WAITING, REDIS_CONNECTING, REDIS_GREETING, REDIS_STREAMING };

enum redis_command { REDIS_AUTH, REDIS_SELECT, REDIS_PING, REDIS_ADD, REDIS_VERIFY, REDIS_ADD_ANY };

struct redis_entry {
    struct journal_position end;
    char id[48];
    uint8_t *line;
    size_t length;
    bool confirmed;
};

struct redis_pending {
    enum redis_command command;
    uint64_t entry; /* counts entries since the connection was made */
};

struct redis {
    uint32_t magic;
    enum redis_state state;
    struct sink *sink;
    const struct exporter_redis *settings;
    struct redis_connection *connection;
    redisReader *reader;
    redisReplyObjectFunctions functions; /* hiredis' own, but for arrays */
    void *(*create_array)(const redisReadTask *task, int elements);
    struct event *retry;
    struct event *idle;
    unsigned failures;
    uint64_t connected_ms;

    struct redis_entry entries[REDIS_WINDOW];
    uint64_t entry_first, entry_next; /* [first, next) are in flight */
    size_t entry_bytes;
    struct redis_pending pending[REDIS_COMMANDS];
    uint64_t pending_first, pending_next;
};

/* ---- failing and coming back ---- */

static void redis_forget(struct redis *redis)
{
    for (; redis->entry_first < redis->entry_next; redis->entry_first++)
        free(redis->entries[redis->entry_first % REDIS_WINDOW].line);
    redis->entry_first = redis->entry_next = 0;
    redis->entry_bytes = 0;
    redis->pending_first = redis->pending_next = 0;
    if (redis->reader != NULL)
        redisReaderFree(redis->reader);
    redis->reader = NULL;
}

/* Doubling from 100 ms to 5 s, each between half and all of it: a thousand proxies do not come back at once.
 * A connection that keeps breaking soon after it was made does not reset it, or its reports would flood the
 * journal. */
static void redis_schedule(struct redis *redis)
{
    uint32_t wait_ms = REDIS_BACKOFF_MAX_MS, random;

    if (redis->connected_ms != 0 && clock_monotonic_ms() - redis->connected_ms > REDIS_STABLE_MS)
        redis->failures = 0;
    redis->connected_ms = 0;
    if (redis->failures < 6 && REDIS_BACKOFF_MIN_MS << redis->failures < REDIS_BACKOFF_MAX_MS)
        wait_ms = REDIS_BACKOFF_MIN_MS << redis->failures;
    redis->failures++;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    wait_ms = wait_ms / 2 + random % (wait_ms / 2 + 1);
    struct timeval time = {.tv_sec = wait_ms / 1000, .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
    redis->state = REDIS_WAITING;
    event_add(redis->retry, &time);
}

/* The one way out of a connection. detail may live in a reply that the caller frees. */
static void redis_fail(struct redis *redis, enum reason reason, const char *detail)
{
    assert(redis->state >= REDIS_CONNECTING);
    redis_connection_close(redis->connection);
    event_del(redis->idle);
    redis_forget(redis);
    sink_rewind(redis->sink);
    redis_schedule(redis);
    sink_fail(redis->sink, reason, detail);
}

/* ---- commands ---- */

static void redis_send(struct redis *redis, enum redis_command command, uint64_t entry, int count,
    const char **arguments, const size_t *lengths)
{
    char *bytes = NULL;
    int length = redisFormatCommandArgv(&bytes, count, arguments, lengths);

    assert(redis->pending_next - redis->pending_first < REDIS_COMMANDS);
    if (length < 0 || bytes == NULL)
        abort(); /* out of memory, as base/memory has it */
    redis_connection_send(redis->connection, view_of(bytes, (size_t)length));
    if (redis->pending_first == redis->pending_next)
        redis_connection_expect(redis->connection, true);
    redis->pending[redis->pending_next++ % REDIS_COMMANDS] = (struct redis_pending){command, entry};
    redisFreeCommand(bytes);
}

static void redis_greet(struct redis *redis)
{
    const struct exporter_redis *settings = redis->settings;
    char database[16];

    if (settings->password != NULL && settings->username != NULL)
        redis_send(
            redis, REDIS_AUTH, 0, 3, (const char *[]){"AUTH", settings->username, settings->password}, NULL);
    else if (settings->password != NULL)
        redis_send(redis, REDIS_AUTH, 0, 2, (const char *[]){"AUTH", settings->password}, NULL);
    if (settings->database != 0) {
        snprintf(database, sizeof(database), "%" PRIu32, settings->database);
        redis_send(redis, REDIS_SELECT, 0, 2, (const char *[]){"SELECT", database}, NULL);
    }
    redis_send(redis, REDIS_PING, 0, 1, (const char *[]){"PING"}, NULL);
}

static struct redis_entry *redis_entry_at(struct redis *redis, uint64_t entry)
{
    assert(entry >= redis->entry_first && entry < redis->entry_next);
    return &redis->entries[entry % REDIS_WINDOW];
}

static void redis_send_add(struct redis *redis, uint64_t number, bool any)
{
    const struct redis_entry *entry = redis_entry_at(redis, number);
    const char *arguments[REDIS_ARGUMENTS] = {"XADD", redis->settings->key};
    size_t lengths[REDIS_ARGUMENTS];
    char max_length[24];
    int count = 2;

    if (redis->settings->max_length > 0) {
        snprintf(max_length, sizeof(max_length), "%" PRIu64, redis->settings->max_length);
        arguments[count++] = "MAXLEN";
        arguments[count++] = "~";
        arguments[count++] = max_length;
    }
    arguments[count++] = any ? "*" : entry->id;
    arguments[count++] = redis->settings->field;
    for (int i = 0; i < count; i++)
        lengths[i] = strlen(arguments[i]);
    arguments[count] = (const char *)entry->line;
    lengths[count++] = entry->length;
    redis_send(redis, any ? REDIS_ADD_ANY : REDIS_ADD, number, count, arguments, lengths);
}

static void redis_send_verify(struct redis *redis, uint64_t number)
{
    const char *id = redis_entry_at(redis, number)->id;

    redis_send(
        redis, REDIS_VERIFY, number, 4, (const char *[]){"XRANGE", redis->settings->key, id, id}, NULL);
}

/* Sends what the journal has, up to the window. */
static void redis_fill(struct redis *redis)
{
    struct journal_line line;

    while (redis->state == REDIS_STREAMING && redis->entry_next - redis->entry_first < REDIS_WINDOW &&
           redis->entry_bytes < REDIS_WINDOW_BYTES && sink_next(redis->sink, &line)) {
        struct redis_entry *entry = &redis->entries[redis->entry_next % REDIS_WINDOW];
        *entry = (struct redis_entry){.end = line.end, .length = line.text.length};
        entry->line = memory_calloc(1, line.text.length);
        memcpy(entry->line, line.text.data, line.text.length);
        snprintf(entry->id, sizeof(entry->id), "%" PRIu64 "-%" PRIu64, line.head.sealed_us / 1000,
            line.head.sequence);
        redis->entry_bytes += entry->length;
        redis_send_add(redis, redis->entry_next++, redis->settings->shared);
    }
}

/* ---- answers ---- */

/* The cursor moves over the confirmed start of the window. */
static void redis_confirm(struct redis *redis, uint64_t number)
{
    struct journal_position end = {0};
    bool moved = false;

    redis_entry_at(redis, number)->confirmed = true;
    while (redis->entry_first < redis->entry_next &&
           redis->entries[redis->entry_first % REDIS_WINDOW].confirmed) {
        struct redis_entry *entry = &redis->entries[redis->entry_first++ % REDIS_WINDOW];
        end = entry->end;
        moved = true;
        redis->entry_bytes -= entry->length;
        free(entry->line);
        entry->line = NULL;
    }
    if (moved)
        sink_confirm(redis->sink, end);
}

static const redisReply *redis_element(const redisReply *reply, size_t index, int type)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || index >= reply->elements ||
        reply->element[index]->type != type)
        return NULL;
    return reply->element[index];
}

/* [[id, [field, value]]] with our field and our bytes. */
static bool redis_is_entry(
    const struct redis *redis, const redisReply *reply, const struct redis_entry *entry)
{
    const redisReply *found = redis_element(reply, 0, REDIS_REPLY_ARRAY);
    const redisReply *id = redis_element(found, 0, REDIS_REPLY_STRING);
    const redisReply *fields = redis_element(found, 1, REDIS_REPLY_ARRAY);
    const redisReply *field = redis_element(fields, 0, REDIS_REPLY_STRING);
    const redisReply *value = redis_element(fields, 1, REDIS_REPLY_STRING);

    return id != NULL && field != NULL && value != NULL &&
           view_equal_string(view_of(id->str, id->len), entry->id) &&
           view_equal_string(view_of(field->str, field->len), redis->settings->field) &&
           view_equal(view_of(value->str, value->len), view_of(entry->line, entry->length));
}

static bool redis_starts_with(const redisReply *reply, const char *text)
{
    return view_starts_with(view_of(reply->str, reply->len), view_of_string(text));
}

static bool redis_is_ready(struct redis *redis, enum redis_command command, const redisReply *reply)
{
    const char *wanted = command == REDIS_PING ? "PONG" : "OK";

    if (reply->type != REDIS_REPLY_STATUS || !redis_starts_with(reply, wanted)) {
        redis_fail(redis, REASON_sink_unreachable, "an answer that is none of Redis");
        return false;
    }
    return true;
}

static void redis_on_ready(struct redis *redis, enum redis_command command, const redisReply *reply)
{
    if (!redis_is_ready(redis, command, reply) || command != REDIS_PING || redis->state != REDIS_GREETING)
        return;
    redis->state = REDIS_STREAMING;
    redis_fill(redis);
}

static void redis_on_added(struct redis *redis, const struct redis_pending *pending, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STRING) {
        redis_confirm(redis, pending->entry);
        return;
    }
    redis_fail(redis, REASON_sink_unreachable, "an answer that is none of Redis");
}

/* A server that does not know AUTH repeats its arguments in the answer, and the detail goes to log and trail.
 */
static const char *redis_refusal(
    const struct redis *redis, const struct redis_pending *pending, const redisReply *reply)
{
    const char *password = redis->settings->password;

    if (pending->command == REDIS_AUTH && (strstr(reply->str, "args beginning with") != NULL ||
                                              (password[0] != 0 && strstr(reply->str, password) != NULL)))
        return "AUTH refused; the answer is not shown because it repeats what was sent";
    return reply->str;
}

static void redis_on_error(struct redis *redis, const struct redis_pending *pending, const redisReply *reply)
{
    static const char smaller[] = "ERR The ID specified in XADD is equal or smaller";

    if (pending->command == REDIS_ADD && redis_starts_with(reply, smaller))
        redis_send_verify(redis, pending->entry);
    else if (pending->command == REDIS_VERIFY && redis_starts_with(reply, "NOPERM"))
        redis_send_add(redis, pending->entry, true);
    else
        redis_fail(redis, REASON_sink_refused, redis_refusal(redis, pending, reply));
}

static void redis_on_verified(
    struct redis *redis, const struct redis_pending *pending, const redisReply *reply)
{
    if (redis_is_entry(redis, reply, redis_entry_at(redis, pending->entry)))
        redis_confirm(redis, pending->entry);
    else
        redis_send_add(redis, pending->entry, true);
}

static void redis_on_reply(struct redis *redis, const redisReply *reply)
{
    if (redis->pending_first == redis->pending_next) {
        redis_fail(redis, REASON_sink_unreachable,
            reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer that nobody asked for");
        return;
    }
    struct redis_pending pending = redis->pending[redis->pending_first++ % REDIS_COMMANDS];
    redis_connection_expect(redis->connection, redis->pending_first < redis->pending_next);
    if (reply->type == REDIS_REPLY_ERROR)
        redis_on_error(redis, &pending, reply);
    else if (pending.command == REDIS_VERIFY)
        redis_on_verified(redis, &pending, reply);
    else if (pending.command == REDIS_ADD || pending.command == REDIS_ADD_ANY)
        redis_on_added(redis, &pending, reply);
    else
        redis_on_ready(redis, pending.command, reply);
}

/* "*2147483647" would have hiredis allocate 16 GiB and walk over them: an array that no command of ours gets
 * is garbage. */
static void *redis_create_array(const redisReadTask *task, int elements)
{
    const struct redis *redis = task->privdata;

    return elements > REDIS_ELEMENTS_MAX
               ? NULL
               : redis->create_array(task, elements); /* NULL: an error of the reader */
}

/* ---- what the transport says ---- */

static void redis_on_connected(void *argument)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC && redis->state == REDIS_CONNECTING);
    redis->reader = redisReaderCreate();
    if (redis->reader == NULL)
        abort();
    redis->functions = *redis->reader->fn;
    redis->create_array = redis->functions.createArray;
    redis->functions.createArray = redis_create_array;
    redis->reader->fn = &redis->functions;
    redis->reader->privdata = redis;
    redis->state = REDIS_GREETING;
    redis->connected_ms = clock_monotonic_ms();
    redis_greet(redis);
}

static void redis_on_received(void *argument, struct view bytes)
{
    struct redis *redis = argument;
    void *reply = NULL;

    assert(redis->magic == REDIS_MAGIC && redis->reader != NULL);
    event_add(redis->idle, &(struct timeval){.tv_sec = REDIS_IDLE_S});
    if (redis->reader->len - redis->reader->pos > REDIS_ANSWER_MAX ||
        redisReaderFeed(redis->reader, (const char *)bytes.data, bytes.length) != REDIS_OK) {
        redis_fail(redis, REASON_sink_unreachable, "an answer that is too long");
        return;
    }
    while (redis->reader != NULL) { /* NULL: a reply was the end of the connection */
        if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
            redis_fail(redis, REASON_sink_unreachable, "an answer that is none of Redis");
            return;
        }
        if (reply == NULL)
            break;
        redis_on_reply(redis, reply);
        freeReplyObject(reply);
    }
    redis_fill(redis);
}

static void redis_on_failed(void *argument, const char *detail)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC);
    redis_fail(redis, REASON_sink_unreachable, detail);
}

static void redis_on_retry(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis *redis = argument;

    (void)descriptor;
    (void)events;
    assert(redis->magic == REDIS_MAGIC && redis->state == REDIS_WAITING);
    redis->state = REDIS_CONNECTING;
    redis_connection_open(redis->connection);
}

/* A server that is gone without a word would otherwise be noticed with the next event only. */
static void redis_on_idle(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis *redis = argument;

    (void)descriptor;
    (void)events;
    if (redis->state == REDIS_STREAMING && redis->pending_first == redis->pending_next)
        redis_send(redis, REDIS_PING, 0, 1, (const char *[]){"PING"}, NULL);
}

/* ---- the row ---- */

static void redis_close(void *link)
{
    struct redis *redis = link;

    if (redis == NULL)
        return;
    assert(redis->magic == REDIS_MAGIC);
    redis_connection_free(redis->connection);
    redis_forget(redis);
    if (redis->retry != NULL)
        event_free(redis->retry);
    if (redis->idle != NULL)
        event_free(redis->idle);
    redis->magic = 0;
    free(redis);
}

static void *redis_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct redis *redis = memory_calloc(1, sizeof(*redis));
    const struct redis_connection_calls calls = {.connected = redis_on_connected,
        .received = redis_on_received,
        .failed = redis_on_failed,
        .argument = redis};

    redis->magic = REDIS_MAGIC;
    redis->sink = sink;
    redis->settings = settings;
    assert(redis->settings->host != NULL && redis->settings->key != NULL && redis->settings->field != NULL);
    redis->retry = evtimer_new(base, redis_on_retry, redis);
    redis->idle = evtimer_new(base, redis_on_idle, redis);
    redis->connection = redis_connection_new(redis->settings, base, &calls, error, error_size);
    if (redis->retry == NULL || redis->idle == NULL || redis->connection == NULL) {
        redis_close(redis);
        return NULL;
    }
    return redis;
}

static void redis_start(void *link)
{
    struct redis *redis = link;

    assert(redis->magic == REDIS_MAGIC && redis->state == REDIS_STOPPED);
    redis->state = REDIS_CONNECTING;
    redis_connection_open(redis->connection);
}

static void redis_wake(void *link)
{
    redis_fill(link);
}

const struct sink_type sink_redis = {
    .name = "redis", .open = redis_open, .start = redis_start, .wake = redis_wake, .close = redis_close};

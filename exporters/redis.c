/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Redis sink: XADD to one stream, at least once. A row of the sinks (sink.h); connecting, greeting
 * and coming back are redis_client.c's. After a failure it goes back to the cursor.
 *
 * In flight is a window of entries in the order of the journal. An entry goes through these steps:
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

#include <hiredis/hiredis.h>

#include "base/memory.h"
#include "exporters/redis_client.h"
#include "exporters/sink.h"

#define REDIS_MAGIC 0x72656469U
#define REDIS_WINDOW 1000U                       /* entries in flight */
#define REDIS_WINDOW_BYTES ((size_t)1024 * 1024) /* of them */
#define REDIS_ARGUMENTS 9

enum redis_command { REDIS_ADD, REDIS_VERIFY, REDIS_ADD_ANY };

struct redis_entry {
    struct journal_position end;
    char id[48];
    uint8_t *line;
    size_t length;
    bool confirmed;
};

struct redis {
    uint32_t magic;
    struct sink *sink;
    const struct exporter_redis *settings;
    struct redis_client *client;

    struct redis_entry entries[REDIS_WINDOW];
    uint64_t entry_first, entry_next; /* [first, next) are in flight; counts since the connection was made */
    size_t entry_bytes;
};

static void redis_forget(struct redis *redis)
{
    for (; redis->entry_first < redis->entry_next; redis->entry_first++)
        free(redis->entries[redis->entry_first % REDIS_WINDOW].line);
    redis->entry_first = redis->entry_next = 0;
    redis->entry_bytes = 0;
}

static void redis_on_failed(void *argument, bool refused, const char *detail)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC);
    redis_forget(redis);
    sink_rewind(redis->sink);
    sink_fail(redis->sink, refused ? REASON_sink_refused : REASON_sink_unreachable, detail);
}

/* ---- commands ---- */

static void redis_send_add(struct redis *redis, struct redis_entry *entry, bool any)
{
    struct view arguments[REDIS_ARGUMENTS] = {VIEW("XADD"), view_of_string(redis->settings->key)};
    char max_length[24];
    size_t count = 2;

    if (redis->settings->max_length > 0) {
        snprintf(max_length, sizeof(max_length), "%" PRIu64, redis->settings->max_length);
        arguments[count++] = VIEW("MAXLEN");
        arguments[count++] = VIEW("~");
        arguments[count++] = view_of_string(max_length);
    }
    arguments[count++] = view_of_string(any ? "*" : entry->id);
    arguments[count++] = view_of_string(redis->settings->field);
    arguments[count++] = view_of(entry->line, entry->length);
    redis_client_send(redis->client, any ? REDIS_ADD_ANY : REDIS_ADD, entry, count, arguments);
}

static void redis_send_verify(struct redis *redis, struct redis_entry *entry)
{
    struct view id = view_of_string(entry->id);
    const struct view arguments[] = {VIEW("XRANGE"), view_of_string(redis->settings->key), id, id};

    redis_client_send(redis->client, REDIS_VERIFY, entry, 4, arguments);
}

/* Sends what the journal has, up to the window. */
static void redis_fill(struct redis *redis)
{
    struct journal_line line;

    while (redis_client_is_ready(redis->client) && redis->entry_next - redis->entry_first < REDIS_WINDOW &&
           redis->entry_bytes < REDIS_WINDOW_BYTES && sink_next(redis->sink, &line)) {
        struct redis_entry *entry = &redis->entries[redis->entry_next % REDIS_WINDOW];
        *entry = (struct redis_entry){.end = line.end, .length = line.text.length};
        entry->line = memory_calloc(1, line.text.length);
        memcpy(entry->line, line.text.data, line.text.length);
        snprintf(entry->id, sizeof(entry->id), "%" PRIu64 "-%" PRIu64, line.head.sealed_us / 1000,
            line.head.sequence);
        redis->entry_bytes += entry->length;
        redis->entry_next++;
        redis_send_add(redis, entry, redis->settings->shared);
    }
}

/* ---- answers ---- */

/* The cursor moves over the confirmed start of the window. */
static void redis_confirm(struct redis *redis, struct redis_entry *confirmed)
{
    struct journal_position end = {0};
    bool moved = false;

    confirmed->confirmed = true;
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

static void redis_on_error(
    struct redis *redis, enum redis_command command, struct redis_entry *entry, const redisReply *reply)
{
    static const char smaller[] = "ERR The ID specified in XADD is equal or smaller";

    if (command == REDIS_ADD && redis_starts_with(reply, smaller))
        redis_send_verify(redis, entry);
    else if (command == REDIS_VERIFY && redis_starts_with(reply, "NOPERM"))
        redis_send_add(redis, entry, true);
    else
        redis_client_fail(redis->client, true, reply->str);
}

static void redis_on_answered(void *argument, unsigned command, void *subject, const redisReply *reply)
{
    struct redis *redis = argument;
    struct redis_entry *entry = subject;

    assert(redis->magic == REDIS_MAGIC);
    if (reply->type == REDIS_REPLY_ERROR)
        redis_on_error(redis, (enum redis_command)command, entry, reply);
    else if (command == REDIS_VERIFY && !redis_is_entry(redis, reply, entry))
        redis_send_add(redis, entry, true);
    else if (command == REDIS_VERIFY || reply->type == REDIS_REPLY_STRING)
        redis_confirm(redis, entry);
    else
        redis_client_fail(redis->client, false, "an answer that is none of Redis");
}

static void redis_on_ready(void *argument)
{
    redis_fill(argument);
}

/* ---- the row ---- */

static void redis_close(void *link)
{
    struct redis *redis = link;

    if (redis == NULL)
        return;
    assert(redis->magic == REDIS_MAGIC);
    redis_client_free(redis->client);
    redis_forget(redis);
    redis->magic = 0;
    free(redis);
}

static void *redis_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct redis *redis = memory_calloc(1, sizeof(*redis));
    const struct redis_client_calls calls = {.ready = redis_on_ready,
        .answered = redis_on_answered,
        .settled = redis_on_ready,
        .failed = redis_on_failed,
        .argument = redis};

    redis->magic = REDIS_MAGIC;
    redis->sink = sink;
    redis->settings = settings;
    assert(redis->settings->key != NULL && redis->settings->field != NULL);
    redis->client = redis_client_new(redis->settings, REDIS_WINDOW, base, &calls, error, error_size);
    if (redis->client != NULL)
        return redis;
    redis_close(redis);
    return NULL;
}

static void redis_start(void *link)
{
    redis_client_start(((struct redis *)link)->client);
}

static void redis_wake(void *link)
{
    redis_fill(link);
}

const struct sink_type sink_redis = {
    .name = "redis", .open = redis_open, .start = redis_start, .wake = redis_wake, .close = redis_close};

/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink's mode "stream". Called by redis.c. An entry goes through these steps:
 *
 *   ADD      XADD <key> <sealed ms>-<sequence>
 *            +id: delivered
 *            "equal or smaller than the target stream top item": either this very entry is there (it was sent
 *            before, and the answer got lost), or the stream is ahead for another reason (another writer, a
 *            clock set back, an entry before it was refused and one behind it was not), so ask: VERIFY
 *   VERIFY   XRANGE <key> <id> <id>
 *            the same bytes under this ID: delivered. Anything else, "not permitted" included: ADD_ANY
 *   ADD_ANY  XADD <key> *
 *            +id: delivered. A duplicate is possible here, a loss is not.
 *
 * Once an entry was sent so, those behind it are too, as long as the connection lasts: some of them may have
 * IDs above the stream's last, and would overtake the others.
 *
 * WAIT knows only of what was written by its own connection: where replicas are wanted, an entry that is
 * there already is not verified, but written again. */
#include <inttypes.h>
#include <stdio.h>

#include <hiredis/hiredis.h>

#include "exporters/redis_internal.h"

#define STREAM_ARGUMENTS 9

enum stream_command { STREAM_ADD, STREAM_VERIFY, STREAM_ADD_ANY };

static void send_add(struct redis *redis, struct redis_entry *entry, bool any)
{
    struct view arguments[STREAM_ARGUMENTS] = {VIEW("XADD"), view_of_string(redis->settings->key)};
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
    redis_client_send(redis->client, any ? STREAM_ADD_ANY : STREAM_ADD, entry, count, arguments);
}

static void send_verify(struct redis *redis, struct redis_entry *entry)
{
    struct view id = view_of_string(entry->id);
    const struct view arguments[] = {VIEW("XRANGE"), view_of_string(redis->settings->key), id, id};

    redis_client_send(redis->client, STREAM_VERIFY, entry, 4, arguments);
}

static void stream_send(struct redis *redis, struct redis_entry *entry)
{
    send_add(redis, entry, redis->settings->shared || redis->is_behind);
}

/* What is behind it may have an ID above the stream's, and is not to overtake it. */
static void send_behind(struct redis *redis, struct redis_entry *entry)
{
    redis->is_behind = true;
    send_add(redis, entry, true);
}

static const redisReply *element(const redisReply *reply, size_t index, int type)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || index >= reply->elements ||
        reply->element[index]->type != type)
        return NULL;
    return reply->element[index];
}

/* [[id, [field, value]]] with our field and our bytes. */
static bool is_entry(const struct redis *redis, const redisReply *reply, const struct redis_entry *entry)
{
    const redisReply *found = element(reply, 0, REDIS_REPLY_ARRAY);
    const redisReply *id = element(found, 0, REDIS_REPLY_STRING);
    const redisReply *fields = element(found, 1, REDIS_REPLY_ARRAY);
    const redisReply *field = element(fields, 0, REDIS_REPLY_STRING);
    const redisReply *value = element(fields, 1, REDIS_REPLY_STRING);

    return id != NULL && field != NULL && value != NULL &&
           view_equal_string(view_of(id->str, id->len), entry->id) &&
           view_equal_string(view_of(field->str, field->len), redis->settings->field) &&
           view_equal(view_of(value->str, value->len), view_of(entry->line, entry->length));
}

static bool starts_with(const redisReply *reply, const char *text)
{
    return view_starts_with(view_of(reply->str, reply->len), view_of_string(text));
}

static void on_error(
    struct redis *redis, unsigned command, struct redis_entry *entry, const redisReply *reply)
{
    static const char smaller[] = "ERR The ID specified in XADD is equal or smaller";

    if (command == STREAM_ADD && starts_with(reply, smaller)) {
        if (redis->settings->replicas > 0)
            send_behind(redis, entry);
        else
            send_verify(redis, entry);
    } else if (command == STREAM_VERIFY && starts_with(reply, "NOPERM"))
        send_behind(redis, entry);
    else
        redis_refuse(redis, reply);
}

static void stream_answered(
    struct redis *redis, unsigned command, struct redis_entry *entry, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        on_error(redis, command, entry, reply);
    else if (command == STREAM_VERIFY && !is_entry(redis, reply, entry))
        send_behind(redis, entry);
    else if (command == STREAM_VERIFY || reply->type == REDIS_REPLY_STRING)
        redis_deliver(redis, entry);
    else
        redis_refuse(redis, reply);
}

const struct redis_mode_row redis_stream = {.send = stream_send, .answered = stream_answered};

/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink's mode "list": RPUSH, for readers that pop the head. Called by redis.c.
 *
 * A list that nobody pops is never trimmed: at max_length nothing more is pushed, and the journal keeps the
 * rest.
 *
 *   UNKNOWN --LLEN--> OPEN --max_length is reached--> FULL --LLEN: a tenth was popped--> OPEN
 *
 * While it is OPEN, no more pushes are under way than fit the length that was last seen: with one writer it
 * never grows longer, with several by what they have under way. */
#include <inttypes.h>
#include <stdio.h>

#include <hiredis/hiredis.h>

#include "exporters/redis_internal.h"

enum list_command { LIST_PUSH, LIST_LENGTH };

static void ask_length(struct redis *redis)
{
    const struct view arguments[] = {VIEW("LLEN"), view_of_string(redis->settings->key)};

    redis_client_send(redis->client, LIST_LENGTH, NULL, 2, arguments);
}

static void list_ready(struct redis *redis)
{
    redis->list_pushes = 0;
    if (redis->settings->max_length == 0) {
        redis->list_state = REDIS_LIST_OPEN;
        return;
    }
    if (redis->list_state == REDIS_LIST_OPEN)
        redis->list_state = REDIS_LIST_UNKNOWN;
    ask_length(redis);
}

static void list_again(struct redis *redis)
{
    if (redis->list_state == REDIS_LIST_FULL)
        ask_length(redis);
}

static bool list_has_room(const struct redis *redis)
{
    uint64_t taken = redis->list_length + redis->list_pushes;

    return redis->list_state == REDIS_LIST_OPEN &&
           (redis->settings->max_length == 0 || taken < redis->settings->max_length);
}

static void list_send(struct redis *redis, struct redis_entry *entry)
{
    const struct view arguments[] = {
        VIEW("RPUSH"), view_of_string(redis->settings->key), view_of(entry->line, entry->length)};

    redis->list_pushes++;
    redis_client_send(redis->client, LIST_PUSH, entry, 3, arguments);
}

static void list_fill_up(struct redis *redis)
{
    char detail[128];

    snprintf(detail, sizeof(detail), "the list is full: it has %" PRIu64 " events, max_length is %" PRIu64,
        redis->list_length, redis->settings->max_length);
    redis->list_state = REDIS_LIST_FULL;
    redis_pause(redis, detail);
}

/* Of a full list a tenth must be popped first: else each event that is popped would be a sink that is up and
 * down again, and two events more. */
static void list_on_length(struct redis *redis, uint64_t length)
{
    uint64_t max = redis->settings->max_length, tenth = max / 10 == 0 ? 1 : max / 10;

    redis->list_length = length;
    if (length > max - (redis->list_state == REDIS_LIST_FULL ? tenth : 1)) {
        list_fill_up(redis);
        return;
    }
    redis->list_state = REDIS_LIST_OPEN;
    redis_resume(redis);
    redis_fill(redis);
}

static void list_answered(
    struct redis *redis, unsigned command, struct redis_entry *entry, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0) {
        redis_refuse(redis, reply);
        return;
    }
    if (command == LIST_LENGTH) {
        list_on_length(redis, (uint64_t)reply->integer);
        return;
    }
    redis->list_pushes--;
    redis->list_length = (uint64_t)reply->integer;
    redis_deliver(redis, entry);
    if (redis->settings->max_length > 0 && redis->list_length >= redis->settings->max_length &&
        redis->list_pushes == 0)
        list_fill_up(redis);
}

const struct redis_mode_row redis_list = {.ready = list_ready,
    .again = list_again,
    .has_room = list_has_room,
    .send = list_send,
    .answered = list_answered};

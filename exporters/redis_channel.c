/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink's mode "channel": PUBLISH, best effort. Called by redis.c. Who is subscribed gets the event;
 * that nobody is, is no error. What the answer confirms is that Redis took it. */
#include <hiredis/hiredis.h>

#include "exporters/redis_internal.h"

static void channel_send(struct redis *redis, struct redis_entry *entry)
{
    const struct view arguments[] = {
        VIEW("PUBLISH"), view_of_string(redis->settings->key), view_of(entry->line, entry->length)};

    redis_client_send(redis->client, 0, entry, 3, arguments);
}

static void channel_answered(
    struct redis *redis, unsigned command, struct redis_entry *entry, const redisReply *reply)
{
    (void)command;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0)
        redis_deliver(redis, entry);
    else
        redis_refuse(redis, reply);
}

const struct redis_mode_row redis_channel = {.send = channel_send, .answered = channel_answered};

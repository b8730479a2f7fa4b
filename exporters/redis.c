/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Redis sink: a window of events under way, in the order of the journal, at least once. What is sent
 * for an event, and which answer is a positive one, is the mode's: redis_stream.c, redis_list.c,
 * redis_channel.c. Finding the server, connecting and coming back are redis_client.c's. A row of the sinks
 * (sinks.h).
 *
 *   journal -> fill -> mode->send -> mode->answered -> deliver -> confirm: the cursor moves
 *                                                         `-> WAIT, where replicas are wanted -> confirm
 *
 * An error answer (-OOM, -LOADING, -READONLY, -MISCONF, -NOPERM, -NOAUTH, -WRONGTYPE ...) is "not delivered
 * yet". After a failure, and after a redirection to another node, it goes back to the cursor. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "base/memory.h"
#include "base/number.h"
#include "exporters/redis_internal.h"
#include "exporters/sinks.h"

#define REDIS_MAGIC 0x72656469U
#define REDIS_OWN 2                              /* WAIT, and what a mode asks, come on top of the window */
#define REDIS_WINDOW_BYTES ((size_t)1024 * 1024) /* of the entries under way */
#define REDIS_WIDEN 8 /* deliveries for one more under way, after the window was narrowed */

static void redis_forget(struct redis *redis)
{
    for (; redis->entry_first < redis->entry_next; redis->entry_first++)
        free(redis->entries[redis->entry_first % REDIS_WINDOW].line);
    redis->entry_first = redis->entry_next = redis->delivered = redis->waited = 0;
    redis->entry_bytes = 0;
    redis->is_waiting = redis->is_short = false;
    event_del(redis->pause);
}

static void redis_on_redirected(void *argument)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC);
    redis_forget(redis);
    sink_rewind(redis->sink);
}

/* A server that answers a whole window at once, and needs longer for it than the time-out, would get the same
 * window for ever: it gets a smaller one. */
static void redis_narrow(struct redis *redis)
{
    redis->window /= redis->deliveries > 0 ? 2 : 4;
    if (redis->window == 0)
        redis->window = 1;
}

static void redis_on_failed(void *argument, bool refused, const char *detail)
{
    struct redis *redis = argument;

    if (!refused && redis->entry_first < redis->entry_next)
        redis_narrow(redis);
    redis_on_redirected(redis);
    sink_fail(redis->sink, refused ? REASON_sink_refused : REASON_sink_unreachable, detail);
}

void redis_refuse(struct redis *redis, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR)
        redis_client_fail(redis->client, true, reply->str);
    else
        redis_client_fail(redis->client, false, "an answer that is none of Redis");
}

/* ---- what goes out ---- */

/* The ID that an entry of a stream gets. */
static void redis_name(struct redis_entry *entry, const struct record_head *head)
{
    char *end = number_put_decimal(entry->id, head->sealed_us / 1000);

    *end++ = '-';
    end = number_put_decimal(end, head->sequence);
    *end = '\0';
}

/* Over a new connection one entry goes first: a server that refuses it, or redirects it, and takes what is
 * behind it because it has memory again, or the slot, would have the events in another order. */
void redis_fill(struct redis *redis)
{
    const struct redis_mode_row *mode = redis->mode;
    size_t window = redis->deliveries == 0 ? 1 : redis->window;
    struct journal_line line;

    while (redis_client_is_ready(redis->client) && redis->entry_next - redis->entry_first < window &&
           redis->entry_bytes < REDIS_WINDOW_BYTES && redis_client_room(redis->client) > REDIS_OWN &&
           (mode->has_room == NULL || mode->has_room(redis)) && sink_next(redis->sink, &line)) {
        struct redis_entry *entry = &redis->entries[redis->entry_next % REDIS_WINDOW];
        *entry = (struct redis_entry){.end = line.end, .length = line.text.length};
        entry->line = (uint8_t *)memory_copy_string(line.text);
        redis_name(entry, &line.head);
        redis->entry_bytes += entry->length;
        redis->entry_next++;
        mode->send(redis, entry);
    }
}

static void redis_on_ready(void *argument)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC);
    redis->deliveries = 0;
    redis->is_behind = false;
    redis->pauses = (struct backoff){0};
    if (redis->mode->ready != NULL)
        redis->mode->ready(redis);
    redis_fill(redis);
}

/* ---- what is confirmed ---- */

/* The cursor moves over the start of the window, up to end. */
static void redis_confirm(struct redis *redis, uint64_t end)
{
    struct journal_position position = {0};

    if (redis->entry_first == end)
        return;
    while (redis->entry_first < end) {
        struct redis_entry *entry = &redis->entries[redis->entry_first++ % REDIS_WINDOW];
        position = entry->end;
        redis->entry_bytes -= entry->length;
        free(entry->line);
        entry->line = NULL;
    }
    sink_confirm(redis->sink, position);
}

void redis_deliver(struct redis *redis, struct redis_entry *entry)
{
    entry->is_delivered = true;
    redis->deliveries++;
    if (redis->window < REDIS_WINDOW && redis->deliveries % REDIS_WIDEN == 0)
        redis->window++;
    while (
        redis->delivered < redis->entry_next && redis->entries[redis->delivered % REDIS_WINDOW].is_delivered)
        redis->delivered++;
    if (redis->settings->replicas == 0)
        redis_confirm(redis, redis->delivered);
}

/* ---- replicas ---- */

/* WAIT is about all that this connection has written before it. It holds up what is sent behind it, so there
 * is one at a time, for all that was delivered meanwhile; and it ends well before our own time-out. */
static void redis_wait(struct redis *redis)
{
    char replicas[16], ms[24];

    if (redis->settings->replicas == 0 || redis->is_waiting || redis->delivered == redis->entry_first ||
        !redis_client_is_ready(redis->client))
        return;
    snprintf(replicas, sizeof(replicas), "%" PRIu32, redis->settings->replicas);
    snprintf(ms, sizeof(ms), "%" PRIu64, redis->settings->timeout_ms / 2 + 1);
    const struct view arguments[] = {VIEW("WAIT"), view_of_string(replicas), view_of_string(ms)};
    redis->is_waiting = true;
    redis->waited = redis->delivered;
    redis_client_send(redis->client, REDIS_WAIT, NULL, 3, arguments);
}

static void redis_on_waited(struct redis *redis, const redisReply *reply)
{
    char detail[96];

    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0) {
        redis_refuse(redis, reply);
        return;
    }
    if (reply->integer < (long long)redis->settings->replicas) {
        redis->is_short = true;
        snprintf(detail, sizeof(detail), "%lld of %" PRIu32 " replicas have what was sent", reply->integer,
            redis->settings->replicas);
        redis_pause(redis, detail);
        return;
    }
    redis->is_waiting = false;
    redis_resume(redis);
    redis_confirm(redis, redis->waited);
}

/* ---- pauses ---- */

void redis_pause(struct redis *redis, const char *detail)
{
    struct timeval wait = backoff_down(&redis->pauses);

    event_add(redis->pause, &wait);
    if (!sink_is_idle(redis->sink))
        sink_fail(redis->sink, REASON_sink_refused, detail);
}

void redis_resume(struct redis *redis)
{
    redis->pauses = (struct backoff){0};
}

static void redis_on_pause_over(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis *redis = argument;

    (void)descriptor;
    (void)events;
    assert(redis->magic == REDIS_MAGIC && redis_client_is_ready(redis->client));
    if (redis->is_short)
        redis->is_waiting = redis->is_short = false;
    redis_wait(redis);
    if (redis->mode->again != NULL)
        redis->mode->again(redis);
}

/* ---- answers ---- */

static void redis_on_answered(void *argument, unsigned command, void *subject, const redisReply *reply)
{
    struct redis *redis = argument;

    assert(redis->magic == REDIS_MAGIC);
    if (command == REDIS_WAIT)
        redis_on_waited(redis, reply);
    else
        redis->mode->answered(redis, command, subject, reply);
}

static void redis_on_settled(void *argument)
{
    struct redis *redis = argument;

    redis_wait(redis);
    redis_fill(redis);
}

/* ---- the row ---- */

static const struct redis_mode_row *const redis_modes[] = {
    [REDIS_STREAM] = &redis_stream, [REDIS_LIST] = &redis_list, [REDIS_CHANNEL] = &redis_channel};

static void redis_close(void *link)
{
    struct redis *redis = link;

    if (redis == NULL)
        return;
    assert(redis->magic == REDIS_MAGIC);
    redis_client_free(redis->client);
    redis_forget(redis);
    event_free(redis->pause);
    redis->magic = 0;
    free(redis);
}

static void *redis_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct redis *redis = memory_calloc(1, sizeof(*redis));
    const struct redis_client_calls calls = {.ready = redis_on_ready,
        .answered = redis_on_answered,
        .settled = redis_on_settled,
        .redirected = redis_on_redirected,
        .failed = redis_on_failed,
        .argument = redis};

    redis->magic = REDIS_MAGIC;
    redis->sink = sink;
    redis->settings = settings;
    redis->mode = redis_modes[redis->settings->mode];
    redis->window = REDIS_WINDOW;
    redis->pause = evtimer_new(base, redis_on_pause_over, redis);
    if (redis->pause == NULL)
        memory_exhausted();
    assert(redis->settings->key != NULL);
    redis->client =
        redis_client_new(redis->settings, REDIS_WINDOW + REDIS_OWN, base, &calls, error, error_size);
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

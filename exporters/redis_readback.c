/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading back of a sink's stream or list. Called by the command line; connecting is
 * redis_client.c's.
 *
 *   ready --page of XRANGE (last id, or LRANGE index, ...)--> answered: entry() each --> next page, or the
 * end
 *
 * A page is one answer, which has a bound: after a failure the next page is half as long. A few failures in a
 * row are the end. */
#include "exporters/redis_readback.h"

#include <inttypes.h>
#include <stdio.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>

#include "base/memory.h"
#include "exporters/redis_client.h"
#include "exporters/redis_settings.h"

#define READBACK_PAGE 200U
#define READBACK_FAILURES 8U
#define READBACK_ID 48

struct readback {
    const struct exporter_redis *settings;
    struct event_base *base;
    struct redis_client *client;
    void (*entry)(void *argument, const char *id, uint64_t number, struct view line);
    void *argument;
    char last[READBACK_ID]; /* of a stream: the ID of the last entry; "": none yet */
    uint64_t count;         /* entries so far */
    unsigned page, failures;
    bool done;
    char *error;
    size_t error_size;
};

static void readback_ask(struct readback *readback)
{
    const struct exporter_redis *settings = readback->settings;
    char from[READBACK_ID + 32], to[32];

    if (settings->mode == REDIS_LIST) {
        snprintf(from, sizeof(from), "%" PRIu64, readback->count);
        snprintf(to, sizeof(to), "%" PRIu64, readback->count + readback->page - 1);
        const struct view arguments[] = {
            VIEW("LRANGE"), view_of_string(settings->key), view_of_string(from), view_of_string(to)};
        redis_client_send(readback->client, 0, NULL, 4, arguments);
        return;
    }
    /* "(ID" for what is behind it needs Redis 6.2: with the ID itself the last entry comes once more. */
    snprintf(from, sizeof(from), "%s", readback->last[0] == '\0' ? "-" : readback->last);
    snprintf(to, sizeof(to), "%u", readback->page + 1);
    const struct view arguments[] = {VIEW("XRANGE"), view_of_string(settings->key), view_of_string(from),
        VIEW("+"), VIEW("COUNT"), view_of_string(to)};
    redis_client_send(readback->client, 0, NULL, 6, arguments);
}

static void readback_end(struct readback *readback, bool done, const char *detail)
{
    readback->done = done;
    snprintf(readback->error, readback->error_size, "%s", detail);
    event_base_loopbreak(readback->base);
}

/* ---- answers ---- */

static struct view text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? view_of(reply->str, (size_t)reply->len) : view_of(NULL, 0);
}

/* [id, [field, value, ...]] */
static bool take_entry(struct readback *readback, const redisReply *reply)
{
    struct view line = {NULL, 0};

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return false;
    struct view id = text_of(reply->element[0]);
    const redisReply *fields = reply->element[1];
    if (id.length == 0 || id.length >= READBACK_ID || fields->type != REDIS_REPLY_ARRAY)
        return false;
    if (view_equal_string(id, readback->last)) /* of the page before */
        return true;
    /* One field and no more: of several a consumer may take another one. */
    if (fields->elements == 2 && view_equal_string(text_of(fields->element[0]), readback->settings->field))
        line = text_of(fields->element[1]);
    snprintf(readback->last, sizeof(readback->last), "%.*s", VIEW_ARGS(id));
    readback->entry(readback->argument, readback->last, ++readback->count, line);
    return true;
}

static bool take_element(struct readback *readback, const redisReply *reply)
{
    char index[READBACK_ID];

    if (reply->type != REDIS_REPLY_STRING)
        return false;
    snprintf(index, sizeof(index), "%" PRIu64, readback->count);
    readback->entry(readback->argument, index, ++readback->count, text_of(reply));
    return true;
}

static void readback_on_answered(void *argument, unsigned command, void *subject, const redisReply *reply)
{
    struct readback *readback = argument;
    const bool list = readback->settings->mode == REDIS_LIST;

    (void)command;
    (void)subject;
    if (reply->type == REDIS_REPLY_ERROR) {
        readback_end(readback, false, reply->str);
        return;
    }
    const uint64_t before = readback->count;
    bool fits = reply->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; fits && i < reply->elements; i++)
        fits = list ? take_element(readback, reply->element[i]) : take_entry(readback, reply->element[i]);
    if (!fits) {
        readback_end(readback, false, "an answer that is none of Redis");
        return;
    }
    readback->failures = 0;
    if (readback->count == before)
        readback_end(readback, true, "");
    else
        readback_ask(readback);
}

static void readback_on_settled(void *argument)
{
    (void)argument;
}

static void readback_on_redirected(void *argument)
{
    (void)argument; /* ready() comes, and asks there */
}

static void readback_on_ready(void *argument)
{
    readback_ask(argument);
}

static void readback_on_failed(void *argument, bool refused, const char *detail)
{
    struct readback *readback = argument;

    if (refused || ++readback->failures > READBACK_FAILURES)
        readback_end(readback, false, detail);
    if (readback->page > 1)
        readback->page /= 2;
}

int redis_readback(const struct exporter_redis *settings,
    void (*entry)(void *argument, const char *id, uint64_t number, struct view line), void *argument,
    char *error, size_t error_size)
{
    struct readback readback = {.settings = settings,
        .base = event_base_new(),
        .entry = entry,
        .argument = argument,
        .page = READBACK_PAGE,
        .error = error,
        .error_size = error_size};
    const struct redis_client_calls calls = {.ready = readback_on_ready,
        .answered = readback_on_answered,
        .settled = readback_on_settled,
        .redirected = readback_on_redirected,
        .failed = readback_on_failed,
        .argument = &readback};

    if (readback.base == NULL)
        memory_exhausted();
    if (settings->mode == REDIS_CHANNEL) {
        snprintf(error, error_size, "a channel keeps nothing that could be read back");
        event_base_free(readback.base);
        return -1;
    }
    readback.client = redis_client_new(settings, 1, readback.base, &calls, error, error_size);
    if (readback.client != NULL) {
        redis_client_start(readback.client);
        event_base_dispatch(readback.base);
    }
    redis_client_free(readback.client);
    event_base_free(readback.base);
    return readback.done ? 0 : -1;
}

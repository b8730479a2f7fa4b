/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a worker's link to the shared replay store: what was asked and not answered, and what is done and not
 * told yet. Called by conn_replay.c (asks) and worker.c (life); the connection is exporters/redis_client.c's,
 * the words replay_command.c's.
 *
 *   connected      SCRIPT LOAD (two), and a trial of each kind of write: then the store is up. A server that
 *                  is full, read-only or lacks a right never gets that far
 *   ask, nonce     SET key tag|p NX PX ttl: OK: new. Nil: GET: the tag decides. Nil again (it has just gone
 *                  out): once more from the start
 *   ask, sequence  the script
 *   done           SET key tag|d XX KEEPTTL, or the script. It is not there (Redis was away when the message
 *                  came, or has lost it): it is added as done
 *   undo           a script
 *
 * An error answer is the end of the connection, but for one about this key alone. Whatever ends it: all that
 * was asked is answered with REPLAY_DOWN, and what is done is told after the next connection. */
#include "proxy/replay_shared.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/redis_client.h"
#include "exporters/redis_settings.h"
#include "proxy/replay_done.h"

#define SHARED_MAGIC 0x72736872U
#define ASK_MAGIC 0x7273616bU
/* Under way at most. An ask has one command at a time; a thousand devices that wake at the same moment find
 * room. */
#define ASKS_MAX 32768U
#define UNDOS_MAX 1024U
#define WINDOW (ASKS_MAX + REPLAY_DONE_AT_ONCE + UNDOS_MAX)
#define TRIAL_TTL_MS 60000
/* So far the clocks of proxies, and Redis' own, may be apart. */
#define CLOCKS_MS 60000

enum command {
    LOAD_WINDOW,
    LOAD_UNDO,
    TRY_ADD,
    TRY_GET,
    TRY_UNDO,
    TRY_WINDOW,
    TRY_WINDOW_UNDO,
    ASK_ADD,
    ASK_GET,
    DONE_MARK,
    DONE_ADD,
    UNDO
};

enum state { STATE_UNKNOWN, STATE_UP, STATE_DOWN };

struct replay_shared_ask {
    uint32_t magic;
    struct replay_shared *shared;
    struct replay_shared_ask *previous, *next;
    replay_shared_answer *call; /* NULL: nobody waits for it any more */
    void *owner;
    struct replay_subject subject;
    uint64_t asked_ms; /* monotonic */
    uint64_t ttl_ms;
    bool again; /* it went out once between SET and GET */
};

struct replay_shared {
    uint32_t magic;
    enum state state;
    uint64_t timeout_ms;
    struct replay_scripts scripts;
    struct redis_client *client;
    struct replay_shared_calls calls;
    struct replay_shared_ask *first, *last; /* asks under way, the oldest first */
    size_t asks, undos;
    struct replay_dones dones;
};

static const char nonsense[] = "an answer that is none of Redis";

static void send_words(
    struct replay_shared *shared, enum command command, void *subject, const struct replay_words *words)
{
    redis_client_send(shared->client, command, subject, words->count, words->words);
}

/* ---- asks ---- */

static void ask_remove(struct replay_shared_ask *ask)
{
    struct replay_shared *shared = ask->shared;

    *(ask->previous == NULL ? &shared->first : &ask->previous->next) = ask->next;
    *(ask->next == NULL ? &shared->last : &ask->next->previous) = ask->previous;
    shared->asks--;
}

static void ask_answer(struct replay_shared_ask *ask, enum replay_answer answer)
{
    replay_shared_answer *call = ask->call;
    void *owner = ask->owner;

    ask_remove(ask);
    ask->magic = 0;
    free(ask);
    if (call != NULL)
        call(owner, answer);
}

static void ask_send(struct replay_shared_ask *ask)
{
    struct replay_words words;

    replay_words_add(&words, &ask->shared->scripts, &ask->subject, REPLAY_IS_PENDING, ask->ttl_ms);
    send_words(ask->shared, ASK_ADD, ask, &words);
}

struct replay_shared_ask *replay_shared_ask(struct replay_shared *shared, const struct replay_mark *mark,
    bool sequence, uint64_t now_ms, replay_shared_answer *call, void *owner)
{
    struct replay_shared_ask *ask;

    assert(shared->magic == SHARED_MAGIC);
    if (shared->state != STATE_UP || shared->asks >= ASKS_MAX)
        return NULL;
    ask = memory_calloc(1, sizeof(*ask));
    *ask = (struct replay_shared_ask){.magic = ASK_MAGIC,
        .shared = shared,
        .previous = shared->last,
        .call = call,
        .owner = owner,
        .subject = replay_subject_of(mark, sequence),
        .asked_ms = clock_monotonic_ms(),
        .ttl_ms = mark->until_ms + CLOCKS_MS > now_ms ? mark->until_ms + CLOCKS_MS - now_ms : 1};
    *(shared->last == NULL ? &shared->first : &shared->last->next) = ask;
    shared->last = ask;
    shared->asks++;
    ask_send(ask);
    return ask;
}

void replay_shared_cancel(struct replay_shared_ask *ask)
{
    if (ask == NULL)
        return;
    assert(ask->magic == ASK_MAGIC);
    ask->call = NULL;
}

/* SET NX: OK or nil; the script: a number. */
static bool on_ask_add(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    struct replay_shared_ask *ask = subject;
    struct replay_words words;

    assert(ask->magic == ASK_MAGIC);
    if (ask->subject.sequence) {
        if (reply->type != REDIS_REPLY_INTEGER || reply->integer < REPLAY_NEW ||
            reply->integer > REPLAY_FORGOTTEN)
            return false;
        ask_answer(ask, (enum replay_answer)reply->integer);
        return true;
    }
    if (view_equal(redis_reply_text(reply), VIEW("OK"))) {
        ask_answer(ask, REPLAY_NEW);
        return true;
    }
    if (reply->type != REDIS_REPLY_NIL)
        return false;
    replay_words_get(&words, &shared->scripts, &ask->subject);
    send_words(shared, ASK_GET, ask, &words);
    return true;
}

static bool on_ask_get(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    struct replay_shared_ask *ask = subject;

    (void)shared;
    assert(ask->magic == ASK_MAGIC);
    if (reply->type == REDIS_REPLY_STRING)
        ask_answer(ask, replay_compare(redis_reply_text(reply), &ask->subject));
    else if (reply->type != REDIS_REPLY_NIL)
        return false;
    else if (ask->again)
        ask_answer(ask, REPLAY_DOWN);
    else {
        ask->again = true;
        ask_send(ask);
    }
    return true;
}

/* ---- what is done ---- */

static void send_dones(struct replay_shared *shared)
{
    uint64_t now_ms = clock_wall_us() / 1000;
    struct replay_done *done;
    struct replay_words words;

    while (shared->state == STATE_UP && (done = replay_dones_take(&shared->dones, now_ms)) != NULL) {
        replay_words_done(&words, &shared->scripts, &done->subject);
        send_words(shared, DONE_MARK, done, &words);
    }
}

void replay_shared_done(struct replay_shared *shared, const struct replay_mark *mark, bool sequence)
{
    struct replay_subject subject = replay_subject_of(mark, sequence);

    assert(shared->magic == SHARED_MAGIC);
    if (!replay_dones_push(&shared->dones, &subject))
        LOG_LIMITED(LOG_WARN, "replay",
            "the shared store is not told of a message that was acknowledged: too many wait for it");
    send_dones(shared);
}

/* SET XX: OK or nil; the script: 1 or 0. */
static bool on_done_mark(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    struct replay_done *done = subject;
    uint64_t now_ms = clock_wall_us() / 1000;
    bool absent = done->subject.sequence ? reply->type == REDIS_REPLY_INTEGER && reply->integer == 0
                                         : reply->type == REDIS_REPLY_NIL && done->subject.until_ms > now_ms;
    struct replay_words words;

    if (!absent) {
        replay_dones_confirm(&shared->dones, done);
        return true;
    }
    replay_words_add(&words, &shared->scripts, &done->subject, REPLAY_IS_DONE,
        done->subject.until_ms - now_ms + CLOCKS_MS);
    send_words(shared, DONE_ADD, done, &words);
    return true;
}

static bool on_done_add(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)reply;
    replay_dones_confirm(&shared->dones, subject);
    return true;
}

void replay_shared_undo(struct replay_shared *shared, const struct replay_mark *mark, bool sequence)
{
    struct replay_subject subject;
    struct replay_words words;

    assert(shared->magic == SHARED_MAGIC);
    if (shared->state != STATE_UP || shared->undos >= UNDOS_MAX)
        return;
    subject = replay_subject_of(mark, sequence);
    replay_words_undo(&words, &shared->scripts, &subject);
    shared->undos++;
    send_words(shared, UNDO, NULL, &words);
}

static bool on_undone(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)subject, (void)reply;
    shared->undos--;
    return true;
}

/* ---- scripts and trials ---- */

static bool take_sha(char sha[REPLAY_SHA_LENGTH + 1], const redisReply *reply)
{
    struct view text = redis_reply_text(reply);

    if (text.length != REPLAY_SHA_LENGTH)
        return false;
    memcpy(sha, text.data, REPLAY_SHA_LENGTH);
    return true;
}

/* A nonce and a sequence of nobody: a kid is never empty. */
static void send_trials(struct replay_shared *shared)
{
    struct replay_mark mark = {.kid = VIEW(""), .sub = VIEW("")};
    struct replay_subject nonce = replay_subject_of(&mark, false), window;
    uint64_t now_us = clock_wall_us();
    struct replay_words words;

    replay_words_add(&words, &shared->scripts, &nonce, REPLAY_IS_PENDING, TRIAL_TTL_MS);
    send_words(shared, TRY_ADD, NULL, &words);
    replay_words_get(&words, &shared->scripts, &nonce);
    send_words(shared, TRY_GET, NULL, &words);
    replay_words_undo(&words, &shared->scripts, &nonce);
    send_words(shared, TRY_UNDO, NULL, &words);
    for (size_t i = 0; i < 8; i++) /* an epoch above all before: it is written */
        mark.nonce[i] = (uint8_t)(now_us >> (56 - 8 * i));
    window = replay_subject_of(&mark, true);
    replay_words_add(&words, &shared->scripts, &window, REPLAY_IS_PENDING, 0);
    send_words(shared, TRY_WINDOW, NULL, &words);
    replay_words_undo(&words, &shared->scripts, &window);
    send_words(shared, TRY_WINDOW_UNDO, NULL, &words);
}

static void on_ready(void *argument)
{
    struct replay_shared *shared = argument;
    const struct view window[] = {VIEW("SCRIPT"), VIEW("LOAD"), view_of_string(replay_window_script)};
    const struct view undo[] = {VIEW("SCRIPT"), VIEW("LOAD"), view_of_string(replay_undo_script)};

    assert(shared->magic == SHARED_MAGIC && shared->state != STATE_UP);
    redis_client_send(shared->client, LOAD_WINDOW, NULL, 3, window);
    redis_client_send(shared->client, LOAD_UNDO, NULL, 3, undo);
}

static bool on_load_window(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)subject;
    return take_sha(shared->scripts.window, reply);
}

static bool on_load_undo(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)subject;
    if (!take_sha(shared->scripts.undo, reply))
        return false;
    send_trials(shared);
    return true;
}

static bool on_try_add(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)shared, (void)subject;
    return reply->type == REDIS_REPLY_NIL || view_equal(redis_reply_text(reply), VIEW("OK"));
}

static bool on_try_get(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)shared, (void)subject; /* another proxy may have undone it since */
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_NIL;
}

/* What a script has found does not matter: another proxy may try at the same moment. */
static bool on_try_script(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    (void)shared, (void)subject;
    return reply->type == REDIS_REPLY_INTEGER;
}

static bool on_try_last(struct replay_shared *shared, void *subject, const redisReply *reply)
{
    if (!on_try_script(shared, subject, reply))
        return false;
    shared->state = STATE_UP;
    shared->calls.changed(shared->calls.argument, true, false, NULL);
    send_dones(shared);
    return true;
}

/* ---- answers ---- */

static bool (*const handlers[])(struct replay_shared *shared, void *subject, const redisReply *reply) = {
    [LOAD_WINDOW] = on_load_window,
    [LOAD_UNDO] = on_load_undo,
    [TRY_ADD] = on_try_add,
    [TRY_GET] = on_try_get,
    [TRY_UNDO] = on_try_script,
    [TRY_WINDOW] = on_try_script,
    [TRY_WINDOW_UNDO] = on_try_last,
    [ASK_ADD] = on_ask_add,
    [ASK_GET] = on_ask_get,
    [DONE_MARK] = on_done_mark,
    [DONE_ADD] = on_done_add,
    [UNDO] = on_undone,
};

/* The key holds something of another type: whoever put it there can't have all other messages refused, too.
 * (Before 7.0, an error within a script begins with ERR.) True: it was that. */
static bool on_wrong_type(
    struct replay_shared *shared, enum command command, void *subject, const redisReply *reply)
{
    if (command < ASK_ADD || strstr(reply->str, "WRONGTYPE") == NULL)
        return false;
    LOG_LIMITED(LOG_WARN, "replay", "a key of the shared store holds something of another type",
        log_string("error", reply->str));
    if (command == ASK_ADD || command == ASK_GET)
        ask_answer(subject, REPLAY_DOWN);
    else if (command == UNDO)
        shared->undos--;
    else
        replay_dones_confirm(&shared->dones, subject);
    return true;
}

static void on_answered(void *argument, unsigned command, void *subject, const redisReply *reply)
{
    struct replay_shared *shared = argument;

    assert(shared->magic == SHARED_MAGIC);
    if (reply->type == REDIS_REPLY_ERROR) {
        if (!on_wrong_type(shared, (enum command)command, subject, reply))
            redis_client_fail(shared->client, true, reply->str);
    } else if (!handlers[command](shared, subject, reply))
        redis_client_fail(shared->client, false, nonsense);
}

/* A server that answers one command at a time just before the time-out would have the last of many wait for
 * ever. */
static void on_settled(void *argument)
{
    struct replay_shared *shared = argument;

    if (shared->first != NULL && clock_monotonic_ms() - shared->first->asked_ms > shared->timeout_ms)
        redis_client_fail(shared->client, false, "no answer in time");
    else
        send_dones(shared);
}

static void on_failed(void *argument, bool refused, const char *detail)
{
    struct replay_shared *shared = argument;
    enum state before = shared->state;

    assert(shared->magic == SHARED_MAGIC);
    shared->state = STATE_DOWN;
    shared->undos = 0;
    replay_dones_rewind(&shared->dones);
    if (before != STATE_DOWN)
        shared->calls.changed(shared->calls.argument, false, refused, detail);
    while (shared->first != NULL)
        ask_answer(shared->first, REPLAY_DOWN);
}

/* ---- life ---- */

bool replay_shared_is_up(const struct replay_shared *shared)
{
    return shared->state == STATE_UP;
}

size_t replay_shared_owed(const struct replay_shared *shared)
{
    return (size_t)(shared->dones.next - shared->dones.first);
}

struct replay_shared *replay_shared_new(const struct exporter_redis *redis, const char *prefix,
    struct event_base *base, const struct replay_shared_calls *calls, char *error, size_t error_size)
{
    struct replay_shared *shared = memory_calloc(1, sizeof(*shared));
    const struct redis_client_calls own = {.ready = on_ready,
        .answered = on_answered,
        .settled = on_settled,
        .failed = on_failed,
        .argument = shared};

    assert(strlen(prefix) <= CONFIG_REPLAY_PREFIX_MAX);
    shared->magic = SHARED_MAGIC;
    shared->timeout_ms = redis->timeout_ms;
    shared->scripts.prefix = prefix;
    shared->calls = *calls;
    shared->client = redis_client_new(redis, WINDOW, base, &own, error, error_size);
    if (shared->client == NULL) {
        free(shared);
        return NULL;
    }
    redis_client_start(shared->client);
    return shared;
}

void replay_shared_free(struct replay_shared *shared)
{
    if (shared == NULL)
        return;
    assert(shared->magic == SHARED_MAGIC);
    redis_client_free(shared->client);
    while (shared->first != NULL) {
        shared->first->call = NULL;
        ask_answer(shared->first, REPLAY_DOWN);
    }
    shared->magic = 0;
    free(shared);
}

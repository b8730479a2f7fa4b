/* SPDX-License-Identifier: Apache-2.0 */
/* The replay store that several proxies share, in a Redis (payload-signatures "Verification", step 9): a
 * worker's link to it. Commands are sent one behind the other over one connection; no call waits for an
 * answer. */
#ifndef MQWARD_PROXY_REPLAY_SHARED_H
#define MQWARD_PROXY_REPLAY_SHARED_H

#include "policy/replay.h"

struct event_base;
struct exporter_redis;
struct replay_shared;
struct replay_shared_ask;

struct replay_shared_calls {
    /* The store is reached, or not any more (or not at the first try). detail: why not; refused: the server
     * said so. Comes with each change, before the answers that follow from it. */
    void (*changed)(void *argument, bool up, bool refused, const char *detail);
    void *argument;
};

/* redis is borrowed (of it: how the server is reached), so is prefix, of all keys: CONFIG_REPLAY_PREFIX_MAX
 * bytes at most. Begins to connect when the loop of base runs. NULL and a sentence in error if certificates
 * or keys are no good. */
struct replay_shared *replay_shared_new(const struct exporter_redis *redis, const char *prefix,
    struct event_base *base, const struct replay_shared_calls *calls, char *error, size_t error_size);
/* No call comes any more. NULL is fine. */
void replay_shared_free(struct replay_shared *shared);

/* REPLAY_DOWN: the store was not reached (time-out, lost connection, an error answer). What Redis has done
 * then is not known. */
typedef void replay_shared_answer(void *owner, enum replay_answer answer);

/* Has the message been here? What is new is remembered as pending. call comes once, from the loop, never from
 * within this call. NULL: the store can't be asked now (there is no connection, or too much is under way).
 * now_ms: since 1970. */
struct replay_shared_ask *replay_shared_ask(struct replay_shared *shared, const struct replay_mark *mark,
    bool sequence, uint64_t now_ms, replay_shared_answer *call, void *owner);
/* Before call came: it does not come any more. What was new stays pending: it can't be known who has
 * forwarded it since. NULL is fine. */
void replay_shared_cancel(struct replay_shared_ask *ask);

/* As replay_done(): is kept until Redis has it, over outages, too (REPLAY_DONE_KEPT of them). A message that
 * was let in while Redis could not be asked is remembered there from then on. */
void replay_shared_done(struct replay_shared *shared, const struct replay_mark *mark, bool sequence);
/* As replay_undo(): now or not at all. A message that can't be forgotten is refused when it comes again
 * without DUP. */
void replay_shared_undo(struct replay_shared *shared, const struct replay_mark *mark, bool sequence);

bool replay_shared_is_up(const struct replay_shared *shared);
/* Done messages that Redis does not have yet. */
size_t replay_shared_owed(const struct replay_shared *shared);

#endif

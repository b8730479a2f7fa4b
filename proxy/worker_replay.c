/* SPDX-License-Identifier: Apache-2.0 */
/* A worker and the replay store that proxies share: its link, and who hears that the store is away. All
 * workers lose it for one reason: one event when the first has lost it, one when all have it back. Called by
 * worker.c. */
#include <assert.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/replay_shared.h"
#include "proxy/worker.h"

/* So long the end of a worker waits for Redis to take what is done: what it is not told stays pending there.
 */
#define FLUSH_MS 500

static void audit_change(
    struct worker *worker, enum audit_action action, enum reason reason, const char *detail)
{
    const struct policy_settings *policy = policy_settings(worker->snapshot->policy);
    const struct audit_event event = {.action = action,
        .reason = reason,
        .disposition = AUDIT_INFORMED,
        .wall_us = clock_wall_us(),
        .detail = view_of_string(detail),
        .ruleset = view_of_string(policy->name),
        .policy_version = view_of_string(policy->version)};

    worker_audit(worker, NULL, &event);
}

static void on_changed(void *argument, bool up, bool refused, const char *detail)
{
    struct worker *worker = argument;
    _Atomic unsigned *away = &worker->replay->away;
    bool was_away = worker->replay_away;

    worker->replay_away = !up;
    if (up)
        LOG_EVENT(
            LOG_INFO, "replay", "the shared replay store is reached", log_unsigned("worker", worker->index));
    else
        LOG_EVENT(LOG_WARN, "replay", "the shared replay store is away",
            log_unsigned("worker", worker->index), log_string("error", detail));
    if (!up && atomic_fetch_add(away, 1) == 0)
        audit_change(worker, AUDIT_replay_degraded,
            refused ? REASON_replay_refused : REASON_replay_unreachable, detail);
    if (up && was_away && atomic_fetch_sub(away, 1) == 1)
        audit_change(worker, AUDIT_replay_restored, REASON_replay_connected, NULL);
}

int worker_replay_open(struct worker *worker, struct worker_replay *replay)
{
    const struct replay_shared_calls calls = {.changed = on_changed, .argument = worker};
    char error[512] = "";

    worker->replay = replay;
    if (replay->redis == NULL)
        return 0;
    worker->replay_shared =
        replay_shared_new(replay->redis, replay->prefix, worker->base, &calls, error, sizeof(error));
    if (worker->replay_shared != NULL)
        return 0;
    LOG_EVENT(
        LOG_ERROR, "replay", "can't make the connection to the shared store", log_string("error", error));
    return -1;
}

void worker_replay_flush(struct worker *worker)
{
    uint64_t until_ms = clock_monotonic_ms() + FLUSH_MS;
    const struct timeval turn = {0, 10000};

    while (worker->replay_shared != NULL && replay_shared_is_up(worker->replay_shared) &&
           replay_shared_owed(worker->replay_shared) > 0 && clock_monotonic_ms() < until_ms) {
        event_base_loopexit(worker->base, &turn);
        event_base_loop(worker->base, EVLOOP_ONCE);
    }
}

void worker_replay_close(struct worker *worker)
{
    replay_shared_free(worker->replay_shared);
    worker->replay_shared = NULL;
}

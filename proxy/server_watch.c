/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is remembered for metrics and health: slots, reloads, times. Called by server.c, server_loop.c
 * and those who write answers of the admin listener. */
#include "proxy/server_watch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/server_internal.h"
#include "proxy/slots.h"

static void read_rule(void *context, uint16_t slot, uint64_t *results)
{
    metrics_read_rule(context, slot, results);
}

static void read_set(void *context, uint16_t slot, uint64_t *results)
{
    metrics_read_set(context, slot, results);
}

void server_watch_begin(struct server *server)
{
    struct server_watch *watch = &server->watch;

    watch->started_ms = clock_monotonic_ms();
    watch->started_us = clock_wall_us();
    watch->counters = memory_calloc(server->worker_count, sizeof(struct counters *));
    for (size_t i = 0; i < server->worker_count; i++)
        watch->counters[i] = server->workers[i]->counters;
    watch->rule_slots = slots_new(SESSION_RULE_SLOTS, SESSION_RESULTS, read_rule, &watch->workers);
    watch->set_slots = slots_new(SESSION_SET_SLOTS, SESSION_SCAN_OUTCOMES, read_set, &watch->workers);
    watch->workers = (struct metrics_workers){
        watch->counters, server->worker_count, watch->rule_slots, watch->set_slots, NULL};
    watch->reloaded_us[SERVER_RELOAD_OK] = watch->started_us;
    server_watch_snapshot(server, server->snapshot);
}

void server_watch_free(struct server *server)
{
    slots_free(server->watch.rule_slots);
    slots_free(server->watch.set_slots);
    free(server->watch.counters);
    free(server->watch.reload_error);
}

void server_watch_snapshot(struct server *server, struct snapshot *snapshot)
{
    snapshot_take_slots(snapshot, server->watch.rule_slots, server->watch.set_slots);
    server->watch.loaded_us = clock_wall_us();
}

void server_watch_reload(struct server *server, const char *error)
{
    struct server_watch *watch = &server->watch;
    enum server_reload_result result = error == NULL ? SERVER_RELOAD_OK : SERVER_RELOAD_FAILED;

    watch->reloads[result]++;
    watch->reloaded_us[result] = clock_wall_us();
    free(watch->reload_error);
    watch->reload_error = error == NULL ? NULL : memory_copy_string(view_of_string(error));
}

void server_unready(const struct server *server, struct buffer *why)
{
    struct exporter_trail trail;

    if (server->watch.draining)
        buffer_append(why, VIEW("stopping: connections are drained\n"));
    exporter_trail(server->exporter, &trail);
    if (trail.blocked && server->snapshot->config->audit.on_full != CONFIG_ON_FULL_DROP)
        buffer_append(why, VIEW("the audit is blocked: the journal takes no events\n"));
}

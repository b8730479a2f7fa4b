/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the process itself, through the main thread's own ring. Called by server*.c. */
#include <event2/event.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/exporter.h"
#include "exporters/repeats.h"
#include "proxy/server_internal.h"

/* So long an event waits for room (audit.on_full: block). */
#define RING_WAIT_MS 5000
/* What was lost is told as soon as there is room, which is looked for so often. */
#define LOST_RETRY_MS 100

static uint32_t own_index(const struct server *server)
{
    return (uint32_t)server->worker_count;
}

static int on_full(const struct server *server)
{
    return server->snapshot->config->audit.on_full;
}

static void tell_lost(struct server *server)
{
    const struct timeval wait = {0, LOST_RETRY_MS * 1000};

    if (!repeats_tell_lost(exporter_repeats(server->exporter, own_index(server)),
            exporter_ring(server->exporter, own_index(server)), clock_wall_us()))
        event_add(server->lost_timer, &wait);
}

void server_on_lost_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    tell_lost(argument);
}

static void lose(struct server *server, const struct audit_event *event)
{
    static const enum repeats_loss why[] = {
        [CONFIG_ON_FULL_BLOCK] = REPEATS_LOST_WAITING,
        [CONFIG_ON_FULL_DENY] = REPEATS_LOST_DENY,
        [CONFIG_ON_FULL_DROP] = REPEATS_LOST_DROP,
    };

    repeats_lose(exporter_repeats(server->exporter, own_index(server)), why[on_full(server)], event);
    LOG_EVENT(LOG_ERROR, "audit", "an event was lost: the ring has no room",
        log_string("action", audit_action_name(event->action)));
    tell_lost(server);
}

/* Only who is to lose nothing waits. */
static bool push(struct server *server, struct view record)
{
    struct ring *ring = exporter_ring(server->exporter, own_index(server));
    const struct timespec pause = {0, 1000000};

    for (int waited = 0; !ring_push(ring, record); waited++) {
        if (on_full(server) != CONFIG_ON_FULL_BLOCK || waited >= RING_WAIT_MS)
            return false;
        exporter_wake(server->exporter);
        nanosleep(&pause, NULL);
    }
    return true;
}

void server_audit(struct server *server, struct audit_event *event)
{
    const struct policy_settings *policy = policy_settings(server->snapshot->policy);
    uint8_t record[AUDIT_EVENT_MAX];

    event->disposition = AUDIT_INFORMED;
    event->wall_us = clock_wall_us();
    event->ruleset = view_of_string(policy->name);
    event->policy_version = view_of_string(policy->version);
    tell_lost(server);
    if (!push(server, view_of(record, audit_event_encode(event, record))))
        lose(server, event);
    exporter_wake(server->exporter);
}

bool server_audit_room(const struct server *server)
{
    return on_full(server) == CONFIG_ON_FULL_DROP ||
           ring_has_room(exporter_ring(server->exporter, own_index(server)), AUDIT_EVENT_MAX);
}

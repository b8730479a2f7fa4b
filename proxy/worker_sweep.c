/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does to all of its connections, some in each turn of the loop so that traffic goes on
 * meanwhile: another snapshot is bound, bans are enforced. Called by worker.c. */
#include "base/log.h"
#include "proxy/conn.h"
#include "proxy/scan_pool.h"
#include "proxy/worker_internal.h"

/* ---- another snapshot ---- */

/* So many connections are bound anew in one turn of the loop, so that traffic goes on meanwhile. */
#define REBIND_AT_ONCE 128

/* Nobody's any more, all but a few: their memory is given back. */
static void release_rules(struct worker *worker)
{
    if (worker->scanner != NULL)
        scanner_release_rules(worker->scanner);
    scan_pool_release_rules(worker->scan_pool);
}

void worker_on_rebind(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval at_once = {0, 0}, later = {0, WORKER_REST_MS * 1000};
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;
    bool room = true;

    (void)fd, (void)what;
    for (int i = 0; i < REBIND_AT_ONCE && worker->rebind != NULL && room; i++) {
        struct conn *conn = worker->rebind;

        worker->rebind = conn_next(conn);
        conn_rebind(conn);
        room = worker_audit_room(worker, WORKER_EVENT_MOST); /* each may have much to tell */
    }
    if (worker->rebind != NULL)
        event_add(thread->rebind_event, room ? &at_once : &later);
    else
        release_rules(worker);
}

void worker_take_snapshot(struct worker_thread *thread, struct snapshot *next)
{
    static const struct timeval at_once = {0, 0};
    struct worker *worker = &thread->worker;

    for (size_t i = 0; i < thread->listener_count; i++)
        thread->listeners[i].service = snapshot_service(next, thread->listeners[i].service->listener->name);
    snapshot_release(worker->snapshot);
    worker->snapshot = next;
    if (worker->dns == NULL)
        worker->dns = worker_resolver(worker);
    worker->rebind = worker->conns;
    event_add(thread->rebind_event, &at_once);
}

/* ---- bans ---- */

/* So many connections are asked in one turn of the loop. */
#define BANS_AT_ONCE 256

static const struct timeval next_turn = {0, 0}, when_there_is_room = {0, WORKER_REST_MS * 1000};

/* However many bans begin meanwhile, at most one more round follows this one: nobody is to buy work for all
 * connections with each ban. */
void worker_on_bans(evutil_socket_t fd, short what, void *argument)
{
    struct worker_thread *thread = argument;
    struct worker *worker = &thread->worker;

    bool room = worker_audit_room(worker, WORKER_EVENT_MOST);

    (void)fd, (void)what;
    for (int i = 0; i < BANS_AT_ONCE && worker->banned != NULL && room; i++) {
        struct conn *conn = worker->banned;

        worker->banned = conn_next(conn);
        conn_enforce_bans(conn);
        room = worker_audit_room(worker, WORKER_EVENT_MOST);
    }
    if (worker->banned == NULL && thread->bans_again) {
        thread->bans_again = false;
        worker->banned = worker->conns;
    }
    if (worker->banned != NULL)
        event_add(thread->bans_event, room ? &next_turn : &when_there_is_room);
}

void worker_begin_bans(struct worker_thread *thread)
{
    if (thread->worker.banned != NULL) {
        thread->bans_again = true;
        return;
    }
    thread->worker.banned = thread->worker.conns;
    event_add(thread->bans_event, &next_turn);
}

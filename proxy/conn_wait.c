/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that wait (audit.on_full: block): for room in the audit's ring, or, while there is room, for
 * their share of it. Called by conn.c for packets, by conn_life.c for ends, and by worker.c when the ring was
 * drained.
 *
 * Who waits is not read. Who waits for its share has its time-outs, since it is its own doing. Who waits for
 * room has those of its phase later, but once only: else slots would be held for as long as the journal takes
 * nothing. What is over and has only its event to tell keeps nothing but its socket. */
#include "base/clock.h"
#include "proxy/conn_internal.h"
#include "proxy/dial.h"
#include "proxy/password_pool.h"

/* So many of those that wait for their shares are asked in one turn, and the next ones in the next: a relief,
 * of which there is one with each batch, costs no more with many than with some. */
#define AGAIN_AT_ONCE 256
/* So many are looked at in one turn of the worker's rest: is the peer still there? */
#define LOOKS_AT_ONCE 256

/* ---- the lists ---- */

static struct worker_waiting *list_of(const struct conn *conn)
{
    return conn->waits_for_share ? &conn->worker->waiting_share : &conn->worker->waiting_room;
}

static void append(struct worker_waiting *list, struct conn *conn)
{
    conn->previous_waiting = list->last;
    conn->next_waiting = NULL;
    *(list->last == NULL ? &list->first : &list->last->next_waiting) = conn;
    list->last = conn;
    list->count++;
}

static void take_out(struct worker_waiting *list, struct conn *conn)
{
    if (list->look == conn)
        list->look = conn->next_waiting;
    *(conn->previous_waiting == NULL ? &list->first : &conn->previous_waiting->next_waiting) =
        conn->next_waiting;
    *(conn->next_waiting == NULL ? &list->last : &conn->next_waiting->previous_waiting) =
        conn->previous_waiting;
    list->count--;
}

/* ---- waiting ---- */

void conn_wait(struct conn *conn, bool for_share, struct session_need need)
{
    if (conn->audit_waiting)
        return;
    conn->audit_waiting = true;
    conn->waits_for_share = for_share;
    conn->waiting_need = need;
    conn->waiting_since_ms = clock_monotonic_ms();
    append(list_of(conn), conn);
}

/* Time that was ours is not the peers': all of it is not the broker's, which is not read either. */
static void put_off(struct conn *conn, uint64_t waited_ms)
{
    uint64_t grace_ms = waited_ms < conn->phase_grace_ms ? waited_ms : conn->phase_grace_ms;

    if (!conn->waits_for_share && conn->phase < CONN_CLOSING && conn->phase_deadline_ms != 0) {
        conn->phase_deadline_ms += grace_ms;
        conn->phase_grace_ms -= grace_ms;
    }
    if (conn->unanswered_since_ms != 0)
        conn->unanswered_since_ms += waited_ms;
}

void conn_wait_end(struct conn *conn)
{
    if (!conn->audit_waiting)
        return;
    conn->audit_waiting = false;
    take_out(list_of(conn), conn);
    put_off(conn, clock_monotonic_ms() - conn->waiting_since_ms);
}

/* ---- ends ---- */

/* What an end has to tell; nobody's share is asked for it. */
static struct session_need need_of_end(struct conn *conn)
{
    return (struct session_need){
        .most = conn->session == NULL ? WORKER_EVENT_MOST : session_end_need(conn->session)};
}

/* A worker that stops waits itself, and not for long. */
bool conn_has_room_to_end(struct conn *conn)
{
    return conn->worker->stopping || worker_audit_room(conn->worker, need_of_end(conn).most);
}

void conn_wait_to_end(struct conn *conn)
{
    conn_wait_end(conn);
    conn_wait(conn, false, need_of_end(conn));
}

static void drop_tail(struct conn_side *side)
{
    buffer_release(&side->tail);
    side->wanted = 0;
    side->waiting = false;
}

/* Of what is over nothing has its turn any more. The broker's stream may be calling: that is for look_at().
 */
static void drop_work(struct conn *conn)
{
    drop_tail(&conn->client);
    drop_tail(&conn->broker);
    dial_free(conn->dial);
    conn->dial = NULL;
    if (conn->broker.stream != NULL)
        stream_abandon(conn->broker.stream); /* the broker is not to get its CONNECT */
    password_job_cancel(conn->password_job);
    conn->password_job = NULL;
    conn->password_answered = false;
}

bool conn_may_end(struct conn *conn, enum reason *reason)
{
    if (conn->aborting != REASON_none) /* what happened first */
        *reason = conn->aborting;
    conn->aborting = REASON_none;
    if (conn_has_room_to_end(conn))
        return true;
    conn->aborting = *reason;
    conn_wait_to_end(conn);
    drop_work(conn);
    return false;
}

/* ---- looking after those that wait ---- */

/* A client that has left before it was in gets no answer. What an open one has sent before it left has its
 * turn, for a time: it may end with the DISCONNECT that its will depends on. */
static void look_at(struct conn *conn)
{
    if (conn->aborting != REASON_none) {
        stream_free(conn->broker.stream);
        conn->broker.stream = NULL;
        return;
    }
    if (conn->peer_left_ms != 0 || !stream_peer_has_left(conn->client.stream))
        return;
    conn->peer_left_ms = clock_monotonic_ms();
    if (conn->phase < CONN_OPEN)
        conn_abort(conn, REASON_client_closed);
    conn_after_event(conn);
}

static void look_through(struct worker_waiting *list)
{
    size_t turns = list->count < LOOKS_AT_ONCE ? list->count : LOOKS_AT_ONCE;

    while (turns-- > 0 && list->first != NULL) {
        struct conn *conn = list->look == NULL ? list->first : list->look;

        list->look = conn->next_waiting;
        look_at(conn);
    }
}

void conn_look_at_waiting(struct worker *worker)
{
    look_through(&worker->waiting_share);
    look_through(&worker->waiting_room);
}

/* ---- going on ---- */

static enum worker_room foresee(const struct conn *conn, size_t promised)
{
    const struct worker_share *share = conn->aborting == REASON_none ? &conn->audit_share : NULL;

    return worker_audit_foresee(
        conn->worker, share, conn->waiting_need.most, conn->waiting_need.usual, promised);
}

static void let_go(struct conn *conn, size_t *promised)
{
    *promised += conn->waiting_need.usual; /* told in a later turn of the loop */
    conn_resume(conn);
}

/* In their order: nobody takes the room that somebody before it waits for. */
static void resume_for_room(struct worker *worker, size_t *promised)
{
    struct worker_waiting *list = &worker->waiting_room;

    for (size_t turns = list->count; turns > 0 && list->first != NULL; turns--) {
        struct conn *conn = list->first;
        enum worker_room room = foresee(conn, *promised);

        if (room == WORKER_ROOM_LATER)
            return;
        if (room == WORKER_SHARE_LATER) {
            struct session_need need = conn->waiting_need;

            conn_wait_end(conn);
            conn_wait(conn, true, need);
            conn_schedule(conn);
        } else
            let_go(conn, promised);
    }
}

static void resume_for_share(struct worker *worker, size_t *promised)
{
    struct worker_waiting *list = &worker->waiting_share;
    size_t turns = list->count < AGAIN_AT_ONCE ? list->count : AGAIN_AT_ONCE;

    for (; turns > 0 && list->first != NULL; turns--) {
        struct conn *conn = list->first;

        if (foresee(conn, *promised) == WORKER_ROOM)
            let_go(conn, promised);
        else {
            take_out(list, conn);
            append(list, conn);
        }
    }
}

void conn_resume_waiting(struct worker *worker)
{
    size_t promised = 0;

    resume_for_room(worker, &promised);
    resume_for_share(worker, &promised);
    if (worker->waiting_room.first == NULL && worker->waiting_share.first == NULL)
        return;
    exporter_wake(worker->exporter);
    worker_rest_connection(worker);
}

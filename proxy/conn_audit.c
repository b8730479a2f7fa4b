/* SPDX-License-Identifier: Apache-2.0 */
/* Audit events of a connection: the session's hooks, the room that they are to find in the ring, and whose
 * share of it pays for them. Called by the session and by conn.c. */
#include <assert.h>

#include "proxy/conn_internal.h"

void conn_audit(void *context, const struct audit_event *event)
{
    struct conn *conn = context;

    assert(conn->magic == CONN_MAGIC);
    worker_share_answer(&conn->audit_share, session_answers_as(conn->session));
    worker_audit(conn->worker, &conn->audit_share, event);
}

bool conn_audit_repeat(void *context, const struct audit_event *event, struct repeats_ticket *ticket)
{
    const struct conn *conn = context;

    assert(conn->magic == CONN_MAGIC);
    return worker_audit_repeat(conn->worker, event, ticket);
}

bool conn_audit_again(void *context, const struct repeats_ticket *ticket, uint64_t count)
{
    const struct conn *conn = context;

    assert(conn->magic == CONN_MAGIC);
    return worker_audit_again(conn->worker, ticket, count);
}

/* ---- room ---- */

/* Who is asked for is who is charged: a password that was found right has its identity from now on. */
static struct view answers_as(const struct conn *conn)
{
    return conn->password_answered && conn->password_found == REASON_none ? session_proven_as(conn->session)
                                                                          : session_answers_as(conn->session);
}

static enum session_room ask_for_room(struct conn *conn, struct session_need need)
{
    static const enum session_room rooms[] = {
        [WORKER_ROOM] = SESSION_ROOM,
        [WORKER_ROOM_LATER] = SESSION_ROOM_LATER,
        [WORKER_SHARE_LATER] = SESSION_ROOM_LATER,
        [WORKER_ROOM_DENIED] = SESSION_ROOM_DENIED,
    };
    bool never = need.refusal != 0 && !worker_audit_can_wait(conn->worker, need.most);
    enum worker_room room;

    if (never)
        need = (struct session_need){.most = need.refusal, .usual = need.refusal_usual};
    worker_share_answer(&conn->audit_share, answers_as(conn));
    room = worker_audit_ask(conn->worker, &conn->audit_share, need.most, need.usual);
    if (rooms[room] == SESSION_ROOM_LATER)
        conn_wait(conn, room == WORKER_SHARE_LATER, need);
    return never && room == WORKER_ROOM ? SESSION_ROOM_NEVER : rooms[room];
}

enum session_room conn_room(void *context, struct session_need need)
{
    struct conn *conn = context;

    return worker_audit_is_easy(conn->worker, &conn->audit_share, need.most) ? SESSION_ROOM
                                                                             : ask_for_room(conn, need);
}

enum session_room conn_answer_room(struct conn *conn)
{
    return conn->aborting != REASON_none ? SESSION_ROOM_LATER
                                         : conn_room(conn, session_audit_need(conn->session, NULL));
}

bool conn_may_answer(struct conn *conn)
{
    return conn_answer_room(conn) != SESSION_ROOM_LATER;
}

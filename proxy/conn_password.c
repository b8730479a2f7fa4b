/* SPDX-License-Identifier: Apache-2.0 */
/* A CONNECT whose password is checked on the pool: asked for by the session, answered by its worker's task.
 */
#include <assert.h>

#include "base/clock.h"
#include "proxy/conn_internal.h"
#include "proxy/logins.h"
#include "proxy/password_pool.h"

static struct login_limits login_limits(const struct conn *conn)
{
    const struct config *config = conn->snapshot->config;

    return (struct login_limits){config->limit_login_failures_per_address,
        config->limit_login_failures_per_name, config->login_window_ms};
}

static void password_found(struct conn *conn, enum reason found)
{
    struct session_output output = conn_output_begin(conn);

    if (found != REASON_none)
        counter_add(&conn->worker->counters->login_failures[found], 1);
    session_password_checked(conn->session, found, &output);
    conn_carry_out(conn, &output);
}

static void on_password(void *owner, enum reason found)
{
    struct conn *conn = owner;

    assert(conn->magic == CONN_MAGIC);
    conn->password_job = NULL;
    conn->password_answered = true;
    conn->password_found = found;
    conn_deliver_password(conn);
    conn_after_event(conn);
}

void conn_deliver_password(struct conn *conn)
{
    enum session_room room;

    if (!conn->password_answered || conn->audit_waiting || conn->phase != CONN_IDENTIFY)
        return;
    room = conn_answer_room(conn);
    if (room == SESSION_ROOM_LATER)
        return;
    conn->password_answered = false;
    session_set_room(conn->session, room);
    password_found(conn, conn->password_found);
    session_set_room(conn->session, SESSION_ROOM);
}

void conn_check_password(struct conn *conn, const struct session_password_check *check)
{
    const struct password_request request = {.worker = conn->worker,
        .snapshot = conn->snapshot,
        .address = view_of_string(conn->address),
        .limits = login_limits(conn),
        .done = on_password,
        .owner = conn};

    conn_set_phase(conn, CONN_IDENTIFY, conn->service->listener->timeout_connect_ms);
    if (!logins_may_try(
            conn->worker->logins, &request.limits, request.address, check->name, clock_monotonic_ms())) {
        password_found(conn, REASON_logins_exceeded);
        return;
    }
    conn->password_job = password_pool_submit(conn->worker->passwords, &request, check);
    if (conn->password_job == NULL)
        password_found(conn, REASON_logins_busy);
}

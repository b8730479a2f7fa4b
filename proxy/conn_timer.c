/* SPDX-License-Identifier: Apache-2.0 */
/* Time-outs of a connection: one timer each, set for the nearest deadline and not touched per packet. Called
 * by conn_life.c and conn.c. */
#include <assert.h>
#include <event2/event.h>

#include "base/clock.h"
#include "proxy/conn_internal.h"

void conn_set_phase(struct conn *conn, enum conn_phase phase, uint64_t timeout_ms)
{
    assert(phase > conn->phase || (phase == CONN_HANDSHAKE && conn->phase == CONN_HANDSHAKE));
    conn->phase = phase;
    conn->phase_deadline_ms = timeout_ms == 0 ? 0 : clock_monotonic_ms() + timeout_ms;
    conn->phase_grace_ms = timeout_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 ? b : b == 0 || a < b ? a : b;
}

/* When a stream that takes nothing is given up; 0: never. */
static uint64_t stall_deadline(const struct conn *conn, const struct conn_side *side)
{
    uint64_t since = side->stream == NULL ? 0 : stream_stalled_since(side->stream);

    return since == 0 || conn->service->listener->timeout_send_ms == 0
               ? 0
               : since + conn->service->listener->timeout_send_ms;
}

/* When the client has been silent for too long. While the proxy itself does not read it, its silence is not
 * its own. */
static uint64_t silence_deadline(const struct conn *conn)
{
    uint64_t keep_alive = session_keep_alive_ms(conn->session);

    if (conn->phase != CONN_OPEN || conn->client.paused)
        return 0;
    if (keep_alive != 0)
        return conn->client_seen_ms + keep_alive;
    return conn->service->listener->timeout_idle_ms == 0
               ? 0
               : conn->seen_ms + conn->service->listener->timeout_idle_ms;
}

/* When a broker that leaves so many answers out that the client can't be read is given up: a client that left
 * would not be noticed. */
static uint64_t unanswered_deadline(const struct conn *conn)
{
    return conn->audit_waiting || conn->unanswered_since_ms == 0 ||
                   conn->service->listener->timeout_send_ms == 0
               ? 0
               : conn->unanswered_since_ms + conn->service->listener->timeout_send_ms;
}

/* A clock that is set meanwhile is noticed this often. */
#define EXPIRY_LOOK_MS 300000

/* When the client's token or certificate is to be looked at: at its end, as the wall clock says now. */
static uint64_t expiry_deadline(struct conn *conn)
{
    uint64_t expires = conn->phase == CONN_OPEN ? session_expires_s(conn->session) : 0;
    uint64_t wall, rest;

    if (expires == 0)
        return 0;
    if (conn->expires_s != expires) {
        wall = clock_wall_us() / 1000;
        rest = expires * 1000 > wall ? expires * 1000 - wall : 0;
        conn->expires_s = expires;
        conn->expiry_deadline_ms = clock_monotonic_ms() + (rest < EXPIRY_LOOK_MS ? rest : EXPIRY_LOOK_MS);
    }
    return conn->expiry_deadline_ms;
}

static bool waits_for_room(const struct conn *conn)
{
    return conn->audit_waiting && !conn->waits_for_share;
}

/* The deadline has come: true if the end of the credential has, too. Its end may wait for room: there is
 * something to tell in any case. */
static bool has_expired(struct conn *conn, uint64_t now)
{
    uint64_t deadline = expiry_deadline(conn);

    if (deadline == 0 || deadline > now || waits_for_room(conn))
        return false;
    if (!conn_has_room_to_end(conn)) {
        conn_wait_to_end(conn);
        conn_update_reading(conn);
        return false;
    }
    if (clock_wall_us() / 1000000 >= conn->expires_s)
        return session_expire(conn->session);
    conn->expires_s = 0; /* look again later */
    return false;
}

/* While it waits for room in the ring, what is late is not its peers' fault: but not for ever. */
static uint64_t phase_deadline(const struct conn *conn)
{
    if (conn->phase_deadline_ms == 0 || conn->phase >= CONN_CLOSING || !waits_for_room(conn))
        return conn->phase_deadline_ms;
    return conn->phase_deadline_ms + conn->phase_grace_ms;
}

/* A client that has left while it waits. */
static uint64_t left_deadline(const struct conn *conn)
{
    uint64_t bound = conn->service->listener->timeout_send_ms;

    return !conn->audit_waiting || conn->peer_left_ms == 0 || bound == 0 ? 0 : conn->peer_left_ms + bound;
}

static uint64_t next_deadline(struct conn *conn)
{
    uint64_t deadline = phase_deadline(conn);

    if (conn->phase == CONN_OPEN) {
        deadline = earlier(earlier(deadline, silence_deadline(conn)), left_deadline(conn));
        deadline = earlier(deadline, unanswered_deadline(conn));
        deadline = earlier(deadline, waits_for_room(conn) ? 0 : expiry_deadline(conn));
    }
    if (conn->phase < CONN_CLOSING) {
        deadline = earlier(deadline, stall_deadline(conn, &conn->client));
        deadline = earlier(deadline, stall_deadline(conn, &conn->broker));
    }
    return deadline;
}

/* Sets the timer if what it waits for has come nearer. A deadline that moved away (the usual case, with each
 * packet) is found when the timer fires: no timer is touched per packet. */
void conn_schedule(struct conn *conn)
{
    uint64_t deadline = conn->aborting != REASON_none ? 0 : next_deadline(conn);
    uint64_t now;
    struct timeval wait;

    if (deadline == 0 || (conn->timer_at != 0 && conn->timer_at <= deadline))
        return;
    now = clock_monotonic_ms();
    conn->timer_at = deadline;
    deadline = deadline > now ? deadline - now : 0;
    wait = (struct timeval){(time_t)(deadline / 1000), (suseconds_t)(deadline % 1000 * 1000)};
    event_add(&conn->timer, &wait);
}

static const enum reason phase_timeout[] = {
    [CONN_HANDSHAKE] = REASON_handshake_timeout,
    [CONN_CONNECT] = REASON_connect_timeout,
    [CONN_IDENTIFY] = REASON_identity_timeout,
    [CONN_DIAL] = REASON_broker_unreachable,
    [CONN_CONNACK] = REASON_broker_timeout,
};

static enum reason phase_reason(const struct conn *conn)
{
    return conn->audit_waiting && conn->phase > CONN_CONNECT ? REASON_audit_unavailable
                                                             : phase_timeout[conn->phase];
}

/* A peer that still takes what is queued for it: its last packet may be the DISCONNECT that a will depends
 * on. */
static bool still_takes(const struct conn *conn, const struct conn_side *side, uint64_t now)
{
    uint64_t bound = conn->service->listener->timeout_send_ms;

    return side->stream != NULL && stream_is_open(side->stream) && stream_queued(side->stream) > 0 &&
           now - stream_stalled_since(side->stream) < (bound == 0 ? CONN_LINGER_MS : bound);
}

/* The time to linger is over: longer only for a peer that still takes something. At a stop the worker ends
 * this with the drain time. */
static void linger(struct conn *conn, uint64_t now)
{
    if (conn->phase_deadline_ms > now)
        return;
    if (still_takes(conn, &conn->client, now) || still_takes(conn, &conn->broker, now)) {
        conn->phase_deadline_ms = now + CONN_LINGER_MS;
        return;
    }
    conn->client.done = conn->broker.done = true;
    conn_check_done(conn);
}

void conn_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct conn *conn = argument;
    uint64_t now = clock_monotonic_ms();

    (void)fd, (void)what;
    assert(conn->magic == CONN_MAGIC);
    conn->timer_at = 0;
    if (conn->aborting != REASON_none)
        return;
    if (conn->phase == CONN_CLOSING)
        linger(conn, now);
    else if (phase_deadline(conn) != 0 && phase_deadline(conn) <= now)
        conn_abort(conn, phase_reason(conn));
    else if (conn->phase == CONN_OPEN && silence_deadline(conn) != 0 && silence_deadline(conn) <= now)
        conn_abort(conn,
            session_keep_alive_ms(conn->session) != 0 ? REASON_keep_alive_timeout : REASON_idle_timeout);
    else if (stall_deadline(conn, &conn->client) != 0 && stall_deadline(conn, &conn->client) <= now)
        conn_abort(conn, REASON_slow_reader);
    else if (conn->phase == CONN_OPEN && left_deadline(conn) != 0 && left_deadline(conn) <= now)
        conn_abort(conn, REASON_client_closed);
    else if (conn->phase == CONN_OPEN && unanswered_deadline(conn) != 0 && unanswered_deadline(conn) <= now)
        conn_abort(conn, REASON_broker_timeout);
    else if (stall_deadline(conn, &conn->broker) != 0 && stall_deadline(conn, &conn->broker) <= now)
        conn_abort(conn, REASON_broker_timeout);
    else if (has_expired(conn, now))
        conn_abort(conn, REASON_credential_expired);
    if (conn->phase != CONN_DEAD)
        conn_schedule(conn);
}

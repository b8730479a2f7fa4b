/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection: accepted, handshake, CONNECT, the broker reached, and one way to end. The data
 * path is in conn.c, time-outs in conn_timer.c. */
#include <arpa/inet.h>
#include <assert.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "proxy/conn_internal.h"
#include "proxy/dial.h"
#include "proxy/logins.h"
#include "proxy/password_pool.h"
#include "proxy/rates.h"
#include "proxy/tls.h"

static void on_client(struct stream *stream, enum stream_event event, void *argument);
static void on_broker(struct stream *stream, enum stream_event event, void *argument);

/* ---- audit of what is refused before there is a session ---- */

static void audit_event_of(
    struct conn *conn, enum audit_action action, enum reason reason, const char *detail)
{
    const struct audit_event event = {
        .action = action,
        .reason = reason,
        .disposition = AUDIT_CLOSED,
        .wall_us = clock_wall_us(),
        .detail = view_of_string(detail),
        .session_id = view_of_string(conn->session_id),
        .client_ip = view_of_string(conn->address),
        .client_port = conn->peer.port,
        .listener = view_of_string(conn->service->listener->name),
        .upstream = view_of_string(conn->service->upstream->name),
        .tls = conn->service->tls != NULL,
        .ruleset = view_of_string(policy_settings(conn->service->session.policy)->name),
        .policy_version = view_of_string(policy_settings(conn->service->session.policy)->version),
    };

    counter_add(&conn->worker->counters->session.connects_refused[reason], 1);
    worker_audit(conn->worker, &conn->audit_share, &event);
}

/* ---- what is counted for metrics ---- */

static void count_handshake(struct conn *conn, enum counters_handshake result)
{
    struct counters *counters = conn->worker->counters;

    if (conn->handshake_ns == 0)
        return;
    counter_add(&counters->handshakes[result], 1);
    if (result != COUNTERS_FAILED)
        histogram_add(&counters->handshake, &histogram_long, clock_monotonic_ns() - conn->handshake_ns);
    conn->handshake_ns = 0;
}

static void count_dial(struct conn *conn, bool reached)
{
    struct registry_scope *scope = conn->service->upstream_scope;

    if (conn->dial_ns == 0)
        return;
    atomic_fetch_add_explicit(reached ? &scope->reached : &scope->unreached, 1, memory_order_relaxed);
    atomic_store_explicit(&scope->last, reached ? 1 : -1, memory_order_relaxed);
    if (reached)
        histogram_add(
            &conn->worker->counters->broker_connect, &histogram_long, clock_monotonic_ns() - conn->dial_ns);
    conn->dial_ns = 0;
}

static void count_unreached(struct conn *conn, enum reason reason)
{
    if (reason == REASON_broker_unreachable || reason == REASON_broker_timeout)
        count_dial(conn, false);
}

static void count_end(struct conn *conn, enum reason reason)
{
    struct counters *counters = conn->worker->counters;

    count_handshake(conn, COUNTERS_FAILED);
    count_unreached(conn, reason);
    if (conn->phase == CONN_OPEN)
        counter_add(&counters->ended, 1);
    counter_add(&counters->closed[reason], 1);
}

/* ---- the session's hooks ---- */

static uint64_t hook_password_tag(void *context, const char *file, struct view name)
{
    return snapshot_password_tag(((struct conn *)context)->snapshot, file, name);
}

static enum reason hook_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    struct conn *conn = context;

    if (!proven)
        return registry_session_check(
            conn->worker->registry, conn->service->upstream_scope, identity, client_id, limit);
    return registry_session_claim(
        conn->worker->registry, conn->service->upstream_scope, identity, client_id, limit, &conn->claim);
}

struct session_hooks conn_hooks(const struct worker *worker)
{
    return (struct session_hooks){.audit = conn_audit,
        .audit_repeat = conn_audit_repeat,
        .audit_again = conn_audit_again,
        .password_tag = hook_password_tag,
        .claim = hook_claim,
        .denied = conn_count_denial,
        .ban = conn_begin_ban,
        .ban_left = conn_ban_left,
        .hold_rates = conn_hold_rates,
        .count = conn_count,
        .replay = conn_replay,
        .replay_is_done = conn_replay_is_done,
        .replay_end = conn_replay_end,
        .replays_later = worker->replay_shared != NULL,
        .scan = conn_scan,
        .scan_later = conn_scan_later,
        .room = conn_room,
        .counters = &worker->counters->session};
}

/* ---- accepting ---- */

/* The handshake is done, or there is none: CONNECT is due. */
static void await_connect(struct conn *conn)
{
    conn_describe_peer(conn);
    conn->session = session_new(&conn->service->session, &conn->peer, &conn->worker->session_hooks, conn);
    conn_set_phase(conn, CONN_CONNECT, conn->service->listener->timeout_connect_ms);
    conn_schedule(conn);
}

static void handshake_done(struct conn *conn)
{
    conn->tls_peer = tls_peer_new(conn->service->tls, stream_ssl(conn->client.stream));
    if (conn->tls_peer != NULL) {
        count_handshake(conn, conn->tls_peer->resumed ? COUNTERS_RESUMED : COUNTERS_FULL);
        await_connect(conn);
        return;
    }
    conn_abort(conn, REASON_tls_certificate_rejected);
}

/* An IPv4 address that came over an IPv6 socket is shown, counted and matched as what it is. */
static void note_address(struct conn *conn, const struct sockaddr *address)
{
    const void *bytes = NULL;
    int family = address->sa_family;

    if (family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;

        bytes = &v4->sin_addr;
        conn->peer.port = ntohs(v4->sin_port);
    } else if (family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;

        bytes = &v6->sin6_addr;
        conn->peer.port = ntohs(v6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            family = AF_INET;
            bytes = v6->sin6_addr.s6_addr + 12;
        }
    }
    if (bytes == NULL || inet_ntop(family, bytes, conn->address, sizeof(conn->address)) == NULL)
        snprintf(conn->address, sizeof(conn->address), "unknown");
}

/* Counts the connection; false (audited) if it is one too many. */
static bool admit(struct conn *conn)
{
    const struct config_listener *listener = conn->service->listener;
    uint64_t open =
        atomic_fetch_add_explicit(&conn->service->listener_scope->connections, 1, memory_order_relaxed) + 1;
    enum reason reason = REASON_none;

    if (listener->limit_connections != 0 && open > listener->limit_connections)
        reason = REASON_connection_limit;
    else if (!registry_address_add(conn->worker->registry, conn->service->listener_scope,
                 view_of_string(conn->address), listener->limit_connections_per_address))
        reason = REASON_address_limit;
    if (reason == REASON_none)
        return true;
    atomic_fetch_sub_explicit(&conn->service->listener_scope->connections, 1, memory_order_relaxed);
    audit_event_of(conn, AUDIT_rate_limited, reason, NULL);
    return false;
}

void conn_accept(struct worker *worker, struct service *service, int fd, const struct sockaddr *address)
{
    struct conn *conn = memory_calloc(1, sizeof(*conn));
    SSL *ssl = service->tls == NULL ? NULL : tls_server_accept(service->tls);
    int one = 1;

    conn->magic = CONN_MAGIC;
    conn->worker = worker;
    conn->snapshot = snapshot_retain(worker->snapshot);
    conn->service = service;
    conn->started_ms = conn->seen_ms = conn->client_seen_ms = clock_monotonic_ms();
    note_address(conn, address);
    worker_share_begin(&conn->audit_share, view_of_string(conn->address));
    snprintf(conn->session_id, sizeof(conn->session_id), "%s-%x-%06llx", worker->run, worker->index,
        (unsigned long long)++worker->sessions);
    if ((service->tls != NULL && ssl == NULL) || !admit(conn)) {
        SSL_free(ssl);
        close(fd);
        snapshot_release(conn->snapshot);
        free(conn);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    event_assign(&conn->timer, worker->base, -1, 0, conn_on_timer, conn);
    conn->next = worker->conns;
    if (conn->next != NULL)
        conn->next->previous = conn;
    worker->conns = conn;
    worker->conn_count++;
    counter_add(&worker->counters->accepted, 1);
    atomic_fetch_add_explicit(&service->listener_scope->accepted, 1, memory_order_relaxed);
    conn->client.stream = stream_new(worker->streams, fd, ssl, on_client, conn);
    if (ssl == NULL) {
        await_connect(conn);
        return;
    }
    conn->handshake_ns = clock_monotonic_ns();
    conn_set_phase(conn, CONN_HANDSHAKE, service->listener->timeout_handshake_ms);
    conn_schedule(conn);
}

/* ---- the broker ---- */

static void on_dialled(void *argument, int fd, const char *address, const char *error)
{
    struct conn *conn = argument;
    const struct config_upstream *upstream = conn->service->upstream;
    SSL *ssl = NULL;

    assert(conn->magic == CONN_MAGIC);
    snprintf(conn->server_address, sizeof(conn->server_address), "%s", address);
    if (fd < 0)
        LOG_LIMITED(LOG_WARN, "upstream", "can't reach the broker", log_string("upstream", upstream->name),
            log_string("error", error));
    dial_free(conn->dial);
    conn->dial = NULL;
    if (fd < 0) {
        conn_abort(conn, REASON_broker_unreachable);
        return;
    }
    if (conn->service->upstream_tls != NULL &&
        (ssl = tls_client_connect(conn->service->upstream_tls)) == NULL) {
        close(fd);
        conn_abort(conn, REASON_internal_error);
        return;
    }
    session_set_server(conn->session, view_of_string(conn->server_address), upstream->address.port);
    conn->broker.stream = stream_new(conn->worker->streams, fd, ssl, on_broker, conn);
    stream_write(conn->broker.stream, buffer_view(&conn->connect_packet));
    buffer_release(&conn->connect_packet);
    if (ssl == NULL) {
        count_dial(conn, true);
        conn_set_phase(conn, CONN_CONNACK, upstream->timeout_connack_ms);
    }
    conn_update_reading(conn);
}

void conn_open_broker(struct conn *conn)
{
    const struct config_upstream *upstream = conn->service->upstream;

    conn->dial_ns = clock_monotonic_ns();
    conn_set_phase(conn, CONN_DIAL, upstream->timeout_connect_ms);
    conn->dial = dial_new(conn->worker->base, conn->worker->dns, upstream->address.host,
        upstream->address.port, on_dialled, conn);
    if (upstream->sources.count > 0)
        dial_from(conn->dial, upstream->sources.items, upstream->sources.count,
            conn->worker->index + conn->worker->dials++);
}

/* ---- events ---- */

void conn_after_event(struct conn *conn)
{
    if (conn->phase == CONN_CONNACK && session_is_open(conn->session)) {
        conn_set_phase(conn, CONN_OPEN, 0);
        counter_add(&conn->worker->counters->opened, 1);
        conn->audit_share.settled = true;
        conn->client_seen_ms = clock_monotonic_ms(); /* until now it had to be silent */
    }
    if (conn->phase == CONN_CONNECT && session_is_asking(conn->session))
        conn_set_phase(conn, CONN_IDENTIFY, conn->service->listener->timeout_connect_ms);
    conn_bind(conn);
    if (conn->phase == CONN_CLOSING)
        conn_check_done(conn);
    conn_update_reading(conn);
}

static enum reason handshake_failure(const struct stream *stream)
{
    return stream_certificate_rejected(stream) ? REASON_tls_certificate_rejected : REASON_tls_failed;
}

static void on_client(struct stream *stream, enum stream_event event, void *argument)
{
    struct conn *conn = argument;

    assert(conn->magic == CONN_MAGIC);
    if (conn->phase == CONN_DEAD)
        return;
    if (event == STREAM_FAILED) {
        conn->client.done = true;
        LOG_EVENT(LOG_DEBUG, "connection", "the client's connection failed",
            log_string("session", conn->session_id), log_string("client", conn->address),
            log_string("error", stream_error(stream)));
        conn_abort(conn, conn->phase == CONN_HANDSHAKE ? handshake_failure(stream) : REASON_client_lost);
    } else if (event == STREAM_OPENED)
        handshake_done(conn);
    else if (event == STREAM_READABLE)
        conn_pump(conn, &conn->client);
    conn_after_event(conn);
}

static void on_broker(struct stream *stream, enum stream_event event, void *argument)
{
    struct conn *conn = argument;

    assert(conn->magic == CONN_MAGIC);
    if (conn->phase == CONN_DEAD)
        return;
    if (event == STREAM_FAILED) {
        conn->broker.done = true;
        LOG_LIMITED(LOG_WARN, "upstream", "the broker's connection failed",
            log_string("upstream", conn->service->upstream->name), log_string("error", stream_error(stream)));
        conn_abort(conn, conn->phase == CONN_DIAL ? REASON_broker_unreachable : conn_broker_closed(conn));
    } else if (event == STREAM_OPENED && conn->phase == CONN_DIAL) {
        count_dial(conn, true);
        conn_set_phase(conn, CONN_CONNACK, conn->service->upstream->timeout_connack_ms);
    } else if (event == STREAM_READABLE)
        conn_pump(conn, &conn->broker);
    conn_after_event(conn);
}

/* Packets that had their answers and no room have their turn. */
static void carry_on(struct conn *conn)
{
    struct session_output output;

    if (conn->session == NULL || conn->phase != CONN_OPEN || conn->audit_waiting)
        return;
    output = conn_output_begin(conn);
    conn->worker->scan_work = 0;
    session_carry_on(conn->session, &output);
    conn_carry_out(conn, &output);
}

void conn_resume(struct conn *conn)
{
    if (conn->phase == CONN_DEAD || !conn->audit_waiting)
        return;
    conn_wait_end(conn);
    if (conn->aborting != REASON_none)
        conn_abort(conn, conn->aborting);
    if (conn->audit_waiting)
        return;
    carry_on(conn);
    conn_deliver_password(conn);
    conn_deliver_answers(conn);
    conn_deliver_scans(conn);
    conn_after_event(conn);
}

/* ---- the end ---- */

enum reason conn_broker_closed(const struct conn *conn)
{
    return conn->phase == CONN_OPEN && registry_session_taken_over(conn->worker->registry, conn->claim)
               ? REASON_session_taken_over
               : REASON_broker_closed;
}

/* Before there is a session. */
static void abort_handshake(struct conn *conn, enum reason reason)
{
    if (reason == REASON_handshake_timeout)
        audit_event_of(conn, AUDIT_tls_handshake_failed, reason, NULL);
    else if (reason == REASON_tls_certificate_rejected && stream_is_open(conn->client.stream))
        audit_event_of(
            conn, AUDIT_tls_handshake_failed, reason, "the certificate of the resumed session has expired");
    else if (reason == REASON_tls_failed || reason == REASON_tls_certificate_rejected)
        audit_event_of(conn, AUDIT_tls_handshake_failed, reason, stream_error(conn->client.stream));
    conn_close(conn, reason == REASON_tls_certificate_rejected && !stream_is_open(conn->client.stream)
                         ? REASON_tls_failed
                         : reason);
}

void conn_abort(struct conn *conn, enum reason reason)
{
    struct session_output output;

    if (conn->phase >= CONN_CLOSING || !conn_may_end(conn, &reason))
        return;
    if (conn->session == NULL) {
        abort_handshake(conn, reason);
        return;
    }
    count_unreached(conn, reason); /* who has its answer finds it counted */
    output = conn_output_begin(conn);
    session_abort(conn->session, reason, &output);
    conn_carry_out(conn, &output);
}

void conn_stop(struct conn *conn)
{
    conn_abort(conn, REASON_server_shutdown);
    conn_after_event(conn);
}

static void audit_end(struct conn *conn, enum reason reason)
{
    const struct session_totals totals = {
        .duration_ms = clock_monotonic_ms() - conn->started_ms,
        .client_bytes = conn->client.bytes,
        .client_packets = conn->client.packets,
        .server_bytes = conn->broker.bytes,
        .server_packets = conn->broker.packets,
    };

    if (conn->session != NULL)
        session_ended(conn->session, reason, &totals);
}

void conn_close(struct conn *conn, enum reason reason)
{
    if (conn->phase >= CONN_CLOSING)
        return;
    conn_wait_end(conn);
    conn->aborting = REASON_none;
    conn->audit_share.settled = false;
    audit_end(conn, reason);
    count_end(conn, reason);
    LOG_EVENT(LOG_DEBUG, "connection", "closing", log_string("session", conn->session_id),
        log_string("client", conn->address), log_string("reason", reason_info(reason)->name));
    conn_set_phase(conn, CONN_CLOSING, CONN_LINGER_MS);
    dial_free(conn->dial);
    conn->dial = NULL;
    password_job_cancel(conn->password_job);
    conn->password_job = NULL;
    conn_cancel_asks(conn);
    conn_cancel_scans(conn);
    registry_session_release(conn->worker->registry, conn->claim);
    conn->claim = NULL;
    stream_shutdown(conn->client.stream);
    if (conn->broker.stream != NULL) {
        stream_abandon(conn->broker.stream); /* who was refused must not reach the broker after all */
        stream_shutdown(conn->broker.stream);
    }
    if (reason == REASON_client_closed || !stream_is_open(conn->client.stream))
        conn->client.done = true; /* its end was seen, or there is nobody yet who could read */
    if (reason == REASON_broker_closed || reason == REASON_session_taken_over ||
        conn->broker.stream == NULL || !stream_is_open(conn->broker.stream))
        conn->broker.done = true;
    conn->timer_at = 0;
    event_del(&conn->timer);
    conn_update_reading(conn); /* a client that had to wait is read again, or its end would not be seen */
    conn_check_done(conn);
}

/* A side is over when the peer's end was seen, and nothing of ours is left that it could still take. */
static bool side_over(const struct conn *conn, const struct conn_side *side)
{
    if (side->stream == NULL || !stream_is_open(side->stream))
        return true;
    return side->done &&
           (stream_queued(side->stream) == 0 || conn->phase_deadline_ms <= clock_monotonic_ms());
}

void conn_check_done(struct conn *conn)
{
    if (conn->phase != CONN_CLOSING || !side_over(conn, &conn->client) || !side_over(conn, &conn->broker))
        return;
    conn->phase = CONN_DEAD;
    event_del(&conn->timer);
    worker_reap(conn->worker, conn);
}

void conn_free(struct conn *conn)
{
    assert(conn->magic == CONN_MAGIC);
    conn->magic = 0;
    conn_wait_end(conn);
    if (conn->previous != NULL)
        conn->previous->next = conn->next;
    else
        conn->worker->conns = conn->next;
    if (conn->next != NULL)
        conn->next->previous = conn->previous;
    conn->worker->conn_count--;
    counter_add(&conn->worker->counters->freed, 1);
    if (conn->worker->rebind == conn)
        conn->worker->rebind = conn->next;
    if (conn->worker->banned == conn)
        conn->worker->banned = conn->next;
    atomic_fetch_sub_explicit(&conn->service->listener_scope->connections, 1, memory_order_relaxed);
    registry_address_remove(
        conn->worker->registry, conn->service->listener_scope, view_of_string(conn->address));
    registry_session_release(conn->worker->registry, conn->claim);
    rates_drop(conn->worker->rates, conn->rates, clock_monotonic_ns());
    event_del(&conn->timer);
    dial_free(conn->dial);
    password_job_cancel(conn->password_job);
    conn_cancel_asks(conn);
    conn_cancel_scans(conn);
    session_free(conn->session);
    stream_free(conn->client.stream);
    stream_free(conn->broker.stream);
    tls_peer_free(conn->tls_peer);
    buffer_release(&conn->client.tail);
    buffer_release(&conn->broker.tail);
    buffer_release(&conn->connect_packet);
    snapshot_release(conn->snapshot);
    free(conn);
}

struct conn *conn_next(const struct conn *conn)
{
    return conn->next;
}

struct conn *conn_next_reaped(const struct conn *conn)
{
    return conn->next_reaped;
}

void conn_set_next_reaped(struct conn *conn, struct conn *next)
{
    conn->next_reaped = next;
}

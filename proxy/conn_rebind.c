/* SPDX-License-Identifier: Apache-2.0 */
/* A connection and the snapshot that is in force: who the peer is by it, and the change from one to the next
 * (design "Threads"). */
#include "proxy/conn_internal.h"
#include "proxy/tls.h"

void conn_describe_peer(struct conn *conn)
{
    const struct tls_peer *tls = conn->tls_peer;

    conn->peer.session_id = view_of_string(conn->session_id);
    conn->peer.address = view_of_string(conn->address);
    conn->peer.tls = tls != NULL;
    if (tls == NULL)
        return;
    conn->peer.tls_resumed = tls->resumed;
    conn->peer.tls_version = view_of_string(tls->version);
    conn->peer.tls_cipher = view_of_string(tls->cipher);
    conn->peer.tls_server_name = view_of_string(tls->server_name);
    conn->peer.tls_subject = view_of_string(tls->subject);
    conn->peer.tls_issuer = view_of_string(tls->issuer);
    conn->peer.tls_serial = view_of_string(tls->serial);
    conn->peer.tls_fingerprint = view_of_string(tls->fingerprint);
    conn->peer.has_certificate = tls->has_certificate;
    conn->peer.certificate_cas = tls->cas;
    conn->peer.certificate_ca_count = tls->ca_count;
    conn->peer.certificate_values = tls->values;
    conn->peer.certificate_value_count = tls->value_count;
    conn->peer.certificate_expires_s = tls->expires_s;
}

/* A handshake that is under way ends with the context that it began with, a CONNECT that is under way with
 * its CONNACK, what waits for the replay store with its turn: those are bound afterwards. What is closing
 * stays as it is. */
static bool may_bind(const struct conn *conn)
{
    return conn->phase == CONN_CONNECT || conn->phase == CONN_OPEN;
}

void conn_bind(struct conn *conn)
{
    struct snapshot *before = conn->snapshot, *now = conn->worker->snapshot;
    struct service *service;
    struct session_output output;

    if (before == now || !may_bind(conn) || conn->aborting != REASON_none ||
        session_is_connecting(conn->session) || session_is_asking(conn->session) ||
        session_is_asking_broker(conn->session))
        return;
    service = snapshot_service(now, conn->service->listener->name);
    output = conn_output_begin(conn);
    if (conn->tls_peer != NULL &&
        !tls_peer_rebind(conn->tls_peer, conn->service->tls, service->tls, stream_ssl(conn->client.stream))) {
        conn_describe_peer(conn);
        session_evict(conn->session, REASON_tls_certificate_rejected, &output);
        conn_carry_out(conn, &output);
        return;
    }
    conn->snapshot = snapshot_retain(now);
    conn->service = service;
    conn_describe_peer(conn);
    session_rebind(conn->session, &service->session, &output);
    conn_carry_out(conn, &output);
    if (conn->phase == CONN_OPEN &&
        session_is_banned(conn->session)) /* what monitor mode let pass may be over */
        conn_abort(conn, REASON_banned);
    snapshot_release(before);
}

void conn_rebind(struct conn *conn)
{
    if (conn->phase == CONN_DEAD)
        return;
    conn_after_event(conn);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol logic of one client and its broker connection. Sans-IO: packets in, steps out. The caller
 * (proxy/conn.c, tests, fuzzers) frames the bytes of each side, hands the frames in order to
 * session_client_packet() or session_broker_packet(), and carries out what the output says before it hands in
 * the next one. */
#ifndef MQWARD_PROXY_SESSION_SESSION_H
#define MQWARD_PROXY_SESSION_SESSION_H

#include "base/buffer.h"
#include "base/reason.h"
#include "exporters/audit.h"
#include "policy/policy.h"
#include "proxy/mqtt/mqtt.h"

struct session;

/* What all sessions between one listener and its upstream share. Immutable; outlives the sessions. */
struct session_settings {
    const struct policy *policy;
    enum dialect dialect;
    const char *listener; /* names, for the audit */
    const char *upstream;
    uint32_t broker_max_packet;   /* bytes: the largest packet accepted from the broker */
    uint16_t topic_alias_maximum; /* announced to 5.0 clients; 0: no aliases */
    uint32_t max_filters;         /* topic filters in one SUBSCRIBE or UNSUBSCRIBE */
    struct mqtt_options options;
};

/* What is known of the peer before its first packet. Strings are borrowed for the session's life; absent ones
 * are empty. */
struct session_peer {
    struct view session_id;
    struct view address; /* textual, without brackets */
    uint16_t port;
    bool tls;
    bool tls_resumed;
    struct view tls_version, tls_cipher, tls_server_name;
    struct view tls_subject, tls_issuer, tls_serial, tls_fingerprint;
    bool has_certificate;
    const char *const *certificate_cas; /* the configured CAs that its chain leads to */
    size_t certificate_ca_count;
    const struct policy_certificate_value *certificate_values;
    size_t certificate_value_count;
};

/* What a session asks of its surroundings. context is passed through. */
struct session_hooks {
    /* An audit event: pushed before the output of the same call is carried out. The event's views hold for
     * the call. */
    void (*audit)(void *context, const struct audit_event *event);
    /* REASON_none if name and password are right in the password file of that name. */
    enum reason (*check_password)(void *context, const char *file, struct view name, struct view password);
    /* Claims a place for the identity (at most limit sessions, 0 = any number) and the client id (empty: the
     * broker's choice). REASON_none, REASON_sessions_exceeded or REASON_client_id_in_use. Not proven: only
     * says what a claim would get; who may turn out to be an impostor holds nothing. Called again once
     * the broker has said who it is or chosen the id: the new claim replaces the first. Released by the
     * caller when the session ends. */
    enum reason (*claim)(
        void *context, struct view identity, struct view client_id, uint64_t limit, bool proven);
    void *context;
};

/* What the caller does after a packet, in this order: forward the packet itself if the call says so; send
 * what is in to_broker to the broker and to_client to the client; open the broker connection; close both
 * connections once what was sent is written. */
enum session_verdict { SESSION_CONSUMED, SESSION_FORWARD };

struct session_output {
    struct buffer *to_client; /* given by the caller; appended to */
    struct buffer *to_broker;
    bool open_broker; /* connect to the upstream now; to_broker is the first it gets */
    bool close;
    enum reason reason; /* why, with close */
};

/* peer, settings and hooks outlive the session. */
struct session *session_new(const struct session_settings *settings, const struct session_peer *peer,
    const struct session_hooks *hooks);
void session_free(struct session *session); /* NULL is fine */

/* False while packets of the client must wait (CONNECT is on its way to the broker, or too many answers are
 * outstanding): the caller keeps the bytes and asks again after each packet of the broker. */
bool session_client_ready(const struct session *session);

/* A frame of the client, or of the broker. frame's bytes hold for the call. */
enum session_verdict session_client_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);
enum session_verdict session_broker_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);

/* The bytes of a side are not MQTT: error is what mqtt_frame_next() said. Answers, audits and closes. */
void session_client_malformed(
    struct session *session, const struct mqtt_error *error, struct session_output *output);
void session_broker_malformed(
    struct session *session, const struct mqtt_error *error, struct session_output *output);

/* The proxy ends the session (time-outs, a broker that can't be reached, shutdown): the answer that the
 * client's version and state have for the reason (CONNACK, DISCONNECT, or none), and close. */
void session_abort(struct session *session, enum reason reason, struct session_output *output);

/* Bytes and packets of a side, for the totals of the audit's last event. */
struct session_totals {
    uint64_t duration_ms;
    uint64_t client_bytes, client_packets;
    uint64_t server_bytes, server_packets;
};
/* Both connections are gone or going: the session's last audit event. reason: why; called once. */
void session_ended(struct session *session, enum reason reason, const struct session_totals *totals);

/* What the caller frames with: limits and version of each side's next packet. */
enum mqtt_version session_version(const struct session *session); /* 0 before CONNECT */
size_t session_client_max_packet(const struct session *session);
size_t session_broker_max_packet(const struct session *session);
bool session_is_open(const struct session *session); /* CONNACK said yes */
/* Milliseconds after which a silent client is gone: one and a half times the keep alive in force; 0: keep
 * alive is off. */
uint64_t session_keep_alive_ms(const struct session *session);
/* The broker's address, once it is known (borrowed). */
void session_set_server(struct session *session, struct view address, uint16_t port);
/* Bytes that a ring should have free before this packet is handed in, so that its audit events find room. (An
 * event that finds none after all makes hooks.audit wait; it is never lost.) */
size_t session_audit_room(const struct session *session, const struct mqtt_frame *frame);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol logic of one client and its broker connection. Sans-IO: packets in, steps out. The caller
 * (proxy/conn.c, tests, fuzzers) frames the bytes of each side, hands the frames in order to
 * session_client_packet() or session_broker_packet(), and carries out what the output says before it hands in
 * the next one. */
#ifndef MQWARD_PROXY_SESSION_SESSION_H
#define MQWARD_PROXY_SESSION_SESSION_H

#include <stdatomic.h>

#include "base/buffer.h"
#include "base/reason.h"
#include "exporters/repeats.h"
#include "policy/policy.h"
#include "policy/signature.h"
#include "proxy/mqtt/mqtt.h"
#include "proxy/session/session_counters.h"
#include "rules/scan.h"

struct session;

/* Where rules, checks and rule sets are counted (session_counters.h); SESSION_SLOT_OTHER may become another
 * one at any time. NULL: in SESSION_SLOT_OTHER, and rule sets not at all. */
struct session_set_slot {
    const char *name;
    _Atomic uint16_t slot;
};
struct session_slots {
    const _Atomic uint16_t *rules;       /* by struct policy_rule_info's index */
    const struct session_set_slot *sets; /* by the bits of scan_sets */
};

/* What all sessions between one listener and its upstream share. Immutable; outlives the sessions. */
struct session_settings {
    const struct policy *policy;
    const struct policy *shadow; /* what it would decide otherwise is audited; NULL: there is none */
    enum dialect dialect;
    const char *listener; /* names, for the audit */
    const char *upstream;
    uint32_t broker_max_packet;   /* bytes: the largest packet accepted from the broker */
    uint16_t topic_alias_maximum; /* announced to 5.0 clients; 0: no aliases */
    uint32_t max_filters;         /* topic filters in one SUBSCRIBE or UNSUBSCRIBE */
    /* As struct policy_credentials wants it; NULL: there are no key sets. */
    const struct jwks *(*find_jwks)(void *context, const char *name);
    void *jwks_context;
    struct keyring *keyring; /* of the signatures that checks ask for; NULL: there are no keys */
    /* For each check of the policy the rule sets that it asks, as bits; and how many bytes of payload may be
     * scanned without waiting. */
    const uint64_t *scan_sets;
    uint64_t scan_inline;
    struct session_slots slots;
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
    uint64_t certificate_expires_s; /* seconds since 1970; 0: not known */
};

/* Who is banned, or counted: the identity, or the address (as address_site() writes it). */
struct session_party {
    bool is_address;
    struct view value;
};

/* A ban that the policy asks for. */
struct session_ban {
    struct session_party party;
    uint64_t for_ms;
    uint64_t until_wall_us; /* the end, as the audit says */
    struct view why;        /* for people */
};

/* What rates count. */
enum session_counted {
    SESSION_ARRIVAL, /* a CONNECT, when nothing is known but its address */
    SESSION_ENTRY,   /* a CONNECT of an identity that is proven */
    SESSION_MESSAGE  /* a PUBLISH of the client */
};

/* What the rates said. */
struct session_rates {
    uint64_t refused;   /* bit of the check that refuses: nothing was counted; 0: none does */
    uint64_t monitored; /* bits of the checks in monitor mode that would refuse */
};

/* A valid signature, for the replay store. */
struct session_replay {
    struct replay_mark mark; /* views of the session, for the call */
    bool sequence;           /* its nonce is a counter */
    enum signature_store_down store_down;
};

/* What a check asks about a message. Views of the session, for the call. */
struct session_scan {
    struct scan_request request;
    bool quarantine; /* what is found is to be stored */
};
/* What the scan has found. */
struct session_scanned {
    struct scan_result result;
    const char *quarantine; /* what became of it there (a literal, as quarantine_result_name()); NULL: nothing
                               was to be stored */
    bool has_quarantine_sha256;
    uint8_t quarantine_sha256[32]; /* of the first part that is kept there */
};

/* Is there room in the audit for what a packet may have to tell? */
enum session_room {
    SESSION_ROOM,
    SESSION_ROOM_LATER,  /* it waits: session_carry_on() */
    SESSION_ROOM_DENIED, /* it is refused if it would have to be recorded: session_set_unrecorded() */
    SESSION_ROOM_NEVER   /* it is refused, with one event: so much room there never is */
};

/* Bytes of a ring that the events of a packet take, overheads included: at most, whatever becomes of it; and
 * usually, if it is denied and nothing else comes of it. */
struct session_need {
    size_t most, usual;
    size_t refusal, refusal_usual; /* of a refusal in one event; 0: there is none, since the client has no
                                      choice of how much there is to tell */
};

/* What a session asks of its surroundings, with its context. One for all sessions of a thread. */
struct session_hooks {
    /* An audit event: pushed before the output of the same call is carried out. The event's views hold for
     * the call. */
    void (*audit)(void *context, const struct audit_event *event);
    /* Counts an event if one like it was told a moment ago (exporters/repeats.h): true, there is nothing more
     * to tell, and *ticket counts those that are the same in all that is compared. NULL: each one is told. */
    bool (*audit_repeat)(void *context, const struct audit_event *event, struct repeats_ticket *ticket);
    /* Counts so many more by the ticket. False: it is over, and nothing was counted. */
    bool (*audit_again)(void *context, const struct repeats_ticket *ticket, uint64_t count);
    /* What stands for that name in the file, as a number that changes with it; 0: there is no such name. */
    uint64_t (*password_tag)(void *context, const char *file, struct view name);
    /* Claims a place for the identity (at most limit sessions, 0 = any number) and the client id (empty: the
     * broker's choice). REASON_none, REASON_sessions_exceeded or REASON_client_id_in_use. Not proven: only
     * says what a claim would get; who may turn out to be an impostor holds nothing. Called again once
     * the broker has said who it is or chosen the id: the new claim replaces the first. Released by the
     * caller when the session ends. */
    enum reason (*claim)(
        void *context, struct view identity, struct view client_id, uint64_t limit, bool proven);
    /* Counts a denial of the party. True: it is the one that makes them too many. */
    bool (*denied)(void *context, const struct session_party *party, const struct policy_repeat *repeat);
    /* Begins a ban, which also ends the party's other sessions. */
    void (*ban)(void *context, const struct session_ban *ban);
    /* For how many milliseconds more the party is banned; 0: it is not. ordered: only by an operator's order
     * counts. */
    uint64_t (*ban_left)(void *context, const struct session_party *party, bool ordered);
    /* Takes hold of what the checks of the policy count for the subject (NULL: for the client's address
     * alone), in place of what was held; of a policy without checks: of nothing. */
    void (*hold_rates)(void *context, const struct policy *policy, const struct policy_subject *subject);
    /* Counts one, and bytes of payload, against those of checks (bits) that are held and count that: against
     * all of them, or none. Never called before hold_rates(). */
    struct session_rates (*count)(
        void *context, enum session_counted counted, uint64_t checks, uint64_t bytes);
    /* Has the message been here? True: *answer says it. False: the answer is on its way, and
     * session_replay_answered() brings it under this ticket; the client's packets wait, in their order. */
    bool (*replay)(
        void *context, const struct session_replay *asked, uint64_t ticket, enum replay_answer *answer);
    /* Is it done by now, as far as is known here? For answers that came before a packet's turn. */
    bool (*replay_is_done)(void *context, const struct session_replay *asked);
    /* What became of a message that was new: the broker has it (done), or it did not go on after all. */
    void (*replay_end)(void *context, const struct session_replay *asked, bool done);
    /* The store is one that answers later: several packets are asked about before the first has its turn. */
    bool replays_later;
    /* Scans a message. False: that would take too long here; it is to wait for scan_later(). */
    bool (*scan)(void *context, const struct scan_request *request, struct scan_result *result);
    /* Has a message scanned, for several checks: session_scan_answered() brings what was found, under this
     * ticket. Until then its direction waits. At most one message of each direction is asked about at a time.
     */
    void (*scan_later)(void *context, const struct session_scan *scans, size_t count, uint64_t ticket);
    /* Room for events, before a packet that has waited has its turn. NULL: always. */
    enum session_room (*room)(void *context, struct session_need need);
    /* Where it counts what it does, alone with the other sessions of its thread; NULL: nowhere. */
    struct session_counters *counters;
};

/* What the caller does after a packet, in this order: forward the packet itself if the call says so; send
 * what is in to_broker to the broker and to_client to the client; open the broker connection; close both
 * connections once what was sent is written. */
enum session_verdict { SESSION_CONSUMED, SESSION_FORWARD };

/* Passwords are slow to check by design: not on the caller's loop. */
struct session_password_check {
    const char *file;           /* its name in mqward.yaml */
    struct view name, password; /* of the session, until session_password_checked() or session_free() */
};

struct session_output {
    struct buffer *to_client; /* given by the caller; appended to */
    struct buffer *to_broker;
    /* NULL: none. Else CONNECT waits for session_password_checked(). */
    const struct session_password_check *check_password;
    bool open_broker; /* connect to the upstream now; to_broker is the first it gets */
    bool close;
    enum reason reason; /* why, with close */
};

/* peer, settings and hooks outlive the session. */
struct session *session_new(const struct session_settings *settings, const struct session_peer *peer,
    const struct session_hooks *hooks, void *context);
void session_free(struct session *session); /* NULL is fine */

/* False while packets of the client must wait (CONNECT is on its way to the broker, or too many answers are
 * outstanding): the caller keeps the bytes and asks again after each packet of the broker. */
bool session_client_ready(const struct session *session);

/* Replaces settings and policy, which need not be the old ones' equals. An open session is judged anew: who
 * the client is, its will, its subscriptions; what the new policy forbids ends now. Not while CONNECT is on
 * its way (session_is_connecting()), nor once the session has ended. What the old settings point to is not
 * looked at any more. settings outlives the session. */
void session_rebind(
    struct session *session, const struct session_settings *settings, struct session_output *output);
/* The client must go now, and its will with it: whoever takes its place is to find no message of its. */
void session_evict(struct session *session, enum reason reason, struct session_output *output);
bool session_is_connecting(
    const struct session *session); /* CONNECT is being checked, or went on and CONNACK is awaited */

/* A frame of the client, or of the broker. frame's bytes hold for the call. */
enum session_verdict session_client_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);
enum session_verdict session_broker_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);

/* Packets at the start of input that go on unchanged and leave nothing to tell and nothing to answer, as far
 * as that is known at a glance: QoS 0 and 1 on topics that the connection's cache knows, and their PUBACKs.
 * At most `most` PUBLISHes are taken. Only where packets may be handed in and have room in the audit. Costs a
 * fraction of what handing them in does. */
struct session_run {
    size_t length; /* bytes of them; 0: session_client_packet() or session_broker_packet() is to decide */
    uint64_t publishes, pubacks;
};
struct session_run session_client_run(struct session *session, struct view input, uint64_t most);
struct session_run session_broker_run(struct session *session, struct view input, uint64_t most);
/* The same of packets that are dropped without an answer, as repeats of an event. At most REPEATS_STEP. */
struct session_run session_client_refused(struct session *session, struct view input, uint64_t most);
struct session_run session_broker_refused(struct session *session, struct view input, uint64_t most);

/* What the check that an output asked for has found; REASON_none: name and password are right. */
void session_password_checked(struct session *session, enum reason found, struct session_output *output);

/* What hooks.replay asked for is known. The packets that waited for it are carried out, up to the next that
 * has to wait. A ticket that the session has given up is fine. */
void session_replay_answered(
    struct session *session, uint64_t ticket, enum replay_answer answer, struct session_output *output);
/* What hooks.scan_later asked for is known: as above, for both directions. */
void session_scan_answered(struct session *session, uint64_t ticket, const struct session_scanned *results,
    size_t count, struct session_output *output);
/* Packets of the client wait for the replay store or a scan, or packets of the broker for a scan: nothing
 * more is read of that side, since its end must come after them; and no other policy is bound. */
bool session_is_asking(const struct session *session);
bool session_is_asking_broker(const struct session *session);
/* The audit has room again: packets whose turn had to wait for that are carried out. */
void session_carry_on(struct session *session, struct session_output *output);
/* The packets that are handed in from now on can't be recorded: CONNECT, PUBLISH, SUBSCRIBE and deliveries
 * are refused (audit_unavailable); what needs no record goes on. */
void session_set_unrecorded(struct session *session, bool unrecorded);
/* As the answer for the next packet is; not SESSION_ROOM_LATER. */
void session_set_room(struct session *session, enum session_room room);
/* False while packets of the broker must wait: as session_client_ready(). */
bool session_broker_ready(const struct session *session);

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
/* When the credential of an open session ends, in seconds since 1970; 0: never. */
uint64_t session_expires_s(const struct session *session);
/* That time has come: true if the session is to be aborted for credential_expired. Monitor mode reports it,
 * once, and goes on. */
bool session_expire(struct session *session);
/* The client's address is banned, or the identity that it has proven. */
bool session_is_banned(const struct session *session);
/* The broker's address, once it is known (borrowed). */
void session_set_server(struct session *session, struct view address, uint16_t port);
/* What a ring must have free before this packet is handed in, so that its audit events find room. (What comes
 * of an event that finds none after all is hooks.audit's.) frame NULL: one whose answer has come. */
struct session_need session_audit_need(struct session *session, const struct mqtt_frame *frame);
/* The same for any packet of a run, in bytes: at most. */
size_t session_run_need(struct session *session);
/* The same for the end of the session, whatever its reason: at most. */
size_t session_end_need(struct session *session);
/* Whose doing it is what the client does: the identity, if it is proven and not one that all anonymous
 * clients share; empty: the address's. Holds until the next call that takes the session. */
struct view session_answers_as(const struct session *session);
/* Whose it will be once the credential that is being checked is found right. */
struct view session_proven_as(const struct session *session);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Between conn.c (the data path), conn_life.c (accept, broker connection, end) and conn_timer.c (time-outs).
 */
#ifndef MQWARD_PROXY_CONN_INTERNAL_H
#define MQWARD_PROXY_CONN_INTERNAL_H

#include <event2/event_struct.h>
#include <netinet/in.h>

#include "base/buffer.h"
#include "proxy/conn.h"
#include "proxy/counters.h"
#include "proxy/registry.h"
#include "proxy/session/session.h"
#include "proxy/stream.h"
#include "proxy/worker.h"

#define CONN_MAGIC 0xc0221102u

/* A queue above HIGH: the side that fills it is not read until it is below LOW. Made-up answers fill a
 * client's own queue: above OWN it is not read either. */
#define CONN_QUEUE_HIGH (256 * 1024)
#define CONN_QUEUE_LOW (64 * 1024)
#define CONN_QUEUE_OWN (1024 * 1024)
/* Ended connections take and throw away what still comes for so long, so that a reset does not overtake the
 * last answer. */
#define CONN_LINGER_MS 2000

/* HANDSHAKE -> CONNECT -> (IDENTIFY ->) DIAL -> CONNACK -> OPEN; any -> CLOSING -> DEAD. */
enum conn_phase {
    CONN_HANDSHAKE,
    CONN_CONNECT,
    CONN_IDENTIFY, /* the password is being checked, or the replay store asked about the will's signature */
    CONN_DIAL,
    CONN_CONNACK,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_DEAD
};

struct conn_side {
    struct stream *stream;
    struct buffer tail; /* bytes of packets not handled yet: an incomplete one, or what waits */
    size_t wanted;      /* size of the incomplete packet at the tail's start, 0 = not known yet */
    bool waiting;       /* the tail holds whole packets that were not taken (pause) */
    bool paused;        /* not read for now */
    bool throttled;     /* its stream's queue went above HIGH and is not below LOW yet */
    bool done;          /* CLOSING: the peer's end was seen, or the stream failed */
    uint64_t bytes, packets;
};

struct conn_ask;
struct conn_scan;
struct dial;
struct rate_set;
struct tls_peer;

struct conn {
    uint32_t magic;
    enum conn_phase phase;
    struct worker *worker;
    struct snapshot *snapshot; /* that service belongs to; one reference */
    struct service *service;
    struct conn *previous, *next, *next_reaped;
    struct session *session; /* NULL before the handshake is done */
    struct session_peer peer;
    struct tls_peer *tls_peer;
    struct registry_session *claim;
    struct rate_set *rates; /* what checks count; NULL: nothing */
    struct conn_side client, broker;
    struct dial *dial;
    struct password_job *password_job;
    struct conn_ask *asks;        /* of the shared replay store, under way */
    struct conn_scan *scans;      /* on the pool: at most one of each direction */
    struct buffer connect_packet; /* for the broker, until there is a stream to it */
    struct event timer;
    uint64_t expires_s;          /* for which expiry_deadline_ms was found; 0: it is to be found */
    uint64_t expiry_deadline_ms; /* monotonic */
    uint64_t timer_at;           /* monotonic ms for which it is set, 0: not set */
    uint64_t started_ms, phase_deadline_ms, client_seen_ms, seen_ms;
    uint64_t handshake_ns, dial_ns; /* since when, monotonic; 0: it is not under way */
    uint64_t unanswered_since_ms; /* OPEN: the client is not read because the broker owes answers; 0: it is */
    uint64_t phase_grace_ms;      /* how much later the phase may end because there was no room in the ring */
    bool audit_waiting;           /* in one of the worker's lists (conn_wait.c): */
    bool waits_for_share;         /* while there is room; else for that */
    struct session_need waiting_need;
    struct conn *previous_waiting, *next_waiting;
    uint64_t waiting_since_ms;
    uint64_t peer_left_ms;  /* OPEN: since when the client was found to have left while it waits; 0: not */
    enum reason aborting;   /* it is over, and only its events wait; REASON_none: it is not */
    bool password_answered; /* and that had no room yet: */
    enum reason password_found;
    struct worker_share audit_share;
    char address[INET6_ADDRSTRLEN];
    char server_address[INET6_ADDRSTRLEN];
    char session_id[40];
};

/* conn.c */
void conn_pump(struct conn *conn, struct conn_side *from);
struct session_output conn_output_begin(struct conn *conn);
/* Carries out what a session asked for outside of a packet's own forwarding. */
void conn_carry_out(struct conn *conn, struct session_output *output);
/* Reads what may be read and only that; after whatever changed queues, phase or session. */
void conn_update_reading(struct conn *conn);

/* conn_timer.c */
void conn_set_phase(struct conn *conn, enum conn_phase phase, uint64_t timeout_ms);
/* Sets the timer for the nearest deadline. */
void conn_schedule(struct conn *conn);
void conn_on_timer(evutil_socket_t fd, short what, void *argument);

/* conn_audit.c: hooks of the session */
void conn_audit(void *context, const struct audit_event *event);
bool conn_audit_repeat(void *context, const struct audit_event *event, struct repeats_ticket *ticket);
bool conn_audit_again(void *context, const struct repeats_ticket *ticket, uint64_t count);
/* conn_ban.c: hooks of the session */
bool conn_count_denial(void *context, const struct session_party *party, const struct policy_repeat *repeat);
void conn_begin_ban(void *context, const struct session_ban *ban);
uint64_t conn_ban_left(void *context, const struct session_party *party, bool ordered);

/* conn_rates.c: hooks of the session */
void conn_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject);
struct session_rates conn_count(void *context, enum session_counted counted, uint64_t checks, uint64_t bytes);

/* Hook of the session: may the next of the packets that waited have its turn? */
enum session_room conn_room(void *context, struct session_need need);
/* An answer that packets wait for has come: is there room for what they have to tell? */
enum session_room conn_answer_room(struct conn *conn);
/* False: not yet. */
bool conn_may_answer(struct conn *conn);

/* conn_replay.c: hooks of the session */
bool conn_replay(
    void *context, const struct session_replay *asked, uint64_t ticket, enum replay_answer *answer);
bool conn_replay_is_done(void *context, const struct session_replay *asked);
void conn_replay_end(void *context, const struct session_replay *asked, bool done);
/* Answers that are still to come do not come any more. */
void conn_cancel_asks(struct conn *conn);
/* The audit has room again: answers that waited for that are carried out. */
void conn_deliver_answers(struct conn *conn);

/* conn_scan.c: hooks of the session */
bool conn_scan(void *context, const struct scan_request *request, struct scan_result *result);
void conn_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket);
void conn_cancel_scans(struct conn *conn);
/* As conn_deliver_answers(). */
void conn_deliver_scans(struct conn *conn);

/* conn_password.c */
void conn_check_password(struct conn *conn, const struct session_password_check *check);
/* As conn_deliver_answers(). */
void conn_deliver_password(struct conn *conn);

/* conn_wait.c */
/* Its packets wait for room in the ring, or for its share of it: conn_resume() follows. */
void conn_wait(struct conn *conn, bool for_share, struct session_need need);
/* Its end waits for room, whatever it has waited for before. */
void conn_wait_to_end(struct conn *conn);
/* Is there room for what is to be said of its end, or can't that be waited for? */
bool conn_has_room_to_end(struct conn *conn);
/* It does not wait any more; its time-outs go on where they were. */
void conn_wait_end(struct conn *conn);
/* May the connection be ended? False: there is no room for what is to be said of it, and it waits. *reason
 * becomes that of an end that has waited. */
bool conn_may_end(struct conn *conn, enum reason *reason);

/* conn_rebind.c */
/* Fills in what the session is told of the peer. */
void conn_describe_peer(struct conn *conn);
/* Binds the connection to the snapshot in force, if it is not and this is a moment for it. */
void conn_bind(struct conn *conn);

/* conn_life.c */
/* After whatever happened to a connection: what follows from its phase. */
void conn_after_event(struct conn *conn);
void conn_open_broker(struct conn *conn);
/* The broker has closed the connection without a word: why, as far as can be known. */
enum reason conn_broker_closed(const struct conn *conn);
/* The proxy's own reasons: asks the session for the right last words. */
void conn_abort(struct conn *conn, enum reason reason);
/* The one way to an end: the audit's last event, what is queued is written, both streams are shut. */
void conn_close(struct conn *conn, enum reason reason);
/* CLOSING: frees when nothing is left to do. */
void conn_check_done(struct conn *conn);

#endif

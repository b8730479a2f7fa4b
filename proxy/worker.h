/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread, one loop, its listeners' sockets, its connections, its audit ring. A connection never
 * changes its worker; nothing on the packet path is shared between workers. */
#ifndef MQWARD_PROXY_WORKER_H
#define MQWARD_PROXY_WORKER_H

#include <event2/util.h>

#include "base/buffer.h"
#include "base/ring.h"
#include "exporters/exporter.h"
#include "exporters/repeats.h"
#include "proxy/registry.h"
#include "proxy/service.h"
#include "proxy/shares.h"

struct conn;
struct event;
struct event_base;
struct evdns_base;

/* What a worker's connections read into: large enough that one turn of the loop takes many records. */
#define WORKER_SCRATCH (128 * 1024)

/* Something to be run on a worker's thread; belongs to whoever posts it, until it is run. */
struct worker_task {
    struct worker_task *next;
    void (*run)(struct worker_task *task);
};

struct bans;
struct counters;
struct denials;
struct logins;
struct rates;
struct replay_shared;
struct replay_store;
struct password_pool;
struct scan_pool;
struct stream_turns;

/* The replay store that proxies share; of all workers. */
struct worker_replay {
    const struct exporter_redis *redis; /* NULL: it is not shared */
    const char *prefix;                 /* of its keys */
    _Atomic unsigned away;              /* workers that have lost it */
};

/* A connection, and who answers for it: whose events in the worker's ring are whose doing? All zero at first.
 */
struct worker_share {
    struct share own;
    uint64_t site;      /* hash_bytes() of its address's site */
    uint64_t principal; /* whose doing it is: the same of the identity, if it is proven, else of the site */
    bool admitted;      /* a packet of it was let in */
    bool settled; /* it neither comes nor goes; while it does, its site answers for it, too, or an identity
                     had a new share with each connection */
};

/* Connections that wait, in the order in which they came. */
struct worker_waiting {
    struct conn *first, *last;
    struct conn *look; /* the next one to be looked at, whether its peer is still there; NULL: the first */
    size_t count;
};

struct worker {
    unsigned index;
    char run[9];               /* of the process: the first part of session ids */
    struct snapshot *snapshot; /* in force; one reference */
    struct registry *registry;
    struct exporter *exporter;
    struct password_pool *passwords;
    struct logins *logins;
    struct denials *denials;
    struct bans *bans;
    struct rates *rates;
    struct replay_store *replays;
    struct scan_pool *scan_pool;
    struct scanner *scanner; /* NULL: nothing was scanned yet */
    uint64_t scan_work;      /* of the connection that has its turn (struct scan_result) */
    uint64_t scan_quiet_ns;  /* what a scan took that met no rule, when one was last timed */
    unsigned scans_untimed;  /* since */
    struct worker_replay *replay;
    struct replay_shared *replay_shared; /* NULL: the store is the process's own */
    bool replay_away;                    /* it is lost: counted in replay->away */
    struct ring *ring;
    struct repeats *repeats; /* beside it */
    int on_full;             /* enum config_on_full */
    bool aggregates;
    struct event *tell_event; /* of what is in no ring */
    uint64_t tell_at_ms;      /* for which it is set, monotonic; 0: not set */
    uint64_t lost_told_ms;    /* when losses were told last */
    uint64_t lost_tail;       /* where the ring's tail was when something was lost first since */
    struct shares shares;     /* of principals and sites */
    struct event_base *base;
    struct stream_turns *streams;       /* of its connections */
    struct evdns_base *dns;             /* NULL where every upstream is an address */
    uint8_t *scratch;                   /* WORKER_SCRATCH bytes, shared by all connections of the worker */
    struct buffer to_client, to_broker; /* a packet's answers, empty between packets */
    struct counters *counters;          /* for metrics; this thread writes it */
    struct session_hooks session_hooks; /* of its connections */
    uint64_t sessions;                  /* counted, for session ids */
    uint64_t dials;                     /* counted, for the sources of connections to the broker */
    uint64_t now_ns;  /* monotonic, of the packets that are being handled; 0: nobody has asked yet */
    uint64_t wall_us; /* the same, since 1970: of their newest event */

    struct conn *conns; /* all of them */
    size_t conn_count;
    struct conn *rebind; /* the next one to be bound to the snapshot in force; NULL: all are */
    struct conn *banned; /* the next one to be asked whether it is banned; NULL: all were asked */
    struct conn *reap;   /* to be freed after this turn of the loop */
    struct worker_waiting waiting_room, waiting_share; /* in the ring (conn_wait.c) */
    struct event *reap_event;
    bool audit_full; /* connections and listeners wait for room in the ring */
    bool stopping;
};

/* What all workers share. */
struct worker_shared {
    struct registry *registry;
    struct exporter *exporter;
    struct password_pool *passwords;
    struct logins *logins;
    struct denials *denials;
    struct bans *bans;
    struct rates *rates;
    struct replay_store *replays;
    struct scan_pool *scan_pool;
    struct worker_replay *replay;
};

struct worker *worker_new(
    unsigned index, const char *run, struct snapshot *snapshot, const struct worker_shared *shared);
/* Takes fd (bound and listening) for service. Before worker_start(). */
int worker_listen(struct worker *worker, struct service *service, int fd);
int worker_start(struct worker *worker);
/* Any thread: no new connections, each session is told that the proxy stops; the loop ends when all are gone,
 * or after drain_ms. */
void worker_stop(struct worker *worker, uint64_t drain_ms);
/* Any thread: from now on this snapshot is in force; connections are bound to it between packets. Takes a
 * reference of its own. */
void worker_reload(struct worker *worker, struct snapshot *snapshot);
/* Any thread: has the task run on the worker's thread; not any more once the worker has ended. */
void worker_post(struct worker *worker, struct worker_task *task);
/* Any thread: a ban has begun; whom it concerns is disconnected. */
void worker_enforce_bans(struct worker *worker);
/* Any thread: the ring has room again. */
void worker_audit_drained(struct worker *worker);
/* Any thread: its loop has ended, or never began: worker_join() does not wait. */
bool worker_has_ended(const struct worker *worker);
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* ---- for conn.c ---- */
/* An event into the ring, or, if it is like one that was told, into the count of those. Without room it waits
 * (audit.on_full: block; the caller normally asks first), or is counted as lost. share: of its connection;
 * NULL: it is of none. */
void worker_audit(struct worker *worker, struct worker_share *share, const struct audit_event *event);
/* The first half of it: true, it is like one that was told, and counted; *ticket: for those that are the
 * same.
 */
bool worker_audit_repeat(
    struct worker *worker, const struct audit_event *event, struct repeats_ticket *ticket);
/* Counts so many more, now. False: the ticket is over. */
bool worker_audit_again(struct worker *worker, const struct repeats_ticket *ticket, uint64_t count);
/* The share of a new connection: who comes again and again from one address, or from one /64 of IPv6, has no
 * new one each time. */
void worker_share_begin(struct worker_share *share, struct view address);
/* From now on it is the doing of an identity, which is proven; empty: of nobody but the address. Before it is
 * asked for, so that who is asked for is who is charged. */
void worker_share_answer(struct worker_share *share, struct view identity);
enum worker_room {
    WORKER_ROOM,
    WORKER_ROOM_LATER,  /* on_full: block; the worker resumes its connections */
    WORKER_SHARE_LATER, /* the same: there is room, but not for whom it is asked */
    WORKER_ROOM_DENIED  /* on_full: deny; what would have to be recorded is to be refused */
};
/* The usual case, for every packet: the lower half of the ring takes them all, so that nobody's share
 * matters. True: let in, as by worker_audit_ask(). */
bool worker_audit_is_easy(const struct worker *worker, struct worker_share *share, size_t most);
/* Room for events of a connection, of most bytes at most with their overheads, and within its share of what
 * is left, if they take what they usually do? */
enum worker_room worker_audit_ask(
    struct worker *worker, struct worker_share *share, size_t most, size_t usual);
/* What the answer would be, if it were asked when promised bytes more are in the ring. */
enum worker_room worker_audit_foresee(const struct worker *worker, const struct worker_share *share,
    size_t most, size_t usual, size_t promised);
/* on_full: block: can so much ever be waited for? More than half of the ring could not be, and the worker
 * would stand still in the middle of it. */
bool worker_audit_can_wait(const struct worker *worker, size_t most);
/* For what nobody can be refused: false: not yet. size: as most above. */
bool worker_audit_room(struct worker *worker, size_t size);
/* Of one event, of whatever length. */
#define WORKER_EVENT_MOST (2 * (size_t)(AUDIT_EVENT_MAX + RING_OVERHEAD))
/* Has the connection freed when this turn of the loop is over. */
void worker_reap(struct worker *worker, struct conn *conn);

/* ---- worker.c, for worker_audit.c ---- */
/* Listeners and connections wait until the ring was drained, or a moment. */
void worker_rest(struct worker *worker);
/* The same for connections alone. */
void worker_rest_connection(struct worker *worker);
/* Waits a moment for room in the ring. False: the process is to end, and it was waited for long enough. */
bool worker_wait_for_room(struct worker *worker);

/* ---- worker_audit.c, for worker.c ---- */
void worker_on_tell(evutil_socket_t fd, short what, void *argument);
/* On its thread, before its loop: what an earlier run has left in the table is told. */
void worker_audit_begin(struct worker *worker);
/* The loop has ended: what was counted goes into the ring, or stays for the next start. */
void worker_audit_finish(struct worker *worker);

/* ---- worker_replay.c, for worker.c ---- */
/* The worker's link, if the store is shared. -1 after an error was logged. */
int worker_replay_open(struct worker *worker, struct worker_replay *replay);
/* The loop has ended: turns it for a moment if Redis is owed something. */
void worker_replay_flush(struct worker *worker);
void worker_replay_close(struct worker *worker);

#endif

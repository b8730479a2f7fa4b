/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one thread, one loop, its listeners' sockets, its connections, its audit ring. A connection never
 * changes its worker; nothing on the packet path is shared between workers. */
#ifndef MQWARD_PROXY_WORKER_H
#define MQWARD_PROXY_WORKER_H

#include "base/buffer.h"
#include "base/ring.h"
#include "exporters/exporter.h"
#include "proxy/registry.h"
#include "proxy/service.h"

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
struct denials;
struct logins;
struct rates;
struct replay_shared;
struct replay_store;
struct password_pool;
struct scan_pool;

/* The replay store that proxies share; of all workers. */
struct worker_replay {
    const struct exporter_redis *redis; /* NULL: it is not shared */
    const char *prefix;                 /* of its keys */
    _Atomic unsigned away;              /* workers that have lost it */
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
    struct worker_replay *replay;
    struct replay_shared *replay_shared; /* NULL: the store is the process's own */
    bool replay_away;                    /* it is lost: counted in replay->away */
    struct ring *ring;
    struct event_base *base;
    struct evdns_base *dns;             /* NULL where every upstream is an address */
    uint8_t *scratch;                   /* WORKER_SCRATCH bytes, shared by all connections of the worker */
    struct buffer to_client, to_broker; /* a packet's answers, empty between packets */
    uint64_t sessions;                  /* counted, for session ids */
    uint64_t now_ns; /* monotonic, of the packets that are being handled; 0: nobody has asked yet */

    struct conn *conns; /* all of them */
    size_t conn_count;
    struct conn *rebind; /* the next one to be bound to the snapshot in force; NULL: all are */
    struct conn *banned; /* the next one to be asked whether it is banned; NULL: all were asked */
    struct conn *reap;   /* to be freed after this turn of the loop */
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
void worker_join(struct worker *worker);
void worker_free(struct worker *worker);

/* ---- for conn.c ---- */
/* An event into the ring. Never loses one: without room it waits (the caller normally asks for room first).
 */
void worker_audit(struct worker *worker, const struct audit_event *event);
/* Room for size bytes of events? If not, the worker remembers to resume its connections when there is. */
bool worker_audit_room(struct worker *worker, size_t size);
/* Has the connection freed when this turn of the loop is over. */
void worker_reap(struct worker *worker, struct conn *conn);

/* ---- worker_replay.c, for worker.c ---- */
/* The worker's link, if the store is shared. -1 after an error was logged. */
int worker_replay_open(struct worker *worker, struct worker_replay *replay);
/* The loop has ended: turns it for a moment if Redis is owed something. */
void worker_replay_flush(struct worker *worker);
void worker_replay_close(struct worker *worker);

#endif

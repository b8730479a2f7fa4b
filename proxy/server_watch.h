/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics, health and status know of the process besides what its parts say of themselves. A part of
 * struct server (server_internal.h); all on the main thread. */
#ifndef MQWARD_PROXY_SERVER_WATCH_H
#define MQWARD_PROXY_SERVER_WATCH_H

#include "base/buffer.h"
#include "proxy/metrics.h"

struct admin;
struct server;
struct slots;
struct snapshot;

enum server_reload_result { SERVER_RELOAD_OK, SERVER_RELOAD_FAILED, SERVER_RELOAD_RESULTS };

struct server_watch {
    struct admin *admin; /* NULL: the configuration has none */
    struct slots *rule_slots, *set_slots;
    const struct counters **counters; /* of the workers */
    struct metrics_workers workers;   /* the same, for metrics.c */
    uint64_t started_ms, started_us;  /* monotonic, and wall */
    uint64_t loaded_us;               /* wall: when the policy was put in force */
    uint64_t reloads[SERVER_RELOAD_RESULTS];
    uint64_t reloaded_us[SERVER_RELOAD_RESULTS]; /* wall: the last ones; 0: there was none */
    char *reload_error;                          /* where the last one's was; NULL: it succeeded */
    bool draining;
    struct metrics_descriptors descriptors;
};

/* server_watch.c */
/* Workers are made and not started. */
void server_watch_begin(struct server *server);
void server_watch_free(struct server *server);
/* A snapshot is about to be in force. */
void server_watch_snapshot(struct server *server, struct snapshot *snapshot);
/* A reload has ended; error: NULL if it succeeded. Whoever may ask for /status reads it. */
void server_watch_reload(struct server *server, const char *error);

/* Why it should get no new clients now, as lines; empty: it is ready. */
void server_unready(const struct server *server, struct buffer *why);

/* server_admin.c: where the configuration asks for it. -1 after an error was logged. */
int server_admin_open(struct server *server);
void server_admin_close(struct server *server);

/* server_metrics.c: all of /metrics. */
void server_write_metrics(struct server *server, struct buffer *out);
/* server_status.c: all of /status, a JSON object. */
void server_write_status(struct server *server, struct buffer *out);

#endif

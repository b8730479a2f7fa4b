/* SPDX-License-Identifier: Apache-2.0 */
/* Between server.c (start and end), server_loop.c (what the main thread does meanwhile) and server_control.c
 * (what operators ask for). */
#ifndef MQWARD_PROXY_SERVER_INTERNAL_H
#define MQWARD_PROXY_SERVER_INTERNAL_H

#include <event2/util.h>
#include <signal.h>

#include "exporters/redis_settings.h"
#include "proxy/bans.h"
#include "proxy/control.h"
#include "proxy/denials.h"
#include "proxy/retired.h"
#include "proxy/server.h"
#include "proxy/server_watch.h"
#include "proxy/worker.h"

/* What the settings of a Redis need, and no configuration holds. */
struct server_redis {
    struct credentials *credentials, *sentinel_credentials;
    struct redis_address *nodes;
};

struct server {
    const char *path;          /* of mqward.yaml */
    struct snapshot *snapshot; /* in force */
    struct retired *retired;   /* were in force */
    struct snapshot *first;    /* its configuration alone: the exporter's settings point into it */
    struct registry *registry;
    struct password_pool *passwords;
    struct logins *logins;
    struct denials *denials;
    struct bans *bans;
    struct rates *rates;
    struct replay_store *replays;
    struct quarantine *quarantine; /* NULL: the configuration has none */
    struct scan_pool *scan_pool;
    struct worker_replay replay; /* where it is shared */
    struct exporter_redis replay_redis;
    struct server_redis replay_owned;
    struct exporter *exporter;
    struct worker **workers;
    size_t worker_count;
    struct server_sinks *sinks;
    char run[9];
    char hostname[256];

    struct event_base *base;
    int signal_fd, wake_fd; /* wake_fd: bans have changed */
    struct event *signal_event, *wake_event, *bans_timer, *keys_timer, *retired_timer, *lost_timer;
    struct control *control; /* NULL: the configuration has none */
    struct server_watch watch;
};

/* server_audit.c: an event of the process itself, through the main thread's own ring. Time, policy and
 * disposition are filled in. */
void server_audit(struct server *server, struct audit_event *event);
bool server_audit_room(const struct server *server);
void server_on_lost_timer(evutil_socket_t fd, short what, void *argument);
/* What is changed is in the audit before; without room for the event there is no change. */
#define SERVER_NO_ROOM "the audit has no room for the event: nothing was changed"

/* server.c: the policy is about to be in force; the replay store has to remember what it needs. */
void server_expect_replays(struct server *server, const struct policy *policy);

/* server_redis.c */
/* Fills in how the server is reached. What that takes goes to owned, also after an error (logged): -1. */
int server_redis_fill(
    struct exporter_redis *redis, const struct config_redis_server *config, struct server_redis *owned);
void server_redis_release(struct server_redis *owned); /* wipes passwords; all zero is fine */

/* server_credentials.c */
/* What a server is reached with. tls, password_file: NULL without. The files are read; NULL after an error
 * was logged. The caller's. */
struct credentials *server_credentials(
    const char *component, const struct config_upstream_tls *tls, const char *password_file);
/* The same for nothing: what would be the error. */
bool server_credentials_check(
    const struct config_upstream_tls *tls, const char *password_file, char *error, size_t error_size);
/* A reload: all files of sinks and of the shared replay store are read again. False: why, where and findings
 * are appended, as by reload_snapshot(), and what was read before stays. */
bool server_credentials_read(
    struct server *server, struct buffer *why, struct buffer *where, struct buffer *findings);
/* What was read is what the next connections are made with. */
void server_credentials_commit(struct server *server);

/* server_kafka.c */
struct exporter_kafka;
/* *credentials is set where there are TLS or a password, and is the caller's. -1 after an error was logged.
 */
int server_kafka_fill(
    struct exporter_kafka *kafka, const struct config_kafka *config, struct credentials **credentials);

/* server_sink_fill.c */
struct config_audit;
struct config_sink_file;
struct config_sink_stdout;
struct config_sink_syslog;
struct sink_file_settings;
struct sink_stdout_settings;
struct sink_syslog_settings;
void server_file_fill(
    struct sink_file_settings *file, const struct config_sink_file *config, const struct config_audit *audit);
void server_stdout_fill(struct sink_stdout_settings *output, const struct config_sink_stdout *config,
    const struct config_audit *audit);
/* *credentials is set where there is TLS, and is the caller's. -1 after an error was logged. */
int server_syslog_fill(struct sink_syslog_settings *syslog, const struct config_sink_syslog *config,
    struct credentials **credentials);

/* server_sinks.c */
struct config_audit;
struct server_sinks;
/* What the exporter takes of the configured sinks; it points into the configuration. NULL after an error was
 * logged. */
struct server_sinks *server_sinks_new(const struct config_audit *audit);
/* What each of them owns, in their order; the name is "sink 'siem'". */
void server_sinks_each(struct server_sinks *sinks,
    void (*call)(void *argument, const char *name, struct server_redis *owned), void *argument);
/* As many as are configured, in their order. */
const struct exporter_sink *server_sinks_rows(const struct server_sinks *sinks);
void server_sinks_free(struct server_sinks *sinks); /* NULL is fine; passwords are wiped */

/* server_scan.c */
/* The pool that scans, and the quarantine. -1 after an error was logged. */
int server_scan_open(struct server *server);
void server_scan_close(struct server *server);

/* server_loop.c */
/* What the loop needs; signals are blocked and from now on its own. -1 after an error was logged. */
int server_loop_open(struct server *server, const sigset_t *signals);
/* Until SIGTERM or SIGINT. */
void server_loop(struct server *server);
/* Workers were told to stop: until all of them have ended, the admin listener goes on, and nothing else. */
void server_loop_drain(struct server *server);
/* When no thread is left that could begin a ban. */
void server_loop_close(struct server *server);
/* As SIGHUP does. who asked, for the audit. findings (appended): as reload_snapshot(). The error, if there is
 * one, is appended to why. False: what was in force stays. */
bool server_reload(struct server *server, const char *who, struct buffer *why, struct buffer *findings);
/* Bans that have ended since go to the audit. */
void server_report_bans(struct server *server);

/* server_control.c */
/* Where the configuration asks for it. -1 after an error was logged. */
int server_control_open(struct server *server);

#endif

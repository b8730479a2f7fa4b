/* SPDX-License-Identifier: Apache-2.0 */
/* Between server.c (start and end), server_loop.c (what the main thread does meanwhile) and server_control.c
 * (what operators ask for). */
#ifndef MQWARD_PROXY_SERVER_INTERNAL_H
#define MQWARD_PROXY_SERVER_INTERNAL_H

#include <signal.h>

#include "proxy/bans.h"
#include "proxy/control.h"
#include "proxy/denials.h"
#include "proxy/retired.h"
#include "proxy/server.h"
#include "proxy/worker.h"

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
    char *replay_password;
    struct exporter *exporter;
    struct worker **workers;
    size_t worker_count;
    struct exporter_redis *redis;
    char **redis_passwords;
    char run[9];
    char hostname[256];

    struct event_base *base;
    int signal_fd, wake_fd; /* wake_fd: bans have changed */
    struct event *signal_event, *wake_event, *bans_timer, *keys_timer, *retired_timer;
    struct control *control; /* NULL: the configuration has none */
};

/* server.c: an event of the process itself, through the main thread's own ring. Time, policy and disposition
 * are filled in. */
void server_audit(struct server *server, struct audit_event *event);
bool server_audit_room(const struct server *server);
/* What is changed is in the audit before; without room for the event there is no change. */
#define SERVER_NO_ROOM "the audit has no room for the event: nothing was changed"

/* server.c: the policy is about to be in force; the replay store has to remember what it needs. */
void server_expect_replays(struct server *server, const struct policy *policy);

/* server_redis.c */
/* Fills in how the server is reached. *password is set where there is one; server_redis_forget() wipes and
 * frees it. -1 after an error was logged. */
int server_redis_fill(
    struct exporter_redis *redis, const struct config_redis_server *config, char **password);
void server_redis_forget(char *password); /* NULL is fine */

/* server_scan.c */
/* The pool that scans, and the quarantine. -1 after an error was logged. */
int server_scan_open(struct server *server);
void server_scan_close(struct server *server);

/* server_loop.c */
/* What the loop needs; signals are blocked and from now on its own. -1 after an error was logged. */
int server_loop_open(struct server *server, const sigset_t *signals);
/* Until SIGTERM or SIGINT. */
void server_loop(struct server *server);
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

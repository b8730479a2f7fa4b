/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's main thread: opens what can fail before anything is served, starts the threads, drains at the
 * end; what it does meanwhile is in server_loop.c. Called by the subcommand run. */
#include "proxy/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/exporter.h"
#include "proxy/listen_address.h"
#include "proxy/logins.h"
#include "proxy/password_pool.h"
#include "proxy/rates.h"
#include "proxy/server_internal.h"

#define BACKLOG 65535 /* as many as the kernel allows: net.core.somaxconn */
/* After the connections are gone, the sinks have so long to confirm the rest; the journal keeps what they
 * have not. */
#define EXPORTER_WAIT_MS 2000

/* ---- audit ---- */

void server_expect_replays(struct server *server, const struct policy *policy)
{
    struct replay_span span;

    policy_replay_span(policy, &span);
    replay_expect(server->replays, &span, clock_wall_us() / 1000);
}

/* The replay store outlives reloads, and with them policies. */
static int open_replay(struct server *server)
{
    const struct config_replay *config = &server->snapshot->config->replay;
    const struct replay_limits limits = {config->per_signer, config->nonces, config->signers};

    server->replays = replay_new(&limits);
    server_expect_replays(server, server->snapshot->policy);
    if (config->redis == NULL)
        return 0;
    server->replay.redis = &server->replay_redis;
    server->replay.prefix = config->redis->prefix;
    return server_redis_fill(&server->replay_redis, &config->redis->server, &server->replay_owned);
}

static void on_drained(void *argument)
{
    const struct server *server = argument;

    for (size_t i = 0; i < server->worker_count; i++)
        worker_audit_drained(server->workers[i]);
}

static int open_exporter(struct server *server)
{
    static const enum exporter_fsync fsyncs[] = {
        [CONFIG_FSYNC_ALWAYS] = EXPORTER_FSYNC_ALWAYS,
        [CONFIG_FSYNC_INTERVAL] = EXPORTER_FSYNC_INTERVAL,
        [CONFIG_FSYNC_NEVER] = EXPORTER_FSYNC_NEVER,
    };
    static const char *const when_full[] = {
        [CONFIG_ON_FULL_BLOCK] = "rings fill, then clients are no longer read",
        [CONFIG_ON_FULL_DENY] = "rings fill, then what can't be recorded is refused",
        [CONFIG_ON_FULL_DROP] = "rings fill, then events are lost",
    };
    const struct config_audit *audit = &server->snapshot->config->audit;
    char error[512] = "";
    struct exporter_settings settings = {
        .directory = audit->directory.path,
        .fsync = fsyncs[audit->fsync],
        .fsync_interval_ms = audit->fsync_interval_ms,
        .segment_bytes = audit->segment_bytes,
        .quota_bytes = audit->quota_bytes,
        .retention_ms = audit->retention_ms,
        .ring_bytes = audit->ring_bytes,
        .rings = (uint32_t)server->worker_count + 1,
        .hostname = server->hostname,
        .chain = {audit->chain.signing_key.path, audit->chain.checkpoint.events,
            audit->chain.checkpoint.interval_ms},
        .aggregate_ms = audit->aggregate_ms,
        .when_full = when_full[audit->on_full],
        .sink_count = audit->sink_count,
    };

    server->sinks = server_sinks_new(audit);
    if (server->sinks == NULL)
        return -1;
    settings.sinks = server_sinks_rows(server->sinks);
    gethostname(server->hostname, sizeof(server->hostname) - 1);
    if (mkdir(audit->directory.path, 0700) != 0 && errno != EEXIST) {
        LOG_EVENT(LOG_ERROR, "audit", "can't make the directory", log_string("path", audit->directory.path),
            log_string("error", strerror(errno)));
        return -1;
    }
    server->exporter = exporter_open(&settings, error, sizeof(error));
    if (server->exporter != NULL)
        return 0;
    LOG_EVENT(LOG_ERROR, "audit", "can't open the audit trail", log_string("error", error));
    return -1;
}

static void audit_process(struct server *server, enum audit_action action, enum reason reason)
{
    struct audit_event event = {.action = action, .reason = reason};

    server_audit(server, &event);
}

/* ---- listeners ---- */

static int listen_error(const struct config_listener *listener, const char *what, const char *error)
{
    LOG_EVENT(LOG_ERROR, "listener", what, log_string("listener", listener->name),
        log_string("address", listener->address.text), log_string("error", error));
    return -1;
}

/* One socket of a listener. port: the one to bind, 0 for any; the one that was bound is put there. */
static int bind_socket(const struct config_listener *listener, uint16_t *port)
{
    const char *error = NULL;
    int fd = listen_address_bind(&listener->address, *port, true, &error);

    if (fd < 0)
        return listen_error(listener, "can't listen", error);
    if (listen(fd, BACKLOG) != 0) {
        listen_error(listener, "can't listen", strerror(errno));
        close(fd);
        return -1;
    }
    *port = listen_address_port(fd);
    return fd;
}

/* SO_REUSEPORT would share the port with another process of the same user, unnoticed: ask for it alone first.
 */
static int check_port_free(const struct config_listener *listener)
{
    const char *error = NULL;
    int fd = listen_address_bind(&listener->address, listener->address.port, false, &error);

    if (fd < 0)
        return listen_error(listener, "can't listen", error);
    close(fd);
    return 0;
}

static int open_listener(struct server *server, struct service *service)
{
    const struct config_listener *listener = service->listener;
    uint16_t port = listener->address.port;
    bool v6 = strchr(listener->address.host, ':') != NULL;
    char address[300];

    if (port != 0 && check_port_free(listener) != 0)
        return -1;
    for (size_t i = 0; i < server->worker_count; i++) {
        int fd = bind_socket(listener, &port);

        if (fd < 0)
            return -1;
        if (worker_listen(server->workers[i], service, fd) != 0) {
            close(fd);
            return listen_error(listener, "can't listen", strerror(errno));
        }
    }
    snprintf(address, sizeof(address), v6 ? "[%s]:%u" : "%s:%u", listener->address.host, port);
    LOG_EVENT(LOG_INFO, "listener", "listening", log_string("listener", listener->name),
        log_string("address", address), log_string("tls", listener->tls == NULL ? "no" : "yes"),
        log_string("upstream", service->upstream->name));
    return 0;
}

/* ---- start and end ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static size_t count_workers(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (config->workers != CONFIG_AUTO)
        return config->workers;
    return cores < 1 ? 1 : cores > 256 ? 256 : (size_t)cores;
}

static int start(struct server *server)
{
    const struct config *config = server->snapshot->config;
    struct worker_shared shared;

    server->worker_count = count_workers(config);
    server->workers = memory_calloc(server->worker_count, sizeof(*server->workers));
    if (open_exporter(server) != 0 || server_control_open(server) != 0 || server_admin_open(server) != 0)
        return -1;
    server->registry = registry_new();
    server->logins = logins_new();
    server->rates = rates_new(RATES_IDLE_BYTES);
    if (open_replay(server) != 0)
        return -1;
    server->passwords = password_pool_new((unsigned)config->limit_password_checks);
    if (server->passwords == NULL) {
        LOG_EVENT(LOG_ERROR, "server", "can't start the threads that check passwords",
            log_string("error", strerror(errno)));
        return -1;
    }
    if (server_scan_open(server) != 0)
        return -1;
    snapshot_attach(server->snapshot, server->registry);
    shared = (struct worker_shared){server->registry, server->exporter, server->passwords, server->logins,
        server->denials, server->bans, server->rates, server->replays, server->scan_pool, &server->replay};
    for (size_t i = 0; i < server->worker_count; i++) {
        server->workers[i] = worker_new((unsigned)i, server->run, server->snapshot, &shared);
        if (server->workers[i] == NULL) {
            LOG_EVENT(LOG_ERROR, "server", "can't make a worker", log_string("error", strerror(errno)));
            return -1;
        }
    }
    server_watch_begin(server);
    for (size_t i = 0; i < config->listener_count; i++)
        if (open_listener(server, &server->snapshot->services[i]) != 0)
            return -1;
    exporter_on_drained(server->exporter, on_drained, server);
    audit_process(server, AUDIT_proxy_started, REASON_started);
    if (exporter_start(server->exporter) != 0) {
        LOG_EVENT(LOG_ERROR, "server", "can't start the exporter", log_string("error", strerror(errno)));
        return -1;
    }
    for (size_t i = 0; i < server->worker_count; i++)
        if (worker_start(server->workers[i]) != 0) {
            LOG_EVENT(LOG_ERROR, "server", "can't start a worker", log_string("error", strerror(errno)));
            return -1;
        }
    return 0;
}

static void finish(struct server *server)
{
    for (size_t i = 0; i < server->worker_count; i++)
        if (server->workers[i] != NULL)
            worker_stop(server->workers[i], server->snapshot->config->drain_ms);
    server_loop_drain(server);
    for (size_t i = 0; i < server->worker_count; i++)
        if (server->workers[i] != NULL)
            worker_join(server->workers[i]);
    /* The exporter's thread calls on_drained(): it ends before the workers are freed. */
    if (server->exporter != NULL)
        exporter_close(server->exporter, EXPORTER_WAIT_MS);
    password_pool_free(server->passwords); /* they post to the workers */
    server_scan_close(server);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_free(server->workers[i]);
    server_loop_close(server); /* workers wake it */
    registry_free(server->registry);
    logins_free(server->logins);
    denials_free(server->denials);
    bans_free(server->bans);
    rates_free(server->rates);
    replay_free(server->replays);
    server_sinks_free(server->sinks);
    server_redis_release(&server->replay_owned);
    free(server->workers);
    snapshot_release(server->snapshot);
    snapshot_release_config(server->first);
    server_watch_free(server);
}

/* ---- the whole ---- */

int server_run(const char *path, struct snapshot *snapshot)
{
    struct server server = {.path = path,
        .snapshot = snapshot,
        .first = snapshot_retain_config(snapshot),
        .denials = denials_new(),
        .bans = bans_new(),
        .signal_fd = -1,
        .wake_fd = -1};
    sigset_t signals;
    uint32_t run = 0;
    int status = 1;

    if (getrandom(&run, sizeof(run), 0) != sizeof(run))
        run = (uint32_t)clock_wall_us();
    snprintf(server.run, sizeof(server.run), "%08x", run);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGUSR1); /* all of them are read by server_loop() */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(2), handled there */
    raise_descriptor_limit();
    if (server_loop_open(&server, &signals) == 0 && start(&server) == 0) {
        LOG_EVENT(LOG_INFO, "server", "ready", log_string("version", MQWARD_VERSION),
            log_unsigned("workers", server.worker_count),
            log_string("policy", policy_settings(snapshot->policy)->name),
            log_string(
                "mode", policy_settings(snapshot->policy)->mode == POLICY_MONITOR ? "monitor" : "enforce"));
        sd_notify(0, "READY=1");
        server_loop(&server);
        sd_notify(0, "STOPPING=1");
        audit_process(&server, AUDIT_proxy_stopping, REASON_stopping);
        status = 0;
    }
    finish(&server);
    LOG_EVENT(LOG_INFO, "server", "stopped");
    return status;
}

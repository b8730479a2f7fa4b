/* SPDX-License-Identifier: Apache-2.0 */
/* All of /metrics: the families of workers (metrics.c) and those of the other parts. Called by
 * server_admin.c; nothing of it waits for a disk or a worker. */
#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>

#include "base/clock.h"
#include "proxy/scan_pool.h"
#include "proxy/server_internal.h"

#define US_DIGITS 6
#define MS_DIGITS 3

/* ---- the process ---- */

static void write_build(struct server *server, struct metrics *metrics)
{
    const struct view values[] = {view_of_string(MQWARD_VERSION),
        view_of_string(OpenSSL_version(OPENSSL_VERSION_STRING)), view_of_string(event_get_version())};
    struct buffer why = {0};

    metrics_begin_family(metrics, METRICS_build_info);
    metrics_value(metrics, values, 1);
    metrics_single(metrics, METRICS_workers, server->worker_count);
    server_unready(server, &why);
    metrics_single(metrics, METRICS_ready, buffer_length(&why) == 0);
    buffer_release(&why);
}

/* ---- listeners and upstreams ---- */

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void write_listeners(const struct server *server, struct metrics *metrics)
{
    const struct snapshot *snapshot = server->snapshot;

    metrics_begin_family(metrics, METRICS_connections);
    for (size_t i = 0; i < snapshot->config->listener_count; i++)
        metrics_one(metrics, snapshot->services[i].listener->name,
            load(&snapshot->services[i].listener_scope->connections));
    metrics_begin_family(metrics, METRICS_connections_accepted);
    for (size_t i = 0; i < snapshot->config->listener_count; i++)
        metrics_one(metrics, snapshot->services[i].listener->name,
            load(&snapshot->services[i].listener_scope->accepted));
}

/* Upstreams that no listener leads to are not connected to. Those of several are written once. */
static void write_upstreams(const struct server *server, struct metrics *metrics)
{
    const struct snapshot *snapshot = server->snapshot;

    metrics_begin_family(metrics, METRICS_broker_connects);
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        const struct service *service = &snapshot->services[i];

        metrics_two(metrics, service->upstream->name, "reached", load(&service->upstream_scope->reached));
        metrics_two(metrics, service->upstream->name, "failed", load(&service->upstream_scope->unreached));
    }
    metrics_begin_family(metrics, METRICS_broker_up);
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        const struct service *service = &snapshot->services[i];
        int last = atomic_load_explicit(&service->upstream_scope->last, memory_order_relaxed);

        if (last != 0)
            metrics_one(metrics, service->upstream->name, last > 0);
    }
}

static void write_bans(const struct server *server, struct metrics *metrics)
{
    size_t counts[BAN_KINDS];

    bans_count(server->bans, counts);
    metrics_begin_family(metrics, METRICS_bans);
    for (int by = 0; by < BAN_KINDS; by++)
        metrics_one(metrics, ban_by_name((enum ban_by)by), counts[by]);
}

/* ---- the policy ---- */

static void write_policy(const struct server *server, struct metrics *metrics)
{
    const struct policy *policy = server->snapshot->policy;
    const struct policy_settings *settings = policy_settings(policy);
    const struct view values[] = {view_of_string(settings->name), view_of_string(settings->version),
        view_of_string(settings->mode == POLICY_MONITOR ? "monitor" : "enforce")};

    metrics_begin_family(metrics, METRICS_policy_info);
    metrics_value(metrics, values, 1);
    metrics_single_decimal(metrics, METRICS_policy_loaded, server->watch.loaded_us, US_DIGITS);
    metrics_begin_family(metrics, METRICS_policy_rules);
    metrics_one(metrics, "rule", policy_rule_info_count(policy) - policy_check_count(policy));
    metrics_one(metrics, "check", policy_check_count(policy));
}

static void write_reloads(const struct server *server, struct metrics *metrics)
{
    static const char *const results[SERVER_RELOAD_RESULTS] = {"ok", "failed"};
    const struct server_watch *watch = &server->watch;

    metrics_begin_family(metrics, METRICS_reloads);
    for (size_t i = 0; i < SERVER_RELOAD_RESULTS; i++)
        metrics_one(metrics, results[i], watch->reloads[i]);
    metrics_single(metrics, METRICS_reload_ok, watch->reload_error == NULL);
    metrics_begin_family(metrics, METRICS_reload_time);
    for (size_t i = 0; i < SERVER_RELOAD_RESULTS; i++) {
        const struct view values[] = {view_of_string(results[i])};

        if (watch->reloaded_us[i] != 0)
            metrics_decimal(metrics, values, watch->reloaded_us[i], US_DIGITS);
    }
}

/* ---- signatures ---- */

static void write_keys(const struct server *server, struct metrics *metrics)
{
    const struct keyring *keys = server->snapshot->keys;
    uint64_t now = clock_wall_us() / 1000, first = UINT64_MAX;

    if (keys == NULL)
        return;
    for (size_t i = 0; i < keyring_count(keys); i++) {
        uint64_t end = keyring_entry(keys, i)->not_after_ms;

        first = end > now && end < first ? end : first;
    }
    metrics_single(metrics, METRICS_signature_keys, keyring_count(keys));
    if (first != UINT64_MAX)
        metrics_single_decimal(metrics, METRICS_signature_key_not_after, first, MS_DIGITS);
}

static void write_replays(const struct server *server, struct metrics *metrics)
{
    const struct replay_usage usage = replay_usage(server->replays);

    metrics_single(metrics, METRICS_replay_signers, usage.signers);
    metrics_single(metrics, METRICS_replay_nonces, usage.nonces);
    metrics_single(metrics, METRICS_replay_evicted, usage.evicted);
    if (server->replay.redis != NULL)
        metrics_single(metrics, METRICS_replay_away, atomic_load(&server->replay.away));
}

/* ---- scans ---- */

static void write_quarantine(struct quarantine *quarantine, struct metrics *metrics)
{
    struct quarantine_fill fill;

    if (quarantine == NULL)
        return;
    quarantine_fill(quarantine, &fill);
    metrics_single(metrics, METRICS_quarantine_files, fill.files);
    metrics_single(metrics, METRICS_quarantine_bytes, fill.bytes);
    metrics_single(metrics, METRICS_quarantine_max_files, fill.max_files);
    metrics_single(metrics, METRICS_quarantine_max_bytes, fill.max_bytes);
}

static void write_scans(const struct server *server, struct metrics *metrics)
{
    struct metrics_workers workers = server->watch.workers;
    struct scan_pool_status status;

    scan_pool_status(server->scan_pool, &status);
    workers.scans = &status.durations;
    metrics_write_scans(metrics, &workers);
    metrics_single(metrics, METRICS_scan_threads, status.threads);
    metrics_single(metrics, METRICS_scan_busy, status.busy);
    metrics_single(metrics, METRICS_scan_waiting, status.waiting);
    write_quarantine(server->quarantine, metrics);
}

/* ---- certificates ---- */

struct dates {
    struct metrics *metrics;
    const char *listener;
    enum tls_date_kind wanted;
};

static void write_date(void *context, enum tls_date_kind kind, const char *name, uint64_t at_s)
{
    const struct dates *dates = context;

    if (kind != dates->wanted)
        return;
    if (kind == TLS_DATE_CERTIFICATE)
        metrics_two(dates->metrics, dates->listener, name, at_s);
    else
        metrics_one(dates->metrics, kind == TLS_DATE_CA ? name : dates->listener, at_s);
}

static void write_dates(
    const struct server *server, struct metrics *metrics, enum metrics_family_id id, enum tls_date_kind kind)
{
    const struct snapshot *snapshot = server->snapshot;

    metrics_begin_family(metrics, id);
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        const struct service *service = &snapshot->services[i];
        struct dates dates = {metrics, service->listener->name, kind};

        if (service->tls != NULL)
            tls_server_dates(service->tls, write_date, &dates);
    }
}

static void write_certificates(const struct server *server, struct metrics *metrics)
{
    const struct snapshot *snapshot = server->snapshot;

    write_dates(server, metrics, METRICS_certificate, TLS_DATE_CERTIFICATE);
    metrics_begin_family(metrics, METRICS_upstream_certificate);
    for (size_t i = 0; i < snapshot->config->upstream_count; i++) {
        const struct tls_client *client = snapshot->upstream_tls[i];
        uint64_t end = client == NULL ? 0 : tls_client_date(client);

        if (end != 0)
            metrics_one(metrics, snapshot->config->upstreams[i].name, end);
    }
    write_dates(server, metrics, METRICS_ca, TLS_DATE_CA);
    write_dates(server, metrics, METRICS_crl, TLS_DATE_CRL);
}

/* ---- the audit ---- */

static void write_trail(const struct server *server, struct metrics *metrics)
{
    struct exporter_trail trail;

    exporter_trail(server->exporter, &trail);
    metrics_single(metrics, METRICS_audit_events, trail.sealed);
    metrics_single(metrics, METRICS_audit_lost, trail.lost);
    metrics_single(metrics, METRICS_audit_untold, trail.lost_untold);
    metrics_single(metrics, METRICS_audit_blocked, trail.blocked);
    metrics_single(metrics, METRICS_journal_bytes, trail.journal_bytes);
    metrics_single(metrics, METRICS_journal_quota, trail.journal_quota_bytes);
    metrics_single(metrics, METRICS_journal_segments, trail.journal_segments);
    metrics_single(metrics, METRICS_sync_failures, trail.sync_failures);
    if (trail.checkpoint_us != 0)
        metrics_single_decimal(metrics, METRICS_checkpoint_time, trail.checkpoint_us, US_DIGITS);
    metrics_single(metrics, METRICS_unsigned_events, trail.unsigned_events);
    metrics_single_decimal(metrics, METRICS_unsigned_seconds, trail.unsigned_ms, MS_DIGITS);
}

/* The rings of the workers, the main thread's, the exporter's own. */
static void write_rings(const struct server *server, struct metrics *metrics, enum metrics_family_id id)
{
    struct exporter_ring_status status;
    char name[24];

    metrics_begin_family(metrics, id);
    for (size_t i = 0; i <= server->worker_count; i++) {
        exporter_ring_status(server->exporter, i, &status);
        snprintf(name, sizeof(name), "%zu", i);
        metrics_one(metrics, i == server->worker_count ? "main" : name,
            id == METRICS_ring_used ? status.used : status.capacity);
    }
}

static uint64_t ns_of(double seconds)
{
    return seconds <= 0 ? 0 : (uint64_t)(seconds * 1e9);
}

static void write_sink(
    struct metrics *metrics, enum metrics_family_id id, const struct exporter_sink_status *status)
{
    const struct view values[] = {view_of_string(status->name), view_of_string(status->kind)};

    if (id == METRICS_sink_lag_seconds)
        metrics_decimal(metrics, values, ns_of(status->lag_seconds), 9);
    else
        metrics_value(metrics, values,
            id == METRICS_sink_up          ? status->up
            : id == METRICS_sink_delivered ? status->delivered
            : id == METRICS_sink_failures  ? status->failures
                                           : status->lag_bytes);
}

static void write_sinks(const struct server *server, struct metrics *metrics)
{
    struct exporter_sink_status status;

    for (enum metrics_family_id id = METRICS_sink_up; id <= METRICS_sink_lag_seconds; id++) {
        metrics_begin_family(metrics, id);
        for (size_t i = 0; i < exporter_sink_count(server->exporter); i++) {
            exporter_sink_status(server->exporter, i, &status);
            write_sink(metrics, id, &status);
        }
    }
}

void server_write_metrics(struct server *server, struct buffer *out)
{
    const struct metrics_workers *workers = &server->watch.workers;
    struct metrics metrics;

    metrics_begin(&metrics, out);
    write_build(server, &metrics);
    write_listeners(server, &metrics);
    metrics_write_connections(&metrics, workers);
    write_bans(server, &metrics);
    write_upstreams(server, &metrics);
    metrics_write_broker_times(&metrics, workers);
    metrics_write_traffic(&metrics, workers);
    write_policy(server, &metrics);
    write_reloads(server, &metrics);
    metrics_write_decisions(&metrics, workers);
    metrics_write_signatures(&metrics, workers);
    write_keys(server, &metrics);
    write_replays(server, &metrics);
    write_scans(server, &metrics);
    write_certificates(server, &metrics);
    write_trail(server, &metrics);
    write_rings(server, &metrics, METRICS_ring_used);
    write_rings(server, &metrics, METRICS_ring_capacity);
    write_sinks(server, &metrics);
    metrics_write_process(&metrics, server->watch.started_us, &server->watch.descriptors);
    metrics_end(&metrics);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* All of /status: what an operator asks first, for people and scripts. Called by server_admin.c. */
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "proxy/scan_pool.h"
#include "proxy/server_internal.h"

static void write_time(struct json *json, const char *key, uint64_t wall_us)
{
    char text[CLOCK_TIMESTAMP_LENGTH + 1];

    if (wall_us == 0)
        return;
    clock_format_timestamp(wall_us, text);
    json_write_string(json, key, view_of_string(text));
}

static void write_end(struct json *json, const char *key, uint64_t at_s)
{
    char text[CLOCK_SECONDS_LENGTH + 1];

    clock_format_seconds(at_s, text);
    json_write_string(json, key, view_of_string(text));
}

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- health ---- */

static void write_process(const struct server *server, struct json *json)
{
    uint64_t up_ms = clock_monotonic_ms() - server->watch.started_ms;
    struct buffer why = {0};
    struct view lines;

    json_write_string(json, "version", VIEW(MQWARD_VERSION));
    json_write_string(json, "run", view_of_string(server->run));
    write_time(json, "started", server->watch.started_us);
    json_write_unsigned(json, "uptime_seconds", up_ms / 1000);
    server_unready(server, &why);
    json_write_boolean(json, "ready", buffer_length(&why) == 0);
    json_write_array_begin(json, "unready");
    for (lines = buffer_view(&why); lines.length > 0;) {
        const uint8_t *end = memchr(lines.data, '\n', lines.length);
        size_t length = (size_t)(end - lines.data);

        json_write_string(json, NULL, view_of(lines.data, length));
        lines = view_skip(lines, length + 1);
    }
    json_write_array_end(json);
    buffer_release(&why);
}

/* loaded_us: when it was put in force; 0: it is not. */
static void write_policy(struct json *json, const char *key, const struct policy *policy, uint64_t loaded_us)
{
    const struct policy_settings *settings = policy_settings(policy);

    json_write_object_begin(json, key);
    json_write_string(json, "name", view_of_string(settings->name));
    json_write_string(json, "version", view_of_string(settings->version));
    json_write_string(json, "mode", settings->mode == POLICY_MONITOR ? VIEW("monitor") : VIEW("enforce"));
    json_write_unsigned(json, "rules", policy_rule_info_count(policy) - policy_check_count(policy));
    json_write_unsigned(json, "checks", policy_check_count(policy));
    if (loaded_us != 0) {
        uint64_t now_us = clock_wall_us(); /* which may have been set back */

        write_time(json, "loaded", loaded_us);
        json_write_unsigned(json, "age_seconds", now_us < loaded_us ? 0 : (now_us - loaded_us) / 1000000);
    }
    json_write_object_end(json);
}

static void write_reload(const struct server_watch *watch, struct json *json)
{
    json_write_object_begin(json, "reloads");
    json_write_unsigned(json, "ok", watch->reloads[SERVER_RELOAD_OK]);
    json_write_unsigned(json, "failed", watch->reloads[SERVER_RELOAD_FAILED]);
    write_time(json, "last_failed", watch->reloaded_us[SERVER_RELOAD_FAILED]);
    if (watch->reload_error != NULL)
        json_write_string_capped(json, "error", view_of_string(watch->reload_error), 4096);
    json_write_object_end(json);
}

/* ---- connections ---- */

static void write_listeners(const struct snapshot *snapshot, struct json *json)
{
    json_write_array_begin(json, "listeners");
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        const struct service *service = &snapshot->services[i];

        json_write_object_begin(json, NULL);
        json_write_string(json, "name", view_of_string(service->listener->name));
        json_write_string(json, "address", view_of_string(service->listener->address.text));
        json_write_boolean(json, "tls", service->tls != NULL);
        json_write_string(json, "upstream", view_of_string(service->upstream->name));
        json_write_unsigned(json, "connections", load(&service->listener_scope->connections));
        json_write_unsigned(json, "accepted", load(&service->listener_scope->accepted));
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

/* As the listeners lead to them: those of several are there once for each. */
static void write_upstreams(const struct snapshot *snapshot, struct json *json)
{
    json_write_array_begin(json, "upstreams");
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        const struct service *service = &snapshot->services[i];
        int last = atomic_load_explicit(&service->upstream_scope->last, memory_order_relaxed);

        json_write_object_begin(json, NULL);
        json_write_string(json, "name", view_of_string(service->upstream->name));
        json_write_string(json, "address", view_of_string(service->upstream->address.text));
        json_write_string(json, "last",
            last > 0   ? VIEW("reached")
            : last < 0 ? VIEW("failed")
                       : VIEW("not tried"));
        json_write_unsigned(json, "reached", load(&service->upstream_scope->reached));
        json_write_unsigned(json, "failed", load(&service->upstream_scope->unreached));
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void write_workers(const struct server *server, struct json *json)
{
    size_t bans[BAN_KINDS];

    json_write_array_begin(json, "workers");
    for (size_t i = 0; i < server->worker_count; i++) {
        json_write_object_begin(json, NULL);
        json_write_unsigned(json, "connections", metrics_connections(server->watch.counters[i]));
        json_write_object_end(json);
    }
    json_write_array_end(json);
    json_write_unsigned(json, "sessions", metrics_sessions(&server->watch.workers));
    bans_count(server->bans, bans);
    json_write_object_begin(json, "bans");
    for (int by = 0; by < BAN_KINDS; by++)
        json_write_unsigned(json, ban_by_name((enum ban_by)by), bans[by]);
    json_write_object_end(json);
}

/* ---- the audit ---- */

static void write_sinks(struct exporter *exporter, struct json *json)
{
    struct exporter_sink_status status;

    json_write_array_begin(json, "sinks");
    for (size_t i = 0; i < exporter_sink_count(exporter); i++) {
        exporter_sink_status(exporter, i, &status);
        json_write_object_begin(json, NULL);
        json_write_string(json, "name", view_of_string(status.name));
        json_write_string(json, "kind", view_of_string(status.kind));
        json_write_boolean(json, "up", status.up);
        json_write_unsigned(json, "delivered", status.delivered);
        json_write_unsigned(json, "failures", status.failures);
        json_write_unsigned(json, "lag_bytes", status.lag_bytes);
        json_write_unsigned(json, "lag_seconds", (uint64_t)status.lag_seconds);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void write_rings(const struct server *server, struct json *json)
{
    struct exporter_ring_status status;
    char name[24];

    json_write_array_begin(json, "rings");
    for (size_t i = 0; i <= server->worker_count; i++) {
        exporter_ring_status(server->exporter, i, &status);
        snprintf(name, sizeof(name), "%zu", i);
        json_write_object_begin(json, NULL);
        json_write_string(json, "name", view_of_string(i == server->worker_count ? "main" : name));
        json_write_unsigned(json, "used_bytes", status.used);
        json_write_unsigned(json, "capacity_bytes", status.capacity);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void write_audit(const struct server *server, struct json *json)
{
    struct exporter_trail trail;

    exporter_trail(server->exporter, &trail);
    json_write_object_begin(json, "audit");
    json_write_unsigned(json, "events", trail.sealed);
    json_write_unsigned(json, "lost", trail.lost);
    json_write_unsigned(json, "lost_untold", trail.lost_untold);
    json_write_boolean(json, "blocked", trail.blocked);
    json_write_object_begin(json, "journal");
    json_write_unsigned(json, "bytes", trail.journal_bytes);
    json_write_unsigned(json, "quota_bytes", trail.journal_quota_bytes);
    json_write_unsigned(json, "segments", trail.journal_segments);
    json_write_unsigned(json, "sync_failures", trail.sync_failures);
    json_write_object_end(json);
    json_write_object_begin(json, "checkpoint");
    write_time(json, "last", trail.checkpoint_us);
    json_write_unsigned(json, "unsigned_events", trail.unsigned_events);
    json_write_unsigned(json, "unsigned_seconds", trail.unsigned_ms / 1000);
    json_write_object_end(json);
    write_rings(server, json);
    write_sinks(server->exporter, json);
    json_write_object_end(json);
}

/* ---- what ends ---- */

struct ends {
    struct json *json;
    const char *listener;
};

static void write_date(void *context, enum tls_date_kind kind, const char *name, uint64_t at_s)
{
    static const char *const kinds[] = {
        [TLS_DATE_CERTIFICATE] = "certificate", [TLS_DATE_CA] = "ca", [TLS_DATE_CRL] = "crl"};
    const struct ends *ends = context;

    json_write_object_begin(ends->json, NULL);
    json_write_string(ends->json, "listener", view_of_string(ends->listener));
    json_write_string(ends->json, "kind", view_of_string(kinds[kind]));
    if (*name != '\0')
        json_write_string(ends->json, "name", view_of_string(name));
    write_end(ends->json, kind == TLS_DATE_CRL ? "next_update" : "not_after", at_s);
    json_write_object_end(ends->json);
}

static void write_certificates(const struct snapshot *snapshot, struct json *json)
{
    json_write_array_begin(json, "certificates");
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        struct ends ends = {json, snapshot->services[i].listener->name};

        if (snapshot->services[i].tls != NULL)
            tls_server_dates(snapshot->services[i].tls, write_date, &ends);
    }
    json_write_array_end(json);
}

void server_write_status(struct server *server, struct buffer *out)
{
    struct json json;

    json_write_begin(&json, out);
    json.indented = true;
    json_write_object_begin(&json, NULL);
    write_process(server, &json);
    write_policy(&json, "policy", server->snapshot->policy, server->watch.loaded_us);
    if (server->snapshot->shadow != NULL)
        write_policy(&json, "shadow_policy", server->snapshot->shadow, 0);
    write_reload(&server->watch, &json);
    write_listeners(server->snapshot, &json);
    write_upstreams(server->snapshot, &json);
    write_workers(server, &json);
    write_audit(server, &json);
    write_certificates(server->snapshot, &json);
    json_write_object_end(&json);
    buffer_append_byte(out, '\n');
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the main thread does while the workers serve: signals, reloads, ends of bans, and the control socket,
 * one after the other. Called by server.c. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "proxy/reload.h"
#include "proxy/server_internal.h"

/* Keys that expire soon are told of so often. */
#define KEYS_CHECK_S (24 * 3600)
/* When the audit has no room for the end of a ban, it is tried again after so long. */
#define BANS_RETRY_MS 100
/* What was in force is looked after so often, until nobody uses it any more. */
#define RETIRED_CHECK_MS 100
/* Whether all workers have ended is looked at so often. */
#define DRAIN_LOOK_MS 10

/* ---- keys ---- */

static void warn_of_key(void *context, const struct keyring_entry *entry)
{
    char end[CLOCK_SECONDS_LENGTH + 1], detail[128];
    struct audit_event event = {.action = AUDIT_key_expiring, .reason = REASON_key_expiring};

    clock_format_seconds(entry->not_after_ms / 1000, end);
    snprintf(detail, sizeof(detail), "key '%s' is valid until %s", entry->kid, end);
    event.detail = view_of_string(detail);
    LOG_EVENT(LOG_WARN, "keys", "a signature key is not valid much longer", log_string("kid", entry->kid),
        log_string("not_after", end));
    server_audit(context, &event);
}

/* At the start, after a reload, and once a day. */
static void warn_of_keys(struct server *server)
{
    const struct timeval day = {KEYS_CHECK_S, 0};

    if (server->snapshot->keys != NULL)
        keyring_expiring(
            server->snapshot->keys, clock_wall_us() / 1000, KEYRING_WARNING_MS, warn_of_key, server);
    event_add(server->keys_timer, &day);
}

static void on_keys_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    warn_of_keys(argument);
}

/* ---- reload ---- */

static void free_retired(struct server *server)
{
    const struct timeval soon = {0, RETIRED_CHECK_MS * 1000};

    if (retired_sweep(&server->retired))
        event_add(server->retired_timer, &soon);
    snapshot_retake_slots(server->snapshot);
}

static void on_retired_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    free_retired(argument);
}

static void put_in_force(struct server *server, struct snapshot *next, const char *who)
{
    char *previous = memory_copy_string(view_of_string(policy_settings(server->snapshot->policy)->version));
    struct audit_event event = {.action = AUDIT_policy_reloaded,
        .reason = REASON_policy_reloaded,
        .previous_policy = view_of_string(previous),
        .detail = view_of_string(who)};

    snapshot_attach(next, server->registry);
    server_watch_snapshot(server, next);
    server_expect_replays(server, next->policy);
    retired_add(&server->retired, server->snapshot);
    server->snapshot = next;
    server_credentials_commit(server);
    log_configure((enum log_level)next->config->log_level, (enum log_format)next->config->log_format, 2);
    server_audit(server, &event);
    for (size_t i = 0; i < server->worker_count; i++)
        worker_reload(server->workers[i], next);
    LOG_EVENT(LOG_INFO, "reload", "reloaded", log_string("policy", policy_settings(next->policy)->name),
        log_string("version", policy_settings(next->policy)->version), log_string("previous", previous),
        log_string("asked", who));
    free(previous);
    free_retired(server);
    warn_of_keys(server);
}

static void refuse(struct server *server, const char *who, const struct buffer *why)
{
    struct buffer detail = {0};
    struct audit_event event = {.action = AUDIT_policy_rejected, .reason = REASON_reload_failed};

    buffer_format(&detail, "%.*s; %s", VIEW_ARGS(buffer_view(why)), who);
    event.detail = buffer_view(&detail);
    LOG_EVENT(LOG_ERROR, "reload", "not reloaded: what was in force stays",
        log_view("error", buffer_view(why)), log_string("asked", who));
    server_audit(server, &event);
    buffer_release(&detail);
}

static void note_reload(struct server *server, bool done, const struct buffer *where)
{
    char *error = done ? NULL : memory_copy_string(buffer_view(where));

    server_watch_reload(server, error);
    free(error);
}

bool server_reload(struct server *server, const char *who, struct buffer *why, struct buffer *findings)
{
    struct snapshot *next;
    struct buffer where = {0};
    char state[64];

    if (!server_audit_room(server)) {
        buffer_append(why, VIEW(SERVER_NO_ROOM));
        LOG_EVENT(LOG_ERROR, "reload", "not reloaded: what was in force stays",
            log_string("error", SERVER_NO_ROOM), log_string("asked", who));
        return false;
    }
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
        (unsigned long long)clock_monotonic_ms() * 1000);
    sd_notify(0, state);
    next = reload_snapshot(server->path, server->snapshot, why, &where, findings);
    if (next != NULL && !server_credentials_read(server, why, &where, findings)) {
        snapshot_release(next);
        next = NULL;
    }
    note_reload(server, next != NULL, &where);
    buffer_release(&where);
    if (next != NULL)
        put_in_force(server, next, who);
    else
        refuse(server, who, why);
    sd_notify(0, "READY=1");
    return next != NULL;
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t fd, short what, void *argument)
{
    struct server *server = argument;
    struct signalfd_siginfo info;
    struct buffer why = {0}, findings = {0};
    char who[80];

    (void)what;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1) {
        LOG_EVENT(LOG_INFO, "server", "files of sinks are opened anew", log_unsigned("pid", info.ssi_pid));
        exporter_reopen(server->exporter);
        return;
    }
    if (info.ssi_signo != SIGHUP) {
        LOG_EVENT(LOG_INFO, "server", "stopping", log_string("signal", strsignal((int)info.ssi_signo)));
        event_base_loopbreak(server->base);
        return;
    }
    snprintf(who, sizeof(who), "asked for by SIGHUP of uid %u (pid %u)", info.ssi_uid, info.ssi_pid);
    server_reload(server, who, &why, &findings);
    buffer_release(&why);
    buffer_release(&findings);
}

/* ---- bans ---- */

/* Any thread that began a ban. */
static void on_bans_changed(void *context)
{
    struct server *server = context;
    const uint64_t one = 1;

    for (size_t i = 0; i < server->worker_count; i++)
        worker_enforce_bans(server->workers[i]);
    while (write(server->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void report_ended(struct server *server, const struct ban *ban, enum reason reason)
{
    struct view shown = view_of(ban->shown, ban->shown_length);
    struct audit_event event = {.action = AUDIT_client_unbanned,
        .reason = reason,
        .detail = view_of_string(ban->lifted_by),
        .ban_by = view_of_string(ban_by_name(ban->by)),
        .ban_value = shown,
        .ban_until_us = ban->until_wall_us};

    if (ban->by == BAN_BY_ID)
        event.user = shown;
    else
        event.client_ip = shown;
    server_audit(server, &event);
    LOG_LIMITED(LOG_INFO, "bans", "a ban has ended", log_string("by", ban_by_name(ban->by)),
        log_view("value", shown), log_string("reason", reason_info(reason)->name));
}

void server_report_bans(struct server *server)
{
    uint64_t now = clock_monotonic_ms(), next;
    struct ban ban;
    enum reason reason;
    struct timeval wait;
    bool room;

    while ((room = server_audit_room(server)) && bans_take_ended(server->bans, now, &ban, &reason))
        report_ended(server, &ban, reason);
    next = room ? bans_next_end(server->bans) : now + BANS_RETRY_MS;
    event_del(server->bans_timer);
    if (next == 0)
        return;
    next = next > now ? next - now : 0;
    wait = (struct timeval){(time_t)(next / 1000), (suseconds_t)(next % 1000 * 1000)};
    event_add(server->bans_timer, &wait);
}

static void on_ban_ends(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    server_report_bans(argument);
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
    uint64_t count;

    (void)what;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        LOG_LIMITED(LOG_ERROR, "server", "can't read the wake-up", log_string("error", strerror(errno)));
    server_report_bans(argument);
}

/* ---- the loop ---- */

int server_loop_open(struct server *server, const sigset_t *signals)
{
    server->signal_fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->base = event_base_new();
    if (server->signal_fd < 0 || server->wake_fd < 0 || server->base == NULL) {
        LOG_EVENT(LOG_ERROR, "server", "can't make the loop", log_string("error", strerror(errno)));
        return -1;
    }
    server->signal_event =
        event_new(server->base, server->signal_fd, EV_READ | EV_PERSIST, on_signal, server);
    server->wake_event = event_new(server->base, server->wake_fd, EV_READ | EV_PERSIST, on_wake, server);
    server->bans_timer = event_new(server->base, -1, 0, on_ban_ends, server);
    server->keys_timer = event_new(server->base, -1, 0, on_keys_timer, server);
    server->retired_timer = event_new(server->base, -1, 0, on_retired_timer, server);
    server->lost_timer = event_new(server->base, -1, 0, server_on_lost_timer, server);
    if (server->signal_event == NULL || server->wake_event == NULL || server->bans_timer == NULL ||
        server->keys_timer == NULL || server->retired_timer == NULL || server->lost_timer == NULL)
        memory_exhausted();
    event_add(server->signal_event, NULL);
    event_add(server->wake_event, NULL);
    bans_on_change(server->bans, on_bans_changed, server);
    return 0;
}

void server_loop(struct server *server)
{
    warn_of_keys(server);
    event_base_dispatch(server->base);
    control_close(server->control); /* whoever stops is not asked for anything any more */
    server->control = NULL;
}

static bool have_ended(const struct server *server)
{
    for (size_t i = 0; i < server->worker_count; i++)
        if (server->workers[i] != NULL && !worker_has_ended(server->workers[i]))
            return false;
    return true;
}

/* Without the admin listener there is nothing to go on with. */
void server_loop_drain(struct server *server)
{
    static const struct timeval look = {0, DRAIN_LOOK_MS * 1000};
    struct event *others[] = {server->signal_event, server->wake_event, server->bans_timer,
        server->keys_timer, server->retired_timer};

    server->watch.draining = true;
    if (server->watch.admin == NULL)
        return;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        event_del(others[i]);
    while (!have_ended(server)) {
        event_base_loopexit(server->base, &look);
        event_base_dispatch(server->base);
    }
    server_admin_close(server);
}

void server_loop_close(struct server *server)
{
    struct event *events[] = {server->signal_event, server->wake_event, server->bans_timer,
        server->keys_timer, server->retired_timer, server->lost_timer};

    control_close(server->control);
    server_admin_close(server);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    retired_release(&server->retired);
    if (server->base != NULL)
        event_base_free(server->base);
    if (server->signal_fd >= 0)
        close(server->signal_fd);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
}

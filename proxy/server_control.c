/* SPDX-License-Identifier: Apache-2.0 */
/* What operators ask for on the control socket: reload, bans. Called by control.c, on the main thread. */
#include <stdio.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "proxy/server_internal.h"

/* Of findings more is cut: who has so many errors mends the first ones and asks again. */
#define FINDINGS_MAX (256 * 1024)

/* ---- reload ---- */

static void reload(
    struct server *server, const struct control_request *request, const char *who, struct buffer *answer)
{
    struct buffer why = {0}, findings = {0};
    bool done = server_reload(server, who, &why, &findings);
    const struct policy_settings *policy = policy_settings(server->snapshot->policy);
    struct json json;

    (void)request;
    json_write_begin(&json, answer);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", done);
    json_write_string(&json, "policy", view_of_string(policy->name));
    json_write_string(&json, "version", view_of_string(policy->version));
    json_write_string_capped(&json, "findings", buffer_view(&findings), FINDINGS_MAX);
    if (!done)
        json_write_string(&json, "error", buffer_view(&why));
    json_write_object_end(&json);
    buffer_release(&why);
    buffer_release(&findings);
}

/* ---- bans ---- */

struct listing {
    struct json json;
    uint64_t now_ms;
};

static void list_one(void *context, const struct ban *ban)
{
    struct listing *listing = context;
    struct json *json = &listing->json;
    char until[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp(ban->until_wall_us, until);
    json_write_object_begin(json, NULL);
    json_write_string(json, "by", view_of_string(ban_by_name(ban->by)));
    json_write_string(json, "value", view_of(ban->shown, ban->shown_length));
    json_write_boolean(json, "cut", ban->shown_length < ban->value_length);
    json_write_string(json, "until", view_of_string(until));
    json_write_unsigned(json, "left_ms", ban->until_ms - listing->now_ms);
    json_write_boolean(json, "ordered", ban->ordered);
    json_write_string(json, "reason", view_of(ban->why, ban->why_length));
    json_write_object_end(json);
}

static void list(
    struct server *server, const struct control_request *request, const char *who, struct buffer *answer)
{
    struct listing listing = {.now_ms = clock_monotonic_ms()};

    (void)request, (void)who;
    json_write_begin(&listing.json, answer);
    json_write_object_begin(&listing.json, NULL);
    json_write_boolean(&listing.json, "ok", true);
    json_write_array_begin(&listing.json, "bans");
    bans_each(server->bans, listing.now_ms, list_one, &listing);
    json_write_array_end(&listing.json);
    json_write_object_end(&listing.json);
}

/* What is banned, as the table has it. False, with an answer: no address. */
static bool find_value(const struct control_request *request, char site[ADDRESS_SITE_SIZE],
    struct view *value, struct buffer *answer)
{
    *value = request->value;
    if (request->by == BAN_BY_ID)
        return true;
    if (!address_site(request->value, site)) {
        control_answer_error(answer, "not an IPv4 or IPv6 address");
        return false;
    }
    *value = view_of_string(site);
    return true;
}

static void answer_count(struct buffer *answer, size_t lifted)
{
    struct json json;

    json_write_begin(&json, answer);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", true);
    json_write_unsigned(&json, "lifted", lifted);
    json_write_object_end(&json);
}

static void lift(
    struct server *server, const struct control_request *request, const char *who, struct buffer *answer)
{
    uint64_t now = clock_monotonic_ms();
    char site[ADDRESS_SITE_SIZE];
    struct view value;

    if (request->all)
        answer_count(answer, bans_lift_all(server->bans, who, now));
    else if (!find_value(request, site, &value, answer))
        return;
    else if (bans_lift(server->bans, request->by, value, who, now))
        answer_count(answer, 1);
    else
        control_answer_error(answer, "there is no such ban");
    server_report_bans(server);
}

static void answer_ban(struct buffer *answer, const struct ban_order *order)
{
    char until[CLOCK_TIMESTAMP_LENGTH + 1];
    struct json json;

    clock_format_timestamp(order->until_wall_us, until);
    json_write_begin(&json, answer);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", true);
    json_write_string(&json, "by", view_of_string(ban_by_name(order->by)));
    json_write_string(&json, "value", order->value);
    json_write_string(&json, "until", view_of_string(until));
    json_write_object_end(&json);
}

/* The event is there before the first client feels the ban. */
static void audit_ban(struct server *server, const struct ban_order *order, const char *who)
{
    struct buffer detail = {0};
    struct audit_event event = {.action = AUDIT_client_banned,
        .reason = REASON_ban_ordered,
        .ban_by = view_of_string(ban_by_name(order->by)),
        .ban_value = order->value,
        .ban_until_us = order->until_wall_us};

    if (order->by == BAN_BY_ID)
        event.user = order->value;
    else
        event.client_ip = order->value;
    buffer_format(&detail, "%.*s%s%s", VIEW_ARGS(order->why), order->why.length > 0 ? "; " : "", who);
    event.detail = buffer_view(&detail);
    server_audit(server, &event);
    buffer_release(&detail);
}

static void ban(
    struct server *server, const struct control_request *request, const char *who, struct buffer *answer)
{
    uint64_t now = clock_monotonic_ms();
    struct ban_order order = {.by = request->by,
        .until_ms = now + request->for_ms,
        .until_wall_us = clock_wall_us() + request->for_ms * 1000,
        .ordered = true,
        .why = request->reason};
    enum ban_begun begun;
    char site[ADDRESS_SITE_SIZE];

    if (!find_value(request, site, &order.value, answer))
        return;
    if (!server_audit_room(server)) {
        control_answer_error(answer, SERVER_NO_ROOM);
        return;
    }
    begun = bans_may_begin(server->bans, &order, now);
    if (begun != BAN_BEGUN) {
        control_answer_error(answer, begun == BAN_HELD ? "there is such a ban, and it lasts longer"
                                                       : "there are as many bans as there can be");
        return;
    }
    audit_ban(server, &order, who);
    bans_begin(server->bans, &order, now);
    answer_ban(answer, &order);
}

/* ---- requests ---- */

static void on_request(void *context, const struct control_request *request, const struct control_peer *peer,
    struct buffer *answer)
{
    static void (*const verbs[])(struct server * server, const struct control_request *request,
        const char *who, struct buffer *answer) = {
        [CONTROL_RELOAD] = reload, [CONTROL_BANS] = list, [CONTROL_BAN] = ban, [CONTROL_LIFT] = lift};
    char who[80];

    snprintf(who, sizeof(who), "asked for by uid %u (pid %d)", (unsigned)peer->uid, (int)peer->pid);
    verbs[request->verb](context, request, who, answer);
}

int server_control_open(struct server *server)
{
    const char *path = server->snapshot->config->control_socket.path;
    char error[512];

    if (path == NULL)
        return 0;
    server->control = control_open(path, server->base, on_request, server, error, sizeof(error));
    if (server->control != NULL)
        return 0;
    LOG_EVENT(LOG_ERROR, "control", "can't open the control socket", log_string("path", path),
        log_string("error", error));
    return -1;
}

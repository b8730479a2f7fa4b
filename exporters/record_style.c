/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what all events of an action have in common. Called by the record's renderer. */
#include "exporters/record_style.h"

#include <assert.h>
#include <pthread.h>

#include "base/json.h"

static const struct record_style record_styles[AUDIT_ACTION_COUNT] = {
    [AUDIT_connect_accepted] = {"CONNECT accepted", SHAPE_ADDRESS, "success"},
    [AUDIT_reauthenticated] = {"AUTH accepted", SHAPE_ADDRESS, "success"},
    [AUDIT_connect_refused] = {"CONNECT refused", SHAPE_ADDRESS, "failure"},
    [AUDIT_disconnect] = {"connection ended", SHAPE_ADDRESS, "unknown"},
    [AUDIT_publish_allowed] = {"PUBLISH allowed", SHAPE_TOPIC, "success"},
    [AUDIT_publish_denied] = {"PUBLISH denied", SHAPE_TOPIC, "failure"},
    [AUDIT_subscribe_granted] = {"SUBSCRIBE granted", SHAPE_TOPIC, "success"},
    [AUDIT_subscribe_denied] = {"SUBSCRIBE denied", SHAPE_TOPIC, "failure"},
    [AUDIT_subscription_withdrawn] = {"subscription withdrawn", SHAPE_TOPIC, "failure"},
    [AUDIT_delivery_filtered] = {"delivery filtered", SHAPE_TOPIC, "failure"},
    [AUDIT_signature_rejected] = {"signature rejected", SHAPE_TOPIC, "failure"},
    [AUDIT_payload_matched] = {"payload matched", SHAPE_TOPIC, "success"},
    [AUDIT_payload_blocked] = {"payload blocked", SHAPE_TOPIC, "failure"},
    [AUDIT_scan_failed] = {"scan failed", SHAPE_TOPIC, "failure"},
    [AUDIT_will_denied] = {"will denied", SHAPE_TOPIC, "failure"},
    [AUDIT_protocol_error] = {"protocol error", SHAPE_ADDRESS, "failure"},
    [AUDIT_tls_handshake_failed] = {"TLS handshake failed", SHAPE_ADDRESS, "failure"},
    [AUDIT_rate_limited] = {"rate limited", SHAPE_EITHER, "failure"},
    [AUDIT_client_banned] = {"client banned", SHAPE_ADDRESS, "success"},
    [AUDIT_client_unbanned] = {"client unbanned", SHAPE_ADDRESS, "success"},
    [AUDIT_proxy_started] = {"mqward started", SHAPE_DETAIL, "success"},
    [AUDIT_proxy_stopping] = {"mqward is stopping", SHAPE_DETAIL, "success"},
    [AUDIT_policy_reloaded] = {"policy reloaded", SHAPE_DETAIL, "success"},
    [AUDIT_policy_rejected] = {"policy rejected", SHAPE_DETAIL, "failure"},
    [AUDIT_shadow_diff] = {"shadow policy differs", SHAPE_TOPIC, "unknown"},
    [AUDIT_sink_down] = {"audit sink down", SHAPE_DETAIL, "failure"},
    [AUDIT_sink_up] = {"audit sink up", SHAPE_DETAIL, "success"},
    [AUDIT_audit_gap] = {"audit events lost", SHAPE_DETAIL, "failure"},
    [AUDIT_checkpoint] = {"checkpoint of the audit trail", SHAPE_DETAIL, "success"},
    [AUDIT_audit_recovered] = {"audit events recovered", SHAPE_DETAIL, "success"},
    [AUDIT_key_expiring] = {"signature key expires soon", SHAPE_DETAIL, "unknown"},
    [AUDIT_replay_degraded] = {"shared replay store away", SHAPE_DETAIL, "failure"},
    [AUDIT_replay_restored] = {"shared replay store back", SHAPE_DETAIL, "success"},
};

const struct record_style *record_style(enum audit_action action)
{
    assert(action < AUDIT_ACTION_COUNT && record_styles[action].phrase != NULL);
    return &record_styles[action];
}

/* ---- members ---- */

struct style_text {
    size_t start, length;
};

/* For the life of the process: written under the once, read only afterwards. */
static struct buffer style_texts;
static struct style_text style_members[AUDIT_ACTION_COUNT][2];
static pthread_once_t style_once = PTHREAD_ONCE_INIT;

/* "a,b,c" as an array. */
static void style_list(struct json *json, const char *key, const char *list, bool went_on)
{
    json_write_array_begin(json, key);
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        struct view item = view_of(list, length);
        json_write_string(json, NULL, went_on && view_equal_string(item, "denied") ? VIEW("allowed") : item);
        list += length + (list[length] == ',' ? 1 : 0);
    }
    json_write_array_end(json);
}

static struct style_text style_write(enum audit_action which, bool went_on)
{
    const struct audit_action_info *action = audit_action_info(which);
    size_t before = buffer_length(&style_texts);
    struct json json;

    json_write_begin(&json, &style_texts);
    json_write_object_begin(&json, NULL);
    json_write_literal(&json, "kind", action->kind);
    style_list(&json, "category", action->categories, false);
    style_list(&json, "type", action->types, went_on);
    json_write_literal(&json, "action", action->name);
    json_write_literal(&json, "outcome", went_on ? "success" : record_style(which)->outcome);
    json_write_object_end(&json);
    return (struct style_text){before + 1, buffer_length(&style_texts) - before - 2};
}

static void style_write_all(void)
{
    for (unsigned i = 0; i < AUDIT_ACTION_COUNT; i++)
        for (unsigned went_on = 0; went_on < 2; went_on++)
            style_members[i][went_on] = style_write((enum audit_action)i, went_on);
}

struct view record_action_members(enum audit_action action, bool went_on)
{
    pthread_once(&style_once, style_write_all);
    const struct style_text *text = &style_members[action][went_on];
    return view_of(buffer_view(&style_texts).data + text->start, text->length);
}

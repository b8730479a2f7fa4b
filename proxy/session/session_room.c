/* SPDX-License-Identifier: Apache-2.0 */
/* How much the audit events of a packet may take, before it is handed in (audit-events "Bounded memory and
 * disk": what can't be recorded must not have its effect). Called by session_waiting.c and, through
 * session.h, for each packet by proxy/conn.c: what depends on the client and the policy alone is worked out
 * once. */
#include "base/ring.h"
#include "exporters/audit_fields.h"
#include "proxy/session/session_internal.h"

/* In a ring an event has its overhead, and is padded. */
#define PLACE (RING_OVERHEAD + 7)

/* The longest that a text of a field is, encoded; and a list of them. */
#define TEXT(field) (AUDIT_CAP_##field + 4)
#define LIST(field) (2 + AUDIT_LIST_MAX * (AUDIT_CAP_##field + 3))

/* What the session's own part is not: the act without its topics, what a scan and what a shadow policy adds,
 * and a ban. */
enum {
    NUMBERS = 160, /* of all kinds, with their ids */
    RULE_MOST = TEXT(rule) + TEXT(rule_location) + SESSION_NEAREST_MAX + TEXT(packet),
    ACT_MOST =
        RULE_MOST + TEXT(detail) + TEXT(statement) + TEXT(signature_kid) + TEXT(signature_sub) + NUMBERS,
    FILTER_MOST = RULE_MOST + 64 + NUMBERS, /* with a detail of ours */
    TOPIC_MOST = TEXT(topic) + TEXT(response_topic),
    SCAN_MOST = LIST(yara_rules) + LIST(yara_sets) + LIST(yara_tags) + LIST(yara_techniques) + TEXT(yara_id) +
                TEXT(yara_description) + TEXT(yara_reference) + TEXT(yara_severity) + TEXT(yara_view) +
                TEXT(yara_part) + TEXT(scan_incomplete) + TEXT(quarantine),
    SHADOW_MOST = TEXT(shadow_policy) + TEXT(shadow_decision) + TEXT(shadow_rule) + TEXT(shadow_location) +
                  TEXT(shadow_reason),
    BAN_MOST = TEXT(ban_by) + TEXT(ban_value),
    /* who a CONNECT, its CONNACK or an AUTH may turn the client into, besides what the packet says */
    IDENTITY_MOST = TEXT(user) + TEXT(source) + LIST(roles) + TEXT(mqtt_version) + TEXT(previous_policy),
    GIVEN_MOST = TEXT(client_id) + TEXT(username) + TOPIC_MOST,
    /* a denial without its topic, as it is: names of rules are short, and not all fields there */
    ACT_USUAL = 256,
};

/* ---- what is worked out once ---- */

static size_t identity_of(const struct session *session)
{
    uint8_t encoded[AUDIT_EVENT_MAX];
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_publish_denied, REASON_none, AUDIT_REJECTED);
    return audit_event_encode(&event, encoded);
}

/* Checks that tell of a message and let it pass; one that refuses it has the last word. */
static void count_checks(const struct policy *policy, struct session_foreseeable *known)
{
    for (size_t i = 0; i < policy_check_count(policy); i++) {
        const struct policy_check_info *check = policy_check(policy, i);

        if (check->yara != NULL)
            known->scans++;
        else if (check->monitor)
            known->reports++;
    }
}

static const struct session_foreseeable *foreseeable(struct session *session)
{
    struct session_foreseeable *known = &session->foreseeable;

    if (known->identity != 0)
        return known;
    *known = (struct session_foreseeable){.identity = identity_of(session)};
    count_checks(session->settings->policy, known);
    if (session->policy->audit_payload == POLICY_PAYLOAD_EXCERPT)
        known->excerpt = TEXT(payload_excerpt);
    return known;
}

void session_room_forget(struct session *session)
{
    session->foreseeable.identity = 0;
    session_repeats_forget(session);
}

/* ---- packets ---- */

static size_t lower_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What may come of any packet besides what it asks for: broken protocol, bans, the end of the session; and
 * the place that is left free where the ring begins anew. event: the longest. */
static size_t besides(const struct session *session, size_t event)
{
    size_t bans = session->policy->repeat.ban_ms == 0 ? 0 : 2;

    return 3 * event + bans * (event + BAN_MOST);
}

static size_t shadows(const struct session *session)
{
    return session->settings->shadow == NULL ? 0 : 1;
}

/* A message, from either side. size: of the packet; what its alias stands for is in none. */
static struct session_need need_of_message(struct session *session, size_t size)
{
    const struct session_foreseeable *known = foreseeable(session);
    size_t topics = session->version == MQTT_V5 ? TOPIC_MOST : lower_of(size, TOPIC_MOST);
    size_t event = known->identity + PLACE + ACT_MOST + topics + known->excerpt;

    /* would-deny, the act itself, and a signature of the client's own that does not fit */
    return (struct session_need){.most = (3 + known->reports) * event + known->scans * (event + SCAN_MOST) +
                                         shadows(session) * (event + SHADOW_MOST) +
                                         besides(session, event + (known->scans > 0 ? SCAN_MOST : 0)),
        .usual = known->identity + PLACE + ACT_USUAL + lower_of(size, TEXT(topic))};
}

size_t session_run_need(struct session *session)
{
    return need_of_message(session, TOPIC_MOST).most;
}

/* An event for each filter; all of their texts are in the packet. */
static struct session_need need_of_filters(struct session *session, const struct mqtt_frame *frame)
{
    const struct session_foreseeable *known = foreseeable(session);
    size_t filter = known->identity + PLACE + FILTER_MOST, count = 0;
    struct mqtt_packet packet;
    struct mqtt_error error;

    if (mqtt_decode(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options, &packet,
            &error) == MQTT_OK)
        count = lower_of(packet.u.subscribe.count, session->settings->max_filters);
    return (struct session_need){.most = count * filter + frame->size +
                                         shadows(session) * (count * (filter + SHADOW_MOST) + frame->size) +
                                         besides(session, filter + TOPIC_MOST + ACT_MOST),
        .usual = (count > 0 ? count : 1) * (known->identity + PLACE + ACT_USUAL) + frame->size,
        .refusal = besides(session, filter + TOPIC_MOST + ACT_MOST),
        .refusal_usual = known->identity + PLACE + ACT_USUAL + lower_of(frame->size, TEXT(topic))};
}

/* Subscriptions that another identity may lose, each with an event of its own. event: without its topic. */
static size_t need_of_withdrawals(const struct session *session, size_t event)
{
    size_t need = 0;

    for (size_t i = 0; i < session->subscriptions.held.count; i++)
        need += event + lower_of(session->subscriptions.held.items[i].text.length, TEXT(topic));
    return need;
}

/* CONNECT, CONNACK, AUTH: who the client is, its will, and what it has is judged, maybe anew. size: of the
 * packet, or of the CONNECT that waits. */
static struct session_need need_of_identity(struct session *session, size_t size, bool will)
{
    const struct session_foreseeable *known = foreseeable(session);
    size_t reports = will ? known->reports : 0, scans = will ? known->scans : 0;
    size_t who = known->identity + IDENTITY_MOST + PLACE;
    size_t event = who + lower_of(size, GIVEN_MOST) + ACT_MOST + known->excerpt;

    if (session->will != NULL)
        event += lower_of(session->will->topic.length + session->will->response_topic.length, TOPIC_MOST);
    /* identity, claim and place that would be refused, the will, the act itself, or what takes its place */
    return (struct session_need){.most = need_of_withdrawals(session, who + FILTER_MOST) +
                                         (6 + reports) * event + scans * (event + SCAN_MOST) +
                                         shadows(session) * 2 * (event + SHADOW_MOST) +
                                         besides(session, event + (scans > 0 ? SCAN_MOST : 0)),
        .usual = 2 * (known->identity + PLACE + ACT_USUAL) + lower_of(size, GIVEN_MOST)};
}

static struct session_need need_of_rest(struct session *session)
{
    size_t event = foreseeable(session)->identity + PLACE + ACT_MOST;

    return (struct session_need){
        .most = besides(session, event), .usual = session->foreseeable.identity + PLACE + ACT_USUAL};
}

size_t session_end_need(struct session *session)
{
    return besides(session, foreseeable(session)->identity + IDENTITY_MOST + PLACE + ACT_MOST);
}

/* As the flags of a CONNECT say; what is too short for them is refused. */
static bool may_have_will(const uint8_t *bytes, size_t length, size_t header_length)
{
    struct view body = view_skip(view_of(bytes, length), header_length);
    size_t name = body.length < 2 ? 0 : (size_t)body.data[0] << 8 | body.data[1];

    return body.length > 2 + name + 1 && (body.data[2 + name + 1] & 0x04) != 0;
}

/* Of one whose answer has come. */
static struct session_need need_of_answer(struct session *session)
{
    const struct session_held_connect *held = session->held_connect;

    if (held != NULL)
        return need_of_identity(
            session, held->length, may_have_will(held->bytes, held->length, held->header_length));
    if (session->state != SESSION_OPEN)
        return need_of_identity(session, GIVEN_MOST, session->will != NULL);
    return need_of_message(session, TOPIC_MOST);
}

struct session_need session_audit_need(struct session *session, const struct mqtt_frame *frame)
{
    if (frame == NULL)
        return need_of_answer(session);
    switch ((enum mqtt_type)frame->type) {
    case MQTT_PUBLISH:
        return need_of_message(session, frame->size);
    case MQTT_SUBSCRIBE: /* before CONNECT it is a violation, and has no version to be decoded by */
        return session->state == SESSION_OPEN ? need_of_filters(session, frame) : need_of_rest(session);
    case MQTT_CONNECT:
        return need_of_identity(session, frame->size,
            may_have_will(frame->bytes.data, frame->bytes.length, frame->header_length));
    case MQTT_CONNACK:
    case MQTT_AUTH:
        return need_of_identity(session, frame->size, session->will != NULL);
    default:
        return need_of_rest(session);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions that another policy does not grant any more are given back to the broker, by an UNSUBSCRIBE
 * of the proxy's own. Called by session_rebind.c. What can't be given back is filtered at delivery, as what
 * an earlier connection left at the broker is. */
#include <stdlib.h>

#include "proxy/session/session_internal.h"

/* Bytes of filters in one UNSUBSCRIBE of the proxy's, so that it stays below what brokers take. */
#define UNSUBSCRIBE_BYTES 4096
/* Of an UNSUBSCRIBE, besides its filters: fixed header, packet identifier, length of the properties. */
#define UNSUBSCRIBE_HEADERS 8

/* What is being given back. */
struct withdrawal {
    struct session *session;
    struct session_output *output;
    struct buffer filters; /* of the packet under construction */
    uint32_t count;        /* in filters */
    uint32_t packet_id;    /* of that packet; those above it are in use */
    size_t room;           /* for filters in one packet */
};

static void audit_withdrawn(const struct session *session, const struct session_held_filter *held,
    const struct policy_verdict *verdict)
{
    struct audit_event event;
    char nearest[SESSION_NEAREST_MAX];

    if (verdict->allowed)
        session_count_monitored(session, verdict);
    else
        session_count_denied(session, SESSION_OPERATION_SUBSCRIBE, verdict);
    session_event_begin(session, &event, AUDIT_subscription_withdrawn, verdict->reason,
        verdict->allowed ? AUDIT_MONITORED : AUDIT_DROPPED);
    session_event_verdict(&event, verdict, nearest);
    event.has_topic = true;
    event.topic = held->text;
    event.has_qos = true;
    event.qos = held->options & 3;
    session_event_emit(session, &event);
}

static void judge_again(
    const struct session *session, const struct session_held_filter *held, struct policy_verdict *verdict)
{
    const struct policy_subscribe_request request = {
        held->text, session->settings->dialect, held->options & 3};
    struct policy_subscribe_verdict found;

    policy_decide_subscribe(session->settings->policy, session->subject, &request, &found);
    *verdict = found.verdict;
}

/* The next id below that neither a message nor a SUBSCRIBE of the client uses; from above, where clients that
 * count up are last. 0: there is none. */
static uint32_t free_packet_id(const struct session *session, uint32_t below)
{
    for (uint32_t id = below - 1; id > 0; id--) {
        const struct session_pending *pending = session->subscriptions.pending;

        if (!session_flow_is_new(&session->from_client, (uint16_t)id))
            continue;
        while (pending != NULL && pending->packet_id != id)
            pending = pending->next;
        if (pending == NULL)
            return id;
    }
    return 0;
}

/* Sends what was collected. Its UNSUBACK is not the client's. */
static void send_unsubscribe(struct withdrawal *withdrawal)
{
    struct mqtt_packet packet = {.type = MQTT_UNSUBSCRIBE, .version = withdrawal->session->version};
    struct session_pending *pending;

    if (withdrawal->count == 0)
        return;
    packet.u.subscribe.packet_id = (uint16_t)withdrawal->packet_id;
    packet.u.subscribe.filters = buffer_view(&withdrawal->filters);
    packet.u.subscribe.count = withdrawal->count;
    pending = session_pending_new(&packet, MQTT_UNSUBACK);
    pending->own = true;
    session_pending_await(withdrawal->session, pending);
    mqtt_encode(&packet, withdrawal->output->to_broker);
    buffer_clear(&withdrawal->filters);
    withdrawal->count = 0;
}

/* A packet of one filter always fits: the client's SUBSCRIBE for it was larger. False: all packet ids are in
 * use. */
static bool give_back(struct withdrawal *withdrawal, struct view filter)
{
    if (buffer_length(&withdrawal->filters) + 2 + filter.length > withdrawal->room)
        send_unsubscribe(withdrawal);
    if (withdrawal->count == 0) {
        uint32_t packet_id = free_packet_id(withdrawal->session, withdrawal->packet_id);

        if (packet_id == 0)
            return false;
        withdrawal->packet_id = packet_id;
    }
    buffer_append_byte(&withdrawal->filters, (uint8_t)(filter.length >> 8));
    buffer_append_byte(&withdrawal->filters, (uint8_t)filter.length);
    buffer_append(&withdrawal->filters, filter);
    withdrawal->count++;
    return true;
}

static size_t room_for_filters(const struct session *session)
{
    uint64_t limit = session->broker_packet_limit;

    if (limit >= UNSUBSCRIBE_HEADERS + UNSUBSCRIBE_BYTES)
        return UNSUBSCRIBE_BYTES;
    return limit > UNSUBSCRIBE_HEADERS ? (size_t)limit - UNSUBSCRIBE_HEADERS : 0;
}

void session_withdraw(struct session *session, struct session_output *output)
{
    struct session_subscriptions *subscriptions = &session->subscriptions;
    struct withdrawal withdrawal = {
        .session = session, .output = output, .packet_id = UINT16_MAX + 1, .room = room_for_filters(session)};

    for (size_t i = 0; i < subscriptions->held.count;) {
        const struct session_held_filter *item = &subscriptions->held.items[i];
        struct policy_verdict verdict = {.allowed = true};

        if (item->text.data != NULL)
            judge_again(session, item, &verdict);
        if (verdict.allowed) {
            if (verdict.would_be_denied)
                audit_withdrawn(session, item, &verdict);
            i++;
            continue;
        }
        if (!give_back(&withdrawal, item->text))
            break;
        audit_withdrawn(session, item, &verdict);
        if (item->asked > 0)
            session_pending_refuse(session, item->generation, verdict.reason);
        session_filters_add(&subscriptions->refused, item->hash, SESSION_REFUSED_MAX);
        session_held_remove_at(&subscriptions->held, i); /* another one stands at i now */
    }
    send_unsubscribe(&withdrawal);
    buffer_release(&withdrawal.filters);
}

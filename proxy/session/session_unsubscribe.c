/* SPDX-License-Identifier: Apache-2.0 */
/* UNSUBSCRIBE and UNSUBACK. Filters that the proxy refused in this session are unknown to the broker: the
 * proxy answers for them. All others go on, since a session that the broker kept may hold filters that this
 * connection never named. */
#include <stdlib.h>

#include "proxy/session/session_internal.h"

#define NO_SUBSCRIPTION_EXISTED 0x11

static void take_filter(struct session *session, struct session_pending_filter *slot, struct view filter,
    struct session_pending *pending, struct buffer *rest)
{
    uint64_t hash = session_filter_hash(filter);

    /* A session that the broker kept may hold what this connection was refused. */
    if (session_filters_remove(&session->subscriptions.refused, hash) && !session->resumed) {
        slot->code = NO_SUBSCRIPTION_EXISTED;
        return;
    }
    slot->code = SESSION_BROKER_ANSWERS;
    session_held_remove(&session->subscriptions.held, hash);
    pending->forwarded++;
    buffer_append_byte(rest, (uint8_t)(filter.length >> 8));
    buffer_append_byte(rest, (uint8_t)filter.length);
    buffer_append(rest, filter);
}

/* What goes on of the packet. Its answer is awaited, so that two packets under the same id have each its own,
 * and the proxy knows which ids are in use. */
static enum session_verdict finish(struct session *session, const struct mqtt_packet *packet,
    struct session_pending *pending, struct session_output *output)
{
    struct mqtt_packet rest = *packet;
    enum session_verdict verdict = SESSION_CONSUMED;

    if (pending->forwarded == pending->count)
        verdict = SESSION_FORWARD;
    else if (pending->forwarded == 0)
        session_pending_answer(session, pending, output);
    else {
        rest.u.subscribe.filters = buffer_view(&session->scratch);
        rest.u.subscribe.count = pending->forwarded;
        mqtt_encode(&rest, output->to_broker);
    }
    if (pending->forwarded != 0)
        session_pending_await(session, pending);
    else
        free(pending);
    return verdict;
}

enum session_verdict session_client_unsubscribe(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    struct mqtt_filter filter;
    struct session_pending *pending;
    enum session_verdict verdict;
    uint32_t index = 0;

    if (mqtt_decode(frame, MQTT_FROM_CLIENT, session->version, &session->settings->options, &packet,
            &error) != MQTT_OK)
        return session_client_error(session, &error, MQTT_UNSUBSCRIBE, output);
    if (packet.u.subscribe.count > session->settings->max_filters)
        return session_too_many_filters(session, MQTT_UNSUBSCRIBE, output);
    pending = session_pending_new(&packet, MQTT_UNSUBACK);
    for (size_t offset = 0; mqtt_filter_next(&packet.u.subscribe, &offset, &filter); index++)
        take_filter(session, &pending->filters[index], filter.filter, pending, &session->scratch);
    verdict = finish(session, &packet, pending, output);
    buffer_clear(&session->scratch);
    return verdict;
}

enum session_verdict session_broker_unsuback(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    struct session_pending *pending;

    if (mqtt_decode(frame, MQTT_FROM_SERVER, session->version, &session->settings->options, &packet,
            &error) != MQTT_OK)
        return session_broker_violation(session, error.statement, error.text, output);
    pending = session_pending_take(session, MQTT_UNSUBACK, packet.u.suback.packet_id);
    if (pending != NULL && pending->own) {
        free(pending);
        return SESSION_CONSUMED;
    }
    if (session->version != MQTT_V5) { /* without codes; one that nobody waits for does no harm */
        free(pending);
        return SESSION_FORWARD;
    }
    if (pending != NULL && pending->forwarded == packet.u.suback.codes.length)
        return session_pending_merge(session, pending, &packet, output);
    free(pending);
    return session_broker_violation(session, "MQTT-3.11.3-2",
        "an UNSUBACK that answers no UNSUBSCRIBE, or not all of its filters", output);
}

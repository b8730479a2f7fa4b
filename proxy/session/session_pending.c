/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of filters that went on shortened, and the answers to them: every filter of the client's packet has
 * its code in its place. Called by session_subscribe.c and session_unsubscribe.c. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

struct session_pending *session_pending_new(const struct mqtt_packet *packet, enum mqtt_type answer)
{
    size_t count = packet->u.subscribe.count;
    struct session_pending *pending =
        memory_calloc(1, sizeof(*pending) + count * sizeof(pending->filters[0]));

    pending->type = answer;
    pending->packet_id = packet->u.subscribe.packet_id;
    pending->count = (uint32_t)count;
    return pending;
}

void session_pending_await(struct session *session, struct session_pending *pending)
{
    struct session_pending **last = &session->subscriptions.pending;

    while (*last != NULL)
        last = &(*last)->next;
    *last = pending;
    session->subscriptions.pending_count++;
}

struct session_pending *session_pending_take(
    struct session *session, enum mqtt_type answer, uint16_t packet_id)
{
    for (struct session_pending **at = &session->subscriptions.pending; *at != NULL; at = &(*at)->next)
        if ((*at)->packet_id == packet_id && (*at)->type == answer) {
            struct session_pending *found = *at;

            *at = found->next;
            session->subscriptions.pending_count--;
            return found;
        }
    return NULL;
}

void session_pending_answer(
    const struct session *session, const struct session_pending *pending, struct session_output *output)
{
    uint8_t *codes = memory_calloc(pending->count, 1);

    for (uint32_t i = 0; i < pending->count; i++)
        codes[i] = pending->filters[i].code;
    mqtt_encode_suback(output->to_client, session->version, pending->type, pending->packet_id,
        view_of(codes, pending->count));
    free(codes);
}

enum session_verdict session_pending_merge(struct session *session, struct session_pending *pending,
    struct mqtt_packet *packet, struct session_output *output)
{
    enum session_verdict verdict = SESSION_FORWARD;
    size_t answered = 0;

    assert(packet->u.suback.codes.length == pending->forwarded);
    for (uint32_t i = 0; i < pending->count; i++) {
        struct session_pending_filter *slot = &pending->filters[i];

        if (slot->code == SESSION_BROKER_ANSWERS)
            slot->code = packet->u.suback.codes.data[answered++];
        if (slot->code >= 0x80 && slot->hash != 0)
            session_filters_remove(&session->subscriptions.held, slot->hash);
    }
    if (pending->forwarded < pending->count) {
        for (uint32_t i = 0; i < pending->count; i++)
            buffer_append_byte(&session->scratch, pending->filters[i].code);
        packet->u.suback.codes = buffer_view(&session->scratch);
        session_encode_to_client(session, packet, &packet->u.suback.properties, output);
        buffer_clear(&session->scratch);
        verdict = SESSION_CONSUMED;
    }
    free(pending);
    return verdict;
}

void session_subscriptions_free(struct session_subscriptions *subscriptions)
{
    while (subscriptions->pending != NULL) {
        struct session_pending *next = subscriptions->pending->next;

        free(subscriptions->pending);
        subscriptions->pending = next;
    }
    session_filters_free(&subscriptions->held);
    session_filters_free(&subscriptions->refused);
}

enum session_verdict session_too_many_filters(
    struct session *session, enum mqtt_type type, struct session_output *output)
{
    return session_client_violation(session, REASON_too_many_filters, "MQTT-3.8.3-2",
        "more topic filters in one packet than the limit", type, output);
}

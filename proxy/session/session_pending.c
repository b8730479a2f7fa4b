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
    struct session *session, const struct session_pending *pending, struct session_output *output)
{
    struct mqtt_packet packet = {.type = pending->type, .version = session->version};
    uint8_t *codes = memory_calloc(pending->count, 1);

    for (uint32_t i = 0; i < pending->count; i++)
        codes[i] = pending->filters[i].code;
    packet.u.suback.packet_id = pending->packet_id;
    packet.u.suback.codes = view_of(codes, pending->count);
    session_encode_to_client(session, &packet, &packet.u.suback.properties, output);
    free(codes);
}

void session_pending_refuse(struct session *session, uint32_t generation, enum reason reason)
{
    for (struct session_pending *at = session->subscriptions.pending; at != NULL; at = at->next)
        for (uint32_t i = 0; at->type == MQTT_SUBACK && i < at->count; i++)
            if (at->filters[i].generation == generation)
                at->filters[i].refusal = session_refusal_code(session, reason);
}

/* The code of the client's answer for a filter that the broker answered with this one. */
static uint8_t code_of(const struct session_pending_filter *slot, uint8_t code)
{
    return slot->refusal != 0 && code < 0x80 ? slot->refusal : code;
}

enum session_verdict session_pending_merge(struct session *session, struct session_pending *pending,
    struct mqtt_packet *packet, struct session_output *output)
{
    enum session_verdict verdict = SESSION_FORWARD;
    size_t answered = 0;
    bool changed = pending->forwarded < pending->count;

    assert(packet->u.suback.codes.length == pending->forwarded);
    for (uint32_t i = 0; i < pending->count; i++) {
        struct session_pending_filter *slot = &pending->filters[i];

        if (slot->code == SESSION_BROKER_ANSWERS) {
            uint8_t code = packet->u.suback.codes.data[answered++];

            slot->code = code_of(slot, code);
            changed = changed || slot->code != code;
        }
        if (slot->generation != 0)
            session_held_answer(
                &session->subscriptions.held, slot->hash, slot->generation, slot->code < 0x80);
    }
    if (changed) {
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

bool session_pending_counts_once(const struct session_pending *pending, size_t codes)
{
    size_t different = 0;

    for (uint32_t i = 0; i < pending->count; i++) {
        bool first = true;

        for (uint32_t k = 0; k < i && first; k++)
            first = pending->filters[k].hash != pending->filters[i].hash;
        different += first;
    }
    return pending->forwarded == pending->count && codes == different;
}

/* Which code is whose can't be said: one that was granted may be any of them. */
void session_pending_pass(
    struct session *session, struct session_pending *pending, const struct mqtt_packet *packet)
{
    bool granted = false;

    for (size_t i = 0; i < packet->u.suback.codes.length; i++)
        granted = granted || packet->u.suback.codes.data[i] < 0x80;
    for (uint32_t i = 0; i < pending->count; i++)
        if (pending->filters[i].generation != 0)
            session_held_answer(&session->subscriptions.held, pending->filters[i].hash,
                pending->filters[i].generation, granted);
    free(pending);
}

void session_subscriptions_free(struct session_subscriptions *subscriptions)
{
    while (subscriptions->pending != NULL) {
        struct session_pending *next = subscriptions->pending->next;

        free(subscriptions->pending);
        subscriptions->pending = next;
    }
    session_held_free(&subscriptions->held);
    session_filters_free(&subscriptions->refused);
}

enum session_verdict session_too_many_filters(
    struct session *session, enum mqtt_type type, struct session_output *output)
{
    return session_client_violation(session, REASON_too_many_filters, "MQTT-3.8.3-2",
        "more topic filters in one packet than the limit", type, output);
}

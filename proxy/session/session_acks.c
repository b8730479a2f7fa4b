/* SPDX-License-Identifier: Apache-2.0 */
/* Acknowledgements that the proxy makes up, in the order that a server owes. Called by the handlers of
 * PUBLISH and of the acknowledgements. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define OWNED_BYTES (65536 / 8)

static const enum mqtt_type answer_type[SESSION_ANSWERS] = {
    [SESSION_PUBACK] = MQTT_PUBACK,
    [SESSION_PUBREC] = MQTT_PUBREC,
};

static enum session_answer answer_of(uint8_t qos)
{
    assert(qos == 1 || qos == 2);
    return qos == 1 ? SESSION_PUBACK : SESSION_PUBREC;
}

static void queue_push(struct session_made_up_queue *queue, struct session_made_up item)
{
    if (queue->count == queue->capacity) {
        uint32_t capacity = queue->capacity == 0 ? 8 : queue->capacity * 2;
        struct session_made_up *items = memory_calloc(capacity, sizeof(*items));

        for (uint32_t i = 0; i < queue->count; i++)
            items[i] = queue->items[(queue->first + i) & (queue->capacity - 1)];
        free(queue->items);
        queue->items = items;
        queue->capacity = capacity;
        queue->first = 0;
    }
    queue->items[(queue->first + queue->count++) & (queue->capacity - 1)] = item;
}

/* An answer of the proxy's own to the sender; all but a PUBREC that says yes end the message's flow. */
static void answer(struct session_flow *flow, enum mqtt_version version, enum mqtt_type type,
    uint16_t packet_id, uint8_t code, struct buffer *out)
{
    mqtt_encode_ack(out, version, type, packet_id, code);
    if ((type != MQTT_PUBREC || code >= 0x80) && flow->in_flight > 0)
        flow->in_flight--;
}

/* True if the flow of this id was not owned before. */
static bool own(struct session_flow *flow, uint16_t packet_id)
{
    uint8_t bit = (uint8_t)(1u << (packet_id & 7));

    if (flow->owned == NULL)
        flow->owned = memory_calloc(OWNED_BYTES, 1);
    if ((flow->owned[packet_id >> 3] & bit) != 0)
        return false;
    flow->owned[packet_id >> 3] |= bit;
    flow->owned_count++;
    return true;
}

/* True if the flow of this id was owned until now. */
static bool disown(struct session_flow *flow, uint16_t packet_id)
{
    uint8_t bit = (uint8_t)(1u << (packet_id & 7));

    if (flow->owned_count == 0 || (flow->owned[packet_id >> 3] & bit) == 0)
        return false;
    flow->owned[packet_id >> 3] &= (uint8_t)~bit;
    if (--flow->owned_count == 0) {
        free(flow->owned); /* most sessions are idle most of the time */
        flow->owned = NULL;
    }
    return true;
}

void session_flow_forwarded(struct session_flow *flow, uint8_t qos, uint16_t packet_id)
{
    flow->forwarded[answer_of(qos)]++;
    /* A sender that uses the id of a refused message again has given that one up. */
    if (qos != 2 || !disown(flow, packet_id))
        flow->in_flight++;
}

static void release_due(
    struct session_flow *flow, enum session_answer kind, enum mqtt_version version, struct buffer *out)
{
    struct session_made_up_queue *queue = &flow->queue[kind];

    /* An answer that nobody waits for moves nothing: a peer can't release the proxy's answers early with it.
     */
    if (flow->answered[kind] == flow->forwarded[kind])
        return;
    flow->answered[kind]++;
    while (queue->count > 0 && queue->items[queue->first].after <= flow->answered[kind]) {
        const struct session_made_up *item = &queue->items[queue->first];

        answer(flow, version, answer_type[kind], item->packet_id, item->code, out);
        queue->first = (queue->first + 1) & (queue->capacity - 1);
        queue->count--;
    }
}

void session_flow_answered(struct session_flow *flow, const struct mqtt_packet *packet, struct buffer *out)
{
    if ((packet->type != MQTT_PUBREC || packet->u.ack.code >= 0x80) && flow->in_flight > 0)
        flow->in_flight--;
    if (packet->type == MQTT_PUBACK)
        release_due(flow, SESSION_PUBACK, packet->version, out);
    else if (packet->type == MQTT_PUBREC)
        release_due(flow, SESSION_PUBREC, packet->version, out);
}

void session_flow_refuse(struct session_flow *flow, uint8_t qos, uint16_t packet_id, uint8_t code,
    bool own_flow, enum mqtt_version version, struct buffer *out)
{
    enum session_answer kind = answer_of(qos);

    if (qos == 1 || !own_flow || own(flow, packet_id))
        flow->in_flight++; /* an owned one that is sent again is still the same message */
    if (flow->answered[kind] == flow->forwarded[kind] && flow->queue[kind].count == 0)
        answer(flow, version, answer_type[kind], packet_id, code, out);
    else
        queue_push(&flow->queue[kind], (struct session_made_up){flow->forwarded[kind], packet_id, code});
}

bool session_flow_release(
    struct session_flow *flow, uint16_t packet_id, enum mqtt_version version, struct buffer *out)
{
    if (!disown(flow, packet_id))
        return false;
    answer(flow, version, MQTT_PUBCOMP, packet_id, 0, out);
    return true;
}

uint32_t session_flow_backlog(const struct session_flow *flow)
{
    return flow->queue[SESSION_PUBACK].count + flow->queue[SESSION_PUBREC].count;
}

void session_flow_free(struct session_flow *flow)
{
    free(flow->queue[SESSION_PUBACK].items);
    free(flow->queue[SESSION_PUBREC].items);
    free(flow->owned);
    *flow = (struct session_flow){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in flight and their acknowledgements, those that the proxy makes up among them, in the order that
 * a receiver owes. Called by the handlers of PUBLISH and of the acknowledgements. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* Answers whose place is kept by a session that awaits none. */
#define ORDER_KEPT 256

static const enum mqtt_type answer_type[SESSION_ANSWERS] = {
    [SESSION_PUBACK] = MQTT_PUBACK,
    [SESSION_PUBREC] = MQTT_PUBREC,
};

static enum session_answer answer_of(uint8_t qos)
{
    assert(qos == 1 || qos == 2);
    return qos == 1 ? SESSION_PUBACK : SESSION_PUBREC;
}

/* ---- the order of the answers that are owed ---- */

static struct session_owed *owed_at(const struct session_order *order, uint32_t index)
{
    return &order->items[(order->first + index) & (order->capacity - 1)];
}

static void order_push(struct session_order *order, struct session_owed item)
{
    if (order->count == order->capacity) {
        uint32_t capacity = order->capacity == 0 ? 8 : order->capacity * 2;
        struct session_owed *items = memory_calloc(capacity, sizeof(*items));

        for (uint32_t i = 0; i < order->count; i++)
            items[i] = *owed_at(order, i);
        free(order->items);
        order->items = items;
        order->capacity = capacity;
        order->first = 0;
    }
    order->count++;
    *owed_at(order, order->count - 1) = item;
}

static struct session_owed order_pop(struct session_order *order)
{
    struct session_owed item = *owed_at(order, 0);

    order->first = (order->first + 1) & (order->capacity - 1);
    order->count--;
    return item;
}

/* Most sessions are idle most of the time, and so many messages at once are rare. */
static void order_rest(struct session_order *order)
{
    if (order->count == 0 && order->capacity > ORDER_KEPT) {
        free(order->items);
        *order = (struct session_order){0};
    }
}

/* Where the answer for this id stands; false: not among the oldest that are searched. */
static bool find_owed(const struct session_flow *flow, enum session_answer likely, uint16_t packet_id,
    enum session_answer *kind, uint32_t *index)
{
    for (unsigned i = 0; i < SESSION_ANSWERS; i++) {
        const struct session_order *order = &flow->order[likely ^ i];
        uint32_t end = order->count < flow->search ? order->count : flow->search;

        for (*index = 0; *index < end; ++*index)
            if (owed_at(order, *index)->packet_id == packet_id && !owed_at(order, *index)->made_up) {
                *kind = (enum session_answer)(likely ^ i);
                return true;
            }
    }
    return false;
}

/* ---- what the proxy answers itself ---- */

/* After an answer of QoS 1, or of QoS 2 that says no, the id is free; else the proxy ends the flow. */
static void answer(struct session_flow *flow, enum session_answer kind, const struct session_owed *owed,
    enum mqtt_version version, struct buffer *out)
{
    bool own = kind == SESSION_PUBREC && owed->code < 0x80;

    mqtt_encode_ack(out, version, answer_type[kind], owed->packet_id, owed->code);
    session_ids_set(&flow->ids, owed->packet_id, own ? SESSION_ID_OWNED : SESSION_ID_FREE);
}

/* The oldest answer that is owed: made now if it is the proxy's, no longer waited for if it is the
 * receiver's. */
static void pass_oldest(
    struct session_flow *flow, enum session_answer kind, enum mqtt_version version, struct buffer *out)
{
    struct session_order *order = &flow->order[kind];
    struct session_owed owed = order_pop(order);

    if (owed.made_up) {
        flow->made_up--;
        answer(flow, kind, &owed, version, out);
    } else if (session_ids_get(&flow->ids, owed.packet_id) == SESSION_ID_WAITING)
        session_ids_set(&flow->ids, owed.packet_id, SESSION_ID_LEFT_OUT);
    order_rest(order);
}

/* The receiver's answer is outstanding; not so if it came far out of order. */
static bool is_awaited(const struct session_flow *flow, const struct session_owed *owed)
{
    return !owed->made_up && session_ids_get(&flow->ids, owed->packet_id) == SESSION_ID_WAITING;
}

/* The receiver answered, which is the last of so many answers passed. It has dealt with what came before:
 * what was made up for that is due, and what it left out (some brokers answer out of order, or never) holds
 * nothing up any more. */
static void advance(struct session_flow *flow, enum session_answer kind, uint32_t passed,
    enum mqtt_version version, struct buffer *out)
{
    const struct session_order *order = &flow->order[kind];

    for (uint32_t i = 0; order->count > 0 && (i < passed || !is_awaited(flow, owed_at(order, 0))); i++)
        pass_oldest(flow, kind, version, out);
}

static void owe(struct session_flow *flow, enum session_answer kind, struct session_owed owed,
    enum mqtt_version version, struct buffer *out)
{
    /* Entries of ids that were answered far out of order stay behind, so that there can be too many. */
    if (flow->order[kind].count >= SESSION_ORDER_MAX)
        advance(flow, kind, 1, version, out);
    session_ids_set(&flow->ids, owed.packet_id, owed.made_up ? SESSION_ID_REFUSED : SESSION_ID_WAITING);
    flow->made_up += owed.made_up;
    order_push(&flow->order[kind], owed);
}

/* ---- the flow ---- */

void session_flow_forwarded(
    struct session_flow *flow, uint8_t qos, uint16_t packet_id, enum mqtt_version version, struct buffer *out)
{
    enum session_id_state state = session_ids_get(&flow->ids, packet_id);

    if (state == SESSION_ID_WAITING || (state == SESSION_ID_RECEIVED && qos == 2))
        return; /* sent once more; its flow goes on */
    owe(flow, answer_of(qos), (struct session_owed){.packet_id = packet_id}, version, out);
}

bool session_flow_begin(struct session_flow *flow, uint16_t packet_id)
{
    struct session_order *order = &flow->order[SESSION_PUBACK];

    if (order->count >= SESSION_ORDER_MAX ||
        !session_ids_change(&flow->ids, packet_id, SESSION_ID_FREE, SESSION_ID_WAITING))
        return false;
    order_push(order, (struct session_owed){.packet_id = packet_id});
    return true;
}

bool session_flow_end(struct session_flow *flow, uint16_t packet_id)
{
    struct session_order *order = &flow->order[SESSION_PUBACK];

    if (order->count == 0 || owed_at(order, 0)->packet_id != packet_id || owed_at(order, 0)->made_up ||
        (order->count > 1 &&
            (owed_at(order, 1)->packet_id == packet_id || !is_awaited(flow, owed_at(order, 1)))) ||
        !session_ids_change(&flow->ids, packet_id, SESSION_ID_WAITING, SESSION_ID_FREE))
        return false;
    order_pop(order);
    order_rest(order);
    return true;
}

bool session_flow_is_refused(const struct session_flow *flow, uint16_t packet_id)
{
    return session_ids_get(&flow->ids, packet_id) == SESSION_ID_REFUSED;
}

void session_flow_refuse(struct session_flow *flow, uint8_t qos, uint16_t packet_id, uint8_t code,
    enum mqtt_version version, struct buffer *out)
{
    enum session_answer kind = answer_of(qos);
    const struct session_owed owed = {packet_id, code, true};

    switch (session_ids_get(&flow->ids, packet_id)) {
    case SESSION_ID_WAITING: /* an answer to this id is under way: one is all that the sender waits for */
    case SESSION_ID_LEFT_OUT:
    case SESSION_ID_REFUSED:
        return;
    case SESSION_ID_RECEIVED:
        if (qos == 2)
            return;
        break;
    case SESSION_ID_OWNED: /* refused before, its turn has been */
        if (qos == 2) {
            answer(flow, kind, &owed, version, out);
            return;
        }
        break;
    case SESSION_ID_FREE:
        break;
    }
    if (flow->order[kind].count == 0)
        answer(flow, kind, &owed, version, out);
    else
        owe(flow, kind, owed, version, out);
}

/* A PUBREC that says yes is the one answer that does not end the flow. */
static void settle(struct session_flow *flow, const struct mqtt_packet *packet)
{
    bool goes_on = packet->type == MQTT_PUBREC && packet->u.ack.code < 0x80;

    session_ids_set(&flow->ids, packet->u.ack.packet_id, goes_on ? SESSION_ID_RECEIVED : SESSION_ID_FREE);
}

bool session_flow_answered(struct session_flow *flow, const struct mqtt_packet *packet, struct buffer *out)
{
    enum session_answer likely = packet->type == MQTT_PUBACK ? SESSION_PUBACK : SESSION_PUBREC, kind;
    enum session_id_state state = session_ids_get(&flow->ids, packet->u.ack.packet_id);
    uint32_t index;

    switch (state) {
    case SESSION_ID_FREE: /* of an earlier connection, perhaps: the sender knows */
        return true;
    case SESSION_ID_REFUSED: /* the receiver never got it */
    case SESSION_ID_OWNED:
        return false;
    case SESSION_ID_RECEIVED:
        if (packet->type != MQTT_PUBACK)
            settle(flow, packet);
        return true;
    case SESSION_ID_LEFT_OUT:
    case SESSION_ID_WAITING:
        break;
    }
    settle(flow, packet);
    if (state == SESSION_ID_WAITING && find_owed(flow, likely, packet->u.ack.packet_id, &kind, &index))
        advance(flow, kind, index + 1, packet->version, out);
    else
        advance(flow, likely, 0, packet->version, out);
    return true;
}

bool session_flow_release(
    struct session_flow *flow, uint16_t packet_id, enum mqtt_version version, struct buffer *out)
{
    enum session_id_state state = session_ids_get(&flow->ids, packet_id);

    if (state == SESSION_ID_OWNED) {
        mqtt_encode_ack(out, version, MQTT_PUBCOMP, packet_id, 0);
        session_ids_set(&flow->ids, packet_id, SESSION_ID_FREE);
    }
    /* Ahead of the PUBREC that it is to follow, the receiver must not get it, and the sender will send it
     * again. */
    return state == SESSION_ID_OWNED || state == SESSION_ID_REFUSED;
}

bool session_flow_is_new(const struct session_flow *flow, uint16_t packet_id)
{
    return session_ids_get(&flow->ids, packet_id) == SESSION_ID_FREE;
}

void session_flow_free(struct session_flow *flow)
{
    session_ids_free(&flow->ids);
    for (unsigned kind = 0; kind < SESSION_ANSWERS; kind++)
        free(flow->order[kind].items);
    *flow = (struct session_flow){0};
}

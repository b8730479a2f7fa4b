/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that keeps to the protocol, client or broker: what it has sent and seen, what it owes, and the
 * messages and acknowledgements that it sends. It knows what came over its own connection, and no more. */
#include "model_internal.h"

void peer_reset(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];

    memset(peer->outgoing, 0, (model->ids + 1) * sizeof(*peer->outgoing));
    memset(peer->incoming, 0, (model->ids + 1) * sizeof(*peer->incoming));
    peer->unsent = 0;
}

/* Requests end with the connection, and so does what the other side waits for: it will ask again. */
void peer_new_connection(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];

    peer->unsent = 0;
    for (unsigned id = 1; id <= model->ids; id++) {
        struct outgoing *out = &peer->outgoing[id];

        if (out->stage == STAGE_REQUEST)
            out->stage = STAGE_FREE;
        out->sent = out->counted = false;
        peer->unsent += out->stage != STAGE_FREE;
        peer->incoming[id] = (struct incoming){.known = peer->incoming[id].known};
    }
    peer->in_flight = peer->request_count = peer->pings = 0;
    peer->owed[0].count = peer->owed[1].count = peer->to_release.count = peer->to_complete.count = 0;
    peer->connected = peer->to_authenticate = peer->authenticating = peer->answers_once = false;
    peer->receive_maximum = 65535;
    peer->packet_limit = UINT32_MAX;
    peer->alias_maximum = peer->session_expiry = 0;
    peer->max_qos = 2;
    peer->retains = true;
    peer->method.length = 0;
    memset(peer->aliases, 0, sizeof(peer->aliases));
    buffer_clear(&peer->inbox);
}

/* ---- what it reads ---- */

static void finish(struct peer *peer, struct outgoing *out)
{
    if (out->counted)
        peer->in_flight--;
    if (!out->sent && out->stage != STAGE_FREE)
        peer->unsent--;
    out->stage = STAGE_FREE;
    out->counted = false;
}

static void read_publish(struct peer *peer, const struct mqtt_publish *publish)
{
    struct incoming *incoming = &peer->incoming[publish->packet_id];

    if (publish->qos == 0)
        return;
    incoming->known |= publish->qos == 2;
    if (!incoming->owed[publish->qos - 1])
        list_push(&peer->owed[publish->qos - 1], publish->packet_id);
    incoming->owed[publish->qos - 1] = true;
}

static void read_release(struct peer *peer, uint16_t packet_id)
{
    struct incoming *incoming = &peer->incoming[packet_id];

    incoming->known = false;
    if (incoming->owed[1])
        list_remove(&peer->owed[1], packet_id);
    if (!incoming->completes)
        list_push(&peer->to_complete, packet_id);
    incoming->owed[1] = false;
    incoming->completes = true;
}

static void read_ack(struct peer *peer, enum mqtt_type type, const struct mqtt_ack *ack)
{
    struct outgoing *out = &peer->outgoing[ack->packet_id];
    unsigned qos = out->message.qos;

    if (type == MQTT_PUBACK && out->stage == STAGE_PUBLISHED && qos == 1)
        finish(peer, out);
    else if (type == MQTT_PUBREC && out->stage == STAGE_PUBLISHED && qos == 2 && ack->code >= 0x80)
        finish(peer, out);
    else if (type == MQTT_PUBREC && out->stage == STAGE_PUBLISHED && qos == 2) {
        out->stage = STAGE_RECEIVED;
        list_push(&peer->to_release, ack->packet_id);
    } else if (type == MQTT_PUBCOMP && out->stage == STAGE_RELEASED)
        finish(peer, out);
    else if (type == MQTT_PUBREL)
        read_release(peer, ack->packet_id);
}

static void read_request(struct peer *peer, const struct mqtt_packet *packet)
{
    const struct mqtt_subscribe *subscribe = &packet->u.subscribe;
    struct set different;
    struct mqtt_filter filter;
    size_t count = subscribe->count;

    different.count = 0;
    for (size_t offset = 0; peer->answers_once && mqtt_filter_next(subscribe, &offset, &filter);)
        set_add(&different, filter.filter);
    if (peer->answers_once && packet->type == MQTT_SUBSCRIBE)
        count = different.count;
    if (peer->request_count < REQUESTS_MAX)
        peer->requests[peer->request_count++] =
            (struct request){(uint8_t)packet->type, subscribe->packet_id, (uint8_t)count};
}

static void read_packet(struct model *model, struct peer *peer, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNECT:
        broker_learn(peer, &packet->u.connect);
        break;
    case MQTT_CONNACK:
        client_learn(peer, &packet->u.connack);
        break;
    case MQTT_PUBLISH:
        if (packet->u.publish.packet_id <= model->ids)
            read_publish(peer, &packet->u.publish);
        break;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        if (packet->u.ack.packet_id <= model->ids)
            read_ack(peer, packet->type, &packet->u.ack);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        read_request(peer, packet);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        if (packet->u.suback.packet_id <= model->ids &&
            peer->outgoing[packet->u.suback.packet_id].stage == STAGE_REQUEST)
            peer->outgoing[packet->u.suback.packet_id].stage = STAGE_FREE;
        break;
    case MQTT_PINGREQ:
        peer->pings++;
        break;
    case MQTT_AUTH:
        peer->to_authenticate = packet->u.auth.code != 0;
        peer->authenticating = peer->to_authenticate;
        break;
    case MQTT_PINGRESP:
    case MQTT_DISCONNECT:
        break;
    }
}

void peer_read(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];

    while (buffer_length(&peer->inbox) > 0) {
        struct mqtt_error error;
        struct mqtt_packet packet;

        if (!packet_read(
                buffer_view(&peer->inbox), other_side(side), model->reference.version, &packet, &error))
            model_fail(model, "a peer can't read what it got: %s", error.text);
        read_packet(model, peer, &packet);
        buffer_consume(&peer->inbox, packet.frame.bytes.length);
    }
}

/* ---- what it sends: messages ---- */

unsigned peer_free_id(struct model *model, int side)
{
    unsigned id = 1 + below(model, model->ids);

    return model->peers[side].outgoing[id].stage == STAGE_FREE ? id : 0;
}

void peer_choose_message(struct model *model, int side, struct message *message)
{
    static const uint8_t sizes[] = {4, 4, 4, 4, 0, 1, 7, 8, 9, 40, 140};
    const struct peer *peer = &model->peers[side];
    unsigned half = below(model, 2) == 0 ? 9 : rules_topic_count(); /* the first ones are mostly allowed */

    *message = (struct message){.number = model->numbers++};
    rules_topic(&message->topic, below(model, half), text_view(&peer->client_id));
    message->qos = (uint8_t)below(model, peer->max_qos + 1);
    message->retain = peer->retains && rarely(model, 6);
    message->size = sizes[below(model, sizeof(sizes))];
    if (model->version != MQTT_V5 || below(model, 3) != 2)
        return;
    message->properties = (uint8_t)below(model, side == CLIENT ? WITH_SUBSCRIPTION_ID : 128);
    message->response = (uint8_t)below(model, rules_topic_count());
}

/* True if it went out; false if it may not. */
static bool send_message(
    struct model *model, int side, unsigned id, bool dup, unsigned alias, bool with_topic)
{
    struct peer *peer = &model->peers[side];
    struct outgoing *out = &peer->outgoing[id];
    struct view bytes = packet_message(model, side, &out->message, (uint16_t)id, dup, alias, with_topic);

    if (bytes.length > peer->packet_limit)
        return false;
    if (out->message.qos > 0) {
        if (!out->sent && dup)
            peer->unsent--;
        if (!out->counted)
            peer->in_flight++;
        out->sent = out->counted = true;
    }
    model_feed(model, side, bytes);
    return true;
}

/* The client defines an alias or uses one. */
static unsigned choose_alias(
    struct model *model, struct peer *peer, struct message *message, bool *with_topic)
{
    unsigned count = peer->alias_maximum < 4 ? peer->alias_maximum : 4, alias;

    if (count == 0 || !rarely(model, 3))
        return 0;
    alias = 1 + below(model, count);
    if (peer->aliases[alias - 1].length > 0 && below(model, 2) == 0) {
        message->topic = peer->aliases[alias - 1];
        *with_topic = below(model, 4) == 0;
    } else
        peer->aliases[alias - 1] = message->topic;
    return alias;
}

bool peer_publish(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];
    struct message message;
    unsigned id;

    if (peer->unsent > 0 && peer_resume(model, side))
        return true;
    peer_choose_message(model, side, &message);
    id = message.qos > 0 ? peer_free_id(model, side) : 0;
    if (message.qos > 0 &&
        (id == 0 || (peer->in_flight >= peer->receive_maximum && !(model->mischief && rarely(model, 24)))))
        return false;
    return peer_publish_as(model, side, id, message);
}

bool peer_publish_as(struct model *model, int side, unsigned id, struct message message)
{
    struct peer *peer = &model->peers[side];
    unsigned alias = 0;
    bool with_topic = true;

    peer->outgoing[id] = (struct outgoing){.message = message, .turn = peer->turns++};
    /* The alias counts as defined once it is known that the packet fits. */
    if (side == CLIENT &&
        packet_message(model, side, &message, (uint16_t)id, false, 1, true).length <= peer->packet_limit)
        alias = choose_alias(model, peer, &peer->outgoing[id].message, &with_topic);
    if (message.qos > 0)
        peer->outgoing[id].stage = STAGE_PUBLISHED;
    if (send_message(model, side, id, false, alias, with_topic))
        return true;
    peer->outgoing[id].stage = STAGE_FREE;
    return false;
}

static bool send_release(struct model *model, int side, unsigned id)
{
    struct peer *peer = &model->peers[side];
    struct outgoing *out = &peer->outgoing[id];

    if (!out->sent)
        peer->unsent--;
    out->sent = true;
    out->stage = STAGE_RELEASED;
    model_feed(model, side, packet_ack(model, MQTT_PUBREL, (uint16_t)id, 0));
    return true;
}

/* What an earlier connection left, oldest first, [MQTT-4.4.0-1]; what the new one can't take is given up. */
bool peer_resume(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];
    struct outgoing *out = NULL;
    unsigned oldest = 0;

    for (unsigned id = 1; id <= model->ids; id++) {
        const struct outgoing *one = &peer->outgoing[id];

        if (one->stage != STAGE_FREE && one->stage != STAGE_REQUEST && !one->sent &&
            (oldest == 0 || one->turn < peer->outgoing[oldest].turn))
            oldest = id;
    }
    out = &peer->outgoing[oldest];
    if (oldest == 0)
        return false;
    if (out->stage != STAGE_PUBLISHED)
        return send_release(model, side, oldest);
    if (peer->in_flight >= peer->receive_maximum)
        return false;
    if (out->message.qos <= peer->max_qos && (peer->retains || !out->message.retain) &&
        send_message(model, side, oldest, true, 0, true))
        return true;
    finish(peer, out);
    return false;
}

/* MQTT 3.1 lets a sender repeat itself on the same connection. Not while something is on its way: an answer
 * to the first of two equal packets can't be told from one to the second, or to the next message of that id.
 */
bool peer_send_again(struct model *model, int side)
{
    unsigned id = 1 + below(model, model->ids);
    struct outgoing *out = &model->peers[side].outgoing[id];

    if (model->version != MQTT_V31 || !out->sent)
        return false;
    peer_read(model, side);
    if (out->stage == STAGE_RELEASED)
        return send_release(model, side, id);
    if (out->stage != STAGE_PUBLISHED && out->stage != STAGE_RECEIVED)
        return false;
    if (!send_message(model, side, id, true, 0, true))
        return false;
    if (model->reference.phase != PHASE_CLOSED)
        peer_read(model, other_side(side));
    return true;
}

/* ---- acknowledgements ---- */

static uint8_t choose_code(struct model *model, int side)
{
    static const uint8_t codes[] = {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};

    if (model->version != MQTT_V5 || !rarely(model, 8))
        return 0;
    return side == BROKER && below(model, 2) == 0 ? 0x10 : codes[below(model, sizeof(codes))];
}

static bool acknowledge(struct model *model, int side, unsigned kind)
{
    struct peer *peer = &model->peers[side];
    bool any = model->reference.flows[other_side(side)].any_order;
    struct list *owed = &peer->owed[kind];
    uint8_t code = choose_code(model, side);
    uint16_t id;

    if (owed->count == 0)
        return false;
    id = list_take(owed, any ? below(model, owed->count < 60000 ? owed->count : 60000) : 0);
    peer->incoming[id].owed[kind] = false;
    if (kind == 1 && code >= 0x80)
        peer->incoming[id].known = false;
    model_feed(model, side, packet_ack(model, kind == 0 ? MQTT_PUBACK : MQTT_PUBREC, id, code));
    return true;
}

bool peer_answer(struct model *model, int side, unsigned kind)
{
    struct peer *peer = &model->peers[side];
    uint16_t id;

    if (kind < 2)
        return acknowledge(model, side, kind);
    if (kind == 2)
        return peer->to_release.count > 0 && send_release(model, side, list_take(&peer->to_release, 0));
    if (peer->to_complete.count == 0)
        return false;
    id = list_take(&peer->to_complete, 0);
    peer->incoming[id].completes = false;
    model_feed(model, side, packet_ack(model, MQTT_PUBCOMP, id, rarely(model, 8) ? 0x92 : 0));
    return true;
}

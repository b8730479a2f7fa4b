/* SPDX-License-Identifier: Apache-2.0 */
/* What a side must not send: bytes that are no packets, packets that have no business where they are, packet
 * identifiers of other messages, and more than the other side takes. The reference judges them by what they
 * are, as it does everything else. */
#include "model_internal.h"

static void random_bytes(struct model *model, int side)
{
    uint8_t bytes[16];
    unsigned count = 2 + below(model, sizeof(bytes) - 2);

    for (unsigned i = 0; i < count; i++)
        bytes[i] = (uint8_t)below(model, 256);
    if (below(model, 2) == 0)
        bytes[1] = (uint8_t)(count - 2); /* a length that is true */
    model_feed(model, side, view_of(bytes, count));
}

/* Whatever comes next from this side will have a bit changed. */
static void corrupt_next(struct model *model, int side)
{
    model->corrupt[side] = true;
}

/* Well-formed, but not from this side, or not now. */
static void out_of_place(struct model *model, int side)
{
    static const uint8_t types[] = {MQTT_CONNECT, MQTT_CONNACK, MQTT_SUBSCRIBE, MQTT_SUBACK, MQTT_UNSUBSCRIBE,
        MQTT_UNSUBACK, MQTT_PINGREQ, MQTT_PINGRESP, MQTT_DISCONNECT, MQTT_AUTH, MQTT_PUBLISH, MQTT_PUBACK};
    static const uint8_t code[] = {0};
    struct mqtt_packet packet = {.type = (enum mqtt_type)types[below(model, sizeof(types))]};

    buffer_clear(&model->properties);
    buffer_clear(&model->scratch);
    switch (packet.type) {
    case MQTT_CONNECT:
        packet.u.connect = (struct mqtt_connect){.version = model->version,
            .bridge = model->version != MQTT_V5 && rarely(model, 4),
            .client_id = VIEW("c1")};
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        buffer_append(&model->scratch, VIEW("\0\4in/a"));
        if (packet.type == MQTT_SUBSCRIBE)
            buffer_append_byte(&model->scratch, 0);
        packet.u.subscribe = (struct mqtt_subscribe){.packet_id = 1,
            .filters = buffer_view(&model->scratch),
            .has_options = packet.type == MQTT_SUBSCRIBE};
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        packet.u.suback = (struct mqtt_suback){
            .packet_id = (uint16_t)(1 + below(model, model->ids)), .codes = view_of(code, 1)};
        break;
    case MQTT_PUBLISH:
        packet.u.publish = (struct mqtt_publish){.topic = VIEW("ok/a")};
        break;
    case MQTT_PUBACK:
        packet.u.ack.packet_id = 1;
        break;
    default:
        break;
    }
    if (packet.type == MQTT_AUTH && model->version != MQTT_V5)
        return;
    model_feed(model, side, packet_encode(model, &packet, NULL));
}

static void stray_acknowledgement(struct model *model, int side)
{
    enum mqtt_type type = (enum mqtt_type)(MQTT_PUBACK + below(model, 4));

    model_feed(model, side, packet_ack(model, type, (uint16_t)(1 + below(model, model->ids)), 0));
}

/* Any identifier, whatever it is in use for, however many are in flight, whatever the other side can do. */
static void bold_publish(struct model *model, int side)
{
    struct message message;

    peer_choose_message(model, side, &message);
    message.qos = (uint8_t)below(model, 3);
    message.retain = below(model, 2) == 0;
    if (rarely(model, 4))
        message.size = (uint16_t)(below(model, 4) * (PAYLOAD_MAX / 3));
    model_feed(model, side,
        packet_message(
            model, side, &message, (uint16_t)(1 + below(model, model->ids)), below(model, 2) == 0, 0, true));
}

static void odd_alias(struct model *model, int side)
{
    struct message message;

    if (model->version != MQTT_V5)
        return;
    peer_choose_message(model, side, &message);
    message.qos = 0;
    model_feed(model, side,
        packet_message(model, side, &message, 0, false, 1 + below(model, 6), below(model, 2) == 0));
}

/* Too many filters, an identifier that is in use, or the answer to a request with a code too many. */
static void odd_request(struct model *model, int side)
{
    static const uint8_t codes[FILTERS_MAX + 1] = {0};
    bool subscribe = below(model, 2) == 0;
    struct mqtt_packet packet = {.type = side == CLIENT ? MQTT_SUBSCRIBE : MQTT_SUBACK};
    unsigned count = 1 + below(model, FILTERS_MAX);

    packet.type = (enum mqtt_type)(packet.type + (subscribe ? 0 : MQTT_UNSUBSCRIBE - MQTT_SUBSCRIBE));
    buffer_clear(&model->properties);
    buffer_clear(&model->scratch);
    for (unsigned i = 0; i < count; i++)
        buffer_append(&model->scratch, view_of("\0\4in/a\1", subscribe ? 7 : 6));
    if (side == CLIENT)
        packet.u.subscribe = (struct mqtt_subscribe){.packet_id = (uint16_t)(1 + below(model, model->ids)),
            .filters = buffer_view(&model->scratch),
            .count = count,
            .has_options = subscribe};
    else
        packet.u.suback = (struct mqtt_suback){
            .packet_id = (uint16_t)(1 + below(model, model->ids)), .codes = view_of(codes, count)};
    model_feed(model, side, packet_encode(model, &packet, NULL));
}

/* DISCONNECT with a session expiry that CONNECT did not have, AUTH with another method. */
static void odd_words(struct model *model, int side)
{
    struct mqtt_packet packet = {.type = below(model, 2) == 0 ? MQTT_DISCONNECT : MQTT_AUTH};

    if (model->version != MQTT_V5)
        return;
    buffer_clear(&model->properties);
    if (packet.type == MQTT_AUTH)
        mqtt_property_write_string(&model->properties, MQTT_AUTHENTICATION_METHOD, VIEW("OTHER"));
    else
        mqtt_property_write_number(&model->properties, MQTT_SESSION_EXPIRY_INTERVAL, 7);
    packet.u.auth.code = packet.type == MQTT_AUTH ? 0x18 : 0;
    model_feed(model, side, packet_encode(model, &packet, &packet.u.auth.properties));
}

void model_misbehave(struct model *model, int side)
{
    static void (*const kinds[])(struct model *, int) = {random_bytes, corrupt_next, corrupt_next,
        out_of_place, stray_acknowledgement, stray_acknowledgement, bold_publish, bold_publish, odd_alias,
        odd_request, odd_words};

    if (side == BROKER && model->reference.phase == PHASE_NEW)
        return; /* there is no broker yet */
    kinds[below(model, sizeof(kinds) / sizeof(kinds[0]))](model, side);
}

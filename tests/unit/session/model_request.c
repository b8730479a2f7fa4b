/* SPDX-License-Identifier: Apache-2.0 */
/* SUBSCRIBE and UNSUBSCRIBE of the model's client, SUBACK and UNSUBACK of its broker. */
#include "model_internal.h"

static void append_filter(struct buffer *out, struct view filter, int options)
{
    buffer_append_byte(out, (uint8_t)(filter.length >> 8));
    buffer_append_byte(out, (uint8_t)filter.length);
    buffer_append(out, filter);
    if (options >= 0)
        buffer_append_byte(out, (uint8_t)options);
}

static uint8_t choose_options(struct model *model, struct view filter)
{
    unsigned options = below(model, 3);

    if (model->version != MQTT_V5)
        return (uint8_t)options;
    if (rarely(model, 4) && !view_starts_with(filter, VIEW("$share/")))
        options |= 4;
    if (rarely(model, 4))
        options |= 8;
    return (uint8_t)(options | below(model, 3) << 4);
}

/* type: MQTT_SUBSCRIBE or MQTT_UNSUBSCRIBE. */
bool client_subscribe(struct model *model, enum mqtt_type type)
{
    struct peer *client = &model->peers[CLIENT];
    struct mqtt_packet packet = {.type = type};
    struct mqtt_subscribe *subscribe = &packet.u.subscribe;
    unsigned id = peer_free_id(model, CLIENT), count = 1 + below(model, 5);
    struct view bytes;

    if (id == 0)
        return false;
    buffer_clear(&model->scratch);
    for (unsigned i = 0; i < count; i++) {
        struct text filter;

        rules_filter_text(&filter, below(model, rules_filter_count()), text_view(&client->client_id));
        append_filter(&model->scratch, text_view(&filter),
            type == MQTT_SUBSCRIBE ? choose_options(model, text_view(&filter)) : -1);
    }
    *subscribe = (struct mqtt_subscribe){.packet_id = (uint16_t)id,
        .filters = buffer_view(&model->scratch),
        .count = count,
        .has_options = type == MQTT_SUBSCRIBE};
    buffer_clear(&model->properties);
    if (model->version == MQTT_V5 && type == MQTT_SUBSCRIBE && rarely(model, 3))
        mqtt_property_write_number(&model->properties, MQTT_SUBSCRIPTION_IDENTIFIER, 1 + below(model, 300));
    packet_maybe_user_property(model);
    bytes = packet_encode(model, &packet, &subscribe->properties);
    if (bytes.length > client->packet_limit)
        return false;
    client->outgoing[id] = (struct outgoing){.stage = STAGE_REQUEST, .sent = true};
    model_feed(model, CLIENT, bytes);
    return true;
}

static uint8_t choose_code(struct model *model, enum mqtt_type type)
{
    static const uint8_t failures[] = {0x80, 0x87, 0x97, 0x9E};
    bool fails = rarely(model, 5);

    if (type == MQTT_UNSUBSCRIBE)
        return fails ? 0x11 : 0;
    if (!fails)
        return (uint8_t)below(model, 3);
    return model->version == MQTT_V5 ? failures[below(model, sizeof(failures))] : 0x80;
}

/* In any order: nothing demands one. */
bool broker_answer_request(struct model *model)
{
    struct peer *broker = &model->peers[BROKER];
    struct mqtt_packet packet = {0};
    struct request request;
    uint8_t codes[256];
    struct view bytes;
    unsigned index;

    if (broker->request_count == 0)
        return false;
    index = below(model, broker->request_count);
    request = broker->requests[index];
    broker->requests[index] = broker->requests[--broker->request_count];
    packet.type = request.type == MQTT_SUBSCRIBE ? MQTT_SUBACK : MQTT_UNSUBACK;
    packet.u.suback.packet_id = request.packet_id;
    for (unsigned i = 0; i < request.count; i++)
        codes[i] = choose_code(model, (enum mqtt_type)request.type);
    packet.u.suback.codes = view_of(codes, request.count);
    buffer_clear(&model->properties);
    if (model->version == MQTT_V5 && rarely(model, 8))
        mqtt_property_write_string(&model->properties, MQTT_REASON_STRING, VIEW("because it is so"));
    packet_maybe_user_property(model);
    bytes = packet_encode(model, &packet, &packet.u.suback.properties);
    if (bytes.length > broker->packet_limit) {
        /* What may be left out is left out, [MQTT-3.9.2-1]. */
        buffer_clear(&model->properties);
        bytes = packet_encode(model, &packet, &packet.u.suback.properties);
    }
    model_feed(model, BROKER, bytes);
    return true;
}

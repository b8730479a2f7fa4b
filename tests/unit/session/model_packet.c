/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the model's peers. */
#include "model_internal.h"

bool packet_read(struct view bytes, int sender, enum mqtt_version version, struct mqtt_packet *packet,
    struct mqtt_error *error)
{
    enum mqtt_direction direction = (enum mqtt_direction)sender;
    struct mqtt_frame frame;

    *error = (struct mqtt_error){.text = "it is cut off"};
    if (mqtt_frame_next(bytes, direction, version, SIZE_MAX, &frame, error) != MQTT_OK)
        return false;
    if (version == 0 && frame.type != MQTT_CONNECT) {
        error->text = "it is ahead of CONNECT";
        return false;
    }
    return mqtt_decode(&frame, direction, version, NULL, packet, error) == MQTT_OK;
}

struct view packet_encode(struct model *model, struct mqtt_packet *packet, struct mqtt_properties *properties)
{
    if (properties != NULL && model->version == MQTT_V5)
        properties->raw = buffer_view(&model->properties);
    buffer_clear(&model->packet);
    packet->version = model->version;
    mqtt_encode(packet, &model->packet);
    return buffer_view(&model->packet);
}

void packet_maybe_user_property(struct model *model)
{
    if (model->version != MQTT_V5)
        return;
    for (unsigned i = rarely(model, 8) ? 1 + below(model, 2) : 0; i > 0; i--)
        mqtt_property_write_pair(&model->properties, VIEW("key"), VIEW("value"));
}

/* ---- PUBLISH ---- */

static void write_message_properties(
    struct model *model, int side, const struct message *message, unsigned alias)
{
    struct buffer *out = &model->properties;
    struct text response;

    if (alias != 0)
        mqtt_property_write_number(out, MQTT_TOPIC_ALIAS, alias);
    if (message->properties & WITH_FORMAT)
        mqtt_property_write_number(out, MQTT_PAYLOAD_FORMAT_INDICATOR, message->number & 1);
    if (message->properties & WITH_EXPIRY)
        mqtt_property_write_number(out, MQTT_MESSAGE_EXPIRY_INTERVAL, message->number);
    if (message->properties & WITH_CONTENT_TYPE)
        mqtt_property_write_string(out, MQTT_CONTENT_TYPE, VIEW("text"));
    if (message->properties & WITH_RESPONSE_TOPIC) {
        rules_topic(&response, message->response, text_view(&model->peers[side].client_id));
        mqtt_property_write_string(out, MQTT_RESPONSE_TOPIC, text_view(&response));
    }
    if (message->properties & WITH_CORRELATION)
        mqtt_property_write_string(out, MQTT_CORRELATION_DATA, view_of(&message->number, 2));
    if (message->properties & WITH_USER)
        mqtt_property_write_pair(out, VIEW("key"), VIEW("value"));
    if (message->properties & WITH_SUBSCRIPTION_ID)
        mqtt_property_write_number(out, MQTT_SUBSCRIPTION_IDENTIFIER, 1 + (message->number & 0xFF));
}

struct view packet_message(struct model *model, int side, const struct message *message, uint16_t packet_id,
    bool dup, unsigned alias, bool with_topic)
{
    char payload[PAYLOAD_MAX];
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    struct mqtt_publish *publish = &packet.u.publish;

    memset(payload, 'a' + (int)(message->number % 26), message->size);
    for (unsigned i = 0; i < 4 && i < message->size; i++)
        payload[i] = (char)('0' + (message->number >> (6 * i) & 0x3F));
    *publish = (struct mqtt_publish){.dup = dup && message->qos > 0,
        .retain = message->retain,
        .qos = message->qos,
        .packet_id = message->qos > 0 ? packet_id : 0,
        .topic_alias = (uint16_t)alias,
        .payload = view_of(payload, message->size)};
    if (with_topic)
        publish->topic = text_view(&message->topic);
    publish->properties.present = alias != 0 ? UINT64_C(1) << MQTT_TOPIC_ALIAS : 0;
    buffer_clear(&model->properties);
    if (model->version == MQTT_V5)
        write_message_properties(model, side, message, alias);
    return packet_encode(model, &packet, &publish->properties);
}

/* ---- the rest ---- */

struct view packet_ack(struct model *model, enum mqtt_type type, uint16_t packet_id, uint8_t code)
{
    struct mqtt_packet packet = {.type = type, .u.ack = {.packet_id = packet_id}};

    buffer_clear(&model->properties);
    if (model->version == MQTT_V5) {
        packet.u.ack.code = code;
        if (rarely(model, 16))
            mqtt_property_write_string(&model->properties, MQTT_REASON_STRING, VIEW("why"));
        packet_maybe_user_property(model);
    }
    return packet_encode(model, &packet, &packet.u.ack.properties);
}

struct view packet_plain(struct model *model, enum mqtt_type type)
{
    struct mqtt_packet packet = {.type = type};

    return packet_encode(model, &packet, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How the model's peers connect, authenticate and part. */
#include "model_internal.h"

/* ---- CONNECT ---- */

static void write_connect_properties(struct model *model)
{
    static const uint16_t receive[] = {1, 2, 3, 5, 65535};
    static const uint32_t sizes[] = {300, 100, 60, 1000, 30, 1000000},
                          expiries[] = {60, 3600, 86400, UINT32_MAX};
    struct buffer *out = &model->properties;
    struct peer *client = &model->peers[CLIENT];

    client->session_expiry = 0;
    if (model->options.ids == 0 && below(model, 2) == 1)
        mqtt_property_write_number(out, MQTT_RECEIVE_MAXIMUM, receive[below(model, 5)]);
    if (rarely(model, 4))
        mqtt_property_write_number(
            out, MQTT_MAXIMUM_PACKET_SIZE, rarely(model, 8) ? 1 + below(model, 24) : sizes[below(model, 6)]);
    if (rarely(model, 3)) {
        client->session_expiry = expiries[below(model, 4)];
        mqtt_property_write_number(out, MQTT_SESSION_EXPIRY_INTERVAL, client->session_expiry);
    }
    if (rarely(model, 3))
        mqtt_property_write_number(out, MQTT_TOPIC_ALIAS_MAXIMUM, below(model, 20));
    if (rarely(model, 8))
        mqtt_property_write_number(out, MQTT_REQUEST_PROBLEM_INFORMATION, below(model, 2));
    if (rarely(model, 3)) {
        text_set(&client->method, VIEW("METHOD"));
        mqtt_property_write_string(out, MQTT_AUTHENTICATION_METHOD, text_view(&client->method));
        if (below(model, 2) == 0)
            mqtt_property_write_string(out, MQTT_AUTHENTICATION_DATA, VIEW("data"));
    }
    packet_maybe_user_property(model);
}

static void choose_client_id(struct model *model, struct text *out)
{
    static const char *const ids[] = {"c1", "c1", "c1", "c1", "c1", "dev-2", "", "", "a/b", "+", "$x"};

    text_set(out, view_of_string(ids[below(model, sizeof(ids) / sizeof(ids[0]))]));
    if (out->length == 0 && model->version == MQTT_V31)
        text_set(out, VIEW("c1"));
}

/* The will's properties need a buffer of their own: the packet's are in model->properties. */
static void add_will(struct model *model, struct mqtt_will *will, struct message *message)
{
    struct buffer *properties = &model->will;
    struct text response;

    peer_choose_message(model, CLIENT, message);
    buffer_clear(properties);
    *will = (struct mqtt_will){.topic = text_view(&message->topic),
        .payload = view_of("a will is a will", message->size < 16 ? message->size : 16),
        .qos = message->qos,
        .retain = message->retain};
    if (model->version != MQTT_V5)
        return;
    if (below(model, 2) == 1)
        mqtt_property_write_number(properties, MQTT_WILL_DELAY_INTERVAL, 5);
    if (message->properties & WITH_RESPONSE_TOPIC) {
        rules_topic(&response, message->response, text_view(&model->peers[CLIENT].client_id));
        mqtt_property_write_string(properties, MQTT_RESPONSE_TOPIC, text_view(&response));
    }
    will->properties.raw = buffer_view(properties);
}

/* resumed: the client comes back for the session that it had. */
void client_connect(struct model *model, bool resumed)
{
    struct peer *client = &model->peers[CLIENT];
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    struct mqtt_connect *connect = &packet.u.connect;
    struct message message;

    if (!resumed)
        choose_client_id(model, &client->client_id);
    *connect = (struct mqtt_connect){.version = model->version,
        .clean_start = !resumed && (client->client_id.length == 0 || below(model, 2) == 0),
        .keep_alive = (uint16_t)below(model, 100),
        .client_id = text_view(&client->client_id)};
    if (below(model, 2) == 1) {
        connect->has_username = true;
        connect->username = VIEW("user");
        connect->has_password = below(model, 4) != 3;
        connect->password = VIEW("password");
    }
    buffer_clear(&model->properties);
    if (model->version == MQTT_V5)
        write_connect_properties(model);
    if (rarely(model, 4)) {
        connect->has_will = true;
        add_will(model, &connect->will, &message);
    }
    model_feed(model, CLIENT, packet_encode(model, &packet, &connect->properties));
}

void broker_learn(struct peer *broker, const struct mqtt_connect *connect)
{
    const struct mqtt_properties *properties = &connect->properties;
    struct mqtt_property_value method = {0};

    broker->connected = true;
    text_set(&broker->client_id, connect->client_id);
    broker->receive_maximum = mqtt_properties_number(properties, MQTT_RECEIVE_MAXIMUM, 65535);
    broker->packet_limit = mqtt_properties_number(properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    if (mqtt_properties_find(properties, MQTT_AUTHENTICATION_METHOD, &method))
        text_set(&broker->method, method.string);
}

/* ---- CONNACK ---- */

static void write_connack_properties(struct model *model)
{
    static const uint16_t receive[] = {1, 2, 4, 65535};
    static const uint32_t sizes[] = {60, 120, 300, 100000};
    struct buffer *out = &model->properties;
    const struct peer *broker = &model->peers[BROKER];

    if (model->options.ids == 0 && below(model, 2) == 1)
        mqtt_property_write_number(out, MQTT_RECEIVE_MAXIMUM, receive[below(model, 4)]);
    if (rarely(model, 6))
        mqtt_property_write_number(out, MQTT_MAXIMUM_PACKET_SIZE, sizes[below(model, 4)]);
    if (rarely(model, 10))
        mqtt_property_write_number(out, MQTT_MAXIMUM_QOS, below(model, 2));
    if (rarely(model, 10))
        mqtt_property_write_number(out, MQTT_RETAIN_AVAILABLE, below(model, 2));
    if (rarely(model, 3))
        mqtt_property_write_number(out, MQTT_TOPIC_ALIAS_MAXIMUM, below(model, 20));
    if (rarely(model, 8))
        mqtt_property_write_number(out, MQTT_SERVER_KEEP_ALIVE, below(model, 50));
    if (rarely(model, 8))
        mqtt_property_write_number(out, MQTT_SESSION_EXPIRY_INTERVAL, 30);
    if (rarely(model, 8))
        mqtt_property_write_string(out, MQTT_REASON_STRING, VIEW("welcome to this broker"));
    if (broker->client_id.length == 0 && !rarely(model, 8))
        mqtt_property_write_string(
            out, MQTT_ASSIGNED_CLIENT_IDENTIFIER, rarely(model, 8) ? VIEW("a#b") : VIEW("given-7"));
    if (broker->method.length > 0)
        mqtt_property_write_string(out, MQTT_AUTHENTICATION_METHOD, text_view(&broker->method));
    packet_maybe_user_property(model);
}

bool broker_connack(struct model *model)
{
    static const uint8_t codes[] = {0x80, 0x86, 0x87, 0x88, 0x97};
    struct peer *broker = &model->peers[BROKER];
    struct mqtt_packet packet = {.type = MQTT_CONNACK};
    struct mqtt_connack *connack = &packet.u.connack;
    struct view bytes;

    buffer_clear(&model->properties);
    if (rarely(model, 24))
        connack->code =
            model->version == MQTT_V5 ? codes[below(model, sizeof(codes))] : (uint8_t)(1 + below(model, 5));
    else {
        connack->session_present = below(model, 2) == 1;
        if (model->version == MQTT_V5)
            write_connack_properties(model);
    }
    bytes = packet_encode(model, &packet, &connack->properties);
    if (bytes.length > broker->packet_limit) {
        buffer_clear(&model->properties);
        bytes = packet_encode(model, &packet, &connack->properties);
    }
    model_feed(model, BROKER, bytes);
    return connack->session_present;
}

void client_learn(struct peer *client, const struct mqtt_connack *connack)
{
    const struct mqtt_properties *properties = &connack->properties;
    struct mqtt_property_value assigned;

    if (connack->code != 0)
        return;
    client->connected = true;
    client->authenticating = client->to_authenticate = false;
    client->receive_maximum = mqtt_properties_number(properties, MQTT_RECEIVE_MAXIMUM, 65535);
    client->packet_limit = mqtt_properties_number(properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    client->alias_maximum = mqtt_properties_number(properties, MQTT_TOPIC_ALIAS_MAXIMUM, 0);
    client->max_qos = mqtt_properties_number(properties, MQTT_MAXIMUM_QOS, 2);
    client->retains = mqtt_properties_number(properties, MQTT_RETAIN_AVAILABLE, 1) != 0;
    if (mqtt_properties_find(properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER, &assigned))
        text_set(&client->client_id, assigned.string);
}

/* ---- AUTH, DISCONNECT ---- */

/* The next step of an exchange, or the client begins one. */
bool peer_authenticate(struct model *model, int side)
{
    struct peer *peer = &model->peers[side];
    struct mqtt_packet packet = {.type = MQTT_AUTH};
    bool open = model->reference.phase == PHASE_OPEN;

    if (model->version != MQTT_V5 || peer->method.length == 0)
        return false;
    if (side == CLIENT && peer->to_authenticate)
        packet.u.auth.code = 0x18;
    else if (side == CLIENT && open && peer->connected && !peer->authenticating)
        packet.u.auth.code = 0x19;
    else if (side == BROKER && (peer->to_authenticate || !open))
        packet.u.auth.code = !open || below(model, 2) == 0 ? 0x18 : 0;
    else
        return false;
    peer->to_authenticate = false;
    peer->authenticating = packet.u.auth.code != 0;
    buffer_clear(&model->properties);
    mqtt_property_write_string(&model->properties, MQTT_AUTHENTICATION_METHOD, text_view(&peer->method));
    if (below(model, 2) == 0)
        mqtt_property_write_string(&model->properties, MQTT_AUTHENTICATION_DATA, VIEW("more data"));
    if (packet_encode(model, &packet, &packet.u.auth.properties).length > peer->packet_limit)
        return false;
    model_feed(model, side, buffer_view(&model->packet));
    return true;
}

void peer_disconnect(struct model *model, int side)
{
    static const uint8_t client_codes[] = {0x00, 0x04}, broker_codes[] = {0x8B, 0x87, 0x8E, 0x00};
    struct peer *peer = &model->peers[side];
    struct mqtt_packet packet = {.type = MQTT_DISCONNECT};

    buffer_clear(&model->properties);
    if (model->version == MQTT_V5) {
        packet.u.disconnect.code =
            side == CLIENT ? client_codes[below(model, 2)] : broker_codes[below(model, 4)];
        if (side == CLIENT && below(model, 2) == 0)
            mqtt_property_write_number(&model->properties, MQTT_SESSION_EXPIRY_INTERVAL,
                peer->session_expiry == 0 ? 0 : below(model, 60000));
        packet_maybe_user_property(model);
    }
    if (packet_encode(model, &packet, &packet.u.disconnect.properties).length <= peer->packet_limit)
        model_feed(model, side, buffer_view(&model->packet));
}

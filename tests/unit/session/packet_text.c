/* SPDX-License-Identifier: Apache-2.0 */
/* The notation of packets in scenarios, both ways. Used by world.c and scenario.c. */
#include "packet_text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 4096
#define TOKENS_MAX 80

/* What is being built of a line. */
struct builder {
    char text[TEXT_MAX];
    char *tokens[TOKENS_MAX];
    size_t count;
    struct mqtt_packet packet;
    struct buffer properties, will_properties, payload; /* payload: also filters and codes */
    const char *error;
};

/* ---- properties ---- */

static bool is_text_property(unsigned id)
{
    static const uint64_t texts =
        UINT64_C(1) << MQTT_CONTENT_TYPE | UINT64_C(1) << MQTT_RESPONSE_TOPIC |
        UINT64_C(1) << MQTT_CORRELATION_DATA | UINT64_C(1) << MQTT_ASSIGNED_CLIENT_IDENTIFIER |
        UINT64_C(1) << MQTT_AUTHENTICATION_METHOD | UINT64_C(1) << MQTT_AUTHENTICATION_DATA |
        UINT64_C(1) << MQTT_RESPONSE_INFORMATION | UINT64_C(1) << MQTT_SERVER_REFERENCE |
        UINT64_C(1) << MQTT_REASON_STRING;

    return texts >> id & 1;
}

/* "Topic Alias" -> "topic_alias" */
static void property_key(unsigned id, char out[64])
{
    const char *name = mqtt_property_name((enum mqtt_property)id);
    size_t i = 0;

    for (; name != NULL && name[i] != 0 && i < 63; i++)
        out[i] = name[i] == ' ' || name[i] == '-'   ? '_'
                 : name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32)
                                                    : name[i];
    out[i] = 0;
}

static unsigned find_property(const char *key)
{
    char name[64];

    for (unsigned id = 1; id < 64; id++) {
        property_key(id, name);
        if (name[0] != 0 && strcmp(name, key) == 0)
            return id;
    }
    return 0;
}

static bool take_property(
    struct mqtt_properties *properties, struct buffer *out, const char *key, const char *value)
{
    unsigned id = find_property(key);
    const char *colon = strchr(value, ':');

    if (id == 0)
        return false;
    properties->present |= UINT64_C(1) << id;
    if (id == MQTT_USER_PROPERTY)
        mqtt_property_write_pair(out, view_of(value, colon == NULL ? strlen(value) : (size_t)(colon - value)),
            view_of_string(colon == NULL ? "" : colon + 1));
    else if (is_text_property(id))
        mqtt_property_write_string(out, (enum mqtt_property)id, view_of_string(value));
    else
        mqtt_property_write_number(out, (enum mqtt_property)id, (uint32_t)strtoul(value, NULL, 0));
    return true;
}

static void print_properties(const struct mqtt_properties *properties, const char *prefix, struct buffer *out)
{
    struct mqtt_property_value value;
    char key[64];

    for (size_t offset = 0; mqtt_properties_next(properties, &offset, &value);) {
        property_key(value.id, key);
        if (value.id == MQTT_USER_PROPERTY)
            buffer_format(
                out, " %s%s=%.*s:%.*s", prefix, key, VIEW_ARGS(value.string), VIEW_ARGS(value.value));
        else if (is_text_property(value.id))
            buffer_format(out, " %s%s=%.*s", prefix, key, VIEW_ARGS(value.string));
        else
            buffer_format(out, " %s%s=%u", prefix, key, value.number);
    }
}

/* ---- keys of single packets ---- */

static bool is_true(const char *value)
{
    return strcmp(value, "true") == 0;
}

static void take_hex(struct buffer *out, const char *digits)
{
    unsigned byte;

    for (; sscanf(digits, "%2x", &byte) == 1; digits += 2)
        buffer_append_byte(out, (uint8_t)byte);
}

static bool take_will(struct builder *builder, const char *key, const char *value)
{
    struct mqtt_connect *connect = &builder->packet.u.connect;

    connect->has_will = true;
    if (strcmp(key, "topic") == 0)
        connect->will.topic = view_of_string(value);
    else if (strcmp(key, "payload") == 0)
        connect->will.payload = view_of_string(value);
    else if (strcmp(key, "payload_hex") == 0) {
        take_hex(&builder->payload, value);
        connect->will.payload = buffer_view(&builder->payload);
    } else if (strcmp(key, "qos") == 0)
        connect->will.qos = (uint8_t)atoi(value);
    else if (strcmp(key, "retain") == 0)
        connect->will.retain = is_true(value);
    else
        return take_property(&connect->will.properties, &builder->will_properties, key, value);
    return true;
}

static bool take_connect_key(struct builder *builder, const char *key, const char *value)
{
    struct mqtt_connect *connect = &builder->packet.u.connect;

    if (strncmp(key, "will.", 5) == 0)
        return take_will(builder, key + 5, value);
    if (strcmp(key, "id") == 0)
        connect->client_id = view_of_string(value);
    else if (strcmp(key, "keepalive") == 0)
        connect->keep_alive = (uint16_t)atoi(value);
    else if (strcmp(key, "clean") == 0)
        connect->clean_start = is_true(value);
    else if (strcmp(key, "username") == 0) {
        connect->has_username = true;
        connect->username = view_of_string(value);
    } else if (strcmp(key, "password") == 0) {
        connect->has_password = true;
        connect->password = view_of_string(value);
    } else
        return take_property(&connect->properties, &builder->properties, key, value);
    return true;
}

static bool take_connack_key(struct builder *builder, const char *key, const char *value)
{
    struct mqtt_connack *connack = &builder->packet.u.connack;

    if (strcmp(key, "present") != 0)
        return take_property(&connack->properties, &builder->properties, key, value);
    connack->session_present = is_true(value);
    return true;
}

static bool take_publish_key(struct builder *builder, const char *key, const char *value)
{
    struct mqtt_publish *publish = &builder->packet.u.publish;

    if (strcmp(key, "qos") == 0)
        publish->qos = (uint8_t)atoi(value);
    else if (strcmp(key, "id") == 0)
        publish->packet_id = (uint16_t)atoi(value);
    else if (strcmp(key, "retain") == 0)
        publish->retain = is_true(value);
    else if (strcmp(key, "dup") == 0)
        publish->dup = is_true(value);
    else if (strcmp(key, "payload") == 0)
        buffer_append(&builder->payload, view_of_string(value));
    else if (strcmp(key, "payload_hex") == 0)
        take_hex(&builder->payload, value);
    else if (strcmp(key, "payload_bytes") == 0)
        for (int i = atoi(value); i > 0; i--)
            buffer_append_byte(&builder->payload, 'x');
    else {
        if (strcmp(key, "topic_alias") == 0)
            publish->topic_alias = (uint16_t)atoi(value);
        return take_property(&publish->properties, &builder->properties, key, value);
    }
    return true;
}

static bool take_other_key(struct builder *builder, const char *key, const char *value)
{
    struct mqtt_properties *properties = &builder->packet.u.ack.properties;

    switch (builder->packet.type) {
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        properties = &builder->packet.u.subscribe.properties;
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        properties = &builder->packet.u.suback.properties;
        break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        properties = &builder->packet.u.disconnect.properties;
        break;
    default:
        break;
    }
    return take_property(properties, &builder->properties, key, value);
}

static bool take_key(struct builder *builder, const char *key, const char *value)
{
    switch (builder->packet.type) {
    case MQTT_CONNECT:
        return take_connect_key(builder, key, value);
    case MQTT_CONNACK:
        return take_connack_key(builder, key, value);
    case MQTT_PUBLISH:
        return take_publish_key(builder, key, value);
    default:
        return take_other_key(builder, key, value);
    }
}

/* ---- what has no key ---- */

/* "a/b:1,nl,rap,rh2" */
static void take_filter(struct builder *builder, char *token)
{
    char *colon = strrchr(token, ':');
    unsigned options = 0;
    struct view filter;

    if (colon != NULL) {
        *colon = 0;
        options = (unsigned)(colon[1] - '0');
        options |= strstr(colon + 1, ",nl") != NULL ? 4u : 0u;
        options |= strstr(colon + 1, ",rap") != NULL ? 8u : 0u;
        options |= strstr(colon + 1, ",rh1") != NULL ? 16u : strstr(colon + 1, ",rh2") != NULL ? 32u : 0u;
    }
    filter = view_of_string(token);
    buffer_append_byte(&builder->payload, (uint8_t)(filter.length >> 8));
    buffer_append_byte(&builder->payload, (uint8_t)filter.length);
    buffer_append(&builder->payload, filter);
    if (builder->packet.type == MQTT_SUBSCRIBE)
        buffer_append_byte(&builder->payload, (uint8_t)options);
    builder->packet.u.subscribe.count++;
}

static bool take_positional(struct builder *builder, char *token, size_t index)
{
    unsigned number = (unsigned)strtoul(token, NULL, 0);
    struct mqtt_packet *packet = &builder->packet;

    switch (packet->type) {
    case MQTT_CONNACK:
        packet->u.connack.code = (uint8_t)number;
        return index == 0;
    case MQTT_PUBLISH:
        packet->u.publish.topic = strcmp(token, "-") == 0 ? view_of("", 0) : view_of_string(token);
        return index == 0;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        if (index == 0)
            packet->u.ack.packet_id = (uint16_t)number;
        else
            packet->u.ack.code = (uint8_t)number;
        return index <= 1;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        if (index == 0)
            packet->u.subscribe.packet_id = (uint16_t)number;
        else
            take_filter(builder, token);
        return true;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        if (index == 0)
            packet->u.suback.packet_id = (uint16_t)number;
        else
            buffer_append_byte(&builder->payload, (uint8_t)number);
        return true;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        packet->u.disconnect.code = (uint8_t)number;
        return index == 0;
    default:
        return false;
    }
}

/* ---- lines to packets ---- */

static void begin(struct builder *builder, const char *type, enum mqtt_version version)
{
    builder->packet = (struct mqtt_packet){.version = version};
    for (int i = MQTT_CONNECT; i <= MQTT_AUTH; i++)
        if (strcmp(mqtt_type_name((enum mqtt_type)i), type) == 0)
            builder->packet.type = (enum mqtt_type)i;
    if (builder->packet.type == MQTT_CONNECT) {
        builder->packet.u.connect.version = version;
        builder->packet.u.connect.clean_start = true;
    }
    builder->packet.u.subscribe.has_options = builder->packet.type == MQTT_SUBSCRIBE;
}

static void attach(struct builder *builder)
{
    struct mqtt_packet *packet = &builder->packet;
    struct view properties = buffer_view(&builder->properties);

    switch (packet->type) {
    case MQTT_CONNECT:
        packet->u.connect.properties.raw = properties;
        packet->u.connect.will.properties.raw = buffer_view(&builder->will_properties);
        break;
    case MQTT_CONNACK:
        packet->u.connack.properties.raw = properties;
        break;
    case MQTT_PUBLISH:
        packet->u.publish.properties.raw = properties;
        packet->u.publish.payload = buffer_view(&builder->payload);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        packet->u.subscribe.properties.raw = properties;
        packet->u.subscribe.filters = buffer_view(&builder->payload);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        packet->u.suback.properties.raw = properties;
        packet->u.suback.codes = buffer_view(&builder->payload);
        break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        packet->u.disconnect.properties.raw = properties;
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        break;
    default:
        packet->u.ack.properties.raw = properties;
    }
}

static bool build(struct builder *builder, enum mqtt_version version)
{
    size_t positional = 0;

    if (builder->count == 0)
        return false;
    begin(builder, builder->tokens[0], version);
    builder->error = "not a type of packet";
    if (builder->packet.type == 0)
        return false;
    for (size_t i = 1; i < builder->count; i++) {
        char *equals = strchr(builder->tokens[i], '=');

        builder->error = "an unknown key or value";
        if (equals == NULL) {
            if (!take_positional(builder, builder->tokens[i], positional++))
                return false;
            continue;
        }
        *equals = 0;
        if (!take_key(builder, builder->tokens[i], equals + 1))
            return false;
    }
    attach(builder);
    return true;
}

bool packet_text_parse(const char *line, enum mqtt_version version, struct buffer *out, const char **error)
{
    struct builder builder = {.error = "nothing there"};
    char *save = NULL;
    bool built;

    if (strlen(line) >= TEXT_MAX) {
        *error = "too long a line";
        return false;
    }
    memcpy(builder.text, line, strlen(line) + 1);
    for (char *token = strtok_r(builder.text, " ", &save); token != NULL && builder.count < TOKENS_MAX;
         token = strtok_r(NULL, " ", &save))
        builder.tokens[builder.count++] = token;
    built = build(&builder, version);
    if (built)
        mqtt_encode(&builder.packet, out);
    *error = builder.error;
    buffer_release(&builder.properties);
    buffer_release(&builder.will_properties);
    buffer_release(&builder.payload);
    return built;
}

/* ---- packets to lines ---- */

/* As it is, unless it begins as the envelope of a signature does. */
static void print_payload(struct view payload, const char *prefix, struct buffer *out)
{
    if (payload.length == 0 || payload.data[0] != 0xFF) {
        buffer_format(out, " %spayload=%.*s", prefix, VIEW_ARGS(payload));
        return;
    }
    buffer_format(out, " %spayload_hex=", prefix);
    for (size_t i = 0; i < payload.length; i++)
        buffer_format(out, "%02x", payload.data[i]);
}

static void print_connect(const struct mqtt_connect *connect, struct buffer *out)
{
    buffer_format(out, " id=%.*s keepalive=%u clean=%s", VIEW_ARGS(connect->client_id), connect->keep_alive,
        connect->clean_start ? "true" : "false");
    if (connect->has_will) {
        buffer_format(out, " will.topic=%.*s", VIEW_ARGS(connect->will.topic));
        print_payload(connect->will.payload, "will.", out);
        buffer_format(
            out, " will.qos=%u will.retain=%s", connect->will.qos, connect->will.retain ? "true" : "false");
        print_properties(&connect->will.properties, "will.", out);
    }
    if (connect->has_username)
        buffer_format(out, " username=%.*s", VIEW_ARGS(connect->username));
    if (connect->has_password)
        buffer_format(out, " password=%.*s", VIEW_ARGS(connect->password));
    print_properties(&connect->properties, "", out);
}

static void print_publish(const struct mqtt_publish *publish, struct buffer *out)
{
    buffer_format(out, " %.*s qos=%u", publish->topic.length == 0 ? 1 : (int)publish->topic.length,
        publish->topic.length == 0 ? "-" : (const char *)publish->topic.data, publish->qos);
    if (publish->qos > 0)
        buffer_format(out, " id=%u", publish->packet_id);
    buffer_format(out, "%s%s", publish->retain ? " retain=true" : "", publish->dup ? " dup=true" : "");
    print_payload(publish->payload, "", out);
    print_properties(&publish->properties, "", out);
}

static void print_filters(const struct mqtt_subscribe *subscribe, struct buffer *out)
{
    struct mqtt_filter filter;

    buffer_format(out, " %u", subscribe->packet_id);
    for (size_t offset = 0; mqtt_filter_next(subscribe, &offset, &filter);) {
        buffer_format(out, " %.*s", VIEW_ARGS(filter.filter));
        if (subscribe->has_options)
            buffer_format(out, ":%u%s%s%s", filter.options & 3u, filter.options & 4 ? ",nl" : "",
                filter.options & 8 ? ",rap" : "",
                filter.options & 16   ? ",rh1"
                : filter.options & 32 ? ",rh2"
                                      : "");
    }
    print_properties(&subscribe->properties, "", out);
}

static void print_codes(const struct mqtt_suback *suback, struct buffer *out)
{
    buffer_format(out, " %u", suback->packet_id);
    for (size_t i = 0; i < suback->codes.length; i++)
        buffer_format(out, " 0x%02x", suback->codes.data[i]);
    print_properties(&suback->properties, "", out);
}

static void print_body(const struct mqtt_packet *packet, struct buffer *out)
{
    switch (packet->type) {
    case MQTT_CONNECT:
        print_connect(&packet->u.connect, out);
        break;
    case MQTT_CONNACK:
        buffer_format(out, " 0x%02x%s", packet->u.connack.code,
            packet->u.connack.session_present ? " present=true" : "");
        print_properties(&packet->u.connack.properties, "", out);
        break;
    case MQTT_PUBLISH:
        print_publish(&packet->u.publish, out);
        break;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        print_filters(&packet->u.subscribe, out);
        break;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        print_codes(&packet->u.suback, out);
        break;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        buffer_format(out, " 0x%02x", packet->u.disconnect.code);
        print_properties(&packet->u.disconnect.properties, "", out);
        break;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        break;
    default:
        buffer_format(out, " %u 0x%02x", packet->u.ack.packet_id, packet->u.ack.code);
        print_properties(&packet->u.ack.properties, "", out);
    }
}

void packet_text_print(
    struct view bytes, enum mqtt_direction direction, enum mqtt_version version, struct buffer *out)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    struct mqtt_packet packet;
    bool connect = bytes.length > 0 && bytes.data[0] >> 4 == MQTT_CONNECT;

    if (mqtt_frame_next(bytes, direction, connect ? 0 : version, SIZE_MAX, &frame, &error) == MQTT_OK &&
        frame.bytes.length == bytes.length &&
        mqtt_decode(&frame, direction, version, NULL, &packet, &error) == MQTT_OK) {
        buffer_append(out, view_of_string(mqtt_type_name(packet.type)));
        print_body(&packet, out);
        return;
    }
    buffer_append(out, VIEW("?"));
    for (size_t i = 0; i < bytes.length && i < 64; i++)
        buffer_format(out, " %02x", bytes.data[i]);
}

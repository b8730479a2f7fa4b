/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of MQTT 5.0 (section 2.2.2): one table says what each is called, what it looks like, where each
 * side may put it and which numbers it takes. The decoders validate a packet's properties against it in one
 * pass; sessions and inspection iterate over them afterwards, and write new ones. */
#include "base/topic.h"
#include "proxy/mqtt/codec.h"

#include <assert.h>

struct property_rule {
    const char *name;
    uint8_t type;              /* enum codec_property_type */
    uint8_t bad_number;        /* enum codec_fault for a number out of range */
    uint8_t bad_side;          /* enum codec_fault where only the other side may send it in this packet */
    uint16_t client;           /* where a client may put it, CODEC_IN() and CODEC_IN_WILL */
    uint16_t server;           /* where a server may put it */
    uint32_t minimum, maximum; /* of the number */
};

#define NUMBER_MAXIMUM UINT32_MAX
#define CONNECT CODEC_IN(MQTT_CONNECT)
#define CONNACK CODEC_IN(MQTT_CONNACK)
#define PUBLISH CODEC_IN(MQTT_PUBLISH)
#define SUBSCRIBE CODEC_IN(MQTT_SUBSCRIBE)
#define DISCONNECT CODEC_IN(MQTT_DISCONNECT)
#define AUTH CODEC_IN(MQTT_AUTH)
#define ACKS (CODEC_IN(MQTT_PUBACK) | CODEC_IN(MQTT_PUBREC) | CODEC_IN(MQTT_PUBREL) | CODEC_IN(MQTT_PUBCOMP))
#define SUBACKS (CODEC_IN(MQTT_SUBACK) | CODEC_IN(MQTT_UNSUBACK))
#define CLIENT_ALL                                                                                           \
    (CONNECT | CODEC_IN_WILL | PUBLISH | ACKS | SUBSCRIBE | CODEC_IN(MQTT_UNSUBSCRIBE) | DISCONNECT | AUTH)
#define SERVER_ALL (CONNACK | PUBLISH | ACKS | SUBACKS | DISCONNECT | AUTH)

/* Rows by kind of value; the four columns behind the name are places from client, from server, and the range.
 */
#define TEXT(kind, name, client, server)                                                                     \
    {                                                                                                        \
        name, kind, FAULT_none, FAULT_property_packet, client, server, 0, NUMBER_MAXIMUM                     \
    }
#define NUMBER(kind, name, client, server, minimum, maximum, fault)                                          \
    {                                                                                                        \
        name, kind, fault, FAULT_property_packet, client, server, minimum, maximum                           \
    }
#define FLAG(name, client, server, fault) NUMBER(CODEC_BYTE, name, client, server, 0, 1, fault)
#define ANY_NUMBER(kind, name, client, server)                                                               \
    NUMBER(kind, name, client, server, 0, NUMBER_MAXIMUM, FAULT_none)

/* clang-format off */
static const struct property_rule rules[] = {
    [MQTT_PAYLOAD_FORMAT_INDICATOR] =
        FLAG("Payload Format Indicator", PUBLISH | CODEC_IN_WILL, PUBLISH, FAULT_payload_format),
    [MQTT_MESSAGE_EXPIRY_INTERVAL] =
        ANY_NUMBER(CODEC_FOUR_BYTES, "Message Expiry Interval", PUBLISH | CODEC_IN_WILL, PUBLISH),
    [MQTT_CONTENT_TYPE] = TEXT(CODEC_STRING, "Content Type", PUBLISH | CODEC_IN_WILL, PUBLISH),
    [MQTT_RESPONSE_TOPIC] = TEXT(CODEC_STRING, "Response Topic", PUBLISH | CODEC_IN_WILL, PUBLISH),
    [MQTT_CORRELATION_DATA] = TEXT(CODEC_BINARY, "Correlation Data", PUBLISH | CODEC_IN_WILL, PUBLISH),
    [MQTT_SUBSCRIPTION_IDENTIFIER] = {"Subscription Identifier", CODEC_VARINT, FAULT_subscription_id,
        FAULT_subscription_id_client, SUBSCRIBE, PUBLISH, 1, CODEC_VARINT_MAXIMUM},
    [MQTT_SESSION_EXPIRY_INTERVAL] = {"Session Expiry Interval", CODEC_FOUR_BYTES, FAULT_none,
        FAULT_session_expiry_server, CONNECT | DISCONNECT, CONNACK, 0, NUMBER_MAXIMUM},
    [MQTT_ASSIGNED_CLIENT_IDENTIFIER] = TEXT(CODEC_STRING, "Assigned Client Identifier", 0, CONNACK),
    [MQTT_SERVER_KEEP_ALIVE] = ANY_NUMBER(CODEC_TWO_BYTES, "Server Keep Alive", 0, CONNACK),
    [MQTT_AUTHENTICATION_METHOD] =
        TEXT(CODEC_STRING, "Authentication Method", CONNECT | AUTH, CONNACK | AUTH),
    [MQTT_AUTHENTICATION_DATA] = TEXT(CODEC_BINARY, "Authentication Data", CONNECT | AUTH, CONNACK | AUTH),
    [MQTT_REQUEST_PROBLEM_INFORMATION] =
        FLAG("Request Problem Information", CONNECT, 0, FAULT_request_problem),
    [MQTT_WILL_DELAY_INTERVAL] = ANY_NUMBER(CODEC_FOUR_BYTES, "Will Delay Interval", CODEC_IN_WILL, 0),
    [MQTT_REQUEST_RESPONSE_INFORMATION] =
        FLAG("Request Response Information", CONNECT, 0, FAULT_request_response),
    [MQTT_RESPONSE_INFORMATION] = TEXT(CODEC_STRING, "Response Information", 0, CONNACK),
    [MQTT_SERVER_REFERENCE] = {"Server Reference", CODEC_STRING, FAULT_none, FAULT_server_reference_client,
        0, CONNACK | DISCONNECT, 0, NUMBER_MAXIMUM},
    [MQTT_REASON_STRING] =
        TEXT(CODEC_STRING, "Reason String", ACKS | DISCONNECT | AUTH,
            CONNACK | ACKS | SUBACKS | DISCONNECT | AUTH),
    [MQTT_RECEIVE_MAXIMUM] =
        NUMBER(CODEC_TWO_BYTES, "Receive Maximum", CONNECT, CONNACK, 1, UINT16_MAX, FAULT_receive_maximum),
    [MQTT_TOPIC_ALIAS_MAXIMUM] = ANY_NUMBER(CODEC_TWO_BYTES, "Topic Alias Maximum", CONNECT, CONNACK),
    [MQTT_TOPIC_ALIAS] =
        NUMBER(CODEC_TWO_BYTES, "Topic Alias", PUBLISH, PUBLISH, 1, UINT16_MAX, FAULT_topic_alias),
    [MQTT_MAXIMUM_QOS] = FLAG("Maximum QoS", 0, CONNACK, FAULT_maximum_qos),
    [MQTT_RETAIN_AVAILABLE] = FLAG("Retain Available", 0, CONNACK, FAULT_retain_available),
    [MQTT_USER_PROPERTY] = TEXT(CODEC_PAIR, "User Property", CLIENT_ALL, SERVER_ALL),
    [MQTT_MAXIMUM_PACKET_SIZE] =
        NUMBER(CODEC_FOUR_BYTES, "Maximum Packet Size", CONNECT, CONNACK, 1, NUMBER_MAXIMUM,
            FAULT_maximum_packet_size),
    [MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE] =
        FLAG("Wildcard Subscription Available", 0, CONNACK, FAULT_wildcard_available),
    [MQTT_SUBSCRIPTION_IDENTIFIER_AVAILABLE] =
        FLAG("Subscription Identifier Available", 0, CONNACK, FAULT_identifiers_available),
    [MQTT_SHARED_SUBSCRIPTION_AVAILABLE] =
        FLAG("Shared Subscription Available", 0, CONNACK, FAULT_shared_available),
};
/* clang-format on */

#define RULES (sizeof(rules) / sizeof(rules[0]))
#define BIT(id) (UINT64_C(1) << (id))

const char *mqtt_property_name(enum mqtt_property id)
{
    return (unsigned)id < RULES ? rules[id].name : NULL;
}

enum codec_property_type codec_property_type(enum mqtt_property id)
{
    return (unsigned)id < RULES ? (enum codec_property_type)rules[id].type : CODEC_UNKNOWN;
}

enum codec_fault codec_take_varint(struct codec_reader *reader, uint32_t *out)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte;
        if (!codec_take_byte(reader, &byte)) {
            return FAULT_truncated;
        }
        value |= (uint32_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = value;
            return byte == 0 && shift > 0 ? FAULT_varint_overlong : FAULT_none;
        }
    }
    return FAULT_varint_long;
}

static inline bool take_big_endian(struct codec_reader *reader, size_t size, uint32_t *out)
{
    if (codec_remaining(reader) < size) {
        return false;
    }
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | reader->at[i];
    }
    reader->at += size;
    *out = value;
    return true;
}

/* Takes the value behind an identifier. Its text and range are not looked at. */
static enum codec_fault take_value(
    struct codec_reader *reader, enum codec_property_type type, struct mqtt_property_value *value)
{
    bool taken = false;
    switch (type) {
    case CODEC_BYTE:
        taken = take_big_endian(reader, 1, &value->number);
        break;
    case CODEC_TWO_BYTES:
        taken = take_big_endian(reader, 2, &value->number);
        break;
    case CODEC_FOUR_BYTES:
        taken = take_big_endian(reader, 4, &value->number);
        break;
    case CODEC_VARINT: {
        enum codec_fault fault = codec_take_varint(reader, &value->number);
        return fault == FAULT_truncated ? FAULT_property_truncated : fault;
    }
    case CODEC_STRING:
    case CODEC_BINARY:
        taken = codec_take_string(reader, &value->string);
        break;
    case CODEC_PAIR:
        taken = codec_take_string(reader, &value->string) && codec_take_string(reader, &value->value);
        break;
    case CODEC_UNKNOWN:
        return FAULT_property_unknown;
    }
    return taken ? FAULT_none : FAULT_property_truncated;
}

/* ---- validation ---- */

static enum codec_fault check_place(
    const struct property_rule *rule, const struct codec_context *context, unsigned place, bool repeated)
{
    bool client = context->direction == MQTT_FROM_CLIENT;
    unsigned allowed = client ? rule->client : rule->server;
    if ((allowed & place) == 0) {
        unsigned other = client ? rule->server : rule->client;
        return (other & place) != 0 ? (enum codec_fault)rule->bad_side : FAULT_property_packet;
    }
    return repeated ? FAULT_property_twice : FAULT_none;
}

static enum codec_fault check_text(
    const struct codec_context *context, enum mqtt_property id, const struct mqtt_property_value *value)
{
    enum codec_fault fault = codec_check_string(context, value->string);
    if (fault != FAULT_none || id != MQTT_RESPONSE_TOPIC) {
        return fault;
    }
    if (value->string.length == 0) {
        return FAULT_response_topic_empty;
    }
    return topic_name_valid(value->string) ? FAULT_none : FAULT_response_topic;
}

static enum codec_fault check_value(
    const struct codec_context *context, enum mqtt_property id, const struct mqtt_property_value *value)
{
    const struct property_rule *rule = &rules[id];
    switch ((enum codec_property_type)rule->type) {
    case CODEC_STRING:
        return check_text(context, id, value);
    case CODEC_PAIR: {
        enum codec_fault fault = codec_check_string(context, value->string);
        return fault != FAULT_none ? fault : codec_check_string(context, value->value);
    }
    case CODEC_BINARY:
        return FAULT_none;
    default:
        return value->number < rule->minimum || value->number > rule->maximum
                   ? (enum codec_fault)rule->bad_number
                   : FAULT_none;
    }
}

/* Which properties may occur more than once here: User Property anywhere, Subscription Identifier in a
 * PUBLISH, where a server puts one for every subscription that matched (section 3.3.2.3.8). */
static uint64_t repeatable(unsigned place)
{
    return BIT(MQTT_USER_PROPERTY) | (place == PUBLISH ? BIT(MQTT_SUBSCRIPTION_IDENTIFIER) : 0);
}

static enum codec_fault check_property(
    const struct codec_context *context, struct codec_reader *reader, unsigned place, uint64_t *present)
{
    uint8_t id = *reader->at++; /* a variable byte integer, but none of two bytes is defined */
    if (id >= RULES || rules[id].type == CODEC_UNKNOWN) {
        return FAULT_property_unknown;
    }
    bool repeated = (*present & BIT(id) & ~repeatable(place)) != 0;
    enum codec_fault fault = check_place(&rules[id], context, place, repeated);
    if (fault != FAULT_none) {
        return fault;
    }
    *present |= BIT(id);
    struct mqtt_property_value value = {0};
    fault = take_value(reader, (enum codec_property_type)rules[id].type, &value);
    return fault != FAULT_none ? fault : check_value(context, (enum mqtt_property)id, &value);
}

enum codec_fault codec_take_properties(const struct codec_context *context, struct codec_reader *reader,
    unsigned place, struct mqtt_properties *out)
{
    uint32_t length;
    enum codec_fault fault = codec_take_varint(reader, &length);
    if (fault != FAULT_none) {
        return fault;
    }
    out->present = 0;
    if (!codec_take_bytes(reader, length, &out->raw)) {
        return FAULT_property_length;
    }
    struct codec_reader block = codec_reader_of(out->raw);
    while (block.at != block.end) {
        fault = check_property(context, &block, place, &out->present);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    bool data_alone = (out->present & (BIT(MQTT_AUTHENTICATION_DATA) | BIT(MQTT_AUTHENTICATION_METHOD))) ==
                      BIT(MQTT_AUTHENTICATION_DATA);
    return data_alone ? FAULT_authentication_data : FAULT_none;
}

/* ---- reading validated properties ---- */

bool mqtt_properties_next(
    const struct mqtt_properties *properties, size_t *offset, struct mqtt_property_value *out)
{
    assert(*offset <= properties->raw.length);
    if (*offset == properties->raw.length) {
        return false;
    }
    struct codec_reader reader = codec_reader_of(properties->raw);
    reader.at += *offset;
    const uint8_t *start = reader.at;
    enum mqtt_property id = (enum mqtt_property) * reader.at++;
    *out = (struct mqtt_property_value){.id = id};
    enum codec_fault fault = take_value(&reader, codec_property_type(id), out);
    assert(fault == FAULT_none);
    (void)fault;
    out->raw = (struct view){start, (size_t)(reader.at - start)};
    *offset += out->raw.length;
    return true;
}

bool mqtt_properties_find(
    const struct mqtt_properties *properties, enum mqtt_property id, struct mqtt_property_value *out)
{
    assert(mqtt_property_name(id) != NULL);
    if (!mqtt_properties_has(properties, id)) {
        return false;
    }
    size_t offset = 0;
    while (mqtt_properties_next(properties, &offset, out)) {
        if (out->id == id) {
            return true;
        }
    }
    return false;
}

uint32_t mqtt_properties_number(
    const struct mqtt_properties *properties, enum mqtt_property id, uint32_t fallback)
{
    struct mqtt_property_value value;
    return mqtt_properties_find(properties, id, &value) ? value.number : fallback;
}

/* ---- writing ---- */

static void append_big_endian(struct buffer *out, size_t size, uint32_t number)
{
    assert(size == 4 || number >> (size * 8) == 0);
    while (size-- > 0) {
        buffer_append_byte(out, (uint8_t)(number >> (size * 8)));
    }
}

static void append_string(struct buffer *out, struct view string)
{
    assert(string.length <= CODEC_STRING_MAXIMUM);
    append_big_endian(out, 2, (uint32_t)string.length);
    buffer_append(out, string);
}

void mqtt_property_write_number(struct buffer *out, enum mqtt_property id, uint32_t number)
{
    enum codec_property_type type = codec_property_type(id);
    assert(type >= CODEC_BYTE && type <= CODEC_VARINT);
    assert(number >= rules[id].minimum && number <= rules[id].maximum);
    static const uint8_t sizes[] = {[CODEC_BYTE] = 1, [CODEC_TWO_BYTES] = 2, [CODEC_FOUR_BYTES] = 4};
    buffer_append_byte(out, (uint8_t)id);
    if (type == CODEC_VARINT) {
        mqtt_varint_write(out, number);
    } else {
        append_big_endian(out, sizes[type], number);
    }
}

void mqtt_property_write_string(struct buffer *out, enum mqtt_property id, struct view string)
{
    assert(codec_property_type(id) == CODEC_STRING || codec_property_type(id) == CODEC_BINARY);
    buffer_append_byte(out, (uint8_t)id);
    append_string(out, string);
}

void mqtt_property_write_pair(struct buffer *out, struct view name, struct view value)
{
    buffer_append_byte(out, MQTT_USER_PROPERTY);
    append_string(out, name);
    append_string(out, value);
}

void mqtt_properties_copy_without(
    struct buffer *out, const struct mqtt_properties *properties, uint64_t without)
{
    if ((properties->present & without) == 0) {
        buffer_append(out, properties->raw);
        return;
    }
    struct mqtt_property_value value;
    for (size_t offset = 0; mqtt_properties_next(properties, &offset, &value);) {
        if ((without >> value.id & 1) == 0) {
            buffer_append(out, value.raw);
        }
    }
}

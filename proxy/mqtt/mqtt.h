/* SPDX-License-Identifier: Apache-2.0 */
/* The MQTT codec: MQTT 3.1, 3.1.1 and 5.0, all packet types, both directions. Sans-IO, no allocation: a
 * decoded packet is views into the bytes that were given. Strict: what the specifications forbid is BAD, with
 * the statement that says so. */
#ifndef MQWARD_PROXY_MQTT_MQTT_H
#define MQWARD_PROXY_MQTT_MQTT_H

#include "base/buffer.h"
#include "base/reason.h"
#include "base/view.h"

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH
};

enum mqtt_version { MQTT_V31 = 3, MQTT_V311 = 4, MQTT_V5 = 5 };
enum mqtt_direction { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };
enum mqtt_result { MQTT_OK, MQTT_MORE, MQTT_BAD };

const char *mqtt_type_name(enum mqtt_type type);          /* "PUBLISH" */
const char *mqtt_version_name(enum mqtt_version version); /* "3.1", "3.1.1", "5.0" */

/* Why something is BAD. */
struct mqtt_error {
    enum reason reason;    /* malformed_packet, protocol_error, packet_too_large, unsupported_version, ... */
    const char *statement; /* "MQTT-3.3.1-4" of 5.0, or the section where there is no numbered statement */
    const char *text;      /* what is wrong, a static phrase */
};

/* One packet in the stream. */
struct mqtt_frame {
    struct view bytes;    /* the whole packet, fixed header included */
    size_t header_length; /* bytes of the fixed header, 2 to 5 */
    uint8_t type;         /* enum mqtt_type */
    uint8_t flags;        /* low four bits of the first byte */
    size_t size;          /* the whole packet's size, known as soon as the fixed header is (else 0) */
};

/* Finds the packet at the start of input. OK: *frame is filled and frame->bytes.length bytes of input are
 * its. MORE: more bytes are needed (frame->size is the packet's size once the fixed header is complete, else
 * 0). BAD: *error says why: reserved packet type or flags, a remaining length of more than 4 bytes or longer
 * than needed, size above maximum (enforced from the fixed header alone), a type that this direction must not
 * send. The PUBLISH flags QoS 3 and DUP with QoS 0 are found here, too. version 0 = before CONNECT: AUTH is
 * then unknown. */
enum mqtt_result mqtt_frame_next(struct view input, enum mqtt_direction direction, enum mqtt_version version,
    size_t maximum, struct mqtt_frame *frame, struct mqtt_error *error);

/* ---- properties (MQTT 5.0, section 2.2.2) ---- */

enum mqtt_property {
    MQTT_PAYLOAD_FORMAT_INDICATOR = 0x01,
    MQTT_MESSAGE_EXPIRY_INTERVAL = 0x02,
    MQTT_CONTENT_TYPE = 0x03,
    MQTT_RESPONSE_TOPIC = 0x08,
    MQTT_CORRELATION_DATA = 0x09,
    MQTT_SUBSCRIPTION_IDENTIFIER = 0x0B,
    MQTT_SESSION_EXPIRY_INTERVAL = 0x11,
    MQTT_ASSIGNED_CLIENT_IDENTIFIER = 0x12,
    MQTT_SERVER_KEEP_ALIVE = 0x13,
    MQTT_AUTHENTICATION_METHOD = 0x15,
    MQTT_AUTHENTICATION_DATA = 0x16,
    MQTT_REQUEST_PROBLEM_INFORMATION = 0x17,
    MQTT_WILL_DELAY_INTERVAL = 0x18,
    MQTT_REQUEST_RESPONSE_INFORMATION = 0x19,
    MQTT_RESPONSE_INFORMATION = 0x1A,
    MQTT_SERVER_REFERENCE = 0x1C,
    MQTT_REASON_STRING = 0x1F,
    MQTT_RECEIVE_MAXIMUM = 0x21,
    MQTT_TOPIC_ALIAS_MAXIMUM = 0x22,
    MQTT_TOPIC_ALIAS = 0x23,
    MQTT_MAXIMUM_QOS = 0x24,
    MQTT_RETAIN_AVAILABLE = 0x25,
    MQTT_USER_PROPERTY = 0x26,
    MQTT_MAXIMUM_PACKET_SIZE = 0x27,
    MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28,
    MQTT_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29,
    MQTT_SHARED_SUBSCRIPTION_AVAILABLE = 0x2A
};

const char *mqtt_property_name(enum mqtt_property id); /* "Topic Alias", or NULL for an unknown one */

/* Validated properties: the raw bytes behind the Property Length, and which ids occur (bit = id). */
struct mqtt_properties {
    struct view raw;
    uint64_t present;
};

struct mqtt_property_value {
    enum mqtt_property id;
    uint32_t number;    /* Byte, Two and Four Byte Integer, Variable Byte Integer */
    struct view string; /* UTF-8 String, Binary Data; the name of a String Pair */
    struct view value;  /* the value of a String Pair */
    struct view raw;    /* the property's own bytes, identifier included */
};

static inline bool mqtt_properties_has(const struct mqtt_properties *properties, enum mqtt_property id)
{
    return (properties->present >> id) & 1;
}
/* Iterates over validated properties: *offset starts at 0; false at the end. */
bool mqtt_properties_next(
    const struct mqtt_properties *properties, size_t *offset, struct mqtt_property_value *out);
/* The first property with this id; false if there is none. */
bool mqtt_properties_find(
    const struct mqtt_properties *properties, enum mqtt_property id, struct mqtt_property_value *out);
/* The number of property id, or fallback if it is absent. */
uint32_t mqtt_properties_number(
    const struct mqtt_properties *properties, enum mqtt_property id, uint32_t fallback);

/* Writers of single properties, for packets that are built or rewritten. raw property blocks carry no length
 * prefix; the packet encoders write it. */
void mqtt_property_write_number(struct buffer *out, enum mqtt_property id, uint32_t number);
void mqtt_property_write_string(struct buffer *out, enum mqtt_property id, struct view string);
void mqtt_property_write_pair(struct buffer *out, struct view name, struct view value);
/* Copies all of properties to out but those whose bit is in without. */
void mqtt_properties_copy_without(
    struct buffer *out, const struct mqtt_properties *properties, uint64_t without);

/* ---- packets ---- */

struct mqtt_will {
    struct mqtt_properties properties;
    struct view topic;
    struct view payload;
    uint8_t qos;
    bool retain;
};

struct mqtt_connect {
    enum mqtt_version version;
    bool bridge; /* bit 7 of the protocol level is set, as Mosquitto's bridges do (0x83, 0x84): refused unless
                    the decoder is told */
    bool clean_start; /* Clean Session in 3.x */
    bool has_will, has_username, has_password;
    uint16_t keep_alive; /* seconds */
    struct mqtt_properties properties;
    struct view client_id;
    struct mqtt_will will;
    struct view username;
    struct view password;
};

struct mqtt_connack {
    bool session_present;
    uint8_t code; /* return code (3.x) or reason code (5.0) */
    struct mqtt_properties properties;
};

struct mqtt_publish {
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_id;   /* 0 when QoS 0 */
    struct view topic;    /* empty only in 5.0 with a topic alias */
    uint16_t topic_alias; /* 0: none */
    struct mqtt_properties properties;
    struct view payload;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
    uint16_t packet_id;
    uint8_t code; /* 0 in 3.x */
    struct mqtt_properties properties;
};

struct mqtt_filter {
    struct view filter;
    uint8_t options; /* the options byte: QoS in bits 0-1, 5.0: No Local bit 2, Retain As Published bit 3,
                        Retain Handling bits 4-5 */
};

/* SUBSCRIBE and UNSUBSCRIBE. */
struct mqtt_subscribe {
    uint16_t packet_id;
    struct mqtt_properties properties;
    struct view filters; /* the validated payload; walk it with mqtt_filter_next() */
    size_t count;
    bool has_options; /* SUBSCRIBE */
};
/* *offset starts at 0; false at the end. */
bool mqtt_filter_next(const struct mqtt_subscribe *subscribe, size_t *offset, struct mqtt_filter *out);

/* SUBACK and UNSUBACK. 3.x: an UNSUBACK has no codes. */
struct mqtt_suback {
    uint16_t packet_id;
    struct mqtt_properties properties;
    struct view codes; /* one byte a filter */
};

/* DISCONNECT and AUTH. */
struct mqtt_disconnect {
    uint8_t code;
    struct mqtt_properties properties;
};

struct mqtt_packet {
    enum mqtt_type type;
    enum mqtt_version version;
    struct mqtt_frame frame;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
        struct mqtt_disconnect disconnect;
        struct mqtt_disconnect auth;
    } u;
};

/* What the specification leaves to the server. */
struct mqtt_options {
    bool refuse_control_characters; /* [MQTT-1.5.4]: SHOULD NOT: U+0001-1F, U+007F-9F and non-characters */
};

/* Decodes a whole packet. CONNECT carries its own version; for everything else version is that of the
 * connection. OK or BAD, never MORE. options may be NULL. */
enum mqtt_result mqtt_decode(const struct mqtt_frame *frame, enum mqtt_direction direction,
    enum mqtt_version version, const struct mqtt_options *options, struct mqtt_packet *packet,
    struct mqtt_error *error);
/* The hot path: the same as mqtt_decode() for a PUBLISH frame, without the union. */
enum mqtt_result mqtt_decode_publish(const struct mqtt_frame *frame, enum mqtt_direction direction,
    enum mqtt_version version, const struct mqtt_options *options, struct mqtt_publish *publish,
    struct mqtt_error *error);

/* Appends the packet's bytes. packet->frame is not looked at. The caller's fields must be valid (asserted).
 * For any packet that mqtt_decode() accepted, the result is the bytes it came from, but for the forms
 * that 5.0 allows to be shortened: an absent reason code or property length is not written when the code is 0
 * and there are no properties. */
void mqtt_encode(const struct mqtt_packet *packet, struct buffer *out);

/* Small packets that the proxy makes up, appended to out. For 3.x, code and reason are left out where the
 * version has none. */
void mqtt_encode_connack(struct buffer *out, enum mqtt_version version, bool session_present, uint8_t code);
void mqtt_encode_ack(
    struct buffer *out, enum mqtt_version version, enum mqtt_type type, uint16_t packet_id, uint8_t code);
void mqtt_encode_disconnect(struct buffer *out, enum mqtt_version version, uint8_t code);
void mqtt_encode_suback(struct buffer *out, enum mqtt_version version, enum mqtt_type type,
    uint16_t packet_id, struct view codes);

/* The varint of the fixed header and of properties. Size in bytes, 1 to 4 (value <= 268,435,455 asserted). */
size_t mqtt_varint_size(uint32_t value);
void mqtt_varint_write(struct buffer *out, uint32_t value);

#endif

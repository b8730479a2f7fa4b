/* SPDX-License-Identifier: Apache-2.0 */
/* The little of MQTT that a load generator and a sink need: fixed headers, CONNECT, and a PUBLISH that is
 * built once and patched for every message. Independent of the codec under test. */
#ifndef MQWARD_BENCH_WIRE_H
#define MQWARD_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK = 2,
    WIRE_PUBLISH = 3,
    WIRE_PUBACK = 4,
    WIRE_SUBSCRIBE = 8,
    WIRE_SUBACK = 9,
    WIRE_PINGREQ = 12,
    WIRE_PINGRESP = 13,
    WIRE_DISCONNECT = 14
};

enum wire_version { WIRE_V311 = 4, WIRE_V5 = 5 };
enum wire_result { WIRE_OK, WIRE_MORE, WIRE_BAD };

/* The fixed header of a packet. */
struct wire_frame {
    uint8_t type;         /* enum wire_type, or one that is not used here */
    uint8_t flags;        /* low four bits of the first byte */
    size_t header_length; /* bytes of the fixed header */
    size_t size;          /* bytes of the whole packet */
};

/* A variable byte integer at data (MQTT 5.0, 1.5.5): its value and its length in bytes. */
enum wire_result wire_varint_read(const uint8_t *data, size_t length, size_t *value, size_t *used);

/* Reads the fixed header at data. OK says nothing about whether the rest of the packet is there. */
static inline enum wire_result wire_frame_read(const uint8_t *data, size_t length, struct wire_frame *frame)
{
    size_t body;
    size_t used;

    if (length < 2)
        return WIRE_MORE;
    if (data[1] < 0x80) { /* nearly every packet of a benchmark */
        body = data[1];
        used = 1;
    } else {
        enum wire_result result = wire_varint_read(data + 1, length - 1, &body, &used);
        if (result != WIRE_OK)
            return result;
    }
    frame->type = data[0] >> 4;
    frame->flags = data[0] & 15;
    frame->header_length = 1 + used;
    frame->size = 1 + used + body;
    return WIRE_OK;
}

static inline uint16_t wire_read_u16(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static inline void wire_write_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

#define WIRE_NUMBER_DIGITS 5
#define WIRE_CONNECT_MAX 64
#define WIRE_TOPIC_MAX 1000
#define WIRE_SUBSCRIBE_MAX (WIRE_TOPIC_MAX + 16)

/* The client whose PUBLISH packets the sink sends to all that have subscribed. */
#define WIRE_FAN_CLIENT "fan"

/* Writes number as exactly WIRE_NUMBER_DIGITS decimal digits, leading zeros included. */
void wire_write_number(uint8_t *out, unsigned number);

/* Writes a CONNECT (clean start, keep alive 0) whose client id is prefix and then number in digits. Returns
 * its size. */
size_t wire_write_connect(
    uint8_t out[WIRE_CONNECT_MAX], enum wire_version version, const char *prefix, unsigned number);

/* Writes a SUBSCRIBE (packet id 1) with one filter of at most WIRE_TOPIC_MAX bytes. Returns its size. */
size_t wire_write_subscribe(uint8_t out[WIRE_SUBSCRIBE_MAX], enum wire_version version, unsigned qos,
    const uint8_t *filter, size_t length);

/* A PUBLISH and the places in it that change from message to message. All messages of a run have the same
 * size. */
struct wire_publish {
    uint8_t *bytes;
    size_t length;
    size_t topic_start; /* of the topic's bytes */
    size_t topic_length;
    size_t payload_at;
    size_t number_at;    /* of the connection's digits in the topic, 0: the topic has none */
    size_t topic_at;     /* of the topic's digits, 0: one topic a connection */
    size_t packet_id_at; /* 0 with QoS 0 */
};

/* What a PUBLISH is made of. */
struct wire_publish_form {
    enum wire_version version;
    unsigned qos;        /* 0 or 1 */
    size_t prefix_size;  /* bytes before the payload that the caller fills: a signature's envelope */
    size_t payload_size; /* bytes: a text as devices send it */
    const char *topic;   /* the first '%' becomes the connection's number, in five digits */
    bool many_topics;    /* append "/" and the topic's number, in five digits */
};

/* Builds the packet in fresh memory, or returns false: the topic is empty or longer than 1,000 bytes. Free
 * publish->bytes. */
bool wire_publish_init(struct wire_publish *publish, const struct wire_publish_form *form);

#endif

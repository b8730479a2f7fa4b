/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bytes of one client of the sink: walks packets by their fixed headers, counts, answers. Called by
 * sink.c whenever the socket is ready. A QoS 0 PUBLISH costs a few instructions; nothing of it is looked at
 * or kept, unless it has to go back or on. Topics are never compared: who has subscribed to anything gets
 * what it publishes itself, and what the client WIRE_FAN_CLIENT publishes. */
#include "sink.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define PACKET_MAX (1024 * 1024) /* for packets that are read whole: all but QoS 0 PUBLISH */
#define ANSWER_MAX 64            /* bytes that one packet is answered with, at most */
#define FILTERS_MAX 32
#define UNSENT_MAX (64 * 1024 * 1024) /* of a client that does not read: above it, it is closed */

/* The one read buffer of the process: a tail of at most PACKET_MAX bytes, then what a read brings. */
static uint8_t scratch[PACKET_MAX + READ_SIZE];

/* Answers gathered while one read is walked. A packet has at least two bytes and gets at most four for each
 * two of its own, or itself back and a PUBACK, so they fit. */
static uint8_t answers[(sizeof(scratch) / 2) * 4 + ANSWER_MAX];
static size_t answers_length;

/* What a read is walked for, besides the client. */
struct walk {
    struct sink_totals *totals;
    struct sink_fan *fan;
};

static void answer(const void *bytes, size_t length)
{
    assert(answers_length + length <= sizeof(answers));
    memcpy(answers + answers_length, bytes, length);
    answers_length += length;
}

/* Sees from the client identifier whether this is the client that fans out. */
static bool read_client_id(struct sink_client *client, const uint8_t *body, size_t length)
{
    size_t at = 10;

    if (client->version == WIRE_V5) {
        size_t properties;
        size_t used;
        if (wire_varint_read(body + at, length - at, &properties, &used) != WIRE_OK ||
            properties > length - at - used)
            return false;
        at += used + properties;
    }
    if (length - at < 2 || wire_read_u16(body + at) > length - at - 2)
        return false;
    client->fans_out = wire_read_u16(body + at) >= strlen(WIRE_FAN_CLIENT) &&
                       memcmp(body + at + 2, WIRE_FAN_CLIENT, strlen(WIRE_FAN_CLIENT)) == 0;
    return true;
}

static bool on_connect(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    static const uint8_t protocol[] = {0, 4, 'M', 'Q', 'T', 'T'};
    static const uint8_t connack_v311[] = {WIRE_CONNACK << 4, 2, 0, 0};
    static const uint8_t connack_v5[] = {WIRE_CONNACK << 4, 3, 0, 0, 0};

    if (client->connected || flags != 0 || length < 10 || memcmp(body, protocol, sizeof(protocol)) != 0)
        return false;
    if (body[6] != WIRE_V311 && body[6] != WIRE_V5)
        return false;
    client->connected = true;
    client->version = body[6];
    if (!read_client_id(client, body, length))
        return false;
    if (client->version == WIRE_V5)
        answer(connack_v5, sizeof(connack_v5));
    else
        answer(connack_v311, sizeof(connack_v311));
    return true;
}

static bool acknowledge(const uint8_t *body, size_t length)
{
    uint8_t puback[4] = {WIRE_PUBACK << 4, 2, 0, 0};
    size_t topic;

    if (length < 2)
        return false;
    topic = wire_read_u16(body);
    if (length < 2 + topic + 2)
        return false;
    memcpy(puback + 2, body + 2 + topic, 2);
    answer(puback, sizeof(puback));
    return true;
}

static void fan_out(struct sink_fan *fan, const uint8_t *packet, size_t size)
{
    fan->bytes = realloc(fan->bytes, fan->length + size);
    if (fan->bytes == NULL)
        abort();
    memcpy(fan->bytes + fan->length, packet, size);
    fan->length += size;
    fan->packets++;
}

/* A PUBLISH that is looked at: of QoS 1, or to be sent back or on. QoS 2 is none of the benchmark's business.
 */
static bool take_publish(
    struct walk *walk, struct sink_client *client, const uint8_t *packet, const struct wire_frame *frame)
{
    unsigned qos = frame->flags >> 1 & 3;

    if (qos > 1 ||
        (qos == 1 && !acknowledge(packet + frame->header_length, frame->size - frame->header_length)))
        return false;
    if (client->fans_out) {
        fan_out(walk->fan, packet, frame->size);
    } else if (client->subscribed) {
        answer(packet, frame->size);
        walk->totals->delivered++;
    }
    client->publishes++;
    return true;
}

static bool on_subscribe(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    uint8_t suback[ANSWER_MAX] = {WIRE_SUBACK << 4};
    size_t end = 4;
    size_t at = 2;
    size_t filters = 0;

    if (flags != 2 || length < 2)
        return false;
    memcpy(suback + 2, body, 2); /* packet id */
    if (client->version == WIRE_V5) {
        size_t properties;
        size_t used;
        if (wire_varint_read(body + at, length - at, &properties, &used) != WIRE_OK ||
            properties > length - at - used)
            return false;
        at += used + properties;
        suback[end++] = 0; /* no properties */
    }
    for (; at < length && filters < FILTERS_MAX; filters++) {
        if (length - at < 3 || length - at < 3 + (size_t)wire_read_u16(body + at))
            return false;
        at += 3 + (size_t)wire_read_u16(body + at);
        suback[end++] = body[at - 1] & 3;
    }
    if (filters == 0 || at != length)
        return false;
    suback[1] = (uint8_t)(end - 2);
    answer(suback, end);
    client->subscribed = true;
    return true;
}

static bool on_pingreq(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    static const uint8_t pingresp[] = {WIRE_PINGRESP << 4, 0};

    (void)client;
    (void)body;
    if (length != 0 || flags != 0)
        return false;
    answer(pingresp, sizeof(pingresp));
    return true;
}

/* Of what was fanned out at QoS 1. */
static bool on_puback(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    (void)body;
    return client->subscribed && length >= 2 && flags == 0;
}

/* The peer closes after it; nothing to say. */
static bool on_disconnect(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    (void)client;
    (void)body;
    (void)length;
    return flags == 0;
}

typedef bool (*packet_handler)(struct sink_client *, const uint8_t *body, size_t length, uint8_t flags);

/* Packets that are read whole; a type without a row ends the connection. */
static const packet_handler handlers[16] = {
    [WIRE_CONNECT] = on_connect,
    [WIRE_PUBACK] = on_puback,
    [WIRE_SUBSCRIBE] = on_subscribe,
    [WIRE_PINGREQ] = on_pingreq,
    [WIRE_DISCONNECT] = on_disconnect,
};

/* A packet that is there as a whole. */
static bool take_packet(
    struct walk *walk, struct sink_client *client, const uint8_t *packet, const struct wire_frame *frame)
{
    if (frame->type == WIRE_PUBLISH)
        return take_publish(walk, client, packet, frame);
    return handlers[frame->type] != NULL && handlers[frame->type](client, packet + frame->header_length,
                                                frame->size - frame->header_length, frame->flags);
}

/* Walks the packets in data. Returns how many bytes are done with, or -1. */
static ssize_t walk_packets(struct walk *walk, struct sink_client *client, const uint8_t *data, size_t length)
{
    size_t at = 0;
    struct wire_frame frame;

    while (at < length) {
        enum wire_result result = wire_frame_read(data + at, length - at, &frame);
        if (result == WIRE_MORE)
            break;
        if (result != WIRE_OK || (!client->connected && frame.type != WIRE_CONNECT))
            return -1;
        if (frame.type == WIRE_PUBLISH && (frame.flags & 6) == 0 && !client->subscribed &&
            !client->fans_out) {
            client->publishes++;
            client->packets++;
            if (frame.size > length - at) {
                client->skip = frame.size - (length - at);
                return (ssize_t)length;
            }
            at += frame.size;
            continue;
        }
        if (frame.size > PACKET_MAX)
            return -1;
        if (frame.size > length - at)
            break;
        if (!take_packet(walk, client, data + at, &frame))
            return -1;
        client->packets++;
        at += frame.size;
    }
    return (ssize_t)at;
}

static void keep_unsent(struct sink_client *client, const uint8_t *bytes, size_t length)
{
    size_t old = client->unsent_length - client->unsent_start;
    uint8_t *grown = malloc(old + length);

    if (grown == NULL)
        abort();
    if (old > 0)
        memcpy(grown, client->unsent + client->unsent_start, old);
    memcpy(grown + old, bytes, length);
    free(client->unsent);
    client->unsent = grown;
    client->unsent_start = 0;
    client->unsent_length = old + length;
}

enum sink_state sink_client_send(struct sink_client *client, const uint8_t *bytes, size_t length)
{
    ssize_t sent = 0;

    if (client->unsent == NULL) {
        sent = send(client->socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return SINK_FAILED;
        sent = sent < 0 ? 0 : sent;
        if ((size_t)sent == length)
            return SINK_READING;
    } else if (client->unsent_length - client->unsent_start > UNSENT_MAX) {
        return SINK_FAILED;
    }
    keep_unsent(client, bytes + sent, length - (size_t)sent);
    return SINK_ANSWERING;
}

static enum sink_state send_unsent(struct sink_client *client)
{
    ssize_t sent = send(client->socket, client->unsent + client->unsent_start,
        client->unsent_length - client->unsent_start, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN ? SINK_ANSWERING : SINK_FAILED;
    client->unsent_start += (size_t)sent;
    if (client->unsent_start < client->unsent_length)
        return SINK_ANSWERING;
    free(client->unsent);
    client->unsent = NULL;
    client->unsent_start = client->unsent_length = 0;
    return SINK_READING;
}

static void keep_tail(struct sink_client *client, const uint8_t *data, size_t length)
{
    client->tail_length = length;
    if (length == 0)
        return;
    client->tail = malloc(length);
    if (client->tail == NULL)
        abort();
    memcpy(client->tail, data, length);
}

/* Puts the tail before what comes. Returns its length. */
static size_t take_tail(struct sink_client *client)
{
    size_t length = client->tail_length;

    assert(length < PACKET_MAX);
    if (length == 0)
        return 0;
    memcpy(scratch, client->tail, length);
    free(client->tail);
    client->tail = NULL;
    client->tail_length = 0;
    return length;
}

static enum sink_state read_packets(
    struct sink_client *client, struct sink_totals *totals, struct sink_fan *fan)
{
    struct walk walk = {totals, fan};
    size_t tail = take_tail(client);
    ssize_t got = recv(client->socket, scratch + tail, READ_SIZE, 0);
    uint64_t packets = client->packets;
    uint64_t publishes = client->publishes;
    const uint8_t *data = scratch;
    size_t length;
    ssize_t done;

    if (got <= 0) {
        keep_tail(client, scratch, tail);
        if (got < 0 && errno == EAGAIN)
            return SINK_READING;
        return got == 0 ? SINK_CLOSED : SINK_FAILED;
    }
    totals->bytes += (uint64_t)got;
    length = tail + (size_t)got;
    if (client->skip >= length) {
        client->skip -= length;
        return SINK_READING;
    }
    assert(client->skip == 0 || tail == 0);
    data += client->skip;
    length -= client->skip;
    client->skip = 0;
    answers_length = 0;
    done = walk_packets(&walk, client, data, length);
    totals->packets += client->packets - packets;
    totals->publishes += client->publishes - publishes;
    if (done < 0)
        return SINK_FAILED;
    keep_tail(client, data + done, length - (size_t)done);
    return answers_length == 0 ? SINK_READING : sink_client_send(client, answers, answers_length);
}

enum sink_state sink_client_ready(
    struct sink_client *client, struct sink_totals *totals, struct sink_fan *fan)
{
    return client->unsent != NULL ? send_unsent(client) : read_packets(client, totals, fan);
}

void sink_client_release(struct sink_client *client)
{
    free(client->tail);
    free(client->unsent);
}

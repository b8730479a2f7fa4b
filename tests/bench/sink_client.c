/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the bytes of one client of the sink: walks packets by their fixed headers, counts, answers. Called by
 * sink.c whenever the socket is ready. A QoS 0 PUBLISH costs a few instructions; nothing of it is looked at
 * or kept. */
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

/* The one read buffer of the process: a tail of at most PACKET_MAX bytes, then what a read brings. */
static uint8_t scratch[PACKET_MAX + READ_SIZE];

/* Answers gathered while one read is walked. A packet has at least two bytes, so they fit. */
static uint8_t answers[(sizeof(scratch) / 2) * 4 + ANSWER_MAX];
static size_t answers_length;

static void answer(const void *bytes, size_t length)
{
    assert(answers_length + length <= sizeof(answers));
    memcpy(answers + answers_length, bytes, length);
    answers_length += length;
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
    if (client->version == WIRE_V5)
        answer(connack_v5, sizeof(connack_v5));
    else
        answer(connack_v311, sizeof(connack_v311));
    return true;
}

/* Only QoS 1 gets here; QoS 2 is none of the benchmark's business. */
static bool on_publish(struct sink_client *client, const uint8_t *body, size_t length, uint8_t flags)
{
    uint8_t puback[4] = {WIRE_PUBACK << 4, 2, 0, 0};
    size_t topic;

    if ((flags >> 1 & 3) != 1 || length < 2)
        return false;
    topic = wire_read_u16(body);
    if (length < 2 + topic + 2)
        return false;
    memcpy(puback + 2, body + 2 + topic, 2);
    answer(puback, sizeof(puback));
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
    [WIRE_PUBLISH] = on_publish,
    [WIRE_SUBSCRIBE] = on_subscribe,
    [WIRE_PINGREQ] = on_pingreq,
    [WIRE_DISCONNECT] = on_disconnect,
};

/* Walks the packets in data. Returns how many bytes are done with, or -1. */
static ssize_t walk(struct sink_client *client, const uint8_t *data, size_t length)
{
    size_t at = 0;
    struct wire_frame frame;

    while (at < length) {
        enum wire_result result = wire_frame_read(data + at, length - at, &frame);
        if (result == WIRE_MORE)
            break;
        if (result != WIRE_OK || (!client->connected && frame.type != WIRE_CONNECT))
            return -1;
        if (frame.type == WIRE_PUBLISH && (frame.flags & 6) == 0) {
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
        if (handlers[frame.type] == NULL || !handlers[frame.type](client, data + at + frame.header_length,
                                                frame.size - frame.header_length, frame.flags))
            return -1;
        client->packets++;
        at += frame.size;
    }
    return (ssize_t)at;
}

/* Sends bytes, keeps what the socket does not take. */
static enum sink_state send_answers(struct sink_client *client, const uint8_t *bytes, size_t length)
{
    ssize_t sent = send(client->socket, bytes, length, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN)
        return SINK_FAILED;
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == length)
        return SINK_READING;
    assert(client->unsent == NULL);
    client->unsent_length = length - (size_t)sent;
    client->unsent_start = 0;
    client->unsent = malloc(client->unsent_length);
    if (client->unsent == NULL)
        abort();
    memcpy(client->unsent, bytes + sent, client->unsent_length);
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

static enum sink_state read_packets(struct sink_client *client, struct sink_totals *totals)
{
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
    done = walk(client, data, length);
    totals->packets += client->packets - packets;
    totals->publishes += client->publishes - publishes;
    if (done < 0)
        return SINK_FAILED;
    keep_tail(client, data + done, length - (size_t)done);
    return answers_length == 0 ? SINK_READING : send_answers(client, answers, answers_length);
}

enum sink_state sink_client_ready(struct sink_client *client, struct sink_totals *totals)
{
    return client->unsent != NULL ? send_unsent(client) : read_packets(client, totals);
}

void sink_client_release(struct sink_client *client)
{
    free(client->tail);
    free(client->unsent);
}

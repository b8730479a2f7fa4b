/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what comes in on a connection of the load generator: acknowledgements, messages that come back,
 * deliveries of a fan-out, the end of the stream. All of them come in the order in which the messages were
 * sent, so that the nth that comes is told from the others, and timed, without looking into it. Called by
 * load.c's loop. */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "load.h"

ssize_t load_client_receive(struct load_client *client, uint8_t *out, size_t size)
{
    size_t got = 0;
    ssize_t received;

    if (client->ssl == NULL) {
        received = recv(client->socket, out, size, 0);
        if (received > 0)
            return received;
        return received < 0 && errno == EAGAIN ? 0 : -1;
    }
    if (SSL_read_ex(client->ssl, out, size, &got) == 1)
        return (ssize_t)got;
    received = SSL_get_error(client->ssl, 0) == SSL_ERROR_WANT_READ ? 0 : -1;
    ERR_clear_error();
    return received;
}

/* The message that has waited longest is answered. */
static bool take_answer(struct load_run *run, struct load_client *client)
{
    if (client->subscriber || client->acknowledged == client->sent)
        return false;
    if (client->sent_at != NULL)
        histogram_add(&run->times, load_now() - client->sent_at[client->acknowledged % run->options->window]);
    client->acknowledged++;
    run->acknowledged++;
    return true;
}

static bool take_puback(
    struct load_run *run, struct load_client *client, const uint8_t *bytes, const struct wire_frame *frame)
{
    if (frame->size < 4 || run->options->form.qos == 0)
        return false;
    if (frame->size > 4 && bytes[4] >= 0x80)
        run->refused++;
    return take_answer(run, client);
}

/* A delivery of the fan-out. At QoS 1 it is acknowledged. */
static bool take_delivery(
    struct load_run *run, struct load_client *client, const uint8_t *bytes, const struct wire_frame *frame)
{
    uint8_t puback[4] = {WIRE_PUBACK << 4, 2, 0, 0};
    const uint8_t *body = bytes + frame->header_length;
    size_t length = frame->size - frame->header_length;

    if (client->received == run->sent || run->sent - client->received > LOAD_FAN_MESSAGES)
        return false;
    histogram_add(&run->times, load_now() - run->fan_sent_at[client->received % LOAD_FAN_MESSAGES]);
    client->received++;
    run->received++;
    if ((frame->flags >> 1 & 3) == 0)
        return true;
    if (length < 2 || length - 2 < (size_t)wire_read_u16(body) + 2)
        return false;
    memcpy(puback + 2, body + 2 + wire_read_u16(body), 2);
    load_client_send(run, client, puback, sizeof(puback));
    return true;
}

static bool take_publish(
    struct load_run *run, struct load_client *client, const uint8_t *bytes, const struct wire_frame *frame)
{
    if (client->subscriber)
        return take_delivery(run, client, bytes, frame);
    return run->options->mode == LOAD_ROUNDTRIP && run->options->form.qos == 0 && take_answer(run, client);
}

/* False if the peer must not send this. */
static bool take_packet(
    struct load_run *run, struct load_client *client, const uint8_t *bytes, const struct wire_frame *frame)
{
    switch (frame->type) {
    case WIRE_PUBACK:
        return take_puback(run, client, bytes, frame);
    case WIRE_PUBLISH:
        return take_publish(run, client, bytes, frame);
    default:
        return false;
    }
}

/* Takes the packets of data. Returns how many bytes are done with, or -1. */
static ssize_t take_packets(
    struct load_run *run, struct load_client *client, const uint8_t *data, size_t length)
{
    struct wire_frame frame;
    size_t at = 0;

    while (at < length) {
        enum wire_result result = wire_frame_read(data + at, length - at, &frame);
        if (result == WIRE_MORE)
            break;
        if (result != WIRE_OK || frame.size > LOAD_INPUT_MAX)
            return -1;
        if (frame.size > length - at)
            break;
        if (!take_packet(run, client, data + at, &frame))
            return -1;
        at += frame.size;
    }
    return (ssize_t)at;
}

void load_client_readable(struct load_run *run, struct load_client *client)
{
    uint8_t data[LOAD_INPUT_MAX + LOAD_RECORD_SIZE];
    ssize_t got = 0;
    ssize_t done;

    while (client->state != LOAD_CLOSED) {
        memcpy(data, client->input, client->input_length);
        got = load_client_receive(client, data + client->input_length, LOAD_RECORD_SIZE);
        if (got <= 0)
            break;
        size_t length = client->input_length + (size_t)got;
        done = take_packets(run, client, data, length);
        if (done < 0) {
            fprintf(stderr, "mqward-bench-load: connection %u: unexpected packet 0x%02x\n", client->number,
                data[0]);
            load_client_lose(run, client);
            return;
        }
        client->input_length = length - (size_t)done;
        assert(client->input_length <= LOAD_INPUT_MAX);
        memcpy(client->input, data + done, client->input_length);
    }
    if (got < 0 && client->state == LOAD_CLOSING)
        client->state = LOAD_CLOSED;
    else if (got < 0)
        load_client_lose(run, client);
    else if (client->ssl != NULL)
        load_client_send_records(run, client); /* what reading made TLS say: an answer to a key update */
    load_client_advance_end(run, client);
}

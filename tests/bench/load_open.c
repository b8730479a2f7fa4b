/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the start of a connection of the load generator, which is blocking: TCP, TLS, CONNECT, and SUBSCRIBE
 * where the mode waits for messages. Called by load.c for each connection, one after the other. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

/* Waits for exactly one packet of this type, which then is at the start of the client's input. */
static bool await_packet(struct load_client *client, uint8_t type, struct wire_frame *frame)
{
    client->input_length = 0;
    for (;;) {
        enum wire_result result = wire_frame_read(client->input, client->input_length, frame);
        if (result == WIRE_BAD || (result == WIRE_OK && (frame->type != type || frame->size < 4)))
            return false;
        if (result == WIRE_OK && client->input_length >= frame->size)
            break;
        if (client->input_length == LOAD_INPUT_MAX)
            return false;
        ssize_t got = load_client_receive(
            client, client->input + client->input_length, LOAD_INPUT_MAX - client->input_length);
        if (got <= 0)
            return false;
        client->input_length += (size_t)got;
    }
    return client->input_length == frame->size;
}

static bool await_connack(struct load_client *client)
{
    struct wire_frame frame;
    bool good = await_packet(client, WIRE_CONNACK, &frame) && client->input[3] == 0;

    client->input_length = 0;
    return good;
}

/* The one filter is the topic of the messages: of a fan-out the publisher's, else the connection's own. */
static bool subscribe(struct load_run *run, struct load_client *client)
{
    uint8_t packet[WIRE_SUBSCRIBE_MAX];
    struct wire_publish *publish = &run->publish;
    struct wire_frame frame;
    bool good;

    if (publish->number_at > 0)
        wire_write_number(publish->bytes + publish->number_at, client->number);
    load_client_send(run, client, packet,
        wire_write_subscribe(packet, run->options->form.version, run->options->form.qos,
            publish->bytes + publish->topic_start, publish->topic_length));
    good = await_packet(client, WIRE_SUBACK, &frame) && client->input[frame.size - 1] <= 1;
    client->input_length = 0;
    return good;
}

static bool wants_subscription(const struct load_run *run, const struct load_client *client)
{
    return client->subscriber || (run->options->mode == LOAD_ROUNDTRIP && run->options->form.qos == 0);
}

/* The fields that do not depend on the network. */
static void initialise(struct load_run *run, struct load_client *client, unsigned number)
{
    bool fan = run->options->mode == LOAD_FANOUT;

    *client = (struct load_client){.state = LOAD_RUNNING, .socket = -1, .number = number};
    client->subscriber = fan && number < run->options->connections;
    if (run->options->mode != LOAD_ROUNDTRIP)
        return;
    client->sent_at = calloc(run->options->window, sizeof(*client->sent_at));
    if (client->sent_at == NULL)
        abort();
}

static bool refuse(const struct load_client *client, const char *what)
{
    fprintf(stderr, "mqward-bench-load: connection %u: %s\n", client->number, what);
    return false;
}

bool load_client_open(struct load_run *run, struct load_client *client, unsigned number)
{
    bool publisher = number == run->options->connections;
    uint8_t connect[WIRE_CONNECT_MAX];

    initialise(run, client, number);
    client->socket =
        load_connect(run->options, publisher ? &run->options->publisher : &run->options->target, true);
    if (client->socket < 0)
        return refuse(client, strerror(errno));
    if (run->tls != NULL && !publisher) {
        client->ssl = load_tls_connect(run->tls, client->socket);
        if (client->ssl == NULL)
            return refuse(client, "no TLS");
    }
    load_client_send(run, client, connect,
        wire_write_connect(connect, run->options->form.version, publisher ? WIRE_FAN_CLIENT : "", number));
    if (!await_connack(client))
        return refuse(client, "no accepting CONNACK");
    if (wants_subscription(run, client) && !subscribe(run, client))
        return refuse(client, "no granting SUBACK");
    return fcntl(client->socket, F_SETFL, O_NONBLOCK) == 0;
}

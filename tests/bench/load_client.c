/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one connection of the load generator: its packets, its unsent bytes, its end. Called by load.c's loop.
 * A message counts as sent once its bytes are made: they leave in order or the connection counts as lost. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "load.h"

#define RECORD_SIZE 16384         /* plain bytes of a batch; TLS's largest record */
#define CORK_SIZE 65536           /* plain bytes of a corked write */
#define TURN_BYTES 65536          /* plain bytes that a connection sends before the next one has its turn */
#define OPEN_TIMEOUT_S 10         /* for each blocking step of opening */
#define PENDING_MAX (1024 * 1024) /* paced: above it a due message is skipped */

/* Plain packets of one turn. */
static uint8_t plain[CORK_SIZE];

/* ---- bytes out ---- */

static void keep_pending(struct load_client *client, const uint8_t *bytes, size_t length)
{
    size_t old = client->pending_length - client->pending_start;
    uint8_t *grown = malloc(old + length);

    if (grown == NULL)
        abort();
    if (old > 0)
        memcpy(grown, client->pending + client->pending_start, old);
    memcpy(grown + old, bytes, length);
    free(client->pending);
    client->pending = grown;
    client->pending_start = 0;
    client->pending_length = old + length;
}

static void lose(struct load_run *run, struct load_client *client)
{
    if (client->state != LOAD_CLOSED)
        run->lost++;
    client->state = LOAD_CLOSED;
}

/* Writes bytes, keeps what the socket does not take. */
static void send_bytes(struct load_run *run, struct load_client *client, const uint8_t *bytes, size_t length)
{
    ssize_t sent = 0;

    if (client->pending == NULL) {
        sent = send(client->socket, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            lose(run, client);
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    if ((size_t)sent < length)
        keep_pending(client, bytes + sent, length - (size_t)sent);
}

static void send_records(struct load_run *run, struct load_client *client)
{
    const uint8_t *bytes;
    size_t length = load_tls_records(run->tls, &bytes);

    if (length > 0)
        send_bytes(run, client, bytes, length);
    load_tls_taken(run->tls);
}

/* One record, one write; longer packets take several records. */
static void send_plain(struct load_run *run, struct load_client *client, const uint8_t *bytes, size_t length)
{
    if (client->ssl == NULL) {
        send_bytes(run, client, bytes, length);
        return;
    }
    for (size_t at = 0; at < length; at += RECORD_SIZE)
        load_tls_encrypt(client->ssl, bytes + at, length - at < RECORD_SIZE ? length - at : RECORD_SIZE);
    send_records(run, client);
}

static bool send_pending(struct load_run *run, struct load_client *client)
{
    ssize_t sent;

    if (client->pending == NULL)
        return true;
    sent = send(client->socket, client->pending + client->pending_start,
        client->pending_length - client->pending_start, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            lose(run, client);
        return false;
    }
    client->pending_start += (size_t)sent;
    if (client->pending_start < client->pending_length)
        return false;
    free(client->pending);
    client->pending = NULL;
    client->pending_start = client->pending_length = 0;
    return true;
}

/* ---- messages ---- */

/* How many messages may be sent now, at most wanted. */
static uint64_t allowance(const struct load_run *run, const struct load_client *client, uint64_t wanted)
{
    uint64_t allowed = run->left < wanted ? run->left : wanted;

    if (run->options->form.qos > 0) {
        uint64_t under_way = client->sent - client->acknowledged;
        uint64_t room = run->options->window > under_way ? run->options->window - under_way : 0;
        allowed = room < allowed ? room : allowed;
    }
    return allowed;
}

/* Makes the shared packet this client's next message. */
static const uint8_t *next_message(struct load_run *run, struct load_client *client)
{
    struct wire_publish *publish = &run->publish;

    if (publish->number_at > 0)
        wire_write_number(publish->bytes + publish->number_at, client->number);
    if (publish->topic_at > 0) {
        wire_write_number(publish->bytes + publish->topic_at, client->topic);
        client->topic = client->topic + 1 < run->options->topics ? client->topic + 1 : 0;
    }
    if (publish->packet_id_at > 0) {
        client->packet_id = (uint16_t)(client->packet_id == UINT16_MAX ? 1 : client->packet_id + 1);
        wire_write_u16(publish->bytes + publish->packet_id_at, client->packet_id);
    }
    client->sent++;
    run->sent++;
    if (run->left != UINT64_MAX)
        run->left--;
    return publish->bytes;
}

/* Fills plain with packets, at most limit bytes. Returns how many. */
static size_t fill(struct load_run *run, struct load_client *client, size_t limit)
{
    size_t size = run->publish.length;
    uint64_t count = allowance(run, client, limit / size);

    for (uint64_t i = 0; i < count; i++)
        memcpy(plain + i * size, next_message(run, client), size);
    return (size_t)count;
}

static void send_batch(struct load_run *run, struct load_client *client)
{
    size_t count = fill(run, client, RECORD_SIZE);

    if (count > 0)
        send_plain(run, client, plain, count * run->publish.length);
}

static void send_single(struct load_run *run, struct load_client *client)
{
    if (allowance(run, client, 1) > 0)
        send_plain(run, client, next_message(run, client), run->publish.length);
}

static void send_cork(struct load_run *run, struct load_client *client)
{
    size_t size = run->publish.length;
    size_t count = fill(run, client, CORK_SIZE);

    if (client->ssl ==
        NULL) { /* without TLS there are no records: one write is all that is left of the mode */
        if (count > 0)
            send_bytes(run, client, plain, count * size);
        return;
    }
    for (size_t i = 0; i < count; i++)
        load_tls_encrypt(client->ssl, plain + i * size, size);
    send_records(run, client);
}

typedef void (*mode_send)(struct load_run *, struct load_client *);

/* One write each. A packet larger than what a mode gathers goes out as in single. */
static const mode_send senders[] = {
    [LOAD_BATCH] = send_batch,
    [LOAD_SINGLE] = send_single,
    [LOAD_CORK] = send_cork,
    [LOAD_PACED] = send_single,
};

static bool saturates(const struct load_run *run, const struct load_client *client)
{
    return client->state == LOAD_RUNNING && run->options->mode != LOAD_PACED && allowance(run, client, 1) > 0;
}

static void send_turn(struct load_run *run, struct load_client *client)
{
    mode_send send_some = senders[run->publish.length > RECORD_SIZE ? LOAD_SINGLE : run->options->mode];
    uint64_t before = client->sent;

    while (client->pending == NULL && saturates(run, client) &&
           (client->sent - before) * run->publish.length < TURN_BYTES)
        send_some(run, client);
}

void load_client_due(struct load_run *run, struct load_client *client)
{
    if (client->state != LOAD_RUNNING || client->pending_length - client->pending_start > PENDING_MAX ||
        allowance(run, client, 1) == 0)
        run->skipped++;
    else
        send_single(run, client);
}

/* ---- the end ---- */

/* Goes on with the end once nothing is under way. */
static void advance_end(struct load_run *run, struct load_client *client)
{
    static const uint8_t disconnect[] = {WIRE_DISCONNECT << 4, 0};

    if (client->state == LOAD_DRAINING && client->pending == NULL &&
        (run->options->form.qos == 0 || client->acknowledged == client->sent)) {
        client->state = LOAD_CLOSING;
        send_plain(run, client, disconnect, sizeof(disconnect));
        if (client->ssl != NULL) {
            SSL_shutdown(client->ssl); /* 0: our close_notify is in the records, the peer's is not awaited */
            send_records(run, client);
        }
    }
    if (client->state == LOAD_CLOSING && client->pending == NULL)
        (void)shutdown(client->socket, SHUT_WR); /* the peer may have gone already */
}

void load_client_stop(struct load_run *run, struct load_client *client)
{
    if (client->state == LOAD_RUNNING)
        client->state = LOAD_DRAINING;
    advance_end(run, client);
}

void load_client_writable(struct load_run *run, struct load_client *client)
{
    if (!send_pending(run, client))
        return;
    send_turn(run, client);
    advance_end(run, client);
}

bool load_client_wants_write(const struct load_run *run, const struct load_client *client)
{
    return client->state != LOAD_CLOSED && (client->pending != NULL || saturates(run, client));
}

/* ---- bytes in ---- */

/* Bytes from the peer: more than 0, 0 if there are none now, -1 at the end of the stream. */
static ssize_t receive(struct load_client *client, uint8_t *out, size_t size)
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

/* False if the peer must not send this. */
static bool take_packet(
    struct load_run *run, struct load_client *client, const uint8_t *bytes, const struct wire_frame *frame)
{
    if (frame->type != WIRE_PUBACK)
        return false;
    if (frame->size < 4 || client->acknowledged == client->sent)
        return false;
    client->acknowledged++;
    run->acknowledged++;
    if (frame->size > 4 && bytes[4] >= 0x80)
        run->refused++;
    return true;
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
    uint8_t data[LOAD_INPUT_MAX + RECORD_SIZE];
    ssize_t got = 0;
    ssize_t done;

    while (client->state != LOAD_CLOSED) {
        memcpy(data, client->input, client->input_length);
        got = receive(client, data + client->input_length, RECORD_SIZE);
        if (got <= 0)
            break;
        size_t length = client->input_length + (size_t)got;
        done = take_packets(run, client, data, length);
        if (done < 0) {
            fprintf(stderr, "mqward-bench-load: connection %u: unexpected packet 0x%02x\n", client->number,
                data[0]);
            lose(run, client);
            return;
        }
        client->input_length = length - (size_t)done;
        assert(client->input_length <= LOAD_INPUT_MAX);
        memcpy(client->input, data + done, client->input_length);
    }
    if (got < 0 && client->state == LOAD_CLOSING)
        client->state = LOAD_CLOSED;
    else if (got < 0)
        lose(run, client);
    else if (client->ssl != NULL)
        send_records(run, client); /* what reading made TLS say: an answer to a key update */
    advance_end(run, client);
}

/* ---- the start ---- */

static bool connect_socket(const struct load_options *options, struct load_client *client)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(options->port)};
    struct timeval timeout = {.tv_sec = OPEN_TIMEOUT_S};
    int on = 1;

    client->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->socket < 0 || inet_pton(AF_INET, options->host, &address.sin_addr) != 1)
        return false;
    (void)setsockopt(client->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(client->socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return connect(client->socket, (struct sockaddr *)&address, sizeof(address)) == 0;
}

/* Waits for exactly one accepting CONNACK. */
static bool await_connack(struct load_client *client)
{
    struct wire_frame frame;
    enum wire_result result;

    for (;;) {
        result = wire_frame_read(client->input, client->input_length, &frame);
        if (result == WIRE_BAD || (result == WIRE_OK && (frame.type != WIRE_CONNACK || frame.size < 4)))
            return false;
        if (result == WIRE_OK && client->input_length >= frame.size)
            break;
        if (client->input_length == LOAD_INPUT_MAX)
            return false;
        ssize_t got =
            receive(client, client->input + client->input_length, LOAD_INPUT_MAX - client->input_length);
        if (got <= 0)
            return false;
        client->input_length += (size_t)got;
    }
    result = client->input[3] == 0 && client->input_length == frame.size ? WIRE_OK : WIRE_BAD;
    client->input_length = 0;
    return result == WIRE_OK;
}

bool load_client_open(struct load_run *run, struct load_client *client, unsigned number)
{
    uint8_t connect[WIRE_CONNECT_MAX];

    *client = (struct load_client){.state = LOAD_RUNNING, .socket = -1, .number = number};
    if (!connect_socket(run->options, client)) {
        fprintf(stderr, "mqward-bench-load: connection %u: %s\n", number, strerror(errno));
        return false;
    }
    if (run->tls != NULL) {
        client->ssl = load_tls_connect(run->tls, client->socket);
        if (client->ssl == NULL)
            return false;
    }
    send_plain(run, client, connect, wire_write_connect(connect, run->options->form.version, number));
    if (!await_connack(client)) {
        fprintf(stderr, "mqward-bench-load: connection %u: no accepting CONNACK\n", number);
        return false;
    }
    return fcntl(client->socket, F_SETFL, O_NONBLOCK) == 0;
}

void load_client_release(struct load_client *client)
{
    SSL_free(client->ssl);
    free(client->pending);
    if (client->socket >= 0)
        close(client->socket);
    client->ssl = NULL;
    client->pending = NULL;
    client->socket = -1;
}

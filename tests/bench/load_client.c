/* SPDX-License-Identifier: Apache-2.0 */
/* Owns one connection of the load generator: its packets, its unsent bytes, its end; load_open.c has its
 * start, load_read.c what comes in. Called by load.c's loop. A message counts as sent once its bytes are
 * made: they leave in order or the connection counts as lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define CORK_SIZE 65536           /* plain bytes of a corked write */
#define TURN_BYTES 65536          /* plain bytes that a connection sends before the next one has its turn */
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

void load_client_lose(struct load_run *run, struct load_client *client)
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
            load_client_lose(run, client);
            return;
        }
        sent = sent < 0 ? 0 : sent;
    }
    if ((size_t)sent < length)
        keep_pending(client, bytes + sent, length - (size_t)sent);
}

void load_client_send_records(struct load_run *run, struct load_client *client)
{
    const uint8_t *bytes;
    size_t length = load_tls_records(run->tls, &bytes);

    if (length > 0)
        send_bytes(run, client, bytes, length);
    load_tls_taken(run->tls);
}

void load_client_send(struct load_run *run, struct load_client *client, const uint8_t *bytes, size_t length)
{
    if (client->ssl == NULL) {
        send_bytes(run, client, bytes, length);
        return;
    }
    for (size_t at = 0; at < length; at += LOAD_RECORD_SIZE)
        load_tls_encrypt(
            client->ssl, bytes + at, length - at < LOAD_RECORD_SIZE ? length - at : LOAD_RECORD_SIZE);
    load_client_send_records(run, client);
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
            load_client_lose(run, client);
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

/* True if each message is answered: by a PUBACK, or by itself. */
static bool awaits_answers(const struct load_run *run)
{
    return run->options->form.qos > 0 || run->options->mode == LOAD_ROUNDTRIP;
}

/* How many messages may be sent now, at most wanted. */
static uint64_t allowance(const struct load_run *run, const struct load_client *client, uint64_t wanted)
{
    uint64_t allowed = run->left < wanted ? run->left : wanted;

    if (awaits_answers(run)) {
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
    if (run->sign != NULL)
        load_sign_message(run->sign, publish, client->number);
    if (client->sent_at != NULL)
        client->sent_at[client->sent % run->options->window] = load_now();
    if (run->fan_sent_at != NULL)
        run->fan_sent_at[run->sent % LOAD_FAN_MESSAGES] = load_now();
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
    size_t count = fill(run, client, LOAD_RECORD_SIZE);

    if (count > 0)
        load_client_send(run, client, plain, count * run->publish.length);
}

static void send_single(struct load_run *run, struct load_client *client)
{
    if (allowance(run, client, 1) > 0)
        load_client_send(run, client, next_message(run, client), run->publish.length);
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
    load_client_send_records(run, client);
}

typedef void (*mode_send)(struct load_run *, struct load_client *);

/* One write each. A packet larger than what a mode gathers goes out as in single. */
static const mode_send senders[] = {
    [LOAD_BATCH] = send_batch,
    [LOAD_SINGLE] = send_single,
    [LOAD_CORK] = send_cork,
    [LOAD_PACED] = send_single,
    [LOAD_ROUNDTRIP] = send_single,
    [LOAD_FANOUT] = send_single,
};

static bool saturates(const struct load_run *run, const struct load_client *client)
{
    return client->state == LOAD_RUNNING && !load_has_rate(run->options->mode) &&
           allowance(run, client, 1) > 0;
}

static void send_turn(struct load_run *run, struct load_client *client)
{
    mode_send send_some = senders[run->publish.length > LOAD_RECORD_SIZE ? LOAD_SINGLE : run->options->mode];
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

/* True if all that was to be answered or delivered is here. */
static bool is_complete(const struct load_run *run, const struct load_client *client)
{
    if (client->subscriber)
        return client->received == run->sent;
    return !awaits_answers(run) || client->acknowledged == client->sent;
}

void load_client_advance_end(struct load_run *run, struct load_client *client)
{
    static const uint8_t disconnect[] = {WIRE_DISCONNECT << 4, 0};

    if (client->state == LOAD_DRAINING && client->pending == NULL && is_complete(run, client)) {
        client->state = LOAD_CLOSING;
        load_client_send(run, client, disconnect, sizeof(disconnect));
        if (client->ssl != NULL) {
            SSL_shutdown(client->ssl); /* 0: our close_notify is in the records, the peer's is not awaited */
            load_client_send_records(run, client);
        }
    }
    if (client->state == LOAD_CLOSING && client->pending == NULL)
        (void)shutdown(client->socket, SHUT_WR); /* the peer may have gone already */
}

void load_client_stop(struct load_run *run, struct load_client *client)
{
    if (client->state == LOAD_RUNNING)
        client->state = LOAD_DRAINING;
    load_client_advance_end(run, client);
}

void load_client_writable(struct load_run *run, struct load_client *client)
{
    if (!send_pending(run, client))
        return;
    send_turn(run, client);
    load_client_advance_end(run, client);
}

bool load_client_wants_write(const struct load_run *run, const struct load_client *client)
{
    return client->state != LOAD_CLOSED && (client->pending != NULL || saturates(run, client));
}

void load_client_release(struct load_client *client)
{
    SSL_free(client->ssl);
    free(client->pending);
    free(client->sent_at);
    if (client->socket >= 0)
        close(client->socket);
    client->ssl = NULL;
    client->pending = NULL;
    client->sent_at = NULL;
    client->socket = -1;
}

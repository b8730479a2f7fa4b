/* SPDX-License-Identifier: Apache-2.0 */
/* The BIO under the TLS streams. Called by OpenSSL (read, write) and by stream.c. */
#include "proxy/stream_source.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define RECEIVE_SIZE (64 * 1024)
#define TURN_SIZE (2 * RECEIVE_SIZE)
/* A record that waits for the socket, and the few answers that TLS itself puts behind it. */
#define UNSENT_MAX (64 * 1024)
/* As other TLS libraries bound it: an honest peer updates its keys once in millions of records. */
#define BARREN_MAX 32

/* Used from one call into OpenSSL to the end of the same call, so all streams of a thread share it. */
static _Thread_local uint8_t receive_buffer[RECEIVE_SIZE];

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static bool in_receive_buffer(const struct stream_source *source)
{
    return source->raw.length > 0 && source->raw.data >= receive_buffer &&
           source->raw.data < receive_buffer + RECEIVE_SIZE;
}

/* More from the socket. Bytes, 0 at the end, -1 (errno). */
static ssize_t receive(struct stream_source *source)
{
    ssize_t got;

    if (source->budget == 0) {
        errno = EAGAIN;
        return -1;
    }
    do
        got = recv(source->fd, receive_buffer, RECEIVE_SIZE, 0);
    while (got < 0 && errno == EINTR);
    source->drained = got < RECEIVE_SIZE;
    if (got > 0) {
        source->raw = view_of(receive_buffer, (size_t)got);
        source->budget -= (size_t)got < source->budget ? (size_t)got : source->budget;
    } else if (got == 0)
        source->ended = true;
    return got;
}

static bool again(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static int source_read(BIO *bio, char *out, int size)
{
    struct stream_source *source = BIO_get_data(bio);
    size_t count = (size_t)size;

    BIO_clear_retry_flags(bio);
    if (source->stopped) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (source->raw.length == 0) {
        ssize_t got = receive(source);

        if (got < 0 && again())
            BIO_set_retry_read(bio);
        if (got <= 0)
            return (int)got;
    }
    if (count > source->raw.length)
        count = source->raw.length;
    memcpy(out, source->raw.data, count);
    source->raw = view_skip(source->raw, count);
    return (int)count;
}

bool stream_source_peer_left(void)
{
    return errno == EPIPE || errno == ECONNRESET;
}

/* Bytes that the socket took, 0 if it takes none for now, or -1 (errno). */
static ssize_t send_some(struct stream_source *source, struct view bytes)
{
    ssize_t sent;

    do
        sent = send(source->fd, bytes.data, bytes.length, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && stream_source_peer_left()) {
        source->peer_left = true;
        return (ssize_t)bytes.length;
    }
    return sent < 0 && again() ? 0 : sent;
}

/* Takes all of it, so that OpenSSL never has a record half written: while one is, it can neither answer the
 * peer's KeyUpdate nor go on reading. */
static int source_write(BIO *bio, const char *bytes, int size)
{
    struct stream_source *source = BIO_get_data(bio);
    struct view rest = view_of(bytes, (size_t)size);

    BIO_clear_retry_flags(bio);
    if (buffer_length(&source->unsent) == 0) {
        ssize_t sent = send_some(source, rest);

        if (sent < 0)
            return -1;
        rest = view_skip(rest, (size_t)sent);
    }
    if (buffer_length(&source->unsent) + rest.length > UNSENT_MAX) {
        errno = ENOBUFS;
        return -1;
    }
    if (rest.length > 0)
        buffer_append(&source->unsent, rest);
    return size;
}

int stream_source_send(struct stream_source *source)
{
    ssize_t sent;

    if (buffer_length(&source->unsent) == 0)
        return 0;
    sent = send_some(source, buffer_view(&source->unsent));
    if (sent <= 0)
        return (int)sent;
    buffer_consume(&source->unsent, (size_t)sent);
    if (buffer_length(&source->unsent) == 0)
        buffer_release(&source->unsent);
    return 1;
}

static long source_control(BIO *bio, int command, long number, void *pointer)
{
    const struct stream_source *source = BIO_get_data(bio);

    (void)number, (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH: /* what is unsent is sent when the socket takes it */
        return 1;
    case BIO_CTRL_EOF:
        return source->ended;
    case BIO_CTRL_PENDING:
        return (long)source->raw.length;
    default:
        return 0;
    }
}

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mqward stream");
    if (method == NULL)
        return;
    BIO_meth_set_read(method, source_read);
    BIO_meth_set_write(method, source_write);
    BIO_meth_set_ctrl(method, source_control);
}

BIO *stream_source_bio(struct stream_source *source)
{
    BIO *bio;

    pthread_once(&method_once, make_method);
    bio = method == NULL ? NULL : BIO_new(method);
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, source);
    BIO_set_init(bio, 1);
    return bio;
}

static void count_record(
    int written, int version, int content_type, const void *bytes, size_t length, SSL *ssl, void *argument)
{
    struct stream_source *source = argument;

    (void)version, (void)bytes, (void)length;
    if (written == 0 && content_type == SSL3_RT_HEADER && SSL_is_init_finished(ssl))
        source->stopped = ++source->barren > BARREN_MAX;
}

void stream_source_watch(struct stream_source *source, SSL *ssl)
{
    SSL_set_msg_callback(ssl, count_record);
    SSL_set_msg_callback_arg(ssl, source);
}

void stream_source_begin(struct stream_source *source)
{
    source->budget = TURN_SIZE;
    source->barren = 0;
    source->stopped = false;
}

void stream_source_fruitful(struct stream_source *source)
{
    if (source->barren > 0)
        source->barren--;
}

void stream_source_settle(struct stream_source *source)
{
    if (in_receive_buffer(source)) {
        buffer_clear(&source->kept);
        buffer_append(&source->kept, source->raw);
        source->raw = buffer_view(&source->kept);
    } else if (source->raw.length == 0 && source->kept.data != NULL)
        buffer_release(&source->kept);
}

void stream_source_free(struct stream_source *source)
{
    buffer_release(&source->kept);
    buffer_release(&source->unsent);
    source->raw = (struct view){NULL, 0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Streams on libevent events: plain and TLS. Used by conn.c for both sides of a connection.
 *
 * One recv(2) brings many TLS records (stream_source.h), so bytes can wait below OpenSSL while the socket is
 * silent. So reading is resumed by stream_poke(), not by the socket alone. */
#include "proxy/stream.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "proxy/stream_source.h"

#define STREAM_MAGIC 0x57e4a301u

enum stream_state { STREAM_HANDSHAKE, STREAM_OPEN, STREAM_BROKEN };

struct stream {
    uint32_t magic;
    enum stream_state state;
    int fd;
    SSL *ssl;
    struct event read_event, write_event;
    struct event
        poke_event; /* a timer of no time: on_readable() in the loop's next turn, after others had theirs */
    stream_callback *callback;
    void *argument;
    struct stream_source source; /* TLS: the bytes below it */
    struct buffer queue;
    uint64_t stalled_since;
    bool reading;          /* the owner wants STREAM_READABLE */
    bool poke_owed;        /* one came while reading was off: an end or an error may wait inside TLS */
    bool write_wants_read; /* TLS must read before it can go on writing */
    bool shut;             /* stream_shutdown() was called */
    bool notified;         /* close_notify was written */
    bool shut_done;
    bool certificate_rejected;
    char *error;
};

/* ---- failure ---- */

static void describe_tls_failure(struct stream *stream, unsigned long code)
{
    long verify = SSL_get_verify_result(stream->ssl);
    int reason = ERR_GET_REASON(code);

    stream->certificate_rejected =
        reason == SSL_R_CERTIFICATE_VERIFY_FAILED || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
        stream->error = memory_format("certificate not accepted: %s", X509_verify_cert_error_string(verify));
    else
        stream->error =
            memory_format("TLS: %s", ERR_reason_error_string(code) ? ERR_reason_error_string(code) : "error");
}

/* Marks the stream broken; the owner hears of it in the loop's next turn. */
static void fail(struct stream *stream, const char *what, int error)
{
    unsigned long code = stream->ssl == NULL ? 0 : ERR_peek_error();

    if (stream->state == STREAM_BROKEN)
        return;
    if (code != 0)
        describe_tls_failure(stream, code);
    else if (error != 0)
        stream->error = memory_format("%s: %s", what, strerror(error));
    else
        stream->error = memory_format("%s: closed by the peer", what);
    ERR_clear_error();
    stream->state = STREAM_BROKEN;
    buffer_release(&stream->queue);
    stream->stalled_since = 0;
    event_del(&stream->write_event);
    event_del(&stream->read_event);
    stream_poke(stream);
}

/* What an SSL call that moved nothing wants: true if it is only to wait. */
static bool tls_again(struct stream *stream, int result, bool writing)
{
    int error = SSL_get_error(stream->ssl, result);

    if (error == SSL_ERROR_WANT_READ) {
        if (writing)
            stream->write_wants_read = true;
        return true;
    }
    return false;
}

/* ---- writing ---- */

/* Bytes taken (0: none for now), or -1 after fail(). A peer that has left takes everything: what it sent
 * before, perhaps the DISCONNECT that its will depends on, is still to be read, and reading finds the end. */
static ssize_t write_some(struct stream *stream, struct view bytes)
{
    size_t taken = 0;
    ssize_t sent;

    if (stream->ssl == NULL) {
        do
            sent = send(stream->fd, bytes.data, bytes.length, MSG_NOSIGNAL);
        while (sent < 0 && errno == EINTR);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return 0;
        if (stream_source_peer_left()) {
            stream_poke(stream);
            return (ssize_t)bytes.length;
        }
        fail(stream, "send", errno);
        return -1;
    }
    ERR_clear_error();
    stream->write_wants_read = false;
    while (taken < bytes.length && buffer_length(&stream->source.unsent) == 0) {
        size_t written = 0;
        int result = SSL_write_ex(stream->ssl, bytes.data + taken, bytes.length - taken, &written);

        if (result != 1) {
            if (tls_again(stream, result, true))
                break;
            fail(stream, "TLS write", errno);
            return -1;
        }
        taken += written;
    }
    if (stream->source.peer_left)
        stream_poke(stream);
    return (ssize_t)taken;
}

static void finish_shutdown(struct stream *stream)
{
    if (!stream->shut || stream->shut_done || stream->state != STREAM_OPEN || stream_queued(stream) > 0)
        return;
    if (stream->ssl != NULL && !stream->notified) {
        stream->notified = true;
        ERR_clear_error();
        SSL_shutdown(stream->ssl); /* our close_notify; the peer's is not waited for */
        ERR_clear_error();
        if (buffer_length(&stream->source.unsent) > 0) {
            event_add(&stream->write_event, NULL);
            return;
        }
    }
    stream->shut_done = true;
    shutdown(stream->fd, SHUT_WR);
}

/* Sends what TLS has made and the socket had no room for; true if some of it went. */
static bool send_unsent(struct stream *stream)
{
    int sent = stream_source_send(&stream->source);

    if (sent < 0)
        fail(stream, "send", errno);
    if (stream->source.peer_left)
        stream_poke(stream);
    return sent > 0;
}

/* Writes from the queue; true if something moved. */
static bool flush(struct stream *stream)
{
    bool moved = send_unsent(stream);

    while (buffer_length(&stream->queue) > 0 && buffer_length(&stream->source.unsent) == 0) {
        ssize_t taken = write_some(stream, buffer_view(&stream->queue));

        if (taken < 0)
            return false;
        if (taken == 0)
            break;
        buffer_consume(&stream->queue, (size_t)taken);
        moved = true;
    }
    if (stream->state == STREAM_BROKEN)
        return false;
    if (buffer_length(&stream->queue) == 0)
        buffer_release(&stream->queue);
    if (stream_queued(stream) == 0) {
        stream->stalled_since = 0;
        finish_shutdown(stream);
        return moved;
    }
    if (moved || stream->stalled_since == 0)
        stream->stalled_since = clock_monotonic_ms();
    event_add(&stream->write_event, NULL);
    return moved;
}

void stream_queue(struct stream *stream, struct view bytes)
{
    if (stream->state != STREAM_BROKEN && !stream->shut)
        buffer_append(&stream->queue, bytes);
}

void stream_write(struct stream *stream, struct view bytes)
{
    ssize_t taken = 0;

    assert(stream->magic == STREAM_MAGIC);
    if (stream->state == STREAM_BROKEN || stream->shut)
        return;
    if (stream->state == STREAM_OPEN && stream_queued(stream) == 0 && bytes.length > 0) {
        taken = write_some(stream, bytes);
        if (taken < 0)
            return;
    }
    stream_queue(stream, view_skip(bytes, (size_t)taken));
    if (stream->state == STREAM_OPEN && stream_queued(stream) > 0)
        flush(stream);
}

size_t stream_queued(const struct stream *stream)
{
    return buffer_length(&stream->queue) + buffer_length(&stream->source.unsent);
}

void stream_shutdown(struct stream *stream)
{
    stream->shut = true;
    if (stream->state == STREAM_OPEN)
        finish_shutdown(stream);
}

/* ---- reading ---- */

/* Bytes wait that no event of the socket will tell of. */
static bool tls_pending(const struct stream *stream)
{
    return stream->source.raw.length > 0 || SSL_has_pending(stream->ssl);
}

static ssize_t read_plain(struct stream *stream, uint8_t *out, size_t size)
{
    ssize_t got;

    do
        got = recv(stream->fd, out, size, 0);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return got;
    if (got == 0)
        return STREAM_END;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return STREAM_AGAIN;
    fail(stream, "recv", errno);
    return STREAM_ERROR;
}

static ssize_t read_records(struct stream *stream, uint8_t *out, size_t size)
{
    size_t total = 0;

    ERR_clear_error();
    stream_source_begin(&stream->source);
    while (total < size) {
        size_t got = 0;
        int result = SSL_read_ex(stream->ssl, out + total, size - total, &got);

        if (result == 1) {
            total += got;
            stream_source_fruitful(&stream->source);
            if (stream->source.drained && !tls_pending(stream))
                break; /* the socket tells when there is more: one recv(2) less */
            continue;
        }
        if (tls_again(stream, result, false)) {
            if (stream->source.stopped) {
                fail(stream, "TLS: a flood of records without data", EPROTO);
                return STREAM_ERROR;
            }
            break;
        }
        if (total > 0) {
            stream_poke(stream); /* an end or an error behind bytes shows at the next read */
            break;
        }
        if (SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN)
            return STREAM_END;
        /* Without close_notify the end could be a cut by somebody else: an MQTT packet carries its own
         * length, so a truncated one is never taken for whole. It counts as an end without DISCONNECT. */
        if (SSL_get_error(stream->ssl, result) == SSL_ERROR_SSL &&
            ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return STREAM_END;
        }
        fail(stream, "TLS read", errno);
        return STREAM_ERROR;
    }
    return (ssize_t)total;
}

/* After OpenSSL was called to read: what is left over, and what it wrote in answer and the socket had no room
 * for. */
static void settle(struct stream *stream)
{
    stream_source_settle(&stream->source);
    if (buffer_length(&stream->source.unsent) == 0 || stream->state == STREAM_BROKEN)
        return;
    if (stream->stalled_since == 0)
        stream->stalled_since = clock_monotonic_ms();
    event_add(&stream->write_event, NULL);
}

/* OpenSSL's buffers are kept while there are records, and given back when there are none for now. */
static ssize_t read_tls(struct stream *stream, uint8_t *out, size_t size)
{
    ssize_t got;

    SSL_clear_mode(stream->ssl, SSL_MODE_RELEASE_BUFFERS);
    got = read_records(stream, out, size);
    SSL_set_mode(stream->ssl, SSL_MODE_RELEASE_BUFFERS);
    if (!tls_pending(stream))
        SSL_free_buffers(stream->ssl);
    settle(stream);
    return got;
}

ssize_t stream_read(struct stream *stream, uint8_t *out, size_t size)
{
    assert(stream->magic == STREAM_MAGIC);
    if (stream->state == STREAM_BROKEN)
        return STREAM_ERROR;
    if (stream->state != STREAM_OPEN || size == 0)
        return STREAM_AGAIN;
    return stream->ssl == NULL ? read_plain(stream, out, size) : read_tls(stream, out, size);
}

void stream_poke(struct stream *stream)
{
    const struct timeval now = {0, 0};

    event_add(&stream->poke_event, &now);
}

void stream_set_reading(struct stream *stream, bool reading)
{
    if (stream->reading == reading || stream->state == STREAM_BROKEN)
        return;
    stream->reading = reading;
    if (stream->state != STREAM_OPEN)
        return;
    if (!reading) {
        event_del(&stream->read_event);
        return;
    }
    event_add(&stream->read_event, NULL);
    if (stream->poke_owed || (stream->ssl != NULL && tls_pending(stream)))
        stream_poke(stream);
    stream->poke_owed = false;
}

/* ---- opening ---- */

static void opened(struct stream *stream)
{
    stream->state = STREAM_OPEN;
    if (!stream->reading)
        event_del(&stream->read_event);
    if (stream_queued(stream) > 0)
        flush(stream);
    else
        finish_shutdown(stream);
    stream->callback(stream, STREAM_OPENED, stream->argument);
}

static void handshake(struct stream *stream)
{
    int result;

    ERR_clear_error();
    errno = 0;
    stream_source_begin(&stream->source);
    result = SSL_do_handshake(stream->ssl);
    settle(stream);
    if (result == 1) {
        opened(stream);
        /* what came together with the last flight */
        if (stream->state == STREAM_OPEN && stream->reading && tls_pending(stream))
            stream_poke(stream);
        return;
    }
    if (!tls_again(stream, result, false))
        fail(stream, "TLS handshake", errno);
}

/* ---- events ---- */

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct stream *stream = argument;

    (void)fd;
    (void)what;
    assert(stream->magic == STREAM_MAGIC);
    switch (stream->state) {
    case STREAM_BROKEN:
        stream->callback(stream, STREAM_FAILED, stream->argument);
        return;
    case STREAM_HANDSHAKE:
        handshake(stream);
        return;
    case STREAM_OPEN:
        break;
    }
    if (stream->write_wants_read && flush(stream))
        stream->callback(stream, STREAM_WRITTEN, stream->argument);
    if (stream->reading || stream->state == STREAM_BROKEN)
        stream->callback(
            stream, stream->state == STREAM_BROKEN ? STREAM_FAILED : STREAM_READABLE, stream->argument);
    else
        stream->poke_owed = true;
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct stream *stream = argument;

    (void)fd;
    (void)what;
    assert(stream->magic == STREAM_MAGIC);
    if (stream->state == STREAM_HANDSHAKE) {
        if (send_unsent(stream))
            handshake(stream);
    } else if (stream->state == STREAM_OPEN && flush(stream))
        stream->callback(stream, STREAM_WRITTEN, stream->argument);
}

/* ---- life ---- */

struct stream *stream_new(
    struct event_base *base, int fd, SSL *ssl, stream_callback *callback, void *argument)
{
    struct stream *stream = memory_calloc(1, sizeof(*stream));

    stream->magic = STREAM_MAGIC;
    stream->fd = fd;
    stream->ssl = ssl;
    stream->callback = callback;
    stream->argument = argument;
    stream->reading = true;
    stream->state = ssl != NULL ? STREAM_HANDSHAKE : STREAM_OPEN;
    event_assign(&stream->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, stream);
    event_assign(&stream->poke_event, base, -1, 0, on_readable, stream);
    event_assign(&stream->write_event, base, fd, EV_WRITE, on_writable, stream);
    stream->source.fd = fd;
    if (ssl != NULL) {
        BIO *bio = stream_source_bio(&stream->source);

        if (bio == NULL)
            memory_exhausted();
        SSL_set_bio(ssl, bio, bio);
        stream_source_watch(&stream->source, ssl);
    }
    event_add(&stream->read_event, NULL);
    if (ssl != NULL && !SSL_is_server(ssl))
        stream_poke(stream); /* the client speaks first */
    return stream;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    assert(stream->magic == STREAM_MAGIC);
    stream->magic = 0;
    event_del(&stream->poke_event);
    event_del(&stream->read_event);
    event_del(&stream->write_event);
    if (stream->ssl != NULL) {
        /* A session that was not torn down by an error stays good for resumption. */
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(stream->ssl);
    }
    if (stream->fd >= 0)
        close(stream->fd);
    stream_source_free(&stream->source);
    buffer_release(&stream->queue);
    free(stream->error);
    free(stream);
}

bool stream_is_open(const struct stream *stream)
{
    return stream->state == STREAM_OPEN;
}

uint64_t stream_stalled_since(const struct stream *stream)
{
    return stream->stalled_since;
}

const char *stream_error(const struct stream *stream)
{
    return stream->error == NULL ? "" : stream->error;
}

bool stream_certificate_rejected(const struct stream *stream)
{
    return stream->certificate_rejected;
}

SSL *stream_ssl(const struct stream *stream)
{
    return stream->ssl;
}

int stream_fd(const struct stream *stream)
{
    return stream->fd;
}

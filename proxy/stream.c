/* SPDX-License-Identifier: Apache-2.0 */
/* Streams on libevent events: plain and TLS. Used by conn.c for both sides of a connection. Owns the socket,
 * its opening, what is read and the end; what is written is in stream_write.c, and who has a turn when no
 * socket says so in stream_turns.c.
 *
 * One recv(2) brings many TLS records (stream_source.h), so bytes can wait below OpenSSL while the socket is
 * silent. So reading is resumed by stream_poke(), not by the socket alone. */
#include "proxy/stream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/stream_internal.h"

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

static void leave_handshake(struct stream *stream, enum stream_state state)
{
    if (stream->state == STREAM_HANDSHAKE)
        stream_turns_count(stream->turns, false);
    stream->state = (uint8_t)state;
}

void stream_fail(struct stream *stream, const char *what, int error)
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
    leave_handshake(stream, STREAM_BROKEN);
    buffer_release(&stream->queue);
    stream->stalled_since = 0;
    if (stream->write_event != NULL)
        event_del(stream->write_event);
    event_del(&stream->read_event);
    stream_poke(stream);
}

bool stream_tls_again(struct stream *stream, int result, bool writing)
{
    int error = SSL_get_error(stream->ssl, result);

    if (error == SSL_ERROR_WANT_READ) {
        if (writing)
            stream->write_wants_read = true;
        return true;
    }
    return false;
}

/* ---- reading ---- */

/* Bytes wait that no event of the socket will tell of. */
static bool tls_pending(const struct stream *stream)
{
    return stream->source->raw.length > 0 || SSL_has_pending(stream->ssl);
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
    stream_fail(stream, "recv", errno);
    return STREAM_ERROR;
}

static ssize_t read_records(struct stream *stream, uint8_t *out, size_t size)
{
    size_t total = 0;

    stream_forget_errors();
    stream_source_begin(stream->source);
    while (total < size) {
        size_t got = 0;
        int result = SSL_read_ex(stream->ssl, out + total, size - total, &got);

        if (result == 1) {
            total += got;
            stream_source_fruitful(stream->source);
            if (stream->source->drained && !tls_pending(stream))
                break; /* the socket tells when there is more: one recv(2) less */
            continue;
        }
        if (stream_tls_again(stream, result, false)) {
            if (stream->source->stopped) {
                stream_fail(stream, "TLS: a flood of records without data", EPROTO);
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
        stream_fail(stream, "TLS read", errno);
        return STREAM_ERROR;
    }
    return (ssize_t)total;
}

/* After OpenSSL was called to read: what is left over, and what it wrote in answer and the socket had no room
 * for. */
static void settle(struct stream *stream)
{
    stream_source_settle(stream->source);
    if (stream_unsent(stream) == 0 || stream->state == STREAM_BROKEN)
        return;
    if (stream->stalled_since == 0)
        stream->stalled_since = clock_monotonic_ms();
    stream_await_room(stream);
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
    stream_turns_add(stream);
}

void stream_set_reading(struct stream *stream, bool reading)
{
    if (stream->reading == reading || stream->state == STREAM_BROKEN)
        return;
    stream->reading = reading;
    if (stream->state != STREAM_OPEN)
        return;
    if (!reading)
        return; /* the socket is asked until it has something (on_readable()): mostly it has nothing */
    event_add(&stream->read_event, NULL);
    if (stream->poke_owed || (stream->ssl != NULL && tls_pending(stream)))
        stream_poke(stream);
    stream->poke_owed = false;
}

/* ---- opening ---- */

/* OpenSSL keeps what the keys were agreed on with as long as the connection. They are used no more, so their
 * secrets are wiped now, and some hundred bytes are given back. */
static void forget_shares(SSL *ssl)
{
    EVP_PKEY *shares[2] = {NULL, NULL};

    SSL_get_tmp_key(ssl, &shares[0]);
    SSL_get_peer_tmp_key(ssl, &shares[1]);
    for (size_t i = 0; i < 2; i++) {
        if (shares[i] != NULL)
            EVP_PKEY_set_type(shares[i], EVP_PKEY_get_id(shares[i])); /* clears what it holds */
        EVP_PKEY_free(shares[i]);
    }
    ERR_clear_error();
}

static void opened(struct stream *stream)
{
    leave_handshake(stream, STREAM_OPEN);
    forget_shares(stream->ssl);
    if (stream->reading)
        event_add(&stream->read_event, NULL);
    if (stream_queued(stream) > 0)
        stream_flush(stream);
    else {
        stream->stalled_since = 0; /* a long flight may have waited for room */
        stream_finish_shutdown(stream);
    }
    stream->callback(stream, STREAM_OPENED, stream->argument);
}

void stream_abandon(struct stream *stream)
{
    if (stream->state != STREAM_HANDSHAKE)
        return;
    stream->shut = true;
    buffer_release(&stream->queue);
    stream_turns_remove(stream);
    event_del(&stream->read_event);
    if (stream->write_event != NULL)
        event_del(stream->write_event);
}

static void handshake(struct stream *stream)
{
    int result;

    ERR_clear_error();
    errno = 0;
    stream_source_begin(stream->source);
    result = SSL_do_handshake(stream->ssl);
    settle(stream);
    if (result == 1) {
        opened(stream);
        /* what came together with the last flight */
        if (stream->state == STREAM_OPEN && stream->reading && tls_pending(stream))
            stream_poke(stream);
        return;
    }
    if (stream_tls_again(stream, result, false))
        event_add(&stream->read_event, NULL);
    else
        stream_fail(stream, "TLS handshake", errno);
}

/* ---- events ---- */

void stream_take_turn(struct stream *stream)
{
    assert(stream->magic == STREAM_MAGIC);
    switch ((enum stream_state)stream->state) {
    case STREAM_BROKEN:
        stream->callback(stream, STREAM_FAILED, stream->argument);
        return;
    case STREAM_HANDSHAKE:
        handshake(stream);
        return;
    case STREAM_OPEN:
        break;
    }
    if (stream->write_wants_read && stream_flush(stream))
        stream->callback(stream, STREAM_WRITTEN, stream->argument);
    if (stream->reading || stream->state == STREAM_BROKEN)
        stream->callback(
            stream, stream->state == STREAM_BROKEN ? STREAM_FAILED : STREAM_READABLE, stream->argument);
    else
        stream->poke_owed = true;
}

/* A handshake that can go on waits for its turn. To stop asking a socket and to begin again are two system
 * calls: it is done for what nobody reads, and for handshakes whose turn takes longer than one of the loop.
 */
static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct stream *stream = argument;

    (void)fd, (void)what;
    assert(stream->magic == STREAM_MAGIC);
    if (stream->state == STREAM_OPEN && !stream->reading)
        event_del(&stream->read_event);
    else if (stream->state != STREAM_HANDSHAKE)
        stream_take_turn(stream);
    else if (stream_turns_has_waited(stream))
        event_del(&stream->read_event);
    else
        stream_turns_add(stream);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
    struct stream *stream = argument;

    (void)fd, (void)what;
    assert(stream->magic == STREAM_MAGIC);
    if (stream->state == STREAM_HANDSHAKE) {
        if (stream_send_unsent(stream))
            stream_turns_add(stream);
    } else if (stream->state == STREAM_OPEN && stream_flush(stream))
        stream->callback(stream, STREAM_WRITTEN, stream->argument);
}

void stream_await_room(struct stream *stream)
{
    if (stream->write_event == NULL) {
        stream->write_event =
            event_new(stream_turns_base(stream->turns), stream->fd, EV_WRITE, on_writable, stream);
        if (stream->write_event == NULL)
            memory_exhausted();
    }
    event_add(stream->write_event, NULL);
}

/* ---- life ---- */

static void open_source(struct stream *stream)
{
    BIO *bio;

    stream->source = (struct stream_source *)(void *)(stream + 1);
    stream->source->fd = stream->fd;
    bio = stream_source_bio(stream->source);
    if (bio == NULL)
        memory_exhausted();
    SSL_set_bio(stream->ssl, bio, bio);
    stream_source_watch(stream->source, stream->ssl);
}

struct stream *stream_new(
    struct stream_turns *turns, int fd, SSL *ssl, stream_callback *callback, void *argument)
{
    struct stream *stream =
        memory_calloc(1, sizeof(*stream) + (ssl == NULL ? 0 : sizeof(struct stream_source)));

    stream->magic = STREAM_MAGIC;
    stream->fd = fd;
    stream->ssl = ssl;
    stream->callback = callback;
    stream->argument = argument;
    stream->turns = turns;
    stream->reading = true;
    stream->state = ssl != NULL ? STREAM_HANDSHAKE : STREAM_OPEN;
    event_assign(
        &stream->read_event, stream_turns_base(turns), fd, EV_READ | EV_PERSIST, on_readable, stream);
    if (ssl != NULL) {
        stream_turns_count(turns, true);
        open_source(stream);
    }
    if (ssl != NULL && !SSL_is_server(ssl))
        stream_turns_add(stream); /* the client speaks first */
    else
        event_add(&stream->read_event, NULL);
    return stream;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    assert(stream->magic == STREAM_MAGIC);
    stream->magic = 0;
    leave_handshake(stream, STREAM_BROKEN);
    stream_turns_remove(stream);
    event_del(&stream->read_event);
    if (stream->write_event != NULL)
        event_free(stream->write_event);
    if (stream->ssl != NULL) {
        /* A session that was not torn down by an error stays good for resumption. */
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(stream->ssl);
    }
    if (stream->fd >= 0)
        close(stream->fd);
    if (stream->source != NULL)
        stream_source_free(stream->source);
    buffer_release(&stream->queue);
    free(stream->error);
    free(stream);
}

bool stream_is_open(const struct stream *stream)
{
    return stream->state == STREAM_OPEN;
}

bool stream_peer_has_left(const struct stream *stream)
{
    struct pollfd socket = {.fd = stream->fd, .events = POLLRDHUP};

    return stream->state == STREAM_BROKEN ||
           (poll(&socket, 1, 0) == 1 && (socket.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0);
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

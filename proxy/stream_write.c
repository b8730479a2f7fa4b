/* SPDX-License-Identifier: Apache-2.0 */
/* What a stream writes: its queue, TLS records that the socket had no room for, and the end. Called by conn.c
 * through stream.h, and by stream.c. */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "proxy/stream_internal.h"

/* Bytes taken (0: none for now), or -1 after stream_fail(). A peer that has left takes everything: what it
 * sent before, perhaps the DISCONNECT that its will depends on, is still to be read, and reading finds the
 * end. */
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
        stream_fail(stream, "send", errno);
        return -1;
    }
    stream_forget_errors();
    stream->write_wants_read = false;
    while (taken < bytes.length && stream_unsent(stream) == 0) {
        size_t written = 0;
        int result = SSL_write_ex(stream->ssl, bytes.data + taken, bytes.length - taken, &written);

        if (result != 1) {
            if (stream_tls_again(stream, result, true))
                break;
            stream_fail(stream, "TLS write", errno);
            return -1;
        }
        taken += written;
    }
    if (stream->source->peer_left)
        stream_poke(stream);
    return (ssize_t)taken;
}

void stream_finish_shutdown(struct stream *stream)
{
    if (!stream->shut || stream->shut_done || stream->state != STREAM_OPEN || stream_queued(stream) > 0)
        return;
    if (stream->ssl != NULL && !stream->notified) {
        stream->notified = true;
        ERR_clear_error();
        SSL_shutdown(stream->ssl); /* our close_notify; the peer's is not waited for */
        ERR_clear_error();
        if (stream_unsent(stream) > 0) {
            stream_await_room(stream);
            return;
        }
    }
    stream->shut_done = true;
    shutdown(stream->fd, SHUT_WR);
}

bool stream_send_unsent(struct stream *stream)
{
    int sent = stream->source == NULL ? 0 : stream_source_send(stream->source);

    if (sent < 0)
        stream_fail(stream, "send", errno);
    if (stream->source != NULL && stream->source->peer_left)
        stream_poke(stream);
    return sent > 0;
}

bool stream_flush(struct stream *stream)
{
    bool moved = stream_send_unsent(stream);

    while (buffer_length(&stream->queue) > 0 && stream_unsent(stream) == 0) {
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
        stream_finish_shutdown(stream);
        return moved;
    }
    if (moved || stream->stalled_since == 0)
        stream->stalled_since = clock_monotonic_ms();
    stream_await_room(stream);
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
        stream_flush(stream);
}

size_t stream_queued(const struct stream *stream)
{
    return buffer_length(&stream->queue) + stream_unsent(stream);
}

void stream_shutdown(struct stream *stream)
{
    stream->shut = true;
    if (stream->state == STREAM_OPEN)
        stream_finish_shutdown(stream);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A stream: one non-blocking socket, plain or TLS, behind one narrow interface. It owns the socket and the
 * bytes that the peer has not taken yet; it never calls back while the caller is inside one of its functions.
 */
#ifndef MQWARD_PROXY_STREAM_H
#define MQWARD_PROXY_STREAM_H

#include <openssl/types.h>
#include <sys/types.h>

#include "base/view.h"

struct stream;
struct stream_turns;

enum stream_event {
    STREAM_OPENED,   /* the TLS handshake is done */
    STREAM_READABLE, /* stream_read() may find something */
    STREAM_WRITTEN,  /* all of the queue, or a part of it, was taken */
    STREAM_FAILED    /* stream_error() says why; nothing more comes */
};
typedef void stream_callback(struct stream *stream, enum stream_event event, void *argument);

/* fd: connected, non-blocking; owned from now on. ssl: NULL for plain (the stream is open at once, without
 * STREAM_OPENED), else owned; its role is set. Reading is on. turns: of its thread (stream_turns.h). */
struct stream *stream_new(
    struct stream_turns *turns, int fd, SSL *ssl, stream_callback *callback, void *argument);
/* Closes at once; queued bytes are lost. Not from within its own callback (see worker_reap). NULL is fine. */
void stream_free(struct stream *stream);

enum { STREAM_AGAIN = 0, STREAM_END = -1, STREAM_ERROR = -2 };
/* Reads what is there into out, many TLS records at once: bytes, STREAM_AGAIN, STREAM_END (orderly end of the
 * peer's bytes) or STREAM_ERROR. */
ssize_t stream_read(struct stream *stream, uint8_t *out, size_t size);
/* Appends to the queue; nothing is written yet. */
void stream_queue(struct stream *stream, struct view bytes);
/* Writes the queue and then bytes as far as the peer takes them; the rest is queued. Errors show as
 * STREAM_FAILED. */
void stream_write(struct stream *stream, struct view bytes);
size_t stream_queued(const struct stream *stream);

/* Whether STREAM_READABLE is wanted. On: also called when bytes wait inside TLS. */
void stream_set_reading(struct stream *stream, bool reading);
/* STREAM_READABLE once more in the loop's next turn, although the socket may be silent (bytes were left for
 * fairness), and behind those whose sockets are not. */
void stream_poke(struct stream *stream);
/* After the queue: TLS close_notify and the end of our bytes. */
void stream_shutdown(struct stream *stream);

/* A stream whose handshake is not done never opens: what is queued is dropped, and the handshake rests. Of
 * another one nothing changes. */
void stream_abandon(struct stream *stream);

bool stream_is_open(const struct stream *stream);
/* The peer has ended its bytes, or the connection: also where what it sent before was not read yet. */
bool stream_peer_has_left(const struct stream *stream);
/* Monotonic milliseconds since which the queue is not empty and the peer has taken nothing; 0: no such time.
 */
uint64_t stream_stalled_since(const struct stream *stream);
/* A sentence about the failure; empty if there was none. */
const char *stream_error(const struct stream *stream);
/* The failure was our refusal of the peer's certificate. */
bool stream_certificate_rejected(const struct stream *stream);
SSL *stream_ssl(const struct stream *stream);
int stream_fd(const struct stream *stream);

#endif

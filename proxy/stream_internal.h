/* SPDX-License-Identifier: Apache-2.0 */
/* Between stream.c (opening, reading, events, life), stream_write.c and stream_turns.c. */
#ifndef MQWARD_PROXY_STREAM_INTERNAL_H
#define MQWARD_PROXY_STREAM_INTERNAL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>

#include "base/buffer.h"
#include "proxy/stream.h"
#include "proxy/stream_source.h"
#include "proxy/stream_turns.h"

#define STREAM_MAGIC 0x57e4a301u

enum stream_state { STREAM_HANDSHAKE, STREAM_OPEN, STREAM_BROKEN };

/* A place in one of the rows of stream_turns.c; of none: both NULL. */
struct stream_place {
    struct stream_place *previous, *next;
};

enum stream_row {
    STREAM_ROW_POKES,
    STREAM_ROW_BEGUN, /* handshakes of which a step was done */
    STREAM_ROW_NEW,
    STREAM_ROWS
};

/* An idle connection has two of these, and there are many: what only some need is allocated when they do. */
struct stream {
    uint32_t magic;
    int fd;
    uint8_t state;         /* enum stream_state */
    bool reading;          /* the owner wants STREAM_READABLE */
    bool poke_owed;        /* one came while reading was off: an end or an error may wait inside TLS */
    bool write_wants_read; /* TLS must read before it can go on writing */
    bool shut;             /* stream_shutdown() was called */
    bool notified;         /* close_notify was written */
    bool shut_done;
    bool certificate_rejected;
    SSL *ssl;
    struct stream_source *source; /* the bytes below TLS, in the same allocation; NULL: plain */
    stream_callback *callback;
    void *argument;
    struct buffer queue;
    uint64_t stalled_since;
    struct stream_turns *turns;
    struct stream_place place;
    uint32_t turn;             /* of the loop, in which it got its place */
    uint8_t row;               /* enum stream_row: where place is */
    bool begun;                /* a step of its handshake was done */
    struct event *write_event; /* NULL: it never had to wait for room */
    char *error;
    struct event read_event;
};

/* Marks the stream broken; the owner hears of it in the loop's next turn. */
void stream_fail(struct stream *stream, const char *what, int error);
/* So that what SSL_get_error() says is about the next call. There hardly ever is an error; a look is cheaper
 * than to go over all places for one. */
static inline void stream_forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}
/* What an SSL call that moved nothing wants: true if it is only to wait. */
bool stream_tls_again(struct stream *stream, int result, bool writing);

/* ---- stream_write.c ---- */
/* STREAM_WRITTEN, or the handshake goes on, once the socket has room. */
void stream_await_room(struct stream *stream);
/* Sends what TLS has made and the socket had no room for; true if some of it went. */
bool stream_send_unsent(struct stream *stream);
/* Writes from the queue; true if something moved. */
bool stream_flush(struct stream *stream);
/* The end of our bytes, if it is asked for and everything before it is written. */
void stream_finish_shutdown(struct stream *stream);

static inline size_t stream_unsent(const struct stream *stream)
{
    return stream->source == NULL ? 0 : buffer_length(&stream->source->unsent);
}

/* ---- stream.c, for stream_turns.c ---- */
/* Its turn, as if its socket had become readable. */
void stream_take_turn(struct stream *stream);

/* ---- stream_turns.c ---- */
struct event_base *stream_turns_base(const struct stream_turns *turns);
/* The stream has a turn in the next turn of the loop, behind those whose sockets have something; in
 * STREAM_HANDSHAKE as soon as the others before it had theirs. */
void stream_turns_add(struct stream *stream);
void stream_turns_remove(struct stream *stream);
/* It waits for its turn, and others have had theirs since it does. */
bool stream_turns_has_waited(const struct stream *stream);
/* A handshake begins to be waited for, or is not any more. */
void stream_turns_count(struct stream_turns *turns, bool begins);

#endif

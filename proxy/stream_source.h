/* SPDX-License-Identifier: Apache-2.0 */
/* What OpenSSL reads from: a socket, with one recv(2) for many records. OpenSSL's own read-ahead moves all
 * that it holds for each record; here nothing moves: records are taken one behind the other from a buffer
 * that all streams of a thread share, and a stream owns bytes only between two turns, if any are left. */
#ifndef MQWARD_PROXY_STREAM_SOURCE_H
#define MQWARD_PROXY_STREAM_SOURCE_H

#include <openssl/types.h>

#include "base/buffer.h"

struct stream_source {
    int fd;               /* the stream's; not closed here */
    struct view raw;      /* received and not yet taken by OpenSSL: in the thread's buffer, or in kept */
    struct buffer kept;   /* what was left of an earlier turn */
    struct buffer unsent; /* records that the socket has not taken yet; bounded */
    size_t budget;        /* bytes that recv(2) may still bring in this turn */
    unsigned barren;      /* records of this turn that brought no data */
    bool stopped;         /* there were too many of them: OpenSSL gets no more */
    bool drained;         /* the last recv(2) brought less than there was room for */
    bool ended;           /* the end of the peer's bytes was seen */
    bool peer_left;       /* it takes nothing any more; what is written is thrown away */
};

/* A BIO that reads and writes the source's socket. Owned by the caller (usually by its SSL); the source
 * outlives it. NULL: out of memory. */
BIO *stream_source_bio(struct stream_source *source);
/* SSL_read() comes back for data only: a peer that sends KeyUpdate, or the renegotiations of 1.2, without an
 * end would keep the thread inside it. So the records of a finished handshake are counted. */
void stream_source_watch(struct stream_source *source, SSL *ssl);
/* A turn of reads begins: so many bytes of the socket and no more, so many records without data and no more;
 * then the socket is as if it were silent. */
void stream_source_begin(struct stream_source *source);
void stream_source_fruitful(struct stream_source *source); /* a record brought data */
/* After every call of OpenSSL that may have read: takes what is left out of the thread's buffer. */
void stream_source_settle(struct stream_source *source);
/* Sends what is unsent: 1 if the socket took some of it, 0 if none (or there is none), -1 (errno). */
int stream_source_send(struct stream_source *source);
/* errno says so after send(2). */
bool stream_source_peer_left(void);
void stream_source_free(struct stream_source *source);

#endif

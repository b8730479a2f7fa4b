/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a connection under test: a stream, what it received, and what it was told. */
#ifndef MQWARD_TESTS_UNIT_PROXY_END_H
#define MQWARD_TESTS_UNIT_PROXY_END_H

#include <openssl/types.h>

#include "base/buffer.h"
#include "proxy/stream.h"

struct event_base;
struct stream_turns;

struct end {
    struct stream_turns *turns; /* its own */
    struct stream *stream;
    struct buffer received;
    size_t portion; /* bytes of one read; 0: 64 KiB */
    bool once;      /* stop reading after one read: stream_set_reading(false) */
    bool ended;     /* STREAM_END was seen */
    unsigned opened, readable, written, failed;
};

/* Two connected sockets, non-blocking, with small buffers. */
void end_sockets(int fds[2]);
void end_open(struct end *end, struct event_base *base, int fd, SSL *ssl);
void end_close(struct end *end);
/* Turns the loop until *condition holds; fails the test after five seconds. */
void end_wait(struct event_base *base, bool (*holds)(void *argument), void *argument, const char *what);
#define END_WAIT(base, argument, condition) end_wait(base, condition, argument, #condition)
/* Turns the loop for so long, whatever happens. */
void end_turn(struct event_base *base, unsigned ms);
/* size bytes, each position different from its neighbours, and the check of what arrived. */
struct buffer end_pattern(size_t size);
bool end_same(const struct buffer *a, const struct buffer *b);

#endif

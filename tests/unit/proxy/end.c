/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of connections for the tests of streams. */
#include "end.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "proxy/stream_turns.h"

void end_sockets(int fds[2])
{
    int size = 16 * 1024;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static void take(struct end *end)
{
    static uint8_t bytes[64 * 1024];
    size_t portion = end->portion == 0 ? sizeof(bytes) : end->portion;
    ssize_t got = stream_read(end->stream, bytes, portion);

    if (got > 0)
        buffer_append(&end->received, view_of(bytes, (size_t)got));
    if (got == STREAM_END) {
        end->ended = true;
        stream_set_reading(end->stream, false);
    }
    if (end->once)
        stream_set_reading(end->stream, false);
    else if (got == (ssize_t)portion)
        stream_poke(end->stream);
}

static void on_event(struct stream *stream, enum stream_event event, void *argument)
{
    struct end *end = argument;

    cr_assert_eq(stream, end->stream);
    cr_assert_eq(end->failed, 0, "an event behind STREAM_FAILED");
    end->opened += event == STREAM_OPENED;
    end->readable += event == STREAM_READABLE;
    end->written += event == STREAM_WRITTEN;
    end->failed += event == STREAM_FAILED;
    if (event == STREAM_READABLE)
        take(end);
}

void end_open(struct end *end, struct event_base *base, int fd, SSL *ssl)
{
    end->turns = stream_turns_new(base);
    end->stream = stream_new(end->turns, fd, ssl, on_event, end);
}

void end_close(struct end *end)
{
    stream_free(end->stream);
    stream_turns_free(end->turns);
    end->stream = NULL;
    end->turns = NULL;
    buffer_release(&end->received);
}

static void turn(struct event_base *base)
{
    const struct timeval soon = {0, 5000};

    event_base_loopexit(base, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

void end_wait(struct event_base *base, bool (*holds)(void *argument), void *argument, const char *what)
{
    uint64_t deadline = clock_monotonic_ms() + 60000;

    while (!holds(argument)) {
        cr_assert_lt(clock_monotonic_ms(), deadline, "in vain: %s", what);
        turn(base);
    }
}

void end_turn(struct event_base *base, unsigned ms)
{
    uint64_t deadline = clock_monotonic_ms() + ms;

    do
        turn(base);
    while (clock_monotonic_ms() < deadline);
}

struct buffer end_pattern(size_t size)
{
    struct buffer pattern = {0};

    for (size_t i = 0; i < size; i++)
        buffer_append_byte(&pattern, (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16)));
    return pattern;
}

bool end_same(const struct buffer *a, const struct buffer *b)
{
    return view_equal(buffer_view(a), buffer_view(b));
}

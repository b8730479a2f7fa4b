/* SPDX-License-Identifier: Apache-2.0 */
/* Plain streams: order, back-pressure, pauses, ends and failures. */
#include "proxy/stream.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "end.h"

#define LARGE ((size_t)3 << 20)

struct pair {
    struct event_base *base;
    struct end a, b;
    int peer; /* the bare socket, where only a is a stream */
    struct buffer pattern;
};

static void set_up(struct pair *pair, bool streams)
{
    int fds[2];

    *pair = (struct pair){.base = event_base_new(), .peer = -1};
    end_sockets(fds);
    end_open(&pair->a, pair->base, fds[0], NULL);
    if (streams)
        end_open(&pair->b, pair->base, fds[1], NULL);
    else
        pair->peer = fds[1];
}

static void tear_down(struct pair *pair)
{
    end_close(&pair->a);
    end_close(&pair->b);
    if (pair->peer >= 0)
        close(pair->peer);
    buffer_release(&pair->pattern);
    event_base_free(pair->base);
}

static bool all_arrived(void *argument)
{
    const struct pair *pair = argument;

    return buffer_length(&pair->b.received) >= buffer_length(&pair->pattern);
}

static bool b_ended(void *argument)
{
    return ((struct pair *)argument)->b.ended;
}

static bool a_failed(void *argument)
{
    return ((struct pair *)argument)->a.failed > 0;
}

static bool a_read_something(void *argument)
{
    return buffer_length(&((struct pair *)argument)->a.received) > 0;
}

static bool nothing_queued(void *argument)
{
    return stream_queued(((struct pair *)argument)->a.stream) == 0;
}

Test(stream, a_plain_stream_is_open_at_once)
{
    struct pair pair;

    set_up(&pair, true);
    cr_expect(stream_is_open(pair.a.stream));
    end_turn(pair.base, 10);
    cr_expect_eq(pair.a.opened, 0);
    cr_expect_eq(pair.a.readable, 0);
    cr_expect_str_eq(stream_error(pair.a.stream), "");
    tear_down(&pair);
}

Test(stream, a_large_write_arrives_whole_and_in_order)
{
    struct pair pair;

    set_up(&pair, true);
    pair.pattern = end_pattern(LARGE);
    pair.b.portion = 1000;
    stream_write(pair.a.stream, buffer_view(&pair.pattern));
    cr_expect_gt(stream_queued(pair.a.stream), LARGE / 2, "a socket that takes everything tests nothing");
    END_WAIT(pair.base, &pair, all_arrived);
    cr_expect(end_same(&pair.b.received, &pair.pattern));
    END_WAIT(pair.base, &pair, nothing_queued);
    cr_expect_gt(pair.a.written, 0);
    tear_down(&pair);
}

Test(stream, many_small_writes_behind_a_queue_keep_their_order)
{
    struct pair pair;

    set_up(&pair, true);
    pair.pattern = end_pattern(400000);
    for (size_t at = 0, step = 1; at < 400000; at += step, step = step % 997 + 1) {
        struct view rest = view_skip(buffer_view(&pair.pattern), at);

        step = step < rest.length ? step : rest.length;
        if (step % 3 == 0)
            stream_queue(pair.a.stream, view_of(rest.data, step));
        else
            stream_write(pair.a.stream, view_of(rest.data, step));
    }
    stream_write(pair.a.stream, view_of(NULL, 0));
    END_WAIT(pair.base, &pair, all_arrived);
    cr_expect(end_same(&pair.b.received, &pair.pattern));
    tear_down(&pair);
}

Test(stream, queued_bytes_wait_for_the_next_write)
{
    struct pair pair;

    set_up(&pair, true);
    pair.pattern = end_pattern(6);
    stream_queue(pair.a.stream, view_of(pair.pattern.data, 3));
    end_turn(pair.base, 20);
    cr_expect_eq(buffer_length(&pair.b.received), 0);
    cr_expect_eq(stream_queued(pair.a.stream), 3);
    stream_write(pair.a.stream, view_of(pair.pattern.data + 3, 3));
    END_WAIT(pair.base, &pair, all_arrived);
    cr_expect(end_same(&pair.b.received, &pair.pattern));
    tear_down(&pair);
}

/* Takes up to size bytes out of the bare socket. */
static size_t drain(const struct pair *pair, size_t size)
{
    static uint8_t bytes[4096];
    size_t taken = 0;

    while (taken < size) {
        ssize_t got = recv(pair->peer, bytes, sizeof(bytes), 0);

        if (got <= 0)
            break;
        taken += (size_t)got;
    }
    return taken;
}

Test(stream, a_peer_that_takes_nothing_is_seen_and_forgiven_when_it_does)
{
    struct pair pair;
    uint64_t since;
    size_t left = LARGE;

    set_up(&pair, false);
    pair.pattern = end_pattern(LARGE);
    cr_expect_eq(stream_stalled_since(pair.a.stream), 0);
    stream_write(pair.a.stream, buffer_view(&pair.pattern));
    since = stream_stalled_since(pair.a.stream);
    cr_expect(since != 0 && since <= clock_monotonic_ms());
    end_turn(pair.base, 30);
    cr_expect_eq(stream_stalled_since(pair.a.stream), since, "the time starts when the peer stops");
    left -= drain(&pair, 64 * 1024);
    end_turn(pair.base, 30);
    cr_expect_gt(stream_stalled_since(pair.a.stream), since, "a peer that takes something starts anew");
    while (stream_queued(pair.a.stream) > 0) {
        left -= drain(&pair, LARGE);
        end_turn(pair.base, 1);
    }
    left -= drain(&pair, LARGE);
    cr_expect_eq(left, 0);
    cr_expect_eq(stream_stalled_since(pair.a.stream), 0);
    tear_down(&pair);
}

Test(stream, a_paused_stream_says_nothing_until_it_is_resumed)
{
    struct pair pair;

    set_up(&pair, false);
    stream_set_reading(pair.a.stream, false);
    cr_assert_eq(send(pair.peer, "hello", 5, 0), 5);
    end_turn(pair.base, 30);
    cr_expect_eq(pair.a.readable, 0);
    stream_poke(pair.a.stream);
    end_turn(pair.base, 10);
    cr_expect_eq(pair.a.readable, 0, "a poke does not undo a pause");
    stream_set_reading(pair.a.stream, true);
    END_WAIT(pair.base, &pair, a_read_something);
    cr_expect(view_equal(buffer_view(&pair.a.received), VIEW("hello")));
    tear_down(&pair);
}

Test(stream, a_poke_reads_once_more_although_the_socket_is_silent)
{
    struct pair pair;

    set_up(&pair, false);
    stream_poke(pair.a.stream);
    cr_expect_eq(pair.a.readable, 0, "not from within the call");
    end_turn(pair.base, 10);
    cr_expect_eq(pair.a.readable, 1);
    tear_down(&pair);
}

Test(stream, shutdown_comes_behind_the_queue)
{
    struct pair pair;

    set_up(&pair, true);
    pair.pattern = end_pattern(LARGE);
    stream_write(pair.a.stream, buffer_view(&pair.pattern));
    stream_shutdown(pair.a.stream);
    stream_write(pair.a.stream, VIEW("nothing goes behind the end"));
    END_WAIT(pair.base, &pair, b_ended);
    cr_expect(end_same(&pair.b.received, &pair.pattern));
    /* the other direction is still open */
    stream_write(pair.b.stream, VIEW("answer"));
    END_WAIT(pair.base, &pair, a_read_something);
    cr_expect(view_equal(buffer_view(&pair.a.received), VIEW("answer")));
    tear_down(&pair);
}

Test(stream, the_end_of_the_peer_is_an_end_and_no_failure)
{
    struct pair pair;

    set_up(&pair, true);
    stream_shutdown(pair.a.stream);
    END_WAIT(pair.base, &pair, b_ended);
    cr_expect_eq(pair.b.failed, 0);
    cr_expect(stream_is_open(pair.b.stream));
    tear_down(&pair);
}

Test(stream, a_peer_that_is_gone_fails_once_and_with_a_sentence)
{
    struct pair pair;
    uint8_t byte;

    set_up(&pair, false);
    pair.pattern = end_pattern(LARGE);
    stream_write(pair.a.stream, buffer_view(&pair.pattern));
    close(pair.peer);
    pair.peer = -1;
    END_WAIT(pair.base, &pair, a_failed);
    cr_expect_not(stream_is_open(pair.a.stream));
    cr_expect_str_neq(stream_error(pair.a.stream), "");
    cr_expect_eq(stream_queued(pair.a.stream), 0, "nobody takes the queue any more");
    cr_expect_eq(stream_stalled_since(pair.a.stream), 0);
    cr_expect_eq(stream_read(pair.a.stream, &byte, 1), STREAM_ERROR);
    stream_write(pair.a.stream, VIEW("x"));
    stream_set_reading(pair.a.stream, false);
    stream_set_reading(pair.a.stream, true);
    stream_shutdown(pair.a.stream);
    end_turn(pair.base, 20);
    cr_expect_eq(pair.a.failed, 1);
    tear_down(&pair);
}

static bool a_ended_or_failed(void *argument)
{
    const struct pair *pair = argument;

    return pair->a.ended || pair->a.failed > 0;
}

/* A DISCONNECT that the peer sent before it left decides about its will. */
Test(stream, what_a_peer_said_before_it_left_is_read_although_it_takes_nothing_any_more)
{
    struct pair pair;

    set_up(&pair, false);
    stream_set_reading(pair.a.stream, false);
    stream_write(pair.a.stream, VIEW("never read"));
    cr_assert_eq(send(pair.peer, "bye", 3, 0), 3);
    close(pair.peer); /* with bytes unread: a reset */
    pair.peer = -1;
    for (int i = 0; i < 3; i++) {
        stream_write(pair.a.stream, VIEW("x"));
        end_turn(pair.base, 5);
    }
    cr_expect_eq(stream_queued(pair.a.stream), 0, "what it does not take is not kept");
    cr_expect_eq(pair.a.failed, 0);
    stream_set_reading(pair.a.stream, true);
    END_WAIT(pair.base, &pair, a_ended_or_failed);
    cr_expect_eq(buffer_length(&pair.a.received), 3);
    tear_down(&pair);
}

Test(stream, freeing_with_everything_under_way_is_fine)
{
    struct pair pair;

    set_up(&pair, true);
    pair.pattern = end_pattern(LARGE);
    stream_write(pair.a.stream, buffer_view(&pair.pattern));
    stream_poke(pair.a.stream);
    stream_free(NULL);
    tear_down(&pair);
}

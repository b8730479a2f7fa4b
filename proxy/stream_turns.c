/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of streams that wait for a turn of the loop. Called by stream.c; one for each worker. */
#include "proxy/stream_turns.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/stream_internal.h"

struct stream_turns {
    struct event_base *base;
    struct event event;                    /* a timer of no time: behind all sockets that have something */
    struct stream_place rows[STREAM_ROWS]; /* rings; the longest waiting is next of these */
    size_t lengths[STREAM_ROWS];
    size_t unfinished;
    uint32_t turn;      /* counted */
    bool new_is_due;    /* the last step was of one that had begun */
    uint64_t served_ns; /* when the last turn of handshakes ended that left some waiting; 0: none did */
};

static void on_turn(evutil_socket_t fd, short what, void *argument);

static struct stream *stream_at(struct stream_place *place)
{
    return (struct stream *)(void *)((char *)place - offsetof(struct stream, place));
}

static void unlink_place(struct stream_place *place)
{
    place->previous->next = place->next;
    place->next->previous = place->previous;
    place->previous = place->next = NULL;
}

static bool are_waiting(const struct stream_turns *turns)
{
    return turns->lengths[STREAM_ROW_POKES] > 0 || stream_turns_handshakes(turns) > 0;
}

struct stream_turns *stream_turns_new(struct event_base *base)
{
    struct stream_turns *turns = memory_calloc(1, sizeof(*turns));

    turns->base = base;
    for (size_t i = 0; i < STREAM_ROWS; i++)
        turns->rows[i] = (struct stream_place){&turns->rows[i], &turns->rows[i]};
    event_assign(&turns->event, base, -1, 0, on_turn, turns);
    return turns;
}

void stream_turns_free(struct stream_turns *turns)
{
    if (turns == NULL)
        return;
    assert(turns->unfinished == 0 && !are_waiting(turns));
    event_del(&turns->event);
    free(turns);
}

struct event_base *stream_turns_base(const struct stream_turns *turns)
{
    return turns->base;
}

size_t stream_turns_handshakes(const struct stream_turns *turns)
{
    return turns->lengths[STREAM_ROW_BEGUN] + turns->lengths[STREAM_ROW_NEW];
}

size_t stream_turns_unfinished(const struct stream_turns *turns)
{
    return turns->unfinished;
}

void stream_turns_count(struct stream_turns *turns, bool begins)
{
    assert(begins || turns->unfinished > 0);
    turns->unfinished += begins ? 1 : (size_t)-1;
}

static void schedule(struct stream_turns *turns)
{
    static const struct timeval now = {0, 0};

    if (!event_pending(&turns->event, EV_TIMEOUT, NULL))
        event_add(&turns->event, &now);
}

static enum stream_row row_of(const struct stream *stream)
{
    return stream->state != STREAM_HANDSHAKE ? STREAM_ROW_POKES
           : stream->begun                   ? STREAM_ROW_BEGUN
                                             : STREAM_ROW_NEW;
}

void stream_turns_add(struct stream *stream)
{
    struct stream_turns *turns = stream->turns;
    enum stream_row row = row_of(stream);
    struct stream_place *end = &turns->rows[row];

    if (stream->place.next != NULL && stream->row == row)
        return;
    stream_turns_remove(stream);
    stream->place = (struct stream_place){end->previous, end};
    end->previous->next = &stream->place;
    end->previous = &stream->place;
    stream->row = (uint8_t)row;
    stream->turn = turns->turn;
    turns->lengths[row]++;
    schedule(turns);
}

void stream_turns_remove(struct stream *stream)
{
    if (stream->place.next == NULL)
        return;
    stream->turns->lengths[stream->row]--;
    unlink_place(&stream->place);
}

bool stream_turns_has_waited(const struct stream *stream)
{
    return stream->place.next != NULL && stream->turn != stream->turns->turn;
}

static struct stream *first_of(struct stream_turns *turns, enum stream_row row)
{
    return turns->lengths[row] == 0 ? NULL : stream_at(turns->rows[row].next);
}

/* Those that are poked meanwhile have their turn in the next one. */
static void serve_pokes(struct stream_turns *turns)
{
    size_t due = turns->lengths[STREAM_ROW_POKES];

    for (struct stream *stream; due > 0 && (stream = first_of(turns, STREAM_ROW_POKES)) != NULL; due--) {
        stream_turns_remove(stream);
        stream_take_turn(stream);
    }
}

/* Those that have begun, since they hold the most memory, and new ones by turns: nobody is to keep others out
 * by sending his part byte by byte. */
static struct stream *next_handshake(struct stream_turns *turns)
{
    struct stream *begun = first_of(turns, STREAM_ROW_BEGUN), *fresh = first_of(turns, STREAM_ROW_NEW);
    struct stream *next = begun == NULL || (fresh != NULL && turns->new_is_due) ? fresh : begun;

    turns->new_is_due = next == begun;
    return next;
}

/* A share of what everybody else has had meanwhile: their time-outs run, and turns can be long. */
static uint64_t time_for_handshakes(const struct stream_turns *turns, uint64_t now_ns)
{
    uint64_t share_ns = turns->served_ns == 0 ? 0 : (now_ns - turns->served_ns) / STREAM_HANDSHAKE_SHARE;

    return share_ns > STREAM_HANDSHAKE_NS ? share_ns : STREAM_HANDSHAKE_NS;
}

static void serve_handshakes(struct stream_turns *turns)
{
    uint64_t now_ns, budget_ns, most;

    if (stream_turns_handshakes(turns) == 0) {
        turns->served_ns = 0;
        return;
    }
    now_ns = clock_monotonic_ns();
    budget_ns = time_for_handshakes(turns, now_ns);
    most = STREAM_HANDSHAKES_AT_ONCE * (budget_ns / STREAM_HANDSHAKE_NS);
    for (uint64_t end_ns = now_ns + budget_ns;
         now_ns < end_ns && most > 0 && stream_turns_handshakes(turns) > 0; most--) {
        struct stream *stream = next_handshake(turns);

        stream_turns_remove(stream);
        stream->begun = true;
        stream_take_turn(stream);
        now_ns = clock_monotonic_ns();
    }
    turns->served_ns = stream_turns_handshakes(turns) == 0 ? 0 : now_ns;
}

static void on_turn(evutil_socket_t fd, short what, void *argument)
{
    struct stream_turns *turns = argument;

    (void)fd, (void)what;
    turns->turn++;
    serve_pokes(turns);
    serve_handshakes(turns);
    if (are_waiting(turns))
        schedule(turns);
}

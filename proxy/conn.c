/* SPDX-License-Identifier: Apache-2.0 */
/* The data path of a connection: bytes of one side in, the session's steps, bytes of the other side out.
 * Called from the streams' callbacks (conn_life.c).
 *
 * One PUBLISH, from TLS bytes in to broker bytes out:
 *
 *    client's socket                                                                  broker's socket
 *         |                                                                                 ^
 *         v  STREAM_READABLE                                                                |
 *    stream_read()  one recv(2), SSL_read of all its records into the worker's scratch      |
 *         |                                                                                 |
 *    conn_pump() -> take_packets():                                                         |
 *         |           take_run()                plain packets whose fate is known, many     |
 *         |             session_client_run()    at a glance: they join the span             |
 *         |         and for each other packet                                               |
 *         |           mqtt_frame_next()         OK | MORE (kept in side->tail) | BAD        |
 *         |           session_client_packet()   proxy/session/, sans-IO                     |
 *         |             session_client_publish()                                            |
 *         |               mqtt_decode_publish() views into the scratch, no copy             |
 *         |               resolve_alias()                                                   |
 *         |               is_known() | session_judge() -> policy_decide()                   |
 *         |               denied: audit -> worker's ring; PUBACK 0x87 -> to_client          |
 *         |               scanned: conn_scan(): the worker's scanner; what is large or slow |
 *         |                 waits for the pool, those behind it, too                        |
 *         |               signed: conn_replay(): the own replay store; a shared one answers |
 *         |                 later: the packet waits in the session, those behind it, too    |
 *         |           FORWARD: the packet joins the span; CONSUMED: the span is queued      |
 *         |                                                                                 |
 *         |---- the span: consecutive packets that go on unchanged, one stream_write() -----|
 *         |
 *         '---- to_client: answers of this turn, one stream_write() to the sender
 *
 * The shared store's answer, from the worker's loop: conn_replay.c -> session_replay_answered() -> the turns
 * of the packets that waited -> to_broker, one stream_write(). Meanwhile the client's socket is not read; the
 * other direction goes on. The pool's answer: conn_scan.c -> session_scan_answered(), in the same way, for
 * either direction.
 *
 * The other direction is the same with the sides exchanged. Nothing is written before the audit events of the
 * packets that it carries are in the ring. A side is read only while the other side's queue, the session and
 * the audit's ring have room (may_read). */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/conn_internal.h"
#include "proxy/mqtt/plain_packet.h"

/* Reads a turn of the loop gives to one connection before the others have theirs. */
#define PUMP_READS 4
/* A packet larger than the scratch grows its own buffer in steps, so that an announced length alone costs
 * nothing. */
#define GROW_STEP (64 * 1024)
/* Up to so much of an incomplete packet is moved into the scratch with each read; more stays where it is, or
 * a peer could buy a large copy with each byte. */
#define HELD_MOVED 2048

static struct conn_side *other_side(struct conn *conn, const struct conn_side *side)
{
    return side == &conn->client ? &conn->broker : &conn->client;
}

/* ---- what may be read ---- */

static size_t queued(const struct conn_side *side)
{
    return side->stream == NULL ? 0 : stream_queued(side->stream);
}

/* With hysteresis, so that a slow peer is fed in portions. */
static bool throttled(struct conn_side *side)
{
    size_t length = queued(side);

    if (length > CONN_QUEUE_HIGH)
        side->throttled = true;
    else if (length <= CONN_QUEUE_LOW)
        side->throttled = false;
    return side->throttled;
}

static bool session_ready(const struct conn *conn, const struct conn_side *side)
{
    return side == &conn->broker ? session_broker_ready(conn->session) : session_client_ready(conn->session);
}

/* Another policy is to be bound, and packets wait for what the present one asks about them: nothing more is
 * handed in on either side until they are through, or a client could keep a policy that is not in force. */
static bool awaits_binding(const struct conn *conn)
{
    return conn->snapshot != conn->worker->snapshot && conn->phase == CONN_OPEN &&
           (session_is_asking(conn->session) || session_is_asking_broker(conn->session));
}

/* Packets of the side may be handed to the session. */
static bool may_handle(struct conn *conn, struct conn_side *side)
{
    if (conn->session == NULL || conn->audit_waiting || throttled(other_side(conn, side)) ||
        queued(side) > CONN_QUEUE_OWN || awaits_binding(conn))
        return false;
    return session_ready(conn, side);
}

/* A side whose packets wait for the replay store or for a scan is not read: its end, too, has its turn behind
 * them. What was read before goes on to the session, so that much is asked at a time. */
static bool may_read(struct conn *conn, struct conn_side *side)
{
    if (conn->phase == CONN_CLOSING)
        return !side->done;
    return may_handle(conn, side) && !(side == &conn->broker ? session_is_asking_broker(conn->session)
                                                             : session_is_asking(conn->session));
}

/* The client is not read because the broker owes answers. */
static bool is_held_up(const struct conn *conn)
{
    return conn->phase == CONN_OPEN && !session_client_ready(conn->session) &&
           !session_is_asking(conn->session);
}

static void update_side(struct conn *conn, struct conn_side *side)
{
    bool read;

    if (side->stream == NULL || !stream_is_open(side->stream))
        return;
    read = may_read(conn, side);
    if (side == &conn->client)
        conn->unanswered_since_ms = !is_held_up(conn)                ? 0
                                    : conn->unanswered_since_ms != 0 ? conn->unanswered_since_ms
                                                                     : clock_monotonic_ms();
    if (read && side->paused && side == &conn->client)
        conn->client_seen_ms = conn->seen_ms = clock_monotonic_ms(); /* its silence was ours */
    side->paused = !read;
    stream_set_reading(side->stream, read);
    if (read && side->waiting && conn->phase < CONN_CLOSING)
        stream_poke(side->stream);
}

void conn_update_reading(struct conn *conn)
{
    if (conn->phase == CONN_DEAD)
        return;
    update_side(conn, &conn->client);
    update_side(conn, &conn->broker);
    conn_schedule(conn);
}

/* ---- what the session asked for ---- */

struct session_output conn_output_begin(struct conn *conn)
{
    assert(buffer_length(&conn->worker->to_client) == 0 && buffer_length(&conn->worker->to_broker) == 0);
    conn->worker->now_ns = conn->worker->wall_us = 0;
    return (struct session_output){
        .to_client = &conn->worker->to_client, .to_broker = &conn->worker->to_broker};
}

static void send_buffer(struct conn_side *side, struct buffer *bytes)
{
    if (buffer_length(bytes) == 0)
        return;
    if (side->stream != NULL)
        stream_write(side->stream, buffer_view(bytes));
    buffer_clear(bytes);
}

void conn_carry_out(struct conn *conn, struct session_output *output)
{
    if (output->open_broker) {
        buffer_append(&conn->connect_packet, buffer_view(output->to_broker));
        buffer_clear(output->to_broker);
        conn_open_broker(conn);
    }
    if (output->check_password != NULL)
        conn_check_password(conn, output->check_password);
    send_buffer(&conn->broker, output->to_broker);
    send_buffer(&conn->client, output->to_client);
    if (output->close)
        conn_close(conn, output->reason);
}

/* ---- packets ---- */

/* Consecutive packets that go on unchanged. */
struct span {
    const uint8_t *start;
    size_t length;
};

static void span_queue(struct span *span, struct conn_side *to)
{
    if (span->length > 0 && to->stream != NULL)
        stream_queue(to->stream, view_of(span->start, span->length));
    span->length = 0;
}

/* The session's verdict. Of the PUBLISH of both sides one in many is timed. */
static enum session_verdict hand_over(
    struct conn *conn, bool client, const struct mqtt_frame *frame, struct session_output *output)
{
    struct counters *counters = conn->worker->counters;
    enum counters_direction direction = client ? COUNTERS_FROM_CLIENT : COUNTERS_FROM_BROKER;
    bool timed = frame->type == MQTT_PUBLISH && counters->decision_sample++ % SESSION_DECISION_SAMPLE == 0;
    uint64_t begun_ns = timed ? clock_monotonic_ns() : 0;
    enum session_verdict verdict = client ? session_client_packet(conn->session, frame, output)
                                          : session_broker_packet(conn->session, frame, output);

    counter_add(&counters->packets[direction][frame->type], 1);
    if (timed)
        histogram_add(&counters->decision[direction], &histogram_short, clock_monotonic_ns() - begun_ns);
    return verdict;
}

/* One packet: the session's verdict, and its bytes put into the order in which they leave. */
static void take_packet(struct conn *conn, struct conn_side *from, const struct mqtt_frame *frame,
    struct span *span, struct session_output *output)
{
    struct conn_side *to = other_side(conn, from);
    struct buffer *made = from == &conn->client ? output->to_broker : output->to_client;
    enum session_verdict verdict = hand_over(conn, from == &conn->client, frame, output);

    from->packets++;
    if (verdict == SESSION_FORWARD && output->open_broker) {
        buffer_append(made, frame->bytes); /* the CONNECT of 3.x, before there is a stream */
        return;
    }
    if (verdict == SESSION_FORWARD) {
        if (span->length == 0)
            span->start = frame->bytes.data;
        span->length += frame->bytes.length;
    } else
        span_queue(span, to);
    if (buffer_length(made) > 0 && !output->open_broker) {
        span_queue(span, to);
        if (to->stream != NULL)
            stream_queue(to->stream, buffer_view(made));
        buffer_clear(made);
    }
}

/* How many packets until one is timed; 0: the next. */
static uint64_t until_timed(const struct counters *counters)
{
    return (SESSION_DECISION_SAMPLE - counters->decision_sample % SESSION_DECISION_SAMPLE) %
           SESSION_DECISION_SAMPLE;
}

/* The packets at the start of input that join the span at once, or are dropped at once: the bytes that they
 * have. */
static size_t take_run(struct conn *conn, struct conn_side *from, struct view input, struct span *span)
{
    struct counters *counters = conn->worker->counters;
    bool client = from == &conn->client;
    enum counters_direction direction = client ? COUNTERS_FROM_CLIENT : COUNTERS_FROM_BROKER;
    uint64_t most = until_timed(counters), begun_ns = 0;
    struct session_run run;
    bool refused;

    /* where room is short, or has to be waited for, each packet asks for its own */
    if (!mqtt_may_be_plain(input) || !session_ready(conn, from) || awaits_binding(conn) ||
        !worker_audit_is_easy(conn->worker, &conn->audit_share, session_run_need(conn->session)))
        return 0;
    session_set_room(conn->session, SESSION_ROOM);
    if (most == 0) {
        most = 1;
        if (input.data[0] >> 4 == MQTT_PUBLISH) /* answers before it are no part of its decision */
            begun_ns = clock_monotonic_ns();
    }
    run = (client ? session_client_run : session_broker_run)(conn->session, input, most);
    refused = run.length == 0;
    if (refused)
        run = (client ? session_client_refused : session_broker_refused)(conn->session, input, most);
    if (run.length == 0)
        return 0;
    if (begun_ns != 0 && run.publishes > 0)
        histogram_add(&counters->decision[direction], &histogram_short, clock_monotonic_ns() - begun_ns);
    counters->decision_sample += (uint32_t)run.publishes;
    counter_add(&counters->packets[direction][MQTT_PUBLISH], run.publishes);
    counter_add(&counters->packets[direction][MQTT_PUBACK], run.pubacks);
    from->packets += run.publishes + run.pubacks;
    if (refused) {
        span_queue(span, other_side(conn, from));
        return run.length;
    }
    if (span->length == 0)
        span->start = input.data;
    span->length += run.length;
    return run.length;
}

static enum mqtt_result next_packet(struct conn *conn, struct conn_side *from, struct view input,
    struct mqtt_frame *frame, struct mqtt_error *error)
{
    bool client = from == &conn->client;

    return mqtt_frame_next(input, client ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER,
        session_version(conn->session),
        client ? session_client_max_packet(conn->session) : session_broker_max_packet(conn->session), frame,
        error);
}

static void malformed(
    struct conn *conn, struct conn_side *from, const struct mqtt_error *error, struct session_output *output)
{
    if (from == &conn->client)
        session_client_malformed(conn->session, error, output);
    else
        session_broker_malformed(conn->session, error, output);
}

/* False: this packet (NULL: what is none) has to wait; from->waiting is set. */
static bool may_take(struct conn *conn, struct conn_side *from, const struct mqtt_frame *frame)
{
    enum session_room room = SESSION_ROOM_LATER;

    if (session_ready(conn, from) && !awaits_binding(conn))
        room = conn_room(conn, session_audit_need(conn->session, frame));
    from->waiting = room == SESSION_ROOM_LATER;
    session_set_room(conn->session, room);
    return !from->waiting;
}

/* Takes the whole packets of input, and writes what they lead to; returns the bytes taken. */
static size_t take_packets(struct conn *conn, struct conn_side *from, struct view input)
{
    struct session_output output = conn_output_begin(conn);
    struct span span = {NULL, 0};
    struct mqtt_frame frame;
    struct mqtt_error error;
    size_t taken = 0;

    from->waiting = false;
    from->wanted = 0;
    while (taken < input.length && !output.close && !output.open_broker && output.check_password == NULL) {
        size_t run = take_run(conn, from, view_skip(input, taken), &span);
        enum mqtt_result result;

        if (run > 0) {
            taken += run;
            continue;
        }
        result = next_packet(conn, from, view_skip(input, taken), &frame, &error);
        if (result == MQTT_MORE) {
            from->wanted = frame.size;
            break;
        }
        if (result == MQTT_BAD) {
            if (may_take(conn, from, NULL))
                malformed(conn, from, &error, &output);
            break;
        }
        if (!may_take(conn, from, &frame))
            break;
        take_packet(conn, from, &frame, &span, &output);
        taken += frame.bytes.length;
    }
    if ((output.open_broker || output.check_password != NULL) && taken < input.length)
        from->waiting = true;
    if (other_side(conn, from)->stream != NULL) /* the last span, behind what was queued packet by packet */
        stream_write(other_side(conn, from)->stream, view_of(span.start, span.length));
    conn_carry_out(conn, &output);
    return taken;
}

/* ---- bytes ---- */

/* Reads more behind what the tail holds. Small tails move into the scratch, so that packets are decoded where
 * they were read; a packet larger than the scratch is collected in the tail itself. *input: all bytes there
 * are now; *full: there may be more to read. */
static ssize_t read_more(struct conn *conn, struct conn_side *from, struct view *input, bool *full)
{
    size_t held = buffer_length(&from->tail);
    ssize_t got;

    if (from->wanted > WORKER_SCRATCH / 2 || held > HELD_MOVED) {
        size_t missing = from->wanted > held ? from->wanted - held : GROW_STEP;
        size_t step = held > GROW_STEP ? held : GROW_STEP;
        size_t size = missing < step ? missing : step;

        got = stream_read(from->stream, buffer_reserve(&from->tail, size), size);
        if (got > 0)
            from->tail.end += (size_t)got;
        *input = buffer_view(&from->tail);
        *full = got == (ssize_t)size;
        return got;
    }
    if (held > 0)
        memcpy(conn->worker->scratch, from->tail.data + from->tail.start, held);
    got = stream_read(from->stream, conn->worker->scratch + held, WORKER_SCRATCH - held);
    *input = view_of(conn->worker->scratch, held + (got > 0 ? (size_t)got : 0));
    *full = got == (ssize_t)(WORKER_SCRATCH - held);
    return got;
}

/* Keeps what was not taken. input is the tail itself, or the scratch. */
static void keep_rest(struct conn_side *from, struct view input, size_t taken)
{
    if (from->tail.data != NULL && input.data == from->tail.data + from->tail.start)
        buffer_consume(&from->tail, taken);
    else {
        buffer_clear(&from->tail);
        if (taken < input.length)
            buffer_append(&from->tail, view_skip(input, taken));
    }
    if (buffer_length(&from->tail) == 0)
        buffer_release(&from->tail); /* an idle connection owns no buffers */
}

static void ended(struct conn *conn, struct conn_side *from)
{
    if (from == &conn->broker)
        conn_abort(conn, conn_broker_closed(conn));
    else
        conn_abort(conn, REASON_client_closed);
}

/* CLOSING: what still comes is thrown away, until the peer's end. */
static void discard(struct conn *conn, struct conn_side *from)
{
    ssize_t got = stream_read(from->stream, conn->worker->scratch, WORKER_SCRATCH);

    if (got == STREAM_END || got == STREAM_ERROR) {
        from->done = true;
        stream_set_reading(from->stream, false);
    } else if (got > 0)
        stream_poke(from->stream);
    conn_check_done(conn);
}

void conn_pump(struct conn *conn, struct conn_side *from)
{
    bool more = true; /* there may be bytes that no event of the socket will tell of */

    conn->worker->scan_work = 0;
    for (int reads = 0; more && reads < PUMP_READS; reads++) {
        struct view input;
        ssize_t got = 0;
        uint64_t packets;

        if (conn->phase >= CONN_CLOSING || !(from->waiting ? may_handle(conn, from) : may_read(conn, from)))
            break;
        if (from->waiting)
            input = buffer_view(&from->tail);
        else {
            got = read_more(conn, from, &input, &more);
            if (got == STREAM_END)
                ended(conn, from);
            if (got <= 0)
                break;
        }
        from->bytes += (uint64_t)got;
        counter_add(&conn->worker->counters
                         ->bytes[from == &conn->client ? COUNTERS_FROM_CLIENT : COUNTERS_FROM_BROKER],
            (uint64_t)got);
        conn->seen_ms = clock_monotonic_ms();
        packets = from->packets;
        keep_rest(from, input, take_packets(conn, from, input));
        if (from == &conn->client && from->packets != packets) /* a packet, not bytes [MQTT-3.1.2-24] */
            conn->client_seen_ms = conn->seen_ms;
    }
    if (conn->phase == CONN_CLOSING && from->stream != NULL && !from->done)
        discard(conn, from);
    else if (more && conn->phase < CONN_CLOSING && may_read(conn, from))
        stream_poke(from->stream);
}

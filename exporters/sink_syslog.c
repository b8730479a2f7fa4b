/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the syslog sink: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or a Unix socket. A row
 * of the sinks (sinks.h); the message is syslog_message.c's, the connection outlet.c's.
 *
 *   WAITING --timer--> CONNECTING --> OPEN: fill -> frames -> outlet ... look: acknowledged -> confirmed
 *      ^------ any failure: close, forget what was under way, back to the cursor -----|
 *
 * Syslog has no answers. What the other side has (outlet_acknowledged) counts as delivered when the
 * connection has outlived it by SETTLE_MS: a receiver that lives has read it by then, one that dies closes
 * the connection, and an ICMP error for a datagram has come back. Of a receiver that has not accepted mqward
 * yet (outlet_accepted_ms) it counts for nothing. */
#include "exporters/sink_syslog.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "exporters/backoff.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"

#define SYSLOG_MAGIC 0x73796c67U
#define SYSLOG_WINDOW 16384U                    /* messages under way at most; a power of two */
#define SYSLOG_QUEUE_BYTES ((size_t)256 * 1024) /* rendered and not yet taken by the kernel */
#define SYSLOG_TURN 4                           /* queues written in a turn of the loop, or datagrams */
#define SYSLOG_SETTLE_MS 250
#define SYSLOG_LOOK_MS 20
/* Datagrams that a receiver's default buffer (212,992 bytes) takes while its process is not scheduled. */
#define SYSLOG_BURST 32
#define SYSLOG_BURST_MS 1

enum syslog_state { SYSLOG_STOPPED, SYSLOG_WAITING, SYSLOG_CONNECTING, SYSLOG_OPEN };

struct syslog_mark {
    struct journal_position end;
    uint64_t bytes; /* its message ends there, of what was written to this connection */
    uint64_t acknowledged_ms;
};

struct syslog {
    uint32_t magic;
    enum syslog_state state;
    struct sink *sink;
    const struct sink_syslog_settings *settings;
    struct outlet *outlet;
    struct event *retry, *look, *burst;
    struct backoff backoff;

    struct buffer queue;   /* frames of a stream, or one datagram */
    struct buffer scratch; /* a message before its frame */
    struct syslog_mark *marks;
    uint64_t mark_first, mark_acknowledged, mark_next; /* first <= acknowledged <= next */
    uint64_t queued;                                   /* bytes of all frames of this connection */
    uint64_t progress_ms;                              /* something went on, or nothing was under way */
    unsigned burst_left;
};

/* ---- failing and coming back ---- */

static void fail(struct syslog *syslog, const char *detail)
{
    const struct timeval wait = backoff_down(&syslog->backoff);
    char copy[OUTLET_DETAIL_MAX];

    snprintf(copy, sizeof(copy), "%s", detail);
    outlet_close(syslog->outlet);
    event_del(syslog->look);
    event_del(syslog->burst);
    buffer_clear(&syslog->queue);
    syslog->mark_first = syslog->mark_acknowledged = syslog->mark_next = 0;
    syslog->queued = 0;
    syslog->state = SYSLOG_WAITING;
    event_add(syslog->retry, &wait);
    sink_rewind(syslog->sink);
    sink_fail(syslog->sink, REASON_sink_unreachable, copy);
}

static void on_failed(void *argument, const char *detail)
{
    fail(argument, detail);
}

static void on_retry(evutil_socket_t descriptor, short events, void *argument)
{
    struct syslog *syslog = argument;

    (void)descriptor, (void)events;
    assert(syslog->magic == SYSLOG_MAGIC && syslog->state == SYSLOG_WAITING);
    syslog->state = SYSLOG_CONNECTING;
    outlet_open(syslog->outlet, syslog->settings->host, syslog->settings->port);
}

/* ---- sending ---- */

static bool has_room(const struct syslog *syslog)
{
    if (syslog->mark_next - syslog->mark_first == SYSLOG_WINDOW)
        return false;
    if (outlet_is_datagram(syslog->outlet))
        return buffer_length(&syslog->queue) == 0 && syslog->burst_left > 0;
    return buffer_length(&syslog->queue) < SYSLOG_QUEUE_BYTES;
}

static void append_frame(struct syslog *syslog, struct view line)
{
    size_t before = buffer_length(&syslog->queue);

    buffer_clear(&syslog->scratch);
    syslog_message_render(&syslog->scratch, &syslog->settings->shape, line);
    if (!outlet_is_datagram(syslog->outlet) && syslog->settings->framing == SYSLOG_OCTET_COUNTING)
        buffer_format(&syslog->queue, "%zu ", buffer_length(&syslog->scratch));
    buffer_append(&syslog->queue, buffer_view(&syslog->scratch));
    if (!outlet_is_datagram(syslog->outlet) && syslog->settings->framing == SYSLOG_LINES)
        buffer_append_byte(&syslog->queue, '\n');
    syslog->queued += buffer_length(&syslog->queue) - before;
}

static void take_line(struct syslog *syslog, const struct journal_line *line)
{
    if (syslog->mark_first == syslog->mark_next) {
        syslog->progress_ms = clock_monotonic_ms();
        event_add(syslog->look, &(struct timeval){.tv_usec = SYSLOG_LOOK_MS * 1000});
    }
    append_frame(syslog, line->text);
    syslog->marks[syslog->mark_next++ % SYSLOG_WINDOW] =
        (struct syslog_mark){.end = line->end, .bytes = syslog->queued};
}

/* False: no more for now. */
static bool write_queue(struct syslog *syslog)
{
    char detail[OUTLET_DETAIL_MAX];
    size_t count;

    switch (outlet_write(syslog->outlet, buffer_view(&syslog->queue), &count, detail)) {
    case OUTLET_WRITTEN:
        buffer_consume(&syslog->queue, count);
        if (outlet_is_datagram(syslog->outlet) && --syslog->burst_left == 0)
            event_add(syslog->burst, &(struct timeval){.tv_usec = SYSLOG_BURST_MS * 1000});
        return true;
    case OUTLET_FULL:
        return false;
    case OUTLET_FAILED:
        break;
    }
    fail(syslog, detail);
    return false;
}

/* Sends what the journal has, as far as window, queue and kernel go. A turn has a bound: other sinks wait. */
static void fill(struct syslog *syslog)
{
    struct journal_line line;

    for (unsigned turn = 0; turn < SYSLOG_TURN && syslog->state == SYSLOG_OPEN; turn++) {
        while (has_room(syslog) && sink_next(syslog->sink, &line))
            take_line(syslog, &line);
        if (buffer_length(&syslog->queue) == 0 || !write_queue(syslog))
            return;
    }
    if (syslog->state == SYSLOG_OPEN && !event_pending(syslog->burst, EV_TIMEOUT, NULL))
        event_add(syslog->burst, &(struct timeval){0});
}

static void on_connected(void *argument)
{
    struct syslog *syslog = argument;

    assert(syslog->magic == SYSLOG_MAGIC && syslog->state == SYSLOG_CONNECTING);
    syslog->state = SYSLOG_OPEN;
    syslog->burst_left = SYSLOG_BURST;
    backoff_up(&syslog->backoff);
    fill(syslog);
}

static void on_writable(void *argument)
{
    fill(argument);
}

static void on_burst(evutil_socket_t descriptor, short events, void *argument)
{
    struct syslog *syslog = argument;

    (void)descriptor, (void)events;
    syslog->burst_left = SYSLOG_BURST;
    fill(syslog);
}

/* ---- what arrived ---- */

static void acknowledge(struct syslog *syslog, uint64_t now_ms)
{
    uint64_t bytes = outlet_acknowledged(syslog->outlet);

    while (syslog->mark_acknowledged < syslog->mark_next &&
           syslog->marks[syslog->mark_acknowledged % SYSLOG_WINDOW].bytes <= bytes) {
        syslog->marks[syslog->mark_acknowledged++ % SYSLOG_WINDOW].acknowledged_ms = now_ms;
        syslog->progress_ms = now_ms;
    }
    if (syslog->mark_acknowledged == syslog->mark_next) /* all is there: nobody is waited for */
        syslog->progress_ms = now_ms;
}

/* False: the connection does not hold. */
static bool confirm(struct syslog *syslog, uint64_t now_ms)
{
    struct journal_position end = {0};
    char detail[OUTLET_DETAIL_MAX];
    uint64_t settled = syslog->mark_first, accepted_ms = outlet_accepted_ms(syslog->outlet);

    if (accepted_ms == 0 || now_ms - accepted_ms < SYSLOG_SETTLE_MS)
        return true;
    for (; settled < syslog->mark_acknowledged; settled++) {
        const struct syslog_mark *mark = &syslog->marks[settled % SYSLOG_WINDOW];
        if (now_ms - mark->acknowledged_ms < SYSLOG_SETTLE_MS)
            break;
        end = mark->end;
    }
    if (settled == syslog->mark_first)
        return true;
    if (!outlet_holds(syslog->outlet, detail)) {
        fail(syslog, detail);
        return false;
    }
    syslog->mark_first = settled;
    sink_confirm(syslog->sink, end);
    return true;
}

static void on_look(evutil_socket_t descriptor, short events, void *argument)
{
    struct syslog *syslog = argument;
    uint64_t now_ms = clock_monotonic_ms();

    (void)descriptor, (void)events;
    assert(syslog->magic == SYSLOG_MAGIC && syslog->state == SYSLOG_OPEN);
    acknowledge(syslog, now_ms);
    if (now_ms - syslog->progress_ms > syslog->settings->timeout_ms) {
        fail(syslog, "the receiver takes nothing");
        return;
    }
    if (!confirm(syslog, now_ms))
        return;
    if (syslog->mark_first < syslog->mark_next)
        event_add(syslog->look, &(struct timeval){.tv_usec = SYSLOG_LOOK_MS * 1000});
    fill(syslog);
}

/* ---- the row ---- */

static void syslog_close(void *link)
{
    struct syslog *syslog = link;

    if (syslog == NULL)
        return;
    assert(syslog->magic == SYSLOG_MAGIC);
    outlet_free(syslog->outlet);
    struct event *const events[] = {syslog->retry, syslog->look, syslog->burst};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        event_free(events[i]);
    buffer_release(&syslog->queue);
    buffer_release(&syslog->scratch);
    syslog->magic = 0;
    free(syslog->marks);
    free(syslog);
}

static void *syslog_open(
    struct sink *sink, const void *settings, struct event_base *base, char *error, size_t error_size)
{
    struct syslog *syslog = memory_calloc(1, sizeof(*syslog));
    const struct outlet_calls calls = {
        .connected = on_connected, .writable = on_writable, .failed = on_failed, .argument = syslog};

    syslog->magic = SYSLOG_MAGIC;
    syslog->sink = sink;
    syslog->settings = settings;
    assert(syslog_sd_id_is_valid(view_of_string(syslog->settings->shape.sd_id)));
    syslog->marks = memory_calloc(SYSLOG_WINDOW, sizeof(*syslog->marks));
    syslog->retry = evtimer_new(base, on_retry, syslog);
    syslog->look = evtimer_new(base, on_look, syslog);
    syslog->burst = evtimer_new(base, on_burst, syslog);
    if (syslog->retry == NULL || syslog->look == NULL || syslog->burst == NULL)
        memory_exhausted();
    syslog->outlet = outlet_new(&syslog->settings->outlet, base, &calls);
    if (outlet_host_fits(syslog->settings->host))
        return syslog;
    snprintf(
        error, error_size, "%s: it is too long for a host name or a Unix socket", syslog->settings->host);
    syslog_close(syslog);
    return NULL;
}

static void syslog_start(void *link)
{
    struct syslog *syslog = link;

    syslog->state = SYSLOG_WAITING;
    event_add(syslog->retry, &(struct timeval){0});
}

static void syslog_wake(void *link)
{
    fill(link);
}

const struct sink_type sink_syslog = {
    .name = "syslog",
    .open = syslog_open,
    .start = syslog_start,
    .wake = syslog_wake,
    .close = syslog_close,
};

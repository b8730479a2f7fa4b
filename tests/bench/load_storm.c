/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the loop of the load generator's modes that only open connections: TCP, TLS, CONNECT, CONNACK. In
 * handshakes each is then ended in order and another takes its place; in idle all are held. Called by load.c
 * once.
 *
 * An idle connection keeps its socket alone: what TLS knows of it is given back, since nothing more is sent.
 *
 * stdout, one JSON object a line: {"ready":N} when the first connections (handshakes) or all of them (idle)
 * have got their CONNACK, the totals at SIGUSR1 and at the end. Exit code 0 if none failed, else 1. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define EVENTS 64
#define NANOSECONDS 1000000000LL
#define STEP_LIMIT (20 * NANOSECONDS) /* without any progress of any connection: the run has failed */

enum slot_state { SLOT_FREE, SLOT_CONNECTING, SLOT_SHAKING, SLOT_AWAITING, SLOT_LEAVING, SLOT_HELD };

struct storm;

struct slot {
    enum slot_state state;
    int socket;
    unsigned number;
    uint8_t connack[4];
    uint8_t connack_length;
    SSL *ssl;             /* NULL: plain, or held */
    SSL_SESSION *session; /* the newest ticket, or NULL */
    int64_t began;        /* load_now() */
};

struct storm {
    const struct load_options *options;
    struct load_tls *tls;
    struct slot *slots;
    unsigned begun; /* idle: slots that have been opened */
    unsigned busy;  /* slots that are neither free nor held */
    int epoll;
    int signals;
    bool stopping;
    bool ready;
    uint64_t started; /* connections */
    uint64_t done;    /* with their CONNACK */
    uint64_t resumed; /* of these */
    uint64_t failed;
    int64_t progress; /* when something was done last */
    struct histogram times;
};

static void keep_ticket(void *data, SSL_SESSION *session)
{
    struct slot *slot = data;

    SSL_SESSION_free(slot->session);
    slot->session = session;
}

/* ---- one connection ---- */

static void release(struct storm *storm, struct slot *slot)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    /* Both sides are through, or one has failed: thousands of ports are not to wait for their time. */
    (void)setsockopt(slot->socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(slot->socket);
    SSL_free(slot->ssl);
    slot->ssl = NULL;
    slot->socket = -1;
    if (slot->state != SLOT_HELD)
        storm->busy--;
    slot->state = SLOT_FREE;
}

static void fail(struct storm *storm, struct slot *slot, const char *what)
{
    if (storm->failed++ == 0) {
        fprintf(stderr, "mqward-bench-load: connection %u: %s\n", slot->number, what);
        ERR_print_errors_fp(stderr);
    }
    ERR_clear_error();
    release(storm, slot);
}

static void begin(struct storm *storm, struct slot *slot)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = slot};

    slot->state = SLOT_CONNECTING;
    slot->connack_length = 0;
    slot->began = load_now();
    slot->socket = load_connect(storm->options, &storm->options->target, false);
    if (slot->socket < 0)
        load_die("connect");
    if (epoll_ctl(storm->epoll, EPOLL_CTL_ADD, slot->socket, &event) != 0)
        load_die("epoll_ctl");
    storm->started++;
    storm->busy++;
}

/* True if the step is over, false if it waits or has failed. */
static bool step_over(struct storm *storm, struct slot *slot, int result, const char *what)
{
    int error;

    if (result > 0)
        return true;
    error = SSL_get_error(slot->ssl, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        fail(storm, slot, what);
    return false;
}

static bool send_plain(struct storm *storm, struct slot *slot, const uint8_t *bytes, size_t length)
{
    bool sent = slot->ssl != NULL ? SSL_write(slot->ssl, bytes, (int)length) == (int)length
                                  : send(slot->socket, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;

    if (!sent)
        fail(storm, slot, "a fresh connection takes no packet");
    return sent;
}

static bool send_connect(struct storm *storm, struct slot *slot)
{
    uint8_t packet[WIRE_CONNECT_MAX];

    slot->state = SLOT_AWAITING;
    return send_plain(
        storm, slot, packet, wire_write_connect(packet, storm->options->form.version, "", slot->number));
}

/* TCP is there: TLS begins, or CONNECT goes. */
static bool on_connected(struct storm *storm, struct slot *slot)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(slot->socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        fail(storm, slot, strerror(error));
        return false;
    }
    if (storm->tls == NULL)
        return send_connect(storm, slot);
    slot->ssl = load_tls_attach(storm->tls, slot->socket);
    SSL_set_app_data(slot->ssl, slot);
    if (slot->session != NULL && SSL_set_session(slot->ssl, slot->session) != 1)
        load_die("SSL_set_session");
    slot->state = SLOT_SHAKING;
    return true;
}

static bool on_handshake(struct storm *storm, struct slot *slot)
{
    return step_over(storm, slot, SSL_do_handshake(slot->ssl), "TLS handshake failed") &&
           send_connect(storm, slot);
}

/* Reads at most size bytes: more than 0, or 0 if it has to wait, or -1 at the end of the stream. */
static ssize_t receive(struct slot *slot, uint8_t *out, size_t size)
{
    ssize_t got;
    int error;

    if (slot->ssl == NULL) {
        got = recv(slot->socket, out, size, 0);
        if (got > 0)
            return got;
        return got < 0 && errno == EAGAIN ? 0 : -1;
    }
    got = SSL_read(slot->ssl, out, (int)size);
    if (got > 0)
        return got;
    error = SSL_get_error(slot->ssl, (int)got);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static bool leave(struct storm *storm, struct slot *slot)
{
    static const uint8_t disconnect[] = {WIRE_DISCONNECT << 4, 0};

    slot->state = SLOT_LEAVING;
    if (!send_plain(storm, slot, disconnect, sizeof(disconnect)))
        return false;
    if (slot->ssl != NULL)
        SSL_shutdown(slot->ssl); /* 0: our close_notify is sent, the peer's is not awaited */
    (void)shutdown(slot->socket, SHUT_WR);
    return true;
}

static bool hold(struct storm *storm, struct slot *slot)
{
    SSL_free(slot->ssl);
    slot->ssl = NULL;
    slot->state = SLOT_HELD;
    storm->busy--;
    return false;
}

static bool on_connack(struct storm *storm, struct slot *slot)
{
    ssize_t got =
        receive(slot, slot->connack + slot->connack_length, sizeof(slot->connack) - slot->connack_length);

    if (got < 0) {
        fail(storm, slot, "ended before CONNACK");
        return false;
    }
    slot->connack_length = (uint8_t)(slot->connack_length + got);
    if (slot->connack_length < sizeof(slot->connack))
        return got > 0;
    if (slot->connack[0] >> 4 != WIRE_CONNACK || slot->connack[3] != 0) {
        fail(storm, slot, "no accepting CONNACK");
        return false;
    }
    histogram_add(&storm->times, load_now() - slot->began);
    storm->done++;
    if (slot->ssl != NULL && SSL_session_reused(slot->ssl))
        storm->resumed++;
    return storm->options->mode == LOAD_IDLE ? hold(storm, slot) : leave(storm, slot);
}

/* The peer's end is awaited, so that the proxy's work for a connection is over when the next one begins. */
static bool on_leaving(struct storm *storm, struct slot *slot)
{
    uint8_t rest[512];
    ssize_t got = receive(slot, rest, sizeof(rest));

    if (got < 0)
        release(storm, slot);
    return got > 0;
}

/* Nobody has anything to say on a held connection. */
static bool on_held(struct storm *storm, struct slot *slot)
{
    uint8_t byte;
    ssize_t got = recv(slot->socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN))
        fail(storm, slot, "ended while it was held");
    return false;
}

/* Each does what it can; true if the slot's state may have more to do at once. */
static bool (*const steps[])(struct storm *, struct slot *) = {
    [SLOT_CONNECTING] = on_connected,
    [SLOT_SHAKING] = on_handshake,
    [SLOT_AWAITING] = on_connack,
    [SLOT_LEAVING] = on_leaving,
    [SLOT_HELD] = on_held,
};

static void serve(struct storm *storm, const struct epoll_event *event)
{
    struct slot *slot = event->data.ptr;

    /* epoll tells of a socket that is not connected yet, too. */
    if (slot->state == SLOT_CONNECTING && (event->events & EPOLLOUT) == 0)
        return;
    while (slot->state != SLOT_FREE && steps[slot->state](storm, slot))
        ;
    storm->progress = load_now();
}

/* ---- all of them ---- */

static bool may_begin(const struct storm *storm)
{
    const struct load_options *options = storm->options;

    return !storm->stopping && storm->failed == 0 &&
           (options->messages == 0 || options->mode == LOAD_IDLE || storm->started < options->messages);
}

/* Opens what may be opened now. */
static void fill(struct storm *storm)
{
    const struct load_options *options = storm->options;

    if (options->mode == LOAD_IDLE) {
        while (may_begin(storm) && storm->begun < options->connections && storm->busy < options->opening)
            begin(storm, &storm->slots[storm->begun++]);
        return;
    }
    for (unsigned i = 0; i < options->connections && storm->busy < options->connections && may_begin(storm);
         i++)
        if (storm->slots[i].state == SLOT_FREE)
            begin(storm, &storm->slots[i]);
}

static void print_totals(struct storm *storm)
{
    printf("{\"started\":%" PRIu64 ",\"done\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"failed\":%" PRIu64 ",",
        storm->started, storm->done, storm->resumed, storm->failed);
    histogram_print(&storm->times);
    puts("}");
    storm->times = (struct histogram){0};
}

static void tell_ready(struct storm *storm)
{
    const struct load_options *options = storm->options;
    uint64_t wanted = 1;

    if (options->mode == LOAD_IDLE)
        wanted = options->connections;
    else if (options->resume)
        wanted = 2 * (uint64_t)options->connections; /* the first of each is a full handshake */
    if (storm->ready || storm->done < wanted)
        return;
    storm->ready = true;
    printf("{\"ready\":%" PRIu64 "}\n", storm->done);
}

static void take_signal(struct storm *storm)
{
    struct signalfd_siginfo info;

    if (read(storm->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1)
        print_totals(storm);
    else
        storm->stopping = true;
}

/* True when nothing is left to do. */
static bool is_over(const struct storm *storm, int64_t began)
{
    const struct load_options *options = storm->options;
    int64_t now = load_now();

    if (storm->busy > 0 && now - storm->progress > STEP_LIMIT)
        return true;
    if (options->seconds > 0 && (double)(now - began) >= options->seconds * (double)NANOSECONDS &&
        storm->busy == 0)
        return true;
    return storm->busy == 0 && !may_begin(storm);
}

static void stop_in_time(struct storm *storm, int64_t began)
{
    double seconds = storm->options->seconds;

    if (seconds > 0 && (double)(load_now() - began) >= seconds * (double)NANOSECONDS)
        storm->stopping = true;
}

static void run(struct storm *storm)
{
    struct epoll_event events[EVENTS];
    int64_t began = load_now();

    storm->progress = began;
    for (;;) {
        stop_in_time(storm, began);
        fill(storm);
        tell_ready(storm);
        if (is_over(storm, began))
            return;
        int count = epoll_wait(storm->epoll, events, EVENTS, 100);
        if (count < 0 && errno != EINTR)
            load_die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &storm->signals)
                take_signal(storm);
            else
                serve(storm, &events[i]);
        }
    }
}

int load_storm_run(const struct load_options *options, struct load_tls *tls)
{
    struct storm storm = {.options = options, .tls = tls, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &storm.signals};
    bool good;

    storm.slots = calloc(options->connections, sizeof(*storm.slots));
    if (storm.epoll < 0 || storm.slots == NULL)
        load_die("epoll_create1");
    for (unsigned i = 0; i < options->connections; i++)
        storm.slots[i].number = i;
    storm.signals = load_catch_signals();
    if (epoll_ctl(storm.epoll, EPOLL_CTL_ADD, storm.signals, &event) != 0)
        load_die("epoll_ctl");
    if (options->resume)
        load_tls_on_ticket(tls, keep_ticket);
    run(&storm);
    good = storm.failed == 0 && storm.busy == 0;
    for (unsigned i = 0; i < options->connections; i++) {
        if (storm.slots[i].state != SLOT_FREE)
            release(&storm, &storm.slots[i]);
        SSL_SESSION_free(storm.slots[i].session);
    }
    print_totals(&storm);
    free(storm.slots);
    close(storm.signals);
    close(storm.epoll);
    return good ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-load: publishes as fast as it is read, or at a fixed rate, over many connections. Its own CPU
 * is not what is measured. One thread, one epoll. Owns the loop, the schedule and the end; load_client.c does
 * the connections, load_storm.c the modes that only open them.
 *
 * Opening is blocking, one connection after the other: a benchmark of messages starts when all are there.
 *
 * stdout, one JSON object a line: {"ready":N} when all connections are open, the totals at SIGUSR1 and at the
 * end. Exit code 0 if every connection lived until it was ended here, else 1. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define EVENTS 64
#define NANOSECONDS 1000000000LL
/* Without any event: a slow proxy works off what waits in its sockets. */
#define END_LIMIT (60 * NANOSECONDS)
#define NEVER INT64_MAX

struct load {
    struct load_options options;
    struct load_run run;
    struct load_client *clients;
    unsigned count; /* of clients: the connections, and the publisher of a fan-out */
    unsigned open;  /* clients that are not closed */
    int epoll;
    int signals;
    bool stopping;
    int64_t started; /* all times: nanoseconds of the monotonic clock */
    int64_t stopped;
    int64_t progress;   /* when a connection was served last */
    uint64_t due_count; /* paced: messages that were due so far */
};

static void watch(int epoll, int operation, int descriptor, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, operation, descriptor, &event) != 0)
        load_die("epoll_ctl");
}

static bool open_clients(struct load *load)
{
    load->clients = calloc(load->count, sizeof(*load->clients));
    if (load->clients == NULL)
        load_die("calloc");
    for (unsigned i = 0; i < load->count; i++)
        load->clients[i].socket = -1;
    for (; load->open < load->count; load->open++) {
        struct load_client *client = &load->clients[load->open];
        if (!load_client_open(&load->run, client, load->open)) {
            load_client_release(client);
            return false;
        }
        watch(load->epoll, EPOLL_CTL_ADD, client->socket, EPOLLIN, client);
    }
    return true;
}

/* Tells epoll what the client wants after anything has happened to it. */
static void settle(struct load *load, struct load_client *client)
{
    bool wants_write = load_client_wants_write(&load->run, client);

    if (client->state == LOAD_CLOSED) {
        watch(load->epoll, EPOLL_CTL_DEL, client->socket, 0, NULL);
        load_client_release(client);
        assert(load->open > 0);
        load->open--;
        return;
    }
    if (wants_write == client->wants_write)
        return;
    client->wants_write = wants_write;
    watch(load->epoll, EPOLL_CTL_MOD, client->socket, wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN, client);
}

static bool is_open(const struct load_client *client)
{
    return client->socket >= 0;
}

static void settle_all(struct load *load)
{
    for (unsigned i = 0; i < load->count; i++)
        if (is_open(&load->clients[i]))
            settle(load, &load->clients[i]);
}

static void stop(struct load *load)
{
    if (load->stopping)
        return;
    load->stopping = true;
    load->stopped = load->progress = load_now();
    for (unsigned i = 0; i < load->count; i++)
        if (is_open(&load->clients[i]))
            load_client_stop(&load->run, &load->clients[i]);
    settle_all(load);
}

/* When message number count of the schedule is due. */
static int64_t due_at(const struct load *load, uint64_t count)
{
    uint64_t rate = load->options.rate;

    return load->started + (int64_t)(count / rate) * NANOSECONDS +
           (int64_t)(count % rate * (uint64_t)NANOSECONDS / rate);
}

/* Whose turn it is: the publisher's of a fan-out. */
static struct load_client *due_client(struct load *load)
{
    unsigned connections = load->options.connections;

    return &load->clients[load->count > connections ? connections : load->due_count % connections];
}

static void send_due(struct load *load, int64_t time)
{
    while (due_at(load, load->due_count) <= time) {
        struct load_client *client = due_client(load);
        load->due_count++;
        if (!is_open(client))
            continue;
        load_client_due(&load->run, client);
        settle(load, client);
        if (load->run.left == 0)
            return;
    }
}

/* When the loop has something to do that no descriptor will tell. */
static int64_t next_time(const struct load *load)
{
    int64_t next = NEVER;

    if (load->stopping)
        return load->progress + END_LIMIT;
    if (load->options.seconds > 0)
        next = load->started + (int64_t)(load->options.seconds * (double)NANOSECONDS);
    if (load_has_rate(load->options.mode)) {
        int64_t due = due_at(load, load->due_count);
        next = due < next ? due : next;
    }
    return next;
}

static int wait_events(struct load *load, struct epoll_event events[EVENTS])
{
    int64_t next = next_time(load);
    int64_t left = next == NEVER ? 0 : next - load_now();
    struct timespec timeout = {0, 0};
    int count;

    if (left > 0) {
        timeout.tv_sec = left / NANOSECONDS;
        timeout.tv_nsec = left % NANOSECONDS;
    }
    count = epoll_pwait2(load->epoll, events, EVENTS, next == NEVER ? NULL : &timeout, NULL);
    if (count < 0 && errno != EINTR)
        load_die("epoll_pwait2");
    return count;
}

static void serve(struct load *load, const struct epoll_event *event)
{
    struct load_client *client = event->data.ptr;

    if (!is_open(client))
        return;
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        load_client_readable(&load->run, client);
    if (client->state != LOAD_CLOSED && (event->events & EPOLLOUT))
        load_client_writable(&load->run, client);
    settle(load, client);
}

/* The times are those since they were printed last. */
static void print_totals(struct load *load)
{
    int64_t end = load->stopping ? load->stopped : load_now();
    double seconds = (double)(end - load->started) / (double)NANOSECONDS;

    printf("{\"sent\":%" PRIu64 ",\"acknowledged\":%" PRIu64 ",\"received\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"skipped\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"unfinished\":%u,\"bytes\":%zu,\"seconds\":%.6f,",
        load->run.sent, load->run.acknowledged, load->run.received, load->run.refused, load->run.skipped,
        load->run.lost, load->open, load->run.publish.length, seconds);
    histogram_print(&load->run.times);
    puts("}");
    load->run.times = (struct histogram){0};
}

static void take_signal(struct load *load)
{
    struct signalfd_siginfo info;

    if (read(load->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1)
        print_totals(load);
    else
        stop(load);
}

/* Until SIGUSR1 comes. */
static void wait_for_signal(const struct load *load)
{
    struct pollfd signals = {.fd = load->signals, .events = POLLIN};
    struct signalfd_siginfo info;

    while (poll(&signals, 1, -1) < 0)
        if (errno != EINTR)
            load_die("poll");
    if (read(load->signals, &info, sizeof(info)) == (ssize_t)sizeof(info) && info.ssi_signo != SIGUSR1)
        exit(1);
}

static bool time_is_up(const struct load *load, int64_t time)
{
    return load->options.seconds > 0 &&
           (double)(time - load->started) >= load->options.seconds * (double)NANOSECONDS;
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS];

    load->started = load_now();
    settle_all(load);
    while (load->open > 0) {
        int count = wait_events(load, events);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &load->signals)
                take_signal(load);
            else
                serve(load, &events[i]);
        }
        int64_t time = load_now();
        if (count > 0)
            load->progress = time;
        if (!load->stopping && load_has_rate(load->options.mode))
            send_due(load, time);
        if (load->run.left == 0 || time_is_up(load, time))
            stop(load);
        if (load->stopping && time - load->progress > END_LIMIT)
            break;
    }
    if (!load->stopping)
        load->stopped = load_now();
    load->stopping = true;
}

static void clean_up(struct load *load)
{
    for (unsigned i = 0; load->clients != NULL && i < load->count; i++)
        load_client_release(&load->clients[i]);
    free(load->clients);
    free(load->run.publish.bytes);
    free(load->run.fan_sent_at);
    load_sign_free(load->run.sign);
    close(load->signals);
    close(load->epoll);
}

/* All connections, then messages until the end. True if nothing was lost. */
static bool send_messages(struct load *load)
{
    bool good;

    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        load_die("epoll_create1");
    load->count = load->options.connections;
    if (load->options.mode == LOAD_FANOUT) {
        load->count++;
        load->run.fan_sent_at = calloc(LOAD_FAN_MESSAGES, sizeof(*load->run.fan_sent_at));
        if (load->run.fan_sent_at == NULL)
            load_die("calloc");
    }
    load->signals = load_catch_signals();
    watch(load->epoll, EPOLL_CTL_ADD, load->signals, EPOLLIN, &load->signals);
    good = open_clients(load);
    if (good) {
        printf("{\"ready\":%u}\n", load->open);
        if (load->options.wait)
            wait_for_signal(load);
        run(load);
        print_totals(load);
        good = load->run.lost == 0 && load->open == 0;
    }
    clean_up(load);
    return good;
}

int main(int argc, char **argv)
{
    struct load load = {.epoll = -1};
    int code;

    load_options_read(&load.options, argc, argv);
    prctl(PR_SET_TIMERSLACK, 1UL); /* a pace of 20,000/s is a message every 50 us, the default slack */
    setvbuf(stdout, NULL, _IOLBF, 0);
    load.run.options = &load.options;
    load.run.left = load.options.messages > 0 ? load.options.messages : UINT64_MAX;
    load.run.tls = load.options.tls ? load_tls_new(&load.options) : NULL;
    load.run.sign = load_sign_new(&load.options);
    load.options.form.prefix_size = load_sign_size(load.run.sign);
    if (load.options.mode == LOAD_HANDSHAKES || load.options.mode == LOAD_IDLE) {
        code = load_storm_run(&load.options, load.run.tls);
    } else if (!wire_publish_init(&load.run.publish, &load.options.form)) {
        fprintf(stderr, "mqward-bench-load: --topic is empty or too long\n");
        code = 2;
    } else {
        code = send_messages(&load) ? 0 : 1;
    }
    load_tls_free(load.run.tls);
    free((char *)load.options.target.host);
    free((char *)load.options.publisher.host);
    return code;
}

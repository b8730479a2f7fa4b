/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-sink: a broker that takes PUBLISH as fast as it can be sent and does nothing with it, so that
 * what is measured in front of it is the proxy. One thread, one epoll. Owns the loop, the sockets and the
 * totals; sink_client.c does the bytes.
 *
 *     mqward-bench-sink [port]      default: a free port, on 127.0.0.1
 *
 * stdout, one JSON object a line: {"port":N} when it listens; the totals at SIGUSR1 and, at SIGTERM or
 * SIGINT, before it ends with 0. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sink.h"

#define EVENTS 64

struct sink {
    int epoll;
    int listener;
    int signals;
    struct sink_totals totals;
    struct sink_client *clients; /* open ones */
    struct sink_fan fan;         /* empty but while a client is served */
};

static void die(const char *what)
{
    fprintf(stderr, "mqward-bench-sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int epoll, int operation, int descriptor, uint32_t events, void *data)
{
    struct epoll_event event = {.events = events, .data.ptr = data};

    if (epoll_ctl(epoll, operation, descriptor, &event) != 0)
        die("epoll_ctl");
}

static void listen_on(struct sink *sink, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof(address);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sink->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sink->listener < 0 || setsockopt(sink->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        die("socket");
    if (bind(sink->listener, (struct sockaddr *)&address, size) != 0 || listen(sink->listener, 4096) != 0)
        die("listen on loopback");
    if (getsockname(sink->listener, (struct sockaddr *)&address, &size) != 0)
        die("getsockname");
    watch(sink->epoll, EPOLL_CTL_ADD, sink->listener, EPOLLIN, &sink->listener);
    printf("{\"port\":%u}\n", (unsigned)ntohs(address.sin_port));
}

static void catch_signals(struct sink *sink)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        die("sigprocmask");
    sink->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (sink->signals < 0)
        die("signalfd");
    watch(sink->epoll, EPOLL_CTL_ADD, sink->signals, EPOLLIN, &sink->signals);
}

static void accept_clients(struct sink *sink)
{
    int on = 1;

    for (;;) {
        int descriptor = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED)
                die("accept");
            return;
        }
        struct sink_client *client = calloc(1, sizeof(*client));
        if (client == NULL)
            die("calloc");
        /* Answers leave at once, as a broker's would. */
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        client->socket = descriptor;
        client->next = sink->clients;
        if (client->next != NULL)
            client->next->previous = client;
        sink->clients = client;
        sink->totals.accepted++;
        sink->totals.open++;
        watch(sink->epoll, EPOLL_CTL_ADD, descriptor, EPOLLIN, client);
    }
}

static void close_client(struct sink *sink, struct sink_client *client, bool failed)
{
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        sink->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    assert(sink->totals.open > 0);
    sink->totals.open--;
    sink->totals.failed += failed ? 1 : 0;
    close(client->socket);
    sink_client_release(client);
    free(client);
}

/* Does what the client's new state asks for; was: whether it was waiting to write. */
static void settle(struct sink *sink, struct sink_client *client, enum sink_state state, bool was)
{
    if (state == SINK_CLOSED || state == SINK_FAILED)
        close_client(sink, client, state == SINK_FAILED);
    else if ((state == SINK_ANSWERING) != was)
        watch(
            sink->epoll, EPOLL_CTL_MOD, client->socket, state == SINK_ANSWERING ? EPOLLOUT : EPOLLIN, client);
}

/* Sends what a client has given to all that have subscribed: one write each. Events of a client that fails
 * meanwhile may be waiting in the loop: it is shut down, which the loop then reads. */
static void fan_out(struct sink *sink)
{
    for (struct sink_client *client = sink->clients; client != NULL; client = client->next) {
        bool was_answering = client->unsent != NULL;
        if (!client->subscribed)
            continue;
        enum sink_state state = sink_client_send(client, sink->fan.bytes, sink->fan.length);
        if (state == SINK_FAILED)
            (void)shutdown(client->socket, SHUT_RDWR);
        else
            settle(sink, client, state, was_answering);
        sink->totals.delivered += sink->fan.packets;
    }
    sink->fan.length = 0;
    sink->fan.packets = 0;
}

static void serve(struct sink *sink, struct sink_client *client)
{
    bool was_answering = client->unsent != NULL;
    enum sink_state state = sink_client_ready(client, &sink->totals, &sink->fan);

    settle(sink, client, state, was_answering);
    if (sink->fan.length > 0)
        fan_out(sink);
}

/* least and most: packets of the open connections, to see that all of them take part. */
static void print_totals(const struct sink *sink)
{
    const struct sink_totals *totals = &sink->totals;
    uint64_t least = sink->clients == NULL ? 0 : UINT64_MAX;
    uint64_t most = 0;

    for (const struct sink_client *client = sink->clients; client != NULL; client = client->next) {
        least = client->packets < least ? client->packets : least;
        most = client->packets > most ? client->packets : most;
    }
    printf("{\"publishes\":%" PRIu64 ",\"packets\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"accepted\":%" PRIu64
           ",\"open\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"least\":%" PRIu64
           ",\"most\":%" PRIu64 "}\n",
        totals->publishes, totals->packets, totals->bytes, totals->accepted, totals->open, totals->failed,
        totals->delivered, least, most);
}

/* False when it is time to end. */
static bool take_signal(struct sink *sink)
{
    struct signalfd_siginfo info;

    if (read(sink->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return true;
    print_totals(sink);
    return info.ssi_signo == SIGUSR1;
}

static void run(struct sink *sink)
{
    struct epoll_event events[EVENTS];
    bool running = true;

    while (running) {
        int count = epoll_wait(sink->epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &sink->listener)
                accept_clients(sink);
            else if (events[i].data.ptr == &sink->signals)
                running = take_signal(sink);
            else
                serve(sink, events[i].data.ptr);
        }
    }
    while (sink->clients != NULL)
        close_client(sink, sink->clients, false);
}

int main(int argc, char **argv)
{
    struct sink sink = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    unsigned long port = 0;
    char *end = NULL;

    if (argc > 1)
        port = strtoul(argv[1], &end, 10);
    if (argc > 2 || port > 65535 || (argc > 1 && (*end != '\0' || end == argv[1]))) {
        fprintf(stderr, "usage: mqward-bench-sink [port]\n");
        return 2;
    }
    if (sink.epoll < 0)
        die("epoll_create1");
    setvbuf(stdout, NULL, _IOLBF, 0);
    catch_signals(&sink);
    listen_on(&sink, (uint16_t)port);
    run(&sink);
    free(sink.fan.bytes);
    close(sink.listener);
    close(sink.signals);
    close(sink.epoll);
    return 0;
}

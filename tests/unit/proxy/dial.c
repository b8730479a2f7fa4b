/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling: addresses, names, refusals, and giving up in the middle. */
#include "proxy/dial.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "end.h"
#include "proxy/config.h"

struct call {
    struct dial *dial;
    unsigned calls;
    int fd;
    char address[64], error[200];
};

static void on_dialled(void *argument, int fd, const char *address, const char *error)
{
    struct call *call = argument;

    call->calls++;
    call->fd = fd;
    snprintf(call->address, sizeof(call->address), "%s", address);
    snprintf(call->error, sizeof(call->error), "%s", error == NULL ? "" : error);
    dial_free(call->dial);
    call->dial = NULL;
}

static bool called(void *argument)
{
    return ((struct call *)argument)->calls > 0;
}

/* A listening socket on the loopback of a family; -1 if this machine has none. */
static int listen_on(int family, uint16_t *port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
    socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, address, length) != 0 || listen(fd, 5) != 0) {
        close(fd);
        return -1;
    }
    cr_assert_eq(getsockname(fd, address, &length), 0);
    *port = ntohs(family == AF_INET ? v4.sin_port : v6.sin6_port);
    return fd;
}

static struct call dial(struct event_base *base, struct evdns_base *dns, const char *host, uint16_t port)
{
    struct call call = {.fd = -1};

    call.dial = dial_new(base, dns, host, port, on_dialled, &call);
    cr_expect_eq(call.calls, 0, "called from within dial_new()");
    END_WAIT(base, &call, called);
    end_turn(base, 10);
    cr_expect_eq(call.calls, 1);
    return call;
}

static void expect_connected(const char *host, int family)
{
    struct event_base *base = event_base_new();
    uint16_t port = 0;
    int listener = listen_on(family, &port), accepted;
    struct call call;

    if (listener >= 0) {
        call = dial(base, NULL, host, port);
        cr_assert_geq(call.fd, 0, "%s", call.error);
        cr_expect_str_eq(call.address, host);
        cr_expect_str_eq(call.error, "");
        cr_expect(fcntl(call.fd, F_GETFL) & O_NONBLOCK);
        cr_expect(fcntl(call.fd, F_GETFD) & FD_CLOEXEC);
        accepted = accept(listener, NULL, NULL);
        cr_expect_geq(accepted, 0);
        close(accepted);
        close(call.fd);
        close(listener);
    }
    event_base_free(base);
}

Test(dial, an_ipv4_address_is_reached_without_a_resolver)
{
    expect_connected("127.0.0.1", AF_INET);
}

Test(dial, an_ipv6_address_is_reached_without_a_resolver)
{
    expect_connected("::1", AF_INET6);
}

Test(dial, a_refusal_is_told_with_the_address)
{
    struct event_base *base = event_base_new();
    uint16_t port = 0;
    int listener = listen_on(AF_INET, &port);
    struct call call;

    close(listener);
    call = dial(base, NULL, "127.0.0.1", port);
    cr_expect_eq(call.fd, -1);
    cr_expect_str_eq(call.error, "connect to 127.0.0.1: Connection refused");
    event_base_free(base);
}

Test(dial, a_name_without_a_resolver_is_told_so)
{
    struct event_base *base = event_base_new();
    struct call call = dial(base, NULL, "broker.example", 1883);

    cr_expect_eq(call.fd, -1);
    cr_expect_not_null(strstr(call.error, "broker.example"), "%s", call.error);
    event_base_free(base);
}

/* ---- where connections begin ---- */

#define SOURCES 3

/* Dials this machine from these addresses (NULL: fewer); returns where the connection came from, or 0. */
static in_addr_t dial_sources(const char *const hosts[SOURCES], uint64_t first, struct call *call)
{
    struct event_base *base = event_base_new();
    struct config_address sources[SOURCES] = {0};
    struct sockaddr_in peer = {0};
    socklen_t length = sizeof(peer);
    uint16_t port = 0;
    int listener = listen_on(AF_INET, &port), accepted;
    size_t count = 0;

    while (count < SOURCES && hosts[count] != NULL) {
        sources[count].host = hosts[count];
        count++;
    }
    *call = (struct call){.fd = -1};
    call->dial = dial_new(base, NULL, "127.0.0.1", port, on_dialled, call);
    dial_from(call->dial, sources, count, first);
    END_WAIT(base, call, called);
    if (call->fd >= 0) {
        accepted = accept(listener, (struct sockaddr *)&peer, &length);
        cr_assert_geq(accepted, 0);
        close(accepted);
        close(call->fd);
    }
    close(listener);
    event_base_free(base);
    return peer.sin_addr.s_addr;
}

Test(dial, source_addresses_are_used_in_turn)
{
    const char *const sources[SOURCES] = {"127.0.0.5", "127.0.0.6", "127.0.0.7"};
    struct call call;

    for (unsigned first = 0; first < 2 * SOURCES; first++)
        cr_expect_eq(dial_sources(sources, first, &call), inet_addr(sources[first % SOURCES]));
}

Test(dial, a_source_address_that_can_not_be_used_is_passed_over)
{
    const char *const sources[SOURCES] = {"192.0.2.1", "::1", "127.0.0.7"};
    struct call call;

    for (unsigned first = 0; first < SOURCES; first++)
        cr_expect_eq(dial_sources(sources, first, &call), inet_addr("127.0.0.7"), "%s", call.error);
}

Test(dial, without_a_usable_source_address_there_is_no_connection)
{
    struct call call;

    dial_sources((const char *const[SOURCES]){"192.0.2.1"}, 0, &call);
    cr_expect_eq(call.fd, -1);
    cr_expect_str_eq(call.error, "connect to 127.0.0.1 from 192.0.2.1: no local port is free, or that is no "
                                 "address of this machine; see source_addresses");
    dial_sources((const char *const[SOURCES]){"::1"}, 0, &call);
    cr_expect_eq(call.fd, -1);
    cr_expect_str_eq(call.error, "connect to 127.0.0.1: no source address is of its family");
}

/* A resolver that knows a hosts file and a name server that says nothing. */
struct names {
    struct event_base *base;
    struct evdns_base *dns;
    int silent; /* the name server's socket */
    char hosts[32];
};

static void names_make(struct names *names, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    char server[64];
    int fd;

    *names = (struct names){.base = event_base_new(), .hosts = "/tmp/mqward-hosts-XXXXXX"};
    names->dns = evdns_base_new(names->base, 0);
    fd = mkstemp(names->hosts);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    cr_assert_eq(evdns_base_load_hosts(names->dns, names->hosts), 0);
    names->silent = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(names->silent, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(names->silent, (struct sockaddr *)&address, &length), 0);
    snprintf(server, sizeof(server), "127.0.0.1:%u", ntohs(address.sin_port));
    cr_assert_eq(evdns_base_nameserver_ip_add(names->dns, server), 0);
}

static void names_free(struct names *names)
{
    evdns_base_free(names->dns, 0);
    event_base_loop(names->base, EVLOOP_NONBLOCK); /* what evdns still owes */
    event_base_free(names->base);
    close(names->silent);
    unlink(names->hosts);
}

Test(dial, each_address_of_a_name_is_tried_in_turn)
{
    struct names names;
    uint16_t port = 0;
    int listener = listen_on(AF_INET, &port);
    struct call call;

    names_make(&names, "127.0.0.2 two.test\n127.0.0.3 two.test\n127.0.0.1 two.test\n");
    call = dial(names.base, names.dns, "two.test", port);
    cr_assert_geq(call.fd, 0, "%s", call.error);
    cr_expect_str_eq(call.address, "127.0.0.1");
    close(call.fd);
    close(listener);
    names_free(&names);
}

Test(dial, when_all_addresses_refuse_the_last_refusal_is_told)
{
    struct names names;
    uint16_t port = 0;
    int listener = listen_on(AF_INET, &port);
    struct call call;

    names_make(&names, "127.0.0.2 two.test\n127.0.0.3 two.test\n");
    call = dial(names.base, names.dns, "two.test", port);
    cr_expect_eq(call.fd, -1);
    cr_expect_not_null(strstr(call.error, "refused"), "%s", call.error);
    close(listener);
    names_free(&names);
}

Test(dial, giving_up_while_the_name_is_looked_up_calls_nobody)
{
    struct names names;
    struct call call = {.fd = -1};

    names_make(&names, "");
    call.dial = dial_new(names.base, names.dns, "broker.example", 1883, on_dialled, &call);
    end_turn(names.base, 30);
    cr_expect_eq(call.calls, 0);
    dial_free(call.dial);
    end_turn(names.base, 30);
    cr_expect_eq(call.calls, 0);
    names_free(&names);
}

Test(dial, giving_up_before_the_first_turn_and_during_connect_calls_nobody)
{
    struct event_base *base = event_base_new();
    uint16_t port = 0;
    int listener = listen_on(AF_INET, &port);
    struct call call = {.fd = -1};

    dial_free(dial_new(base, NULL, "127.0.0.1", port, on_dialled, &call));
    call.dial = dial_new(base, NULL, "127.0.0.1", port, on_dialled, &call);
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (call.calls == 0)
        dial_free(call.dial);
    else
        close(call.fd);
    dial_free(NULL);
    end_turn(base, 20);
    cr_expect_leq(call.calls, 1);
    close(listener);
    event_base_free(base);
}

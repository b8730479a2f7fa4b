/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to servers that are slow, hostile, or undecided: what they may cost the loop, and when they are
 * believed. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "directory.h"
#include "exporters/outlet.h"
#include "pki.h"
#include "secrets.h"

/* ---- a server ---- */

struct peer {
    void (*serve)(struct peer *peer, int descriptor); /* on its thread, for each connection */
    SSL_CTX *context;
    bool writes;
    unsigned slow_ms; /* so long it looks at a client's certificate */
    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_size_t sent;
};

static void *run(void *argument)
{
    struct peer *peer = argument;

    for (;;) {
        int descriptor = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor == -1)
            return NULL;
        peer->serve(peer, descriptor);
        close(descriptor);
    }
}

static void peer_start(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(peer->listener, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(listen(peer->listener, 8), 0);
    getsockname(peer->listener, (struct sockaddr *)&address, &length);
    peer->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&peer->thread, NULL, run, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    peer->stop = true;
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
    SSL_CTX_free(peer->context);
}

/* HelloRequest after HelloRequest, in clear, whoever it is that asks. */
static void serve_hello_requests(struct peer *peer, int descriptor)
{
    static const uint8_t header[] = {0x16, 0x03, 0x03, 0x40, 0x00};
    static const uint8_t zeros[16384];
    uint8_t hello[4096];

    if (recv(descriptor, hello, sizeof(hello), 0) <= 0)
        return;
    while (!peer->stop && send(descriptor, header, sizeof(header), MSG_NOSIGNAL) > 0 &&
           send(descriptor, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
        peer->sent += sizeof(zeros);
}

/* Bytes without end. */
static void serve_bytes(struct peer *peer, int descriptor)
{
    static const uint8_t zeros[65536];

    while (!peer->stop && send(descriptor, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0)
        peer->sent += sizeof(zeros);
}

/* A handshake, and then nothing but reading, or bytes without end. */
static void serve_tls(struct peer *peer, int descriptor)
{
    SSL *tls = SSL_new(peer->context);
    static char bytes[16384];

    SSL_set_fd(tls, descriptor);
    SSL_set_app_data(tls, peer);
    if (SSL_accept(tls) == 1)
        while (!peer->stop && (peer->writes ? SSL_write(tls, bytes, sizeof(bytes))
                                            : SSL_read(tls, bytes, sizeof(bytes))) > 0)
            ;
    SSL_free(tls);
}

static int look_slowly(int verified, X509_STORE_CTX *store)
{
    SSL *tls = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct peer *peer = SSL_get_app_data(tls);

    usleep(peer->slow_ms * 1000);
    return verified;
}

/* ---- a client ---- */

struct client {
    char directory[DIRECTORY_MAX], authority[DIRECTORY_MAX + 32];
    struct event_base *base;
    struct outlet_settings settings;
    struct outlet *outlet;
    unsigned connected, failed, ticks;
    size_t received;
    char detail[OUTLET_DETAIL_MAX];
    struct event *tick;
};

static void on_connected(void *argument)
{
    ((struct client *)argument)->connected++;
}

static void on_received(void *argument, struct view bytes)
{
    ((struct client *)argument)->received += bytes.length;
}

static void on_writable(void *argument)
{
    (void)argument;
}

static void on_failed(void *argument, const char *detail)
{
    struct client *client = argument;

    client->failed++;
    snprintf(client->detail, sizeof(client->detail), "%s", detail);
}

static void on_tick(evutil_socket_t descriptor, short events, void *argument)
{
    (void)descriptor, (void)events;
    ((struct client *)argument)->ticks++;
}

/* With an authority, and certificates of servers and clients. */
static void client_open(struct client *client)
{
    const struct outlet_calls calls = {on_connected, on_received, on_writable, on_failed, client};
    EVP_PKEY *key = NULL;

    *client = (struct client){.settings = {.timeout_ms = 20000}};
    signal(SIGPIPE, SIG_IGN); /* the server's */
    directory_make(client->directory);
    X509 *authority = pki_certificate(client->directory, "authority", NULL, NULL, NULL, &key);
    X509_free(pki_certificate(client->directory, "server", "IP:127.0.0.1", authority, key, NULL));
    X509_free(pki_certificate(client->directory, "nameless.example", NULL, authority, key, NULL));
    X509_free(pki_certificate(client->directory, "client", "DNS:mqward.example", authority, key, NULL));
    X509_free(authority);
    EVP_PKEY_free(key);
    snprintf(client->authority, sizeof(client->authority), "%s/authority.pem", client->directory);
    client->base = event_base_new();
    client->outlet = outlet_new(&client->settings, client->base, &calls);
    client->tick = event_new(client->base, -1, EV_PERSIST, on_tick, client);
    event_add(client->tick, &(struct timeval){.tv_usec = 10000});
}

static void client_close(struct client *client)
{
    outlet_free(client->outlet);
    credentials_free(client->settings.credentials);
    event_free(client->tick);
    event_base_free(client->base);
    directory_remove(client->directory);
}

#define TURN_UNTIL(client, condition)                                                                        \
    do {                                                                                                     \
        uint64_t turn_until = clock_monotonic_ms() + 30000;                                                  \
        while (!(condition) && clock_monotonic_ms() < turn_until)                                            \
            event_base_loop((client)->base, EVLOOP_ONCE);                                                    \
        cr_assert((condition), "not within half a minute: " #condition "; %s", (client)->detail);            \
    } while (0)

/* A server with that certificate. asks: for the client's. */
static void peer_tls(
    struct peer *peer, const struct client *client, const char *name, bool asks, size_t tickets)
{
    char path[DIRECTORY_MAX + 32];

    *peer = (struct peer){.serve = serve_tls, .context = SSL_CTX_new(TLS_server_method())};
    snprintf(path, sizeof(path), "%s/%s.pem", client->directory, name);
    cr_assert_eq(SSL_CTX_use_certificate_file(peer->context, path, SSL_FILETYPE_PEM), 1);
    snprintf(path, sizeof(path), "%s/%s.key", client->directory, name);
    cr_assert_eq(SSL_CTX_use_PrivateKey_file(peer->context, path, SSL_FILETYPE_PEM), 1);
    cr_assert_eq(SSL_CTX_load_verify_locations(peer->context, client->authority, NULL), 1);
    SSL_CTX_set_num_tickets(peer->context, tickets);
    if (asks)
        SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, look_slowly);
    peer_start(peer);
}

static void client_trust(struct client *client, bool own)
{
    char certificate[DIRECTORY_MAX + 32], key[DIRECTORY_MAX + 32];

    snprintf(certificate, sizeof(certificate), "%s/client.pem", client->directory);
    snprintf(key, sizeof(key), "%s/client.key", client->directory);
    credentials_free(client->settings.credentials);
    client->settings.credentials = secrets_tls(client->authority, own ? certificate : NULL, own ? key : NULL);
}

/* ---- servers that do not stop ---- */

Test(outlet, a_server_that_only_greets_does_not_keep_the_loop)
{
    struct peer peer = {.serve = serve_hello_requests};
    struct client client;

    client_open(&client);
    client_trust(&client, false);
    peer_start(&peer);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.failed > 0);
    cr_assert_str_eq(client.detail, "TLS: the server sends handshake messages without end");
    cr_assert_eq(client.connected, 0);
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, a_server_with_a_good_certificate_and_tickets_without_end_does_not_keep_the_loop)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, false);
    peer_tls(&peer, &client, "server", false, 5000);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.failed > 0);
    cr_assert_str_eq(client.detail, "TLS: the server sends handshake messages without end");
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, timers_go_on_beside_a_server_that_sends_bytes_without_end)
{
    struct peer peer = {.serve = serve_bytes};
    struct client client;

    client_open(&client);
    peer_start(&peer);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.received > 1024 * 1024);
    unsigned before = client.ticks;
    TURN_UNTIL(&client, client.ticks > before + 10 && client.received > 4 * 1024 * 1024);
    cr_assert_eq(client.failed, 0);
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, timers_go_on_beside_a_server_that_writes_over_tls_without_end)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, false);
    peer_tls(&peer, &client, "server", false, 2);
    peer.writes = true;
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.received > 1024 * 1024);
    unsigned before = client.ticks;
    TURN_UNTIL(&client, client.ticks > before + 10 && client.received > 4 * 1024 * 1024);
    cr_assert_eq(client.failed, 0);
    client_close(&client);
    peer_stop(&peer);
}

/* ---- who is believed ---- */

Test(outlet, a_common_name_is_no_host_name)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, false);
    client.settings.tls_server_name = "nameless.example";
    peer_tls(&peer, &client, "nameless.example", false, 2);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.failed > 0);
    cr_assert_not_null(strstr(client.detail, "mismatch"), "%s", client.detail);
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, a_server_that_asks_for_no_certificate_has_accepted_with_the_handshake)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, false);
    peer_tls(&peer, &client, "server", false, 0);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.connected > 0);
    cr_assert_neq(outlet_accepted_ms(client.outlet), 0);
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, a_server_that_looks_at_our_certificate_has_accepted_when_it_says_so)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, true);
    peer_tls(&peer, &client, "server", true, 2);
    peer.slow_ms = 300; /* twice: the authority's, and ours */
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.connected > 0);
    uint64_t connected_ms = clock_monotonic_ms();
    cr_assert_eq(outlet_accepted_ms(client.outlet), 0);
    TURN_UNTIL(&client, client.failed > 0 || outlet_accepted_ms(client.outlet) != 0);
    cr_assert_eq(client.failed, 0, "%s", client.detail);
    cr_assert_lt(clock_monotonic_ms() - connected_ms, 15000, "its ticket, not the time-out, has told");
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, one_that_never_says_so_is_believed_after_a_while)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, true);
    peer_tls(&peer, &client, "server", true, 0);
    uint64_t before = clock_monotonic_ms();
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.connected > 0);
    client.settings.timeout_ms = 1000; /* the handshake has had more; the while is five seconds at least */
    TURN_UNTIL(&client, client.failed > 0 || outlet_accepted_ms(client.outlet) != 0);
    cr_assert_eq(client.failed, 0, "%s", client.detail);
    cr_assert_geq(clock_monotonic_ms() - before, 5000);
    client_close(&client);
    peer_stop(&peer);
}

Test(outlet, one_that_refuses_late_has_never_accepted)
{
    struct peer peer;
    struct client client;

    client_open(&client);
    client_trust(&client, false); /* it wants one, and there is none */
    peer_tls(&peer, &client, "server", true, 2);
    outlet_open(client.outlet, "127.0.0.1", peer.port);
    TURN_UNTIL(&client, client.connected + client.failed > 0);
    while (client.failed == 0) {
        cr_assert_eq(outlet_accepted_ms(client.outlet), 0);
        event_base_loop(client.base, EVLOOP_ONCE);
    }
    cr_assert_not_null(strstr(client.detail, "alert"), "%s", client.detail);
    client_close(&client);
    peer_stop(&peer);
}

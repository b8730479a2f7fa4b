/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Redis link's way to its server. Called by redis.c.
 *
 *   open -> (timer) begin -> resolver -> connect -> TLS handshake -> connected
 *                 any of these, or a time-out, or the peer: close, then failed()
 *
 * A server that hangs costs this link its deadline and nobody else anything: every step is an event. */
#include "exporters/redis_connection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/memory.h"
#include "exporters/resolver.h"

#define CONNECTION_MAGIC 0x72636f6eU
#define CONNECTION_DETAIL 256
/* A turn of the loop. libevent's own bound is 16 KiB: a dozen events, while a turn seals hundreds. */
#define CONNECTION_TURN_BYTES ((size_t)1024 * 1024)

enum connection_state { CONNECTION_CLOSED, CONNECTION_RESOLVING, CONNECTION_CONNECTING, CONNECTION_OPEN };

struct redis_connection {
    uint32_t magic;
    enum connection_state state;
    const struct exporter_redis *settings;
    struct event_base *base;
    struct redis_connection_calls calls;
    SSL_CTX *tls;
    struct resolver *resolver;
    struct bufferevent *bufferevent;
    struct event *deadline;
    struct event *begin;
    unsigned attempts; /* so that each attempt takes the next address of a name that has several */
};

/* ---- TLS ---- */

static void connection_tls_error(char *error, size_t error_size, const char *what, const char *path)
{
    unsigned long code = ERR_get_error();
    char text[160] = "unknown error";

    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    snprintf(error, error_size, "%s%s%s: %s", what, path == NULL ? "" : " ", path == NULL ? "" : path, text);
}

static SSL_CTX *connection_tls_context(const struct exporter_redis *settings, char *error, size_t error_size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        connection_tls_error(error, error_size, "TLS", NULL);
        goto failed;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (settings->tls_ca == NULL ? SSL_CTX_set_default_verify_paths(context) != 1
                                 : SSL_CTX_load_verify_locations(context, settings->tls_ca, NULL) != 1) {
        connection_tls_error(error, error_size, "certificate authorities", settings->tls_ca);
        goto failed;
    }
    if (settings->tls_certificate != NULL &&
        SSL_CTX_use_certificate_chain_file(context, settings->tls_certificate) != 1) {
        connection_tls_error(error, error_size, "certificate", settings->tls_certificate);
        goto failed;
    }
    if (settings->tls_key != NULL &&
        (SSL_CTX_use_PrivateKey_file(context, settings->tls_key, SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_check_private_key(context) != 1)) {
        connection_tls_error(error, error_size, "private key", settings->tls_key);
        goto failed;
    }
    return context;
failed:
    SSL_CTX_free(context);
    return NULL;
}

static bool connection_is_numeric(const char *name)
{
    struct in6_addr address;

    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* The server must prove the name that was configured: verified chain and matching name, or no connection. */
static SSL *connection_tls_session(const struct redis_connection *connection)
{
    const char *name = connection->settings->tls_server_name != NULL ? connection->settings->tls_server_name
                                                                     : connection->settings->host;
    SSL *tls = SSL_new(connection->tls);

    if (tls == NULL)
        return NULL;
    X509_VERIFY_PARAM *verify = SSL_get0_param(tls);
    X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int set = connection_is_numeric(name) ? X509_VERIFY_PARAM_set1_ip_asc(verify, name)
                                          : X509_VERIFY_PARAM_set1_host(verify, name, 0) == 1 &&
                                                SSL_set_tlsext_host_name(tls, name) == 1;
    if (set != 1) {
        SSL_free(tls);
        return NULL;
    }
    return tls;
}

/* ---- ending ---- */

void redis_connection_close(struct redis_connection *connection)
{
    assert(connection->magic == CONNECTION_MAGIC);
    connection->state = CONNECTION_CLOSED;
    event_del(connection->deadline);
    event_del(connection->begin);
    resolver_cancel(connection->resolver);
    connection->resolver = NULL;
    if (connection->bufferevent != NULL)
        bufferevent_free(connection->bufferevent);
    connection->bufferevent = NULL;
}

static void connection_fail(struct redis_connection *connection, const char *detail)
{
    char copy[CONNECTION_DETAIL]; /* detail may live in what is closed here */

    snprintf(copy, sizeof(copy), "%s", detail);
    redis_connection_close(connection);
    connection->calls.failed(connection->calls.argument, copy);
}

static void connection_on_deadline(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_connection *connection = argument;
    static const char *const details[] = {
        [CONNECTION_CLOSED] = "timed out",
        [CONNECTION_RESOLVING] = "the name was not resolved in time",
        [CONNECTION_CONNECTING] = "no connection in time",
        [CONNECTION_OPEN] = "no answer in time",
    };

    (void)descriptor;
    (void)events;
    assert(connection->magic == CONNECTION_MAGIC);
    connection_fail(connection, details[connection->state]);
}

void redis_connection_expect(struct redis_connection *connection, bool answer)
{
    struct timeval time = {.tv_sec = (time_t)(connection->settings->timeout_ms / 1000),
        .tv_usec = (suseconds_t)(connection->settings->timeout_ms % 1000 * 1000)};

    if (answer && connection->settings->timeout_ms > 0)
        event_add(connection->deadline, &time);
    else
        event_del(connection->deadline);
}

/* ---- bufferevent ---- */

static void connection_on_read(struct bufferevent *bufferevent, void *argument)
{
    struct redis_connection *connection = argument;
    struct evbuffer *input = bufferevent_get_input(bufferevent);

    assert(connection->magic == CONNECTION_MAGIC);
    while (connection->bufferevent == bufferevent && evbuffer_get_length(input) > 0) {
        uint8_t chunk[16384];
        int count = evbuffer_remove(input, chunk, sizeof(chunk));
        if (count <= 0)
            return;
        connection->calls.received(connection->calls.argument, view_of(chunk, (size_t)count));
    }
}

static void connection_describe_error(
    struct bufferevent *bufferevent, short events, char detail[CONNECTION_DETAIL])
{
    unsigned long code = bufferevent_get_openssl_error(bufferevent);
    SSL *tls = bufferevent_openssl_get_ssl(bufferevent);
    long verify = tls == NULL ? X509_V_OK : SSL_get_verify_result(tls);
    char text[160];

    if (verify != X509_V_OK) {
        snprintf(detail, CONNECTION_DETAIL, "TLS: the server's certificate: %s",
            X509_verify_cert_error_string(verify));
    } else if (code != 0) {
        ERR_error_string_n(code, text, sizeof(text));
        snprintf(detail, CONNECTION_DETAIL, "TLS: %s", text);
    } else if (events & BEV_EVENT_EOF) {
        snprintf(detail, CONNECTION_DETAIL, "the server closed the connection");
    } else {
        snprintf(detail, CONNECTION_DETAIL, "%s", evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
    }
}

static void connection_on_event(struct bufferevent *bufferevent, short events, void *argument)
{
    struct redis_connection *connection = argument;
    char detail[CONNECTION_DETAIL];

    assert(connection->magic == CONNECTION_MAGIC);
    if (connection->bufferevent != bufferevent)
        return;
    if (events & BEV_EVENT_CONNECTED) {
        connection->state = CONNECTION_OPEN;
        redis_connection_expect(connection, false);
        connection->calls.connected(connection->calls.argument);
        return;
    }
    connection_describe_error(bufferevent, events, detail);
    connection_fail(connection, detail);
}

void redis_connection_send(struct redis_connection *connection, struct view bytes)
{
    assert(connection->state == CONNECTION_OPEN);
    bufferevent_write(connection->bufferevent, bytes.data, bytes.length);
}

/* ---- connecting ---- */

static void connection_connect(
    struct redis_connection *connection, const struct sockaddr *address, socklen_t length)
{
    connection->state = CONNECTION_CONNECTING;
    if (connection->settings->tls) {
        SSL *tls = connection_tls_session(connection);
        if (tls != NULL)
            connection->bufferevent = bufferevent_openssl_socket_new(connection->base, -1, tls,
                BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    } else {
        connection->bufferevent =
            bufferevent_socket_new(connection->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    }
    if (connection->bufferevent == NULL) {
        connection_fail(connection, "no connection can be made");
        return;
    }
    bufferevent_setcb(connection->bufferevent, connection_on_read, NULL, connection_on_event, connection);
    bufferevent_set_max_single_read(connection->bufferevent, CONNECTION_TURN_BYTES);
    bufferevent_set_max_single_write(connection->bufferevent, CONNECTION_TURN_BYTES);
    bufferevent_enable(connection->bufferevent, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(connection->bufferevent, address, (int)length) == -1 &&
        connection->bufferevent != NULL && connection->state == CONNECTION_CONNECTING) {
        char detail[CONNECTION_DETAIL];
        snprintf(detail, sizeof(detail), "%s", strerror(errno));
        connection_fail(connection, detail);
    }
}

static void connection_on_resolved(void *argument, int result, const struct addrinfo *list)
{
    struct redis_connection *connection = argument;
    const struct addrinfo *chosen = list;
    unsigned count = 0;

    assert(connection->magic == CONNECTION_MAGIC);
    connection->resolver = NULL;
    if (result != 0 || list == NULL) {
        char detail[CONNECTION_DETAIL];
        snprintf(detail, sizeof(detail), "%s: %s", connection->settings->host, gai_strerror(result));
        connection_fail(connection, detail);
        return;
    }
    for (const struct addrinfo *each = list; each != NULL; each = each->ai_next)
        count++;
    for (unsigned skip = connection->attempts++ % count; skip > 0; skip--)
        chosen = chosen->ai_next;
    connection_connect(connection, chosen->ai_addr, chosen->ai_addrlen);
}

/* Asked anew for each attempt: failover by DNS works. */
static void connection_resolve(struct redis_connection *connection)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];

    connection->state = CONNECTION_RESOLVING;
    snprintf(port, sizeof(port), "%u", (unsigned)connection->settings->port);
    if (getaddrinfo(connection->settings->host, port, &hints, &list) ==
        0) { /* an address: there is nothing to look up */
        connection_on_resolved(connection, 0, list);
        freeaddrinfo(list);
        return;
    }
    connection->resolver = resolver_start(connection->base, connection->settings->host,
        connection->settings->port, connection_on_resolved, connection);
    if (connection->resolver == NULL)
        connection_fail(connection, "no thread for the look-up of the host's name");
}

static void connection_on_begin(evutil_socket_t descriptor, short events, void *argument)
{
    struct redis_connection *connection = argument;
    struct sockaddr_un local = {.sun_family = AF_UNIX};

    (void)descriptor;
    (void)events;
    assert(connection->magic == CONNECTION_MAGIC);
    redis_connection_expect(connection, true);
    if (connection->settings->host[0] != '/') {
        connection_resolve(connection);
        return;
    }
    memcpy(local.sun_path, connection->settings->host, strlen(connection->settings->host) + 1);
    connection_connect(connection, (const struct sockaddr *)&local, (socklen_t)sizeof(local));
}

void redis_connection_open(struct redis_connection *connection)
{
    assert(connection->magic == CONNECTION_MAGIC && connection->state == CONNECTION_CLOSED);
    event_active(connection->begin, EV_TIMEOUT, 0);
}

/* ---- life ---- */

struct redis_connection *redis_connection_new(const struct exporter_redis *settings, struct event_base *base,
    const struct redis_connection_calls *calls, char *error, size_t error_size)
{
    struct redis_connection *connection;
    SSL_CTX *tls = NULL;

    if (settings->host[0] == '/' && strlen(settings->host) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        snprintf(error, error_size, "%s: the path is too long for a Unix socket", settings->host);
        return NULL;
    }
    if (settings->tls && (tls = connection_tls_context(settings, error, error_size)) == NULL)
        return NULL;
    connection = memory_calloc(1, sizeof(*connection));
    connection->magic = CONNECTION_MAGIC;
    connection->settings = settings;
    connection->base = base;
    connection->calls = *calls;
    connection->tls = tls;
    connection->deadline = evtimer_new(base, connection_on_deadline, connection);
    connection->begin = evtimer_new(base, connection_on_begin, connection);
    if (connection->deadline == NULL || connection->begin == NULL) {
        snprintf(error, error_size, "no timer can be made");
        redis_connection_free(connection);
        return NULL;
    }
    return connection;
}

void redis_connection_free(struct redis_connection *connection)
{
    if (connection == NULL)
        return;
    if (connection->deadline != NULL && connection->begin != NULL)
        redis_connection_close(connection);
    if (connection->deadline != NULL)
        event_free(connection->deadline);
    if (connection->begin != NULL)
        event_free(connection->begin);
    SSL_CTX_free(connection->tls);
    connection->magic = 0;
    free(connection);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the admin listener and its connections, on the main thread's loop: libevent's evhttp, and around it
 * the bounds that evhttp does not have, of connections and of the time of each. */
#include "proxy/admin.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "proxy/listen_address.h"
#include "proxy/unix_socket.h"

#define ADMIN_MAGIC 0xad314a11u
#define BACKLOG 64
/* When there are so many connections, the oldest one makes room: an answer takes milliseconds, so that it is
 * one that does not ask. */
#define PEERS_MAX 64
#define HEADERS_MAX 8192
/* More is not read of a peer that does not take its answer. */
#define INPUT_MAX 16384
#define IDLE_S 5               /* without a byte */
#define REQUEST_MS 10000       /* from the first byte of the request to the last one of its answer */
#define SWEEP_US 250000        /* so often is looked for those that are over, or ought to be */
#define REST_S 1               /* after a failed accept */
#define METHODS_ALL UINT16_MAX /* those that are not allowed get a 405, too */

/* A connection. evhttp owns it and does not tell when it ends; a reference of ours shows that. */
struct peer {
    struct peer *next;
    struct bufferevent *stream;
    uint64_t since_ms;
};

struct admin {
    uint32_t magic;
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener; /* of http */
    struct event *sweep, *revive;
    struct peer *oldest, **newest;
    unsigned count;
    bool checks_host;
    admin_handle *handle;
    void *context;
    struct unix_socket socket; /* path empty: it is none */
    char *address;
};

/* ---- connections ---- */

/* evhttp takes its callbacks away from what it has freed. */
static bool is_over(const struct peer *peer)
{
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *argument;

    bufferevent_getcb(peer->stream, &on_read, &on_write, &on_event, &argument);
    return on_read == NULL && on_write == NULL && on_event == NULL;
}

static void remove_peer(struct admin *admin, struct peer **at)
{
    struct peer *peer = *at;

    *at = peer->next;
    if (peer->next == NULL)
        admin->newest = at;
    admin->count--;
    bufferevent_decref(peer->stream);
    free(peer);
}

/* evhttp frees it, as after a time-out of its own. */
static void end_peer(const struct peer *peer)
{
    bufferevent_trigger_event(peer->stream, BEV_EVENT_TIMEOUT | BEV_EVENT_READING, 0);
}

static void sweep(struct admin *admin)
{
    uint64_t now = clock_monotonic_ms();

    for (struct peer **at = &admin->oldest; *at != NULL;) {
        if (!is_over(*at) && now - (*at)->since_ms > REQUEST_MS)
            end_peer(*at);
        if (is_over(*at))
            remove_peer(admin, at);
        else
            at = &(*at)->next;
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval again = {0, SWEEP_US};
    struct admin *admin = argument;

    (void)fd, (void)what;
    assert(admin->magic == ADMIN_MAGIC);
    sweep(admin);
    if (admin->oldest != NULL)
        event_add(admin->sweep, &again);
}

static void make_room(struct admin *admin)
{
    sweep(admin);
    if (admin->count < PEERS_MAX)
        return;
    LOG_LIMITED(LOG_WARN, "admin", "too many connections: the oldest is closed");
    end_peer(admin->oldest);
    sweep(admin);
}

/* evhttp has accepted a connection and asks for what it is to be read with. */
static struct bufferevent *on_accepted(struct event_base *base, void *argument)
{
    static const struct timeval soon = {0, SWEEP_US};
    struct admin *admin = argument;
    struct peer *peer = memory_calloc(1, sizeof(*peer));

    assert(admin->magic == ADMIN_MAGIC);
    if (admin->count >= PEERS_MAX)
        make_room(admin);
    /* The descriptor lives as long as our reference: closed before, its number would soon be another's, whose
     * events the end of this one would take away. */
    peer->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (peer->stream == NULL)
        memory_exhausted();
    bufferevent_setwatermark(peer->stream, EV_READ, 0, INPUT_MAX);
    bufferevent_incref(peer->stream);
    peer->since_ms = clock_monotonic_ms();
    *admin->newest = peer;
    admin->newest = &peer->next;
    admin->count++;
    if (!event_pending(admin->sweep, EV_TIMEOUT, NULL))
        event_add(admin->sweep, &soon);
    return peer->stream;
}

/* No descriptors left, as a rule: nobody is accepted for a moment, or the loop would turn for nothing. The
 * argument is evhttp's. */
static void on_accept_error(struct evconnlistener *listener, void *argument)
{
    (void)argument;
    LOG_LIMITED(LOG_ERROR, "admin", "can't accept", log_string("error", strerror(errno)));
    evconnlistener_disable(listener);
}

static void on_revive(evutil_socket_t fd, short what, void *argument)
{
    struct admin *admin = argument;

    (void)fd, (void)what;
    evconnlistener_enable(admin->listener); /* nothing, as a rule */
}

/* ---- requests ---- */

/* A name or an address, perhaps with a port behind it. */
static struct view without_port(struct view host)
{
    size_t length = host.length;

    while (length > 0 && host.data[length - 1] >= '0' && host.data[length - 1] <= '9')
        length--;
    return length > 1 && host.data[length - 1] == ':' ? view_of(host.data, length - 1) : host;
}

static bool is_address(struct view host)
{
    bool bracketed = host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']';
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;

    if (bracketed)
        host = view_of(host.data + 1, host.length - 2);
    if (host.length == 0 || host.length >= sizeof(address))
        return false;
    memcpy(address, host.data, host.length);
    address[host.length] = '\0';
    return inet_pton(bracketed ? AF_INET6 : AF_INET, address, &parsed) == 1;
}

/* A name that somebody else owns may lead here: then a page of his, in the browser of whoever sits at this
 * machine, would read the answer. Nobody owns addresses and localhost. */
static bool is_ours(struct view host)
{
    static const struct view localhost = VIEW("localhost");
    struct view name = without_port(host);

    return is_address(name) || (name.length == localhost.length &&
                                   strncasecmp((const char *)name.data, "localhost", localhost.length) == 0);
}

/* Each name that the request gives this host: the header's, and the target's where that is absolute. evhttp
 * would take "//localhost/status" for an absolute target, and believe it. */
static bool names_us(const struct admin *admin, struct evhttp_request *request)
{
    const char *header = evhttp_find_header(evhttp_request_get_input_headers(request), "Host");
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *target = uri == NULL ? NULL : evhttp_uri_get_host(uri);

    if (!admin->checks_host)
        return true;
    return (header == NULL || is_ours(view_of_string(header))) &&
           (target == NULL || evhttp_request_get_uri(request)[0] == '/' || is_ours(view_of_string(target)));
}

/* What stands before '?' and '#', as it came (RFC 9112, section 3.2.1), or the path of an absolute target. */
static char *path_of(struct evhttp_request *request)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *target = evhttp_request_get_uri(request);

    if (target[0] != '/')
        target = uri == NULL || evhttp_uri_get_path(uri) == NULL ? "" : evhttp_uri_get_path(uri);
    return memory_copy_string(view_of(target, strcspn(target, "?#")));
}

static void answer_problem(struct admin_answer *answer, int status, const char *text)
{
    answer->status = status;
    answer->content_type = "text/plain; charset=utf-8";
    buffer_clear(&answer->body);
    buffer_append(&answer->body, view_of_string(text));
}

static const char *phrase_of(int status)
{
    return status == 200   ? "OK"
           : status == 403 ? "Forbidden"
           : status == 404 ? "Not Found"
           : status == 405 ? "Method Not Allowed"
                           : "Service Unavailable";
}

/* A connection has one request: who wants more comes again. */
static void send_answer(struct evhttp_request *request, const struct admin_answer *answer, bool head)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *body = evbuffer_new();
    char length[24];

    if (body == NULL)
        memory_exhausted();
    snprintf(length, sizeof(length), "%zu", buffer_length(&answer->body));
    evhttp_add_header(headers, "Content-Type", answer->content_type);
    evhttp_add_header(headers, "Content-Length", length);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "Connection", "close");
    if (answer->status == 405)
        evhttp_add_header(headers, "Allow", "GET, HEAD");
    if (!head &&
        evbuffer_add(body, answer->body.data + answer->body.start, buffer_length(&answer->body)) != 0)
        memory_exhausted();
    evhttp_send_reply(request, answer->status, phrase_of(answer->status), body);
    evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *argument)
{
    struct admin *admin = argument;
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    char *path = path_of(request);
    struct admin_answer answer = {.status = 200, .content_type = "text/plain; charset=utf-8"};

    assert(admin->magic == ADMIN_MAGIC);
    if (!names_us(admin, request))
        answer_problem(&answer, 403, "on loopback, only addresses and localhost are names of this host\n");
    else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD)
        answer_problem(&answer, 405, "only GET and HEAD are answered\n");
    else if (!admin->handle(admin->context, path, &answer))
        answer_problem(&answer, 404, "there are /metrics, /healthz, /readyz and /status\n");
    send_answer(request, &answer, method == EVHTTP_REQ_HEAD);
    buffer_release(&answer.body);
    free(path);
}

/* ---- life ---- */

static int bind_tcp(struct admin *admin, const struct config_address *address, char *error, size_t size)
{
    const char *why = NULL;
    int fd = listen_address_bind(address, address->port, false, &why);

    if (fd >= 0 && listen(fd, BACKLOG) != 0) {
        why = strerror(errno);
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        snprintf(error, size, "can't listen: %s", why);
        return -1;
    }
    admin->address = memory_format(
        strchr(address->host, ':') == NULL ? "%s:%u" : "[%s]:%u", address->host, listen_address_port(fd));
    return fd;
}

/* The listening descriptor, or -1 and why. */
static int open_socket(struct admin *admin, const struct config_admin *config, char *error, size_t size)
{
    const char *path = config->listen.unix_path;

    if (path == NULL)
        return bind_tcp(admin, &config->listen, error, size);
    if (unix_socket_listen(&admin->socket, path, 0660, BACKLOG, "admin socket", error, size) != 0) {
        admin->socket.address.sun_path[0] = '\0';
        return -1;
    }
    admin->address = memory_copy_string(view_of_string(path));
    return admin->socket.fd;
}

static void set_up(struct admin *admin, int fd)
{
    static const struct timeval rest = {REST_S, 0};

    admin->listener =
        evconnlistener_new(admin->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    admin->http = evhttp_new(admin->base);
    admin->sweep = evtimer_new(admin->base, on_sweep, admin);
    admin->revive = event_new(admin->base, -1, EV_PERSIST, on_revive, admin);
    if (admin->listener == NULL || admin->http == NULL || admin->sweep == NULL || admin->revive == NULL ||
        evhttp_bind_listener(admin->http, admin->listener) == NULL)
        memory_exhausted();
    evconnlistener_set_error_cb(admin->listener, on_accept_error);
    event_add(admin->revive, &rest);
    evhttp_set_bevcb(admin->http, on_accepted, admin);
    evhttp_set_gencb(admin->http, on_request, admin);
    evhttp_set_allowed_methods(admin->http, METHODS_ALL);
    evhttp_set_max_headers_size(admin->http, HEADERS_MAX);
    evhttp_set_max_body_size(admin->http, 0);
    evhttp_set_timeout(admin->http, IDLE_S);
}

struct admin *admin_open(const struct config_admin *config, struct event_base *base, admin_handle *handle,
    void *context, char *error, size_t error_size)
{
    struct admin *admin = memory_calloc(1, sizeof(*admin));
    int fd = open_socket(admin, config, error, error_size);

    if (fd < 0) {
        free(admin);
        return NULL;
    }
    admin->magic = ADMIN_MAGIC;
    admin->base = base;
    admin->newest = &admin->oldest;
    admin->checks_host = config->listen.unix_path == NULL && !config->remote;
    admin->handle = handle;
    admin->context = context;
    set_up(admin, fd);
    return admin;
}

void admin_close(struct admin *admin)
{
    if (admin == NULL)
        return;
    assert(admin->magic == ADMIN_MAGIC);
    admin->magic = 0;
    if (admin->socket.address.sun_path[0] != '\0')
        unix_socket_remove(&admin->socket);
    evhttp_free(admin->http); /* and the listening socket */
    while (admin->oldest != NULL)
        remove_peer(admin, &admin->oldest);
    event_free(admin->sweep);
    event_free(admin->revive);
    free(admin->address);
    free(admin);
}

const char *admin_address(const struct admin *admin)
{
    return admin->address;
}

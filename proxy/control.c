/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the control socket and its clients, on the main thread's loop. Requests are carried out by
 * server_control.c. */
#include "proxy/control.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "proxy/unix_socket.h"

#define CONTROL_MAGIC 0xc0274011u
#define CLIENTS_MAX 16
#define REQUEST_S 5 /* for a client to say what it wants */
#define ANSWER_S 10 /* and to take the answer */
#define READ_STEP 4096
/* After a failed accept (no descriptors left) nobody is accepted for so long. */
#define REST_US 100000

struct client {
    struct client *previous, *next;
    struct control *control;
    struct event *event, *deadline;
    struct control_peer peer;
    struct buffer request, answer;
};

struct control {
    uint32_t magic;
    struct event *event, *rest;
    control_handle *handle;
    void *context;
    struct client *clients;
    unsigned count;
    struct unix_socket socket;
};

void control_answer_error(struct buffer *answer, const char *error)
{
    struct json json;

    json_write_begin(&json, answer);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", false);
    json_write_string(&json, "error", view_of_string(error));
    json_write_object_end(&json);
}

/* ---- a client ---- */

static void drop(struct client *client)
{
    struct control *control = client->control;
    int fd = event_get_fd(client->event);

    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        control->clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    control->count--;
    event_free(client->event); /* before its number is another thread's */
    event_free(client->deadline);
    close(fd);
    buffer_release(&client->request);
    buffer_release(&client->answer);
    free(client);
}

static void on_deadline(evutil_socket_t fd, short what, void *argument)
{
    (void)fd, (void)what;
    drop(argument);
}

/* What the client does next, and until when: no byte of it begins the time anew. */
static void await(struct client *client, int fd, short what, event_callback_fn callback, time_t seconds)
{
    const struct timeval limit = {seconds, 0};
    struct event_base *base = event_get_base(client->control->event);

    if (client->event != NULL)
        event_free(client->event);
    if (client->deadline == NULL)
        client->deadline = evtimer_new(base, on_deadline, client);
    client->event = event_new(base, fd, (short)(what | EV_PERSIST), callback, client);
    if (client->event == NULL || client->deadline == NULL)
        memory_exhausted();
    event_add(client->event, NULL);
    event_add(client->deadline, &limit);
}

static void on_answer(evutil_socket_t fd, short what, void *argument)
{
    struct client *client = argument;
    ssize_t sent;

    (void)what;
    sent = send(fd, client->answer.data + client->answer.start, buffer_length(&client->answer), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(client);
        return;
    }
    if (sent > 0)
        buffer_consume(&client->answer, (size_t)sent);
    if (buffer_length(&client->answer) == 0)
        drop(client);
}

static void begin_answer(struct client *client)
{
    buffer_append_byte(&client->answer, '\n');
    await(client, event_get_fd(client->event), EV_WRITE, on_answer, ANSWER_S);
}

static void carry_out(struct client *client, size_t length)
{
    struct control_request request;
    const char *error =
        control_request_parse(view_of(client->request.data + client->request.start, length), &request);

    if (error != NULL)
        control_answer_error(&client->answer, error);
    else {
        client->control->handle(client->control->context, &request, &client->peer, &client->answer);
        control_request_release(&request);
    }
    begin_answer(client);
}

static void on_request(evutil_socket_t fd, short what, void *argument)
{
    struct client *client = argument;
    struct view line;
    const uint8_t *end;
    ssize_t got;

    (void)what;
    got = recv(fd, buffer_reserve(&client->request, READ_STEP), READ_STEP, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        drop(client);
        return;
    }
    if (got < 0)
        return;
    client->request.end += (size_t)got;
    line = buffer_view(&client->request);
    end = memchr(line.data, '\n', line.length);
    if (end != NULL)
        carry_out(client, (size_t)(end - line.data));
    else if (line.length > CONTROL_REQUEST_MAX) {
        control_answer_error(&client->answer, "the request is too long");
        begin_answer(client);
    }
}

/* ---- accepting ---- */

/* Who is there; false: nobody who may ask. The mode of the socket keeps others out, too, unless somebody
 * changed it. */
static bool identify(int fd, struct control_peer *peer)
{
    struct ucred credentials;
    socklen_t length = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return false;
    *peer = (struct control_peer){credentials.uid, credentials.pid};
    return credentials.uid == 0 || credentials.uid == geteuid();
}

/* One answer that does not wait: it fits the empty buffer of a new socket. */
static void turn_away(int fd, const char *error)
{
    struct buffer answer = {0};

    control_answer_error(&answer, error);
    buffer_append_byte(&answer, '\n');
    if (send(fd, answer.data + answer.start, buffer_length(&answer), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        LOG_LIMITED(LOG_WARN, "control", "can't answer", log_string("error", strerror(errno)));
    buffer_release(&answer);
    close(fd);
}

static void add_client(struct control *control, int fd, const struct control_peer *peer)
{
    struct client *client = memory_calloc(1, sizeof(*client));

    client->control = control;
    client->peer = *peer;
    await(client, fd, EV_READ, on_request, REQUEST_S);
    client->next = control->clients;
    if (client->next != NULL)
        client->next->previous = client;
    control->clients = client;
    control->count++;
}

static void on_rest_over(evutil_socket_t fd, short what, void *argument)
{
    struct control *control = argument;

    (void)fd, (void)what;
    event_add(control->event, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval rest = {0, REST_US};
    struct control *control = argument;
    struct control_peer peer = {0};
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    assert(control->magic == CONTROL_MAGIC);
    if (accepted < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            LOG_LIMITED(LOG_ERROR, "control", "can't accept", log_string("error", strerror(errno)));
            event_del(control->event);
            event_add(control->rest, &rest);
        }
        return;
    }
    if (!identify(accepted, &peer)) {
        LOG_LIMITED(LOG_WARN, "control", "somebody who may not ask was turned away",
            log_unsigned("uid", peer.uid), log_unsigned("pid", (uint64_t)peer.pid));
        turn_away(accepted, "only root and the user that mqward runs as may ask");
    } else if (control->count >= CLIENTS_MAX)
        turn_away(accepted, "too many ask at the same time");
    else
        add_client(control, accepted, &peer);
}

/* ---- the socket ---- */

struct control *control_open(const char *path, struct event_base *base, control_handle *handle, void *context,
    char *error, size_t error_size)
{
    struct control *control = memory_calloc(1, sizeof(*control));

    control->magic = CONTROL_MAGIC;
    control->handle = handle;
    control->context = context;
    if (unix_socket_listen(&control->socket, path, 0600, CLIENTS_MAX, "control socket", error, error_size) !=
        0) {
        free(control);
        return NULL;
    }
    control->event = event_new(base, control->socket.fd, EV_READ | EV_PERSIST, on_accept, control);
    control->rest = evtimer_new(base, on_rest_over, control);
    if (control->event == NULL || control->rest == NULL)
        memory_exhausted();
    event_add(control->event, NULL);
    return control;
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    assert(control->magic == CONTROL_MAGIC);
    control->magic = 0;
    while (control->clients != NULL)
        drop(control->clients);
    unix_socket_remove(&control->socket);
    event_free(control->event);
    event_free(control->rest);
    close(control->socket.fd);
    free(control);
}

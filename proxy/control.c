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
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"

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
    struct sockaddr_un address;
    dev_t device; /* of the socket that was made: at the end no other is removed */
    ino_t inode;
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

static int fail(char *error, size_t size, const char *what, const char *why)
{
    snprintf(error, size, "%s%s%s", what, why == NULL ? "" : ": ", why == NULL ? "" : why);
    return -1;
}

/* In a folder where others may rename, the socket's name would be theirs to give. */
static int check_folder(const char *path, char *error, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = memory_copy_string(view_of(slash == NULL ? "." : path, length));
    struct stat status;
    int result = 0;

    if (stat(folder, &status) != 0)
        result = fail(error, size, "the folder of the control socket", strerror(errno));
    else if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0)
        result = fail(error, size, "others may write to the folder of the control socket", NULL);
    else if (status.st_uid != 0 && status.st_uid != geteuid())
        result = fail(error, size, "the folder of the control socket is somebody else's", NULL);
    free(folder);
    return result;
}

/* Somebody listens there: a connection is made, or waits in a queue that is full. */
static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool answered = fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                    errno != ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return answered;
}

/* Makes room for the socket. Two processes with one configuration do not meet here: one of them has not got
 * the directory of the audit. */
static int remove_stale(const struct sockaddr_un *address, char *error, size_t size)
{
    struct stat status;

    if (lstat(address->sun_path, &status) != 0)
        return errno == ENOENT ? 0 : fail(error, size, "can't look at the control socket", strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fail(error, size, "there is a file that is no socket", NULL);
    if (is_answered(address))
        return fail(error, size, "another process listens there", NULL);
    if (unlink(address->sun_path) != 0 && errno != ENOENT)
        return fail(error, size, "can't remove the old control socket", strerror(errno));
    return 0;
}

static int listen_on(const struct sockaddr_un *address, char *error, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mode_t before = umask(0177); /* there is no moment in which others could connect */
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)address, sizeof(*address));

    umask(before);
    if (bound == 0 && listen(fd, CLIENTS_MAX) == 0)
        return fd;
    fail(error, size, "can't listen", strerror(errno));
    if (bound == 0)
        unlink(address->sun_path);
    if (fd >= 0)
        close(fd);
    return -1;
}

struct control *control_open(const char *path, struct event_base *base, control_handle *handle, void *context,
    char *error, size_t error_size)
{
    struct control *control = memory_calloc(1, sizeof(*control));
    struct stat status;
    int fd = -1;

    control->magic = CONTROL_MAGIC;
    control->handle = handle;
    control->context = context;
    control->address.sun_family = AF_UNIX;
    assert(strlen(path) < sizeof(control->address.sun_path)); /* config.c has checked */
    strcpy(control->address.sun_path, path);
    if (check_folder(path, error, error_size) == 0 && remove_stale(&control->address, error, error_size) == 0)
        fd = listen_on(&control->address, error, error_size);
    if (fd >= 0 && lstat(path, &status) == 0) {
        control->device = status.st_dev;
        control->inode = status.st_ino;
    }
    if (fd < 0) {
        free(control);
        return NULL;
    }
    control->event = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, control);
    control->rest = evtimer_new(base, on_rest_over, control);
    if (control->event == NULL || control->rest == NULL)
        memory_exhausted();
    event_add(control->event, NULL);
    return control;
}

void control_close(struct control *control)
{
    struct stat status;
    int fd;

    if (control == NULL)
        return;
    assert(control->magic == CONTROL_MAGIC);
    control->magic = 0;
    fd = event_get_fd(control->event);
    while (control->clients != NULL)
        drop(control->clients);
    if (lstat(control->address.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        status.st_dev == control->device && status.st_ino == control->inode)
        unlink(control->address.sun_path);
    event_free(control->event);
    event_free(control->rest);
    close(fd);
    free(control);
}

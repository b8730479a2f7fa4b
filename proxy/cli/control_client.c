/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the command line's side of the control socket. Called by the subcommands reload and bans. */
#include "proxy/cli/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "proxy/cli/text.h"
#include "proxy/config.h"

/* A reload takes as long as a start does, and others may wait before it. */
#define ANSWER_MS (5 * 60 * 1000)
#define ANSWER_MAX (64 * 1024 * 1024)
#define READ_STEP 65536

/* ---- where ---- */

/* What the file says, errors elsewhere in it or not: a reload is asked for to hear of them. */
static bool find_socket(const char *const *values, struct sockaddr_un *address)
{
    const char *config_path = values[CONTROL_CLIENT_CONFIG];
    const char *path = values[CONTROL_CLIENT_SOCKET];
    struct diag_list *diag = diag_list_new();
    struct arena *arena = arena_new();
    const struct config *partial = NULL;

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (config_path == NULL)
        config_path = "/etc/mqward/mqward.yaml";
    if (path == NULL) {
        config_load(config_path, arena, diag, &partial);
        path = partial == NULL ? NULL : partial->control_socket.path;
        if (path == NULL && diag_errors(diag) > 0)
            diag_print(diag, stderr);
        if (path == NULL)
            fprintf(stderr,
                "mqward: %s names no control socket (control: {socket: ...}); --socket PATH does\n",
                config_path);
    }
    if (path != NULL && strlen(path) >= sizeof(address->sun_path)) {
        fprintf(
            stderr, "mqward: the path of a socket has at most %zu bytes\n", sizeof(address->sun_path) - 1);
        path = NULL;
    }
    if (path != NULL)
        snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
    arena_free(arena);
    diag_list_free(diag);
    return path != NULL;
}

/* ---- asking ---- */

static int complain(const char *what, const struct sockaddr_un *address, int error)
{
    fprintf(stderr, "mqward: %s %s: %s%s\n", what, address->sun_path, strerror(error),
        error == ENOENT || error == ECONNREFUSED ? " (does mqward run, with this control socket?)" : "");
    return -1;
}

static int send_all(int fd, struct view bytes)
{
    while (bytes.length > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.length, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        bytes = view_skip(bytes, (size_t)sent);
    }
    return 0;
}

/* Everything until the end of the connection. -1: errno says why. */
static int receive_all(int fd, struct buffer *answer)
{
    uint64_t deadline = clock_monotonic_ms() + ANSWER_MS;

    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_monotonic_ms();
        int ready = now >= deadline ? 0 : poll(&wait, 1, (int)(deadline - now));
        ssize_t got;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0 || buffer_length(answer) > ANSWER_MAX) {
            errno = ready == 0 ? ETIMEDOUT : ready < 0 ? errno : EMSGSIZE;
            return -1;
        }
        got = recv(fd, buffer_reserve(answer, READ_STEP), READ_STEP, 0);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            answer->end += (size_t)got;
    }
}

static int exchange(const struct sockaddr_un *address, const char *text, struct buffer *answer)
{
    static const struct timeval patience = {ANSWER_MS / 1000, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

    /* connect() waits, too, where too many are waiting already */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0) {
        error = errno;
        if (fd >= 0)
            close(fd);
        return complain("can't reach", address, error);
    }
    /* What is turned away is answered before it has asked: a failure to send is told by the answer. */
    if (send_all(fd, view_of_string(text)) == 0)
        send_all(fd, VIEW("\n"));
    if (receive_all(fd, answer) != 0 && buffer_length(answer) == 0) {
        error = errno;
        close(fd);
        return complain("no answer from", address, error);
    }
    close(fd);
    return 0;
}

json_t *control_client_ask(const char *const *values, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    struct buffer bytes = {0};
    struct sockaddr_un address;
    json_t *answer = NULL;

    json_decref(request);
    if (text == NULL)
        fprintf(stderr, "mqward: the arguments are not UTF-8\n");
    else if (find_socket(values, &address) && exchange(&address, text, &bytes) == 0) {
        answer = json_loadb((const char *)bytes.data + bytes.start, buffer_length(&bytes), 0, NULL);
        if (!json_is_object(answer)) {
            fprintf(stderr, "mqward: no answer that can be understood from %s\n", address.sun_path);
            json_decref(answer);
            answer = NULL;
        } else if (values[CONTROL_CLIENT_JSON] != NULL)
            fwrite(bytes.data + bytes.start, 1, buffer_length(&bytes), stdout);
    }
    free(text);
    buffer_release(&bytes);
    return answer;
}

int control_client_status(const char *const *values, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");

    if (json_is_true(json_object_get(answer, "ok")))
        return CLI_OK;
    if (values[CONTROL_CLIENT_JSON] == NULL) {
        fputs("mqward: ", stderr);
        text_print(stderr, view_of(json_string_value(error), json_string_length(error)));
        fputc('\n', stderr);
    }
    return CLI_FINDINGS;
}

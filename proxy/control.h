/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: a Unix socket on which root, or the user that mqward runs as, asks the running mqward
 * for something. A connection is one request (a line) and one answer (a JSON object, a line). */
#ifndef MQWARD_PROXY_CONTROL_H
#define MQWARD_PROXY_CONTROL_H

#include <sys/types.h>

#include "base/buffer.h"
#include "proxy/control_request.h"

struct control;
struct event_base;

struct control_peer {
    uid_t uid;
    pid_t pid;
};

/* Carries a request out and appends the answer, one JSON object. */
typedef void control_handle(void *context, const struct control_request *request,
    const struct control_peer *peer, struct buffer *answer);

/* Listens on path with mode 0600. A socket of a process that is gone is replaced; a file that is no socket,
 * one that somebody answers, and a folder that others may write to are refused. NULL with the error as a
 * text. Bounded: clients, bytes and time of each. Not thread-safe: all on the thread of base. */
struct control *control_open(const char *path, struct event_base *base, control_handle *handle, void *context,
    char *error, size_t error_size);
/* Removes the socket, if it is still this one. NULL is fine. */
void control_close(struct control *control);

/* {"ok":false,"error":...} */
void control_answer_error(struct buffer *answer, const char *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener: HTTP for whoever watches mqward. It answers GET and HEAD, one request a connection, and
 * changes nothing. What is answered, its owner says (server_admin.c). */
#ifndef MQWARD_PROXY_ADMIN_H
#define MQWARD_PROXY_ADMIN_H

#include "base/buffer.h"
#include "proxy/config.h"

struct admin;
struct event_base;

struct admin_answer {
    int status;               /* 200 at first */
    const char *content_type; /* plain text at first */
    struct buffer body;
};
/* Answers a request for a path, without its query. False: there is no such thing. */
typedef bool admin_handle(void *context, const char *path, struct admin_answer *answer);

/* Listens. NULL with the error as a text. On loopback, a request that names another host is refused (DNS
 * rebinding). Bounded: connections, the time and the bytes of each; who holds connections without asking
 * makes room for who asks. Not thread-safe: all on the thread of base. */
struct admin *admin_open(const struct config_admin *config, struct event_base *base, admin_handle *handle,
    void *context, char *error, size_t error_size);
void admin_close(struct admin *admin); /* NULL is fine */
/* Where it listens, as a text; as long as it is open. */
const char *admin_address(const struct admin *admin);

#endif

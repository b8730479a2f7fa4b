/* SPDX-License-Identifier: Apache-2.0 */
/* Dialling: a host name or address and a port become a connected socket, without blocking. Each address of a
 * name is tried in turn. */
#ifndef MQWARD_PROXY_DIAL_H
#define MQWARD_PROXY_DIAL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct config_address;
struct event_base;
struct evdns_base;
struct dial;

/* fd: connected, the callee's from now on; or -1, and error says why. address: the one that answered,
 * textual. Both strings live until dial_free(), which is the callee's to call: the dial is over. */
typedef void dial_callback(void *argument, int fd, const char *address, const char *error);

/* dns may be NULL when host is an address. The callback never comes from within dial_new(). No time-out of
 * its own. */
struct dial *dial_new(struct event_base *base, struct evdns_base *dns, const char *host, uint16_t port,
    dial_callback *callback, void *argument);
/* Right after dial_new(): where the connection is to begin. The addresses of a family are tried from the one
 * at place first (of any size) on, until one has a port free. Without it, and with none of them, the system
 * chooses. They live as long as the dial. */
void dial_from(struct dial *dial, const struct config_address *sources, size_t count, uint64_t first);
void dial_free(struct dial *dial); /* stops what is under way; NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A host name looked up without blocking the loop: the system's own getaddrinfo() (hosts file, nsswitch,
 * local resolver, as the operator knows it) on a thread of its own. */
#ifndef MQWARD_EXPORTERS_RESOLVER_H
#define MQWARD_EXPORTERS_RESOLVER_H

#include <netdb.h>
#include <stdint.h>

struct event_base;
struct resolver;

/* result as getaddrinfo() returns it; list lives for the call only. */
typedef void resolver_call(void *argument, int result, const struct addrinfo *list);

/* call comes once, from the loop of base, unless resolver_cancel() comes first. NULL (errno) if no thread can
 * be made. */
struct resolver *resolver_start(
    struct event_base *base, const char *host, uint16_t port, resolver_call *call, void *argument);
/* Before call only. The look-up goes on by itself and its answer is dropped. NULL is fine. */
void resolver_cancel(struct resolver *resolver);

#endif

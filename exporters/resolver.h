/* SPDX-License-Identifier: Apache-2.0 */
/* A host name looked up without blocking the loop: the system's own getaddrinfo() (hosts file, nsswitch,
 * local resolver, as the operator knows it) on a thread of its own. */
#ifndef MQWARD_EXPORTERS_RESOLVER_H
#define MQWARD_EXPORTERS_RESOLVER_H

#include <netdb.h>
#include <stdint.h>

#define RESOLVER_GIVEN_MAX 8 /* look-ups at a time of names that the servers of one giver named */
/* A look-up that hangs is waited for so long by whoever asks again; then there is a second one, after twice
 * the time a third one, and so on: a resolver that is well again is found, and the threads are few. */
#define RESOLVER_PATIENCE_MS 60000

struct event_base;
struct resolver;

/* result as getaddrinfo() returns it; list lives for the call only. */
typedef void resolver_call(void *argument, int result, const struct addrinfo *list);

struct resolver_name {
    const char *host;
    uint16_t port;
    /* NULL: the configuration names it, and names finitely many. Otherwise an answer of a server does: an
     * address that stands for all servers whose answers share a bound. It is compared, and nothing else. */
    const void *giver;
};

/* call comes once, from the loop of base, unless resolver_cancel() comes first. A look-up of the same host
 * and port that is still going on, whoever has begun it, is waited for (RESOLVER_PATIENCE_MS). NULL (errno)
 * if no thread can be made, or RESOLVER_GIVEN_MAX look-ups of the giver go on (EDQUOT). Any thread. */
struct resolver *resolver_start(
    struct event_base *base, const struct resolver_name *name, resolver_call *call, void *argument);
/* Before call only. The look-up goes on by itself, for whoever asks next. NULL is fine. */
void resolver_cancel(struct resolver *resolver);

#endif

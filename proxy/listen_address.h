/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP socket with one of the configuration's addresses to listen on. */
#ifndef MQWARD_PROXY_LISTEN_ADDRESS_H
#define MQWARD_PROXY_LISTEN_ADDRESS_H

#include "proxy/config.h"

/* Resolves the host (waits for it; a number is its own) and binds a socket, non-blocking and not yet
 * listening, to its first address and this port (0: any that is free). shared: further sockets of this
 * process may have the same (SO_REUSEPORT); otherwise EADDRINUSE says that somebody listens there. -1 and a
 * sentence in *error, good until the next call of this thread. */
int listen_address_bind(const struct config_address *address, uint16_t port, bool shared, const char **error);
/* The port that a socket is bound to. */
uint16_t listen_address_port(int fd);

#endif

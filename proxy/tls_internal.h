/* SPDX-License-Identifier: Apache-2.0 */
/* Between tls.c and tls_peer.c. */
#ifndef MQWARD_PROXY_TLS_INTERNAL_H
#define MQWARD_PROXY_TLS_INTERNAL_H

#include "proxy/tls.h"

/* The names of the configured CAs that the client's chain leads to (from the handshake, or from the ticket of
 * a resumed session), into the arena; returns their number. */
size_t tls_server_cas(
    const struct tls_server *server, SSL *ssl, struct arena *arena, const char *const **names);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of TLS, for micro_world.c. All print why and exit if they can't. */
#ifndef MQWARD_BENCH_MICRO_TLS_H
#define MQWARD_BENCH_MICRO_TLS_H

#include <openssl/types.h>

#include "base/view.h"

/* Makes server.pem and server.key in the folder: ECDSA P-256, signed by itself. */
void micro_tls_identity(const char *folder);
/* The handshake over fd; turn(argument) has the server go on. SSL_free() is the caller's. */
SSL *micro_tls_connect(int fd, void (*turn)(void *argument), void *argument);
/* Sends bytes in records of at most so many. */
void micro_tls_send(SSL *ssl, struct view bytes, size_t record);
/* What is there: bytes, 0 for none. */
size_t micro_tls_receive(SSL *ssl, uint8_t *out, size_t size);

#endif

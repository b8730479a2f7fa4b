/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS session with a server over a socket that never waits. OpenSSL by itself stays in one call for as long
 * as the socket has bytes, whoever sends them (a handshake skips HelloRequest without end, a session takes
 * tickets and new keys without end): here a call reads a bounded number of bytes a turn, and a server that
 * sends messages of TLS itself without end is one that has failed. */
#ifndef MQWARD_EXPORTERS_TLS_WIRE_H
#define MQWARD_EXPORTERS_TLS_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "exporters/client_tls.h"

#define TLS_WIRE_RECORD ((size_t)16384) /* bytes of text in a record at most */

struct tls_wire;

enum tls_wire_result {
    TLS_WIRE_DONE,
    TLS_WIRE_WANTS_INPUT,  /* again when the socket has bytes (it may have them now) */
    TLS_WIRE_WANTS_OUTPUT, /* again when the socket has room */
    TLS_WIRE_FAILED,       /* tls_wire_describe() says why */
};

/* socket is the caller's, and outlives it. name: what the server must prove. NULL without memory. */
struct tls_wire *tls_wire_new(SSL_CTX *context, const char *name, int socket);
/* Says good-bye to the server if the socket has room for it. NULL is fine. */
void tls_wire_free(struct tls_wire *wire);

/* Begins a turn of the loop: so much may be read until the next one. */
void tls_wire_begin_turn(struct tls_wire *wire);
enum tls_wire_result tls_wire_handshake(struct tls_wire *wire);
/* *count: bytes of text, 1 at least when it is done. size: TLS_WIRE_RECORD at least, so that nothing is left
 * in OpenSSL that the socket does not tell of. */
enum tls_wire_result tls_wire_read(struct tls_wire *wire, void *out, size_t size, size_t *count);
/* *count: bytes of text, TLS_WIRE_RECORD at most. What was not taken must come again first. */
enum tls_wire_result tls_wire_write(struct tls_wire *wire, struct view bytes, size_t *count);

/* Bytes that the socket has taken since the beginning. */
uint64_t tls_wire_sent(const struct tls_wire *wire);
/* Of a finished handshake. False: the server has asked for a certificate and may still be looking at the
 * answer: TLS 1.3's client is through before that (RFC 8446, section 2). A ticket (4.6.1) tells that it is
 * through as well; some servers send none. */
bool tls_wire_is_accepted(const struct tls_wire *wire);
/* Why a call has failed. */
void tls_wire_describe(struct tls_wire *wire, char *detail, size_t size);

#endif

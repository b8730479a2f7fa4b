/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts from the configuration, and what a finished handshake says about the peer. */
#ifndef MQWARD_PROXY_TLS_H
#define MQWARD_PROXY_TLS_H

#include <openssl/types.h>

#include "base/diag.h"
#include "policy/policy.h"
#include "proxy/config.h"

struct tls_server;
struct tls_client;

/* Reads certificates, keys and CAs; errors go to diag at the place that names the file. NULL after an error.
 * Thread-safe once made: all workers share it, and with it the keys of session tickets. */
struct tls_server *tls_server_new(const struct config_listener *listener, struct diag_list *diag);
void tls_server_free(struct tls_server *server);
SSL *tls_server_accept(struct tls_server *server); /* for stream_new(); NULL: out of memory */

struct tls_client *tls_client_new(
    const struct config_upstream_tls *tls, const char *host, struct diag_list *diag);
void tls_client_free(struct tls_client *client);
SSL *tls_client_connect(struct tls_client *client);

/* ---- when what is used ends, in seconds since 1970 (tls_dates.c) ---- */
enum tls_date_kind {
    TLS_DATE_CERTIFICATE, /* of the listener: "default", or the first name of an entry of sni */
    TLS_DATE_CA,          /* the first of a CA's certificates; its name */
    TLS_DATE_CRL          /* the first of the revocation lists; "" */
};
typedef void tls_date_each(void *context, enum tls_date_kind kind, const char *name, uint64_t at_s);
void tls_server_dates(const struct tls_server *server, tls_date_each *each, void *context);
/* The certificate that is shown; 0: there is none. */
uint64_t tls_client_date(const struct tls_client *client);

/* What the handshake says about a client, for identity and audit. Strings are NUL-terminated and live as long
 * as it. */
struct tls_peer {
    bool resumed;
    const char *version; /* "1.3" */
    const char *cipher;
    const char *server_name; /* SNI, "" without */
    bool has_certificate;
    const char *subject, *issuer; /* RFC 2253; "" without certificate */
    const char *serial;           /* hex */
    const char *fingerprint;      /* SHA-256, hex */
    const char *const *cas;       /* names of the configured CAs that the chain leads to; on the heap */
    size_t ca_count;
    uint64_t ca_bits; /* the same CAs, by their places in the configuration */
    const struct policy_certificate_value *values;
    size_t value_count;
    uint64_t expires_s; /* notAfter, in seconds since 1970; 0 without certificate */
    struct arena *arena;
};
/* NULL: the certificate has expired since the session that is resumed began, or can't be read; the connection
 * must end. */
struct tls_peer *tls_peer_new(const struct tls_server *server, SSL *ssl);
/* The configuration before was replaced by that of now: names its CAs anew. False: the client is not one that
 * a handshake would let in: its certificate leads to none of them or was revoked, or it has none and needs
 * one. Dates do not matter: they end a session where the policy says so. */
bool tls_peer_rebind(
    struct tls_peer *peer, const struct tls_server *before, const struct tls_server *now, SSL *ssl);
void tls_peer_free(struct tls_peer *peer);

#endif

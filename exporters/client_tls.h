/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards a server of the exporters': what to trust, which name it must prove, and who mqward is. There
 * is no way to switch the check off. TLS 1.2 at least. */
#ifndef MQWARD_EXPORTERS_CLIENT_TLS_H
#define MQWARD_EXPORTERS_CLIENT_TLS_H

#include <stdbool.h>

#include <openssl/ssl.h>

/* PEM files; NULL: the system's authorities; no client certificate. */
struct client_tls {
    const char *authorities;
    const char *certificate, *key;
};

/* Reads the files. NULL and a sentence in error if they are no good. */
SSL_CTX *client_tls_context(const struct client_tls *files, char *error, size_t error_size);
/* A connection to a server that must prove name (a host name or an IP address). NULL without memory. */
SSL *client_tls_session(SSL_CTX *context, const char *name);
/* Why a call on tls failed: the server's certificate, or what OpenSSL says. False if OpenSSL says nothing. */
bool client_tls_describe(SSL *tls, char *detail, size_t size);

#endif

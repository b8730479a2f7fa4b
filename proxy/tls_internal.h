/* SPDX-License-Identifier: Apache-2.0 */
/* Between tls.c, tls_peer.c, tls_crl.c and tls_dates.c. */
#ifndef MQWARD_PROXY_TLS_INTERNAL_H
#define MQWARD_PROXY_TLS_INTERNAL_H

#include <openssl/safestack.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include "proxy/tls.h"

#define TLS_CAS_MAX 64

struct tls_ca {
    const char *name;
    STACK_OF(X509) * certificates;
};

struct tls_sni {
    SSL_CTX *context;
    const char **names; /* the configuration's */
    size_t name_count;
};

struct tls_server {
    SSL_CTX *context;
    struct tls_sni *sni;
    size_t sni_count;
    struct tls_ca *cas;
    size_t ca_count;
    STACK_OF(X509_CRL) * crls;
    enum config_client_certificate client_certificate;
    unsigned char trust[SHA256_DIGEST_LENGTH]; /* stands for the CAs, by name, and the revocation lists */
};

struct tls_client {
    SSL_CTX *context;
    char *name; /* SNI and verified name; NULL: an address, verified as one */
    char *address;
    bool verify;
};

/* The configured CAs that the client's chain leads to (from the handshake, or from the ticket of a resumed
 * session): a bit for each, by its place. */
uint64_t tls_server_cas(const struct tls_server *server, SSL *ssl);
/* Their names, an array to be freed; returns their number. */
size_t tls_server_ca_names(const struct tls_server *server, uint64_t cas, const char *const **names);

/* Both ask clients for certificates of the same CAs and look them up in the same revocation lists. */
bool tls_server_same_trust(const struct tls_server *a, const struct tls_server *b);
bool tls_server_asks(const struct tls_server *server);    /* for a certificate */
bool tls_server_insists(const struct tls_server *server); /* on one */
/* Verifies the client's certificate again, by another configuration than that of its handshake: true, and the
 * CAs, if it leads to one of its CAs and was not revoked, whatever the clock says. A resumed session has no
 * intermediate certificates: there they must be among the CAs. */
bool tls_server_verify(const struct tls_server *server, SSL *ssl, uint64_t *cas);
/* The file can be read at once, and to an end: it is a regular one and not beyond all measure. Else an error
 * in diag. One that is missing is left to whoever opens it. */
bool tls_file_fits(const struct config_path *file, struct diag_list *diag);

/* Seconds since 1970; 0: before, or no time. */
uint64_t tls_seconds_of(const ASN1_TIME *time);

/* Reads the listener's revocation lists into the store; errors and warnings go to diag. The lists are the
 * caller's (sk_X509_CRL_pop_free), none if there are none. */
STACK_OF(X509_CRL) * tls_crls_load(const struct config_listener_tls *tls, const struct tls_ca *cas,
                         size_t ca_count, X509_STORE *store, struct diag_list *diag);
/* One of them is past its time. */
bool tls_crls_expired(STACK_OF(X509_CRL) * crls);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the TLS context of the load generator and the memory BIO that all its connections write to. Called by
 * load.c and load_client.c. */
#include <assert.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "load.h"

struct load_tls {
    SSL_CTX *context;
    BIO *records; /* shared: each writer takes its records out before the next one writes */
    void (*keep_ticket)(void *data, SSL_SESSION *session); /* NULL: tickets are thrown away */
};

static void die(const char *what)
{
    fprintf(stderr, "mqward-bench-load: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

struct load_tls *load_tls_new(const struct load_options *options)
{
    struct load_tls *tls = calloc(1, sizeof(*tls));

    if (tls == NULL)
        abort();
    tls->context = SSL_CTX_new(TLS_client_method());
    tls->records = BIO_new(BIO_s_mem());
    if (tls->context == NULL || tls->records == NULL)
        die("no TLS context");
    SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
    if (options->ca != NULL) {
        if (SSL_CTX_load_verify_locations(tls->context, options->ca, NULL) != 1)
            die(options->ca);
        SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    }
    if (options->certificate != NULL) {
        if (SSL_CTX_use_certificate_chain_file(tls->context, options->certificate) != 1)
            die(options->certificate);
        if (SSL_CTX_use_PrivateKey_file(tls->context, options->key, SSL_FILETYPE_PEM) != 1)
            die(options->key);
    }
    return tls;
}

void load_tls_free(struct load_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    BIO_free(tls->records);
    free(tls);
}

/* OpenSSL tells a new session by the context alone. */
static int take_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct load_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    tls->keep_ticket(SSL_get_app_data(ssl), session);
    return 1;
}

void load_tls_on_ticket(struct load_tls *tls, void (*keep)(void *data, SSL_SESSION *session))
{
    tls->keep_ticket = keep;
    SSL_CTX_set_app_data(tls->context, tls);
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(tls->context, take_ticket);
}

SSL *load_tls_attach(struct load_tls *tls, int socket)
{
    SSL *ssl = SSL_new(tls->context);

    if (ssl == NULL || SSL_set_fd(ssl, socket) != 1)
        die("no TLS connection");
    SSL_set_connect_state(ssl);
    return ssl;
}

SSL *load_tls_connect(struct load_tls *tls, int socket)
{
    SSL *ssl = load_tls_attach(tls, socket);

    if (SSL_connect(ssl) != 1) {
        fprintf(stderr, "mqward-bench-load: TLS handshake failed\n");
        ERR_print_errors_fp(stderr);
        SSL_free(ssl);
        return NULL;
    }
    BIO_up_ref(tls->records);
    SSL_set0_wbio(ssl, tls->records);
    return ssl;
}

void load_tls_encrypt(SSL *ssl, const uint8_t *bytes, size_t length)
{
    size_t written = 0;

    assert(length > 0 && length <= SSL3_RT_MAX_PLAIN_LENGTH);
    if (SSL_write_ex(ssl, bytes, length, &written) != 1 || written != length)
        die("SSL_write into memory failed");
}

size_t load_tls_records(struct load_tls *tls, const uint8_t **bytes)
{
    char *data = NULL;
    long length = BIO_get_mem_data(tls->records, &data);

    *bytes = (const uint8_t *)data;
    return length > 0 ? (size_t)length : 0;
}

void load_tls_taken(struct load_tls *tls)
{
    (void)BIO_reset(tls->records);
}

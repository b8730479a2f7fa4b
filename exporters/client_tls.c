/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how TLS sessions towards servers of the exporters' are made. Called by outlet.c and
 * redis_connection.c. */
#include "exporters/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static void tls_error(char *error, size_t error_size, const char *what, const char *path)
{
    unsigned long code = ERR_get_error();
    char text[160] = "unknown error";

    if (code != 0)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    snprintf(error, error_size, "%s%s%s: %s", what, path == NULL ? "" : " ", path == NULL ? "" : path, text);
}

SSL_CTX *client_tls_context(const struct client_tls *files, char *error, size_t error_size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        tls_error(error, error_size, "TLS", NULL);
        goto failed;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    if (files->authorities == NULL ? SSL_CTX_set_default_verify_paths(context) != 1
                                   : SSL_CTX_load_verify_locations(context, files->authorities, NULL) != 1) {
        tls_error(error, error_size, "certificate authorities", files->authorities);
        goto failed;
    }
    if (files->certificate != NULL && SSL_CTX_use_certificate_chain_file(context, files->certificate) != 1) {
        tls_error(error, error_size, "certificate", files->certificate);
        goto failed;
    }
    if (files->key != NULL && (SSL_CTX_use_PrivateKey_file(context, files->key, SSL_FILETYPE_PEM) != 1 ||
                                  SSL_CTX_check_private_key(context) != 1)) {
        tls_error(error, error_size, "private key", files->key);
        goto failed;
    }
    return context;
failed:
    SSL_CTX_free(context);
    return NULL;
}

static bool is_numeric(const char *name)
{
    struct in6_addr address;

    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

SSL *client_tls_session(SSL_CTX *context, const char *name)
{
    SSL *tls = SSL_new(context);

    if (tls == NULL)
        return NULL;
    X509_VERIFY_PARAM *verify = SSL_get0_param(tls);
    /* A subject's common name is no host name (RFC 9525, section 2). */
    X509_VERIFY_PARAM_set_hostflags(
        verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int set = is_numeric(name) ? X509_VERIFY_PARAM_set1_ip_asc(verify, name)
                               : X509_VERIFY_PARAM_set1_host(verify, name, 0) == 1 &&
                                     SSL_set_tlsext_host_name(tls, name) == 1;
    if (set != 1) {
        SSL_free(tls);
        return NULL;
    }
    return tls;
}

bool client_tls_describe(SSL *tls, char *detail, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    long verify = SSL_get_verify_result(tls);
    char text[160];

    if (verify != X509_V_OK) {
        snprintf(detail, size, "TLS: the server's certificate: %s", X509_verify_cert_error_string(verify));
    } else if (code != 0) {
        ERR_error_string_n(code, text, sizeof(text));
        snprintf(detail, size, "TLS: %s", text);
    }
    ERR_clear_error();
    return verify != X509_V_OK || code != 0;
}

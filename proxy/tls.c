/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: certificates, client CAs, SNI, tickets. Called by server.c at start and by conn.c for each
 * connection.
 *
 * A client's chain is verified once, in the full handshake. Which of the configured CAs it led to is kept in
 * the session ticket (encrypted by our key), because a resumed handshake brings the leaf only. There is no
 * stateful session cache: it could not carry that. */
#include "proxy/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/memory.h"
#include "proxy/tls_internal.h"

/* Revocation lists of public CAs have tens of MiB. */
#define FILE_SIZE_MAXIMUM (256 << 20)

/* ---- files, with errors at the place that names them ---- */

static int openssl_error(struct diag_list *diag, const struct config_path *file, const char *what)
{
    unsigned long code = ERR_peek_error(); /* the first is the cause */
    const char *text = ERR_reason_error_string(code);

    if (ERR_SYSTEM_ERROR(code))
        text = strerror(ERR_GET_REASON(code));
    diag_add(diag, DIAG_ERROR, &file->place, NULL, "%s: %s: %s", file->path, what,
        text == NULL ? "unknown error" : text);
    ERR_clear_error();
    return -1;
}

bool tls_file_fits(const struct config_path *file, struct diag_list *diag)
{
    struct stat status;
    const char *problem = NULL;

    if (stat(file->path, &status) != 0)
        return true;
    if (!S_ISREG(status.st_mode))
        problem = "not a regular file"; /* a reload would wait for the other end of a pipe */
    else if (status.st_size > FILE_SIZE_MAXIMUM)
        problem = "larger than 256 MiB";
    if (problem != NULL)
        diag_add(diag, DIAG_ERROR, &file->place, NULL, "%s: %s", file->path, problem);
    return problem == NULL;
}

/* A pass phrase can't be asked for: the daemon has no terminal. */
static int no_passphrase(char *out, int size, int writing, void *argument)
{
    (void)out, (void)size, (void)writing, (void)argument;
    return -1;
}

static int use_certificate(SSL_CTX *context, const struct config_path *certificate,
    const struct config_path *key, struct diag_list *diag)
{
    if (!tls_file_fits(certificate, diag) || !tls_file_fits(key, diag))
        return -1;
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, certificate->path) != 1)
        return openssl_error(diag, certificate, "no usable certificate chain (PEM)");
    if (SSL_CTX_use_PrivateKey_file(context, key->path, SSL_FILETYPE_PEM) != 1)
        return openssl_error(
            diag, key, "no usable private key for this certificate (PEM, without pass phrase)");
    if (SSL_CTX_check_private_key(context) != 1)
        return openssl_error(diag, key, "the key does not belong to the certificate");
    return 0;
}

static STACK_OF(X509) * read_cas(const struct config_path *file, struct diag_list *diag)
{
    STACK_OF(X509) * found;
    BIO *in;
    X509 *certificate;

    if (!tls_file_fits(file, diag))
        return NULL;
    found = sk_X509_new_null();
    ERR_clear_error();
    in = BIO_new_file(file->path, "r");
    if (in == NULL) {
        sk_X509_free(found);
        openssl_error(diag, file, "can't be read");
        return NULL;
    }
    while ((certificate = PEM_read_bio_X509(in, NULL, no_passphrase, NULL)) != NULL)
        sk_X509_push(found, certificate);
    BIO_free(in);
    if (sk_X509_num(found) == 0) {
        openssl_error(diag, file, "no certificate (PEM) in it");
        sk_X509_free(found);
        return NULL;
    }
    ERR_clear_error();
    return found;
}

/* ---- servers ---- */

/* "mqtt" where the client asks for it; clients that offer only other protocols are served all the same. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length,
    const unsigned char *in, unsigned int in_length, void *argument)
{
    static const unsigned char offered[] = "\x04mqtt";
    unsigned char *chosen;

    (void)ssl, (void)argument;
    if (SSL_select_next_proto(&chosen, out_length, offered, sizeof(offered) - 1, in, in_length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *server_context(const struct config_listener_tls *tls, struct diag_list *diag)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    SSL_CTX_set_min_proto_version(context, tls->min_version);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (tls->ciphers != NULL && SSL_CTX_set_cipher_list(context, tls->ciphers) != 1)
        diag_add(diag, DIAG_ERROR, &tls->certificate.place, NULL, "ciphers: '%s' names no cipher of TLS 1.2",
            tls->ciphers);
    if (tls->ciphersuites != NULL && SSL_CTX_set_ciphersuites(context, tls->ciphersuites) != 1)
        diag_add(diag, DIAG_ERROR, &tls->certificate.place, NULL,
            "ciphersuites: '%s' are not cipher suites of TLS 1.3", tls->ciphersuites);
    ERR_clear_error();
    return context;
}

static bool name_matches(const char *pattern, const char *name)
{
    const char *dot;

    if (strncmp(pattern, "*.", 2) != 0)
        return strcasecmp(pattern, name) == 0;
    dot = strchr(name, '.');
    return dot != NULL && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

static int choose_certificate(SSL *ssl, int *alert, void *argument)
{
    const struct tls_server *server = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    if (name == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (size_t i = 0; i < server->sni_count; i++)
        for (size_t j = 0; j < server->sni[i].name_count; j++)
            if (name_matches(server->sni[i].names[j], name)) {
                SSL_set_SSL_CTX(ssl, server->sni[i].context);
                return SSL_TLSEXT_ERR_OK;
            }
    return SSL_TLSEXT_ERR_OK; /* the listener's own certificate */
}

/* ---- which CAs a chain leads to, kept in the ticket ---- */

static uint64_t chain_cas(const struct tls_server *server, STACK_OF(X509) * chain)
{
    uint64_t found = 0;

    for (int i = 0; chain != NULL && i < sk_X509_num(chain); i++)
        for (size_t c = 0; c < server->ca_count; c++)
            for (int k = 0; k < sk_X509_num(server->cas[c].certificates); k++)
                if (X509_cmp(sk_X509_value(chain, i), sk_X509_value(server->cas[c].certificates, k)) == 0)
                    found |= UINT64_C(1) << c;
    return found;
}

static int write_ticket(SSL *ssl, void *argument)
{
    uint64_t cas = SSL_session_reused(ssl) ? 0 : chain_cas(argument, SSL_get0_verified_chain(ssl));
    void *kept = NULL;
    size_t length = 0;

    /* A resumed session's new ticket carries on what the first one said. */
    if (SSL_session_reused(ssl) &&
        SSL_SESSION_get0_ticket_appdata(SSL_get0_session(ssl), &kept, &length) == 1 && length == sizeof(cas))
        memcpy(&cas, kept, sizeof(cas));
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &cas, sizeof(cas));
}

static SSL_TICKET_RETURN read_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
    size_t name_length, SSL_TICKET_STATUS status, void *argument)
{
    const struct tls_server *server = argument;

    (void)ssl, (void)session, (void)name, (void)name_length;
    if (server->crls != NULL && tls_crls_expired(server->crls)) /* a full handshake says no */
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    switch (status) {
    case SSL_TICKET_SUCCESS:
        return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE_RENEW;
    default:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

size_t tls_server_ca_names(const struct tls_server *server, uint64_t cas, const char *const **names)
{
    const char **found = memory_calloc(server->ca_count + 1, sizeof(*found));
    size_t count = 0;

    for (size_t i = 0; i < server->ca_count; i++)
        if (cas >> i & 1)
            found[count++] = server->cas[i].name;
    *names = found;
    return count;
}

uint64_t tls_server_cas(const struct tls_server *server, SSL *ssl)
{
    uint64_t cas = 0;
    void *kept = NULL;
    size_t length = 0;

    if (!SSL_session_reused(ssl))
        cas = chain_cas(server, SSL_get0_verified_chain(ssl));
    else if (SSL_SESSION_get0_ticket_appdata(SSL_get0_session(ssl), &kept, &length) == 1 &&
             length == sizeof(cas))
        memcpy(&cas, kept, sizeof(cas));
    return cas;
}

bool tls_server_asks(const struct tls_server *server)
{
    return server->client_certificate != CONFIG_CERTIFICATE_NONE;
}

bool tls_server_insists(const struct tls_server *server)
{
    return server->client_certificate == CONFIG_CERTIFICATE_REQUIRED;
}

bool tls_server_same_trust(const struct tls_server *a, const struct tls_server *b)
{
    return tls_server_asks(a) && tls_server_asks(b) && memcmp(a->trust, b->trust, sizeof(a->trust)) == 0;
}

bool tls_server_verify(const struct tls_server *server, SSL *ssl, uint64_t *cas)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    bool good = check != NULL &&
                X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(server->context),
                    SSL_get0_peer_certificate(ssl), SSL_get_peer_cert_chain(ssl)) == 1 &&
                X509_STORE_CTX_set_default(check, "ssl_client") == 1;

    if (good) {
        X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
        good = X509_verify_cert(check) == 1;
    }
    if (good)
        *cas = chain_cas(server, X509_STORE_CTX_get0_chain(check));
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return good;
}

static int add_client_cas(
    struct tls_server *server, const struct config_listener_tls *tls, struct diag_list *diag)
{
    X509_STORE *store = SSL_CTX_get_cert_store(server->context);

    if (tls->client_ca_count > TLS_CAS_MAX) {
        diag_add(diag, DIAG_ERROR, &tls->client_cas[TLS_CAS_MAX]->file.place, NULL, "at most %d client CAs",
            TLS_CAS_MAX);
        return -1;
    }
    server->cas = memory_calloc(tls->client_ca_count + 1, sizeof(*server->cas));
    for (size_t i = 0; i < tls->client_ca_count; i++) {
        struct tls_ca *ca = &server->cas[server->ca_count];

        ca->name = tls->client_cas[i]->name;
        ca->certificates = read_cas(&tls->client_cas[i]->file, diag);
        if (ca->certificates == NULL)
            return -1;
        server->ca_count++;
        for (int k = 0; k < sk_X509_num(ca->certificates); k++) {
            X509_STORE_add_cert(store, sk_X509_value(ca->certificates, k));
            SSL_CTX_add_client_CA(server->context, sk_X509_value(ca->certificates, k));
        }
    }
    server->crls = tls_crls_load(tls, server->cas, server->ca_count, store, diag);
    /* An intermediate CA may be named as the trusted one. */
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(server->context,
        SSL_VERIFY_PEER |
            (tls->client_certificate == CONFIG_CERTIFICATE_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        NULL);
    return 0;
}

static void digest_trust(struct tls_server *server, bool chain)
{
    unsigned char part[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    EVP_DigestUpdate(hash, &chain, sizeof(chain));
    for (size_t i = 0; i < server->ca_count; i++) {
        EVP_DigestUpdate(hash, server->cas[i].name, strlen(server->cas[i].name) + 1);
        for (int k = 0; k < sk_X509_num(server->cas[i].certificates); k++) {
            X509_digest(sk_X509_value(server->cas[i].certificates, k), EVP_sha256(), part, &length);
            EVP_DigestUpdate(hash, part, length);
        }
    }
    for (int i = 0; i < sk_X509_CRL_num(server->crls); i++) {
        X509_CRL_digest(sk_X509_CRL_value(server->crls, i), EVP_sha256(), part, &length);
        EVP_DigestUpdate(hash, part, length);
    }
    EVP_DigestFinal_ex(hash, server->trust, &length);
    EVP_MD_CTX_free(hash);
}

/* Sessions of another listener, or of other CAs or revocation lists, are not resumed here. */
static void set_session_context(struct tls_server *server, const char *listener)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();

    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    EVP_DigestUpdate(hash, listener, strlen(listener) + 1);
    EVP_DigestUpdate(hash, server->trust, sizeof(server->trust));
    EVP_DigestFinal_ex(hash, digest, &length);
    EVP_MD_CTX_free(hash);
    SSL_CTX_set_session_id_context(server->context, digest, SSL_MAX_SID_CTX_LENGTH);
    for (size_t i = 0; i < server->sni_count;
         i++) /* a connection takes over the one of its certificate's context */
        SSL_CTX_set_session_id_context(server->sni[i].context, digest, SSL_MAX_SID_CTX_LENGTH);
}

static int add_sni(struct tls_server *server, const struct config_listener_tls *tls, struct diag_list *diag)
{
    server->sni = memory_calloc(tls->sni_count + 1, sizeof(*server->sni));
    for (size_t i = 0; i < tls->sni_count; i++) {
        struct tls_sni *sni = &server->sni[server->sni_count++];

        sni->context = server_context(tls, diag);
        /* A connection verifies its client with the context of its certificate. */
        SSL_CTX_set1_cert_store(sni->context, SSL_CTX_get_cert_store(server->context));
        SSL_CTX_set_client_CA_list(
            sni->context, SSL_dup_CA_list(SSL_CTX_get_client_CA_list(server->context)));
        sni->names = tls->sni[i].names;
        sni->name_count = tls->sni[i].name_count;
        if (use_certificate(sni->context, &tls->sni[i].certificate, &tls->sni[i].key, diag) != 0)
            return -1;
    }
    SSL_CTX_set_tlsext_servername_callback(server->context, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(server->context, server);
    return 0;
}

struct tls_server *tls_server_new(const struct config_listener *listener, struct diag_list *diag)
{
    struct tls_server *server = memory_calloc(1, sizeof(*server));
    const struct config_listener_tls *tls = listener->tls;
    size_t before = diag_errors(diag);

    server->context = server_context(tls, diag);
    server->client_certificate = tls->client_certificate;
    use_certificate(server->context, &tls->certificate, &tls->key, diag);
    if (tls->client_certificate != CONFIG_CERTIFICATE_NONE)
        add_client_cas(server, tls, diag);
    add_sni(server, tls, diag);
    digest_trust(server, tls->crl_check_chain);
    set_session_context(server, listener->name);
    SSL_CTX_set_session_ticket_cb(server->context, write_ticket, read_ticket, server);
    if (diag_errors(diag) == before)
        return server;
    tls_server_free(server);
    return NULL;
}

void tls_server_free(struct tls_server *server)
{
    if (server == NULL)
        return;
    for (size_t i = 0; i < server->sni_count; i++)
        SSL_CTX_free(server->sni[i].context);
    for (size_t i = 0; i < server->ca_count; i++)
        sk_X509_pop_free(server->cas[i].certificates, X509_free);
    sk_X509_CRL_pop_free(server->crls, X509_CRL_free);
    free(server->sni);
    free(server->cas);
    SSL_CTX_free(server->context);
    free(server);
}

SSL *tls_server_accept(struct tls_server *server)
{
    SSL *ssl = SSL_new(server->context);

    if (ssl != NULL)
        SSL_set_accept_state(ssl);
    return ssl;
}

/* ---- clients ---- */

struct tls_client *tls_client_new(
    const struct config_upstream_tls *tls, const char *host, struct diag_list *diag)
{
    struct tls_client *client = memory_calloc(1, sizeof(*client));
    size_t before = diag_errors(diag);
    const char *name = tls->server_name != NULL ? tls->server_name : host;
    struct in6_addr address;

    client->context = SSL_CTX_new(TLS_client_method());
    client->verify = tls->verify;
    if (inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1)
        client->address = memory_format("%s", name);
    else
        client->name = memory_format("%s", name);
    SSL_CTX_set_min_proto_version(client->context, TLS1_2_VERSION);
    SSL_CTX_set_options(client->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(client->context,
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(client->context, SSL_SESS_CACHE_OFF);
    if (tls->verify)
        SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
    ERR_clear_error();
    if (tls->ca == NULL)
        SSL_CTX_set_default_verify_paths(client->context);
    else if (tls_file_fits(&tls->ca->file, diag) &&
             SSL_CTX_load_verify_file(client->context, tls->ca->file.path) != 1)
        openssl_error(diag, &tls->ca->file, "no usable CA certificate (PEM)");
    X509_STORE_set_flags(SSL_CTX_get_cert_store(client->context), X509_V_FLAG_PARTIAL_CHAIN);
    if (tls->certificate.path != NULL)
        use_certificate(client->context, &tls->certificate, &tls->key, diag);
    if (diag_errors(diag) == before)
        return client;
    tls_client_free(client);
    return NULL;
}

void tls_client_free(struct tls_client *client)
{
    if (client == NULL)
        return;
    SSL_CTX_free(client->context);
    free(client->name);
    free(client->address);
    free(client);
}

SSL *tls_client_connect(struct tls_client *client)
{
    SSL *ssl = SSL_new(client->context);

    if (ssl == NULL)
        return NULL;
    SSL_set_connect_state(ssl);
    if (client->name != NULL)
        SSL_set_tlsext_host_name(ssl, client->name);
    if (client->verify && client->name != NULL)
        SSL_set1_host(ssl, client->name);
    else if (client->verify)
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), client->address);
    return ssl;
}

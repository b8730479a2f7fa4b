/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: a certificate for the worker of micro_world.c, and its client's side of TLS. */
#include "micro_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define TURNS_MAX 64 /* until the handshake is done */

static void expect(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "micro_tls: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static FILE *create(const char *folder, const char *name)
{
    char *path = memory_format("%s/%s", folder, name);
    FILE *file = fopen(path, "we");

    expect(file != NULL, path);
    free(path);
    return file;
}

void micro_tls_identity(const char *folder)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *file = create(folder, "server.pem");

    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    ASN1_TIME_set_string(X509_getm_notBefore(certificate), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(certificate), "20991231000000Z");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    expect(X509_sign(certificate, key, EVP_sha256()) > 0, "a certificate");
    expect(PEM_write_X509(file, certificate) == 1 && fclose(file) == 0, "server.pem");
    file = create(folder, "server.key");
    expect(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0,
        "server.key");
    X509_free(certificate);
    EVP_PKEY_free(key);
}

SSL *micro_tls_connect(int fd, void (*turn)(void *argument), void *argument)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int result = 0;

    SSL_CTX_free(context); /* the other reference is ssl's */
    expect(ssl != NULL && SSL_set_fd(ssl, fd) == 1, "a client");
    SSL_set_connect_state(ssl);
    for (int turns = 0; result != 1; turns++) {
        result = SSL_do_handshake(ssl);
        expect(result == 1 || SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ, "the handshake");
        expect(turns < TURNS_MAX, "the handshake takes too long");
        turn(argument);
    }
    return ssl;
}

void micro_tls_send(SSL *ssl, struct view bytes, size_t record)
{
    while (bytes.length > 0) {
        size_t length = bytes.length < record ? bytes.length : record, written;

        expect(SSL_write_ex(ssl, bytes.data, length, &written) == 1, "a record");
        bytes = view_skip(bytes, written);
    }
}

size_t micro_tls_receive(SSL *ssl, uint8_t *out, size_t size)
{
    size_t got = 0;
    int result = SSL_read_ex(ssl, out, size, &got);

    expect(
        result == 1 || SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ, "mqward has closed the connection");
    return result == 1 ? got : 0;
}

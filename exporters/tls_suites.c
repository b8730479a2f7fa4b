/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the judgement of cipher suites. Called by kafka_rules.c: librdkafka makes the connection, and with a
 * suite that needs no certificate OpenSSL asks for none, whatever else is set.
 *
 * OpenSSL's list has aliases, sets that subtract from sets, and commands, and openssl.cnf has a say in it:
 * what counts is what a client would offer. */
#include "exporters/tls_suites.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

/* A suite of TLS 1.3 leaves the authentication to the handshake, which always has one. */
static const char *suite_fault(const SSL_CIPHER *suite)
{
    int authentication = SSL_CIPHER_get_auth_nid(suite);

    if (authentication == NID_auth_null || authentication == NID_undef)
        return "asks the server for no certificate";
    if (SSL_CIPHER_get_cipher_nid(suite) == NID_undef)
        return "does not encrypt";
    return NULL;
}

static bool are_sound(STACK_OF(SSL_CIPHER) * suites, char *error, size_t error_size)
{
    for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
        const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
        const char *fault = suite_fault(suite);

        if (fault != NULL) {
            snprintf(error, error_size, "%s %s", SSL_CIPHER_get_name(suite), fault);
            return false;
        }
    }
    return true;
}

static bool judge(SSL_CTX *context, const char *list, char *error, size_t error_size)
{
    STACK_OF(SSL_CIPHER) *suites = NULL;
    SSL *tls = NULL;
    bool sound = false;

    if (SSL_CTX_set_cipher_list(context, list) != 1)
        snprintf(error, error_size, "OpenSSL knows no such cipher suites");
    else if ((tls = SSL_new(context)) == NULL || (suites = SSL_get1_supported_ciphers(tls)) == NULL)
        snprintf(error, error_size, "no suite is left");
    else
        sound = are_sound(suites, error, error_size);
    if (sound && SSL_CTX_get_security_level(context) < 1) {
        snprintf(error, error_size,
            "security level 0 takes certificates that can be forged: write @SECLEVEL=1 or more");
        sound = false;
    }
    sk_SSL_CIPHER_free(suites);
    SSL_free(tls);
    return sound;
}

bool tls_suites_are_sound(const char *list, char *error, size_t error_size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    bool sound = false;

    if (context == NULL)
        snprintf(error, error_size, "OpenSSL makes no context");
    else
        sound = judge(context, list, error, error_size);
    SSL_CTX_free(context);
    ERR_clear_error(); /* the queue is the thread's: it would explain another's failure */
    return sound;
}

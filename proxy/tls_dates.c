/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is told of the ends of certificates and revocation lists. Called by server_metrics.c and
 * server_status.c. */
#include <openssl/ssl.h>

#include "proxy/tls_internal.h"

static uint64_t end_of(const SSL_CTX *context)
{
    X509 *certificate = SSL_CTX_get0_certificate(context);

    return certificate == NULL ? 0 : tls_seconds_of(X509_get0_notAfter(certificate));
}

static void tell_first_ca(const struct tls_ca *ca, tls_date_each *each, void *context)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < sk_X509_num(ca->certificates); i++) {
        uint64_t end = tls_seconds_of(X509_get0_notAfter(sk_X509_value(ca->certificates, i)));

        first = end < first ? end : first;
    }
    if (first != UINT64_MAX)
        each(context, TLS_DATE_CA, ca->name, first);
}

static void tell_first_crl(const struct tls_server *server, tls_date_each *each, void *context)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < sk_X509_CRL_num(server->crls); i++) {
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(sk_X509_CRL_value(server->crls, i));
        uint64_t end = next == NULL ? UINT64_MAX : tls_seconds_of(next);

        first = end < first ? end : first;
    }
    if (first != UINT64_MAX)
        each(context, TLS_DATE_CRL, "", first);
}

void tls_server_dates(const struct tls_server *server, tls_date_each *each, void *context)
{
    each(context, TLS_DATE_CERTIFICATE, "default", end_of(server->context));
    for (size_t i = 0; i < server->sni_count; i++)
        each(context, TLS_DATE_CERTIFICATE, server->sni[i].names[0], end_of(server->sni[i].context));
    for (size_t i = 0; i < server->ca_count; i++)
        tell_first_ca(&server->cas[i], each, context);
    tell_first_crl(server, each, context);
}

uint64_t tls_client_date(const struct tls_client *client)
{
    return end_of(client->context);
}

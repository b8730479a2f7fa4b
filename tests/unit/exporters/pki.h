/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made when they run. */
#ifndef MQWARD_TESTS_EXPORTERS_PKI_H
#define MQWARD_TESTS_EXPORTERS_PKI_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* <directory>/<name>.pem and .key, signed by the authority (by itself without one). name is its common name;
 * names: as subjectAltName has them, NULL: none. *out: its key, NULL: not wanted. Both are the caller's. */
X509 *pki_certificate(const char *directory, const char *name, const char *names, X509 *authority,
    EVP_PKEY *authority_key, EVP_PKEY **out);

#endif

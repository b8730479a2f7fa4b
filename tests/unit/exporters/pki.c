/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the making of certificates. */
#include "pki.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static void write_key(const char *directory, const char *name, EVP_PKEY *key)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s.key", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static void add_extension(X509 *certificate, X509 *issuer, int identifier, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, identifier, value);
    cr_assert_not_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

X509 *pki_certificate(const char *directory, const char *name, const char *names, X509 *authority,
    EVP_PKEY *authority_key, EVP_PKEY **out)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    char path[256];

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), authority == NULL ? 1 : 2);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(authority == NULL ? certificate : authority));
    X509_set_pubkey(certificate, key);
    if (authority == NULL)
        add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    else if (names != NULL)
        add_extension(certificate, authority, NID_subject_alt_name, names);
    cr_assert_gt(X509_sign(certificate, authority_key == NULL ? key : authority_key, EVP_sha256()), 0);
    write_key(directory, name, key);
    snprintf(path, sizeof(path), "%s/%s.pem", directory, name);
    FILE *file = fopen(path, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    if (out != NULL)
        *out = key;
    else
        EVP_PKEY_free(key);
    return certificate;
}

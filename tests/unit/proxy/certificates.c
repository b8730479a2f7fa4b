/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for the tests of streams and TLS contexts. */
#include "certificates.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"

static const char *const files[] = {"ca.pem", "server.pem", "server.key", "client.pem", "client.key",
    "expired.pem", "expired.key", "other.pem", "other.key", "secret.key", "garbage.pem", "empty.pem"};

struct identity {
    X509 *certificate;
    EVP_PKEY *key;
};

static FILE *create(const struct certificates *certificates, const char *name)
{
    char path[160];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", certificates->folder, name);
    out = fopen(path, "w");
    cr_assert_not_null(out);
    return out;
}

static void write_certificate(const struct certificates *certificates, const char *name, X509 *certificate)
{
    FILE *out = create(certificates, name);

    PEM_write_X509(out, certificate);
    fclose(out);
}

static void write_key(
    const struct certificates *certificates, const char *name, EVP_PKEY *key, const char *phrase)
{
    FILE *out = create(certificates, name);

    PEM_write_PKCS8PrivateKey(out, key, phrase != NULL ? EVP_aes_128_cbc() : NULL, phrase,
        phrase != NULL ? (int)strlen(phrase) : 0, NULL, NULL);
    fclose(out);
}

static void write_text(const struct certificates *certificates, const char *name, const char *text)
{
    FILE *out = create(certificates, name);

    fputs(text, out);
    fclose(out);
}

static void add_name(X509_NAME *name, const char *field, const char *value)
{
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    cr_assert_not_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by issuer, or by itself. valid: seconds from now, negative: expired so long ago. */
static struct identity make(const struct identity *issuer, const char *common_name,
    const char *alternative_names, bool ca, long valid)
{
    struct identity made = {X509_new(), EVP_EC_gen("P-256")};
    X509_NAME *name = X509_get_subject_name(made.certificate);
    static long serial = 4096;

    X509_set_version(made.certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.certificate), -7200);
    X509_gmtime_adj(X509_getm_notAfter(made.certificate), valid);
    X509_set_pubkey(made.certificate, made.key);
    add_name(name, "O", "Plant A");
    add_name(name, "OU", "a");
    add_name(name, "CN", common_name);
    X509_set_issuer_name(
        made.certificate, issuer == NULL ? name : X509_get_subject_name(issuer->certificate));
    add_extension(made.certificate, NID_basic_constraints, ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (alternative_names != NULL)
        add_extension(made.certificate, NID_subject_alt_name, alternative_names);
    X509_sign(made.certificate, issuer == NULL ? made.key : issuer->key, EVP_sha256());
    return made;
}

static void drop(struct identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
}

static void write_identity(
    const struct certificates *certificates, const char *name, const struct identity *identity)
{
    char file[32];

    snprintf(file, sizeof(file), "%s.pem", name);
    write_certificate(certificates, file, identity->certificate);
    snprintf(file, sizeof(file), "%s.key", name);
    write_key(certificates, file, identity->key, NULL);
}

static void configure(struct certificates *certificates)
{
    certificates->source =
        (struct diag_source){.path = "mqward.yaml", .text = VIEW("a\nb\nc\nd\ne\nf\ng\nh\n")};
    certificates->ca = (struct config_named_file){"fleet", certificates_path(certificates, "ca.pem", 1)};
    certificates->cas[0] = &certificates->ca;
    certificates->listener_tls = (struct config_listener_tls){
        .certificate = certificates_path(certificates, "server.pem", 2),
        .key = certificates_path(certificates, "server.key", 3),
        .min_version = TLS1_2_VERSION,
        .client_certificate = CONFIG_CERTIFICATE_OPTIONAL,
        .client_cas = certificates->cas,
        .client_ca_count = 1,
    };
    certificates->listener = (struct config_listener){.name = "outside", .tls = &certificates->listener_tls};
    certificates->upstream_tls = (struct config_upstream_tls){.ca = &certificates->ca, .verify = true};
}

void certificates_make(struct certificates *certificates)
{
    struct identity ca, one;

    *certificates = (struct certificates){.folder = "/tmp/mqward-proxy-XXXXXX"};
    cr_assert_not_null(mkdtemp(certificates->folder));
    ca = make(NULL, "Test CA", NULL, true, 3600);
    write_certificate(certificates, "ca.pem", ca.certificate);
    one = make(&ca, "server", "DNS:localhost,IP:127.0.0.1", false, 3600);
    write_identity(certificates, "server", &one);
    drop(&one);
    one = make(
        &ca, "plc-7", "URI:urn:dev:plc-7,DNS:plc-7.example,email:a@example.org,IP:192.0.2.1", false, 3600);
    write_identity(certificates, "client", &one);
    write_key(certificates, "secret.key", one.key, "pass phrase");
    drop(&one);
    one = make(&ca, "plc-8", NULL, false, -3600);
    write_identity(certificates, "expired", &one);
    drop(&one);
    one = make(NULL, "nobody", "DNS:localhost", false, 3600);
    write_identity(certificates, "other", &one);
    drop(&one);
    drop(&ca);
    write_text(certificates, "garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write_text(certificates, "empty.pem", "");
    configure(certificates);
}

void certificates_remove(struct certificates *certificates)
{
    char path[160];

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", certificates->folder, files[i]);
        unlink(path);
    }
    rmdir(certificates->folder);
}

struct config_path certificates_path(struct certificates *certificates, const char *name, unsigned line)
{
    struct buffer path = {0};
    char *kept = certificates->path[certificates->used++ % 10];

    buffer_format(&path, "%s/%s", certificates->folder, name);
    cr_assert_lt(buffer_length(&path), sizeof(certificates->path[0]));
    memcpy(kept, path.data, buffer_length(&path));
    kept[buffer_length(&path)] = 0;
    buffer_release(&path);
    return (struct config_path){kept, {&certificates->source, line, 1, 1}};
}

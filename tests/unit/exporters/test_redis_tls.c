/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink over TLS: a server that proves its name, and ones that do not. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "event.h"
#include "redis_server.h"

#define KEY "mqward:audit"

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

/* <directory>/<name>.pem and .key, signed by the authority (itself without one). */
static X509 *make_certificate(const char *directory, const char *name, const char *names, X509 *authority,
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
    else
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

struct fixture {
    struct redis_server server;
    char path[DIRECTORY_MAX];
    char extra[512], authority[128], other[128], certificate[128], key[128];
    struct exporter_redis redis;
    struct exporter_settings settings;
};

static void make_certificates(const char *directory)
{
    EVP_PKEY *key = NULL;
    X509 *authority = make_certificate(directory, "authority", NULL, NULL, NULL, &key);

    X509_free(make_certificate(directory, "server", "DNS:redis.example,IP:127.0.0.1", authority, key, NULL));
    X509_free(make_certificate(directory, "client", "DNS:mqward.example", authority, key, NULL));
    X509_free(make_certificate(directory, "other", NULL, NULL, NULL, NULL));
    X509_free(authority);
    EVP_PKEY_free(key);
}

static void fixture_open(struct fixture *fixture, const char *client_certificates)
{
    *fixture = (struct fixture){.server = {.process = 0}};
    directory_make(fixture->server.directory);
    const char *directory = fixture->server.directory;
    make_certificates(directory);
    fixture->server.tls = true;
    snprintf(fixture->extra, sizeof(fixture->extra),
        "--tls-cert-file %s/server.pem --tls-key-file %s/server.key --tls-ca-cert-file "
        "%s/authority.pem "
        "--tls-auth-clients %s",
        directory, directory, directory, client_certificates);
    redis_server_start(&fixture->server, fixture->extra);
    directory_make(fixture->path);
    snprintf(fixture->authority, sizeof(fixture->authority), "%s/authority.pem", directory);
    snprintf(fixture->other, sizeof(fixture->other), "%s/other.pem", directory);
    snprintf(fixture->certificate, sizeof(fixture->certificate), "%s/client.pem", directory);
    snprintf(fixture->key, sizeof(fixture->key), "%s/client.key", directory);
    fixture->redis = redis_sink_settings(&fixture->server);
    fixture->redis.port = fixture->server.tls_port;
    fixture->redis.tls = true;
    fixture->redis.tls_ca = fixture->authority;
    fixture->settings = directory_settings(fixture->path);
    fixture->settings.redis = &fixture->redis;
    fixture->settings.redis_count = 1;
}

static void fixture_close(struct fixture *fixture)
{
    redis_server_end(&fixture->server);
    directory_remove(fixture->path);
}

static void check_delivers(struct fixture *fixture)
{
    struct exporter *exporter = redis_exporter_open(&fixture->settings);

    redis_push(exporter, 0, 1500);
    exporter_close(exporter, 10000);
    cr_assert_eq(redis_users(&fixture->server, KEY, NULL), 1500);
}

static void check_refuses(struct fixture *fixture)
{
    struct exporter *exporter = redis_exporter_open(&fixture->settings);
    struct exporter_status status;

    redis_push(exporter, 0, 5);
    WAIT_FOR((exporter_status(exporter, &status), status.events >= 6));
    usleep(300000);
    exporter_close(exporter, 0);
    cr_assert_eq(
        redis_length(&fixture->server, KEY), 0, "nothing goes to a server that is not the one meant");
    cr_assert_eq(directory_actions(fixture->path, "sink-down"), 1);
}

Test(redis_tls, a_server_is_trusted_by_its_address_in_the_certificate)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    check_delivers(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_is_trusted_by_the_configured_name_and_may_ask_for_our_certificate)
{
    struct fixture fixture;
    fixture_open(&fixture, "yes");
    fixture.redis.tls_server_name = "redis.example";
    fixture.redis.tls_certificate = fixture.certificate;
    fixture.redis.tls_key = fixture.key;
    check_delivers(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_of_another_authority_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    fixture.redis.tls_ca = fixture.other;
    check_refuses(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_with_another_name_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    fixture.redis.tls_server_name = "other.example";
    check_refuses(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_without_tls_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    fixture.redis.port = fixture.server.port;
    fixture.redis.timeout_ms = 500;
    check_refuses(&fixture);
    fixture_close(&fixture);
}

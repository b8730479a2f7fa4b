/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink over TLS: a server that proves its name, and ones that do not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "event.h"
#include "pki.h"
#include "redis_server.h"
#include "secrets.h"

#define KEY "mqward:audit"

struct fixture {
    struct redis_server server;
    char path[DIRECTORY_MAX];
    char extra[512], authority[128], other[128], certificate[128], key[128];
    struct exporter_redis redis;
    struct exporter_sink sink;
    struct exporter_settings settings;
};

static void make_certificates(const char *directory)
{
    EVP_PKEY *key = NULL;
    X509 *authority = pki_certificate(directory, "authority", NULL, NULL, NULL, &key);

    X509_free(pki_certificate(directory, "server", "DNS:redis.example,IP:127.0.0.1", authority, key, NULL));
    X509_free(pki_certificate(directory, "client", "DNS:mqward.example", authority, key, NULL));
    X509_free(pki_certificate(directory, "other", NULL, NULL, NULL, NULL));
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
    fixture->redis.address.port = fixture->server.tls_port;
    fixture->redis.access.credentials = secrets_tls(fixture->authority, NULL, NULL);
    fixture->settings = directory_settings(fixture->path);
    fixture->sink = redis_sink("siem", &fixture->redis);
    fixture->settings.sinks = &fixture->sink;
    fixture->settings.sink_count = 1;
}

static void trust(struct fixture *fixture, const char *authority, const char *certificate, const char *key)
{
    credentials_free(fixture->redis.access.credentials);
    fixture->redis.access.credentials = secrets_tls(authority, certificate, key);
}

static void fixture_close(struct fixture *fixture)
{
    credentials_free(fixture->redis.access.credentials);
    redis_server_end(&fixture->server);
    directory_remove(fixture->path);
}

static void check_delivers(struct fixture *fixture)
{
    struct exporter *exporter = redis_exporter_open(&fixture->settings);

    redis_push(exporter, 0, 1500);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(redis_users(&fixture->server, KEY, NULL), 1500);
}

static void check_refuses(struct fixture *fixture)
{
    struct exporter *exporter = redis_exporter_open(&fixture->settings);
    struct exporter_status status;

    redis_push(exporter, 0, 5);
    WAIT_FOR((exporter_status(exporter, &status), status.events >= 7));
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
    fixture.redis.access.tls_server_name = "redis.example";
    trust(&fixture, fixture.authority, fixture.certificate, fixture.key);
    check_delivers(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_of_another_authority_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    trust(&fixture, fixture.other, NULL, NULL);
    check_refuses(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_with_another_name_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    fixture.redis.access.tls_server_name = "other.example";
    check_refuses(&fixture);
    fixture_close(&fixture);
}

Test(redis_tls, a_server_without_tls_is_refused)
{
    struct fixture fixture;
    fixture_open(&fixture, "no");
    fixture.redis.address.port = fixture.server.port;
    fixture.redis.timeout_ms = 500;
    check_refuses(&fixture);
    fixture_close(&fixture);
}

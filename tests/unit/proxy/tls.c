/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: files that are no good, and what a handshake says about a client. */
#include "proxy/tls.h"

#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "certificates.h"

static char *printed(const struct diag_list *diag)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    diag_print(diag, out);
    fclose(out);
    return text;
}

/* The context is refused with exactly one error, at this line, with this text in it. */
static void expect_error(const struct diag_list *diag, bool made, unsigned line, const char *text)
{
    char place[32], *messages = printed(diag);

    snprintf(place, sizeof(place), "mqward.yaml:%u:1: error: ", line);
    cr_expect_not(made);
    cr_expect_eq(diag_errors(diag), 1, "%s", messages);
    cr_expect(strncmp(messages, place, strlen(place)) == 0, "wanted %s, got %s", place, messages);
    cr_expect_not_null(strstr(messages, text), "wanted '%s', got %s", text, messages);
    free(messages);
}

static void refuse_server(
    const char *certificate, const char *key, const char *ca, unsigned line, const char *text)
{
    struct certificates certificates;
    struct diag_list *diag = diag_list_new();
    struct tls_server *server;

    certificates_make(&certificates);
    certificates.listener_tls.certificate = certificates_path(&certificates, certificate, 5);
    certificates.listener_tls.key = certificates_path(&certificates, key, 6);
    certificates.ca.file = certificates_path(&certificates, ca, 7);
    server = tls_server_new(&certificates.listener, diag);
    expect_error(diag, server != NULL, line, text);
    diag_list_free(diag);
    certificates_remove(&certificates);
}

Test(tls, files_of_a_listener_that_are_no_good_are_named_where_they_are_named)
{
    refuse_server("missing.pem", "server.key", "ca.pem", 5, "No such file");
    refuse_server("garbage.pem", "server.key", "ca.pem", 5, "certificate");
    refuse_server("empty.pem", "server.key", "ca.pem", 5, "certificate");
    refuse_server("server.key", "server.key", "ca.pem", 5, "certificate");
    refuse_server("server.pem", "missing.key", "ca.pem", 6, "No such file");
    refuse_server("server.pem", "server.pem", "ca.pem", 6, "key");
    refuse_server("server.pem", "client.key", "ca.pem", 6, "key");
    refuse_server("client.pem", "secret.key", "ca.pem", 6, "pass phrase");
    refuse_server("server.pem", "server.key", "missing.pem", 7, "No such file");
    refuse_server("server.pem", "server.key", "empty.pem", 7, "certificate");
    refuse_server("server.pem", "server.key", "garbage.pem", 7, "certificate");
}

static void refuse_client(
    const char *certificate, const char *key, const char *ca, unsigned line, const char *text)
{
    struct certificates certificates;
    struct diag_list *diag = diag_list_new();
    struct tls_client *client;

    certificates_make(&certificates);
    certificates.upstream_tls.certificate = certificates_path(&certificates, certificate, 5);
    certificates.upstream_tls.key = certificates_path(&certificates, key, 6);
    certificates.ca.file = certificates_path(&certificates, ca, 7);
    client = tls_client_new(&certificates.upstream_tls, "localhost", diag);
    expect_error(diag, client != NULL, line, text);
    diag_list_free(diag);
    certificates_remove(&certificates);
}

Test(tls, files_of_an_upstream_that_are_no_good_are_named_where_they_are_named)
{
    refuse_client("missing.pem", "client.key", "ca.pem", 5, "No such file");
    refuse_client("client.pem", "server.key", "ca.pem", 6, "key");
    refuse_client("client.pem", "secret.key", "ca.pem", 6, "pass phrase");
    refuse_client("client.pem", "client.key", "missing.pem", 7, "No such file");
    refuse_client("client.pem", "client.key", "garbage.pem", 7, "certificate");
}

Test(tls, all_bad_files_are_reported_in_one_run)
{
    struct certificates certificates;
    struct diag_list *diag = diag_list_new();

    certificates_make(&certificates);
    certificates.listener_tls.certificate = certificates_path(&certificates, "missing.pem", 5);
    certificates.ca.file = certificates_path(&certificates, "empty.pem", 7);
    cr_expect_null(tls_server_new(&certificates.listener, diag));
    cr_expect_eq(diag_errors(diag), 2);
    diag_list_free(diag);
    certificates_remove(&certificates);
}

Test(tls, cipher_names_that_do_not_exist_are_refused)
{
    struct certificates certificates;
    struct diag_list *diag = diag_list_new();

    certificates_make(&certificates);
    certificates.listener_tls.ciphers = "NOTHING-OF-THE-KIND";
    cr_expect_null(tls_server_new(&certificates.listener, diag));
    certificates.listener_tls.ciphers = NULL;
    certificates.listener_tls.ciphersuites = "TLS_NOTHING";
    cr_expect_null(tls_server_new(&certificates.listener, diag));
    cr_expect_eq(diag_errors(diag), 2);
    diag_list_free(diag);
    certificates_remove(&certificates);
}

/* ---- handshakes, in memory ---- */

struct talk {
    struct certificates certificates;
    struct diag_list *diag;
    struct tls_server *server;
    SSL_CTX *client;
    SSL *at_server, *at_client;
};

static void set_up(struct talk *talk)
{
    *talk = (struct talk){.diag = diag_list_new(), .client = SSL_CTX_new(TLS_client_method())};
    certificates_make(&talk->certificates);
}

static void use_certificate(struct talk *talk, const char *certificate, const char *key)
{
    SSL_CTX_use_certificate_chain_file(
        talk->client, certificates_path(&talk->certificates, certificate, 1).path);
    SSL_CTX_use_PrivateKey_file(
        talk->client, certificates_path(&talk->certificates, key, 1).path, SSL_FILETYPE_PEM);
}

static void begin(struct talk *talk, SSL_SESSION *resumed)
{
    BIO *a, *b;

    if (talk->server == NULL)
        talk->server = tls_server_new(&talk->certificates.listener, talk->diag);
    cr_assert_not_null(talk->server);
    talk->at_server = tls_server_accept(talk->server);
    talk->at_client = SSL_new(talk->client);
    SSL_set_connect_state(talk->at_client);
    SSL_set_tlsext_host_name(talk->at_client, "localhost");
    if (resumed != NULL)
        SSL_set_session(talk->at_client, resumed);
    BIO_new_bio_pair(&a, 0, &b, 0);
    SSL_set_bio(talk->at_server, a, a);
    SSL_set_bio(talk->at_client, b, b);
}

/* True if both sides are done. The client reads once more, for its ticket. */
static bool shake(struct talk *talk)
{
    char byte;
    int server = 0, client = 0;

    for (int i = 0; i < 20 && (server != 1 || client != 1); i++) {
        client = SSL_do_handshake(talk->at_client);
        server = SSL_do_handshake(talk->at_server);
    }
    SSL_read(talk->at_client, &byte, 1);
    return server == 1 && client == 1;
}

static void end(struct talk *talk)
{
    SSL_free(talk->at_server);
    SSL_free(talk->at_client);
    talk->at_server = talk->at_client = NULL;
}

static void tear_down(struct talk *talk)
{
    end(talk);
    tls_server_free(talk->server);
    SSL_CTX_free(talk->client);
    diag_list_free(talk->diag);
    certificates_remove(&talk->certificates);
}

static bool has_value(const struct tls_peer *peer, const char *name, const char *value)
{
    for (size_t i = 0; i < peer->value_count; i++)
        if (strcmp(peer->values[i].name, name) == 0 && view_equal_string(peer->values[i].value, value))
            return true;
    return false;
}

static void expect_plc_7(const struct tls_peer *peer)
{
    cr_assert(peer->has_certificate);
    cr_expect_eq(peer->ca_count, 1);
    cr_expect_str_eq(peer->cas[0], "fleet");
    cr_expect_str_eq(peer->subject, "CN=plc-7,OU=a,O=Plant A");
    cr_expect_str_eq(peer->issuer, "CN=Test CA,OU=a,O=Plant A");
    cr_expect_eq(strlen(peer->fingerprint), 64);
    cr_expect_str_eq(peer->server_name, "localhost");
    cr_expect(
        has_value(peer, "cn", "plc-7") && has_value(peer, "ou", "a") && has_value(peer, "o", "Plant A"));
    cr_expect(has_value(peer, "san.uri", "urn:dev:plc-7") && has_value(peer, "san.dns", "plc-7.example"));
    cr_expect(has_value(peer, "san.email", "a@example.org") && has_value(peer, "san.ip", "192.0.2.1"));
}

static void resume_in(int version)
{
    struct talk talk;
    struct tls_peer *peer;
    SSL_SESSION *session;

    set_up(&talk);
    SSL_CTX_set_max_proto_version(talk.client, version);
    use_certificate(&talk, "client.pem", "client.key");
    begin(&talk, NULL);
    cr_assert(shake(&talk));
    peer = tls_peer_new(talk.server, talk.at_server);
    cr_assert_not_null(peer);
    cr_expect_not(peer->resumed);
    cr_expect_str_eq(peer->version, version == TLS1_3_VERSION ? "1.3" : "1.2");
    expect_plc_7(peer);
    tls_peer_free(peer);
    for (int round = 0; round < 3; round++) {
        session = SSL_get1_session(talk.at_client);
        SSL_shutdown(talk.at_client);
        end(&talk);
        begin(&talk, session);
        SSL_SESSION_free(session);
        cr_assert(shake(&talk));
        peer = tls_peer_new(talk.server, talk.at_server);
        cr_assert_not_null(peer);
        cr_expect(peer->resumed, "round %d", round);
        expect_plc_7(peer);
        tls_peer_free(peer);
    }
    tear_down(&talk);
}

Test(tls, a_resumed_session_of_1_3_says_the_same_about_the_client_as_the_full_handshake)
{
    resume_in(TLS1_3_VERSION);
}

Test(tls, a_resumed_session_of_1_2_says_the_same_about_the_client_as_the_full_handshake)
{
    resume_in(TLS1_2_VERSION);
}

Test(tls, a_session_of_one_listener_is_not_resumed_at_another)
{
    struct talk talk;
    struct tls_peer *peer;
    SSL_SESSION *session;

    set_up(&talk);
    use_certificate(&talk, "client.pem", "client.key");
    begin(&talk, NULL);
    cr_assert(shake(&talk));
    session = SSL_get1_session(talk.at_client);
    end(&talk);
    tls_server_free(talk.server);
    talk.server = NULL;
    talk.certificates.listener.name = "inside";
    begin(&talk, session);
    SSL_SESSION_free(session);
    cr_assert(shake(&talk));
    peer = tls_peer_new(talk.server, talk.at_server);
    cr_assert_not_null(peer);
    cr_expect_not(peer->resumed);
    expect_plc_7(peer);
    tls_peer_free(peer);
    tear_down(&talk);
}

Test(tls, a_client_without_a_certificate_has_none)
{
    struct talk talk;
    struct tls_peer *peer;

    set_up(&talk);
    begin(&talk, NULL);
    cr_assert(shake(&talk));
    peer = tls_peer_new(talk.server, talk.at_server);
    cr_assert_not_null(peer);
    cr_expect_not(peer->has_certificate);
    cr_expect(peer->ca_count == 0 && peer->value_count == 0);
    cr_expect_str_eq(peer->subject, "");
    tls_peer_free(peer);
    tear_down(&talk);
}

Test(tls, an_old_version_is_refused)
{
    struct talk talk;

    set_up(&talk);
    talk.certificates.listener_tls.min_version = TLS1_3_VERSION;
    SSL_CTX_set_max_proto_version(talk.client, TLS1_2_VERSION);
    begin(&talk, NULL);
    cr_expect_not(shake(&talk));
    tear_down(&talk);
}

static void expect_name(struct talk *talk, const char *asked, const char *common_name)
{
    X509 *certificate;
    char name[64] = "";

    begin(talk, NULL);
    if (asked != NULL)
        SSL_set_tlsext_host_name(talk->at_client, asked);
    cr_assert(shake(talk));
    certificate = SSL_get0_peer_certificate(talk->at_client);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
    cr_expect_str_eq(name, common_name, "asked for %s, got %s", asked, name);
    end(talk);
}

Test(tls, the_certificate_is_that_of_the_name_that_the_client_asks_for)
{
    struct talk talk;
    const char *names[] = {"mqtt.example", "*.plant.example"};
    struct config_sni sni = {.names = names, .name_count = 2};

    set_up(&talk);
    sni.certificate = certificates_path(&talk.certificates, "other.pem", 5);
    sni.key = certificates_path(&talk.certificates, "other.key", 6);
    talk.certificates.listener_tls.sni = &sni;
    talk.certificates.listener_tls.sni_count = 1;
    expect_name(&talk, "mqtt.example", "nobody");
    expect_name(&talk, "MQTT.Example", "nobody");
    expect_name(&talk, "a.plant.example", "nobody");
    expect_name(&talk, "a.b.plant.example", "server");
    expect_name(&talk, "plant.example", "server");
    expect_name(&talk, "other.example", "server");
    tear_down(&talk);
}

/* The certificate's choice by name must not lose the demand for the client's. */
Test(tls, a_client_that_asks_for_another_name_still_needs_its_certificate)
{
    struct talk talk;
    const char *names[] = {"mqtt.example"};
    struct config_sni sni = {.names = names, .name_count = 1};

    set_up(&talk);
    sni.certificate = certificates_path(&talk.certificates, "other.pem", 5);
    sni.key = certificates_path(&talk.certificates, "other.key", 6);
    talk.certificates.listener_tls.sni = &sni;
    talk.certificates.listener_tls.sni_count = 1;
    talk.certificates.listener_tls.client_certificate = CONFIG_CERTIFICATE_REQUIRED;
    begin(&talk, NULL);
    SSL_set_tlsext_host_name(talk.at_client, "mqtt.example");
    shake(&talk);
    cr_expect_neq(SSL_is_init_finished(talk.at_server), 1);
    end(&talk);
    use_certificate(&talk, "client.pem", "client.key");
    begin(&talk, NULL);
    SSL_set_tlsext_host_name(talk.at_client, "mqtt.example");
    cr_expect(shake(&talk));
    tear_down(&talk);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a finished handshake says about a client: names, certificate values, the CAs that vouch for it. Called
 * by conn.c once per connection. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/arena.h"
#include "proxy/tls.h"
#include "proxy/tls_internal.h"

static const struct {
    int nid;
    const char *name;
} subject_names[] = {
    {NID_commonName, "cn"},
    {NID_organizationalUnitName, "ou"},
    {NID_organizationName, "o"},
    {NID_countryName, "c"},
    {NID_localityName, "l"},
    {NID_stateOrProvinceName, "st"},
    {NID_serialNumber, "serial_number"},
    {NID_userId, "uid"},
    {NID_domainComponent, "dc"},
};

struct values {
    struct arena *arena;
    struct policy_certificate_value *items;
    size_t count, capacity;
};

/* The text of an ASN.1 string as UTF-8; nothing if it can't be one or holds a NUL (the classic trick with
 * names). */
static struct view string_text(struct arena *arena, const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int length = ASN1_STRING_to_UTF8(&utf8, string);
    struct view text = {NULL, 0};

    if (length > 0 && memchr(utf8, 0, (size_t)length) == NULL)
        text = arena_copy(arena, view_of(utf8, (size_t)length));
    OPENSSL_free(utf8);
    return text;
}

static void add_value(struct values *values, const char *name, struct view text)
{
    if (text.length > 0 && values->count < values->capacity)
        values->items[values->count++] = (struct policy_certificate_value){name, text};
}

static void add_subject(struct values *values, const X509_NAME *subject)
{
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));

        for (size_t n = 0; n < sizeof(subject_names) / sizeof(subject_names[0]); n++)
            if (subject_names[n].nid == nid)
                add_value(values, subject_names[n].name,
                    string_text(values->arena, X509_NAME_ENTRY_get_data(entry)));
    }
}

static struct view address_text(struct arena *arena, const ASN1_OCTET_STRING *address)
{
    char text[INET6_ADDRSTRLEN];
    int length = ASN1_STRING_length(address);

    if ((length != 4 && length != 16) || inet_ntop(length == 4 ? AF_INET : AF_INET6,
                                             ASN1_STRING_get0_data(address), text, sizeof(text)) == NULL)
        return (struct view){NULL, 0};
    return arena_copy(arena, view_of_string(text));
}

static void add_alternative_names(struct values *values, const GENERAL_NAMES *names)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        switch (name->type) {
        case GEN_URI:
            add_value(values, "san.uri", string_text(values->arena, name->d.uniformResourceIdentifier));
            break;
        case GEN_DNS:
            add_value(values, "san.dns", string_text(values->arena, name->d.dNSName));
            break;
        case GEN_EMAIL:
            add_value(values, "san.email", string_text(values->arena, name->d.rfc822Name));
            break;
        case GEN_IPADD:
            add_value(values, "san.ip", address_text(values->arena, name->d.iPAddress));
            break;
        default:
            break;
        }
    }
}

static const char *name_text(struct arena *arena, const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    const char *text = "";

    if (X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long length = BIO_get_mem_data(out, &bytes);

        text = arena_copy_string(arena, view_of(bytes, length > 0 ? (size_t)length : 0));
    }
    BIO_free(out);
    return text;
}

/* Upper case, as ECS has fingerprints and serial numbers. */
static const char *hex_text(struct arena *arena, const unsigned char *bytes, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";
    char *text = arena_alloc(arena, 2 * length + 1);

    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return text;
}

/* 0 for a time that can't be read: OpenSSL has compared it with the clock before, so there is none. */
uint64_t tls_seconds_of(const ASN1_TIME *time)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool good = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 && days >= 0;

    ASN1_TIME_free(epoch);
    return good ? (uint64_t)days * 86400 + (uint64_t)seconds : 0;
}

static void describe_certificate(struct tls_peer *peer, X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    struct values values = {.arena = peer->arena};
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;

    peer->has_certificate = true;
    peer->expires_s = tls_seconds_of(X509_get0_notAfter(certificate));
    peer->subject = name_text(peer->arena, subject);
    peer->issuer = name_text(peer->arena, X509_get_issuer_name(certificate));
    peer->serial = hex_text(peer->arena, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
    if (X509_digest(certificate, EVP_sha256(), digest, &length) == 1)
        peer->fingerprint = hex_text(peer->arena, digest, length);
    /* Room for all of them: one left out could be the second value that makes an identity ambiguous. */
    values.capacity =
        (size_t)X509_NAME_entry_count(subject) + (names == NULL ? 0 : (size_t)sk_GENERAL_NAME_num(names));
    values.items = arena_calloc(peer->arena, values.capacity + 1, sizeof(*values.items));
    add_subject(&values, subject);
    add_alternative_names(&values, names);
    GENERAL_NAMES_free(names);
    peer->values = values.items;
    peer->value_count = values.count;
}

static const char *version_text(const SSL *ssl)
{
    switch (SSL_version(ssl)) {
    case TLS1_2_VERSION:
        return "1.2";
    case TLS1_3_VERSION:
        return "1.3";
    default:
        return SSL_get_version(ssl);
    }
}

/* What an arena may put between two things. */
#define TLS_PEER_ROUNDING 32

struct tls_peer *tls_peer_new(const struct tls_server *server, SSL *ssl)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    X509 *certificate = SSL_get0_peer_certificate(ssl);
    /* Of most clients there is nothing to keep but the server's name. */
    struct arena *arena = certificate != NULL ? arena_new()
                                              : arena_new_of(sizeof(struct tls_peer) + TLS_PEER_ROUNDING +
                                                             (name == NULL ? 0 : strlen(name) + 1));
    struct tls_peer *peer = arena_alloc(arena, sizeof(*peer));

    *peer = (struct tls_peer){.arena = arena,
        .resumed = SSL_session_reused(ssl),
        .version = version_text(ssl),
        .cipher = SSL_get_cipher_name(ssl),
        .subject = "",
        .issuer = "",
        .serial = "",
        .fingerprint = ""};
    peer->server_name = name == NULL ? "" : arena_copy_string(arena, view_of_string(name));
    if (certificate == NULL)
        return peer;
    /* OpenSSL does not look at the dates again when a session is resumed. */
    if (SSL_get_verify_result(ssl) != X509_V_OK ||
        X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
        tls_peer_free(peer);
        return NULL;
    }
    describe_certificate(peer, certificate);
    peer->ca_bits = tls_server_cas(server, ssl);
    peer->ca_count = tls_server_ca_names(server, peer->ca_bits, &peer->cas);
    ERR_clear_error();
    return peer;
}

static void forget_cas(struct tls_peer *peer)
{
    free((void *)(uintptr_t)peer->cas);
    peer->cas = NULL;
    peer->ca_count = 0;
}

bool tls_peer_rebind(
    struct tls_peer *peer, const struct tls_server *before, const struct tls_server *now, SSL *ssl)
{
    uint64_t cas = 0;

    forget_cas(peer);
    if (!peer->has_certificate)
        return !tls_server_insists(now);
    /* What was verified with the same stays verified; a resumed session could not always be again. */
    if (tls_server_same_trust(before, now))
        cas = peer->ca_bits;
    else if (tls_server_asks(now) && !tls_server_verify(now, ssl, &cas))
        return false;
    peer->ca_bits = cas;
    peer->ca_count = tls_server_ca_names(now, cas, &peer->cas);
    return true;
}

void tls_peer_free(struct tls_peer *peer)
{
    if (peer == NULL)
        return;
    forget_cas(peer);
    arena_free(peer->arena);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* listeners: of mqward.yaml: their tables, and the checks of one listener and of all together. Called by
 * proxy/config.c through the table of the file. */
#include <arpa/inet.h>
#include <ctype.h>

#include "proxy/config_build.h"

#define CONFIG_NAMES_MAX 1000 /* sni names of one entry */
#define CONFIG_CONNECTIONS_MAX 10000000
#define TIMEOUT_VALUE(maximum) "duration from 100ms to " maximum ", or 0: none"
#define MS_HOUR 3600000
#define MS_DAY (24 * MS_HOUR)

/* Server names */

/* Lower case; "*.x" stands for one label. NULL after an error. */
static const char *read_sni_name(struct keyword_context *context, const struct keyword_string *string)
{
    struct view host = string->text;
    if (view_starts_with(host, VIEW("*.")))
        host = view_skip(host, 2);
    if (!config_is_host_name(host)) {
        diag_add(context->diag, DIAG_ERROR, &string->place,
            "a host name, or *. and a host name; addresses carry no SNI",
            "names: '%.*s' is not a server name", VIEW_ARGS(string->text));
        return NULL;
    }
    char *name = arena_copy_string(context->arena, string->text);
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

static int set_sni_names(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct keyword_strings strings = {0};
    const struct keyword plain = {.name = keyword->name, .flags = KEYWORD_ONE_OR_MANY};
    if (keyword_set_strings(context, &plain, &strings, node) != 0)
        return -1;
    if (strings.count > CONFIG_NAMES_MAX)
        return keyword_error(context, node, NULL, "%s: more than %d names", keyword->name, CONFIG_NAMES_MAX);
    struct config_sni *sni = (void *)((char *)target + keyword->offset);
    struct config_unique *unique = arena_calloc(context->arena, strings.count, sizeof(*unique));
    sni->names = arena_calloc(context->arena, strings.count, sizeof(*sni->names));
    for (size_t i = 0; i < strings.count; i++) {
        const char *name = read_sni_name(context, &strings.items[i]);
        if (name == NULL)
            continue;
        unique[sni->name_count] = (struct config_unique){name, name, strings.items[i].place};
        sni->names[sni->name_count++] = name;
    }
    bool complete = sni->name_count == strings.count;
    return config_check_unique(context, unique, sni->name_count, "server name") == 0 && complete ? 0 : -1;
}

static const struct keyword sni_table[] = {
    {.name = "names",
        .set = set_sni_names,
        .flags = KEYWORD_REQUIRED,
        .value = "host name or list of host names",
        .help = "Server names that this certificate answers for. `*.example` stands for one label before "
                "`.example`."},
    {.name = "certificate",
        .set = config_set_path,
        .offset = offsetof(struct config_sni, certificate),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Certificate chain (PEM), the server's own first."},
    {.name = "key",
        .set = config_set_path,
        .offset = offsetof(struct config_sni, key),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Private key (PEM)."},
    {0},
};

static int set_sni(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_listener_tls *tls = (void *)((char *)target + keyword->offset);
    tls->sni = config_read_list(context, keyword, node, sizeof(*tls->sni), NULL);
    tls->sni_count = tls->sni == NULL ? 0 : node->count;
    return tls->sni == NULL ? -1 : 0;
}

/* TLS */

static int set_client_cas(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct keyword_strings strings = {0};
    const struct keyword plain = {.name = keyword->name, .flags = KEYWORD_ONE_OR_MANY};
    if (keyword_set_strings(context, &plain, &strings, node) != 0)
        return -1;
    struct config_listener_tls *tls = (void *)((char *)target + keyword->offset);
    tls->client_cas = arena_calloc(context->arena, strings.count, sizeof(*tls->client_cas));
    tls->client_ca_count = strings.count;
    for (size_t i = 0; i < strings.count; i++)
        config_add_reference(context, strings.items[i], &tls->client_cas[i], NULL);
    return 0;
}

/* A path or a list of paths. */
static int set_crls(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_listener_tls *tls = (void *)((char *)target + keyword->offset);
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    const struct keyword path = {.name = keyword->name};
    int result = 0;

    if (count == 0)
        return keyword_error(context, node, NULL, "%s: the list is empty", keyword->name);
    if (count > CONFIG_LIST_MAX)
        return keyword_error(context, node, NULL, "%s: more than %d files", keyword->name, CONFIG_LIST_MAX);
    tls->crls = arena_calloc(context->arena, count, sizeof(*tls->crls));
    for (const struct yaml_node *item = node->kind == YAML_SEQUENCE ? node->first : node; item != NULL;
         item = node->kind == YAML_SEQUENCE ? item->next : NULL) {
        if (config_set_path(context, &path, &tls->crls[tls->crl_count], item) == 0)
            tls->crl_count++;
        else
            result = -1;
    }
    return result;
}

static const struct keyword_choice crl_checks[] = {
    {"leaf", false, false, "the client's own certificate."},
    {"chain", true, false, "every certificate of its chain, the trusted CA's included."},
    {0},
};

static const struct keyword_choice min_versions[] = {
    {"1.2", 0x0303, false, NULL}, {"1.3", 0x0304, false, NULL}, {0}};

static const struct keyword_choice client_certificates[] = {
    {"none", CONFIG_CERTIFICATE_NONE, false, "the client is not asked for one."},
    {"optional", CONFIG_CERTIFICATE_OPTIONAL, false,
        "asked for; a client without one may connect, a bad one is refused."},
    {"required", CONFIG_CERTIFICATE_REQUIRED, false, "a client without a valid one is refused."},
    {0},
};

static const struct keyword listener_tls_table[] = {
    {.name = "certificate",
        .set = config_set_path,
        .offset = offsetof(struct config_listener_tls, certificate),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Certificate chain (PEM), the server's own first."},
    {.name = "key",
        .set = config_set_path,
        .offset = offsetof(struct config_listener_tls, key),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Private key (PEM)."},
    {.name = "min_version",
        .set = keyword_set_choice,
        .offset = offsetof(struct config_listener_tls, min_version),
        .default_text = "1.2",
        .choices = min_versions,
        .help = "The oldest TLS version that is accepted."},
    {.name = "ciphers",
        .set = config_set_text,
        .offset = offsetof(struct config_listener_tls, ciphers),
        .value = "OpenSSL cipher list",
        .help = "For TLS 1.2. Without it OpenSSL's default."},
    {.name = "ciphersuites",
        .set = config_set_text,
        .offset = offsetof(struct config_listener_tls, ciphersuites),
        .value = "OpenSSL ciphersuite list",
        .help = "For TLS 1.3. Without it OpenSSL's default."},
    {.name = "client_certificate",
        .set = keyword_set_choice,
        .offset = offsetof(struct config_listener_tls, client_certificate),
        .default_text = "none",
        .choices = client_certificates,
        .help = "Whether clients present a certificate."},
    {.name = "client_ca",
        .set = set_client_cas,
        .value = "name or list of names from `cas`",
        .help =
            "CAs that client certificates are verified against. Goes with `client_certificate: optional` or "
            "`required`."},
    {.name = "crl",
        .set = set_crls,
        .value = "path or list of paths",
        .help = "Certificate revocation lists (PEM or DER) of the client CAs. With them, a client is refused "
                "whose certificate is on the list of its issuer, and also one whose issuer has no list here "
                "or an expired one."},
    {.name = "crl_check",
        .set = keyword_set_choice,
        .offset = offsetof(struct config_listener_tls, crl_check_chain),
        .default_text = "leaf",
        .choices = crl_checks,
        .help = "Which certificates are looked up in the revocation lists."},
    {.name = "sni",
        .set = set_sni,
        .members = sni_table,
        .shape = KEYWORD_LIST,
        .help =
            "Further certificates, chosen by the server name that the client asks for. Without a match the "
            "listener's own certificate is used."},
    {0},
};

static void check_client_certificate(
    struct keyword_context *context, const struct config_listener_tls *tls, const struct yaml_node *node)
{
    const struct yaml_node *mode = config_find_member(node, "client_certificate");
    const struct yaml_node *ca = config_find_member(node, "client_ca");
    if (tls->client_certificate != CONFIG_CERTIFICATE_NONE && ca == NULL)
        keyword_error(context, mode, "name the CAs in client_ca",
            "client_certificate: without client_ca no client certificate can be verified");
    if (ca != NULL && (mode == NULL || view_equal(mode->text, VIEW("none"))))
        diag_add(context->diag, DIAG_ERROR, &ca->key_place,
            "add 'client_certificate: required' or 'optional'",
            "client_ca has no effect while client_certificate is none");
    const struct yaml_node *crl = config_find_member(node, "crl");
    const struct yaml_node *check = config_find_member(node, "crl_check");
    if (crl != NULL && ca == NULL)
        diag_add(context->diag, DIAG_ERROR, &crl->key_place,
            "add 'client_certificate: required' or 'optional', and client_ca",
            "crl has no effect without client certificates");
    if (check != NULL && crl == NULL)
        diag_add(context->diag, DIAG_ERROR, &check->key_place, "name the revocation lists with 'crl'",
            "crl_check has no effect without crl");
}

static void check_ciphers(
    struct keyword_context *context, const struct config_listener_tls *tls, const struct yaml_node *node)
{
    const struct yaml_node *ciphers = config_find_member(node, "ciphers");
    if (ciphers != NULL && tls->min_version == 0x0304)
        diag_add(context->diag, DIAG_ERROR, &ciphers->key_place, "TLS 1.3 is set with 'ciphersuites'",
            "ciphers has no effect while min_version is 1.3");
}

/* A name that two entries claim. */
static void check_sni(
    struct keyword_context *context, const struct config_listener_tls *tls, const struct yaml_node *node)
{
    size_t count = 0;
    for (size_t i = 0; i < tls->sni_count; i++)
        count += tls->sni[i].name_count;
    if (count == 0 || tls->sni_count < 2)
        return;
    struct config_unique *unique = arena_calloc(context->arena, count, sizeof(*unique));
    const struct yaml_node *entry = config_find_member(node, "sni")->first;
    count = 0;
    for (size_t i = 0; i < tls->sni_count; i++, entry = entry->next) {
        for (size_t j = 0; j < tls->sni[i].name_count; j++)
            unique[count++] =
                (struct config_unique){tls->sni[i].names[j], tls->sni[i].names[j], entry->place};
    }
    config_check_unique(context, unique, count, "server name");
}

static int set_listener_tls(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_listener_tls *tls = arena_alloc(context->arena, sizeof(*tls));
    *(struct config_listener_tls **)(void *)((char *)target + keyword->offset) = tls;
    size_t errors = keyword_read(context, keyword->members, tls, node);
    check_client_certificate(context, tls, node);
    check_ciphers(context, tls, node);
    if (errors == 0)
        check_sni(context, tls, node);
    return errors == 0 ? 0 : -1;
}

/* One listener */

#define LISTENER(field) offsetof(struct config_listener_row, listener.field)

static const struct keyword listener_limits_table[] = {
    {.name = "connections",
        .set = keyword_set_number,
        .offset = LISTENER(limit_connections),
        .default_text = "10000",
        .maximum = CONFIG_CONNECTIONS_MAX,
        .help = "Connections at a time. 0: no limit."},
    {.name = "connections_per_address",
        .set = keyword_set_number,
        .offset = LISTENER(limit_connections_per_address),
        .default_text = "1000",
        .maximum = CONFIG_CONNECTIONS_MAX,
        .help = "Connections at a time from one client address. 0: no limit."},
    {0},
};

static const struct keyword listener_timeouts_table[] = {
    {.name = "handshake",
        .set = config_set_optional_timeout,
        .offset = LISTENER(timeout_handshake_ms),
        .default_text = "10s",
        .maximum = MS_HOUR,
        .value = TIMEOUT_VALUE("1h"),
        .help = "From the accepted TCP connection to the end of the TLS handshake."},
    {.name = "connect",
        .set = config_set_optional_timeout,
        .offset = LISTENER(timeout_connect_ms),
        .default_text = "10s",
        .maximum = MS_HOUR,
        .value = TIMEOUT_VALUE("1h"),
        .help = "From there to the client's complete CONNECT packet."},
    {.name = "idle",
        .set = config_set_optional_timeout,
        .offset = LISTENER(timeout_idle_ms),
        .default_text = "1h",
        .maximum = (uint64_t)365 * MS_DAY,
        .value = TIMEOUT_VALUE("365d"),
        .help = "Silence that ends the connection of a client with keep alive 0. Others end after one and a "
                "half times "
                "their keep alive."},
    {.name = "send",
        .set = config_set_optional_timeout,
        .offset = LISTENER(timeout_send_ms),
        .default_text = "30s",
        .maximum = MS_HOUR,
        .value = TIMEOUT_VALUE("1h"),
        .help = "How long a client may leave what is sent to it unread."},
    {0},
};

const struct keyword config_listener_table[] = {
    {.name = "name",
        .set = keyword_set_string,
        .offset = offsetof(struct config_listener_row, name),
        .help = "Its name in log and audit. Without it, its address."},
    {.name = "address",
        .set = config_set_listen_address,
        .offset = LISTENER(address),
        .flags = KEYWORD_REQUIRED,
        .value = "`host:port` or `[v6]:port`",
        .help = "Where it listens; `0.0.0.0:8883` is every IPv4 address. Port 0 takes a free port, which the "
                "log names."},
    {.name = "upstream",
        .set = keyword_set_string,
        .offset = offsetof(struct config_listener_row, upstream),
        .help = "Name of the upstream that its clients are connected to. Without it, the only upstream."},
    {.name = "tls",
        .set = set_listener_tls,
        .offset = LISTENER(tls),
        .members = listener_tls_table,
        .value = "mapping",
        .help = "TLS. Required unless `plaintext: true`."},
    {.name = "plaintext",
        .set = keyword_set_boolean,
        .offset = offsetof(struct config_listener_row, plaintext),
        .default_text = "false",
        .help = "MQTT without TLS, instead of `tls`."},
    {.name = "proxy_protocol", .flags = KEYWORD_UNSUPPORTED},
    {.name = "limits",
        .set = keyword_set_mapping,
        .default_text = "{}",
        .members = listener_limits_table,
        .help = "Limits of this listener."},
    {.name = "timeouts",
        .set = keyword_set_mapping,
        .default_text = "{}",
        .members = listener_timeouts_table,
        .help = "Times after which a client is disconnected."},
    {.name = "topic_alias_maximum",
        .set = keyword_set_number,
        .offset = LISTENER(topic_alias_maximum),
        .default_text = "16",
        .maximum = 256,
        .help = "Topic aliases that MQTT 5 clients may use, announced in CONNACK. 0: none."},
    {0},
};

static void check_transport(
    struct keyword_context *context, const struct config_listener_row *row, const struct yaml_node *node)
{
    const struct yaml_node *tls = config_find_member(node, "tls");
    const struct yaml_node *plaintext = config_find_member(node, "plaintext");
    if (tls != NULL && row->plaintext)
        keyword_error(context, plaintext, "keep one of the two", "plaintext: true beside 'tls'");
    else if (tls == NULL && (plaintext == NULL || view_equal(plaintext->text, VIEW("false"))))
        diag_add(context->diag, DIAG_ERROR, &node->place,
            "add 'tls' with certificate and key, or 'plaintext: true' for MQTT without encryption",
            "the listener has neither 'tls' nor 'plaintext: true'");
}

static void finish_listener(struct keyword_context *context, void *target, const struct yaml_node *node)
{
    struct config_listener_row *row = target;
    if (node->kind != YAML_MAPPING)
        return;
    row->listener.place = node->place;
    row->listener.name =
        row->name.text.data != NULL ? (const char *)row->name.text.data : row->listener.address.text;
    if (row->upstream.text.data != NULL)
        config_add_reference(context, row->upstream, NULL, &row->listener.upstream);
    check_transport(context, row, node);
}

int config_set_listeners(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_builder *builder = target;
    builder->listeners =
        config_read_list(context, keyword, node, sizeof(*builder->listeners), finish_listener);
    if (builder->listeners == NULL)
        return -1;
    builder->listener_count = node->count;
    if (node->count == 0)
        return keyword_error(context, node, NULL, "listeners: at least one is needed");
    return 0;
}

/* All listeners */

/* host and port in one form for every way to write them; NULL: takes any free port. */
static const char *canonical_address(struct arena *arena, const struct config_address *address)
{
    uint8_t bytes[sizeof(struct in6_addr)];
    char host[INET6_ADDRSTRLEN];
    if (address->text == NULL || address->port == 0)
        return NULL;
    for (size_t i = 0; i < 2; i++) {
        int family = i == 0 ? AF_INET : AF_INET6;
        if (inet_pton(family, address->host, bytes) == 1 &&
            inet_ntop(family, bytes, host, sizeof(host)) != NULL)
            return arena_format(arena, "%s %u", host, address->port);
    }
    char *name = arena_format(arena, "%s %u", address->host, address->port);
    for (char *c = name; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return name;
}

static size_t check_addresses(struct keyword_context *context, const struct config_builder *builder)
{
    struct config_unique *unique = arena_calloc(context->arena, builder->listener_count, sizeof(*unique));
    size_t count = 0;
    for (size_t i = 0; i < builder->listener_count; i++) {
        const struct config_address *address = &builder->listeners[i].listener.address;
        const char *key = canonical_address(context->arena, address);
        if (key != NULL)
            unique[count++] = (struct config_unique){key, address->text, address->place};
    }
    return config_check_unique(context, unique, count, "listener address");
}

/* with_defaults: names that are addresses, too. */
static void check_names(
    struct keyword_context *context, const struct config_builder *builder, bool with_defaults)
{
    struct config_unique *unique = arena_calloc(context->arena, builder->listener_count, sizeof(*unique));
    size_t count = 0;
    for (size_t i = 0; i < builder->listener_count; i++) {
        const struct config_listener_row *row = &builder->listeners[i];
        bool given = row->name.text.data != NULL;
        if (row->listener.name != NULL && (given || with_defaults))
            unique[count++] = (struct config_unique){row->listener.name, row->listener.name,
                given ? row->name.place : row->listener.address.place};
    }
    config_check_unique(context, unique, count, "listener name");
}

static void choose_upstream(struct keyword_context *context, struct config_listener_row *row)
{
    const struct config *config = &config_builder_of(context)->config;
    if (row->upstream.text.data != NULL || config->upstream_count == 0 || row->listener.place.source == NULL)
        return;
    if (config->upstream_count == 1)
        row->listener.upstream = &config->upstreams[0];
    else
        diag_add(context->diag, DIAG_ERROR, &row->listener.place, "name one of them with 'upstream'",
            "the listener names no upstream, and there are %zu", config->upstream_count);
}

void config_finish_listeners(struct keyword_context *context)
{
    struct config_builder *builder = config_builder_of(context);
    bool addresses_differ = check_addresses(context, builder) == 0;
    check_names(context, builder, addresses_differ);
    builder->config.listeners =
        arena_calloc(context->arena, builder->listener_count, sizeof(*builder->config.listeners));
    builder->config.listener_count = builder->listener_count;
    for (size_t i = 0; i < builder->listener_count; i++) {
        choose_upstream(context, &builder->listeners[i]);
        builder->config.listeners[i] = builder->listeners[i].listener;
    }
}

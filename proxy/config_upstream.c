/* SPDX-License-Identifier: Apache-2.0 */
/* upstreams: of mqward.yaml, and the TLS of connections that mqward opens (brokers; Redis shares it). Called
 * by proxy/config.c through the table of the file. */
#include <arpa/inet.h>
#include <string.h>

#include "proxy/config_build.h"

#define MS_HOUR 3600000
/* MQTT: 268,435,455 bytes after a fixed header of 5 [MQTT 5.0, 2.1.4]; one that mqward makes longer must fit,
 * too. */
#define PACKET_MAX (255 << 20)

static const struct keyword upstream_tls_table[] = {
    CONFIG_CLIENT_TLS_KEYWORDS,
    {.name = "verify",
        .set = keyword_set_boolean,
        .offset = offsetof(struct config_upstream_tls, verify),
        .default_text = "true",
        .help = "`false` accepts any certificate: whoever can redirect the connection reads everything."},
    {0},
};

static const struct keyword upstream_timeouts_table[] = {
    {.name = "connect",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct config_upstream, timeout_connect_ms),
        .default_text = "10s",
        .minimum = 100,
        .maximum = MS_HOUR,
        .help = "TCP and TLS towards the broker."},
    {.name = "connack",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct config_upstream, timeout_connack_ms),
        .default_text = "20s",
        .minimum = 100,
        .maximum = MS_HOUR,
        .help = "From the CONNECT sent to the broker's CONNACK."},
    {0},
};

static const struct keyword_choice dialects[] = {
    {"mosquitto", DIALECT_MOSQUITTO, false, NULL},
    {"emqx", DIALECT_EMQX, false, NULL},
    {"hivemq", DIALECT_HIVEMQ, false, NULL},
    {"vernemq", DIALECT_VERNEMQ, false, NULL},
    {"nanomq", DIALECT_NANOMQ, false, NULL},
    {"rabbitmq", DIALECT_RABBITMQ, false, NULL},
    {"activemq", DIALECT_ACTIVEMQ, false, NULL},
    {"artemis", DIALECT_ARTEMIS, false, NULL},
    {"aws", DIALECT_AWS, false, NULL},
    {"azure", DIALECT_AZURE, false, NULL},
    {0},
};
_Static_assert(sizeof(dialects) / sizeof(dialects[0]) == DIALECT_COUNT + 1, "a row for each dialect");

/* While it is read; the public struct has the dialect as an enum, which is an int to nobody but the compiler.
 */
struct upstream_row {
    struct config_upstream upstream;
    struct keyword_string name;
    int dialect;
};

/* A source address is one of this machine, without a port. */
static int set_source(
    struct keyword_context *context, const struct yaml_node *node, struct config_address *address)
{
    struct keyword_string string = {0};
    const struct keyword plain = {.name = "source_addresses"};
    unsigned char bytes[16];

    if (keyword_set_string(context, &plain, &string, node) != 0)
        return -1;
    address->text = address->host = (const char *)string.text.data;
    address->place = node->place;
    if (inet_pton(AF_INET, address->host, bytes) == 1 || inet_pton(AF_INET6, address->host, bytes) == 1)
        return 0;
    return keyword_error(context, node, "an IPv4 or IPv6 address of this machine, without a port",
        "source_addresses: '%s' is not an address", address->host);
}

static int set_sources(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_addresses *sources = (void *)((char *)target + keyword->offset);
    size_t before = diag_errors(context->diag);

    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    if (node->count == 0 || node->count > CONFIG_SOURCES_MAX)
        return keyword_error(
            context, node, NULL, "%s: from 1 to %d are possible", keyword->name, CONFIG_SOURCES_MAX);
    sources->items = arena_calloc(context->arena, node->count, sizeof(*sources->items));
    struct config_unique *unique = arena_calloc(context->arena, node->count, sizeof(*unique));
    for (const struct yaml_node *each = node->first; each != NULL; each = each->next) {
        struct config_address *address = &sources->items[sources->count];
        if (set_source(context, each, address) == 0)
            unique[sources->count++] = (struct config_unique){address->text, address->text, address->place};
    }
    config_check_unique(context, unique, sources->count, "address");
    return diag_errors(context->diag) == before ? 0 : -1;
}

const struct keyword config_upstream_table[] = {
    {.name = "name",
        .set = keyword_set_string,
        .offset = offsetof(struct upstream_row, name),
        .flags = KEYWORD_REQUIRED,
        .help = "Its name in listeners, log and audit."},
    {.name = "address",
        .set = config_set_connect_address,
        .offset = offsetof(struct upstream_row, upstream.address),
        .flags = KEYWORD_REQUIRED,
        .value = "`host:port` or `[v6]:port`",
        .help = "The broker."},
    {.name = "source_addresses",
        .set = set_sources,
        .offset = offsetof(struct upstream_row, upstream.sources),
        .like = keyword_set_strings,
        .value = "list of IP addresses",
        .example = "[10.0.0.5, 10.0.0.6]",
        .help =
            "Addresses of this machine that connections to the broker begin from, in turn, at most 64. Each "
            "of them has its own ports, some 28,000 by default; without this list the system chooses one "
            "address, and there are no more connections to a broker than ports."},
    {.name = "dialect",
        .set = keyword_set_choice,
        .offset = offsetof(struct upstream_row, dialect),
        .default_text = "mosquitto",
        .choices = dialects,
        .help = "What the broker takes prefixes such as `$share/` and `$delayed/` for. A wrong one lets "
                "clients reach "
                "topics that the policy does not see."},
    {.name = "tls",
        .set = config_set_upstream_tls,
        .offset = offsetof(struct upstream_row, upstream.tls),
        .members = upstream_tls_table,
        .value = "mapping",
        .help =
            "TLS towards the broker; `{}` is TLS with the system's CAs. Without it the connection is plain."},
    {.name = "timeouts",
        .set = keyword_set_mapping,
        .offset = offsetof(struct upstream_row, upstream),
        .default_text = "{}",
        .members = upstream_timeouts_table,
        .help = "Times after which the client is told that the broker is unavailable."},
    {.name = "max_packet",
        .set = keyword_set_size,
        .offset = offsetof(struct upstream_row, upstream.max_packet),
        .default_text = "16MiB",
        .minimum = 1024,
        .maximum = PACKET_MAX,
        .help = "The largest packet that is accepted from the broker."},
    {0},
};

static void check_verification(
    struct keyword_context *context, const struct config_upstream_tls *tls, const struct yaml_node *node)
{
    const struct yaml_node *ca = config_find_member(node, "ca");
    if (!tls->verify && ca != NULL)
        diag_add(context->diag, DIAG_ERROR, &ca->key_place, "keep one of the two",
            "ca has no effect while verify is false");
}

int config_set_upstream_tls(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_upstream_tls *tls = arena_alloc(context->arena, sizeof(*tls));
    tls->verify = true; /* for tables without the key */
    *(struct config_upstream_tls **)(void *)((char *)target + keyword->offset) = tls;
    size_t errors = keyword_read(context, keyword->members, tls, node);
    config_check_key_pair(context, node);
    check_verification(context, tls, node);
    return errors == 0 ? 0 : -1;
}

/* To an address there is no way from those of the other family alone; of a name it is not known yet. */
static void check_family(struct keyword_context *context, const struct config_upstream *upstream)
{
    unsigned char bytes[16];
    bool v4, same = upstream->sources.count == 0;

    if (upstream->address.host == NULL)
        return;
    v4 = inet_pton(AF_INET, upstream->address.host, bytes) == 1;
    if (!v4 && inet_pton(AF_INET6, upstream->address.host, bytes) != 1)
        return;
    for (size_t i = 0; i < upstream->sources.count; i++)
        same = same || v4 == (strchr(upstream->sources.items[i].host, ':') == NULL);
    if (!same)
        diag_add(context->diag, DIAG_ERROR, &upstream->sources.items[0].place, NULL,
            "source_addresses: none of them is an %s address, as the broker's is", v4 ? "IPv4" : "IPv6");
}

static void finish_upstream(struct keyword_context *context, void *target, const struct yaml_node *node)
{
    struct upstream_row *row = target;
    check_family(context, &row->upstream);
    row->upstream.name = (const char *)row->name.text.data;
    row->upstream.dialect = (enum dialect)row->dialect;
    row->upstream.place = node->place;
}

int config_set_upstreams(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config *config = &((struct config_builder *)target)->config;
    struct upstream_row *rows = config_read_list(context, keyword, node, sizeof(*rows), finish_upstream);
    if (rows == NULL)
        return -1;
    if (node->count == 0)
        return keyword_error(context, node, NULL, "upstreams: at least one is needed");
    struct config_unique *unique = arena_calloc(context->arena, node->count, sizeof(*unique));
    size_t named = 0;
    config->upstreams = arena_calloc(context->arena, node->count, sizeof(*config->upstreams));
    config->upstream_count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        config->upstreams[i] = rows[i].upstream;
        if (rows[i].upstream.name != NULL)
            unique[named++] =
                (struct config_unique){rows[i].upstream.name, rows[i].upstream.name, rows[i].name.place};
    }
    return config_check_unique(context, unique, named, "upstream") == 0 ? 0 : -1;
}

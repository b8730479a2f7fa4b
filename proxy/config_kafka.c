/* SPDX-License-Identifier: Apache-2.0 */
/* audit.sinks[].kafka of mqward.yaml. Called by proxy/config_sinks.c through its table. */
#include "base/buffer.h"
#include "exporters/sink_kafka.h"
#include "proxy/config_build.h"

#define MS_SECOND ((uint64_t)1000)
#define TOPIC_MAX 249 /* as Kafka has it */
#define BROKERS_MAX 64
#define PROPERTIES_MAX 100

/* "host:port,host:port", as the library takes it. */
static int set_brokers(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const struct yaml_node *first = node->kind == YAML_SEQUENCE ? node->first : node;
    size_t count = node->kind == YAML_SEQUENCE ? node->count : 1;
    struct config_address address;
    int status = 0;

    if (count == 0 || count > BROKERS_MAX)
        return keyword_error(context, node, NULL, "%s: from 1 to %d brokers", keyword->name, BROKERS_MAX);
    const struct keyword each = {.name = keyword->name};
    const char *joined = NULL;
    for (size_t i = 0; i < count; i++, first = first->next) {
        if (config_set_connect_address(context, &each, &address, first) != 0) {
            status = -1;
            continue;
        }
        joined = arena_format(context->arena, "%s%s%.*s", joined == NULL ? "" : joined,
            joined == NULL ? "" : ",", VIEW_ARGS(first->text));
    }
    *(const char **)(void *)((char *)target + keyword->offset) = joined;
    return status;
}

static int set_topic(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const char **topic = (void *)((char *)target + keyword->offset);

    if (config_set_text(context, keyword, target, node) != 0)
        return -1;
    if (strlen(*topic) <= TOPIC_MAX && (*topic)[0] != '.' &&
        strspn(*topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(*topic))
        return 0;
    return keyword_error(context, node, "letters, digits, '.', '_' and '-', at most 249, no '.' in front",
        "%s: '%s' is not a possible topic of Kafka", keyword->name, *topic);
}

static int set_properties(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_kafka *kafka = target;
    char error[512];
    int status = 0;

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    if (node->count > PROPERTIES_MAX)
        return keyword_error(context, node, NULL, "%s: more than %d", keyword->name, PROPERTIES_MAX);
    struct exporter_kafka_property *properties =
        arena_calloc(context->arena, node->count + 1, sizeof(*properties));
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next) {
        struct exporter_kafka_property *property = &properties[kafka->property_count];
        if (keyword_expect(context, member, "a property", YAML_SCALAR) != 0) {
            status = -1;
            continue;
        }
        property->name = arena_copy_string(context->arena, member->key);
        property->value = arena_copy_string(context->arena, member->text);
        if (!sink_kafka_property(property->name, property->value, error, sizeof(error))) {
            diag_add(context->diag, DIAG_ERROR, &member->key_place, NULL, "%s: %s", keyword->name, error);
            status = -1;
            continue;
        }
        kafka->property_count++;
    }
    kafka->properties = properties;
    return status;
}

/* ---- SASL ---- */

#define SASL(field) offsetof(struct config_kafka_sasl, field)

enum { SASL_SCRAM_SHA_512, SASL_SCRAM_SHA_256, SASL_PLAIN };

static const char *const mechanisms[] = {
    [SASL_SCRAM_SHA_512] = "SCRAM-SHA-512",
    [SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
    [SASL_PLAIN] = "PLAIN",
};

static const struct keyword_choice mechanism_choices[] = {
    {"SCRAM-SHA-512", SASL_SCRAM_SHA_512, false, "the password does not cross the network."},
    {"SCRAM-SHA-256", SASL_SCRAM_SHA_256, false, "likewise."},
    {"PLAIN", SASL_PLAIN, false, "the password itself; needs `tls`."},
    {0},
};

static const struct keyword sasl_table[] = {
    {.name = "mechanism",
        .set = keyword_set_choice,
        .offset = SASL(mechanism),
        .default_text = "SCRAM-SHA-512",
        .choices = mechanism_choices,
        .help = "How the password is shown to the broker."},
    {.name = "username",
        .set = config_set_text,
        .offset = SASL(username),
        .flags = KEYWORD_REQUIRED,
        .value = "string",
        .help = "User of the cluster."},
    {.name = "password_file",
        .set = config_set_path,
        .offset = SASL(password_file),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "File whose first line is the password. Others may not read it (mode 0600)."},
    {0},
};

static int set_sasl(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_kafka *kafka = target;

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_kafka_sasl *sasl = arena_calloc(context->arena, 1, sizeof(*sasl));
    if (keyword_read(context, keyword->members, sasl, node) != 0)
        return -1;
    sasl->name = mechanisms[sasl->mechanism];
    kafka->sasl = sasl;
    return 0;
}

/* ---- the sink ---- */

#define KAFKA(field) offsetof(struct config_kafka, field)

static const struct keyword tls_table[] = {
    {.name = "ca",
        .set = config_set_ca,
        .offset = offsetof(struct config_upstream_tls, ca),
        .value = "name from `cas`",
        .help = "CA that the brokers' certificates are verified against. Without it, the system's. Each must "
                "have its host name in its certificate."},
    {.name = "certificate",
        .set = config_set_path,
        .offset = offsetof(struct config_upstream_tls, certificate),
        .value = "path",
        .help = "mqward's client certificate for the brokers (PEM)."},
    {.name = "key",
        .set = config_set_path,
        .offset = offsetof(struct config_upstream_tls, key),
        .value = "path",
        .help = "Its private key (PEM)."},
    {0},
};

static const struct keyword_choice key_choices[] = {
    {"client_id", EXPORTER_KAFKA_KEY_CLIENT_ID, false,
        "the MQTT client identifier: what one client did is in one partition, and in order. Events without a "
        "client are spread."},
    {"user", EXPORTER_KAFKA_KEY_USER, false, "the identity that the policy found."},
    {"none", EXPORTER_KAFKA_KEY_NONE, false,
        "events are spread as the partitioner likes: no order over several partitions."},
    {0},
};

const struct keyword config_kafka_table[] = {
    {.name = "brokers",
        .set = set_brokers,
        .offset = KAFKA(brokers),
        .flags = KEYWORD_REQUIRED,
        .value = "`host:port`, or a list of them",
        .help = "Brokers to ask first; they name the others of the cluster."},
    {.name = "topic",
        .set = set_topic,
        .offset = KAFKA(topic),
        .default_text = "mqward-audit",
        .value = "string",
        .help = "Topic that the events are records of."},
    {.name = "key",
        .set = keyword_set_choice,
        .offset = KAFKA(key),
        .default_text = "client_id",
        .choices = key_choices,
        .help =
            "Key of a record, which chooses its partition. Kafka keeps the order within a partition only."},
    {.name = "timeout",
        .set = keyword_set_duration_ms,
        .offset = KAFKA(timeout_ms),
        .default_text = "30s",
        .minimum = MS_SECOND,
        .maximum = 10 * 60 * MS_SECOND,
        .help =
            "An event that the cluster has not confirmed by then counts as not delivered: everything behind "
            "the cursor is sent again by a new producer."},
    {.name = "tls",
        .set = config_set_upstream_tls,
        .offset = KAFKA(tls),
        .members = tls_table,
        .value = "mapping",
        .help = "TLS towards the brokers; `{}` is TLS with the system's CAs. Without it: plain."},
    {.name = "sasl",
        .set = set_sasl,
        .members = sasl_table,
        .value = "mapping",
        .shape = KEYWORD_MAPPING,
        .help = "How mqward authenticates itself. Without it: not, or by its certificate."},
    {.name = "properties",
        .set = set_properties,
        .shape = KEYWORD_PAIRS,
        .value = "mapping of names to values",
        .help =
            "Further properties of librdkafka, such as `compression.codec: lz4` or `client.rack: a`. Those "
            "that the sink sets itself, that would weaken its promise, load code or have no effect are "
            "refused."},
    {0},
};

/* What is of TLS, without it. */
static void check_properties(
    struct keyword_context *context, const struct config_kafka *kafka, const struct yaml_node *properties)
{
    if (properties == NULL || kafka->tls != NULL || properties->kind != YAML_MAPPING)
        return;
    for (const struct yaml_node *member = properties->first; member != NULL; member = member->next) {
        if (sink_kafka_property_needs_tls(arena_copy_string(context->arena, member->key)))
            diag_add(context->diag, DIAG_ERROR, &member->key_place, "`tls: {}` beside the properties",
                "properties: %.*s has no effect without tls", VIEW_ARGS(member->key));
    }
}

int config_set_kafka(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    size_t before = diag_errors(context->diag);

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_kafka *kafka = arena_calloc(context->arena, 1, sizeof(*kafka));
    *(struct config_kafka **)(void *)((char *)target + keyword->offset) = kafka;
    keyword_read(context, keyword->members, kafka, node);
    const struct yaml_node *sasl = config_find_member(node, "sasl");
    if (kafka->sasl != NULL && kafka->sasl->mechanism == SASL_PLAIN && kafka->tls == NULL && sasl != NULL)
        diag_add(context->diag, DIAG_ERROR, &sasl->key_place, "SCRAM-SHA-512, or `tls: {}` beside it",
            "mechanism PLAIN without tls would show the password to the network");
    check_properties(context, kafka, config_find_member(node, "properties"));
    return diag_errors(context->diag) == before ? 0 : -1;
}

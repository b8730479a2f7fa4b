/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of tables of vectors. A table that is not as its README says is refused as a whole: a
 * vector that was skipped would look like one that passed. */
#include "proxy/cli/verify_table.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/memory.h"
#include "proxy/cli/signing.h"

struct verify_table {
    const char *path;
    struct arena *arena;
    json_t *document;
    const char **keyring_names, **terms_names;
    struct keyring **keyrings;
    struct signature_terms *terms;
    size_t keyring_count, terms_count;
    struct verify_vector *vectors;
    size_t vector_count;
    const char *where; /* what is read now */
    bool bad;          /* a message was printed: the first is enough */
};

/* ---- values ---- */

static void complain(struct verify_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct verify_table *table, const char *format, ...)
{
    va_list arguments;

    if (table->bad)
        return;
    table->bad = true;
    fprintf(stderr, "mqward: %s: %s: ", table->path, table->where);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* json_unpack_ex(): members that are not named are an error, too. What is not there keeps its value. */
static void unpack(struct verify_table *table, json_t *value, const char *format, ...)
{
    json_error_t error;
    va_list arguments;

    va_start(arguments, format);
    if (json_vunpack_ex(value, &error, JSON_STRICT, format, arguments) != 0)
        complain(table, "%s", error.text);
    va_end(arguments);
}

/* The bytes of hex digits. */
static struct view bytes_of(struct verify_table *table, const char *digits)
{
    size_t size = strlen(digits) / 2;
    uint8_t *bytes = arena_alloc(table->arena, size + 1);

    if (signing_hex_read(view_of_string(digits), bytes, size) < 0)
        complain(table, "'%.20s' are no hex digits", digits);
    return view_of(bytes, size);
}

static uint8_t algorithm_of(struct verify_table *table, const char *name)
{
    uint8_t algorithm = signing_algorithm(name);

    if (algorithm == 0)
        complain(table, "unknown algorithm '%s'", name);
    return algorithm == 0 ? MPS1_HMAC_SHA_256 : algorithm;
}

/* The texts of an array; NULL is an empty one. */
static struct view *texts_of(struct verify_table *table, json_t *array, size_t *count)
{
    struct view *texts;

    *count = json_array_size(array);
    if (array != NULL && !json_is_array(array))
        complain(table, "a list of texts is something else");
    texts = arena_calloc(table->arena, *count + 1, sizeof(*texts));
    for (size_t i = 0; i < *count; i++) {
        const char *text = json_string_value(json_array_get(array, i));

        if (text == NULL)
            complain(table, "a list of texts has something else in it");
        texts[i] = view_of_string(text);
    }
    return texts;
}

/* The index of a name; 0 after a message. */
static size_t find_name(struct verify_table *table, const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    complain(table, "nothing is called '%s'", name);
    return 0;
}

/* ---- keyrings and checks ---- */

static void read_minimums(struct verify_table *table, json_t *object, struct keyring_given *given)
{
    struct keyring_minimum *minimums =
        arena_calloc(table->arena, json_object_size(object) + 1, sizeof(*minimums));
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        minimums[given->entry.minimum_count++] =
            (struct keyring_minimum){view_of_string(name), (uint32_t)json_integer_value(value)};
    }
    given->minimums = minimums;
}

static void read_key(struct verify_table *table, json_t *value, struct keyring_given *given)
{
    const char *type = "", *algorithm = "", *secret = "00", *sub = "";
    json_int_t not_before = 0, not_after = INT64_MAX;
    json_t *revoked = NULL, *minimums = NULL;

    given->entry.kid = "";
    unpack(table, value, "{s:s, s:s, s:s, s:s, s?s, s?I, s?I, s?o, s?o}", "kid", &given->entry.kid, "type",
        &type, "alg", &algorithm, "secret", &secret, "sub", &sub, "not_before", &not_before, "not_after",
        &not_after, "revoked", &revoked, "min_generation", &minimums);
    if (strcmp(type, "master") != 0 && strcmp(type, "static") != 0)
        complain(table, "a key is neither master nor static");
    given->entry.type = strcmp(type, "master") == 0 ? KEYRING_MASTER : KEYRING_STATIC;
    given->entry.algorithm = algorithm_of(table, algorithm);
    given->entry.sub = view_of_string(sub);
    given->entry.not_before_ms = (uint64_t)not_before;
    given->entry.not_after_ms = not_after == INT64_MAX ? UINT64_MAX : (uint64_t)not_after;
    given->secret = bytes_of(table, secret);
    if (given->secret.length == 0 || given->secret.length > KEY_SECRET_MAX)
        complain(table, "a secret of %zu bytes", given->secret.length);
    given->revoked = texts_of(table, revoked, &given->entry.revoked_count);
    read_minimums(table, minimums, given);
}

static void read_keyrings(struct verify_table *table, json_t *object)
{
    size_t size = json_object_size(object);
    const char *name;
    json_t *keys;

    table->keyring_names = arena_calloc(table->arena, size + 1, sizeof(*table->keyring_names));
    table->keyrings = arena_calloc(table->arena, size + 1, sizeof(struct keyring *));
    json_object_foreach(object, name, keys)
    {
        size_t count = json_array_size(keys);
        struct keyring_given *given = arena_calloc(table->arena, count + 1, sizeof(*given));

        table->where = name;
        if (count == 0)
            complain(table, "a keyring is a list of keys");
        for (size_t i = 0; i < count; i++)
            read_key(table, json_array_get(keys, i), &given[i]);
        if (table->bad)
            return;
        table->keyring_names[table->keyring_count] = name;
        table->keyrings[table->keyring_count++] = keyring_of(given, count);
    }
}

static void read_check(struct verify_table *table, json_t *value, struct signature_terms *terms)
{
    json_int_t max_age = 0, skew = 0;
    const char *replay = "";
    json_t *keys = NULL;
    int required = 1;

    unpack(table, value, "{s:o, s:I, s:I, s:s, s:b}", "keys", &keys, "max_age", &max_age, "skew", &skew,
        "replay", &replay, "required", &required);
    if (strcmp(replay, "nonce") != 0 && strcmp(replay, "seq") != 0)
        complain(table, "replay is neither nonce nor seq");
    *terms = (struct signature_terms){
        .max_age_ms = (uint64_t)max_age,
        .skew_ms = (uint64_t)skew,
        .replay = strcmp(replay, "seq") == 0 ? SIGNATURE_REPLAY_SEQ : SIGNATURE_REPLAY_NONCE,
        .when_present = !required,
    };
    terms->keys = texts_of(table, keys, &terms->key_count);
}

static void read_checks(struct verify_table *table, json_t *object)
{
    size_t size = json_object_size(object);
    const char *name;
    json_t *check;

    table->terms_names = arena_calloc(table->arena, size + 1, sizeof(*table->terms_names));
    table->terms = arena_calloc(table->arena, size + 1, sizeof(*table->terms));
    json_object_foreach(object, name, check)
    {
        table->where = name;
        table->terms_names[table->terms_count] = name;
        read_check(table, check, &table->terms[table->terms_count++]);
    }
}

/* ---- packets ---- */

static void read_user_properties(struct verify_table *table, json_t *array, struct signature_message *message)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = "", *value = "";

        unpack(table, json_array_get(array, i), "[s, s]", &name, &value);
        if (strcmp(name, MPS1_PROPERTY) != 0)
            continue;
        if (message->property_count++ == 0)
            message->property = view_of_string(value);
    }
}

static void read_packet(struct verify_table *table, json_t *value, struct verify_step *step)
{
    const char *topic = "", *payload = "", *type = NULL, *response = NULL, *correlation = NULL;
    int qos = 0, dup = 0, retain = 0, will = 0;
    json_t *properties = NULL;

    unpack(table, value, "{s:s, s:s, s:i, s:b, s:b, s:b, s:o, s?s, s?s, s?s}", "topic", &topic, "payload",
        &payload, "qos", &qos, "dup", &dup, "retain", &retain, "will", &will, "user_properties", &properties,
        "content_type", &type, "response_topic", &response, "correlation_data", &correlation);
    step->qos = (uint8_t)qos;
    step->dup = dup != 0;
    step->message.message = (struct mps1_message){.topic = view_of_string(topic),
        .content_type = view_of_string(type),
        .response_topic = view_of_string(response),
        .payload = bytes_of(table, payload)};
    if (correlation != NULL)
        step->message.message.correlation_data = bytes_of(table, correlation);
    step->message.has_properties = type != NULL || response != NULL || correlation != NULL;
    step->message.retain = retain != 0;
    step->message.will = will != 0;
    read_user_properties(table, properties, &step->message);
}

static void read_expected(struct verify_table *table, const char *name, struct verify_step *step)
{
    if (strcmp(name, "ok") == 0)
        return;
    for (enum reason reason = REASON_none; reason < REASON_COUNT; reason++)
        if (strcmp(reason_info(reason)->name, name) == 0)
            step->expected = reason;
    if (step->expected == REASON_none)
        complain(table, "unknown result '%s'", name);
}

/* value: has now, packet and expect; of a step, acknowledged, too. */
static void read_step(struct verify_table *table, json_t *value, const struct signature_message *context,
    struct verify_step *step)
{
    const char *expect = "";
    json_int_t now = 0;
    json_t *packet = NULL;
    int acknowledged = 1;

    *step = (struct verify_step){.message = *context};
    unpack(table, value, "{s:I, s:o, s:s, s?b}", "now", &now, "packet", &packet, "expect", &expect,
        "acknowledged", &acknowledged);
    step->now_ms = (uint64_t)now;
    step->acknowledged = acknowledged != 0;
    read_expected(table, expect, step);
    if (packet != NULL)
        read_packet(table, packet, step);
}

/* ---- what signers are given ---- */

static uint8_t flags_of(struct verify_table *table, json_t *array)
{
    static const char *const names[] = {"RETAIN", "WILL", "SEQ", "PROPS", "EGRESS"};
    uint8_t flags = 0;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));

        flags |= (uint8_t)(1u << find_name(table, names, 5, name == NULL ? "" : name));
    }
    return flags;
}

static struct view join(struct verify_table *table, struct view a, struct view b)
{
    uint8_t *bytes = arena_alloc(table->arena, a.length + b.length + 1);

    memcpy(bytes, a.data, a.length);
    memcpy(bytes + a.length, b.data, b.length);
    return view_of(bytes, a.length + b.length);
}

static void read_sign(struct verify_table *table, json_t *value, struct verify_vector *vector)
{
    const char *algorithm = "", *kid = "", *sub = "", *key = "", *nonce = "", *topic = "", *payload = "";
    const char *type = NULL, *response = NULL, *correlation = "", *covered = "", *tag = "";
    json_t *flags = NULL;
    json_int_t t = 0;
    struct view bytes;

    unpack(table, value, "{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:s, s:s, s?s, s?s, s?s, s:s, s:s}", "alg",
        &algorithm, "kid", &kid, "sub", &sub, "key", &key, "flags", &flags, "t", &t, "nonce", &nonce, "topic",
        &topic, "payload", &payload, "content_type", &type, "response_topic", &response, "correlation_data",
        &correlation, "covered", &covered, "tag", &tag);
    vector->signs = true;
    vector->header = (struct mps1_header){.algorithm = algorithm_of(table, algorithm),
        .flags = flags_of(table, flags),
        .t_ms = (uint64_t)t,
        .kid = view_of_string(kid),
        .sub = view_of_string(sub)};
    if (!mps1_kid_valid(vector->header.kid) || !mps1_sub_valid(vector->header.sub))
        complain(table, "no names that can be signed with");
    bytes = bytes_of(table, nonce);
    if (bytes.length != MPS1_NONCE_SIZE)
        complain(table, "a nonce of %zu bytes", bytes.length);
    else
        memcpy(vector->header.nonce, bytes.data, bytes.length);
    vector->message = (struct mps1_message){view_of_string(topic), view_of_string(type),
        view_of_string(response), bytes_of(table, correlation), bytes_of(table, payload)};
    vector->secret = bytes_of(table, key);
    vector->made = join(table, bytes_of(table, covered), bytes_of(table, tag));
}

/* ---- the document ---- */

/* The members that a vector shares with a step are put into one. */
static json_t *step_of(json_t *now, json_t *packet, json_t *expect)
{
    return json_pack("{s:O, s:O, s:O}", "now", now, "packet", packet, "expect", expect);
}

static void read_steps(struct verify_table *table, struct verify_vector *vector,
    const struct signature_message *context, json_t *steps)
{
    struct verify_step *read = arena_calloc(table->arena, json_array_size(steps) + 1, sizeof(*read));

    vector->step_count = json_array_size(steps);
    vector->steps = read;
    if (vector->step_count == 0)
        complain(table, "no steps");
    for (size_t i = 0; i < vector->step_count; i++)
        read_step(table, json_array_get(steps, i), context, &read[i]);
}

static void read_only_step(struct verify_table *table, struct verify_vector *vector,
    const struct signature_message *context, json_t *step, const char *payload)
{
    struct verify_step *read = arena_calloc(table->arena, 1, sizeof(*read));

    vector->step_count = 1;
    vector->steps = read;
    read_step(table, step, context, read);
    if (payload != NULL)
        read->payload = bytes_of(table, payload);
    /* Its texts are the document's, too. */
    json_decref(step);
}

/* The only group of a table: whoever brings the messages of others. */
static const uint64_t gateway[] = {1};

static void read_relay(struct verify_table *table, json_t *relay, struct signature_terms *terms)
{
    struct signature_relay *relays = arena_alloc(table->arena, sizeof(*relays));

    relays->who = gateway;
    relays->signers = texts_of(table, relay, &relays->signer_count);
    terms->relays = relays;
    terms->relay_count = 1;
}

static void read_vector(struct verify_table *table, json_t *value, struct verify_vector *vector)
{
    const char *what, *keyring = "", *check = "", *principal = "", *payload = NULL;
    json_t *now = NULL, *relay = NULL, *sign = NULL, *packet = NULL, *expect = NULL, *steps = NULL;
    struct signature_message context = {.will = false};
    struct signature_terms *terms;

    table->where = "a vector";
    vector->name = "";
    unpack(table, value, "{s:s, s:s, s:s, s:s, s:s, s?o, s?o, s?o, s?o, s?o, s?s, s?o}", "name",
        &vector->name, "what", &what, "keyring", &keyring, "check", &check, "principal", &principal, "now",
        &now, "relay", &relay, "sign", &sign, "packet", &packet, "expect", &expect, "payload", &payload,
        "steps", &steps);
    table->where = vector->name;
    context.principal = view_of_string(principal);
    context.groups = gateway;
    context.group_words = 1;
    if (sign != NULL)
        read_sign(table, sign, vector);
    if (steps != NULL)
        read_steps(table, vector, &context, steps);
    else if (now != NULL && packet != NULL && expect != NULL)
        read_only_step(table, vector, &context, step_of(now, packet, expect), payload);
    else
        complain(table, "neither steps nor a packet");
    if (table->bad)
        return;
    vector->keyring = table->keyrings[find_name(table, table->keyring_names, table->keyring_count, keyring)];
    terms = arena_alloc(table->arena, sizeof(*terms));
    *terms = table->terms[find_name(table, table->terms_names, table->terms_count, check)];
    read_relay(table, relay, terms);
    vector->terms = terms;
}

static void read_document(struct verify_table *table)
{
    json_t *keyrings = NULL, *checks = NULL, *vectors = NULL;
    const char *format = "";
    int version = 0;

    table->where = "the table";
    unpack(table, table->document, "{s:s, s:i, s:o, s:o, s:o}", "format", &format, "version", &version,
        "keyrings", &keyrings, "checks", &checks, "vectors", &vectors);
    if (strcmp(format, "mps1-vectors") != 0 || version != 1)
        complain(table, "not 'mps1-vectors' of version 1");
    if (json_object_size(keyrings) == 0 || json_object_size(checks) == 0 || json_array_size(vectors) == 0)
        complain(table, "no keyrings, no checks or no vectors");
    if (table->bad)
        return;
    read_keyrings(table, keyrings);
    read_checks(table, checks);
    table->vectors = arena_calloc(table->arena, json_array_size(vectors), sizeof(*table->vectors));
    for (; table->vector_count < json_array_size(vectors) && !table->bad; table->vector_count++)
        read_vector(
            table, json_array_get(vectors, table->vector_count), &table->vectors[table->vector_count]);
}

struct verify_table *verify_table_read(const char *path)
{
    struct verify_table *table = memory_calloc(1, sizeof(*table));
    json_error_t error;

    table->path = path;
    table->arena = arena_new();
    table->where = "the file";
    table->document = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (table->document == NULL)
        complain(table, "line %d: %s", error.line, error.text);
    else
        read_document(table);
    if (!table->bad)
        return table;
    verify_table_free(table);
    return NULL;
}

void verify_table_free(struct verify_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->keyring_count; i++)
        keyring_release(table->keyrings[i]);
    json_decref(table->document);
    arena_free(table->arena);
    free(table);
}

const struct verify_vector *verify_table_vectors(const struct verify_table *table, size_t *count)
{
    *count = table->vector_count;
    return table->vectors;
}

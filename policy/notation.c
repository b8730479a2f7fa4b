/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the words of the notation, and the client: from "cert plc-7 site=a" to the credentials that such a
 * client would present. Called by test.c for the policy's tests and by explain.c for the command line. A
 * source is a row of one table, a word about the client a row of another. */
#include "policy/notation.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buffer.h"

/* ---- words ---- */

bool notation_refuse(
    struct notation *notation, const struct notation_word *word, const char *hint, const char *format, ...)
{
    char message[512];
    struct diag_place place = notation->line->place;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (word != NULL)
        place = pattern_place(notation->line, word->raw);
    diag_add(notation->diag, DIAG_ERROR, &place, hint, "%s", message);
    return false;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* Reads the word at *at: up to a blank outside of quotes. Inside of them, \" and \\ stand for the second
 * character. False if a quote does not end. */
static bool read_word(
    struct notation *notation, struct view line, size_t *at, struct buffer *text, struct notation_word *word)
{
    size_t begin = *at;
    bool quoted = false;
    buffer_clear(text);
    for (; *at < line.length && (quoted || !is_blank(line.data[*at])); (*at)++) {
        uint8_t byte = line.data[*at];
        if (byte == '"') {
            quoted = !quoted;
            continue;
        }
        if (quoted && byte == '\\' && *at + 1 < line.length)
            byte = line.data[++*at];
        buffer_append_byte(text, byte);
    }
    *word = (struct notation_word){.text = arena_copy(notation->arena, buffer_view(text)),
        .raw = view_of(line.data + begin, *at - begin)};
    return !quoted;
}

bool notation_split(struct notation *notation, const struct keyword_string *line)
{
    struct buffer text = {0};
    bool closed = true;
    notation->line = line;
    notation->count = notation->next = 0;
    notation->words = arena_calloc(notation->arena, line->text.length / 2 + 1, sizeof(*notation->words));
    for (size_t at = 0; at < line->text.length;) {
        if (is_blank(line->text.data[at])) {
            at++;
            continue;
        }
        struct notation_word *word = &notation->words[notation->count++];
        if (!read_word(notation, line->text, &at, &text, word))
            closed = notation_refuse(notation, word, NULL, "the quote is not closed");
    }
    buffer_release(&text);
    return closed;
}

bool notation_at_end(struct notation *notation)
{
    if (notation->next == notation->count)
        return true;
    const struct notation_word *word = &notation->words[notation->next];
    return notation_refuse(
        notation, word, NULL, "expected nothing more, found '%.*s'", VIEW_ARGS(word->text));
}

/* ---- words about the client ---- */

static bool set_client_id(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    (void)notation;
    (void)word;
    out->credentials.client_id = value;
    out->has_client_id = true;
    return true;
}

static bool set_user(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    (void)notation;
    (void)word;
    out->credentials.username = value;
    out->credentials.has_username = true;
    return true;
}

static bool set_address(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    uint8_t bytes[16];
    out->credentials.address = value;
    return network_parse_address(value, bytes) ||
           notation_refuse(notation, word, "an IPv4 or IPv6 address: address=10.20.0.5",
               "not an address: '%.*s'", VIEW_ARGS(value));
}

static bool set_dialect(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    const char *names[DIALECT_COUNT];
    int found = dialect_parse(value);
    if (found >= 0) {
        out->dialect = (enum dialect)found;
        return true;
    }
    for (int i = 0; i < DIALECT_COUNT; i++)
        names[i] = dialect_name((enum dialect)i);
    return notation_refuse(notation, word, diag_hint(notation->diag, value, names, DIALECT_COUNT),
        "unknown dialect '%.*s'", VIEW_ARGS(value));
}

static bool set_ca(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    out->chooser = word;
    out->ca = arena_copy_string(notation->arena, value);
    return true;
}

static bool set_jwks(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    out->chooser = word;
    out->jwks = arena_copy_string(notation->arena, value);
    return true;
}

static bool set_member(struct notation *notation, const struct notation_word *word, struct view value,
    struct notated_client *out)
{
    if (out->members == NULL)
        out->members = arena_calloc(notation->arena, notation->count, sizeof(*out->members));
    out->members[out->member_count++] = value;
    out->member = word;
    return true;
}

static const struct client_word {
    const char *name;
    bool (*set)(struct notation *notation, const struct notation_word *word, struct view value,
        struct notated_client *out);
    bool many; /* may be there more than once */
} client_words[] = {
    {"client_id", set_client_id, false},
    {"username", set_user, false},
    {"address", set_address, false},
    {"dialect", set_dialect, false},
    {"ca", set_ca, false},
    {"jwks", set_jwks, false},
    {"member", set_member, true},
};
#define CLIENT_WORDS (sizeof(client_words) / sizeof(client_words[0]))

/* ---- sources ---- */

/* The attribute that fills a slot with a value of the certificate, or NULL. */
static const struct identity_attribute *find_attribute(
    const struct notation *notation, const struct identity_row *row, struct view name)
{
    int slot = placeholder_find(&notation->policy->names, name);
    for (size_t i = 0; i < row->attribute_count; i++) {
        if (row->attributes[i].slot == slot)
            return &row->attributes[i];
    }
    return NULL;
}

/* Adds a value, unless that very one is there already. False if another is there by this name. */
static bool add_value(
    struct policy_certificate_value *values, size_t *count, const char *name, struct view value)
{
    for (size_t i = 0; i < *count; i++) {
        if (strcmp(values[i].name, name) == 0)
            return view_equal(values[i].value, value);
    }
    values[(*count)++] = (struct policy_certificate_value){name, value};
    return true;
}

static bool refuse_attribute(
    struct notation *notation, const struct identity_row *row, const struct notated_attribute *attribute)
{
    const char *names[PLACEHOLDER_NAMES_MAXIMUM + CLIENT_WORDS];
    size_t count = 0;
    if (notation->unsure)
        return true;
    for (; count < row->attribute_count; count++)
        names[count] = notation->policy->names.names[row->attributes[count].slot];
    for (size_t i = 0; i < CLIENT_WORDS; i++)
        names[count++] = client_words[i].name;
    return notation_refuse(notation, attribute->word,
        diag_hint(notation->diag, attribute->name, names, count),
        "the source '%s' of this policy has no attribute '%.*s'", policy_source_name(row->source),
        VIEW_ARGS(attribute->name));
}

/* The values that a certificate or a token has: the identity, and the attributes that were given. */
static bool collect_values(struct notation *notation, const struct notated_client *client,
    const char *id_name, struct view id, const struct policy_certificate_value **out, size_t *count)
{
    struct policy_certificate_value *values =
        arena_calloc(notation->arena, client->attribute_count + 1, sizeof(*values));
    bool good = true;
    *out = values;
    *count = 0;
    if (id_name != NULL)
        add_value(values, count, id_name, id);
    for (size_t i = 0; i < client->attribute_count; i++) {
        const struct notated_attribute *attribute = &client->attributes[i];
        const struct identity_attribute *known = find_attribute(notation, client->row, attribute->name);
        if (known == NULL)
            good = refuse_attribute(notation, client->row, attribute) && good;
        else if (!add_value(values, count, known->value_name, attribute->value))
            good = notation_refuse(notation, attribute->word, NULL,
                "'%s', which '%.*s' stands for, is given already, with another value", known->value_name,
                VIEW_ARGS(attribute->name));
    }
    return good;
}

static bool present_cert(struct notation *notation, struct notated_client *client)
{
    const struct identity_row *row = client->row;
    struct policy_credentials *credentials = &client->credentials;
    const char **cas = arena_calloc(notation->arena, 1, sizeof(*cas));
    struct view id = view_of_string(
        arena_format(notation->arena, "%.*s%.*s", VIEW_ARGS(row->strip), VIEW_ARGS(client->id)));

    cas[0] = row->ca;
    credentials->has_certificate = true;
    credentials->certificate_cas = cas;
    credentials->certificate_ca_count = row->ca == NULL ? 0 : 1;
    return collect_values(notation, client, row->value_name, id, &credentials->certificate_values,
        &credentials->certificate_value_count);
}

/* The claims are given as they are: nothing is signed, so no keys are needed. */
static bool present_jwt(struct notation *notation, struct notated_client *client)
{
    const struct identity_token *token = client->row->token;
    struct policy_claims *claims = arena_alloc(notation->arena, sizeof(*claims));

    claims->in = token->in;
    claims->method = token->method;
    claims->members = client->members;
    claims->member_count = client->member_count;
    client->credentials.claims = claims;
    client->credentials.has_password = token->in == POLICY_TOKEN_PASSWORD;
    client->credentials.has_authentication = token->in == POLICY_TOKEN_AUTHENTICATION;
    client->credentials.authentication_method = token->method;
    if (client->member != NULL && token->groups.length == 0 && !notation->unsure)
        return notation_refuse(notation, client->member, "say with 'groups' which claim has them",
            "the source 'jwt' of this policy does not look at groups");
    return collect_values(notation, client, arena_copy_string(notation->arena, token->id), client->id,
        &claims->values, &claims->value_count);
}

static bool no_attributes(struct notation *notation, const struct notated_client *client)
{
    bool good = true;
    for (size_t i = 0; i < client->attribute_count; i++)
        good = refuse_attribute(notation, client->row, &client->attributes[i]) && good;
    return good;
}

static void set_username(struct notated_client *client)
{
    if (!client->credentials.has_username)
        client->credentials.username = client->id;
    client->credentials.has_username = true;
}

static bool present_password(struct notation *notation, struct notated_client *client)
{
    set_username(client);
    client->credentials.has_password = true;
    return no_attributes(notation, client);
}

static bool present_broker(struct notation *notation, struct notated_client *client)
{
    if (!client->row->from_client_id) {
        set_username(client);
    } else if (!client->has_client_id) {
        client->credentials.client_id = client->id;
        client->has_client_id = true;
    }
    return no_attributes(notation, client);
}

static bool present_anonymous(struct notation *notation, struct notated_client *client)
{
    return no_attributes(notation, client);
}

/* What a client of a source presents. */
static const struct source_row {
    enum policy_source source;
    bool (*present)(struct notation *notation, struct notated_client *client);
} sources[] = {
    {POLICY_SOURCE_CERT, present_cert},
    {POLICY_SOURCE_JWT, present_jwt},
    {POLICY_SOURCE_PASSWORD, present_password},
    {POLICY_SOURCE_BROKER, present_broker},
    {POLICY_SOURCE_ANONYMOUS, present_anonymous},
};
#define SOURCE_COUNT (sizeof(sources) / sizeof(sources[0]))

static const struct source_row *read_source(struct notation *notation, const struct notation_word *word)
{
    const char *names[SOURCE_COUNT];
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        names[i] = policy_source_name(sources[i].source);
        if (view_equal_string(word->text, names[i]))
            return &sources[i];
    }
    notation_refuse(notation, word, diag_hint(notation->diag, word->text, names, SOURCE_COUNT),
        "unknown identity source '%.*s'", VIEW_ARGS(word->text));
    return NULL;
}

/* Of a row that the client's words choose by name: ca, jwks. */
static bool has_name(const char *wanted, const char *name)
{
    return wanted == NULL || (name != NULL && strcmp(wanted, name) == 0);
}

/* The row of identity: that such a client is meant to be taken by. */
static const struct identity_row *find_row(struct notation *notation, const struct notation_word *word,
    enum policy_source source, const struct notated_client *client)
{
    const struct policy *policy = notation->policy;
    bool has_source = false;
    for (size_t i = 0; i < policy->identity_count; i++) {
        const struct identity_row *row = &policy->identities[i];
        if (row->source != source)
            continue;
        has_source = true;
        if (has_name(client->ca, row->ca) &&
            has_name(client->jwks, row->token == NULL ? NULL : row->token->jwks))
            return row;
    }
    if (!notation->unsure)
        notation_refuse(notation, has_source ? client->chooser : word, NULL,
            "the policy has no identity source '%.*s'%s%.*s", VIEW_ARGS(word->text),
            has_source ? " with " : "", has_source ? (int)client->chooser->text.length : 0,
            has_source ? (const char *)client->chooser->text.data : "");
    return NULL;
}

/* ---- the client ---- */

static bool add_attribute(struct notation *notation, const struct notation_word *word, struct view name,
    struct view value, struct notated_client *out)
{
    for (size_t i = 0; i < out->attribute_count; i++) {
        if (view_equal(out->attributes[i].name, name))
            return notation_refuse(notation, word, NULL, "'%.*s' is given already", VIEW_ARGS(name));
    }
    out->attributes[out->attribute_count++] = (struct notated_attribute){word, name, value};
    return true;
}

/* A word key=value: about the client, or else an attribute; "attrs.<name>" is always an attribute. */
static bool read_client_word(
    struct notation *notation, const struct notation_word *word, uint64_t *seen, struct notated_client *out)
{
    static const struct view prefix = {(const uint8_t *)"attrs.", 6};
    const uint8_t *equals = memchr(word->text.data, '=', word->text.length);
    struct view key = view_of(word->text.data, (size_t)(equals - word->text.data));
    struct view value = view_skip(word->text, key.length + 1);
    if (view_starts_with(key, prefix))
        return add_attribute(notation, word, view_skip(key, prefix.length), value, out);
    for (size_t i = 0; i < CLIENT_WORDS; i++) {
        if (!view_equal_string(key, client_words[i].name))
            continue;
        if (!client_words[i].many && (*seen >> i & 1) != 0)
            return notation_refuse(notation, word, NULL, "'%s' is given already", client_words[i].name);
        *seen |= UINT64_C(1) << i;
        return client_words[i].set(notation, word, value, out);
    }
    return add_attribute(notation, word, key, value, out);
}

/* What fits the policy's client_id, '*' standing for nothing; without one, the identity. */
static void choose_client_id(struct notation *notation, struct notated_client *client)
{
    const struct client_id_pattern *pattern = &notation->policy->client_id;
    struct buffer text = {0};
    if (client->has_client_id)
        return;
    struct view value = client->id;
    if (pattern->given && pattern->has_slot && pattern->slot == SLOT_USERNAME)
        value = client->credentials.username;
    for (size_t i = 0; i < client->attribute_count && pattern->given && pattern->has_slot; i++) {
        if (placeholder_find(&notation->policy->names, client->attributes[i].name) == pattern->slot)
            value = client->attributes[i].value;
    }
    const struct view parts[] = {pattern->prefix, pattern->has_slot ? value : VIEW(""), pattern->suffix};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < parts[i].length; k++) {
            if (i == 1 || parts[i].data[k] != '*')
                buffer_append_byte(&text, parts[i].data[k]);
        }
    }
    client->credentials.client_id =
        pattern->given ? arena_copy(notation->arena, buffer_view(&text)) : client->id;
    buffer_release(&text);
}

bool notation_read_client(struct notation *notation, struct notated_client *out)
{
    static const char expected[] = "<source> <identity> [<name>=<value>...]: cert plc-7 site=a";
    uint64_t seen = 0;
    bool good = true;
    *out = (struct notated_client){.dialect = DIALECT_MOSQUITTO};
    if (notation->next == notation->count)
        return notation_refuse(notation, NULL, expected, "a client is missing");
    const struct notation_word *first = &notation->words[notation->next++];
    const struct source_row *source = read_source(notation, first);
    if (source == NULL)
        return false;
    if (notation->next == notation->count)
        return notation_refuse(notation, first, expected, "the identity is missing");
    out->id = notation->words[notation->next++].text;
    out->attributes = arena_calloc(notation->arena, notation->count, sizeof(*out->attributes));
    for (; notation->next < notation->count; notation->next++) {
        const struct notation_word *word = &notation->words[notation->next];
        if (word->text.length == 0 || memchr(word->text.data, '=', word->text.length) == NULL)
            break;
        good = read_client_word(notation, word, &seen, out) && good;
    }
    out->row = find_row(notation, first, source->source, out);
    if (out->row == NULL)
        return notation->unsure && good;
    if (out->member != NULL && source->source != POLICY_SOURCE_JWT)
        good = notation_refuse(notation, out->member, NULL, "'member' is about clients of source jwt");
    good = source->present(notation, out) && good;
    choose_client_id(notation, out);
    return good;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of identity:, client_id: and groups:, and with them the names of placeholders. Called
 * by policy.c before the rules are compiled, which refer to all of these. */
#include "policy/compile.h"

#include <assert.h>

#define CERTIFICATE_VALUES_MAXIMUM 16

/* The one of candidates that string is, or NULL after an error. */
static const char *choose(struct compiler *compiler, const struct keyword_string *string,
    const char *const *candidates, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++) {
        if (view_equal_string(string->text, candidates[i]))
            return arena_copy_string(compiler->arena, string->text);
    }
    if (string->text.length > 0)
        diag_add(compiler->diag, DIAG_ERROR, &string->place,
            compile_hint(compiler, string->text, candidates, count), "unknown %s '%.*s'", what,
            VIEW_ARGS(string->text));
    return NULL;
}

/* A name that mqward.yaml defines. */
static const char *external_name(struct compiler *compiler, const struct keyword_string *string,
    const char *const *candidates, size_t count, const char *what)
{
    if (compiler->names == NULL)
        return arena_copy_string(compiler->arena, string->text);
    if (count == 0 && string->text.length > 0)
        diag_add(compiler->diag, DIAG_ERROR, &string->place,
            "it is a name that mqward.yaml defines, and it defines none", "unknown %s '%.*s'", what,
            VIEW_ARGS(string->text));
    return count == 0 ? NULL : choose(compiler, string, candidates, count, what);
}

static bool valid_attribute_name(struct view name)
{
    for (size_t i = 0; i < name.length; i++) {
        uint8_t c = name.data[i];
        if (!(c >= 'a' && c <= 'z') && c != '_' && (i == 0 || !(c >= '0' && c <= '9')))
            return false;
    }
    return name.length > 0 && name.length <= 64;
}

/* The slot of an attribute, a new one if it has none yet; -1 after an error. */
static int attribute_slot(struct compiler *compiler, const struct keyword_string *name)
{
    struct placeholder_names *names = &compiler->policy->names;
    int slot = placeholder_find(names, name->text);
    if (slot >= SLOT_FIRST_ATTRIBUTE)
        return slot;
    if (slot >= 0) {
        diag_add(compiler->diag, DIAG_ERROR, &name->place, "give the attribute another name",
            "'%.*s' can't be an attribute: '<%.*s>' is a placeholder already", VIEW_ARGS(name->text),
            VIEW_ARGS(name->text));
        return -1;
    }
    if (!valid_attribute_name(name->text)) {
        diag_add(compiler->diag, DIAG_ERROR, &name->place, "a name has lower-case letters, digits and '_'",
            "'%.*s' is not a name for an attribute", VIEW_ARGS(name->text));
        return -1;
    }
    if (names->count == PLACEHOLDER_NAMES_MAXIMUM) {
        diag_add(compiler->diag, DIAG_ERROR, &name->place, NULL, "more than %d attributes",
            PLACEHOLDER_NAMES_MAXIMUM - SLOT_FIRST_ATTRIBUTE);
        return -1;
    }
    names->names[names->count] = arena_copy_string(compiler->arena, name->text);
    return (int)names->count++;
}

static const char *choose_certificate_value(struct compiler *compiler, const struct keyword_string *string)
{
    const char *names[CERTIFICATE_VALUES_MAXIMUM];
    size_t count = 0;
    for (; parse_certificate_values[count].name != NULL; count++) {
        assert(count < CERTIFICATE_VALUES_MAXIMUM);
        names[count] = parse_certificate_values[count].name;
    }
    return choose(compiler, string, names, count, "certificate value");
}

/* A claim's name or path as a string, or NULL after an error. */
static const char *choose_claim(struct compiler *compiler, const struct keyword_string *string)
{
    if (string->text.length == 0)
        return NULL;
    if (jwt_claim_path_valid(string->text))
        return arena_copy_string(compiler->arena, string->text);
    diag_add(compiler->diag, DIAG_ERROR, &string->place,
        "a name such as sub, or names with a dot between: realm_access.roles", "not a claim");
    return NULL;
}

static void compile_attributes(
    struct compiler *compiler, const struct parsed_pairs *pairs, struct identity_row *row)
{
    struct identity_attribute *attributes = arena_calloc(compiler->arena, pairs->count, sizeof(*attributes));
    for (size_t i = 0; i < pairs->count; i++) {
        const struct parsed_pair *pair = &pairs->items[i];
        int slot = attribute_slot(compiler, &pair->name);
        if (pair->values.count != 1) {
            diag_add(compiler->diag, DIAG_ERROR, &pair->name.place, NULL, "attribute '%.*s': expected one %s",
                VIEW_ARGS(pair->name.text),
                row->source == POLICY_SOURCE_CERT ? "certificate value" : "claim");
            continue;
        }
        const char *value = row->source == POLICY_SOURCE_CERT
                                ? choose_certificate_value(compiler, &pair->values.items[0])
                                : choose_claim(compiler, &pair->values.items[0]);
        if (slot >= 0 && value != NULL)
            attributes[row->attribute_count++] = (struct identity_attribute){(uint8_t)slot, value};
    }
    row->attributes = attributes;
}

static const struct view *copy_texts(struct compiler *compiler, const struct keyword_strings *strings)
{
    struct view *texts = arena_calloc(compiler->arena, strings->count, sizeof(*texts));
    for (size_t i = 0; i < strings->count; i++)
        texts[i] = strings->items[i].text;
    return texts;
}

static void compile_token(
    struct compiler *compiler, const struct parsed_identity *parsed, struct identity_row *row)
{
    const struct policy_names *names = compiler->names;
    struct identity_token *token = arena_alloc(compiler->arena, sizeof(*token));
    bool in_authentication = parsed->jwt.in == POLICY_TOKEN_AUTHENTICATION;

    token->in = in_authentication ? POLICY_TOKEN_AUTHENTICATION : POLICY_TOKEN_PASSWORD;
    token->passed = parsed->jwt.passed != 0;
    token->method = parsed->jwt.method.text;
    token->jwks = external_name(compiler, &parsed->jwt.jwks, names == NULL ? NULL : names->jwks,
        names == NULL ? 0 : names->jwks_count, "key set");
    token->settings = (struct jwt_settings){
        .algorithms = parsed->jwt.algorithms,
        .issuers = copy_texts(compiler, &parsed->jwt.issuers),
        .issuer_count = parsed->jwt.issuers.count,
        .audiences = copy_texts(compiler, &parsed->jwt.audiences),
        .audience_count = parsed->jwt.audiences.count,
        .skew_s = (parsed->jwt.skew_ms + 999) / 1000,
    };
    token->id = view_of_string(choose_claim(compiler, &parsed->jwt.id));
    token->groups = view_of_string(choose_claim(compiler, &parsed->jwt.groups));
    if (parsed->jwt.has_method && !in_authentication)
        diag_add(compiler->diag, DIAG_ERROR, &parsed->jwt.method.place, "add 'in: auth', or leave it out",
            "method has no effect on a token in the password");
    if (token->passed && in_authentication)
        diag_add(compiler->diag, DIAG_ERROR, &parsed->place, "leave out 'forward: pass'",
            "a token in the authentication data is answered by mqward and can't be passed to the broker");
    row->source = POLICY_SOURCE_JWT;
    row->token = token;
    row->ends_at_expiry = parsed->jwt.disconnects != 0;
    compile_attributes(compiler, &parsed->jwt.attributes, row);
}

static void compile_row(
    struct compiler *compiler, const struct parsed_identity *parsed, struct identity_row *row)
{
    const struct policy_names *names = compiler->names;
    if (parsed->has_cert) {
        row->source = POLICY_SOURCE_CERT;
        row->ca = external_name(compiler, &parsed->cert.ca, names == NULL ? NULL : names->cas,
            names == NULL ? 0 : names->ca_count, "CA");
        row->value_name = parse_certificate_ids[parsed->cert.id].name;
        row->strip = parsed->cert.strip.text;
        row->ends_at_expiry = parsed->cert.disconnects != 0;
        compile_attributes(compiler, &parsed->cert.attributes, row);
    } else if (parsed->has_jwt) {
        compile_token(compiler, parsed, row);
    } else if (parsed->has_password) {
        row->source = POLICY_SOURCE_PASSWORD;
        row->password_file =
            external_name(compiler, &parsed->password.file, names == NULL ? NULL : names->password_files,
                names == NULL ? 0 : names->password_file_count, "password file");
    } else if (parsed->has_broker) {
        row->source = POLICY_SOURCE_BROKER;
        row->from_client_id = parsed->broker.from_client_id != 0;
    } else if (parsed->has_anonymous) {
        row->source = POLICY_SOURCE_ANONYMOUS;
        row->anonymous_id = parsed->anonymous.id.text;
    }
}

static void compile_client_id(struct compiler *compiler)
{
    const struct keyword_string *string = &compiler->parsed->client_id;
    struct client_id_pattern *pattern = &compiler->policy->client_id;
    if (string->text.length == 0)
        return;
    pattern->given = true;
    pattern->info = compile_info(compiler, VIEW("client_id"), &string->place);
    pattern->mismatch =
        arena_format(compiler->arena, "the client identifier does not fit \"%.*s\"", VIEW_ARGS(string->text));
    pattern->open = memchr(string->text.data, '*', string->text.length) != NULL;
    int found = placeholder_split(compiler->diag, &compiler->policy->names, string, string->text,
        &pattern->slot, &pattern->prefix, &pattern->suffix);
    pattern->has_slot = found == 1;
    if (pattern->has_slot && pattern->slot == SLOT_CLIENT_ID)
        diag_add(compiler->diag, DIAG_ERROR, &string->place, "such as '<id>', '<id>-*' or 'plant-a-*'",
            "client_id can't refer to itself");
}

void compile_identity(struct compiler *compiler)
{
    struct policy *policy = compiler->policy;
    const struct parsed_identities *parsed = &compiler->parsed->identities;
    struct identity_row *rows = arena_calloc(compiler->arena, parsed->count, sizeof(*rows));

    policy->names = (struct placeholder_names){
        .names = {[SLOT_ID] = "id", [SLOT_CLIENT_ID] = "client_id", [SLOT_USERNAME] = "username"},
        .count = SLOT_FIRST_ATTRIBUTE,
    };
    for (size_t i = 0; i < parsed->count; i++)
        compile_row(compiler, &parsed->items[i], &rows[i]);
    policy->identities = rows;
    policy->identity_count = parsed->count;
    compile_client_id(compiler);
}

/* ---- groups ---- */

static void compile_networks(
    struct compiler *compiler, const struct keyword_strings *strings, struct policy_group *group)
{
    struct network *networks = arena_calloc(compiler->arena, strings->count, sizeof(*networks));
    for (size_t i = 0; i < strings->count; i++) {
        const struct keyword_string *string = &strings->items[i];
        enum network_error error = network_parse(string->text, &networks[i]);
        if (error == NETWORK_MALFORMED)
            diag_add(compiler->diag, DIAG_ERROR, &string->place,
                "such as 10.20.0.0/16, 2001:db8::/32 or a single address", "not a network: '%.*s'",
                VIEW_ARGS(string->text));
        else if (error == NETWORK_HOST_BITS)
            diag_add(compiler->diag, DIAG_ERROR, &string->place, "set the bits behind the prefix to zero",
                "'%.*s' is an address inside a network, not a network", VIEW_ARGS(string->text));
    }
    group->networks = networks;
    group->network_count = strings->count;
}

static void compile_conditions(
    struct compiler *compiler, const struct parsed_pairs *pairs, struct policy_group *group)
{
    struct attribute_condition *conditions = arena_calloc(compiler->arena, pairs->count, sizeof(*conditions));
    const struct placeholder_names *names = &compiler->policy->names;
    for (size_t i = 0; i < pairs->count; i++) {
        const struct parsed_pair *pair = &pairs->items[i];
        int slot = placeholder_find(names, pair->name.text);
        if (slot < SLOT_FIRST_ATTRIBUTE) {
            diag_add(compiler->diag, DIAG_ERROR, &pair->name.place,
                compile_hint(compiler, pair->name.text, names->names + SLOT_FIRST_ATTRIBUTE,
                    names->count - SLOT_FIRST_ATTRIBUTE),
                "no identity source has the attribute '%.*s'", VIEW_ARGS(pair->name.text));
            continue;
        }
        conditions[group->attribute_count++] = (struct attribute_condition){
            (uint8_t)slot, compile_globs(compiler, &pair->values), pair->values.count};
    }
    group->attributes = conditions;
}

/* member: asks for a claim that some source must name. */
static void check_members(struct compiler *compiler, const struct parsed_group *group)
{
    const struct policy *policy = compiler->policy;
    bool named = false;
    for (size_t i = 0; i < policy->identity_count; i++)
        named =
            named || (policy->identities[i].token != NULL && policy->identities[i].token->groups.length > 0);
    if (group->members.count > 0 && !named)
        diag_add(compiler->diag, DIAG_ERROR, &group->members.items[0].place,
            "add 'groups: <claim>' to the jwt source",
            "no identity source says what a client is a member of");
}

void compile_groups(struct compiler *compiler)
{
    struct policy *policy = compiler->policy;
    const struct parsed_groups *parsed = &compiler->parsed->groups;
    size_t count = parsed->count;
    if (count >= GROUPS_MAXIMUM) {
        diag_add(compiler->diag, DIAG_ERROR, &parsed->items[GROUPS_MAXIMUM - 1].name.place, NULL,
            "more than %d groups", GROUPS_MAXIMUM - 1);
        count = GROUPS_MAXIMUM - 1;
    }
    struct policy_group *groups = arena_calloc(compiler->arena, count, sizeof(*groups));
    for (size_t i = 0; i < count; i++) {
        const struct parsed_group *group = &parsed->items[i];
        groups[i].name = arena_copy_string(compiler->arena, group->name.text);
        groups[i].sources = group->sources;
        groups[i].ids = compile_globs(compiler, &group->ids);
        groups[i].id_count = group->ids.count;
        groups[i].members = compile_globs(compiler, &group->members);
        groups[i].member_count = group->members.count;
        check_members(compiler, group);
        compile_networks(compiler, &group->networks, &groups[i]);
        compile_conditions(compiler, &group->attributes, &groups[i]);
    }
    policy->groups = groups;
    policy->group_count = count;
    policy->group_words = (count + 1 + 63) / 64;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of identity: and groups:. Called by the table of parse.c. */
#include "policy/jwks.h"
#include "policy/parse.h"
#include "policy/policy.h"

#define SKEW_MAXIMUM_MS 600000

static const struct keyword_choice broker_id_choices[] = {
    {.name = "username", .value = 0},
    {.name = "client_id", .value = 1},
    {0},
};

static const struct keyword_choice expiry_choices[] = {
    {.name = "disconnect", .value = 1, .help = "the session ends."},
    {.name = "keep", .value = 0, .help = "it goes on until the client connects anew."},
    {0},
};
static const struct keyword_choice token_choices[] = {
    {.name = "password", .value = POLICY_TOKEN_PASSWORD, .help = "the password of CONNECT."},
    {.name = "auth",
        .value = POLICY_TOKEN_AUTHENTICATION,
        .help = "the authentication data of MQTT 5.0's enhanced authentication."},
    {0},
};
static const struct keyword_choice algorithm_choices[] = {
    {.name = "RS256", .value = JWT_RS256},
    {.name = "ES256", .value = JWT_ES256},
    {.name = "EdDSA", .value = JWT_EDDSA},
    {.name = "HS256", .value = JWT_HS256},
    {0},
};
static const struct keyword_choice forward_choices[] = {
    {.name = "strip",
        .value = 0,
        .help = "the broker gets CONNECT without the token, and without the user name, which nobody has "
                "checked."},
    {.name = "pass", .value = 1, .help = "it gets the password as the client sent it."},
    {0},
};

const struct keyword_choice parse_certificate_ids[] = {
    {.name = "cn", .value = 0},
    {.name = "san.uri", .value = 1},
    {.name = "san.dns", .value = 2},
    {.name = "san.email", .value = 3},
    {.name = "serial_number", .value = 4},
    {0},
};
const struct keyword_choice parse_certificate_values[] = {
    {.name = "cn"},
    {.name = "ou"},
    {.name = "o"},
    {.name = "c"},
    {.name = "l"},
    {.name = "st"},
    {.name = "serial_number"},
    {.name = "san.uri"},
    {.name = "san.dns"},
    {.name = "san.email"},
    {.name = "san.ip"},
    {0},
};

static const struct keyword cert_table[] = {
    {.name = "ca",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, cert.ca),
        .example = "devices",
        .flags = KEYWORD_REQUIRED,
        .help = "The name of a CA in `mqward.yaml`. Only certificates that lead to it are this credential."},
    {.name = "id",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, cert.id),
        .choices = parse_certificate_ids,
        .example = "cn",
        .flags = KEYWORD_REQUIRED,
        .help = "The value that is the identity. A certificate without it, or with several, is refused."},
    {.name = "strip",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, cert.strip),
        .help = "Text that the value must begin with and that is not part of the identity."},
    {.name = "attrs",
        .set = parse_set_pairs,
        .offset = offsetof(struct parsed_identity, cert.attributes),
        .shape = KEYWORD_PAIRS,
        .choices = parse_certificate_values,
        .help = "Further values, by the name that placeholders and groups use: `{site: ou}`."},
    {.name = "at_expiry",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, cert.disconnects),
        .choices = expiry_choices,
        .default_text = "keep",
        .help = "What happens to a session when its certificate expires."},
    {.foreign = parse_foreign_cert},
};
static const struct keyword jwt_table[] = {
    {.name = "in",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, jwt.in),
        .choices = token_choices,
        .default_text = "password",
        .help = "Where clients put the token."},
    {.name = "method",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, jwt.method),
        .default_text = "JWT",
        .seen_offset = 1 + offsetof(struct parsed_identity, jwt.has_method),
        .help = "With `in: auth`: the authentication method that clients name."},
    {.name = "jwks",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, jwt.jwks),
        .example = "idp",
        .flags = KEYWORD_REQUIRED,
        .help = "The name of a key set in `mqward.yaml`. Only its keys are believed."},
    {.name = "issuer",
        .set = keyword_set_strings,
        .offset = offsetof(struct parsed_identity, jwt.issuers),
        .example = "https://idp.example",
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .help = "What claim `iss` must be: one of these, byte for byte."},
    {.name = "audience",
        .set = keyword_set_strings,
        .offset = offsetof(struct parsed_identity, jwt.audiences),
        .example = "mqtt",
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .help = "What claim `aud` must be or hold: one of these."},
    {.name = "algs",
        .set = keyword_set_choices,
        .offset = offsetof(struct parsed_identity, jwt.algorithms),
        .choices = algorithm_choices,
        .foreign = parse_foreign_algorithm,
        .example = "[ES256]",
        .flags = KEYWORD_REQUIRED,
        .help = "The signature algorithms that are accepted; `none` never is."},
    {.name = "id",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, jwt.id),
        .default_text = "sub",
        .value = "claim",
        .help = "The claim that is the identity. A token without it is refused."},
    {.name = "groups",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, jwt.groups),
        .value = "claim",
        .help = "The claim that names the client's groups, for `member`: a list of strings, or one string. "
                "`realm_access.roles` is a claim inside another."},
    {.name = "attrs",
        .set = parse_set_pairs,
        .offset = offsetof(struct parsed_identity, jwt.attributes),
        .shape = KEYWORD_PAIRS,
        .help = "Further values, by the name that placeholders and groups use: `{site: site}`. Values: "
                "claims."},
    {.name = "skew",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct parsed_identity, jwt.skew_ms),
        .default_text = "30s",
        .maximum = SKEW_MAXIMUM_MS,
        .help = "How far the clocks of issuer and mqward may differ."},
    {.name = "at_expiry",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, jwt.disconnects),
        .choices = expiry_choices,
        .default_text = "disconnect",
        .help = "What happens to a session when its token expires."},
    {.name = "forward",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, jwt.passed),
        .choices = forward_choices,
        .default_text = "strip",
        .help = "What the broker gets of a token in the password. With `in: auth` it never gets it."},
    {.foreign = parse_foreign_jwt},
};
static const struct keyword password_table[] = {
    {.name = "file",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, password.file),
        .example = "operators",
        .flags = KEYWORD_REQUIRED,
        .help = "The name of a password file in `mqward.yaml`. The identity is the user name."},
    {.foreign = parse_foreign_password},
};
static const struct keyword broker_table[] = {
    {.name = "id",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_identity, broker.from_client_id),
        .choices = broker_id_choices,
        .default_text = "username",
        .help = "What the identity is."},
    {0},
};
static const struct keyword anonymous_table[] = {
    {.name = "id",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, anonymous.id),
        .default_text = "anonymous",
        .help = "The identity of everybody who gets here."},
    {0},
};

#define SEEN(field) (1 + offsetof(struct parsed_identity, field))
const struct keyword parse_identity_table[] = {
    {.name = "cert",
        .set = keyword_set_mapping,
        .members = cert_table,
        .seen_offset = SEEN(has_cert),
        .flags = KEYWORD_ALTERNATIVE,
        .help = "A client certificate that the listener verified."},
    {.name = "jwt",
        .set = keyword_set_mapping,
        .members = jwt_table,
        .seen_offset = SEEN(has_jwt),
        .flags = KEYWORD_ALTERNATIVE,
        .help = "A JSON Web Token, signed by a key of a key set."},
    {.name = "password",
        .set = keyword_set_mapping,
        .members = password_table,
        .seen_offset = SEEN(has_password),
        .flags = KEYWORD_ALTERNATIVE,
        .help = "User name and password, checked against a file as `mosquitto_passwd` writes it."},
    {.name = "broker",
        .set = keyword_set_mapping,
        .members = broker_table,
        .seen_offset = SEEN(has_broker),
        .flags = KEYWORD_ALTERNATIVE,
        .help = "The broker checks user name and password: the identity holds once its CONNACK says yes."},
    {.name = "anonymous",
        .set = keyword_set_mapping,
        .members = anonymous_table,
        .seen_offset = SEEN(has_anonymous),
        .flags = KEYWORD_ALTERNATIVE,
        .help = "No credential."},
    {.foreign = parse_foreign_source},
};

int parse_set_identities(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_identities *identities = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    int result = 0;
    identities->items = arena_calloc(context->arena, node->count, sizeof(*identities->items));
    identities->count = 0;
    for (const struct yaml_node *row = node->first; row != NULL; row = row->next) {
        struct parsed_identity *identity = &identities->items[identities->count];
        identity->place = row->place;
        /* One with an error stays, so that its attributes are known as placeholders. */
        identities->count++;
        if (keyword_read(context, parse_identity_table, identity, row) != 0)
            result = -1;
    }
    return result;
}

static const struct keyword_choice source_choices[] = {
    {.name = "cert", .value = POLICY_SOURCE_CERT},
    {.name = "jwt", .value = POLICY_SOURCE_JWT},
    {.name = "password", .value = POLICY_SOURCE_PASSWORD},
    {.name = "broker", .value = POLICY_SOURCE_BROKER},
    {.name = "anonymous", .value = POLICY_SOURCE_ANONYMOUS},
    {0},
};

const struct keyword parse_group_table[] = {
    {.name = "source",
        .set = keyword_set_choices,
        .offset = offsetof(struct parsed_group, sources),
        .choices = source_choices,
        .foreign = parse_foreign_source,
        .help = "The sources that the identity may come from."},
    {.name = "ids",
        .set = keyword_set_strings,
        .offset = offsetof(struct parsed_group, ids),
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Identities, `*` for any characters; one of them must fit."},
    {.name = "net",
        .set = keyword_set_strings,
        .offset = offsetof(struct parsed_group, networks),
        .flags = KEYWORD_ONE_OR_MANY,
        .pattern = "^[0-9a-fA-F.:]+(/[0-9]{1,3})?$",
        .help = "Networks that the client's address must be in one of: `10.20.0.0/16`, `2001:db8::/32`."},
    {.name = "attrs",
        .set = parse_set_pairs,
        .offset = offsetof(struct parsed_group, attributes),
        .shape = KEYWORD_PAIRS,
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Attributes of the identity and their values, `*` for any characters: `{site: [a, b-*]}`."},
    {.name = "member",
        .set = keyword_set_strings,
        .offset = offsetof(struct parsed_group, members),
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Names, `*` for any characters; the token's claim for groups must have one that fits."},
    {.foreign = parse_foreign_group},
};

static int set_group(
    struct keyword_context *context, struct parsed_group *group, const struct yaml_node *member)
{
    group->name = parse_key(context, member);
    if (!parse_check_name(context, &group->name, "group"))
        return -1;
    if (view_equal(group->name.text, VIEW("everyone"))) {
        diag_add(context->diag, DIAG_ERROR, &group->name.place, NULL,
            "'everyone' is there already and can't be defined");
        return -1;
    }
    if (member->kind == YAML_MAPPING && member->count == 0)
        return keyword_error(context, member, "for all clients, write 'who: everyone'",
            "a group needs at least one of source, ids, net, attrs, member");
    if (member->kind == YAML_SCALAR && !member->refused)
        return keyword_error(context, member, "such as '{source: cert}' or '{ids: [eva, adam]}'",
            "group '%.*s': expected its conditions, found '%.*s'", VIEW_ARGS(member->key),
            VIEW_ARGS(member->text));
    if (member->kind == YAML_SEQUENCE && !member->refused)
        return keyword_error(context, member,
            "'ids: [eva, adam]' lists identities; groups are listed where they are used: 'who: [a, b]'",
            "group '%.*s': expected its conditions, found a list", VIEW_ARGS(member->key));
    return keyword_read(context, parse_group_table, group, member) == 0 ? 0 : -1;
}

int parse_set_groups(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_groups *groups = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    int result = 0;
    groups->items = arena_calloc(context->arena, node->count, sizeof(*groups->items));
    groups->count = 0;
    /* A group with an error stays, so that the rules that name it do not report it as unknown. */
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next) {
        if (set_group(context, &groups->items[groups->count++], member) != 0)
            result = -1;
    }
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of identity: and groups:. Called by the table of parse.c. */
#include "policy/parse.h"
#include "policy/policy.h"

static const struct keyword_choice broker_id_choices[] = {
    {.name = "username", .value = 0},
    {.name = "client_id", .value = 1},
    {0},
};

static const struct keyword cert_table[] = {
    {.name = "ca",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, cert.ca),
        .flags = KEYWORD_REQUIRED,
        .help = "The name of a CA in `mqward.yaml`. Only certificates that lead to it are this credential."},
    {.name = "id",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, cert.id),
        .flags = KEYWORD_REQUIRED,
        .value = "`cn`, `san.uri`, `san.dns`, `san.email`, `serial_number`",
        .help = "The value that is the identity. A certificate without it, or with several, is refused."},
    {.name = "strip",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, cert.strip),
        .help = "Text that the value must begin with and that is not part of the identity."},
    {.name = "attrs",
        .set = parse_set_pairs,
        .offset = offsetof(struct parsed_identity, cert.attributes),
        .value = "mapping",
        .help = "Further values, by the name that placeholders and groups use: `{site: ou}`. Values: `cn`, "
                "`ou`, `o`, "
                "`c`, `l`, `st`, `serial_number`, `san.uri`, `san.dns`, `san.email`, `san.ip`."},
    {0},
};
static const struct keyword password_table[] = {
    {.name = "file",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_identity, password.file),
        .flags = KEYWORD_REQUIRED,
        .help = "The name of a password file in `mqward.yaml`. The identity is the user name."},
    {0},
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
        .help = "A client certificate that the listener verified."},
    {.name = "password",
        .set = keyword_set_mapping,
        .members = password_table,
        .seen_offset = SEEN(has_password),
        .help = "User name and password, checked against a file that `mosquitto_passwd` writes."},
    {.name = "broker",
        .set = keyword_set_mapping,
        .members = broker_table,
        .seen_offset = SEEN(has_broker),
        .help = "The broker checks user name and password: the identity holds once its CONNACK says yes."},
    {.name = "anonymous",
        .set = keyword_set_mapping,
        .members = anonymous_table,
        .seen_offset = SEEN(has_anonymous),
        .help = "No credential."},
    {.name = "jwt", .flags = KEYWORD_UNSUPPORTED},
    {0},
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
        if (row->kind == YAML_MAPPING && row->count != 1) {
            result = keyword_error(context, row, "- cert: {...}",
                "an entry of identity has exactly one source, this has %zu", row->count);
            continue;
        }
        /* One with an error stays, so that its attributes are known as placeholders. */
        identities->count++;
        if (keyword_read(context, parse_identity_table, identity, row) != 0)
            result = -1;
    }
    return result;
}

static const struct keyword_choice source_choices[] = {
    {.name = "cert", .value = POLICY_SOURCE_CERT},
    {.name = "password", .value = POLICY_SOURCE_PASSWORD},
    {.name = "broker", .value = POLICY_SOURCE_BROKER},
    {.name = "anonymous", .value = POLICY_SOURCE_ANONYMOUS},
    {.name = "jwt", .unsupported = true},
    {0},
};

const struct keyword parse_group_table[] = {
    {.name = "source",
        .set = keyword_set_choices,
        .offset = offsetof(struct parsed_group, sources),
        .choices = source_choices,
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
        .help = "Networks that the client's address must be in one of: `10.20.0.0/16`, `2001:db8::/32`."},
    {.name = "attrs",
        .set = parse_set_pairs,
        .offset = offsetof(struct parsed_group, attributes),
        .value = "mapping",
        .help = "Attributes of the identity and their values, `*` for any characters: `{site: [a, b-*]}`."},
    {.name = "member", .flags = KEYWORD_UNSUPPORTED},
    {0},
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
            "a group needs at least one of source, ids, net, attrs");
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

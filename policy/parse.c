/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of a policy file's top and of its settings; identity and groups are in parse_identity.c,
 * rules in parse_rules.c. Called by policy.c with the file's tree. Nothing is looked up here: names are
 * resolved by compile.c, which sees the whole. */
#include "policy/parse.h"

#include "base/number.h"
#include "policy/policy.h"

#define NAME_LENGTH_MAXIMUM 64
#define EXCERPT_MAXIMUM 1024 /* what an audit event keeps of a text */
/* The whole seconds that MQTT can write, less the value that means "never". */
#define SESSION_EXPIRY_MAXIMUM_MS ((UINT64_C(0xffffffff) - 1) * 1000)
/* MQTT's largest has 268,435,460 bytes; one that mqward makes longer (a topic in place of its alias) must
 * fit, too. */
#define PACKET_MAXIMUM (UINT64_C(255) << 20)

bool parse_check_name(struct keyword_context *context, const struct keyword_string *name, const char *what)
{
    bool valid = name->text.length > 0 && name->text.length <= NAME_LENGTH_MAXIMUM;
    for (size_t i = 0; i < name->text.length && valid; i++) {
        uint8_t c = name->text.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                c == '-' || c == '.';
    }
    if (!valid)
        diag_add(context->diag, DIAG_ERROR, &name->place, "letters, digits, '_', '-' and '.', at most 64",
            "not a name for a %s", what);
    return valid;
}

struct keyword_string parse_key(struct keyword_context *context, const struct yaml_node *member)
{
    return (struct keyword_string){
        .text = arena_copy(context->arena, member->key), .place = member->key_place, .quoted = false};
}

int parse_set_pairs(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    static const struct keyword values = {.set = keyword_set_strings, .flags = KEYWORD_ONE_OR_MANY};
    struct parsed_pairs *pairs = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    int result = 0;
    pairs->items = arena_calloc(context->arena, node->count, sizeof(*pairs->items));
    pairs->count = 0;
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next) {
        struct parsed_pair *pair = &pairs->items[pairs->count];
        pair->name = parse_key(context, member);
        struct keyword named = values;
        named.name = (const char *)pair->name.text.data;
        if (keyword_set_strings(context, &named, &pair->values, member) == 0)
            pairs->count++;
        else
            result = -1;
    }
    return result;
}

static int set_version(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    uint64_t version;
    if (keyword_set_number(context, keyword, target, node) != 0)
        return -1;
    memcpy(&version, (char *)target + keyword->offset, sizeof(version));
    if (version == 1)
        return 0;
    return keyword_error(context, node, "expected 1",
        "version %.*s of the policy language is not supported by this version", VIEW_ARGS(node->text));
}

static int set_policy_name(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_set_string(context, keyword, target, node) != 0)
        return -1;
    return parse_check_name(context, (void *)((char *)target + keyword->offset), "policy") ? 0 : -1;
}

/* payload: "none", "hash" or "excerpt <size>". */
static int set_payload(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    static const char hint[] = "none, hash, or \"excerpt N\" with N from 1 to 1024 bytes";
    static const struct view excerpt = {(const uint8_t *)"excerpt ", 8};
    struct parsed_policy *policy = target;
    uint64_t size;
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    if (view_equal(node->text, VIEW("none"))) {
        policy->audit.payload = POLICY_PAYLOAD_NONE;
    } else if (view_equal(node->text, VIEW("hash"))) {
        policy->audit.payload = POLICY_PAYLOAD_HASH;
    } else if (view_starts_with(node->text, excerpt) &&
               number_parse_size(view_skip(node->text, excerpt.length), &size) == 0 && size >= 1 &&
               size <= EXCERPT_MAXIMUM) {
        policy->audit.payload = POLICY_PAYLOAD_EXCERPT;
        policy->audit.excerpt = size;
    } else {
        return keyword_error(context, node, hint, "payload: unknown value '%.*s'", VIEW_ARGS(node->text));
    }
    return 0;
}

static const struct keyword_choice mode_choices[] = {
    {.name = "enforce", .value = POLICY_ENFORCE, .help = "what is denied does not happen."},
    {.name = "monitor",
        .value = POLICY_MONITOR,
        .help = "nothing is blocked, the audit says what would have been."},
    {0},
};
static const struct keyword_choice uncovered_choices[] = {
    {.name = "refuse", .value = 0, .help = "a filter that reaches further than the allows is refused."},
    {.name = "filter",
        .value = 1,
        .help = "it is granted if it reaches anything allowed, and deliveries of the rest are dropped."},
    {0},
};
static const struct keyword_choice publish_choices[] = {
    {.name = "reject",
        .value = POLICY_PUBLISH_REJECT,
        .help = "MQTT 5.0: a negative acknowledgement; 3.x: acknowledged and dropped."},
    {.name = "drop", .value = POLICY_PUBLISH_DROP, .help = "acknowledged and dropped."},
    {.name = "disconnect", .value = POLICY_PUBLISH_DISCONNECT, .help = "the connection ends."},
    {0},
};
static const struct keyword_choice subscribe_choices[] = {
    {.name = "refuse", .value = POLICY_SUBSCRIBE_REFUSE, .help = "a negative SUBACK code for the filter."},
    {.name = "disconnect", .value = POLICY_SUBSCRIBE_DISCONNECT, .help = "the connection ends."},
    {0},
};
static const struct keyword_choice audit_deny_choices[] = {
    {.name = "all", .value = 1},
    {.name = "none", .value = 0},
    {0},
};

/* The nested tables write into struct parsed_policy itself: the mappings have offset 0. */
static const struct keyword on_deny_table[] = {
    {.name = "publish",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, on_deny.publish),
        .choices = publish_choices,
        .default_text = "reject",
        .help = "What a denied publish leads to."},
    {.name = "subscribe",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, on_deny.subscribe),
        .choices = subscribe_choices,
        .default_text = "refuse",
        .help = "What a denied subscription leads to."},
    {.name = "repeat", .flags = KEYWORD_UNSUPPORTED},
    {0},
};
static const struct keyword limits_table[] = {
    {.name = "sessions_per_id",
        .set = keyword_set_number,
        .offset = offsetof(struct parsed_policy, limits.sessions),
        .default_text = "0",
        .maximum = 1000000,
        .help = "Sessions that an identity may have at a time; 0 = no limit."},
    {.name = "subscriptions",
        .set = keyword_set_number,
        .offset = offsetof(struct parsed_policy, limits.subscriptions),
        .default_text = "1000",
        .minimum = 1,
        .maximum = 1000000,
        .help = "Subscriptions of a session."},
    {.name = "topic_levels",
        .set = keyword_set_number,
        .offset = offsetof(struct parsed_policy, limits.topic_levels),
        .default_text = "0",
        .maximum = 65536,
        .help = "Levels of a topic that is published to or a filter that is subscribed to; 0 = no limit."},
    {.name = "packet",
        .set = keyword_set_size,
        .offset = offsetof(struct parsed_policy, limits.packet),
        .default_text = "1MiB",
        .minimum = 128,
        .maximum = PACKET_MAXIMUM,
        .help = "The largest packet, headers included."},
    {.name = "session_expiry",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct parsed_policy, limits.session_expiry_ms),
        .maximum = SESSION_EXPIRY_MAXIMUM_MS,
        .help = "The longest session expiry interval (MQTT 5.0) that a client gets, in whole seconds; "
                "without it, any."},
    {0},
};
static const struct keyword audit_table[] = {
    {.name = "deny",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, audit.deny),
        .choices = audit_deny_choices,
        .default_text = "all",
        .help = "Which denials are audited."},
    {.name = "allow",
        .set = keyword_set_share_ppm,
        .offset = offsetof(struct parsed_policy, audit.allow_ppm),
        .default_text = "0%",
        .help = "The share of allowed publishes and subscriptions that is audited."},
    {.name = "payload",
        .set = set_payload,
        .default_text = "hash",
        .value = "`none`, `hash`, `\"excerpt N\"`",
        .help = "What an audit event says of a payload: nothing, its SHA-256, or its first N bytes (at most "
                "1024)."},
    {0},
};
static const struct keyword policy_table[] = {
    {.name = "version",
        .set = set_version,
        .offset = offsetof(struct parsed_policy, version),
        .value = "`1`",
        .flags = KEYWORD_REQUIRED,
        .help = "The version of the policy language."},
    {.name = "policy",
        .set = set_policy_name,
        .offset = offsetof(struct parsed_policy, name),
        .value = "name",
        .flags = KEYWORD_REQUIRED,
        .help = "The policy's name, for the audit."},
    {.name = "mode",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, mode),
        .choices = mode_choices,
        .default_text = "enforce",
        .help = "Of the policy as a whole."},
    {.name = "identity",
        .set = parse_set_identities,
        .offset = offsetof(struct parsed_policy, identities),
        .members = parse_identity_table,
        .value = "list of mappings",
        .help = "Where identities come from. The first source whose credential a client presents decides; a "
                "wrong "
                "credential does not lead to the next source. Each entry has one of the keys below."},
    {.name = "client_id",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_policy, client_id),
        .value = "pattern",
        .help = "What a client identifier must be: text, `*` for any characters, and at most one "
                "placeholder: `<id>`, "
                "`\"<id>-*\"`. Otherwise CONNECT is refused. Without it, clients choose freely."},
    {.name = "groups",
        .set = parse_set_groups,
        .offset = offsetof(struct parsed_policy, groups),
        .members = parse_group_table,
        .value = "mapping of names to mappings",
        .help = "Groups of identities, for `who` and `unless`. All conditions that a group gives must hold."},
    {.name = "rules",
        .set = parse_set_rules,
        .offset = offsetof(struct parsed_policy, rules),
        .members = parse_rule_table,
        .value = "list of mappings",
        .help = "Who may do what. Their order has no meaning: a deny wins over any allow."},
    {.name = "uncovered",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, uncovered_filter),
        .choices = uncovered_choices,
        .default_text = "refuse",
        .help = "Subscriptions that the allows cover in part."},
    {.name = "on_deny",
        .set = keyword_set_mapping,
        .members = on_deny_table,
        .default_text = "{}",
        .help = "What a denial leads to."},
    {.name = "limits",
        .set = keyword_set_mapping,
        .members = limits_table,
        .default_text = "{}",
        .help = "Limits of identities and sessions."},
    {.name = "audit",
        .set = keyword_set_mapping,
        .members = audit_table,
        .default_text = "{}",
        .help = "What is audited."},
    {.name = "checks", .flags = KEYWORD_UNSUPPORTED},
    {.name = "tests", .flags = KEYWORD_UNSUPPORTED},
    {.name = "shadow", .flags = KEYWORD_UNSUPPORTED},
    {0},
};

void parse_policy(struct keyword_context *context, const struct yaml_node *root, struct parsed_policy *out)
{
    *out = (struct parsed_policy){.limits.session_expiry_ms = SESSION_EXPIRY_NO_LIMIT};
    keyword_read(context, policy_table, out, root);
}

void parse_print_reference(struct buffer *out)
{
    keyword_print_reference(out, policy_table, "Keywords", 2);
}

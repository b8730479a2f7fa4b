/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of a policy file's top and of its settings; identity and groups are in parse_identity.c,
 * rules in parse_rules.c. Called by policy.c with the file's tree. Nothing is looked up here: names are
 * resolved by compile.c, which sees the whole. */
#include "policy/parse.h"

#include "base/number.h"
#include "policy/policy.h"

#define MS_DAY (UINT64_C(24) * 3600 * 1000)
#define NAME_LENGTH_MAXIMUM 64 /* as in PARSE_NAME_PATTERN */
#define EXCERPT_MAXIMUM 1024   /* what an audit event keeps of a text */
/* The whole seconds that MQTT can write, less the value that means "never". */
#define SESSION_EXPIRY_MAXIMUM_MS ((UINT64_C(0xffffffff) - 1) * 1000)
/* MQTT's largest has 268,435,460 bytes; one that mqward makes longer (a topic in place of its alias) must
 * fit, too. */
#define PACKET_MAXIMUM (UINT64_C(255) << 20)

bool parse_name_valid(struct view name)
{
    bool valid = name.length > 0 && name.length <= NAME_LENGTH_MAXIMUM;
    for (size_t i = 0; i < name.length && valid; i++) {
        uint8_t c = name.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                c == '-' || c == '.';
    }
    return valid;
}

bool parse_check_name(struct keyword_context *context, const struct keyword_string *name, const char *what)
{
    bool valid = parse_name_valid(name->text);
    if (!valid)
        diag_add(context->diag, DIAG_ERROR, &name->place,
            "a name has letters, digits, '_', '-' and '.', at most 64 of them",
            "'%.*s' is not a name for a %s", VIEW_ARGS(name->text), what);
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
    const struct keyword any = {
        .name = keyword->name, .offset = keyword->offset, .example = keyword->example};
    uint64_t version;
    if (keyword_set_number(context, &any, target, node) != 0)
        return -1;
    memcpy(&version, (char *)target + keyword->offset, sizeof(version));
    if (version == 1)
        return 0;
    return keyword_error(context, node, "write 'version: 1'",
        "version %.*s of the policy language is not known to this mqward", VIEW_ARGS(node->text));
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
static const struct keyword_choice then_choices[] = {
    {.name = "disconnect", .value = 0, .help = "the connection ends (5.0: with 0x98)."},
    {0},
};
static const struct keyword_choice by_choices[] = {
    {.name = "id",
        .value = PARSED_BAN_ID,
        .help = "the identity, unless it is one that all anonymous clients share."},
    {.name = "address", .value = PARSED_BAN_ADDRESS, .help = "its address; of IPv6, the /64."},
    {0},
};
static const struct keyword_choice audit_deny_choices[] = {
    {.name = "all", .value = 1},
    {.name = "none", .value = 0},
    {0},
};

/* Who is banned, but for no time, is a mistake: the file would promise more than it does. */
static int set_repeat(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const struct parsed_policy *policy = target;
    if (keyword_set_mapping(context, keyword, target, node) != 0)
        return -1;
    if (policy->on_deny.repeat.has_by && !policy->on_deny.repeat.has_ban)
        return keyword_error(context, node, "write for how long, such as 'ban: 10m'",
            "by: says who is banned, but there is no 'ban'");
    return 0;
}

/* The nested tables write into struct parsed_policy itself: the mappings have offset 0. */
static const struct keyword repeat_table[] = {
    {.name = "count",
        .set = keyword_set_number,
        .offset = offsetof(struct parsed_policy, on_deny.repeat.count),
        .minimum = 1,
        .maximum = POLICY_REPEAT_MAX,
        .flags = KEYWORD_REQUIRED,
        .example = "20",
        .help = "So many denials within the time are too many."},
    {.name = "within",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct parsed_policy, on_deny.repeat.within_ms),
        .minimum = 1000,
        .maximum = MS_DAY,
        .flags = KEYWORD_REQUIRED,
        .example = "1m",
        .help = "The time in which they count: at any moment the one that has just passed."},
    {.name = "then",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, on_deny.repeat.then),
        .choices = then_choices,
        .default_text = "disconnect",
        .help = "What happens to the session."},
    {.name = "ban",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct parsed_policy, on_deny.repeat.ban_ms),
        .seen_offset = 1 + offsetof(struct parsed_policy, on_deny.repeat.has_ban),
        .minimum = 1000,
        .maximum = 365 * MS_DAY,
        .help = "For so long nobody of that identity or address connects, and who is connected is "
                "disconnected. Without it there is no ban."},
    {.name = "by",
        .set = keyword_set_choices,
        .offset = offsetof(struct parsed_policy, on_deny.repeat.by),
        .seen_offset = 1 + offsetof(struct parsed_policy, on_deny.repeat.has_by),
        .choices = by_choices,
        .help = "Who is banned. Without it, both."},
    {0},
};
static const struct keyword on_deny_table[] = {
    {.name = "publish",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, on_deny.publish),
        .choices = publish_choices,
        .foreign = parse_foreign_deny_publish,
        .default_text = "reject",
        .help = "What a denied publish leads to."},
    {.name = "subscribe",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, on_deny.subscribe),
        .choices = subscribe_choices,
        .foreign = parse_foreign_deny_subscribe,
        .default_text = "refuse",
        .help = "What a denied subscription leads to."},
    {.name = "repeat",
        .set = set_repeat,
        .members = repeat_table,
        .shape = KEYWORD_MAPPING,
        .help = "What becomes of a client that is denied again and again. Without it, nothing."},
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
        .like = keyword_set_string,
        .pattern = "^(none|hash|excerpt [1-9][0-9]*(B|KiB|KB)?)$",
        .default_text = "hash",
        .value = "`none`, `hash`, `\"excerpt N\"`",
        .help = "What an audit event says of a payload: nothing, its SHA-256, or its first N bytes (at most "
                "1024)."},
    {0},
};
static const struct keyword policy_table[] = {
    {.name = "version",
        .set = set_version,
        .like = keyword_set_number,
        .offset = offsetof(struct parsed_policy, version),
        .value = "`1`",
        .minimum = 1,
        .maximum = 1,
        .example = "1",
        .flags = KEYWORD_REQUIRED | KEYWORD_EACH_FILE,
        .help = "The version of the policy language."},
    {.name = "policy",
        .set = set_policy_name,
        .like = keyword_set_string,
        .offset = offsetof(struct parsed_policy, name),
        .value = "name",
        .pattern = PARSE_NAME_PATTERN,
        .example = "plant-a",
        .flags = KEYWORD_REQUIRED,
        .help = "The policy's name, for the audit."},
    {.name = "mode",
        .set = keyword_set_choice,
        .offset = offsetof(struct parsed_policy, mode),
        .choices = mode_choices,
        .foreign = parse_foreign_mode,
        .default_text = "enforce",
        .help = "Of the policy as a whole."},
    {.name = "identity",
        .set = parse_set_identities,
        .offset = offsetof(struct parsed_policy, identities),
        .members = parse_identity_table,
        .shape = KEYWORD_LIST,
        .help = "Where identities come from. The first source whose credential a client presents decides; a "
                "wrong "
                "credential does not lead to the next source. Each entry has one of the keys below."},
    {.name = "client_id",
        .set = keyword_set_string,
        .offset = offsetof(struct parsed_policy, client_id),
        .value = "pattern",
        .example = "<id>",
        .pattern = "^(?!$)[^<>]*(<[a-z0-9_]+>[^<>]*)?$",
        .help = "What a client identifier must be: text, `*` for any characters, and at most one "
                "placeholder: `<id>`, "
                "`\"<id>-*\"`. Otherwise CONNECT is refused. Without it, clients choose freely."},
    {.name = "groups",
        .set = parse_set_groups,
        .offset = offsetof(struct parsed_policy, groups),
        .members = parse_group_table,
        .shape = KEYWORD_NAMED,
        .flags = KEYWORD_JOINED,
        .pattern = PARSE_NAME_PATTERN,
        .help = "Groups of identities, for `who` and `unless`. All conditions that a group gives must hold."},
    {.name = "rules",
        .set = parse_set_rules,
        .offset = offsetof(struct parsed_policy, rules),
        .members = parse_rule_table,
        .shape = KEYWORD_LIST,
        .flags = KEYWORD_JOINED,
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
    {.name = "tests",
        .set = parse_set_tests,
        .offset = offsetof(struct parsed_policy, tests),
        .members = parse_test_table,
        .shape = KEYWORD_LIST,
        .flags = KEYWORD_JOINED,
        .help = "The policy's own tests. A policy of which one fails is never loaded."},
    {.name = "checks",
        .set = parse_set_checks,
        .offset = offsetof(struct parsed_policy, checks),
        .members = parse_check_table,
        .shape = KEYWORD_LIST,
        .flags = KEYWORD_JOINED,
        .help =
            "What a message that the rules allow must pass besides: every check whose topics match. At most "
            "64."},
    {.foreign = parse_foreign_policy},
};

struct yaml_node *parse_join(struct keyword_context *context, const struct diag_source *whole,
    struct yaml_node *const *roots, size_t count, bool incomplete)
{
    return keyword_join(context, policy_table, whole, roots, count, incomplete);
}

void parse_policy(struct keyword_context *context, const struct yaml_node *root, struct parsed_policy *out)
{
    *out = (struct parsed_policy){
        .whole = root->place.source, .limits.session_expiry_ms = SESSION_EXPIRY_NO_LIMIT};
    keyword_read(context, policy_table, out, root);
}

void parse_print_reference(struct buffer *out)
{
    keyword_print_reference(out, policy_table, "Keywords", 2);
}

void parse_print_schema(struct buffer *out)
{
    keyword_print_schema(out, policy_table, "mqward policy, version 1",
        "A policy of mqward, or one of the files of its folder: who may publish and subscribe to what. "
        "`mqward check` also finds what a schema can't see.");
}

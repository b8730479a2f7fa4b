/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of rules:. Called by the table of parse.c. */
#include "policy/compiled.h"
#include "policy/parse.h"

static const struct keyword_choice verb_choices[] = {
    {.name = "publish", .value = VERB_PUBLISH},
    {.name = "subscribe", .value = VERB_SUBSCRIBE},
    {.name = "receive", .value = VERB_RECEIVE},
    {0},
};
static const struct keyword_choice feature_choices[] = {
    {.name = "shared", .value = POLICY_FEATURE_SHARED, .help = "`$share/<group>/`."},
    {.name = "queue", .value = POLICY_FEATURE_QUEUE, .help = "`$queue/` (EMQX, NanoMQ)."},
    {.name = "exclusive", .value = POLICY_FEATURE_EXCLUSIVE, .help = "`$exclusive/` (EMQX)."},
    {.name = "stream", .value = POLICY_FEATURE_STREAM, .help = "`$stream/` (EMQX)."},
    {.name = "delayed", .value = POLICY_FEATURE_DELAYED, .help = "`$delayed/<seconds>/` (EMQX)."},
    {0},
};
static const struct keyword_choice mode_choices[] = {
    {.name = "enforce", .value = POLICY_ENFORCE},
    {.name = "monitor", .value = POLICY_MONITOR},
    {0},
};

#define CONDITION(field) offsetof(struct parsed_rule, conditions.field)
static const struct keyword condition_table[] = {
    {.name = "max_qos",
        .set = keyword_set_number,
        .offset = CONDITION(max_qos),
        .maximum = 2,
        .seen_offset = 1 + CONDITION(has_max_qos),
        .help = "The highest QoS to publish with; a subscription with a higher one is granted with this."},
    {.name = "retain",
        .set = keyword_set_boolean,
        .offset = CONDITION(retain),
        .seen_offset = 1 + CONDITION(has_retain),
        .help = "`false`: only messages that are not retained; `true`: only retained ones. Of publish. The "
                "one condition "
                "that a deny may have, too."},
    {.name = "max_size",
        .set = keyword_set_size,
        .offset = CONDITION(max_size),
        .seen_offset = 1 + CONDITION(has_max_size),
        .help = "The largest payload. Of publish."},
    {.foreign = parse_foreign_condition},
};

#define RULE(field) offsetof(struct parsed_rule, field)
const struct keyword parse_rule_table[] = {
    {.name = "rule",
        .set = keyword_set_string,
        .offset = RULE(name),
        .flags = KEYWORD_REQUIRED,
        .value = "name",
        .pattern = PARSE_NAME_PATTERN,
        .example = "telemetry",
        .help = "The rule's name, which decisions and the audit give."},
    {.name = "who",
        .set = keyword_set_strings,
        .offset = RULE(who),
        .example = "devices",
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .help = "Groups; the rule is about members of any of them. `everyone` is every client that has an "
                "identity."},
    {.name = "unless",
        .set = keyword_set_strings,
        .offset = RULE(unless),
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Groups whose members the rule is not about."},
    {.name = "allow",
        .set = keyword_set_choices,
        .offset = RULE(allow),
        .choices = verb_choices,
        .foreign = parse_foreign_verb,
        .flags = KEYWORD_ALTERNATIVE,
        .seen_offset = 1 + RULE(has_allow),
        .help = "What the rule lets them do. `subscribe` grants delivery, too. A rule has either `allow` or "
                "`deny`."},
    {.name = "deny",
        .set = keyword_set_choices,
        .offset = RULE(deny),
        .choices = verb_choices,
        .foreign = parse_foreign_verb,
        .flags = KEYWORD_ALTERNATIVE,
        .seen_offset = 1 + RULE(has_deny),
        .help = "What the rule forbids, whatever others allow. `subscribe` and `receive` each forbid both."},
    {.name = "topics",
        .set = keyword_set_strings,
        .offset = RULE(topics),
        .example = "[dt/<id>/#]",
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .pattern = PARSE_FILTER_PATTERN,
        .help = "Topic filters with MQTT's `+` and `#`; a level may be, or hold, one placeholder: "
                "`dt/<site>/dev-<id>/#`."},
    {.name = "except",
        .set = keyword_set_strings,
        .offset = RULE(except),
        .flags = KEYWORD_ONE_OR_MANY,
        .pattern = PARSE_FILTER_PATTERN,
        .help = "Topic filters whose topics the rule is not about."},
    {.name = "if",
        .set = keyword_set_mapping,
        .members = condition_table,
        .seen_offset = 1 + RULE(has_conditions),
        .help = "Conditions; all must hold."},
    {.name = "features",
        .set = keyword_set_choices,
        .offset = RULE(features),
        .choices = feature_choices,
        .seen_offset = 1 + RULE(has_features),
        .help = "Prefixes with a meaning of the broker's that an allow grants."},
    {.name = "privileged",
        .set = keyword_set_boolean,
        .offset = RULE(privileged),
        .default_text = "false",
        .help = "Lets an allow publish to the broker's own `$SYS` and `$CONTROL` trees."},
    {.name = "mode",
        .set = keyword_set_choice,
        .offset = RULE(mode),
        .choices = mode_choices,
        .foreign = parse_foreign_mode,
        .default_text = "enforce",
        .help = "`monitor`: a deny only reports what it would deny; an allow grants nothing."},
    {.foreign = parse_foreign_rule},
};

int parse_set_rules(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_rules *rules = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    int result = 0;
    rules->items = arena_calloc(context->arena, node->count, sizeof(*rules->items));
    rules->count = 0;
    /* A rule with an error stays, as far as it was read: the compiler finds its other errors. */
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        struct parsed_rule *rule = &rules->items[rules->count++];
        rule->node = item;
        if (keyword_read(context, parse_rule_table, rule, item) != 0)
            result = -1;
    }
    return result;
}

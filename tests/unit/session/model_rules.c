/* SPDX-License-Identifier: Apache-2.0 */
/* The model's policy: rules as a table, from which both the policy file and the reference's answers are made,
 * and a matcher that looks at one rule and one topic at a time. */
#include <stdio.h>

#include "model_internal.h"

#define PUBLISH 1u
#define SUBSCRIBE 2u /* of an allow: delivery, too */
#define RECEIVE 4u
#define ANY (-1)

/* The rules of a wide policy, those of a narrow one, or both. */
#define WIDE 1u
#define NARROW 2u
#define BOTH (WIDE | NARROW)

static const struct rule {
    const char *name;
    unsigned sets;
    bool deny, watched; /* watched: in monitor mode */
    unsigned verbs;
    const char *topics[2];
    int max_qos, retain, max_size; /* ANY: no condition */
    bool shared, privileged;
} rules[] = {
    {"publish", WIDE, false, false, PUBLISH, {"ok/#", "both/+"}, ANY, ANY, ANY, false, false},
    {"publish-less", NARROW, false, false, PUBLISH, {"ok/#"}, 1, ANY, ANY, false, false},
    {"low", BOTH, false, false, PUBLISH, {"low/#"}, 0, ANY, ANY, false, false},
    {"small", BOTH, false, false, PUBLISH, {"small/#"}, 1, ANY, 8, false, false},
    {"retained", WIDE, false, false, PUBLISH, {"keep/+"}, ANY, true, ANY, false, false},
    {"passing", BOTH, false, false, PUBLISH, {"pass/+"}, ANY, false, ANY, false, false},
    {"own", BOTH, false, false, PUBLISH | SUBSCRIBE, {"own/<client_id>/#"}, ANY, ANY, ANY, false, false},
    {"receive", WIDE, false, false, SUBSCRIBE, {"in/#", "both/+"}, ANY, ANY, ANY, true, false},
    {"receive-less", NARROW, false, false, SUBSCRIBE, {"in/#"}, ANY, ANY, ANY, true, false},
    {"receive-low", WIDE, false, false, SUBSCRIBE, {"dim/#"}, 1, ANY, ANY, false, false},
    {"receive-lower", NARROW, false, false, SUBSCRIBE, {"dim/a"}, 0, ANY, ANY, false, false},
    {"broker", BOTH, false, false, PUBLISH, {"$SYS/ok"}, ANY, ANY, ANY, false, false},
    {"control", BOTH, false, false, PUBLISH, {"$CONTROL/ok"}, ANY, ANY, ANY, false, true},
    {"status", WIDE, false, false, SUBSCRIBE, {"$SYS/up"}, ANY, ANY, ANY, false, false},
    {"guard", BOTH, true, false, PUBLISH | RECEIVE, {"+/secret/#"}, ANY, ANY, ANY, false, false},
    {"guard-more", NARROW, true, false, RECEIVE, {"in/a/#"}, ANY, ANY, ANY, false, false},
    {"no-keeping", BOTH, true, false, PUBLISH, {"ok/live/#"}, ANY, true, ANY, false, false},
    {"watch", BOTH, true, true, PUBLISH | RECEIVE, {"ok/watched/#", "in/watched/#"}, ANY, ANY, ANY, false,
        false},
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

const struct variant rules_variants[VARIANTS] = {
    {"wide, reject", false, ON_DENY_REJECT, false, 6, 6, 512, 3600, false, false, true},
    {"wide, drop", false, ON_DENY_DROP, false, 1000, 0, 65536, UINT32_MAX, false, false, false},
    {"wide, disconnect", false, ON_DENY_DISCONNECT, true, 1000, 0, 65536, 600, false, false, true},
    {"wide, audit all", false, ON_DENY_REJECT, true, 4, 6, 256, UINT32_MAX, true, false, false},
    {"narrow, reject", false, ON_DENY_REJECT, false, 6, 6, 512, 3600, false, true, true},
    {"narrow, drop", false, ON_DENY_DROP, false, 1000, 0, 65536, UINT32_MAX, true, true, false},
    {"wide, monitor", true, ON_DENY_REJECT, false, 4, 6, 512, 3600, false, false, true},
    {"narrow, monitor", true, ON_DENY_REJECT, false, 4, 0, 512, 600, false, true, false},
};

static bool is_in_force(const struct rule *rule, const struct variant *variant)
{
    return (rule->sets & (variant->narrow ? NARROW : WIDE)) != 0;
}

static void print_rule(const struct rule *rule, struct buffer *out)
{
    static const char *const flags[] = {"false", "true"};

    buffer_format(out, "  - rule: %s\n    who: everyone\n    mode: %s\n    %s: [%s%s%s]\n    topics: [\"%s\"",
        rule->name, rule->watched ? "monitor" : "enforce", rule->deny ? "deny" : "allow",
        rule->verbs & PUBLISH ? "publish" : "",
        (rule->verbs & PUBLISH) != 0 && rule->verbs != PUBLISH ? ", " : "",
        rule->verbs & SUBSCRIBE ? "subscribe"
        : rule->verbs & RECEIVE ? "receive"
                                : "",
        rule->topics[0]);
    if (rule->topics[1] != NULL)
        buffer_format(out, ", \"%s\"", rule->topics[1]);
    buffer_append(out, VIEW("]\n"));
    if (rule->max_qos != ANY && rule->max_size != ANY)
        buffer_format(out, "    if: {max_qos: %d, max_size: %dB}\n", rule->max_qos, rule->max_size);
    else if (rule->max_qos != ANY)
        buffer_format(out, "    if: {max_qos: %d}\n", rule->max_qos);
    if (rule->retain != ANY)
        buffer_format(out, "    if: {retain: %s}\n", flags[rule->retain]);
    if (rule->shared)
        buffer_append(out, VIEW("    features: [shared]\n"));
    if (rule->privileged)
        buffer_append(out, VIEW("    privileged: true\n"));
}

char *rules_text(const struct variant *variant)
{
    static const char *const on_deny[] = {"reject", "drop", "disconnect"};
    struct buffer out = {0};

    buffer_format(&out,
        "version: 1\npolicy: model\nmode: %s\nidentity:\n%s  - anonymous: {id: anyone}\n"
        "on_deny: {publish: %s, subscribe: %s}\naudit: {payload: %s, allow: %s}\n"
        "limits: {subscriptions: %u, topic_levels: %u, packet: %uB",
        variant->monitor ? "monitor" : "enforce", variant->passwords ? "  - password: {file: users}\n" : "",
        on_deny[variant->publish], variant->disconnect_subscriber ? "disconnect" : "refuse",
        variant->audit_all ? "hash" : "none", variant->audit_all ? "100%" : "0%", variant->subscriptions,
        variant->levels, variant->packet);
    if (variant->session_expiry != UINT32_MAX)
        buffer_format(&out, ", session_expiry: %us", variant->session_expiry);
    buffer_append(&out, VIEW("}\nrules:\n"));
    for (size_t i = 0; i < RULES; i++)
        if (is_in_force(&rules[i], variant))
            print_rule(&rules[i], &out);
    buffer_append_byte(&out, 0);
    return (char *)out.data;
}

/* ---- one rule and one topic ---- */

/* Takes the first level off. */
static struct view next_level(struct view *topic, bool *more)
{
    const uint8_t *slash = topic->length == 0 ? NULL : memchr(topic->data, '/', topic->length);
    struct view level = {topic->data, slash == NULL ? topic->length : (size_t)(slash - topic->data)};

    *more = slash != NULL;
    *topic = view_skip(*topic, level.length + 1);
    return level;
}

static bool matches(const char *pattern, struct view client_id, struct view topic)
{
    struct view rest = view_of_string(pattern);
    bool pattern_goes_on = true, topic_goes_on = true;

    if (topic.length > 0 && topic.data[0] != pattern[0] && (topic.data[0] == '$' || pattern[0] != '+'))
        return false; /* no pattern of the table begins with '#' or a placeholder */
    while (pattern_goes_on) {
        struct view wanted = next_level(&rest, &pattern_goes_on), level;

        if (view_equal(wanted, VIEW("#")))
            return true;
        if (!topic_goes_on)
            return false;
        level = next_level(&topic, &topic_goes_on);
        if (view_equal(wanted, VIEW("<client_id>"))) {
            if (client_id.length == 0 || !view_equal(level, client_id))
                return false;
        } else if (!view_equal(wanted, VIEW("+")) && !view_equal(wanted, level))
            return false;
    }
    return !topic_goes_on;
}

static bool rule_matches(const struct rule *rule, unsigned verbs, struct view client_id, struct view topic)
{
    return (rule->verbs & verbs) != 0 &&
           (matches(rule->topics[0], client_id, topic) ||
               (rule->topics[1] != NULL && matches(rule->topics[1], client_id, topic)));
}

static unsigned levels(struct view topic)
{
    unsigned count = 1;

    for (size_t i = 0; i < topic.length; i++)
        count += topic.data[i] == '/';
    return count;
}

bool rules_id_safe(struct view client_id)
{
    for (size_t i = 0; i < client_id.length; i++)
        if (strchr("/+#", client_id.data[i]) != NULL || client_id.data[i] < 0x20 || client_id.data[i] == 0x7F)
            return false;
    return client_id.length > 0 && client_id.data[0] != '$';
}

/* ---- publish, receive ---- */

static bool is_brokers_own(struct view topic)
{
    bool more;
    struct view first = next_level(&topic, &more);

    return view_equal(first, VIEW("$SYS")) || view_equal(first, VIEW("$CONTROL"));
}

struct judgement rules_publish(const struct variant *variant, struct view client_id, struct view topic,
    unsigned qos, bool retain, size_t size)
{
    bool allowed = false, denied = false;
    struct judgement judgement = {.code = 0x87};

    if (variant->levels != 0 && levels(topic) > variant->levels)
        return (struct judgement){.denied = true, .code = 0x97};
    for (size_t i = 0; i < RULES; i++) {
        const struct rule *rule = &rules[i];
        bool retain_fits = rule->retain == ANY || rule->retain == retain;

        if (!retain_fits || !is_in_force(rule, variant) || !rule_matches(rule, PUBLISH, client_id, topic))
            continue;
        if (rule->watched)
            judgement.watched = true;
        else if (rule->deny)
            denied = true;
        else if ((rule->max_qos == ANY || qos <= (unsigned)rule->max_qos) &&
                 (rule->max_size == ANY || size <= (size_t)rule->max_size) &&
                 (rule->privileged || !is_brokers_own(topic)))
            allowed = true;
    }
    judgement.denied = denied || !allowed;
    return judgement;
}

struct judgement rules_receive(const struct variant *variant, struct view client_id, struct view topic)
{
    bool allowed = false, denied = false;
    struct judgement judgement = {.code = 0x87};

    for (size_t i = 0; i < RULES; i++) {
        const struct rule *rule = &rules[i];

        if (!is_in_force(rule, variant) ||
            !rule_matches(rule, rule->deny ? RECEIVE : SUBSCRIBE, client_id, topic))
            continue;
        judgement.watched |= rule->watched;
        denied |= rule->deny && !rule->watched;
        allowed |= !rule->deny;
    }
    judgement.denied = denied || !allowed;
    return judgement;
}

/* ---- filters: the answers are written down, not computed ---- */

#define GRANTED(qos)                                                                                         \
    {                                                                                                        \
        .max_qos = (qos)                                                                                     \
    }
#define WATCHED                                                                                              \
    {                                                                                                        \
        .max_qos = 2, .watched = true                                                                        \
    }
#define DENIED                                                                                               \
    {                                                                                                        \
        .denied = true, .code = 0x87                                                                         \
    }

static const struct filter_row {
    const char *text; /* '%': the client id */
    struct judgement wide, narrow;
} filters[] = {
    {"in/#", GRANTED(2), GRANTED(2)}, {"in/a", GRANTED(2), DENIED}, {"in/+", GRANTED(2), GRANTED(2)},
    {"in/+/x", GRANTED(2), GRANTED(2)}, {"both/+", GRANTED(2), DENIED}, {"both/a", GRANTED(2), DENIED},
    {"dim/#", GRANTED(1), DENIED}, {"dim/a", GRANTED(1), GRANTED(0)}, {"own/%/#", GRANTED(2), GRANTED(2)},
    {"own/%/a", GRANTED(2), GRANTED(2)}, {"$SYS/up", GRANTED(2), DENIED},
    {"$share/g/in/a", GRANTED(2), DENIED}, {"in/watched/#", WATCHED, WATCHED}, {"in/secret", DENIED, DENIED},
    {"in/secret/#", DENIED, DENIED}, {"own/zz/#", DENIED, DENIED}, {"own/+/a", DENIED, DENIED},
    {"$share/g/in/#", DENIED, DENIED}, {"$share/g/dim/a", DENIED, DENIED},
    {"$share/g/own/%/#", DENIED, DENIED}, {"ok/a", DENIED, DENIED}, {"#", DENIED, DENIED},
    {"+/a", DENIED, DENIED}, {"$SYS/#", DENIED, DENIED},
    {"in/a/b/c/d/e/f", GRANTED(2), DENIED}, /* too deep, where there is a limit */
};
#define FILTERS (sizeof(filters) / sizeof(filters[0]))

static const char *const topics[] = {"ok/a", "ok", "ok/a/b/c", "ok/", "ok/live/a", "both/a", "in/a",
    "own/%/a", "dim/a", "small/a", "low/a", "keep/a", "pass/a", "okk", "/ok/a", "ok/secret", "ok/secret/x",
    "ok/secrets", "ok/watched", "ok/a/b/c/d/e/f", "both/", "both/a/b", "both/secret", "low", "low/secret/",
    "small/secret", "own/%", "own/zz/a", "own/%/secret", "in/secret", "in/b/secret", "in/b/c", "in",
    "in/watched", "dim/secret/a", "in/a/b/c/d/e/f", "$SYS/up", "$SYS/ok", "$CONTROL/ok", "$CONTROL/x",
    "$share/g/in/a", "other"};
#define TOPICS (sizeof(topics) / sizeof(topics[0]))

static void fill_in(struct text *out, const char *pattern, struct view client_id)
{
    out->length = 0;
    for (; *pattern != 0; pattern++) {
        struct view part = *pattern == '%' ? client_id : view_of(pattern, 1);

        for (size_t i = 0; i < part.length && out->length < TEXT_MAX; i++)
            out->bytes[out->length++] = (char)part.data[i];
    }
}

unsigned rules_topic_count(void)
{
    return TOPICS;
}

unsigned rules_filter_count(void)
{
    return FILTERS;
}

void rules_topic(struct text *out, unsigned index, struct view client_id)
{
    fill_in(out, topics[index], client_id);
}

void rules_filter_text(struct text *out, unsigned index, struct view client_id)
{
    fill_in(out, filters[index].text, client_id);
}

struct judgement rules_filter(const struct variant *variant, struct view client_id, struct view filter)
{
    struct text text;

    for (size_t i = 0; i < FILTERS; i++) {
        bool own = strchr(filters[i].text, '%') != NULL;

        fill_in(&text, filters[i].text, client_id);
        if (!view_equal(text_view(&text), filter) || (own && !rules_id_safe(client_id)))
            continue;
        if (variant->levels != 0 && levels(filter) > variant->levels)
            return (struct judgement){.denied = true, .code = 0x97};
        return variant->narrow ? filters[i].narrow : filters[i].wide;
    }
    return (struct judgement){.unknown = true};
}

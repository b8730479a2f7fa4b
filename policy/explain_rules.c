/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look at each rule for a message: does it match, and if not, why not. Called by explain.c, and by
 * the tests that compare what it comes to with the engine's decision. It shares the engine's data, and
 * neither its trie nor its tally: slow, and plain enough to be believed. */
#include "policy/explain_rules.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/keyword.h"
#include "base/topic.h"

/* ---- topics ---- */

/* The levels around a value that is not known; no value begins with '$'. */
static enum meets meets_unknown(const struct pattern_level *wanted, struct view text, bool first)
{
    size_t around = wanted->prefix.length + wanted->suffix.length;
    bool dollar = first && wanted->prefix.length == 0 && text.length > 0 && text.data[0] == '$';
    bool fits = text.length > around && !dollar && view_starts_with(text, wanted->prefix) &&
                view_ends_with(text, wanted->suffix);
    return fits ? MEETS_MAYBE : MEETS_NO;
}

static enum meets level_meets(
    const struct pattern_level *wanted, const struct view *values, const struct level *level, bool first)
{
    if (wanted->kind == PATTERN_ONE)
        return first && level_has_dollar(level) ? MEETS_NO : MEETS_YES;
    bool unknown = wanted->kind == PATTERN_PLACEHOLDER && values[wanted->slot].data == NULL;
    if (level->wild)
        return unknown ? MEETS_MAYBE : MEETS_NO;
    if (unknown)
        return meets_unknown(wanted, level->text, first);
    struct view value = wanted->kind == PATTERN_LITERAL ? VIEW("") : values[wanted->slot];
    struct view text = level->text;
    if (!view_starts_with(text, wanted->prefix))
        return MEETS_NO;
    text = view_skip(text, wanted->prefix.length);
    if (!view_starts_with(text, value))
        return MEETS_NO;
    return view_equal(view_skip(text, value.length), wanted->suffix) ? MEETS_YES : MEETS_NO;
}

enum meets pattern_meets(
    const struct pattern *pattern, const struct view *values, const struct region *region, size_t count)
{
    enum meets result = MEETS_YES;
    if (count < pattern->count || (count > pattern->count && !pattern->multi))
        return MEETS_NO;
    if (pattern->count == 0 && level_has_dollar(&region->levels[0]))
        return MEETS_NO;
    for (size_t i = 0; i < pattern->count && result != MEETS_NO; i++) {
        enum meets one = level_meets(&pattern->levels[i], values, &region->levels[i], i == 0);
        result = one < result ? one : result;
    }
    return result;
}

/* A level of the region that is wild has any text, so anything but a leading '$' is in it. */
static enum meets level_overlaps(
    const struct pattern_level *wanted, const struct view *values, const struct level *level, bool first)
{
    if (!level->wild || wanted->kind == PATTERN_ONE)
        return level_meets(wanted, values, level, first);
    if (first && wanted->prefix.length > 0 && wanted->prefix.data[0] == '$')
        return MEETS_NO;
    bool unknown = wanted->kind == PATTERN_PLACEHOLDER && values[wanted->slot].data == NULL;
    return unknown ? MEETS_MAYBE : MEETS_YES;
}

enum meets pattern_overlaps(
    const struct pattern *pattern, const struct view *values, const struct region *region)
{
    static const struct level any = {.wild = true};
    enum meets result = MEETS_YES;
    if ((pattern->count > region->count && !region->multi) ||
        (pattern->count < region->count && !pattern->multi))
        return MEETS_NO;
    if (pattern->count == 0 && region->count > 0 && level_has_dollar(&region->levels[0]))
        return MEETS_NO;
    for (size_t i = 0; i < pattern->count && result != MEETS_NO; i++) {
        const struct level *level = i < region->count ? &region->levels[i] : &any;
        enum meets one = level_overlaps(&pattern->levels[i], values, level, i == 0);
        result = one < result ? one : result;
    }
    return result;
}

bool rule_has_topic(
    const struct policy_rule *rule, const struct view *values, const struct region *region, size_t count)
{
    for (size_t i = 0; i < rule->topic_count; i++) {
        enum meets meets = pattern_meets(&rule->topics[i], values, region, count);
        if (meets == MEETS_YES || (meets == MEETS_MAYBE && rule->deny))
            return true;
    }
    return false;
}

bool rule_excepts_topic(
    const struct policy_rule *rule, const struct view *values, const struct region *region, size_t count)
{
    for (size_t i = 0; i < rule->except_count; i++) {
        enum meets meets = pattern_meets(&rule->excepts[i], values, region, count);
        if (meets == MEETS_YES || (meets == MEETS_MAYBE && !rule->deny))
            return true;
    }
    return false;
}

size_t rules_depth(const struct policy *policy)
{
    size_t depth = 0;
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        for (size_t k = 0; k < rule->topic_count; k++)
            depth = rule->topics[k].count > depth ? rule->topics[k].count : depth;
        for (size_t k = 0; k < rule->except_count; k++)
            depth = rule->excepts[k].count > depth ? rule->excepts[k].count : depth;
    }
    return depth;
}

void rules_keep_first(const struct policy_rule **best, const struct policy_rule *rule)
{
    if (*best == NULL || rule->rank < (*best)->rank)
        *best = rule;
}

/* ---- in words ---- */

static void print_groups(
    const struct policy *policy, const uint64_t *bits, const uint64_t *meet, struct buffer *out)
{
    const char *separator = "";
    for (size_t bit = 0; bit <= policy->group_count; bit++) {
        if ((bits[bit / 64] & meet[bit / 64] & UINT64_C(1) << bit % 64) == 0)
            continue;
        buffer_format(out, "%s%s", separator, bit == 0 ? "everyone" : policy->groups[bit - 1].name);
        separator = ", ";
    }
}

const char *explain_other_client(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_rule *rule, struct arena *arena)
{
    struct buffer text = {0};
    if (arena == NULL)
        return "";
    if (group_sets_meet(rule->unless, subject->groups, policy->group_words)) {
        buffer_format(&text, "unless ");
        print_groups(policy, rule->unless, subject->groups, &text);
    } else {
        buffer_format(&text, "who is ");
        print_groups(policy, rule->who, rule->who, &text);
    }
    const char *result = arena_copy_string(arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

static void print_level(
    const struct pattern_level *level, const struct policy_subject *subject, struct buffer *out)
{
    if (level->kind == PATTERN_ONE) {
        buffer_append_byte(out, '+');
        return;
    }
    buffer_append(out, level->prefix);
    if (level->kind == PATTERN_LITERAL)
        return;
    struct view value = subject->values[level->slot];
    if (value.data == NULL)
        buffer_format(out, "<%s>", subject->policy->names.names[level->slot]);
    else
        buffer_append(out, value);
    buffer_append(out, level->suffix);
}

static void print_pattern(
    const struct pattern *pattern, const struct policy_subject *subject, struct buffer *out)
{
    for (size_t i = 0; i < pattern->count; i++) {
        buffer_format(out, "%s", i == 0 ? "" : "/");
        print_level(&pattern->levels[i], subject, out);
    }
    if (pattern->multi)
        buffer_format(out, "%s#", pattern->count == 0 ? "" : "/");
}

static void print_patterns(
    const struct pattern *patterns, size_t count, const struct policy_subject *subject, struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        buffer_format(out, "%s", i == 0 ? "" : ", ");
        print_pattern(&patterns[i], subject, out);
    }
}

const char *explain_topics(
    const struct policy_subject *subject, const struct policy_rule *rule, struct arena *arena)
{
    struct buffer text = {0};
    if (arena == NULL)
        return "";
    buffer_format(&text, "topics are ");
    print_patterns(rule->topics, rule->topic_count, subject, &text);
    if (rule->except_count > 0) {
        buffer_format(&text, ", except ");
        print_patterns(rule->excepts, rule->except_count, subject, &text);
    }
    const char *result = arena_copy_string(arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

/* ---- conditions ---- */

struct message {
    const struct policy_request *request;
    unsigned features; /* that its prefixes ask for */
    bool brokers_own;
};

static bool misses_qos(const struct policy_rule *rule, const struct message *message)
{
    return !rule->deny && message->request->qos > rule->max_qos;
}

static void print_qos(const struct policy_rule *rule, const struct message *message, struct buffer *out)
{
    buffer_format(out, "max_qos is %u, the QoS is %u", rule->max_qos, message->request->qos);
}

static bool misses_retain(const struct policy_rule *rule, const struct message *message)
{
    return rule->retain != RETAIN_ANY && (rule->retain == RETAIN_ONLY) != message->request->retain;
}

static void print_retain(const struct policy_rule *rule, const struct message *message, struct buffer *out)
{
    buffer_format(out, "retain is %s, the message is%s retained",
        rule->retain == RETAIN_ONLY ? "true" : "false", message->request->retain ? "" : " not");
}

static bool misses_size(const struct policy_rule *rule, const struct message *message)
{
    return !rule->deny && message->request->size > rule->max_size;
}

static void print_size(const struct policy_rule *rule, const struct message *message, struct buffer *out)
{
    buffer_format(out, "max_size is %s, the payload has %s", keyword_show_size(rule->max_size).bytes,
        keyword_show_size(message->request->size).bytes);
}

static bool misses_privileged(const struct policy_rule *rule, const struct message *message)
{
    return !rule->deny && message->brokers_own && !rule->privileged;
}

static void print_privileged(
    const struct policy_rule *rule, const struct message *message, struct buffer *out)
{
    (void)rule;
    (void)message;
    buffer_format(out, "privileged is false, the topic is the broker's own");
}

static bool misses_feature(const struct policy_rule *rule, const struct message *message)
{
    return !rule->deny && (message->features & ~rule->features) != 0;
}

static void print_feature(const struct policy_rule *rule, const struct message *message, struct buffer *out)
{
    (void)rule;
    (void)message;
    buffer_format(out, "the feature of the topic's prefix is not granted");
}

/* The row's text says what the rule wants and what the message has. */
static const struct condition_row {
    const char *name;
    enum reason reason; /* of a denial for which this is all that misses */
    bool (*misses)(const struct policy_rule *rule, const struct message *message);
    void (*print)(const struct policy_rule *rule, const struct message *message, struct buffer *out);
} conditions[] = {
    {"max_qos", REASON_no_allow, misses_qos, print_qos},
    {"retain", REASON_no_allow, misses_retain, print_retain},
    {"max_size", REASON_no_allow, misses_size, print_size},
    {"privileged", REASON_not_privileged, misses_privileged, print_privileged},
    {"feature", REASON_feature_not_granted, misses_feature, print_feature},
};
#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

/* How many conditions the message misses; the last of them, and all of them as a text. */
static size_t count_missed(const struct policy_rule *rule, const struct message *message,
    const struct condition_row **last, struct buffer *out)
{
    size_t count = 0;
    for (size_t i = 0; i < CONDITIONS && message->request->operation != POLICY_RECEIVE; i++) {
        if (!conditions[i].misses(rule, message))
            continue;
        buffer_format(out, "%s", count == 0 ? "" : "; ");
        conditions[i].print(rule, message, out);
        *last = &conditions[i];
        count++;
    }
    return count;
}

/* ---- a message ---- */

struct pass {
    const struct policy *policy;
    const struct policy_subject *subject;
    struct message message;
    struct region region;
    unsigned verb;
    struct arena *arena;
    const struct policy_rule *deny, *monitor_deny, *allow, *nearest;
    const struct condition_row *nearest_missed;
};

static void note_match(struct pass *pass, const struct policy_rule *rule)
{
    if (rule->deny)
        rules_keep_first(rule->monitor ? &pass->monitor_deny : &pass->deny, rule);
    else if (!rule->monitor)
        rules_keep_first(&pass->allow, rule);
}

static struct consideration match_rule(struct pass *pass, const struct policy_rule *rule)
{
    const struct condition_row *last = NULL;
    struct buffer text = {0};
    struct consideration result = {POLICY_RULE_MATCHES, ""};
    size_t missed = count_missed(rule, &pass->message, &last, &text);
    if (missed == 0) {
        note_match(pass, rule);
        if (rule->monitor)
            result.why = rule->deny ? "in monitor mode, denies nothing" : "in monitor mode, allows nothing";
    } else {
        result.kind = missed == 1 ? POLICY_RULE_MISSED_ONE : POLICY_RULE_MISSED_MORE;
        result.why = pass->arena == NULL ? "" : arena_copy_string(pass->arena, buffer_view(&text));
        if (missed == 1 && !rule->deny && !rule->monitor &&
            (pass->nearest == NULL || rule->rank < pass->nearest->rank)) {
            pass->nearest = rule;
            pass->nearest_missed = last;
        }
    }
    buffer_release(&text);
    return result;
}

static struct consideration consider(struct pass *pass, const struct policy_rule *rule)
{
    const struct view *values = pass->subject->values;
    if ((rule->verbs & pass->verb) == 0)
        return (struct consideration){POLICY_RULE_OTHER_ACT, ""};
    if (!rule_applies(pass->policy, rule, pass->subject->groups))
        return (struct consideration){
            POLICY_RULE_OTHER_CLIENT, explain_other_client(pass->policy, pass->subject, rule, pass->arena)};
    if (!rule_has_topic(rule, values, &pass->region, pass->region.count) ||
        rule_excepts_topic(rule, values, &pass->region, pass->region.count))
        return (struct consideration){
            POLICY_RULE_OTHER_TOPIC, explain_topics(pass->subject, rule, pass->arena)};
    return match_rule(pass, rule);
}

static void conclude(const struct pass *pass, struct policy_outcome *outcome)
{
    outcome->would_deny = pass->monitor_deny == NULL ? NULL : &pass->monitor_deny->info;
    if (pass->deny != NULL) {
        outcome->reason = REASON_denied_by_rule;
        outcome->rule = &pass->deny->info;
    } else if (pass->allow != NULL) {
        outcome->reason = REASON_allowed;
        outcome->rule = &pass->allow->info;
    } else {
        outcome->reason = pass->nearest == NULL ? REASON_no_allow : pass->nearest_missed->reason;
        outcome->nearest = pass->nearest == NULL ? NULL : &pass->nearest->info;
        outcome->nearest_condition = pass->nearest == NULL ? NULL : pass->nearest_missed->name;
    }
    outcome->allowed = outcome->reason == REASON_allowed;
}

/* What can be said without a rule; false if it decides. */
static bool check_form(const struct policy *policy, const struct policy_request *request,
    struct dialect_topic *topic, struct buffer *space, struct policy_outcome *outcome)
{
    uint64_t limit = policy->settings.limit_topic_levels;
    bool received = request->operation == POLICY_RECEIVE;
    *topic = (struct dialect_topic){.topic = request->topic};
    if (!received && !dialect_strip_name(request->dialect, request->topic, topic)) {
        outcome->reason = REASON_topic_name_invalid;
        return false;
    }
    topic->topic = dialect_read_name(request->dialect, topic->topic, space);
    if (received || limit == 0 || topic_levels(topic->topic) <= limit)
        return true;
    outcome->reason = REASON_topic_too_deep;
    return false;
}

static void ask_rules(
    struct pass *pass, const struct dialect_topic *topic, struct consideration *considerations)
{
    const struct policy *policy = pass->policy;
    size_t rules = rules_depth(policy), checks = checks_depth(policy);
    region_of_name(&pass->region, topic->topic, rules > checks ? rules : checks);
    struct view first = pass->region.levels[0].text;
    pass->verb = operation_verb(pass->message.request->operation);
    pass->message.features = topic->features;
    pass->message.brokers_own = view_equal(first, VIEW("$SYS")) || view_equal(first, VIEW("$CONTROL"));
    for (size_t i = 0; i < policy->rule_count; i++) {
        struct consideration found = consider(pass, &policy->rules[i]);
        if (considerations != NULL)
            considerations[i] = found;
    }
}

bool explain_request(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_request *request, struct arena *arena, struct consideration *considerations,
    struct policy_outcome *outcome)
{
    struct dialect_topic topic;
    struct buffer space = {0};
    struct pass pass = {
        .policy = policy, .subject = subject, .arena = arena, .message = {.request = request}};
    *outcome = (struct policy_outcome){0};
    bool asked = check_form(policy, request, &topic, &space, outcome);
    if (asked) {
        ask_rules(&pass, &topic, considerations);
        conclude(&pass, outcome);
        if (outcome->allowed)
            outcome->checks = explain_checks(policy, subject, request->operation, &pass.region);
    }
    buffer_release(&space);
    return asked;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for messages: every rule, level by level. */
#include <stdio.h>

#include "random_policy.h"

/* ---- one topic against one pattern ---- */

int level_placeholder(const char *level, size_t length, size_t *open, size_t *close)
{
    const char *begin = memchr(level, '<', length), *end = memchr(level, '>', length);
    if (begin == NULL || end == NULL)
        return -1;
    *open = (size_t)(begin - level);
    *close = (size_t)(end - level) + 1;
    for (int i = 0; i < PLACEHOLDERS; i++) {
        size_t name = strlen(placeholder_text[i]);
        if (name == *close - *open - 2 && memcmp(begin + 1, placeholder_text[i], name) == 0)
            return i;
    }
    return -1;
}

static enum match level_matches(const char *pattern, size_t pattern_length, const char *level, size_t length,
    const struct random_subject *subject)
{
    size_t before, close;
    int placeholder = level_placeholder(pattern, pattern_length, &before, &close);
    if (placeholder < 0)
        return pattern_length == length && memcmp(pattern, level, length) == 0 ? YES : NO;
    size_t after = pattern_length - close;
    const char *value = subject->value[placeholder];
    if (length <= before + after || memcmp(level, pattern, before) != 0 ||
        memcmp(level + length - after, pattern + close, after) != 0)
        return NO;
    if (value == NULL)
        return level[before] == '$' ? NO : MAYBE;
    bool same = length == before + after + strlen(value) && memcmp(level + before, value, strlen(value)) == 0;
    return same ? YES : NO;
}

enum match topic_matches_pattern(const char *pattern, const char *topic, const struct random_subject *subject)
{
    enum match result = YES;
    if (topic[0] == '$' && (pattern[0] == '+' || pattern[0] == '#'))
        return NO;
    for (;;) {
        size_t p = strcspn(pattern, "/"), t = strcspn(topic, "/");
        if (pattern[0] == '#')
            return result;
        if (!(p == 1 && pattern[0] == '+')) {
            enum match match = level_matches(pattern, p, topic, t, subject);
            if (match == NO)
                return NO;
            result = match == MAYBE ? MAYBE : result;
        }
        if (pattern[p] == '\0' || topic[t] == '\0')
            return pattern[p] == topic[t] || strcmp(pattern + p, "/#") == 0 ? result : NO;
        pattern += p + 1;
        topic += t + 1;
    }
}

size_t levels_of(const char *topic)
{
    size_t levels = 1;
    for (; *topic != '\0'; topic++)
        levels += *topic == '/';
    return levels;
}

/* ---- one topic against one rule ---- */

/* Is the topic among a rule's topics? An unknown value counts against the client. */
bool in_topics(const struct random_rule *rule, const char *topic, const struct random_subject *subject)
{
    for (size_t i = 0; i < rule->topics; i++) {
        enum match match = topic_matches_pattern(rule->topic[i], topic, subject);
        if (match == YES || (match == MAYBE && rule->deny))
            return true;
    }
    return false;
}

bool in_excepts(const struct random_rule *rule, const char *topic, const struct random_subject *subject)
{
    for (size_t i = 0; i < rule->excepts; i++) {
        enum match match = topic_matches_pattern(rule->except[i], topic, subject);
        if (match == YES || (match == MAYBE && !rule->deny))
            return true;
    }
    return false;
}

bool rule_applies_to(const struct random_rule *rule, const struct random_subject *subject)
{
    return (rule->who & subject->groups) != 0 && (rule->unless & subject->groups) == 0;
}

unsigned rule_all_verbs(const struct random_rule *rule)
{
    unsigned verbs = rule->verbs;
    if ((verbs & R_SUBSCRIBE) != 0)
        verbs |= R_RECEIVE;
    if (rule->deny && (verbs & R_RECEIVE) != 0)
        verbs |= R_SUBSCRIBE;
    return verbs;
}

const struct random_rule *find_rule(const struct random_policy *policy, const char *name)
{
    unsigned number = 0;
    if (sscanf(name, "r%u", &number) != 1 || number >= policy->rules)
        return NULL;
    return &policy->rule[number];
}

/* ---- prefixes ---- */

static bool argument_is(const char *text, size_t length, bool seconds)
{
    if (length == 0 || (seconds && length > 10))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (seconds ? text[i] < '0' || text[i] > '9' : text[i] == '+' || text[i] == '#')
            return false;
    }
    return true;
}

/* Takes one prefix with its argument off, if it is there. */
static bool take_prefix(struct prefixes *found, const char *prefix, bool argument, bool seconds)
{
    if (strncmp(found->rest, prefix, strlen(prefix)) != 0)
        return false;
    const char *rest = found->rest + strlen(prefix);
    if (argument) {
        size_t length = strcspn(rest, "/");
        found->malformed |= rest[length] == '\0' || !argument_is(rest, length, seconds);
        rest += rest[length] == '\0' ? length : length + 1;
    }
    found->malformed |= *rest == '\0';
    found->rest = rest;
    return true;
}

struct prefixes strip_prefixes(const char *text, enum dialect dialect, bool publish)
{
    struct prefixes found = {.rest = text};
    bool emqx = dialect == DIALECT_EMQX, queues = emqx || dialect == DIALECT_NANOMQ;
    while (publish && emqx && !found.malformed && take_prefix(&found, "$delayed/", true, true))
        found.features |= POLICY_FEATURE_DELAYED;
    if (publish)
        return found;
    /* One share or queue, and in it, or alone, one of those behind which nothing is a prefix. */
    for (int i = 0; i < 2 && !found.malformed; i++) {
        unsigned feature = take_prefix(&found, "$share/", true, false)              ? POLICY_FEATURE_SHARED
                           : queues && take_prefix(&found, "$queue/", false, false) ? POLICY_FEATURE_QUEUE
                                                                                    : 0;
        found.malformed |= feature != 0 && found.shared;
        found.features |= feature;
        found.shared |= feature != 0;
    }
    if (emqx && !found.malformed && take_prefix(&found, "$exclusive/", false, false))
        found.features |= POLICY_FEATURE_EXCLUSIVE;
    else if (emqx && !found.malformed && take_prefix(&found, "$stream/", false, false))
        found.features |= POLICY_FEATURE_STREAM;
    return found;
}

/* ---- dots ---- */

bool broker_reads_dots(enum dialect dialect)
{
    return dialect == DIALECT_RABBITMQ || dialect == DIALECT_ARTEMIS;
}

void read_as_broker(char *text, enum dialect dialect, bool filter)
{
    if (!broker_reads_dots(dialect))
        return;
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '.' ? '/' : *at;
    for (char *level = text; filter; level += strcspn(level, "/") + 1) {
        if (level[0] == '*' && (level[1] == '/' || level[1] == '\0'))
            level[0] = '+';
        if (level[strcspn(level, "/")] == '\0')
            return;
    }
}

/* ---- decide ---- */

enum { MISSED_QOS, MISSED_RETAIN, MISSED_SIZE, MISSED_PRIVILEGED, MISSED_FEATURE, CONDITIONS };
static const char *const condition_names[CONDITIONS] = {
    "max_qos", "retain", "max_size", "privileged", "feature"};

static bool is_brokers_own(const char *topic)
{
    size_t length = strcspn(topic, "/");
    return (length == 4 && memcmp(topic, "$SYS", 4) == 0) ||
           (length == 8 && memcmp(topic, "$CONTROL", 8) == 0);
}

/* How many conditions a rule misses, the last of them in *which; -1: it is not about the request at all. */
static int missed(const struct random_rule *rule, const struct random_subject *subject,
    const struct policy_request *request, const struct prefixes *prefixes, int *which)
{
    bool publishing = request->operation != POLICY_RECEIVE, misses[CONDITIONS] = {false};
    int count = 0;
    if (!rule_applies_to(rule, subject) ||
        (rule_all_verbs(rule) & (publishing ? R_PUBLISH : R_RECEIVE)) == 0 ||
        !in_topics(rule, prefixes->rest, subject) || in_excepts(rule, prefixes->rest, subject))
        return -1;
    if (!publishing)
        return 0;
    misses[MISSED_RETAIN] = rule->retain >= 0 && (rule->retain == 1) != request->retain;
    if (!rule->deny) {
        misses[MISSED_QOS] = rule->max_qos >= 0 && request->qos > rule->max_qos;
        misses[MISSED_SIZE] = rule->max_size >= 0 && request->size > (uint64_t)rule->max_size;
        misses[MISSED_PRIVILEGED] = is_brokers_own(prefixes->rest) && !rule->privileged;
        misses[MISSED_FEATURE] = (prefixes->features & ~rule->features) != 0;
    }
    for (int i = 0; i < CONDITIONS; i++) {
        count += misses[i];
        *which = misses[i] ? i : *which;
    }
    return count;
}

/* The request's topic as text and without its prefixes, which only publishers' topics have. */
static struct prefixes topic_of(const struct policy_request *request, char text[TOPIC_SIZE])
{
    struct prefixes prefixes = {.rest = text};
    snprintf(text, TOPIC_SIZE, "%.*s", (int)request->topic.length, (const char *)request->topic.data);
    if (request->operation != POLICY_RECEIVE)
        prefixes = strip_prefixes(text, request->dialect, true);
    read_as_broker(text + (prefixes.rest - text), request->dialect, false);
    return prefixes;
}

void apply_monitor(const struct random_policy *policy, struct reference_verdict *verdict)
{
    verdict->allowed = verdict->reason == REASON_allowed;
    verdict->would_be_denied = verdict->allowed && verdict->would_deny;
    if (policy->monitor && !verdict->allowed) {
        verdict->allowed = true;
        verdict->would_be_denied = true;
    }
}

static void decide_by_rules(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const struct prefixes *prefixes, struct reference_verdict *verdict)
{
    bool denied = false, allowed = false;
    int which = 0;
    for (size_t i = 0; i < policy->rules; i++) {
        const struct random_rule *rule = &policy->rule[i];
        int count = missed(rule, subject, request, prefixes, &which);
        if (count == 0 && rule->deny)
            *(rule->monitor ? &verdict->would_deny : &denied) = true;
        allowed |= count == 0 && !rule->deny && !rule->monitor;
        verdict->near |= count == 1 && !rule->deny && !rule->monitor;
    }
    verdict->reason = denied ? REASON_denied_by_rule : allowed ? REASON_allowed : REASON_no_allow;
}

struct reference_verdict reference_decide(const struct random_policy *policy,
    const struct random_subject *subject, const struct policy_request *request)
{
    struct reference_verdict verdict = {0};
    char text[TOPIC_SIZE];
    struct prefixes prefixes = topic_of(request, text);
    bool bounded = policy->topic_levels > 0 && request->operation != POLICY_RECEIVE;
    if (prefixes.malformed)
        verdict.reason = REASON_topic_name_invalid;
    else if (bounded && levels_of(prefixes.rest) > policy->topic_levels)
        verdict.reason = REASON_topic_too_deep;
    else
        decide_by_rules(policy, subject, request, &prefixes, &verdict);
    apply_monitor(policy, &verdict);
    return verdict;
}

bool reference_rule_decides(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *name, bool deny)
{
    const struct random_rule *rule = find_rule(policy, name);
    char text[TOPIC_SIZE];
    struct prefixes prefixes = topic_of(request, text);
    int which = 0;
    return rule != NULL && rule->deny == deny && missed(rule, subject, request, &prefixes, &which) == 0;
}

bool reference_rule_near(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *name, const char *condition)
{
    const struct random_rule *rule = find_rule(policy, name);
    char text[TOPIC_SIZE];
    struct prefixes prefixes = topic_of(request, text);
    int which = 0;
    return rule != NULL && !rule->deny && !rule->monitor &&
           missed(rule, subject, request, &prefixes, &which) == 1 &&
           strcmp(condition_names[which], condition) == 0;
}

/* A rate counts what comes as PUBLISH. What is signed again is so whoever published it. */
static bool is_to_pass(const struct random_check *check, const struct random_subject *subject,
    const struct policy_request *request, const char *topic)
{
    const struct random_subject nobody = {.dialect = subject->dialect};
    bool receives = request->operation == POLICY_RECEIVE;
    if (receives && check->resigns && in_topics(&check->match, topic, &nobody))
        return true;
    if (check->kind == R_RATE && request->operation == POLICY_WILL)
        return false;
    return (check->match.verbs & (receives ? R_RECEIVE : R_PUBLISH)) != 0 &&
           rule_applies_to(&check->match, subject) && in_topics(&check->match, topic, subject);
}

uint64_t reference_checks(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request)
{
    char text[TOPIC_SIZE];
    struct prefixes prefixes = topic_of(request, text);
    uint64_t checks = 0;
    for (size_t i = 0; i < policy->checks; i++) {
        if (is_to_pass(&policy->check[i], subject, request, prefixes.rest))
            checks |= UINT64_C(1) << i;
    }
    return checks;
}

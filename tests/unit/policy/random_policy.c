/* SPDX-License-Identifier: Apache-2.0 */
/* Random policies over a small alphabet, so that rules meet, overlap and cover each other. */
#include "random_policy.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(random, array) ((array)[random_below((random), COUNT(array))])

const char *const placeholder_text[PLACEHOLDERS] = {"id", "client_id", "username", "site"};

static void random_pattern(struct random *random, char out[PATTERN_SIZE])
{
    static const char *const levels[] = {
        "a", "a", "b", "", "+", "+", "<id>", "<site>", "p<id>", "<client_id>", "<username>s"};
    /* Where '$' means something. */
    static const char *const first[] = {"$x", "$SYS", "$CONTROL", "$queue"};
    size_t count = 1 + random_below(random, random_chance(random, 15) ? PATTERN_LEVELS : 2);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        strcat(out, i == 0 ? "" : "/");
        strcat(out, i == 0 && random_chance(random, 12) ? PICK(random, first) : PICK(random, levels));
    }
    if (random_chance(random, 35))
        strcat(out, "/#");
    if (random_chance(random, 4))
        strcpy(out, "#");
    if (out[0] == '\0')
        strcpy(out, "a");
}

static void random_features(struct random *random, struct random_rule *rule)
{
    static const unsigned others[] = {
        POLICY_FEATURE_QUEUE, POLICY_FEATURE_EXCLUSIVE, POLICY_FEATURE_STREAM, POLICY_FEATURE_EXCLUSIVE};
    if ((rule->verbs & R_PUBLISH) != 0 && random_chance(random, 30))
        rule->features |= POLICY_FEATURE_DELAYED;
    if ((rule->verbs & R_SUBSCRIBE) == 0)
        return;
    if (random_chance(random, 50))
        rule->features |= POLICY_FEATURE_SHARED;
    while (random_chance(random, 30))
        rule->features |= PICK(random, others);
}

static void random_conditions(struct random *random, struct random_rule *rule)
{
    static const long sizes[] = {0, 10, 100};
    if (rule->deny) {
        if (rule->verbs == R_PUBLISH && random_chance(random, 30))
            rule->retain = (int)random_below(random, 2);
        return;
    }
    if ((rule->verbs & (R_PUBLISH | R_SUBSCRIBE)) != 0 && random_chance(random, 40))
        rule->max_qos = (int)random_below(random, 3);
    if ((rule->verbs & R_PUBLISH) != 0) {
        if (random_chance(random, 25))
            rule->retain = (int)random_below(random, 2);
        if (random_chance(random, 40))
            rule->max_size = PICK(random, sizes);
        rule->privileged = random_chance(random, 30);
    }
    random_features(random, rule);
}

static unsigned random_bits(struct random *random, size_t bits)
{
    return 1 + (unsigned)random_below(random, (1U << bits) - 1);
}

static void random_rule(
    struct random *random, const struct random_policy *policy, bool large, struct random_rule *rule)
{
    *rule = (struct random_rule){.max_qos = -1, .retain = -1, .max_size = -1};
    rule->who = random_chance(random, 50) ? 1 : random_bits(random, 1 + policy->groups);
    if (policy->groups > 0 && random_chance(random, 15))
        rule->unless = random_bits(random, policy->groups) << 1;
    rule->deny = random_chance(random, 30);
    rule->monitor = random_chance(random, 12);
    rule->verbs = random_bits(random, 3);
    rule->topics = random_chance(random, 70) ? 1 : 1 + random_below(random, PATTERNS);
    /* Where excepts nest too deeply, the engine answers "filter" without looking. */
    if (random_chance(random, large ? 8 : 30))
        rule->excepts = random_chance(random, 70) ? 1 : 1 + random_below(random, PATTERNS);
    for (size_t i = 0; i < rule->topics; i++)
        random_pattern(random, rule->topic[i]);
    for (size_t i = 0; i < rule->excepts; i++)
        random_pattern(random, rule->except[i]);
    random_conditions(random, rule);
}

static void random_check(
    struct random *random, const struct random_policy *policy, struct random_check *check)
{
    static const enum random_kind kinds[] = {R_RATE, R_SIGNATURE, R_SIGNATURE, R_SCAN};
    *check = (struct random_check){.kind = PICK(random, kinds)};
    random_rule(random, policy, false, &check->match);
    check->match.excepts = 0;
    check->match.deny = check->match.monitor = true;
    check->match.verbs = R_PUBLISH;
    if (check->kind == R_RATE)
        return;
    check->resigns = check->kind == R_SIGNATURE && random_chance(random, 35);
    if (!check->resigns && random_chance(random, 60))
        check->match.verbs = random_chance(random, 50) ? R_RECEIVE : R_PUBLISH | R_RECEIVE;
}

static void random_group(struct random *random, struct random_group *group)
{
    static const char *const globs[] = {"a", "b", "x*", "*1", "a*b", "*"};
    static const char *const networks[] = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/32"};
    *group = (struct random_group){0};
    if (random_chance(random, 25))
        group->sources = random_bits(random, 4);
    if (random_chance(random, 25))
        group->network = PICK(random, networks);
    if (random_chance(random, 40))
        group->site = PICK(random, globs);
    if (random_chance(random, 50) || (group->sources == 0 && group->network == NULL && group->site == NULL)) {
        group->ids[0] = PICK(random, globs);
        group->ids[1] = random_chance(random, 40) ? PICK(random, globs) : NULL;
    }
}

/* A source with the attribute that the rules speak of is always among them. */
static void random_sources(struct random *random, struct random_policy *policy)
{
    static const enum source_kind kinds[] = {
        SOURCE_CERT, SOURCE_PASSWORD, SOURCE_BROKER_USERNAME, SOURCE_BROKER_CLIENT_ID, SOURCE_ANONYMOUS};
    policy->sources = random_chance(random, 60) ? 1 : 2 + random_below(random, 2);
    for (size_t i = 0; i < policy->sources; i++)
        policy->source[i] = (struct random_source){PICK(random, kinds), random_chance(random, 10)};
    size_t last = policy->sources - 1;
    policy->source[random_chance(random, 70) ? 0 : last].kind = SOURCE_CERT;
}

static size_t random_rule_count(struct random *random, bool large)
{
    if (large)
        return 10 + random_below(random, RULES - 9);
    size_t bound = random_chance(random, 75) ? 2 : random_chance(random, 75) ? 4 : 8;
    return 1 + random_below(random, bound);
}

void random_policy(struct random *random, struct random_policy *policy, bool large)
{
    static const char *const client_ids[] = {
        "<id>", "<id>-*", "*", "a*", "*<site>*", "x1", "<username>*", "*-<id>"};
    random_sources(random, policy);
    policy->monitor = random_chance(random, 8);
    policy->uncovered_filter = random_chance(random, 25);
    policy->client_id = random_chance(random, 25) ? PICK(random, client_ids) : NULL;
    policy->topic_levels = random_chance(random, 12) ? 1 + (unsigned)random_below(random, 3) : 0;
    policy->groups = random_chance(random, 50) ? 0 : 1 + random_below(random, GROUPS);
    for (size_t i = 0; i < policy->groups; i++)
        random_group(random, &policy->group[i]);
    policy->rules = random_rule_count(random, large);
    for (size_t i = 0; i < policy->rules; i++)
        random_rule(random, policy, large, &policy->rule[i]);
    policy->checks = random_chance(random, 60) ? 0 : 1 + random_below(random, CHECKS);
    for (size_t i = 0; i < policy->checks; i++)
        random_check(random, policy, &policy->check[i]);
}

/* ---- as text ---- */

static void print_bits(
    struct buffer *out, const char *key, unsigned bits, const char *const *names, unsigned count)
{
    bool many = (bits & (bits - 1)) != 0;
    const char *separator = "";
    if (bits == 0)
        return;
    buffer_format(out, "%s: %s", key, many ? "[" : "");
    for (unsigned i = 0; i < count; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        buffer_format(out, "%s%s", separator, names[i]);
        separator = ", ";
    }
    buffer_format(out, "%s", many ? "]" : "");
}

static void print_patterns(
    struct buffer *out, const char *key, size_t count, const char (*patterns)[PATTERN_SIZE])
{
    for (size_t i = 0; i < count; i++)
        buffer_format(out, "%s\"%s\"", i == 0 ? key : ", ", patterns[i]);
    if (count > 0)
        buffer_append_byte(out, ']');
}

static void print_conditions(const struct random_rule *rule, struct buffer *out)
{
    const char *separator = ", if: {";
    if (rule->max_qos >= 0) {
        buffer_format(out, "%smax_qos: %d", separator, rule->max_qos);
        separator = ", ";
    }
    if (rule->retain >= 0) {
        buffer_format(out, "%sretain: %s", separator, rule->retain ? "true" : "false");
        separator = ", ";
    }
    if (rule->max_size >= 0) {
        buffer_format(out, "%smax_size: %ld", separator, rule->max_size);
        separator = ", ";
    }
    buffer_format(out, "%s", separator[2] == '\0' ? "}" : "");
}

static void print_rule(const struct random_rule *rule, size_t number, struct buffer *out)
{
    static const char *const groups[] = {"everyone", "g0", "g1", "g2"};
    static const char *const verbs[] = {"publish", "subscribe", "receive"};
    static const char *const features[] = {"shared", "exclusive", "delayed", "queue", "stream"};
    buffer_format(out, "  - {rule: r%zu", number);
    print_bits(out, ", who", rule->who, groups, COUNT(groups));
    print_bits(out, ", unless", rule->unless, groups, COUNT(groups));
    print_bits(out, rule->deny ? ", deny" : ", allow", rule->verbs, verbs, COUNT(verbs));
    print_patterns(out, ", topics: [", rule->topics, rule->topic);
    print_patterns(out, ", except: [", rule->excepts, rule->except);
    print_conditions(rule, out);
    print_bits(out, ", features", rule->features, features, COUNT(features));
    buffer_format(
        out, "%s%s}\n", rule->privileged ? ", privileged: true" : "", rule->monitor ? ", mode: monitor" : "");
}

static void print_check(const struct random_check *check, size_t number, struct buffer *out)
{
    static const char *const groups[] = {"everyone", "g0", "g1", "g2"};
    static const char *const verbs[] = {[R_PUBLISH] = "",
        [R_RECEIVE] = ", at: receive",
        [R_PUBLISH | R_RECEIVE] = ", at: [publish, receive]"};
    bool passes = check->match.verbs == (R_PUBLISH | R_RECEIVE);
    buffer_format(out, "  - {check: c%zu, mode: monitor", number);
    print_bits(out, ", who", check->match.who, groups, COUNT(groups));
    print_bits(out, ", unless", check->match.unless, groups, COUNT(groups));
    print_patterns(out, ", topics: [", check->match.topics, check->match.topic);
    if (check->kind == R_RATE)
        buffer_format(out, ", rate: {per: id, messages: 1/s}}\n");
    else if (check->kind == R_SCAN)
        buffer_format(out, ", yara: {rules: iot%s}}\n", verbs[check->match.verbs]);
    else
        buffer_format(out, ", signature: {keys: m25a%s%s}}\n", verbs[check->match.verbs],
            check->resigns ? ", forward: resign, receiver_key: m25a"
            : passes       ? ", forward: pass"
                           : "");
}

static void print_group(const struct random_group *group, size_t number, struct buffer *out)
{
    static const char *const sources[] = {"cert", "password", "broker", "anonymous"};
    buffer_format(out, "  g%zu:\n", number);
    for (size_t i = 0; i < 2 && group->ids[i] != NULL; i++)
        buffer_format(out, "%s\"%s\"", i == 0 ? "    ids: [" : ", ", group->ids[i]);
    buffer_format(out, "%s", group->ids[0] == NULL ? "" : "]\n");
    if (group->sources != 0) {
        print_bits(out, "    source", group->sources, sources, COUNT(sources));
        buffer_append_byte(out, '\n');
    }
    if (group->site != NULL)
        buffer_format(out, "    attrs: {site: \"%s\"}\n", group->site);
    if (group->network != NULL)
        buffer_format(out, "    net: \"%s\"\n", group->network);
}

static void print_source(const struct random_source *source, struct buffer *out)
{
    static const char *const texts[] = {[SOURCE_PASSWORD] = "password: {file: users}",
        [SOURCE_BROKER_USERNAME] = "broker: {id: username}",
        [SOURCE_BROKER_CLIENT_ID] = "broker: {id: client_id}",
        [SOURCE_ANONYMOUS] = "anonymous: {id: a}"};
    if (source->kind == SOURCE_CERT)
        buffer_format(
            out, "  - cert: {ca: fleet, id: cn, attrs: {site: ou}%s}\n", source->strip ? ", strip: d-" : "");
    else
        buffer_format(out, "  - %s\n", texts[source->kind]);
}

void random_policy_print(const struct random_policy *policy, struct buffer *out)
{
    buffer_format(out, "version: 1\npolicy: random\n");
    if (policy->monitor)
        buffer_format(out, "mode: monitor\n");
    if (policy->uncovered_filter)
        buffer_format(out, "uncovered: filter\n");
    if (policy->client_id != NULL)
        buffer_format(out, "client_id: \"%s\"\n", policy->client_id);
    if (policy->topic_levels > 0)
        buffer_format(out, "limits: {topic_levels: %u}\n", policy->topic_levels);
    buffer_format(out, "identity:\n");
    for (size_t i = 0; i < policy->sources; i++)
        print_source(&policy->source[i], out);
    buffer_format(out, "%s", policy->groups > 0 ? "groups:\n" : "");
    for (size_t i = 0; i < policy->groups; i++)
        print_group(&policy->group[i], i, out);
    buffer_format(out, "rules:\n");
    for (size_t i = 0; i < policy->rules; i++)
        print_rule(&policy->rule[i], i, out);
    buffer_format(out, "%s", policy->checks > 0 ? "checks:\n" : "");
    for (size_t i = 0; i < policy->checks; i++)
        print_check(&policy->check[i], i, out);
}

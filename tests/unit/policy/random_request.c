/* SPDX-License-Identifier: Apache-2.0 */
/* Random topics and filters. Most are made from a topic of one of the rules, so that something is decided. */
#include <stdio.h>

#include "random_policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PICK(random, array) ((array)[random_below((random), COUNT(array))])

/* "z" is in no pattern. */
static const char *const letters[] = {"a", "b", "", "z", "pa", "as", "x1", "ab", "a.b", "*"};
static const char *const first_letters[] = {"$x", "$SYS", "$CONTROL", "$queue"};

static const char *random_letter(struct random *random, bool first)
{
    return first && random_chance(random, 15) ? PICK(random, first_letters) : PICK(random, letters);
}

static void append_level(char *out, bool first, const char *level)
{
    size_t length = strlen(out);
    snprintf(out + length, TOPIC_SIZE - length, "%s%s", first ? "" : "/", level);
}

/* A level of a pattern with the subject's value in it, or, now and then, with another's. */
static void append_filled(struct random *random, const struct random_subject *subject, const char *level,
    size_t length, char out[TOPIC_SIZE], bool first)
{
    char text[64];
    size_t open, close;
    int placeholder = level_placeholder(level, length, &open, &close);
    if (placeholder < 0) {
        snprintf(text, sizeof(text), "%.*s", (int)length, level);
    } else {
        const char *value = subject->value[placeholder];
        if (value == NULL || random_chance(random, 10))
            value = "b";
        snprintf(
            text, sizeof(text), "%.*s%s%.*s", (int)open, level, value, (int)(length - close), level + close);
    }
    append_level(out, first, text);
}

/* A topic, or with wild a filter, near to pattern. */
static void near_pattern(struct random *random, const struct random_subject *subject, const char *pattern,
    bool wild, char out[TOPIC_SIZE])
{
    bool first = true;
    out[0] = '\0';
    for (const char *level = pattern;; first = false) {
        size_t length = strcspn(level, "/");
        if (length == 1 && level[0] == '#') {
            for (size_t more = random_below(random, 3); more > 0; more--, first = false)
                append_level(out, first, random_letter(random, first));
            return;
        }
        if (wild && random_chance(random, 15))
            append_level(out, first, "+");
        else if (length == 1 && level[0] == '+')
            append_level(out, first, wild && random_chance(random, 60) ? "+" : random_letter(random, first));
        else
            append_filled(random, subject, level, length, out, first);
        if (level[length] == '\0')
            return;
        level += length + 1;
    }
}

/* Dots where slashes are, and stars where '+' is: the same for some brokers. */
static void with_dots(struct random *random, const struct random_subject *subject, char *text)
{
    if (!random_chance(random, broker_reads_dots(subject->dialect) ? 60 : 10))
        return;
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '+' && random_chance(random, 40) ? '*' : *at;
    for (char *at = text; *at != '\0'; at++) {
        bool wild = (at > text && at[-1] == '+') || at[1] == '+' || at[1] == '#';
        if (*at == '/' && !wild && random_chance(random, 50))
            *at = '.';
    }
}

static const char *random_rules_pattern(
    struct random *random, const struct random_policy *policy, const struct random_subject *subject)
{
    const struct random_rule *rule = &policy->rule[random_below(random, policy->rules)];
    for (int i = 0; i < 3 && !rule_applies_to(rule, subject); i++)
        rule = &policy->rule[random_below(random, policy->rules)];
    if (rule->excepts > 0 && random_chance(random, 30))
        return rule->except[random_below(random, rule->excepts)];
    return rule->topic[random_below(random, rule->topics)];
}

static void random_levels(struct random *random, bool wild, char out[TOPIC_SIZE])
{
    size_t count = 1 + random_below(random, 4);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++)
        append_level(out, i == 0, wild && random_chance(random, 30) ? "+" : random_letter(random, i == 0));
}

void random_topic(struct random *random, const struct random_policy *policy,
    const struct random_subject *subject, char out[TOPIC_SIZE])
{
    if (random_chance(random, 85))
        near_pattern(random, subject, random_rules_pattern(random, policy, subject), false, out);
    else
        random_levels(random, false, out);
    with_dots(random, subject, out);
    if (out[0] == '\0')
        strcpy(out, "a");
}

void random_filter(struct random *random, const struct random_policy *policy,
    const struct random_subject *subject, char out[TOPIC_SIZE])
{
    if (random_chance(random, 80))
        near_pattern(random, subject, random_rules_pattern(random, policy, subject), true, out);
    else
        random_levels(random, true, out);
    with_dots(random, subject, out);
    if (random_chance(random, 25))
        append_level(out, false, "#");
    if (random_chance(random, 4))
        strcpy(out, "#");
    if (out[0] == '\0')
        strcpy(out, "+");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of topic prefixes that brokers give a meaning of their own. Called by the decisions
 * (decide.c, subscribe.c) and by the proxy where it compares filters. A prefix that is in no row is literal,
 * so the default deny catches it. */
#include "policy/dialect.h"

#include <assert.h>

enum prefix_argument {
    ARGUMENT_NONE,    /* $queue/<filter> */
    ARGUMENT_GROUP,   /* $share/<group>/<filter> */
    ARGUMENT_SECONDS, /* $delayed/<seconds>/<topic> */
};

enum prefix_nesting {
    NESTING_LAST,  /* what follows is taken as it is */
    NESTING_ANY,   /* further prefixes are stripped */
    NESTING_SHARE, /* further prefixes are stripped, but a second share is malformed */
};

#define ALL_DIALECTS ((1U << DIALECT_COUNT) - 1)

struct prefix_row {
    struct view text;
    unsigned dialects; /* bits 1 << enum dialect */
    bool of_name;      /* of a PUBLISH; otherwise of a filter */
    enum prefix_argument argument;
    enum prefix_nesting nesting;
    unsigned feature;
    bool shared;
};

/* EMQX strips as its emqx_topic:parse/2 does: a share inside a share is an error, and after $exclusive
 * nothing more is stripped. A broker that does not know $share would take it literally; stripping it there
 * only asks for more. */
static const struct prefix_row prefixes[] = {
    {{(const uint8_t *)"$share/", 7}, ALL_DIALECTS, false, ARGUMENT_GROUP, NESTING_SHARE,
        POLICY_FEATURE_SHARED, true},
    {{(const uint8_t *)"$queue/", 7}, 1U << DIALECT_EMQX | 1U << DIALECT_NANOMQ, false, ARGUMENT_NONE,
        NESTING_SHARE, POLICY_FEATURE_QUEUE, true},
    {{(const uint8_t *)"$exclusive/", 11}, 1U << DIALECT_EMQX, false, ARGUMENT_NONE, NESTING_LAST,
        POLICY_FEATURE_EXCLUSIVE, false},
    {{(const uint8_t *)"$stream/", 8}, 1U << DIALECT_EMQX, false, ARGUMENT_NONE, NESTING_LAST,
        POLICY_FEATURE_STREAM, false},
    {{(const uint8_t *)"$delayed/", 9}, 1U << DIALECT_EMQX, true, ARGUMENT_SECONDS, NESTING_ANY,
        POLICY_FEATURE_DELAYED, false},
};
#define PREFIX_COUNT (sizeof(prefixes) / sizeof(prefixes[0]))

static const char *const dialect_names[DIALECT_COUNT] = {
    [DIALECT_MOSQUITTO] = "mosquitto",
    [DIALECT_EMQX] = "emqx",
    [DIALECT_HIVEMQ] = "hivemq",
    [DIALECT_VERNEMQ] = "vernemq",
    [DIALECT_NANOMQ] = "nanomq",
    [DIALECT_RABBITMQ] = "rabbitmq",
    [DIALECT_ACTIVEMQ] = "activemq",
    [DIALECT_ARTEMIS] = "artemis",
    [DIALECT_AWS] = "aws",
    [DIALECT_AZURE] = "azure",
};

const char *dialect_name(enum dialect dialect)
{
    assert(dialect < DIALECT_COUNT);
    return dialect_names[dialect];
}

int dialect_parse(struct view name)
{
    for (int i = 0; i < DIALECT_COUNT; i++) {
        if (view_equal_string(name, dialect_names[i]))
            return i;
    }
    return -1;
}

static const struct prefix_row *find_prefix(enum dialect dialect, struct view topic, bool of_name)
{
    for (size_t i = 0; i < PREFIX_COUNT; i++) {
        const struct prefix_row *row = &prefixes[i];
        if (row->of_name == of_name && (row->dialects >> dialect & 1) != 0 &&
            view_starts_with(topic, row->text))
            return row;
    }
    return NULL;
}

static bool argument_valid(enum prefix_argument kind, struct view argument)
{
    if (kind == ARGUMENT_SECONDS) {
        /* Leading zeros are fine for brokers; what is no number at all is not. */
        for (size_t i = 0; i < argument.length; i++) {
            if (argument.data[i] < '0' || argument.data[i] > '9')
                return false;
        }
        return argument.length > 0 && argument.length <= 10;
    }
    return argument.length > 0 && memchr(argument.data, '+', argument.length) == NULL &&
           memchr(argument.data, '#', argument.length) == NULL;
}

/* Takes the prefix's argument and its slash off the front of rest. */
static bool strip_argument(enum prefix_argument kind, struct view *rest)
{
    if (kind == ARGUMENT_NONE)
        return true;
    const uint8_t *slash = rest->length == 0 ? NULL : memchr(rest->data, '/', rest->length);
    if (slash == NULL)
        return false;
    struct view argument = view_of(rest->data, (size_t)(slash - rest->data));
    *rest = view_skip(*rest, argument.length + 1);
    return argument_valid(kind, argument);
}

static bool strip(enum dialect dialect, struct view topic, bool of_name, struct dialect_topic *out)
{
    assert(dialect < DIALECT_COUNT);
    *out = (struct dialect_topic){.topic = topic};
    if (topic.length == 0 || topic.data[0] != '$')
        return true;
    const struct prefix_row *row = find_prefix(dialect, topic, of_name);
    while (row != NULL) {
        if (row->nesting == NESTING_SHARE && out->shared)
            return false;
        struct view rest = view_skip(out->topic, row->text.length);
        if (!strip_argument(row->argument, &rest) || rest.length == 0)
            return false;
        out->topic = rest;
        out->features |= row->feature;
        out->shared |= row->shared;
        row = row->nesting == NESTING_LAST ? NULL : find_prefix(dialect, rest, of_name);
    }
    return true;
}

bool dialect_strip_filter(enum dialect dialect, struct view filter, struct dialect_topic *out)
{
    return strip(dialect, filter, false, out);
}

bool dialect_strip_name(enum dialect dialect, struct view name, struct dialect_topic *out)
{
    return strip(dialect, name, true, out);
}

/* ---- dots ----
 * RabbitMQ joins the levels of a topic by dots before it routes, and Artemis before ARTEMIS-4532 does the
 * same: a dot that the client wrote is a separator like any other then. ActiveMQ Classic swaps dots and
 * slashes, which keeps them apart. */

bool dialect_reads_dots(enum dialect dialect)
{
    return dialect == DIALECT_RABBITMQ || dialect == DIALECT_ARTEMIS;
}

static bool has_any(struct view text, bool stars)
{
    return text.length > 0 && (memchr(text.data, '.', text.length) != NULL ||
                                  (stars && memchr(text.data, '*', text.length) != NULL));
}

static struct view with_slashes(struct view text, struct buffer *space)
{
    size_t before = buffer_length(space);
    buffer_append(space, text);
    uint8_t *copy = space->data + space->start + before;
    for (size_t i = 0; i < text.length; i++) {
        if (copy[i] == '.')
            copy[i] = '/';
    }
    return view_of(copy, text.length);
}

struct view dialect_read_name(enum dialect dialect, struct view name, struct buffer *space)
{
    return dialect_reads_dots(dialect) && has_any(name, false) ? with_slashes(name, space) : name;
}

struct view dialect_read_filter(enum dialect dialect, struct view filter, struct buffer *space)
{
    if (!dialect_reads_dots(dialect) || !has_any(filter, true))
        return filter;
    struct view read = with_slashes(filter, space);
    uint8_t *copy = (uint8_t *)(uintptr_t)read.data;
    for (size_t i = 0; i < read.length; i++) {
        bool alone = (i == 0 || copy[i - 1] == '/') && (i + 1 == read.length || copy[i + 1] == '/');
        if (copy[i] == '*' && alone)
            copy[i] = '+';
    }
    return read;
}

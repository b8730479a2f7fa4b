/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of checks:. Called by the table of parse.c. */
#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"
#include "base/rate.h"
#include "policy/parse.h"
#include "policy/policy.h"

/* In one unit of time, and as a burst. */
#define MESSAGES_MAXIMUM 1000000
#define BYTES_MAXIMUM (UINT64_C(1) << 34)

static const struct keyword_choice mode_choices[] = {
    {.name = "enforce", .value = POLICY_ENFORCE},
    {.name = "monitor", .value = POLICY_MONITOR},
    {0},
};
static const struct keyword_choice per_choices[] = {
    {.name = "id", .value = POLICY_PER_ID, .help = "each identity, over all its sessions."},
    {.name = "address",
        .value = POLICY_PER_ADDRESS,
        .help = "each IPv4 address, and each /64 of IPv6 addresses."},
    {.name = "group",
        .value = POLICY_PER_GROUP,
        .help = "each group of `who`, over all its members; `everyone` is one, too."},
    {0},
};

/* ---- "20/s", "256KiB/s" ---- */

static const struct {
    char unit;
    uint64_t seconds;
} periods[] = {{'s', 1}, {'m', 60}, {'h', 3600}};

static uint64_t read_period(struct view text)
{
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]) && text.length == 2; i++) {
        if (text.data[0] == '/' && text.data[1] == (uint8_t)periods[i].unit)
            return periods[i].seconds * RATE_SECOND_NS;
    }
    return 0;
}

/* What is counted: as a number, or as a size. */
static int set_rate(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node, int (*parse)(struct view text, uint64_t *out), const char *maximum)
{
    struct parsed_rate rate = {.given = true};
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    const uint8_t *slash = node->text.length == 0 ? NULL : memchr(node->text.data, '/', node->text.length);
    size_t length = slash == NULL ? node->text.length : (size_t)(slash - node->text.data);
    rate.period_ns = read_period(view_skip(node->text, length));
    if (rate.period_ns == 0 || parse(view_of(node->text.data, length), &rate.count) != 0)
        return keyword_error(context, node,
            arena_format(context->arena,
                "so much in a second (/s), a minute (/m) or an hour (/h), such as %s", keyword->example),
            "%s: expected a rate, found '%.*s'", keyword->name, VIEW_ARGS(node->text));
    if (rate.count == 0)
        return keyword_error(context, node, "what is to let nothing pass is a rule that denies",
            "%s: must be more than 0", keyword->name);
    if (rate.count > keyword->maximum)
        return keyword_error(context, node, NULL, "%s: must be at most %s in a second, minute or hour",
            keyword->name, maximum);
    *(struct parsed_rate *)(void *)((char *)target + keyword->offset) = rate;
    return 0;
}

static int set_rate_of_number(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    char maximum[32];
    snprintf(maximum, sizeof(maximum), "%" PRIu64, keyword->maximum);
    return set_rate(context, keyword, target, node, number_parse, maximum);
}

static int set_rate_of_size(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_rate(
        context, keyword, target, node, number_parse_size, keyword_show_size(keyword->maximum).bytes);
}

/* ---- the tables ---- */

#define NUMBER_PATTERN "^[1-9][0-9]*/[smh]$"
#define SIZE_PATTERN "^[1-9][0-9]*(B|KiB|MiB|GiB|KB|MB|GB)?/[smh]$"

#define CHECK(field) offsetof(struct parsed_check, field)
static const struct keyword rate_table[] = {
    {.name = "per",
        .set = keyword_set_choice,
        .offset = CHECK(per),
        .choices = per_choices,
        .seen_offset = 1 + CHECK(has_per),
        .example = "id",
        .flags = KEYWORD_REQUIRED,
        .help = "Who shares a limit."},
    {.name = "messages",
        .set = set_rate_of_number,
        .like = keyword_set_string,
        .offset = CHECK(rates[POLICY_MESSAGES]),
        .seen_offset = 1 + CHECK(rates[POLICY_MESSAGES].given),
        .value = "rate",
        .pattern = NUMBER_PATTERN,
        .example = "20/s",
        .maximum = MESSAGES_MAXIMUM,
        .help = "PUBLISH packets of the clients, whatever their QoS: `20/s`, `100/m`, `1000/h`."},
    {.name = "burst",
        .set = keyword_set_number,
        .offset = CHECK(bursts[POLICY_MESSAGES]),
        .seen_offset = 1 + CHECK(has_burst[POLICY_MESSAGES]),
        .minimum = 1,
        .maximum = MESSAGES_MAXIMUM,
        .help = "Messages that may come at once after a rest. Without it, as many as `messages` has: 20 for "
                "`20/s`."},
    {.name = "bytes",
        .set = set_rate_of_size,
        .like = keyword_set_string,
        .offset = CHECK(rates[POLICY_BYTES]),
        .seen_offset = 1 + CHECK(rates[POLICY_BYTES].given),
        .value = "size a unit of time",
        .pattern = SIZE_PATTERN,
        .example = "256KiB/s",
        .maximum = BYTES_MAXIMUM,
        .help = "Payload of these packets: `256KiB/s`."},
    {.name = "bytes_burst",
        .set = keyword_set_size,
        .offset = CHECK(bursts[POLICY_BYTES]),
        .seen_offset = 1 + CHECK(has_burst[POLICY_BYTES]),
        .minimum = 1,
        .maximum = BYTES_MAXIMUM,
        .help =
            "Payload that may come at once after a rest; no larger one ever passes. Without it, as much as "
            "`bytes` has, and at least `limits.packet`."},
    {.name = "connects",
        .set = set_rate_of_number,
        .like = keyword_set_string,
        .offset = CHECK(rates[POLICY_CONNECTS]),
        .seen_offset = 1 + CHECK(rates[POLICY_CONNECTS].given),
        .value = "rate",
        .pattern = NUMBER_PATTERN,
        .example = "5/m",
        .maximum = MESSAGES_MAXIMUM,
        .help = "CONNECT packets."},
    {.name = "connects_burst",
        .set = keyword_set_number,
        .offset = CHECK(bursts[POLICY_CONNECTS]),
        .seen_offset = 1 + CHECK(has_burst[POLICY_CONNECTS]),
        .minimum = 1,
        .maximum = MESSAGES_MAXIMUM,
        .help = "CONNECTs that may come at once after a rest. Without it, as many as `connects` has."},
    {0},
};

const struct keyword parse_check_table[] = {
    {.name = "check",
        .set = keyword_set_string,
        .offset = CHECK(name),
        .flags = KEYWORD_REQUIRED,
        .value = "name",
        .pattern = PARSE_NAME_PATTERN,
        .example = "flood",
        .help = "The check's name, which no other check and no rule has."},
    {.name = "mode",
        .set = keyword_set_choice,
        .offset = CHECK(mode),
        .choices = mode_choices,
        .default_text = "enforce",
        .help = "`monitor`: only reports what it would refuse."},
    {.name = "who",
        .set = keyword_set_strings,
        .offset = CHECK(who),
        .seen_offset = 1 + CHECK(has_who),
        .default_text = "everyone",
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Groups; the check is about members of any of them."},
    {.name = "unless",
        .set = keyword_set_strings,
        .offset = CHECK(unless),
        .seen_offset = 1 + CHECK(has_unless),
        .flags = KEYWORD_ONE_OR_MANY,
        .help = "Groups whose members the check is not about."},
    {.name = "topics",
        .set = keyword_set_strings,
        .offset = CHECK(topics),
        .seen_offset = 1 + CHECK(has_topics),
        .example = "[\"#\"]",
        .flags = KEYWORD_ONE_OR_MANY,
        .pattern = PARSE_FILTER_PATTERN,
        .help = "Topic filters as a rule has them: which messages the check is about. Of a check of connects "
                "alone there are none."},
    {.name = "rate",
        .set = keyword_set_mapping,
        .members = rate_table,
        .flags = KEYWORD_ALTERNATIVE,
        .seen_offset = 1 + CHECK(is_of[POLICY_CHECK_RATE]),
        .help = "Limits of what comes from clients in a time: at least one of `messages`, `bytes` and "
                "`connects`."},
    {.name = "signature",
        .set = keyword_set_mapping,
        .members = parse_signature_table,
        .flags = KEYWORD_ALTERNATIVE,
        .seen_offset = 1 + CHECK(is_of[POLICY_CHECK_SIGNATURE]),
        .help = "The payload is signed (MPS1, see [signing.md](signing.md))."},
    {.name = "yara",
        .set = keyword_set_mapping,
        .members = parse_yara_table,
        .flags = KEYWORD_ALTERNATIVE,
        .seen_offset = 1 + CHECK(is_of[POLICY_CHECK_YARA]),
        .help = "The payload is scanned with YARA rules (see [scanning.md](scanning.md))."},
    {0},
};

int parse_set_checks(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_checks *checks = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    int result = 0;
    checks->items = arena_calloc(context->arena, node->count, sizeof(*checks->items));
    checks->count = 0;
    /* As with rules, one with an error stays. */
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        struct parsed_check *check = &checks->items[checks->count++];
        check->node = item;
        if (keyword_read(context, parse_check_table, check, item) != 0)
            result = -1;
    }
    return result;
}

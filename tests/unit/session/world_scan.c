/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner of scenarios: words in a message are what its rules look for. It answers now, or when the test
 * says so; either way the answer is a function of the bytes alone. Called by the session through its hooks.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "policy/yara.h"
#include "world.h"

#define NUMBERED 40

static const char *const bad_tags[] = {"botnet", "linux"};
static const char *const evil_tags[] = {"linux"};
static const struct scan_rule bad = {.name = "bad_word",
    .set = "iot",
    .tags = bad_tags,
    .tag_count = 2,
    .description = "A bad word",
    .reference = "https://example.org/bad",
    .id = "BW-1",
    .severity = "high",
    .mitre_attack = "T1105, T1059"};
static const struct scan_rule evil = {
    .name = "evil_word", .set = "web", .tags = evil_tags, .tag_count = 1, .mitre_attack = "T1059 T1190"};
static const struct scan_rule mild = {.name = "mild_word", .set = "iot", .severity = "low"};
static const struct scan_rule vague = {.name = "vague_word", .set = "cards"};

/* What a word of a message leads to. */
static const struct word {
    const char *word, *set;
    const struct scan_rule *rule; /* that finds it; NULL: see the others */
    struct scan_view_path view;
    bool nowhere; /* no string of the rule matched */
    const char *error, *incomplete;
} words[] = {
    {.word = "mild", .set = "iot", .rule = &mild},
    {.word = "bad", .set = "iot", .rule = &bad},
    {.word = "evil", .set = "web", .rule = &evil, .view = {2, {SCAN_JSON, SCAN_BASE64}, 0}},
    {.word = "vague", .set = "cards", .rule = &vague, .nowhere = true},
    {.word = "broken", .set = "iot", .error = "out of memory"},
    {.word = "bomb", .set = "iot", .incomplete = "ratio"},
};

static uint64_t set_bit(const char *name)
{
    static const char *const sets[] = {"iot", "web", "cards"};

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
        if (strcmp(sets[i], name) == 0)
            return UINT64_C(1) << i;
    return 0;
}

void world_take_sets(struct world *world)
{
    const struct policy *policy = world->settings.policy;

    memset(world->scan_sets, 0, sizeof(world->scan_sets));
    for (uint64_t rest = policy_yara_checks(policy); rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);
        const struct yara_terms *terms = policy_check(policy, check)->yara;

        for (size_t i = 0; i < terms->rule_count; i++)
            world->scan_sets[check] |= set_bit(terms->rules[i]);
    }
    world->settings.scan_sets = world->scan_sets;
}

/* ---- the answer ---- */

static void add_finding(struct scan_result *result, const struct scan_finding *finding)
{
    if (result->count < SCAN_FINDINGS_MAX)
        result->findings[result->count] = *finding;
    result->count++;
}

/* "many": more rules than a result lists. */
static void add_numbered(struct scan_result *result, enum scan_part_kind part)
{
    static struct scan_rule rules[NUMBERED];
    static char names[NUMBERED][8];

    for (size_t i = 0; i < NUMBERED; i++) {
        snprintf(names[i], sizeof(names[i]), "r%zu", i);
        rules[i] = (struct scan_rule){.name = names[i], .set = "iot"};
        add_finding(result, &(struct scan_finding){.rule = &rules[i], .part = part, .offset = i});
    }
}

static void examine(const struct scan_part *part, uint64_t sets, struct scan_result *result)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const struct word *word = &words[i];
        const uint8_t *at = part->bytes.length == 0 ? NULL
                                                    : memmem(part->bytes.data, part->bytes.length, word->word,
                                                          strlen(word->word));

        if (at == NULL || (sets & set_bit(word->set)) == 0)
            continue;
        if (word->rule != NULL)
            add_finding(
                result, &(struct scan_finding){.rule = word->rule,
                            .part = part->kind,
                            .view = word->view,
                            .offset = word->nowhere ? UINT64_MAX : (uint64_t)(at - part->bytes.data)});
        else
            result->complete = false;
        if (word->error != NULL) {
            result->error = word->error;
            result->error_set = word->set;
        }
        if (word->incomplete != NULL)
            result->incomplete = word->incomplete;
    }
    if ((sets & set_bit("iot")) != 0 && part->bytes.length > 0 &&
        memmem(part->bytes.data, part->bytes.length, "many", 4) != NULL)
        add_numbered(result, part->kind);
}

static struct scan_result answer(const struct scan_request *request)
{
    struct scan_result result = {.complete = true};

    for (size_t i = 0; i < request->part_count; i++) {
        examine(&request->parts[i], request->sets, &result);
        if (request->parts[i].bytes.length > request->max_scan) {
            result.complete = false;
            result.incomplete = "max_scan";
        }
    }
    if (request->more_parts) {
        result.complete = false;
        result.incomplete = "parts";
    }
    return result;
}

/* ---- what was asked ---- */

static void add_text(struct buffer *out, const char *key, struct view text)
{
    if (text.length > 0)
        buffer_format(out, " %s=%.*s", key, VIEW_ARGS(text));
}

/* "in dt/x qos=1 size=5 client_id=plc-7 payload=hello user_property=name ..." */
static void describe(struct world *world, const struct scan_request *request)
{
    static const char *const kinds[] = {"payload", "user_property", "correlation_data"};
    const struct scan_context *context = request->context;
    struct buffer text = {0};

    buffer_format(&text, "%s %.*s qos=%u size=%llu%s", context->outbound ? "out" : "in",
        VIEW_ARGS(context->topic), context->qos, (unsigned long long)context->payload_size,
        context->retain ? " retain" : "");
    add_text(&text, "client_id", context->client_id);
    add_text(&text, "username", context->username);
    add_text(&text, "identity", context->identity);
    add_text(&text, "groups", context->groups);
    add_text(&text, "content_type", context->content_type);
    for (size_t i = 0; i < request->part_count; i++)
        buffer_format(&text, " %s=%.*s", kinds[request->parts[i].kind], VIEW_ARGS(request->parts[i].bytes));
    snprintf(world->scan_request, sizeof(world->scan_request), "%.*s", VIEW_ARGS(buffer_view(&text)));
    buffer_release(&text);
    world->scan_parts = request->part_count;
    world->scan_max = request->max_scan;
    world->scan_views = request->views;
}

static bool is_slow(const struct scan_request *request)
{
    for (size_t i = 0; i < request->part_count; i++)
        if (request->parts[i].bytes.length > 0 &&
            memmem(request->parts[i].bytes.data, request->parts[i].bytes.length, "slow", 4) != NULL)
            return true;
    return false;
}

bool world_scan(void *context, const struct scan_request *request, struct scan_result *result)
{
    struct world *world = context;

    cr_expect(request->work_max > 0 && request->timeout_ns <= 2000000, "a scan here has a bound");
    describe(world, request);
    world->scans_here++;
    *result = answer(request);
    if (!world->scan_later && !is_slow(request))
        return true;
    /* nothing of it is to be looked at */
    *result = (struct scan_result){.count = 7, .error = "given up", .given_up = true};
    return false;
}

/* ---- later ---- */

void world_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket)
{
    struct world *world = context;
    bool outbound = scans[0].request.context->outbound;
    struct world_scan *scan = &world->scans[outbound];
    struct buffer line = {0};

    cr_assert(ticket != 0 && count > 0);
    cr_expect(scan->ticket == 0, "two messages of a direction are scanned at a time");
    free(scan->results);
    *scan = (struct world_scan){.ticket = ticket, .count = count};
    scan->results = memory_calloc(count, sizeof(*scan->results));
    buffer_format(&line, "scans %s", outbound ? "out" : "in");
    for (size_t i = 0; i < count; i++) {
        const struct session_scan *asked = &scans[i];

        cr_expect(asked->request.work_max == 0, "a scan that nobody's loop waits for has no bound of work");
        describe(world, &asked->request);
        scan->results[i].result = answer(&asked->request);
        if (asked->quarantine)
            scan->results[i].quarantine = scan->results[i].result.count > 0 ? "stored" : NULL;
        buffer_format(&line, " %llu%s", (unsigned long long)asked->request.sets,
            asked->quarantine ? "+quarantine" : "");
    }
    world_take_line(world, &line);
}

void world_scan_free(struct world *world)
{
    free(world->scans[0].results);
    free(world->scans[1].results);
}

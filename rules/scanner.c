/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a thread's scanner. Called by the workers, the scan pool and the command line.
 *
 * A message's way:
 *   each part -> raw view -> decoded views (views.h)
 *   each view -> prefilter -> no candidate: done
 *                          -> verdicts: seen before: done
 *                          -> libyara, with the groups that are candidates -> verdicts
 * scan_group.c calls libyara. */
#include "rules/scanner.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

struct scanner *scanner_new(void)
{
    struct scanner *scanner = memory_calloc(1, sizeof(*scanner));

    scanner->views = scan_view_space_new();
    scanner->verdicts = verdicts_new();
    return scanner;
}

/* ---- the generation that it is bound to ---- */

static void unbind(struct scanner *scanner)
{
    if (scanner->rules == NULL)
        return;
    for (size_t i = 0; i < scanner->rules->group_count; i++) {
        if (scanner->groups[i] != NULL)
            yr_scanner_destroy(scanner->groups[i]);
    }
    for (size_t i = 0; i < scanner->rules->set_count; i++) {
        if (scanner->wholes[i] != NULL)
            yr_scanner_destroy(scanner->wholes[i]);
    }
    free(scanner->groups);
    free(scanner->calls);
    free(scanner->candidates);
    for (unsigned i = 0; i < SELECTIONS; i++)
        free(scanner->selections[i].groups);
    memset(scanner->selections, 0, sizeof(scanner->selections));
    memset(scanner->wholes, 0, sizeof(scanner->wholes));
    prefilter_space_free(scanner->space);
    verdicts_clear(scanner->verdicts);
    scan_rules_release(scanner->rules);
    scanner->rules = NULL;
}

static void bind(struct scanner *scanner, struct scan_rules *rules)
{
    if (scanner->rules == rules)
        return;
    unbind(scanner);
    scanner->rules = scan_rules_retain(rules);
    scanner->words = prefilter_words(rules->group_count);
    scanner->groups = memory_calloc(rules->group_count + 1, sizeof(*scanner->groups));
    scanner->calls = memory_calloc(rules->group_count + 1, sizeof(*scanner->calls));
    scanner->candidates = memory_calloc(scanner->words + 1, sizeof(*scanner->candidates));
    scanner->space = prefilter_space_new(rules->prefilter);
    scanner->next_selection = 0;
    scanner_select(scanner, 0);
}

void scanner_free(struct scanner *scanner)
{
    if (scanner == NULL)
        return;
    unbind(scanner);
    scan_view_space_free(scanner->views);
    verdicts_free(scanner->verdicts);
    externals_release(&scanner->externals);
    buffer_release(&scanner->key);
    free(scanner->found);
    free(scanner);
}

void scanner_release_rules(struct scanner *scanner)
{
    unbind(scanner);
}

/* ---- what was found ---- */

void scanner_fail(struct scanner *scanner, const char *error, const char *set)
{
    struct scan_result *result = scanner->result;

    scanner->view_failed = true;
    result->complete = false;
    if (result->error == NULL) {
        result->error = error;
        result->error_set = set;
    }
}

static void note_incomplete(struct scan_result *result, const char *why)
{
    result->complete = false;
    if (result->incomplete == NULL)
        result->incomplete = why;
}

void scanner_found(struct scanner *scanner, uint32_t rule, uint64_t offset)
{
    if (scanner->found_count == scanner->found_capacity) {
        scanner->found_capacity = scanner->found_capacity == 0 ? 16 : scanner->found_capacity * 2;
        scanner->found = memory_realloc(scanner->found, scanner->found_capacity, sizeof(*scanner->found));
    }
    scanner->found[scanner->found_count++] = (struct verdict){rule, offset};
}

/* The one to give up for another rule: a second finding of the same rule, or else the least; NULL: all are
 * worse. */
static struct scan_finding *least(struct scan_result *result, const struct scan_rule *rule)
{
    struct scan_finding *found = NULL;
    unsigned rank = scan_rule_rank(rule);

    for (size_t i = 0; i < SCAN_FINDINGS_MAX; i++) {
        struct scan_finding *at = &result->findings[i];
        for (size_t k = 0; k < i; k++)
            if (result->findings[k].rule == at->rule)
                return at;
        if (scan_rule_rank(at->rule) < rank) {
            rank = scan_rule_rank(at->rule);
            found = at;
        }
    }
    return found;
}

static void keep(struct scan_result *result, const struct scan_finding *finding)
{
    struct scan_finding *at = NULL;

    if (result->count++ < SCAN_FINDINGS_MAX) {
        result->findings[result->count - 1] = *finding;
        return;
    }
    for (size_t i = 0; i < SCAN_FINDINGS_MAX; i++)
        if (result->findings[i].rule == finding->rule)
            return;
    at = least(result, finding->rule);
    if (at != NULL)
        *at = *finding;
}

static void report(
    struct scanner *scanner, const struct scan_view_path *path, const struct verdict *found, size_t count)
{
    struct scan_result *result = scanner->result;

    for (size_t i = 0; i < count; i++) {
        const struct scan_finding finding = {.rule = &scanner->rules->rules[found[i].rule],
            .part = scanner->request->parts[scanner->part_index].kind,
            .part_index = scanner->part_index,
            .view = *path,
            .offset = found[i].offset};
        keep(result, &finding);
        if (scanner->request->each != NULL)
            scanner->request->each(scanner->request->each_context, &finding);
    }
}

static int compare_found(const void *a, const void *b)
{
    uint32_t x = ((const struct verdict *)a)->rule, y = ((const struct verdict *)b)->rule;

    return x < y ? -1 : x > y;
}

/* ---- too much for here ---- */

/* Each bounds a scan on a loop to a few hundred microseconds, mostly. libyara looks at the clock too seldom
 * to be held by that alone. */
#define LOOP_WORK (16 * 1024)
#define LOOP_NS UINT64_C(1000000)
#define LOOP_VIEWS_OUTPUT (32 * 1024)
#define LOOP_VIEWS_WORK (128 * 1024)
/* A call of libyara costs something whatever it scans. */
#define CALL_WORK 128
/* What bytes don't tell: rules differ. */
#define NS_OF_WORK 16

void scan_request_for_loop(struct scan_request *request)
{
    request->work_max = LOOP_WORK;
    if (request->timeout_ns > LOOP_NS)
        request->timeout_ns = LOOP_NS;
}

/* Counts work of libyara ahead of it. False: it is not to be done here; nothing more is scanned. */
static bool may_work(struct scanner *scanner, uint64_t bytes)
{
    scanner->yara_work += bytes;
    if (scanner->request->work_max == 0 || scanner->yara_work <= scanner->request->work_max)
        return true;
    scanner->late = true;
    return false;
}

/* ---- a view ---- */

/* The groups to be scanned, in candidates; how many there are. */
static size_t find_candidates(struct scanner *scanner, struct view bytes)
{
    const struct scan_rules *rules = scanner->rules;
    size_t count = 0;

    memset(scanner->candidates, 0, scanner->words * sizeof(*scanner->candidates));
    bool told =
        prefilter_scan(rules->prefilter, scanner->space, scanner->selected->sets, bytes, scanner->candidates);
    for (size_t i = 0; i < scanner->words; i++) {
        uint64_t wanted = told ? scanner->candidates[i] | rules->always[i] : UINT64_MAX;
        scanner->candidates[i] = wanted & scanner->selected->groups[i];
        if (scanner->candidates[i] != 0)
            count += (size_t)__builtin_popcountll(scanner->candidates[i]);
    }
    return count;
}

static bool is_candidate(const struct scanner *scanner, size_t group)
{
    return (scanner->candidates[group / 64] >> (group % 64) & 1) != 0;
}

/* A few bytes can cost a dear rule seconds, between two looks at the clock. */
static bool may_call(struct scanner *scanner)
{
    if (scanner->request->work_max == 0)
        return true;
    for (size_t i = 0; i < scanner->rules->group_count && !scanner->late; i++)
        scanner->late = is_candidate(scanner, i) && scanner->rules->sets[scanner->rules->groups[i].set].dear;
    return !scanner->late;
}

/* Externals are copied when the first view needs them. */
static void take_externals(struct scanner *scanner, const struct scan_view_path *path)
{
    if (scanner->selected->externals == 0)
        return;
    if (!scanner->externals_taken)
        externals_take(&scanner->externals, scanner->request->context);
    scanner->externals_taken = true;
    externals_take_view(&scanner->externals, path);
}

/* false: it is not remembered. */
static bool make_key(struct scanner *scanner, struct view bytes)
{
    if (bytes.length >= VERDICTS_KEY_MAXIMUM || scanner->selected->changing ||
        (scanner->externals.with_nul & scanner->selected->externals) != 0)
        return false;
    buffer_clear(&scanner->key);
    buffer_append(&scanner->key, view_of(&scanner->selected->sets, sizeof(scanner->selected->sets)));
    externals_append(&scanner->externals, scanner->selected->externals, &scanner->key);
    buffer_append(&scanner->key, bytes);
    return buffer_length(&scanner->key) <= VERDICTS_KEY_MAXIMUM;
}

static void scan_view(struct scanner *scanner, const struct scan_view_path *path, struct view bytes)
{
    const struct verdict *known;
    size_t count, groups = find_candidates(scanner, bytes);

    if (groups == 0)
        return;
    take_externals(scanner, path);
    bool keeps = make_key(scanner, bytes);
    if (keeps && verdicts_find(scanner->verdicts, buffer_view(&scanner->key), &known, &count)) {
        report(scanner, path, known, count);
        return;
    }
    if (!may_work(scanner, (bytes.length + CALL_WORK) * (uint64_t)groups) || !may_call(scanner))
        return;
    scanner->found_count = 0;
    scanner->view_failed = false;
    for (size_t i = 0; i < scanner->rules->group_count; i++) {
        if (is_candidate(scanner, i))
            scan_group(scanner, i, bytes);
    }
    if (scanner->found_count > 1)
        qsort(scanner->found, scanner->found_count, sizeof(*scanner->found), compare_found);
    report(scanner, path, scanner->found, scanner->found_count);
    if (keeps && !scanner->view_failed)
        verdicts_keep(scanner->verdicts, buffer_view(&scanner->key), scanner->found, scanner->found_count);
}

static void scan_view_plainly(struct scanner *scanner, const struct scan_view_path *path, struct view bytes)
{
    take_externals(scanner, path);
    scanner->found_count = 0;
    for (size_t i = 0; i < scanner->rules->set_count; i++) {
        if ((scanner->selected->sets & UINT64_C(1) << i) != 0)
            scan_whole(scanner, i, bytes);
    }
    report(scanner, path, scanner->found, scanner->found_count);
}

/* ---- a message ---- */

/* Raw and decoded. */
static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct scanner *scanner = context;

    if (bytes.length > scanner->request->max_scan) {
        bytes.length = scanner->request->max_scan;
        note_incomplete(scanner->result, "max_scan");
    }
    if (scanner->plain)
        scan_view_plainly(scanner, path, bytes);
    else
        scan_view(scanner, path, bytes);
    return !scanner->late;
}

static bool in_time(void *context)
{
    struct scanner *scanner = context;

    if (scanner_time_left(scanner) == 0)
        scanner->late = true;
    return !scanner->late;
}

/* The bounds of views are those of the message: its parts share them. */
static void set_limits(struct scanner *scanner)
{
    const struct scan_request *request = scanner->request;
    struct scan_view_limits limits;
    size_t size = 0;

    for (size_t i = 0; i < request->part_count; i++) {
        size_t length = request->parts[i].bytes.length;
        size += length < request->max_scan ? length : request->max_scan;
    }
    limits = scan_view_limits_for(size);
    if (request->work_max != 0) {
        limits.output = LOOP_VIEWS_OUTPUT;
        limits.work = LOOP_VIEWS_WORK;
    }
    limits.in_time = in_time;
    scanner->limits = limits;
    scanner->limited = true;
}

/* On a loop a bound of its own says nothing about the message. */
static bool is_bound_of_loop(const char *why)
{
    return strcmp(why, "output") == 0 || strcmp(why, "work") == 0 || strcmp(why, "views") == 0;
}

static void take_why(struct scanner *scanner, const char *why)
{
    /* of what is damaged a receiver gets no more than the scanner did */
    if (why == NULL || strcmp(why, "damaged") == 0)
        return;
    if (scanner->request->work_max != 0 && is_bound_of_loop(why))
        scanner->late = true;
    else if (strcmp(why, "time") == 0)
        scanner_fail(scanner, "timeout", NULL);
    else
        note_incomplete(scanner->result, why);
}

/* Most parts have none. */
static void scan_decoded(struct scanner *scanner, struct view bytes)
{
    struct scan_view_limits *limits = &scanner->limits;
    struct scan_view_use use;

    if (!scan_views_any(bytes, scanner->request->views))
        return;
    if (!scanner->limited)
        set_limits(scanner);
    take_why(scanner, scan_views(scanner->views, bytes, scanner->request->views, limits, on_view, scanner));
    use = scan_views_use(scanner->views);
    limits->views -= use.views;
    limits->output -= use.output;
    limits->work -= use.work;
    scanner->result->work += use.work;
}

static void scan_part(struct scanner *scanner, size_t index)
{
    static const struct scan_view_path raw = {0};
    struct view bytes = scanner->request->parts[index].bytes;

    scanner->part_index = index;
    bool goes_on = on_view(scanner, &raw, bytes);
    if (scanner->request->views == 0 || !goes_on)
        return;
    if (bytes.length > scanner->request->max_scan)
        bytes.length = scanner->request->max_scan;
    scan_decoded(scanner, bytes);
}

static void begin(
    struct scanner *scanner, const struct scan_request *request, struct scan_result *result, bool plain)
{
    scanner->request = request;
    scanner->result = result;
    scanner->plain = plain;
    scanner->externals_taken = false;
    scanner->externals.with_nul = 0;
    scanner->started = false;
    scanner->late = false;
    scanner->yara_work = 0;
    scanner->limited = false;
    result->count = 0;
    result->work = 0;
    result->complete = true;
    result->given_up = false;
    result->error = result->error_set = result->incomplete = NULL;
}

static void scan(struct scanner *scanner, struct scan_rules *rules, const struct scan_request *request,
    struct scan_result *result, bool plain)
{
    assert(!plain || rules->plain);
    bind(scanner, rules);
    if (scanner->selected->sets != request->sets)
        scanner_select(scanner, request->sets);
    begin(scanner, request, result, plain);
    if (request->more_parts)
        note_incomplete(result, "parts");
    for (size_t i = 0; i < request->part_count && !scanner->late; i++)
        scan_part(scanner, i);
    result->given_up = scanner->late && request->work_max != 0;
    result->spent_ns = scanner->started ? scanner_time_spent(scanner) : 0;
    result->work += scanner->yara_work + result->spent_ns / NS_OF_WORK;
}

void scanner_scan(struct scanner *scanner, struct scan_rules *rules, const struct scan_request *request,
    struct scan_result *result)
{
    scan(scanner, rules, request, result, false);
}

void scanner_scan_plainly(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result)
{
    scan(scanner, rules, request, result, true);
}

uint64_t scanner_group_calls(const struct scanner *scanner, size_t group)
{
    return scanner->rules == NULL || group >= scanner->rules->group_count ? 0 : scanner->calls[group];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward rules stats: what rule sets come to once they are loaded, and how often ordinary messages would
 * bring libyara into play. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "policy/yara.h"
#include "proxy/cli/rules_input.h"
#include "proxy/cli/text.h"

#define RULES_SHOWN 10

enum { OPTION_CORPUS = RULES_OPTIONS };
static const struct cli_option options[] = {
    RULES_OPTION_ROWS("the rules of this mqward.yaml (default, without a PATH: /etc/mqward/mqward.yaml)"),
    [OPTION_CORPUS] = {"corpus", 0, "FOLDER", "files that are messages: how many of them come to libyara"},
    {NULL, 0, NULL, NULL},
};

/* A rule, and how many views it was a candidate for. */
struct counted_rule {
    const struct scan_rule *rule;
    uint64_t views;
};

/* All messages by one generation of the rules. */
struct count {
    struct scan_rules *rules;
    struct scanner *scanner;
    const struct sample *sample;   /* whose views are counted */
    size_t groups;                 /* of rules */
    size_t messages, views, bytes; /* bytes: of all views */
    size_t called_views;           /* that libyara had to look at */
    uint64_t calls;
};

struct counting {
    struct rules_input *input;
    struct scan_rules_stats stats;
    bool asked;                   /* there is a corpus */
    struct count whole;           /* as the proxy has the rules */
    struct count single;          /* each in a group of its own: who is a candidate */
    struct counted_rule *counted; /* the most frequent first; without those that are evaluated always */
    size_t counted_rules;
};

/* ---- counting ---- */

static uint64_t all_calls(const struct count *count)
{
    uint64_t calls = 0;

    for (size_t i = 0; i < count->groups; i++)
        calls += scanner_group_calls(count->scanner, i);
    return calls;
}

/* A view by itself: for the prefilter all are the same. */
static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct count *count = context;
    const struct scan_part part = {SCAN_PAYLOAD, bytes};
    struct scan_request request = rules_request(count->sample, &part, rules_all_sets(count->rules));
    struct scan_result result;

    (void)path;
    request.views = 0;
    scanner_scan(count->scanner, count->rules, &request, &result);
    uint64_t calls = all_calls(count);
    count->views++;
    count->bytes += bytes.length;
    count->called_views += calls > count->calls;
    count->calls = calls;
    return true;
}

static void count_message(
    struct count *count, struct scan_view_space *space, const char *path, struct diag_list *diag)
{
    struct sample sample;

    if (sample_read(&sample, path, diag)) {
        struct view bytes = buffer_view(&sample.bytes);
        count->sample = &sample;
        count->messages++;
        on_view(count, NULL, bytes);
        if (bytes.length > YARA_MAX_SCAN)
            bytes.length = YARA_MAX_SCAN;
        const struct scan_view_limits limits = scan_view_limits_for(bytes.length);
        scan_views(space, bytes, SCAN_VIEWS_ALL, &limits, on_view, count);
    }
    sample_release(&sample);
}

static void count_all(struct count *count, struct scan_rules *rules, const char *const *paths,
    size_t path_count, struct diag_list *diag)
{
    struct scan_view_space *space = scan_view_space_new();

    *count =
        (struct count){.rules = rules, .scanner = scanner_new(), .groups = scan_rules_stats(rules).groups};
    for (size_t i = 0; i < path_count; i++)
        count_message(count, space, paths[i], diag);
    scan_view_space_free(space);
}

static int compare_counted(const void *a, const void *b)
{
    const struct counted_rule *x = a, *y = b;

    if (x->views != y->views)
        return x->views > y->views ? -1 : 1;
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* A set that can't be cut is one group of rules that are evaluated always: it has none of these. */
static void take_candidates(struct counting *counting)
{
    const struct count *single = &counting->single;

    counting->counted = memory_calloc(single->groups + 1, sizeof(*counting->counted));
    for (size_t i = 0; i < single->groups; i++) {
        const struct scan_rule *rule = NULL;
        uint64_t views = scanner_group_calls(single->scanner, i);
        scan_rules_group(single->rules, i, &rule, 1);
        if (rule != NULL && !rule->always && views > 0)
            counting->counted[counting->counted_rules++] = (struct counted_rule){rule, views};
    }
    if (counting->counted_rules > 1)
        qsort(counting->counted, counting->counted_rules, sizeof(*counting->counted), compare_counted);
}

static void count_corpus(struct counting *counting, const char *folder)
{
    static const struct scan_load apart = {.group_rules = 1};
    struct rules_input *input = counting->input;
    const char *const *paths;
    size_t count;

    if (!sample_list(folder, input->arena, &paths, &count, input->diag))
        return;
    counting->asked = true;
    count_all(&counting->whole, input->rules, paths, count, input->diag);
    struct scan_rules *single = rules_input_again(input, &apart);
    if (single != NULL)
        count_all(&counting->single, single, paths, count, input->diag);
    if (single != NULL)
        take_candidates(counting);
}

/* ---- for people ---- */

static void print_corpus(const struct counting *counting)
{
    const struct count *whole = &counting->whole;

    printf(
        "%-12s %zu, with %zu views of %zu bytes\n", "messages", whole->messages, whole->views, whole->bytes);
    printf("%-12s called for %zu views, %llu times\n", "libyara", whole->called_views,
        (unsigned long long)whole->calls);
    if (counting->counted_rules > 0)
        printf(
            "rules that had to be looked at, because of their strings:\n%8s %8s  RULE\n", "VIEWS", "SHARE");
    for (size_t i = 0; i < counting->counted_rules && i < RULES_SHOWN; i++) {
        const struct counted_rule *counted = &counting->counted[i];
        printf("%8llu %6.2f %%  ", (unsigned long long)counted->views,
            100.0 * (double)counted->views / (double)whole->views);
        rules_print_name(counted->rule);
        rules_print_place(counted->rule);
        putchar('\n');
    }
    if (counting->counted_rules > RULES_SHOWN)
        printf("... and %zu more\n", counting->counted_rules - RULES_SHOWN);
}

static void print_text(const struct counting *counting)
{
    const struct scan_rules_stats *stats = &counting->stats;
    struct scan_rules *rules = counting->input->rules;

    diag_print(counting->input->diag, stderr);
    if (rules == NULL)
        return;
    printf("%-12s %zu\n", "rule sets", stats->sets);
    printf(
        "%-12s %zu, %zu of them evaluated for every message\n", "rules", stats->rules, stats->always_rules);
    printf(
        "%-12s %zu, %zu of them scanned for every message\n", "groups", stats->groups, stats->always_groups);
    printf("%-12s %s, %zu literals\n", "prefilter", stats->engine, stats->literals);
    printf("%-12s %.3f s, %.1f MiB\n", "loading", (double)counting->input->load_ns / 1e9,
        (double)counting->input->resident / 1048576);
    for (size_t i = 0; i < stats->rules; i++) {
        const struct scan_rule *rule = scan_rules_at(rules, i);
        if (!rule->always)
            continue;
        fputs("every message: ", stdout);
        rules_print_name(rule);
        rules_print_place(rule);
        putchar('\n');
    }
    if (counting->asked)
        print_corpus(counting);
}

/* ---- for programs ---- */

static void json_rules(struct json *json, const char *key, const struct scan_rule *const *rules, size_t count)
{
    json_write_array_begin(json, key);
    for (size_t i = 0; i < count; i++) {
        json_write_object_begin(json, NULL);
        rules_json_rule(json, rules[i]);
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void json_stats(struct json *json, const struct counting *counting)
{
    const struct scan_rules_stats *stats = &counting->stats;
    const struct scan_rule **rules = memory_calloc(stats->rules + 1, sizeof(*rules));
    size_t count = 0;

    json_write_unsigned(json, "sets", stats->sets);
    json_write_unsigned(json, "rules", stats->rules);
    json_write_unsigned(json, "groups", stats->groups);
    json_write_unsigned(json, "always_groups", stats->always_groups);
    json_write_unsigned(json, "literals", stats->literals);
    json_write_string(json, "engine", view_of_string(stats->engine));
    json_write_unsigned(json, "load_ms", counting->input->load_ns / 1000000);
    json_write_unsigned(json, "resident_bytes", counting->input->resident);
    for (size_t i = 0; i < stats->rules; i++) {
        rules[count] = scan_rules_at(counting->input->rules, i);
        count += rules[count]->always;
    }
    json_rules(json, "always", rules, count);
    free(rules);
}

static void json_corpus(struct json *json, const struct counting *counting)
{
    const struct count *whole = &counting->whole;

    json_write_object_begin(json, "corpus");
    json_write_unsigned(json, "messages", whole->messages);
    json_write_unsigned(json, "views", whole->views);
    json_write_unsigned(json, "bytes", whole->bytes);
    json_write_unsigned(json, "views_to_libyara", whole->called_views);
    json_write_unsigned(json, "calls", whole->calls);
    json_write_array_begin(json, "candidates");
    for (size_t i = 0; i < counting->counted_rules; i++) {
        json_write_object_begin(json, NULL);
        rules_json_rule(json, counting->counted[i].rule);
        json_write_unsigned(json, "views", counting->counted[i].views);
        json_write_object_end(json);
    }
    json_write_array_end(json);
    json_write_object_end(json);
}

static void print_json(const struct counting *counting)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(
        &json, "ok", counting->input->rules != NULL && diag_errors(counting->input->diag) == 0);
    diag_print_json(counting->input->diag, &json, "findings");
    if (counting->input->rules != NULL)
        json_stats(&json, counting);
    if (counting->asked)
        json_corpus(&json, counting);
    json_write_object_end(&json);
    rules_print_json(&out);
}

/* ---- the command ---- */

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct rules_input input;
    struct counting counting = {.input = &input};
    int status = rules_input_open(&input, command, values, (const char *const *)argv, (size_t)argc, NULL);

    if (status != CLI_OK)
        return status;
    if (input.rules != NULL)
        counting.stats = scan_rules_stats(input.rules);
    if (input.rules != NULL && values[OPTION_CORPUS] != NULL)
        count_corpus(&counting, values[OPTION_CORPUS]);
    if (values[RULES_OPTION_JSON] != NULL)
        print_json(&counting);
    else
        print_text(&counting);
    status = input.rules != NULL && diag_errors(input.diag) == 0 ? CLI_OK : CLI_FINDINGS;
    scanner_free(counting.whole.scanner);
    scanner_free(counting.single.scanner);
    scan_rules_release(counting.single.rules);
    free(counting.counted);
    rules_input_close(&input);
    return status;
}

const struct cli_command cli_rules_stats = {.name = "rules stats",
    .arguments = " [PATH...]",
    .summary = "say what rules come to once they are loaded; a PATH is a rule file, or a folder of them",
    .options = options,
    .run = run,
    .options_anywhere = true};

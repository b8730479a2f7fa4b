/* SPDX-License-Identifier: Apache-2.0 */
/* The shipped rules (rules/library) by libyara itself: no warning, complete meta, every sample of a rule is a
 * hit or a miss as the rule says, and ordinary telemetry (tests/vectors/rules/telemetry) meets none of them
 * in any view. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <yara.h>

#include "rules/samples.h"

#define LIBRARY MQWARD_SOURCE_DIR "/rules/library/"
#define SAMPLES LIBRARY "samples/"
#define TELEMETRY MQWARD_SOURCE_DIR "/tests/vectors/rules/telemetry/"
#define SETS 3
static const char *const sets[SETS] = {"*.yar", "personal/*.yar", "strict/*.yar"};

struct library {
    YR_RULES *rules;
    YR_SCANNER *scanner;
    struct scan_view_space *space;
    const char *view; /* of the match */
    char names[512];  /* rules that matched, each between blanks */
    int warnings;
};

static void on_compiler(
    int level, const char *file, int line, const YR_RULE *rule, const char *message, void *context)
{
    struct library *library = context;

    fprintf(stderr, "%s:%d: %s: %s\n", file, line, rule == NULL ? "" : rule->identifier, message);
    library->warnings++;
    (void)level;
}

static void compile_file(YR_COMPILER *compiler, const char *path)
{
    FILE *file = fopen(path, "r");

    cr_assert(file != NULL, "%s", path);
    cr_assert_eq(yr_compiler_add_file(compiler, file, NULL, path), 0, "%s", path);
    fclose(file);
}

static struct library open_library(const char *set)
{
    struct library library = {.space = scan_view_space_new()};
    static const char *const texts[] = {
        "topic", "client_id", "username", "identity", "groups", "content_type", "view", "direction"};
    YR_COMPILER *compiler;
    glob_t found;
    char pattern[512];

    cr_assert_eq(yr_initialize(), ERROR_SUCCESS);
    cr_assert_eq(yr_compiler_create(&compiler), ERROR_SUCCESS);
    yr_compiler_set_callback(compiler, on_compiler, &library);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        yr_compiler_define_string_variable(compiler, texts[i], "");
    yr_compiler_define_integer_variable(compiler, "qos", 0);
    yr_compiler_define_integer_variable(compiler, "payload_size", 0);
    yr_compiler_define_boolean_variable(compiler, "retain", 0);
    snprintf(pattern, sizeof(pattern), LIBRARY "%s", set);
    cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "%s", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        compile_file(compiler, found.gl_pathv[i]);
    globfree(&found);
    cr_assert_eq(yr_compiler_get_rules(compiler, &library.rules), ERROR_SUCCESS);
    yr_compiler_destroy(compiler);
    cr_assert_eq(yr_scanner_create(library.rules, &library.scanner), ERROR_SUCCESS);
    return library;
}

static void close_library(struct library *library)
{
    scan_view_space_free(library->space);
    yr_scanner_destroy(library->scanner);
    yr_rules_destroy(library->rules);
    yr_finalize();
}

static int on_scan(YR_SCAN_CONTEXT *scan, int message, void *data, void *context)
{
    struct library *library = context;
    const size_t used = strlen(library->names);

    (void)scan;
    if (message == CALLBACK_MSG_RULE_MATCHING)
        snprintf(library->names + used, sizeof(library->names) - used, "%s ", ((YR_RULE *)data)->identifier);
    return CALLBACK_CONTINUE;
}

static void scan_bytes(struct library *library, const char *view, struct view bytes)
{
    yr_scanner_define_string_variable(library->scanner, "view", view);
    yr_scanner_set_callback(library->scanner, on_scan, library);
    yr_scanner_set_flags(library->scanner, SCAN_FLAGS_REPORT_RULES_MATCHING | SCAN_FLAGS_NO_TRYCATCH);
    cr_assert_eq(yr_scanner_scan_mem(library->scanner, bytes.data, bytes.length), ERROR_SUCCESS);
}

static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    scan_bytes(context, scan_view_name(path->kinds[path->length - 1]), bytes);
    return true;
}

static void define_text(YR_SCANNER *scanner, const char *name, struct view value)
{
    char text[128];

    cr_assert_lt(value.length, sizeof(text));
    snprintf(text, sizeof(text), "%.*s", VIEW_ARGS(value));
    yr_scanner_define_string_variable(scanner, name, text);
}

/* The names of the rules that match in any view, each between blanks. */
static const char *scan(struct library *library, const struct sample *sample)
{
    const struct view bytes = buffer_view(&sample->bytes);
    const struct scan_view_limits limits = scan_view_limits_for(bytes.length);
    const struct scan_context *context = &sample->context;
    YR_SCANNER *scanner = library->scanner;

    snprintf(library->names, sizeof(library->names), " ");
    define_text(scanner, "topic", context->topic);
    define_text(scanner, "client_id", context->client_id);
    define_text(scanner, "username", context->username);
    define_text(scanner, "identity", context->identity);
    define_text(scanner, "groups", context->groups);
    define_text(scanner, "content_type", context->content_type);
    define_text(scanner, "direction", context->outbound ? VIEW("out") : VIEW("in"));
    yr_scanner_define_integer_variable(scanner, "qos", context->qos);
    yr_scanner_define_boolean_variable(scanner, "retain", context->retain);
    yr_scanner_define_integer_variable(scanner, "payload_size", (int64_t)bytes.length);
    scan_bytes(library, "raw", bytes);
    const char *why = scan_views(library->space, bytes, SCAN_VIEWS_ALL, &limits, on_view, library);

    cr_assert(why == NULL, "not all was decoded: %s", why);
    return library->names;
}

static struct sample read_sample(const char *path)
{
    struct diag_list *diag = diag_list_new();
    struct sample sample;
    bool good = sample_read(&sample, path, diag);

    if (!good)
        diag_print(diag, stderr);
    cr_assert(good);
    diag_list_free(diag); /* without an error, nothing of the sample is in it */
    return sample;
}

/* ---- rules' meta ---- */

static const char *meta_of(YR_RULE *rule, const char *name)
{
    const YR_META *meta;

    yr_rule_metas_foreach(rule, meta)
    {
        if (strcmp(meta->identifier, name) == 0)
            return meta->type == META_TYPE_STRING ? meta->string : NULL;
    }
    return NULL;
}

/* Scans each sample in the list; how many there are. A miss is one for the whole set. */
static size_t check_samples(struct library *library, YR_RULE *rule, const char *list, bool hit)
{
    char names[512], word[128], *rest = NULL;
    size_t count = 0;

    snprintf(names, sizeof(names), "%s", list);
    snprintf(word, sizeof(word), " %s ", rule->identifier);
    for (char *name = strtok_r(names, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
        char path[512];

        snprintf(path, sizeof(path), SAMPLES "%s", name);
        struct sample sample = read_sample(path);
        const char *found = scan(library, &sample);

        cr_expect(hit ? strstr(found, word) != NULL : strcmp(found, " ") == 0, "%s %s %s; matched:%s",
            rule->identifier, hit ? "misses" : "hits", name, found);
        sample_release(&sample);
        count++;
    }
    return count;
}

/* Is the sample named by a rule of any set? */
static bool is_named(struct library *library, const char *name)
{
    char word[128];
    YR_RULE *rule;

    snprintf(word, sizeof(word), " %s ", name);
    yr_rules_foreach(library->rules, rule)
    {
        char names[1024];

        snprintf(names, sizeof(names), " %s %s ", meta_of(rule, "sample_hit"), meta_of(rule, "sample_miss"));
        if (strstr(names, word) != NULL)
            return true;
    }
    return false;
}

Test(library, compiles_without_a_warning)
{
    for (size_t i = 0; i < SETS; i++) {
        struct library library = open_library(sets[i]);

        cr_expect_eq(library.warnings, 0, "%s", sets[i]);
        close_library(&library);
    }
}

/* A rule that libyara has to run for every payload costs more than all the others together. */
Test(library, needs_a_string_in_each_rule)
{
    static const char *const paths[] = {
        MQWARD_SOURCE_DIR "/rules/library", MQWARD_SOURCE_DIR "/rules/library/personal"};
    struct diag_list *diag = diag_list_new();
    struct scan_source source = {.name = "library", .paths = paths, .path_count = 2};

    source.place = (struct diag_place){diag_add_source(diag, "library.c"), 1, 1, 1};
    struct scan_rules *rules = scan_rules_load(&source, 1, diag);

    cr_assert(rules != NULL && diag_errors(diag) == 0 && diag_warnings(diag) == 0);
    cr_expect_geq(scan_rules_count(rules), 50);
    for (size_t i = 0; i < scan_rules_count(rules); i++)
        cr_expect_not(scan_rules_at(rules, i)->always, "%s", scan_rules_at(rules, i)->name);
    scan_rules_release(rules);
    diag_list_free(diag);
}

Test(library, says_what_each_rule_is)
{
    static const char *const needed[] = {"id", "description", "severity", "mitre_attack", "reference"};
    static char ids[16384] = " ";

    for (size_t i = 0; i < SETS; i++) {
        struct library library = open_library(sets[i]);
        YR_RULE *rule;

        yr_rules_foreach(library.rules, rule)
        {
            for (size_t k = 0; k < sizeof(needed) / sizeof(needed[0]); k++)
                cr_expect_not_null(meta_of(rule, needed[k]), "%s has no %s", rule->identifier, needed[k]);
            char id[64];

            snprintf(id, sizeof(id), " %s ", meta_of(rule, "id"));
            cr_expect_null(strstr(ids, id), "%s:%s twice", rule->identifier, id);
            strncat(ids, id + 1, sizeof(ids) - strlen(ids) - 1);
            const char *severity = meta_of(rule, "severity"), *technique = meta_of(rule, "mitre_attack");

            cr_expect_not_null(strstr(" low medium high critical ", severity));
            cr_expect(technique[0] == 'T' && isdigit((unsigned char)technique[4]), "%s: %s", rule->identifier,
                technique);
        }
        close_library(&library);
    }
}

Test(library, finds_its_samples)
{
    for (size_t i = 0; i < SETS; i++) {
        struct library library = open_library(sets[i]);
        YR_RULE *rule;

        yr_rules_foreach(library.rules, rule)
        {
            const char *hits = meta_of(rule, "sample_hit"), *misses = meta_of(rule, "sample_miss");

            cr_assert(hits != NULL && misses != NULL, "%s", rule->identifier);
            cr_expect_geq(check_samples(&library, rule, hits, true), 1, "%s", rule->identifier);
            cr_expect_geq(check_samples(&library, rule, misses, false), 3, "%s", rule->identifier);
        }
        close_library(&library);
    }
}

Test(library, has_no_sample_without_a_rule)
{
    struct library library = open_library("*.yar"), personal = open_library("personal/*.yar"),
                   strict = open_library("strict/*.yar");
    glob_t found;

    cr_assert_eq(glob(SAMPLES "*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;

        if (view_ends_with(view_of_string(name), VIEW(".context")) || strcmp(name, "README.md") == 0)
            continue;
        cr_expect(
            is_named(&library, name) || is_named(&personal, name) || is_named(&strict, name), "%s", name);
    }
    globfree(&found);
    close_library(&strict);
    close_library(&personal);
    close_library(&library);
}

Test(library, lets_telemetry_pass)
{
    glob_t found;

    cr_assert_eq(glob(TELEMETRY "*", 0, NULL, &found), 0);
    cr_expect_geq(found.gl_pathc, 300);
    for (size_t i = 0; i < SETS; i++) {
        struct library library = open_library(sets[i]);

        for (size_t k = 0; k < found.gl_pathc; k++) {
            struct sample sample = read_sample(found.gl_pathv[k]);
            const char *names = scan(&library, &sample);

            cr_expect_str_eq(names, " ", "%s:%s", strrchr(found.gl_pathv[k], '/') + 1, names);
            sample_release(&sample);
        }
        close_library(&library);
    }
    globfree(&found);
}

/* ---- what telemetry costs ---- */

struct counter {
    struct scan_rules *rules;
    struct scanner *scanner;
    const struct scan_context *context;
    size_t views, called;
    uint64_t calls;
};

/* A view by itself: was any group of rules a candidate? */
static bool count_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct counter *counter = context;
    const struct scan_part part = {SCAN_PAYLOAD, bytes};
    const struct scan_request request = {.sets = scan_rules_set(counter->rules, "library"),
        .context = counter->context,
        .parts = &part,
        .part_count = 1,
        .max_scan = bytes.length + 1,
        .timeout_ns = UINT64_C(10000000000)};
    struct scan_result result;
    uint64_t calls = 0;

    (void)path;
    scanner_scan(counter->scanner, counter->rules, &request, &result);
    for (size_t i = 0; i < scan_rules_stats(counter->rules).groups; i++)
        calls += scanner_group_calls(counter->scanner, i);
    counter->called += calls > counter->calls;
    counter->calls = calls;
    counter->views++;
    return true;
}

/* The share of the corpus' views that come to libyara is at most so many percent. */
static void check_share(const char *folder, size_t percent)
{
    struct diag_list *diag = diag_list_new();
    struct scan_source source = {.name = "library", .paths = &folder, .path_count = 1};
    struct scan_view_space *space = scan_view_space_new();
    glob_t found;

    source.place = (struct diag_place){diag_add_source(diag, "library.c"), 1, 1, 1};
    struct counter counter = {.rules = scan_rules_load(&source, 1, diag), .scanner = scanner_new()};
    cr_assert_not_null(counter.rules);
    cr_assert_eq(glob(TELEMETRY "*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct sample sample = read_sample(found.gl_pathv[i]);
        const struct view bytes = buffer_view(&sample.bytes);
        const struct scan_view_limits limits = scan_view_limits_for(bytes.length);

        counter.context = &sample.context;
        count_view(&counter, NULL, bytes);
        scan_views(space, bytes, SCAN_VIEWS_ALL, &limits, count_view, &counter);
        sample_release(&sample);
    }
    cr_expect_leq(
        counter.called * 100, counter.views * percent, "%zu of %zu views", counter.called, counter.views);
    globfree(&found);
    scan_view_space_free(space);
    scanner_free(counter.scanner);
    scan_rules_release(counter.rules);
    diag_list_free(diag);
}

Test(library, seldom_needs_libyara_for_telemetry)
{
    check_share(MQWARD_SOURCE_DIR "/rules/library", 1);
    check_share(MQWARD_SOURCE_DIR "/rules/library/personal", 5);
}

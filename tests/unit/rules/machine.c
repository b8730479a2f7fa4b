/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the comparison of the pipeline with libyara. */
#include "machine.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "rules/generation.h"

/* ---- folders ---- */

void folder_make(char folder[FOLDER_SIZE])
{
    snprintf(folder, FOLDER_SIZE, "/tmp/mqward-rules-XXXXXX");
    const char *made = mkdtemp(folder);
    assert(made != NULL);
    (void)made;
}

void folder_write(const char *folder, const char *name, struct view text)
{
    char *path = memory_format("%s/%s", folder, name);
    FILE *file = fopen(path, "wb");

    assert(file != NULL);
    size_t written = text.length == 0 ? 0 : fwrite(text.data, 1, text.length, file);
    assert(written == text.length);
    (void)written;
    fclose(file);
    free(path);
}

void folder_remove(const char *folder)
{
    DIR *open = opendir(folder);

    for (const struct dirent *entry = open == NULL ? NULL : readdir(open); entry != NULL;
         entry = readdir(open)) {
        char *path = memory_format("%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && unlink(path) != 0)
            folder_remove(path);
        free(path);
    }
    if (open != NULL)
        closedir(open);
    rmdir(folder);
}

/* ---- libyara ---- */

static const char *const names[] = {
    "topic", "client_id", "username", "identity", "groups", "content_type", "direction", "view"};

static YR_RULES *compile(const char *text)
{
    YR_COMPILER *compiler;
    YR_RULES *rules = NULL;
    int result = yr_compiler_create(&compiler);

    assert(result == ERROR_SUCCESS);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        yr_compiler_define_string_variable(compiler, names[i], "");
    yr_compiler_define_integer_variable(compiler, "qos", 0);
    yr_compiler_define_boolean_variable(compiler, "retain", 0);
    yr_compiler_define_integer_variable(compiler, "payload_size", 0);
    result = yr_compiler_add_string(compiler, text, "plain");
    assert(result == 0);
    result = yr_compiler_get_rules(compiler, &rules);
    assert(result == ERROR_SUCCESS);
    (void)result;
    yr_compiler_destroy(compiler);
    return rules;
}

static void define(YR_RULES *rules, const struct scan_context *context)
{
    const struct view values[] = {context->topic, context->client_id, context->username, context->identity,
        context->groups, context->content_type, context->outbound ? VIEW("out") : VIEW("in"), VIEW("raw")};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *value = memory_copy_string(values[i]);
        yr_rules_define_string_variable(rules, names[i], value);
        free(value);
    }
    yr_rules_define_integer_variable(rules, "qos", context->qos);
    yr_rules_define_boolean_variable(rules, "retain", context->retain);
    yr_rules_define_integer_variable(rules, "payload_size", (int64_t)context->payload_size);
}

/* What libyara found, in the order of rules. */
#define EXPECTED_MAX 1024

struct expected {
    const char *rules[EXPECTED_MAX];
    size_t count;
};

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user)
{
    struct expected *expected = user;

    (void)context;
    if (message == CALLBACK_MSG_RULE_MATCHING) {
        assert(expected->count < EXPECTED_MAX);
        expected->rules[expected->count++] = ((const YR_RULE *)data)->identifier;
    }
    return CALLBACK_CONTINUE;
}

/* ---- the machine ---- */

static const unsigned options[MACHINE_SETS] = {0, 0, GENERATE_EXTERNALS, GENERATE_EXTERNALS,
    GENERATE_REFERENCES, GENERATE_REFERENCES | GENERATE_EXTERNALS, GENERATE_MODULES, GENERATE_GLOBALS,
    GENERATE_GLOBALS | GENERATE_REFERENCES, 15};

/* In a process that makes many machines, each has the same rules only if the seed is the same. */
void machine_start(struct machine *machine, uint64_t seed, unsigned rules_per_set, bool automaton)
{
    static const char *const granted[] = {"math"};
    struct random random = {seed};
    struct scan_source sources[MACHINE_SETS];
    char folder[FOLDER_SIZE], set_names[MACHINE_SETS][16], *paths[MACHINE_SETS];
    struct diag_list *diag = diag_list_new();

    *machine = (struct machine){0};
    folder_make(folder);
    for (unsigned i = 0; i < MACHINE_SETS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u.yar", i);
        snprintf(set_names[i], sizeof(set_names[i]), "set%u", i);
        generate_rules(&machine->generated[i], &random, rules_per_set, options[i]);
        folder_write(folder, name, buffer_view(&machine->generated[i].text));
        paths[i] = memory_format("%s/%s", folder, name);
        sources[i] = (struct scan_source){.name = set_names[i],
            .paths = (const char *const *)&paths[i],
            .path_count = 1,
            .allow_slow = true,
            .modules = granted,
            .module_count = 1};
    }
    machine->rules = scan_rules_load_with(
        sources, MACHINE_SETS, diag, &(struct scan_load){.plain = true, .automaton = automaton});
    if (machine->rules == NULL)
        diag_print(diag, stderr);
    assert(machine->rules != NULL);
    assert(!automaton || strcmp(scan_rules_stats(machine->rules).engine, "automaton") == 0);
    machine->rule_count = scan_rules_count(machine->rules);
    for (unsigned i = 0; i < MACHINE_SETS; i++) {
        machine->plain[i] = compile((const char *)machine->generated[i].text.data);
        free(paths[i]);
    }
    machine->scanner = scanner_new();
    folder_remove(folder);
    diag_list_free(diag);
}

void machine_stop(struct machine *machine)
{
    for (unsigned i = 0; i < MACHINE_SETS; i++) {
        generated_release(&machine->generated[i]);
        yr_rules_destroy(machine->plain[i]);
    }
    scanner_free(machine->scanner);
    scan_rules_release(machine->rules);
}

/* All that a scan has found, also what its result does not list. */
struct heard {
    struct scan_finding findings[EXPECTED_MAX];
    size_t count;
    struct scan_result result;
};

static void on_finding(void *context, const struct scan_finding *finding)
{
    struct heard *heard = context;

    assert(heard->count < EXPECTED_MAX);
    heard->findings[heard->count++] = *finding;
}

static void explain(const struct expected *expected, const struct heard *heard, struct view payload)
{
    fprintf(stderr, "payload:");
    for (size_t i = 0; i < payload.length; i++)
        fprintf(stderr, " %02x", payload.data[i]);
    fprintf(stderr, "\nexpected:");
    for (size_t i = 0; i < expected->count; i++)
        fprintf(stderr, " %s", expected->rules[i]);
    fprintf(stderr, "\nfound %zu:", heard->result.count);
    for (size_t i = 0; i < heard->count; i++)
        fprintf(stderr, " %s.%s", heard->findings[i].rule->set, heard->findings[i].rule->name);
    fprintf(stderr, "\nerror: %s\n", heard->result.error == NULL ? "none" : heard->result.error);
}

static bool agrees(const struct expected *expected, const struct heard *heard)
{
    if (expected->count != heard->count || heard->count != heard->result.count)
        return false;
    for (size_t i = 0; i < heard->count; i++) {
        if (strcmp(expected->rules[i], heard->findings[i].rule->name) != 0)
            return false;
    }
    return true;
}

static bool same_offsets(const struct heard *a, const struct heard *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (a->findings[i].rule != b->findings[i].rule || a->findings[i].offset != b->findings[i].offset)
            return false;
    }
    return a->count == b->count;
}

void machine_scan(
    struct machine *machine, uint64_t sets, const struct scan_context *context, struct view payload)
{
    struct expected expected = {.count = 0};
    struct scan_part part = {SCAN_PAYLOAD, payload};
    struct scan_request request = {.sets = sets,
        .context = context,
        .parts = &part,
        .part_count = 1,
        .max_scan = SIZE_MAX,
        .timeout_ns = UINT64_C(20000000000)};
    struct heard heard, plain;
    int error = ERROR_SUCCESS;

    heard.count = plain.count = 0;
    for (unsigned i = 0; i < MACHINE_SETS && error == ERROR_SUCCESS; i++) {
        if ((sets & 1U << i) == 0)
            continue;
        if ((options[i] & GENERATE_EXTERNALS) != 0)
            define(machine->plain[i], context);
        error = yr_rules_scan_mem(machine->plain[i],
            payload.data == NULL ? (const uint8_t *)"" : payload.data, payload.length,
            SCAN_FLAGS_NO_TRYCATCH | SCAN_FLAGS_REPORT_RULES_MATCHING, on_message, &expected, 0);
    }
    request.each = on_finding;
    request.each_context = &heard;
    scanner_scan(machine->scanner, machine->rules, &request, &heard.result);
    request.each_context = &plain;
    scanner_scan_plainly(machine->scanner, machine->rules, &request, &plain.result);
    machine->scans++;
    machine->findings += heard.count;
    if (error != ERROR_SUCCESS || plain.result.error != NULL) {
        machine->errors++;
        return;
    }
    if (!agrees(&expected, &heard) || !agrees(&expected, &plain) || heard.result.error != NULL) {
        explain(&expected, &heard, payload);
        explain(&expected, &plain, payload);
        abort();
    }
    if (!same_offsets(&heard, &plain)) {
        explain(&expected, &heard, payload);
        abort();
    }
}

struct scan_context machine_context(struct random *random, size_t payload_size)
{
    static const char *const topics[] = {"a/b", "fw/update", "", "x"};
    static const char *const ids[] = {"dev-17", "other", ""};
    static const char *const types[] = {"text/plain", "", "application/json"};

    return (struct scan_context){.topic = view_of_string(topics[random_below(random, 4)]),
        .client_id = view_of_string(ids[random_below(random, 3)]),
        .username = random_below(random, 2) == 0 ? VIEW("Administrator") : VIEW("bob"),
        .identity = random_below(random, 2) == 0 ? VIEW("site-7") : VIEW(""),
        .groups = random_below(random, 2) == 0 ? VIEW("ops,dev") : VIEW("dev"),
        .content_type = view_of_string(types[random_below(random, 3)]),
        .qos = random_below(random, 3),
        .retain = random_below(random, 2) == 0,
        .outbound = random_below(random, 2) == 0,
        .payload_size = payload_size};
}

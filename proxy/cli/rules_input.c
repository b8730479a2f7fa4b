/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of rule sets for 'mqward rules' and 'mqward scan'. */
#include "proxy/cli/rules_input.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "policy/yara.h"
#include "proxy/cli/text.h"
#include "proxy/service_rules.h"

#define BUDGET_NS UINT64_C(20000) /* as a rule set of mqward.yaml that says nothing else */

/* ---- sources ---- */

static void take_config(struct rules_input *input, const char *path)
{
    const struct config *partial = NULL;

    config_load(path, input->arena, input->diag, &partial);
    input->config = partial;
    if (partial == NULL)
        return;
    input->sources = service_rule_sources(partial, input->arena, &input->source_count);
    if (input->source_count == 0 && diag_errors(input->diag) == 0) {
        const struct diag_place place = {.source = diag_add_source(input->diag, path)};
        diag_add(input->diag, DIAG_ERROR, &place, "rules: {NAME: PATH}", "it names no rule sets");
    }
}

static const char *const *take_modules(struct rules_input *input, const char *list, size_t *count)
{
    const char *at;

    *count = 0;
    for (at = list; at != NULL && *at != '\0'; at += strlen(at) + 1)
        ++*count;
    const char **modules = arena_calloc(input->arena, *count + 1, sizeof(*modules));
    size_t taken = 0;
    for (at = list; taken < *count; at += strlen(at) + 1)
        modules[taken++] = at;
    return modules;
}

static void take_paths(
    struct rules_input *input, const char *const *values, const char *const *paths, size_t count)
{
    size_t module_count;
    const char *const *modules = take_modules(input, values[RULES_OPTION_MODULE], &module_count);

    struct scan_source *sources = arena_calloc(input->arena, count + 1, sizeof(*sources));
    for (size_t i = 0; i < count; i++) {
        const char **path = arena_calloc(input->arena, 1, sizeof(*path));
        size_t length = strlen(paths[i]);
        while (length > 1 && paths[i][length - 1] == '/')
            length--;
        *path = arena_copy_string(input->arena,
            view_of_string(paths[i]).length > length ? view_of(paths[i], length) : view_of_string(paths[i]));
        sources[i] = (struct scan_source){.name = *path,
            .paths = path,
            .path_count = 1,
            .allow_slow = values[RULES_OPTION_SLOW] != NULL,
            .modules = modules,
            .module_count = module_count,
            .budget_ns = BUDGET_NS,
            .place = {.source = diag_add_source(input->diag, paths[i])}};
    }
    input->sources = sources;
    input->source_count = count;
}

/* ---- loading ---- */

/* Bytes of the process that are in memory; 0: not known. */
static uint64_t resident_now(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

int rules_input_open(struct rules_input *input, const struct cli_command *command, const char *const *values,
    const char *const *paths, size_t path_count, const struct scan_load *how)
{
    const char *config = values[RULES_OPTION_CONFIG];

    if (config != NULL && path_count > 0)
        return cli_usage_error(command, "either the rules of a mqward.yaml, or paths");
    if (path_count == 0 && (values[RULES_OPTION_MODULE] != NULL || values[RULES_OPTION_SLOW] != NULL))
        return cli_usage_error(
            command, "--module and --allow-slow are for paths; mqward.yaml says it itself");
    if (path_count > SCAN_SETS_MAX)
        return cli_usage_error(command, "more than %d paths", SCAN_SETS_MAX);
    *input = (struct rules_input){.arena = arena_new(), .diag = diag_list_new()};
    if (path_count == 0)
        take_config(input, config == NULL ? "/etc/mqward/mqward.yaml" : config);
    else
        take_paths(input, values, paths, path_count);
    if (input->source_count == 0)
        return CLI_OK;
    uint64_t before = resident_now(), start = clock_monotonic_ns();
    static const struct scan_load as_the_proxy = {0};
    input->rules = scan_rules_load_with(
        input->sources, input->source_count, input->diag, how == NULL ? &as_the_proxy : how);
    input->load_ns = clock_monotonic_ns() - start;
    malloc_trim(0); /* compiling takes several times the memory of what it makes */
    uint64_t after = resident_now();
    input->resident = after > before ? after - before : 0;
    if (input->rules != NULL && scan_rules_count(input->rules) == 0)
        diag_add(input->diag, DIAG_ERROR, &input->sources[0].place, NULL, "there is no rule");
    return CLI_OK;
}

void rules_input_close(struct rules_input *input)
{
    scan_rules_release(input->rules);
    diag_list_free(input->diag);
    arena_free(input->arena);
}

struct scan_rules *rules_input_again(struct rules_input *input, const struct scan_load *how)
{
    struct diag_list *diag = diag_list_new();
    struct scan_source *sources = arena_calloc(input->arena, input->source_count + 1, sizeof(*sources));

    for (size_t i = 0; i < input->source_count; i++) {
        sources[i] = input->sources[i];
        sources[i].budget_ns = 0;
    }
    struct scan_rules *rules = scan_rules_load_with(sources, input->source_count, diag, how);
    diag_list_free(diag);
    return rules;
}

/* ---- requests ---- */

struct scan_request rules_request(const struct sample *sample, const struct scan_part *part, uint64_t sets)
{
    return (struct scan_request){.sets = sets,
        .context = &sample->context,
        .parts = part,
        .part_count = 1,
        .max_scan = YARA_MAX_SCAN,
        .timeout_ns = YARA_TIMEOUT_MS * UINT64_C(1000000),
        .views = SCAN_VIEWS_ALL};
}

uint64_t rules_all_sets(const struct scan_rules *rules)
{
    size_t count = scan_rules_stats(rules).sets;

    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* ---- printing ---- */

void rules_view_append(struct buffer *out, const struct scan_view_path *path)
{
    if (path->length == 0)
        buffer_append(out, VIEW("raw"));
    for (unsigned i = 0; i < path->length; i++) {
        if (i > 0)
            buffer_append_byte(out, '/');
        buffer_append(out, view_of_string(scan_view_name((enum scan_view_kind)path->kinds[i])));
    }
}

void rules_print_name(const struct scan_rule *rule)
{
    text_print(stdout, view_of_string(rule->set));
    putchar('/');
    text_print(stdout, view_of_string(rule->name));
}

void rules_print_place(const struct scan_rule *rule)
{
    if (rule->path == NULL)
        return;
    fputs(" (", stdout);
    text_print(stdout, view_of_string(rule->path));
    printf(":%u)", rule->line);
}

void rules_json_rule(struct json *json, const struct scan_rule *rule)
{
    json_write_string(json, "set", view_of_string(rule->set));
    json_write_string(json, "rule", view_of_string(rule->name));
    if (rule->path == NULL)
        return;
    json_write_string(json, "file", view_of_string(rule->path));
    json_write_unsigned(json, "line", rule->line);
}

void rules_print_json(struct buffer *out)
{
    struct view text = buffer_view(out);

    fwrite(text.data, 1, text.length, stdout);
    putchar('\n');
    buffer_release(out);
}

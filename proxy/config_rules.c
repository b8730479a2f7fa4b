/* SPDX-License-Identifier: Apache-2.0 */
/* rules: and scan: of mqward.yaml: the rule sets of YARA that the policy's checks name, and what scanning may
 * take of the machine. Called by proxy/config.c through the table of the file. */
#include "proxy/config_build.h"
#include "rules/scan.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define MS_HOUR 3600000

/* ---- files ---- */

/* A path, or a list of them. Those that are usable are kept even beside errors. */
static int read_files(struct keyword_context *context, const struct keyword *keyword,
    struct config_rules *rules, const struct yaml_node *node)
{
    bool single = node->kind == YAML_SCALAR;
    if (!single && keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    if (!single && node->count == 0)
        return keyword_error(context, node, "a file, or a folder whose *.yar files are taken",
            "%s: the list is empty", keyword->name);
    if (node->count > CONFIG_LIST_MAX)
        return keyword_error(context, node, "a folder stands for all its *.yar files",
            "%s: more than %d paths", keyword->name, CONFIG_LIST_MAX);
    const struct keyword plain = {.name = keyword->name};
    int result = 0;
    rules->files = arena_calloc(context->arena, node->count + 1, sizeof(*rules->files));
    for (const struct yaml_node *item = single ? node : node->first; item != NULL;
         item = single ? NULL : item->next) {
        if (config_set_path(context, &plain, &rules->files[rules->file_count], item) == 0)
            rules->file_count++;
        else
            result = -1;
    }
    return result;
}

static int set_files(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return read_files(context, keyword, target, node);
}

/* ---- modules ---- */

enum {
#define MODULE(name, help) MODULE_##name,
#include "rules/module.def"
#undef MODULE
};

static const struct keyword_choice module_choices[] = {
#define MODULE(name, help) {#name, 1 << MODULE_##name, false, help},
#include "rules/module.def"
#undef MODULE
    {0},
};
#define MODULES (sizeof(module_choices) / sizeof(module_choices[0]) - 1)

static int set_modules(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_rules *rules = target;
    unsigned granted = 0;
    struct keyword plain = {.name = keyword->name, .choices = keyword->choices};
    if (keyword_set_choices(context, &plain, &granted, node) != 0)
        return -1;
    rules->modules = arena_calloc(context->arena, MODULES, sizeof(*rules->modules));
    for (size_t i = 0; i < MODULES; i++) {
        if ((granted >> i & 1) != 0)
            rules->modules[rules->module_count++] = module_choices[i].name;
    }
    return 0;
}

/* ---- rule sets ---- */

#define RULES(field) offsetof(struct config_rules, field)

const struct keyword config_rules_table[] = {
    {.name = "files",
        .set = set_files,
        .flags = KEYWORD_REQUIRED | KEYWORD_ONE_OR_MANY,
        .like = keyword_set_strings,
        .value = "path or list of paths",
        .example = "/usr/local/share/mqward/rules",
        .help = "Files of YARA rules, or folders: of a folder, all `*.yar`, in the order of their names, and "
                "none of the folders in it."},
    {.name = "modules",
        .set = set_modules,
        .like = keyword_set_choices,
        .choices = module_choices,
        .help = "Modules that these rules may import. Each that they use is built for each payload that they "
                "are asked about."},
    {.name = "allow_slow",
        .set = keyword_set_boolean,
        .offset = RULES(allow_slow),
        .default_text = "false",
        .help = "`true`: patterns that libyara calls slow, and rules above `budget`, are warnings and not "
                "errors. Meant for trying rules, not for traffic."},
    {.name = "budget",
        .set = keyword_set_duration_ns,
        .offset = RULES(budget_ns),
        .default_text = "20us",
        .maximum = UINT64_C(1000000000),
        .help = "CPU time that a rule may take for each KiB of the payloads of the cost test, which are made "
                "to be dear. It is measured when rules are loaded, on this machine. `0`: no test."},
    {0},
};

/* A set is a mapping, or only its files. */
static void read_set(struct keyword_context *context, const struct keyword *keyword,
    struct config_rules *rules, const struct yaml_node *member)
{
    const struct keyword own = {.name = arena_format(context->arena, "%s.%s", keyword->name, rules->name)};
    const struct yaml_node nothing = {
        .kind = YAML_MAPPING, .incomplete = true, .place = member->place, .key_place = member->key_place};
    if (member->kind == YAML_MAPPING) {
        keyword_read(context, config_rules_table, rules, member);
        return;
    }
    keyword_read(context, config_rules_table, rules, &nothing); /* the defaults of the rest */
    read_files(context, &own, rules, member);
}

int config_set_rules(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config *config = &((struct config_builder *)target)->config;
    size_t before = diag_errors(context->diag);
    if (node->kind != YAML_MAPPING)
        return keyword_error(context, node,
            "rule sets of YARA have names: 'rules: {shipped: /usr/local/share/mqward/rules}'; who may do "
            "what "
            "belongs in the policy",
            "%s: expected a mapping, found %s", keyword->name, yaml_kind_name(node->kind));
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    if (node->count > SCAN_SETS_MAX)
        return keyword_error(context, node, "a set can have many files",
            "%s: %zu rule sets, at most %d are possible", keyword->name, node->count, SCAN_SETS_MAX);
    config->rules = arena_calloc(context->arena, node->count + 1, sizeof(*config->rules));
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next) {
        struct config_rules *rules = &config->rules[config->rules_count++];
        rules->name = arena_copy_string(context->arena, member->key);
        rules->place = member->key_place;
        if (!config_is_name(member->key))
            diag_add(context->diag, DIAG_ERROR, &member->key_place, CONFIG_NAME_HINT,
                "%s: '%.*s' is not a possible name", keyword->name, VIEW_ARGS(member->key));
        read_set(context, keyword, rules, member);
    }
    return diag_errors(context->diag) == before ? 0 : -1;
}

/* ---- scanning ---- */

static const struct keyword quarantine_table[] = {
    {.name = "directory",
        .set = config_set_path,
        .offset = offsetof(struct config_quarantine, directory),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .example = "/var/lib/mqward-quarantine",
        .help = "The folder. Made with mode 0700 if it is not there but its parent is."},
    {.name = "size",
        .set = keyword_set_size,
        .offset = offsetof(struct config_quarantine, max_bytes),
        .default_text = "1GiB",
        .minimum = 64 * KIB,
        .maximum = (uint64_t)1 << 50,
        .help = "All that is kept, in bytes. When it is full, nothing new is kept: the audit says so."},
    {.name = "files",
        .set = keyword_set_number,
        .offset = offsetof(struct config_quarantine, max_files),
        .default_text = "10000",
        .minimum = 1,
        .maximum = 1000000,
        .help = "Payloads and other parts of messages that are kept: the same bytes once, however often they "
                "come."},
    {0},
};

const struct keyword config_scan_table[] = {
    {.name = "inline",
        .set = keyword_set_size,
        .offset = offsetof(struct config_scan, inline_bytes),
        .default_text = "16KiB",
        .maximum = MIB,
        .help = "Messages up to this size are scanned where they are read, larger ones on threads of their "
                "own, while the others of their connection wait. 0: all of them on those threads."},
    {.name = "threads",
        .set = keyword_set_number,
        .offset = offsetof(struct config_scan, threads),
        .default_text = "2",
        .minimum = 1,
        .maximum = 64,
        .help = "Threads for large messages, and for what may go to quarantine."},
    {.name = "wait",
        .set = keyword_set_duration_ms,
        .offset = offsetof(struct config_scan, wait_ms),
        .default_text = "10s",
        .minimum = 100,
        .maximum = MS_HOUR,
        .help = "How long a message waits for one of the threads. Then it is not scanned: the check's "
                "`on_error` decides."},
    {.name = "quarantine",
        .set = keyword_set_mapping,
        .offset = offsetof(struct config_scan, quarantine),
        .members = quarantine_table,
        .shape = KEYWORD_MAPPING,
        .help = "Where what is found is kept for the analyst, for checks with `on_match: quarantine`. "
                "Without it, "
                "such a check is an error."},
    {0},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the rule sets of mqward.yaml become those that the policy's checks ask. Called by service.c and by
 * the subcommands that look at rules alone. */
#include "proxy/service_rules.h"

#include <malloc.h>

#include "policy/yara.h"

const struct scan_source *service_rule_sources(
    const struct config *config, struct arena *arena, size_t *count)
{
    struct scan_source *sources = arena_calloc(arena, config->rules_count + 1, sizeof(*sources));

    *count = 0;
    for (size_t i = 0; i < config->rules_count; i++) {
        const struct config_rules *rules = &config->rules[i];
        const char **paths = arena_calloc(arena, rules->file_count + 1, sizeof(*paths));

        if (rules->file_count == 0)
            continue;
        for (size_t k = 0; k < rules->file_count; k++)
            paths[k] = rules->files[k].path;
        sources[(*count)++] = (struct scan_source){.name = rules->name,
            .paths = paths,
            .path_count = rules->file_count,
            .allow_slow = rules->allow_slow,
            .modules = rules->modules,
            .module_count = rules->module_count,
            .budget_ns = rules->budget_ns,
            .place = rules->place};
    }
    return sources;
}

const char *const *service_rule_names(const struct config *config, struct arena *arena, size_t *count)
{
    const char **names = arena_calloc(arena, config->rules_count + 1, sizeof(*names));

    for (size_t i = 0; i < config->rules_count; i++)
        names[i] = config->rules[i].name;
    *count = config->rules_count;
    return names;
}

void service_rules_load(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    size_t count;
    const struct scan_source *sources = service_rule_sources(config, snapshot->arena, &count);

    if (count == 0)
        return;
    snapshot->scan_rules = scan_rules_load(sources, count, diag);
    malloc_trim(0); /* compiling takes several times the memory of what it makes */
}

static void check_quarantine(
    const struct snapshot *snapshot, const struct policy_check_info *check, struct diag_list *diag)
{
    const struct config *config = snapshot->config;

    if (check->yara->on_match == YARA_MATCH_QUARANTINE && config->scan.quarantine.directory.path == NULL)
        diag_add(diag, DIAG_ERROR, &config->policy.place,
            "such as 'scan: {quarantine: {directory: /var/lib/mqward-quarantine}}'",
            "check '%s' (%s) keeps what it finds in the quarantine, and 'scan' names none", check->info.name,
            check->info.location);
}

void service_rules_bind(struct snapshot *snapshot, struct diag_list *diag)
{
    size_t checks = policy_check_count(snapshot->policy);

    snapshot->scan_sets = arena_calloc(snapshot->arena, checks + 1, sizeof(*snapshot->scan_sets));
    for (size_t i = 0; i < checks; i++) {
        const struct policy_check_info *check = policy_check(snapshot->policy, i);

        if (check->yara == NULL)
            continue;
        check_quarantine(snapshot, check, diag);
        for (size_t k = 0; k < check->yara->rule_count && snapshot->scan_rules != NULL; k++)
            snapshot->scan_sets[i] |= scan_rules_set(snapshot->scan_rules, check->yara->rules[k]);
    }
}

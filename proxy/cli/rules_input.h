/* SPDX-License-Identifier: Apache-2.0 */
/* The rule sets that a command is about: those of a mqward.yaml, or files and folders of their own. */
#ifndef MQWARD_PROXY_CLI_RULES_INPUT_H
#define MQWARD_PROXY_CLI_RULES_INPUT_H

#include "base/buffer.h"
#include "base/json.h"
#include "proxy/cli/cli.h"
#include "proxy/config.h"
#include "rules/samples.h"

/* What the commands have in common; the first of their options. */
enum { RULES_OPTION_CONFIG, RULES_OPTION_MODULE, RULES_OPTION_SLOW, RULES_OPTION_JSON, RULES_OPTIONS };
#define RULES_OPTION_ROWS(whose)                                                                             \
    [RULES_OPTION_CONFIG] = {"config", 'c', "FILE", whose},                                                  \
    [RULES_OPTION_MODULE] = {"module", 'm', "NAME...", "let rules of a PATH import this module"},            \
    [RULES_OPTION_SLOW] = {"allow-slow", 0, NULL,                                                            \
        "slow patterns and costly rules of a PATH are warnings, not errors"},                                \
    [RULES_OPTION_JSON] = {"json", 0, NULL, "one JSON object on standard output"}

struct rules_input {
    struct arena *arena;
    struct diag_list *diag;
    const struct config *config;       /* NULL: there is none, or it can't be read */
    const struct scan_source *sources; /* a PATH is a set of its own, named as it is written */
    size_t source_count;
    struct scan_rules *rules; /* NULL: errors are in diag */
    uint64_t load_ns;
    uint64_t resident; /* bytes of memory that loading took */
};

/* Reads what values and paths name, by default /etc/mqward/mqward.yaml. CLI_USAGE after a message: then there
 * is nothing to close. The caller prints diag. how: NULL: as the proxy loads them. */
int rules_input_open(struct rules_input *input, const struct cli_command *command, const char *const *values,
    const char *const *paths, size_t path_count, const struct scan_load *how);
void rules_input_close(struct rules_input *input);
/* The same rules once more, read in another way; what there is to say of them was said. The caller releases
 * them. */
struct scan_rules *rules_input_again(struct rules_input *input, const struct scan_load *how);

/* A check without terms of its own. */
struct scan_request rules_request(const struct sample *sample, const struct scan_part *part, uint64_t sets);
/* The bits of all sets. */
uint64_t rules_all_sets(const struct scan_rules *rules);
/* Appends "raw" or "json/base64". */
void rules_view_append(struct buffer *out, const struct scan_view_path *path);
/* For people: a rule as "set/name", its place as " (file:12)". */
void rules_print_name(const struct scan_rule *rule);
void rules_print_place(const struct scan_rule *rule);
/* Members "set", "rule", "file", "line". */
void rules_json_rule(struct json *json, const struct scan_rule *rule);
/* Prints what was written, and releases it. */
void rules_print_json(struct buffer *out);

#endif

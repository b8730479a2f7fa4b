/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline beside two others that must say the same: its own plain scan, and libyara as it is called by
 * everybody else. Shared by the unit tests and the fuzz target. */
#ifndef MQWARD_TEST_RULES_MACHINE_H
#define MQWARD_TEST_RULES_MACHINE_H

#include <yara.h>

#include "generate.h"
#include "rules/scan.h"

#define MACHINE_SETS 10
#define FOLDER_SIZE 64

/* A folder of rule files under /tmp. */
void folder_make(char folder[FOLDER_SIZE]);
void folder_write(const char *folder, const char *name, struct view text);
void folder_remove(const char *folder);

struct machine {
    struct generated generated[MACHINE_SETS];
    YR_RULES *plain[MACHINE_SETS]; /* libyara's own, each set */
    struct scan_rules *rules;
    struct scanner *scanner;
    size_t rule_count;
    /* What was seen. */
    size_t scans, findings, errors;
};

/* Sets of rules_per_set generated rules, of different options. automaton: the prefilter without Hyperscan. */
void machine_start(struct machine *machine, uint64_t seed, unsigned rules_per_set, bool automaton);
void machine_stop(struct machine *machine);
/* Scans with all three and asserts that they agree. sets: bits. */
void machine_scan(
    struct machine *machine, uint64_t sets, const struct scan_context *context, struct view payload);
/* A context by chance; its views are literals. */
struct scan_context machine_context(struct random *random, size_t payload_size);

#endif

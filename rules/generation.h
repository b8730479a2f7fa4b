/* SPDX-License-Identifier: Apache-2.0 */
/* What a generation of rules is made of. Seen by the files of this layer and their tests. */
#ifndef MQWARD_RULES_GENERATION_H
#define MQWARD_RULES_GENERATION_H

#include <stdatomic.h>
#include <yara.h>

#include "base/arena.h"
#include "rules/prefilter.h"
#include "rules/scan.h"

#define SCAN_GROUP_SIZE 32 /* rules that share a scanner */
#define SCAN_NO_RULE UINT32_MAX

/* Settings of libyara for the whole process: what it allocates for each scan. The stack holds all strings of
 * a rule at once ("any of them"). */
#define SCAN_YARA_STACK 4096
#define SCAN_YARA_STRINGS_PER_RULE 4000
#define SCAN_YARA_MATCH_DATA 0

struct scan_set {
    const char *name;
    /* All of its rules: for the plain scan, for a set that can't be cut, and for the prefilter without
     * Hyperscan. Else NULL: it would be a second copy of all. */
    YR_RULES *whole;
    uint32_t first_rule, rule_count;
    size_t first_group, group_count;
    unsigned externals; /* bits of those that its rules use */
    bool dear;          /* nothing bounds what its rules cost: they are not for a loop */
};

struct scan_group {
    uint32_t set;
    YR_RULES *rules;
    bool owned; /* rules is not that of the whole set */
    /* For each rule of rules its index in the generation, or SCAN_NO_RULE: it is there for others only. */
    const uint32_t *reported;
    unsigned externals;
    bool always;   /* to be scanned whatever the prefilter says */
    bool changing; /* what its rules say changes with time */
};

struct scan_rules {
    atomic_uint references;
    struct arena *arena;
    struct scan_set *sets;
    size_t set_count;
    struct scan_group *groups;
    size_t group_count;
    uint64_t *always; /* a bit for each group that is to be scanned whatever the prefilter says */
    struct scan_rule *rules;
    size_t rule_count;
    struct prefilter *prefilter;
    bool plain; /* it can be scanned plainly */
};

/* Initializes libyara once; false: it can't be. */
bool generation_initialize_yara(void);

#endif

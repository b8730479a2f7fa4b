/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread's scanner is made of. */
#ifndef MQWARD_RULES_SCANNER_H
#define MQWARD_RULES_SCANNER_H

#include "rules/externals.h"
#include "rules/generation.h"
#include "rules/verdicts.h"

/* Messages of different topics are asked about by different checks. */
#define SELECTIONS 8

struct scanner {
    struct scan_rules *rules; /* bound; NULL: none */
    YR_SCANNER **groups;      /* of each group; NULL: it was not needed yet */
    uint64_t *calls;          /* of each group: how often it was scanned */
    YR_SCANNER *wholes[SCAN_SETS_MAX];
    struct prefilter_space *space;
    struct scan_view_space *views;
    struct verdicts *verdicts;
    size_t words;         /* of 64 groups, a bit each */
    uint64_t *candidates; /* groups, of the view that is scanned */
    struct selection {
        uint64_t sets;
        uint64_t *groups;   /* of them, a bit each; NULL: none yet */
        unsigned externals; /* used by their rules */
        bool changing;      /* what one of them says changes with time: it is not remembered */
    } selections[SELECTIONS];
    unsigned next_selection; /* that is given up for another */
    const struct selection *selected;

    /* Of the message. */
    const struct scan_request *request;
    struct scan_result *result;
    bool plain;
    size_t part_index; /* that is scanned */
    struct externals externals;
    bool externals_taken;
    struct scan_view_limits limits; /* of views, for all that is left of the message */
    bool limited;                   /* they are known */
    bool started;                   /* deadline_ns is known */
    bool late;                      /* nothing more is scanned */
    uint64_t deadline_ns;           /* of the thread's CPU time */
    uint64_t yara_work;             /* so far: bytes, by groups */

    /* Of the view. */
    struct buffer key;
    struct verdict *found;
    size_t found_count, found_capacity;
    bool view_failed;

    /* Of a call of libyara: numbers of its rules in the generation. */
    const uint32_t *reported;
    uint32_t first_rule; /* where reported is NULL: they follow each other */
    bool too_many;
};

/* Makes scanner->selected that of sets; the last few are kept. */
void scanner_select(struct scanner *scanner, uint64_t sets);
void scanner_found(struct scanner *scanner, uint32_t rule, uint64_t offset);
/* Notes an error, the first of a message. error: a literal. */
void scanner_fail(struct scanner *scanner, const char *error, const char *set);

/* What is left of the message's time, in nanoseconds; 0: nothing. The clock starts with the first question:
 * what comes before is linear in bytes that max_scan bounds. */
uint64_t scanner_time_left(struct scanner *scanner);
/* Since the clock was started. */
uint64_t scanner_time_spent(const struct scanner *scanner);
/* libyara with a group's rules, or with all of a set. */
void scan_group(struct scanner *scanner, size_t group, struct view bytes);
void scan_whole(struct scanner *scanner, size_t set, struct view bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Topic patterns of rules: filters whose levels may be, or hold, one placeholder each
 * ("dt/<site>/dev-<id>/#"). */
#ifndef MQWARD_POLICY_PATTERN_H
#define MQWARD_POLICY_PATTERN_H

#include "base/keyword.h"

#define PATTERN_LEVELS_MAXIMUM 128     /* of a pattern; topics may be deeper */
#define PLACEHOLDER_NAMES_MAXIMUM 64   /* bits of a mask */
#define PLACEHOLDER_VALUE_MAXIMUM 1024 /* bytes; longer values are not safe */

/* The placeholders of a policy; a slot is an index into names. */
enum { SLOT_ID, SLOT_CLIENT_ID, SLOT_USERNAME, SLOT_FIRST_ATTRIBUTE };
struct placeholder_names {
    const char *names[PLACEHOLDER_NAMES_MAXIMUM];
    size_t count;
};

enum pattern_kind { PATTERN_LITERAL, PATTERN_PLACEHOLDER, PATTERN_ONE };

struct pattern_level {
    enum pattern_kind kind;
    uint8_t slot;
    struct view prefix; /* a literal's text; what stands before the placeholder */
    struct view suffix;
};

struct pattern {
    struct view text;
    struct pattern_level *levels;
    size_t count;   /* without a closing '#' */
    bool multi;     /* closes with '#' */
    uint64_t slots; /* bits 1 << slot: which placeholders it needs */
};

/* Is a value from outside safe in a topic: not empty or over-long, well-formed, no '/', '+', '#', control
 * characters or leading '$'. */
bool placeholder_value_safe(struct view value);
/* The slot of a name, or -1. */
int placeholder_find(const struct placeholder_names *names, struct view name);
/* A part of a scalar's text, for pointing at it. */
struct diag_place pattern_place(const struct keyword_string *string, struct view part);
/* Finds the first "<name>" of text (a level, a client id pattern). 1: found, slot and the texts around it are
 * set; 0: none, prefix is text; -1: an error was added. */
int placeholder_split(struct diag_list *diag, const struct placeholder_names *names,
    const struct keyword_string *whole, struct view text, uint8_t *slot, struct view *prefix,
    struct view *suffix);
/* Parses text into out, in the arena. False after an error was added. */
bool pattern_parse(struct arena *arena, struct diag_list *diag, const struct placeholder_names *names,
    const struct keyword_string *string, struct pattern *out);

/* Glob patterns for names: '*' stands for any bytes, none included; everything else for itself. */
bool glob_matches(struct view glob, struct view text);
/* True if some text fits both. Of very long globs it says yes. */
bool glob_overlaps(struct view a, struct view b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Keywords as rows: name, setter, place, default, help. A mapping of a configuration or policy file is read
 * by keyword_read() against such a table; the reference manual is printed from the same table. */
#ifndef MQWARD_BASE_KEYWORD_H
#define MQWARD_BASE_KEYWORD_H

#include "base/yaml.h"

struct buffer;
struct keyword;

/* What setters get. user is the module's own (its builder). */
struct keyword_context {
    struct arena *arena;
    struct diag_list *diag;
    void *user;
};

/* Reads node into target + keyword->offset. Returns 0, or -1 after an error was added (reading goes on). */
typedef int keyword_set(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node);

enum keyword_flag {
    KEYWORD_REQUIRED = 1,
    KEYWORD_UNSUPPORTED = 2, /* known, but of a later version: refused with "not supported by this version" */
    KEYWORD_ONE_OR_MANY = 4, /* keyword_set_strings: a single scalar is a list of one */
    KEYWORD_ALTERNATIVE = 8, /* of the rows of a table that have it, exactly one is given */
    /* Of a mapping that stands in several files (keyword_join); other keys are given in one of them. */
    KEYWORD_JOINED = 16,    /* the lists (shape KEYWORD_LIST) or mappings (KEYWORD_NAMED) of all are one */
    KEYWORD_EACH_FILE = 32, /* is in each, and read from each */
};

/* Of a value whose setter is a module's own. */
enum keyword_shape {
    KEYWORD_BY_SETTER, /* what the setter says, or the one that it is like */
    KEYWORD_MAPPING,   /* a mapping, read against members */
    KEYWORD_LIST,      /* a list of mappings, each read against members */
    KEYWORD_NAMED,     /* a mapping of names to mappings, each read against members */
    KEYWORD_PAIRS,     /* a mapping of names to a text, or a list of texts (KEYWORD_ONE_OR_MANY) */
};

struct keyword_choice {
    const char *name;
    int value;
    bool unsupported; /* as KEYWORD_UNSUPPORTED */
    const char *help;
};

/* A word that people bring from elsewhere, and what to write instead. Ended by a NULL name. */
struct keyword_foreign {
    const char *name; /* in small or capital letters */
    const char *hint;
    const char *key; /* of a key: the one that it stands for, which is then not missing; may be NULL */
};

/* A list of strings with their places. */
struct keyword_string {
    struct view text;
    struct diag_place place;
    bool quoted;
};
struct keyword_strings {
    struct keyword_string *items;
    size_t count;
};

struct keyword {
    const char *name;
    keyword_set *set;
    size_t offset;             /* of the field in the target struct */
    const char *default_text;  /* read through the same setter when the key is absent ("{}": an empty mapping,
                                  "[]": an  empty list); NULL: the field stays as it is */
    const char *help;          /* one or two sentences of Markdown for the reference */
    unsigned flags;            /* enum keyword_flag */
    uint64_t minimum, maximum; /* for numbers, sizes, durations; maximum 0 = none */
    const struct keyword_choice *choices; /* for keyword_set_choice(s), ended by a NULL name */
    const struct keyword *members; /* for a mapping or a list of mappings: its table, ended by a NULL name */
    size_t seen_offset;            /* 1 + offset of a bool set true when the key was given; 0 = none */
    const char *value; /* what the reference says of the value, where it can say more than the type */
    enum keyword_shape shape;
    keyword_set *like;   /* a setter above that takes all that a module's own takes, and perhaps more */
    const char *pattern; /* of a text (or the texts of a list), for the schema: ECMA 262 */
    const char *example; /* of a value as it is written, for the hint where it is missing */
    /* Of a row with choices: of its values. Of the row that ends a table: of its keys. */
    const struct keyword_foreign *foreign;
};

/* Reads a mapping against a table (of at most 64 rows): unknown keys (with a suggestion), missing required
 * keys, defaults. A member whose key is misspelt is read all the same, and has the right key from then on.
 * Returns the number of errors added; at least 1 when the mapping is not usable. */
size_t keyword_read(struct keyword_context *context, const struct keyword *table, void *target,
    const struct yaml_node *mapping);

/* Setters. The comment names the field's type. */
keyword_set keyword_set_string; /* struct keyword_string; not empty */
keyword_set
    keyword_set_strings; /* struct keyword_strings; a list (or one scalar, KEYWORD_ONE_OR_MANY); not empty */
keyword_set keyword_set_boolean;     /* bool: true or false */
keyword_set keyword_set_number;      /* uint64_t */
keyword_set keyword_set_size;        /* uint64_t bytes */
keyword_set keyword_set_duration_ms; /* uint64_t milliseconds */
keyword_set keyword_set_duration_ns; /* uint64_t nanoseconds; written in us, ms or s */
keyword_set keyword_set_share_ppm;   /* uint32_t parts per million */
keyword_set keyword_set_choice;      /* int: the choice's value */
keyword_set keyword_set_choices;     /* unsigned: the OR of the values of a list (or of one scalar) */
keyword_set keyword_set_mapping;     /* a nested struct at offset, read against members */

/* An error at a node's value, for setters of other modules. Returns -1. Adds nothing when the reader of the
 * file has refused the node already. */
int keyword_error(struct keyword_context *context, const struct yaml_node *node, const char *hint,
    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Requires a kind of node; returns -1 after an error such as "topics: expected a list, found a string". */
int keyword_expect(
    struct keyword_context *context, const struct yaml_node *node, const char *name, enum yaml_kind kind);

/* "a list stands in [ ]: [a, b]" for a text "a, b" that should be one of something; otherwise NULL. */
const char *keyword_hint_list(struct keyword_context *context, struct view text);

/* A size or a duration as a person writes it: "64KiB", "5m". */
struct keyword_quantity_text {
    char bytes[32];
};
struct keyword_quantity_text keyword_show_size(uint64_t bytes);
struct keyword_quantity_text keyword_show_duration(uint64_t ms);

/* One mapping from the same mapping of several files, whose roots are taken apart. whole: what a finding
 * about all of them is about. incomplete: files are missing, so that a missing key is no finding. Keys given
 * in two files that belong in one, names given twice, and missing KEYWORD_EACH_FILE keys are errors at their
 * places. */
struct yaml_node *keyword_join(struct keyword_context *context, const struct keyword *table,
    const struct diag_source *whole, struct yaml_node *const *roots, size_t count, bool incomplete);

/* The Markdown reference of a table: a row a keyword (name, type, default, help), nested tables as sections.
 */
void keyword_print_reference(struct buffer *out, const struct keyword *table, const char *title, int level);
/* The JSON Schema (draft-07) of a file that is read against the table, indented, for editors. */
void keyword_print_schema(
    struct buffer *out, const struct keyword *table, const char *title, const char *description);

#endif

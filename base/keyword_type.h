/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of value a keyword takes, as its reader, the reference and the schema share it. Private to
 * base/keyword*.c. */
#ifndef MQWARD_BASE_KEYWORD_TYPE_H
#define MQWARD_BASE_KEYWORD_TYPE_H

#include "base/keyword.h"

#define KEYWORD_ROWS_MAX 64 /* rows of a table: bits of the set of keys that were seen */

/* A kind of quantity: how it is read and how limits of it are shown. */
struct quantity {
    const char *expected, *hint;
    int (*parse)(struct view text, uint64_t *out);
    bool bare;           /* a number without unit: quotes would make it a string */
    bool bare_zero_only; /* without unit there is only 0 */
    const char *pattern; /* of its text, as the schema gives it (ECMA 262) */
    struct quantity_unit {
        uint64_t factor;
        const char *suffix;
    } units[5]; /* for output: largest first, ended by the factor 1 */
};

extern const struct quantity quantity_number, quantity_size, quantity_duration, quantity_short_duration;

enum keyword_kind {
    KEYWORD_KIND_UNKNOWN, /* a module's own, of which the table says no more */
    KEYWORD_KIND_TEXT,
    KEYWORD_KIND_TEXTS,
    KEYWORD_KIND_BOOLEAN,
    KEYWORD_KIND_QUANTITY,
    KEYWORD_KIND_SHARE,
    KEYWORD_KIND_CHOICE,
    KEYWORD_KIND_CHOICES,
    KEYWORD_KIND_MAPPING,
    KEYWORD_KIND_LIST,
    KEYWORD_KIND_NAMED,
    KEYWORD_KIND_PAIRS,
};

struct keyword_type {
    enum keyword_kind kind;
    const char *name; /* in the reference */
    const struct quantity *quantity;
};

/* From the row's shape, else from the setter that it is like, else from its setter. */
struct keyword_type keyword_type_of(const struct keyword *keyword);

/* Parts of messages, in the arena of the context or constant. */
const char *keyword_describe(const struct yaml_node *node); /* "a string", "a list", ... */
/* "such as 'topics: [dt/<id>/#]'", NULL without an example. */
const char *keyword_show_example(struct keyword_context *context, const struct keyword *keyword);
/* "such as 'cert: {ca: devices, id: cn}'" for somebody who wrote no mapping; NULL where nothing is known. */
const char *keyword_show_mapping(
    struct keyword_context *context, const char *name, const struct keyword *table);

/* The hint for a word that others use; NULL if the list (which may be NULL) does not have it. */
const struct keyword_foreign *keyword_find_foreign(const struct keyword_foreign *list, struct view word);

struct keyword_quantity_text quantity_show(const struct quantity *quantity, uint64_t value);
/* "from 1 to 256" or "at least 1"; empty without limits. */
struct keyword_range_text {
    char bytes[80];
};
struct keyword_range_text quantity_show_range(const struct quantity *quantity, const struct keyword *keyword);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The one YAML reader, on libyaml's events: a strict subset (policy-language "Format"). No anchors, aliases,
 * tags, merge keys, directives, further documents or duplicate keys; the unquoted words
 * yes/no/on/off/y/n/null/~ (any case) and missing values are refused; lists and mappings nest at most 12
 * deep; at most 200,000 values. The text is UTF-8 without tabs, other control characters, or characters that
 * hide or reorder what a reader sees. The caller bounds its size (diag_read_file). Every node knows its line
 * and column. */
#ifndef MQWARD_BASE_YAML_H
#define MQWARD_BASE_YAML_H

#include "base/diag.h"

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted;      /* a scalar in quotes: never a keyword or number where a string is also possible */
    bool refused;     /* an error about it is in the list already; a schema adds none */
    bool incomplete;  /* a mapping that lacks files (keyword_join): nothing is missing in it */
    struct view text; /* scalar: its value. No NUL inside. */
    struct view key;  /* as a mapping's member: the member's key */
    struct diag_place place; /* of the value */
    struct diag_place key_place;
    struct yaml_node *first; /* children of a sequence or mapping, in order */
    struct yaml_node *next;  /* next sibling */
    size_t count;            /* children */
};

/* The root, in the arena, or NULL when the text is not even YAML (the errors are in list). Errors that allow
 * it leave a usable tree, so that the schema can report its own findings in the same run. An empty file gives
 * an error. */
struct yaml_node *yaml_read(struct arena *arena, const struct diag_source *source, struct diag_list *list);

const char *yaml_kind_name(enum yaml_kind kind); /* "a string or number", "a list", "a mapping" */

#endif

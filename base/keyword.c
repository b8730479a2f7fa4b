/* SPDX-License-Identifier: Apache-2.0 */
/* Reads mappings against tables of keywords. Called by the readers of mqward.yaml and policy.yaml; a new
 * keyword is a row in one of their tables. keyword_set.c sets values, keyword_join.c makes one mapping of
 * those of several files, keyword_reference.c and keyword_schema.c print the manual and the schema from the
 * same tables. */
#include "base/keyword.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/buffer.h"
#include "base/keyword_type.h"
#include "base/number.h"

/* Errors */

int keyword_error(
    struct keyword_context *context, const struct yaml_node *node, const char *hint, const char *format, ...)
{
    if (node->refused)
        return -1;
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    diag_add(context->diag, DIAG_ERROR, &node->place, hint, "%s", message);
    return -1;
}

const char *keyword_describe(const struct yaml_node *node)
{
    uint64_t number;
    if (node->kind != YAML_SCALAR)
        return yaml_kind_name(node->kind);
    if (!node->quoted && number_parse(node->text, &number) == 0)
        return "a number";
    return "a string";
}

/* How a kind is written, for somebody who wrote another. */
static const char *kind_hint(enum yaml_kind wanted, const struct yaml_node *found)
{
    static const char *const forms[] = {
        [YAML_SCALAR] = "one value, without '- ' or brackets; text that contains ': ' needs quotes",
        [YAML_SEQUENCE] = "each item of a list begins with '- ', or all stand in [ ]",
        [YAML_MAPPING] = "a mapping has one 'key: value' a line, or all stand in { }",
    };
    return wanted == found->kind ? NULL : forms[wanted];
}

int keyword_expect(
    struct keyword_context *context, const struct yaml_node *node, const char *name, enum yaml_kind kind)
{
    if (node->kind == kind && !node->refused)
        return 0;
    return keyword_error(context, node, kind_hint(kind, node), "%s: expected %s, found %s", name,
        yaml_kind_name(kind), keyword_describe(node));
}

/* "such as 'topics: [dt/<id>/#]'", NULL without an example. */
const char *keyword_show_example(struct keyword_context *context, const struct keyword *keyword)
{
    if (keyword->example == NULL)
        return NULL;
    return arena_format(context->arena, "such as '%s: %s'", keyword->name, keyword->example);
}

static void append_example(struct buffer *text, const struct keyword *keyword)
{
    const char *value = keyword->example != NULL        ? keyword->example
                        : keyword->default_text != NULL ? keyword->default_text
                                                        : "...";
    buffer_format(text, "%s%s: %s", buffer_length(text) == 0 ? "" : ", ", keyword->name, value);
}

/* What is required, otherwise the first key. */
const char *keyword_show_mapping(
    struct keyword_context *context, const char *name, const struct keyword *table)
{
    struct buffer text = {0};
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if ((keyword->flags & KEYWORD_REQUIRED) != 0)
            append_example(&text, keyword);
    }
    if (buffer_length(&text) == 0 && table->name != NULL)
        append_example(&text, table);
    const char *hint = buffer_length(&text) == 0 ? NULL
                                                 : arena_format(context->arena, "such as '%s: {%.*s}'", name,
                                                       VIEW_ARGS(buffer_view(&text)));
    buffer_release(&text);
    return hint;
}

/* The same for a mapping that is read: a member of another, an item of a list, or the root. */
static const char *mapping_hint(
    struct keyword_context *context, const struct keyword *table, const struct yaml_node *found)
{
    const char *hint = NULL;
    if (found->kind == YAML_SCALAR && found->key.length == 0) {
        for (const struct keyword *keyword = table; keyword->name != NULL && hint == NULL; keyword++) {
            if (view_equal_string(found->text, keyword->name))
                hint = arena_format(context->arena, "write '%s: ...'", keyword->name);
        }
        if (hint == NULL)
            hint = keyword_show_example(context, &table[0]);
    }
    return hint == NULL ? kind_hint(YAML_MAPPING, found) : hint;
}

/* Reading a mapping */

static size_t table_length(const struct keyword *table)
{
    size_t rows = 0;
    while (table[rows].name != NULL)
        rows++;
    assert(rows <= KEYWORD_ROWS_MAX);
    return rows;
}

static const struct keyword *find_keyword(const struct keyword *table, struct view name)
{
    for (; table->name != NULL; table++) {
        if (view_equal_string(name, table->name))
            return table;
    }
    return NULL;
}

const struct keyword_foreign *keyword_find_foreign(const struct keyword_foreign *list, struct view word)
{
    for (; list != NULL && list->name != NULL; list++) {
        if (word.length == strlen(list->name) &&
            strncasecmp((const char *)word.data, list->name, word.length) == 0)
            return list;
    }
    return NULL;
}

/* The row of the table whose own mapping knows the name; NULL if there is none. */
static const struct keyword *find_inside(const struct keyword *table, struct view name)
{
    for (; table->name != NULL; table++) {
        bool known = table->members != NULL && (table->flags & KEYWORD_UNSUPPORTED) == 0 &&
                     find_keyword(table->members, name) != NULL;
        if (known)
            return table;
    }
    return NULL;
}

/* The words of others for the table's keys. */
static const struct keyword_foreign *foreign_keys(const struct keyword *table)
{
    return table[table_length(table)].foreign;
}

/* The row that was probably meant, or NULL. */
static const struct keyword *refuse_unknown(
    struct keyword_context *context, const struct keyword *table, const struct yaml_node *member)
{
    const char *names[KEYWORD_ROWS_MAX];
    size_t count = 0;
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if ((keyword->flags & KEYWORD_UNSUPPORTED) == 0)
            names[count++] = keyword->name;
    }
    const struct keyword_foreign *foreign = keyword_find_foreign(foreign_keys(table), member->key);
    const char *near = foreign != NULL ? foreign->key : diag_suggest(member->key, names, count);
    const struct keyword *inside = near == NULL ? find_inside(table, member->key) : NULL;
    const char *hint = foreign != NULL  ? foreign->hint
                       : inside != NULL ? arena_format(context->arena, "it belongs under '%s'", inside->name)
                                        : diag_hint(context->diag, member->key, names, count);
    diag_add(
        context->diag, DIAG_ERROR, &member->key_place, hint, "unknown key '%.*s'", VIEW_ARGS(member->key));
    return near == NULL ? NULL : find_keyword(table, view_of_string(near));
}

static size_t set_member(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *member)
{
    if ((keyword->flags & KEYWORD_UNSUPPORTED) != 0) {
        diag_add(context->diag, DIAG_ERROR, &member->key_place, NULL, "'%s' is not supported by this version",
            keyword->name);
        return 1;
    }
    if (keyword->seen_offset != 0)
        *(bool *)((char *)target + keyword->seen_offset - 1) = true;
    return keyword->set(context, keyword, target, member) == 0 ? 0 : 1;
}

/* The node that a default stands for; it is where the mapping is. */
static struct yaml_node default_node(const struct keyword *keyword, const struct yaml_node *mapping)
{
    struct view text = view_of_string(keyword->default_text);
    struct yaml_node node = {.text = text, .place = mapping->place, .key_place = mapping->place};
    node.key = view_of_string(keyword->name);
    if (view_equal_string(text, "{}"))
        node.kind = YAML_MAPPING;
    else if (view_equal_string(text, "[]"))
        node.kind = YAML_SEQUENCE;
    return node;
}

static size_t set_defaults(struct keyword_context *context, const struct keyword *table, uint64_t seen,
    void *target, const struct yaml_node *mapping)
{
    size_t errors = 0;
    for (size_t row = 0; table[row].name != NULL; row++) {
        if ((seen >> row & 1) != 0 || table[row].default_text == NULL)
            continue;
        const struct yaml_node node = default_node(&table[row], mapping);
        errors += table[row].set(context, &table[row], target, &node) == 0 ? 0 : 1;
    }
    return errors;
}

/* One error that names all required keys that are not there. Those of each file are keyword_join()'s where
 * there are several. */
static size_t refuse_missing(struct keyword_context *context, const struct keyword *table, uint64_t seen,
    const struct yaml_node *mapping)
{
    bool several_files = mapping->place.line == 0;
    struct buffer names = {0}, examples = {0};
    size_t count = 0;
    for (size_t row = 0; table[row].name != NULL; row++) {
        const struct keyword *keyword = &table[row];
        if ((seen >> row & 1) != 0 || (keyword->flags & KEYWORD_REQUIRED) == 0 ||
            (several_files && (keyword->flags & KEYWORD_EACH_FILE) != 0))
            continue;
        buffer_format(&names, "%s'%s'", count++ == 0 ? "" : ", ", keyword->name);
        if (keyword->example != NULL)
            buffer_format(&examples, "%s'%s: %s'", buffer_length(&examples) == 0 ? "such as " : ", ",
                keyword->name, keyword->example);
    }
    if (count > 0) {
        const char *hint = arena_copy_string(context->arena, buffer_view(&examples));
        diag_add(context->diag, DIAG_ERROR, &mapping->place, hint[0] == '\0' ? NULL : hint,
            "missing key%s %.*s%s", count == 1 ? "" : "s", VIEW_ARGS(buffer_view(&names)),
            several_files ? " in any of the files" : "");
    }
    buffer_release(&examples);
    buffer_release(&names);
    return count > 0 ? 1 : 0;
}

/* Exactly one of the KEYWORD_ALTERNATIVE rows. unknown: a key was refused that was perhaps meant to be one.
 */
static size_t check_alternatives(struct keyword_context *context, const struct keyword *table,
    const struct yaml_node *mapping, bool unknown)
{
    const struct keyword *given = NULL;
    size_t errors = 0;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        const struct keyword *keyword = find_keyword(table, member->key);
        if (keyword == NULL || (keyword->flags & KEYWORD_ALTERNATIVE) == 0 || keyword == given)
            continue;
        if (given != NULL) {
            diag_add(context->diag, DIAG_ERROR, &member->key_place, "make two entries of it",
                "'%s' beside '%s': an entry has one of them", keyword->name, given->name);
            errors++;
        }
        given = given == NULL ? keyword : given;
    }
    if (given != NULL || unknown)
        return errors;
    struct buffer names = {0};
    const char *example = NULL;
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if ((keyword->flags & KEYWORD_ALTERNATIVE) == 0 || (keyword->flags & KEYWORD_UNSUPPORTED) != 0)
            continue;
        buffer_format(&names, "%s'%s'", buffer_length(&names) == 0 ? "" : ", ", keyword->name);
        example = example != NULL            ? example
                  : keyword->members != NULL ? keyword_show_mapping(context, keyword->name, keyword->members)
                                             : keyword_show_example(context, keyword);
    }
    bool any = buffer_length(&names) > 0;
    if (any)
        diag_add(context->diag, DIAG_ERROR, &mapping->place, example, "missing one of the keys %.*s",
            VIEW_ARGS(buffer_view(&names)));
    buffer_release(&names);
    return any ? 1 : 0;
}

/* Refuses the keys that are not known, and reads the value of one that is misspelt as if it were not: what it
 * holds is checked in the same run, and what it defines is known to others. Returns the bits of the rows that
 * were meant. */
static uint64_t read_unknown(struct keyword_context *context, const struct keyword *table, void *target,
    const struct yaml_node *mapping, uint64_t seen)
{
    uint64_t meant = 0;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        if (find_keyword(table, member->key) != NULL)
            continue;
        bool misspelt = keyword_find_foreign(foreign_keys(table), member->key) == NULL;
        const struct keyword *keyword = refuse_unknown(context, table, member);
        uint64_t bit = keyword == NULL ? 0 : (uint64_t)1 << (keyword - table);
        if (misspelt && keyword != NULL && ((seen | meant) & bit) == 0) {
            ((struct yaml_node *)member)->key = view_of_string(keyword->name); /* who looks it up, finds it */
            (void)set_member(context, keyword, target, member);
        }
        meant |= bit;
    }
    return meant;
}

size_t keyword_read(struct keyword_context *context, const struct keyword *table, void *target,
    const struct yaml_node *mapping)
{
    (void)table_length(table);
    size_t before = diag_errors(context->diag);
    if (mapping->kind != YAML_MAPPING || mapping->refused) {
        keyword_error(context, mapping, mapping_hint(context, table, mapping),
            "%.*s%sexpected a mapping, found %s", VIEW_ARGS(mapping->key),
            mapping->key.length == 0 ? "" : ": ", keyword_describe(mapping));
        return 1;
    }
    uint64_t seen = 0;
    size_t failed = 0;
    bool unknown = false;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        const struct keyword *keyword = find_keyword(table, member->key);
        uint64_t bit = keyword == NULL ? 0 : (uint64_t)1 << (keyword - table);
        unknown = unknown || keyword == NULL;
        if (keyword == NULL || ((seen & bit) != 0 && (keyword->flags & KEYWORD_EACH_FILE) == 0))
            continue; /* twice: refused by the reader of the file; setters may count on being called once */
        seen |= bit;
        failed += set_member(context, keyword, target, member);
    }
    if (unknown)
        seen |= read_unknown(context, table, target, mapping, seen);
    if (!mapping->incomplete)
        failed += refuse_missing(context, table, seen, mapping);
    failed += check_alternatives(context, table, mapping, unknown);
    failed += set_defaults(context, table, seen, target, mapping);
    size_t added = diag_errors(context->diag) - before;
    return added > 0 ? added : failed;
}

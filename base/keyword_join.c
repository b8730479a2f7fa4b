/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the joining of one mapping that stands in several files: what stands in one of them, what in each, and
 * the lists and mappings that are one over all. Called by readers of such files (policy/parse.c) before
 * keyword_read(), which then sees one mapping and reports the rest. */
#include <stdlib.h>

#include "base/keyword_type.h"
#include "base/memory.h"

/* The mapping that is being made. given[row]: its first member of the table's row. */
struct joiner {
    struct keyword_context *context;
    const struct keyword *table;
    struct yaml_node *root;
    struct yaml_node **tail;
    struct yaml_node **given;
};

static void append(struct joiner *joiner, struct yaml_node *member)
{
    member->next = NULL;
    *joiner->tail = member;
    joiner->tail = &member->next;
    joiner->root->count++;
}

/* An error at place that says where the same also is. */
static void refuse_twice(struct joiner *joiner, const struct diag_place *place,
    const struct diag_place *other, struct view name, const char *what)
{
    const char *hint =
        arena_format(joiner->context->arena, "also given at %s:%u", other->source->path, other->line);
    diag_add(joiner->context->diag, DIAG_ERROR, place, hint, "'%.*s' %s", VIEW_ARGS(name), what);
}

/* Adds the children of member to those of what was given before. */
static void join_children(struct yaml_node *given, const struct yaml_node *member)
{
    struct yaml_node **tail = &given->first;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = member->first;
    given->count += member->count;
}

static void join_member(struct joiner *joiner, struct yaml_node *member)
{
    static const char once[] = "is given in two files, and belongs in one";
    size_t row = 0;
    while (joiner->table[row].name != NULL && !view_equal_string(member->key, joiner->table[row].name))
        row++;
    const struct keyword *keyword = &joiner->table[row];
    bool known = keyword->name != NULL && (keyword->flags & KEYWORD_UNSUPPORTED) == 0;
    if (!known || (keyword->flags & KEYWORD_EACH_FILE) != 0) {
        append(joiner, member);
        return;
    }
    bool joined = (keyword->flags & KEYWORD_JOINED) != 0;
    enum yaml_kind kind = keyword->shape == KEYWORD_LIST ? YAML_SEQUENCE : YAML_MAPPING;
    if (joined && keyword_expect(joiner->context, member, keyword->name, kind) != 0)
        return;
    struct yaml_node *given = joiner->given[row];
    if (given == NULL) {
        joiner->given[row] = member;
        append(joiner, member);
    } else if (joined) {
        join_children(given, member);
    } else if (given->key_place.source != member->key_place.source) { /* else the YAML reader said it */
        refuse_twice(joiner, &member->key_place, &given->key_place, member->key, once);
        refuse_twice(joiner, &given->key_place, &member->key_place, member->key, once);
    }
}

static int compare_members(const void *left, const void *right)
{
    const struct yaml_node *a = *(const struct yaml_node *const *)left;
    const struct yaml_node *b = *(const struct yaml_node *const *)right;
    size_t common = a->key.length < b->key.length ? a->key.length : b->key.length;
    int order = common == 0 ? 0 : memcmp(a->key.data, b->key.data, common);
    if (order == 0)
        order = (a->key.length > b->key.length) - (a->key.length < b->key.length);
    return order != 0 ? order : strcmp(a->key_place.source->path, b->key_place.source->path);
}

/* Names that two files give to members of a joined mapping. Sorted, so that many names cost no square. */
static void refuse_names_twice(struct joiner *joiner, const struct yaml_node *mapping)
{
    const struct yaml_node **members = memory_calloc(mapping->count + 1, sizeof(*members));
    size_t count = 0;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next)
        members[count++] = member;
    qsort(members, count, sizeof(*members), compare_members);
    for (size_t i = 1; i < count; i++) {
        const struct diag_place *a = &members[i - 1]->key_place, *b = &members[i]->key_place;
        if (!view_equal(members[i - 1]->key, members[i]->key) || a->source == b->source)
            continue;
        refuse_twice(joiner, b, a, members[i]->key, "is defined twice");
        refuse_twice(joiner, a, b, members[i]->key, "is defined twice");
    }
    free(members);
}

/* What each file must have. */
static void check_each(struct joiner *joiner, const struct yaml_node *root)
{
    for (const struct keyword *keyword = joiner->table; keyword->name != NULL; keyword++) {
        const struct yaml_node *member = root->first;
        while (member != NULL && !view_equal_string(member->key, keyword->name))
            member = member->next;
        if (member != NULL || (keyword->flags & KEYWORD_EACH_FILE) == 0 ||
            (keyword->flags & KEYWORD_REQUIRED) == 0)
            continue;
        diag_add(joiner->context->diag, DIAG_ERROR, &root->place,
            arena_format(joiner->context->arena, "each file begins with '%s: %s'", keyword->name,
                keyword->example == NULL ? "..." : keyword->example),
            "missing key '%s'", keyword->name);
    }
}

struct yaml_node *keyword_join(struct keyword_context *context, const struct keyword *table,
    const struct diag_source *whole, struct yaml_node *const *roots, size_t count, bool incomplete)
{
    size_t rows = 0;
    while (table[rows].name != NULL)
        rows++;
    struct yaml_node *root = arena_alloc(context->arena, sizeof(*root));
    *root = (struct yaml_node){.kind = YAML_MAPPING, .incomplete = incomplete, .place = {.source = whole}};
    struct joiner joiner = {.context = context, .table = table, .root = root, .tail = &root->first};
    joiner.given = arena_calloc(context->arena, rows, sizeof(struct yaml_node *));
    for (size_t i = 0; i < count; i++) {
        if (keyword_expect(context, roots[i], "the file", YAML_MAPPING) != 0)
            continue;
        check_each(&joiner, roots[i]);
        for (struct yaml_node *member = roots[i]->first, *next; member != NULL; member = next) {
            next = member->next;
            join_member(&joiner, member);
        }
    }
    for (size_t row = 0; row < rows; row++) {
        if (joiner.given[row] != NULL && table[row].shape == KEYWORD_NAMED)
            refuse_names_twice(&joiner, joiner.given[row]);
    }
    return root;
}

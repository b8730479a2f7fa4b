/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the trie of patterns. Built once by compile.c, walked by decide.c (a topic against all patterns) and
 * subscribe.c (a filter against all patterns). A walk is a depth-first descent into those children only that
 * a level can lead to: one literal (found by hash), the '+', and the placeholders whose value it is. Its
 * depth is that of the deepest pattern, it visits no node twice, and it does not look at what the topic has
 * beyond. */
#include "policy/rule_trie.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define NO_NODE 0 /* the root is nobody's child */

/* A kind of placeholder edges out of a node: those of one slot with texts of the same lengths around it.
 * Where the lengths are zero there is one such edge, otherwise the texts lead to it by hash. */
struct shape {
    uint32_t prefix_length;
    uint32_t suffix_length;
    uint32_t child; /* NO_NODE: look it up */
    uint32_t next;  /* shape of the same node, 0 = none */
    uint8_t slot;
};

struct pending {
    struct rule_reference reference;
    struct pending *next;
    bool except;
};

struct node {
    uint32_t one;         /* child for '+' */
    uint32_t shapes;      /* first of its shapes, 0 = none */
    uint32_t first_child; /* any kind */
    uint32_t next_sibling;
    uint32_t literals;       /* number of literal children */
    struct rule_scope scope; /* of all rules here and below, put together */
    uint32_t parent;
    uint32_t hash; /* of the edge from parent, as in the table */
    struct pattern_level edge;
    struct rule_terminal exact; /* patterns that end here */
    struct rule_terminal many;  /* patterns that end here with '#' */
    struct pending *pending_exact, *pending_many;
};

struct rule_trie {
    struct arena *arena;
    struct node *nodes;
    uint32_t node_count, node_capacity;
    struct shape *shapes; /* the first is not used */
    uint32_t shape_count, shape_capacity;
    uint32_t *table; /* of children by parent and edge, open addressing; its size is a power of two */
    uint32_t table_size;
    size_t depth;
    bool finished;
};

/* ---- the table of children ---- */

static uint32_t mix(uint32_t parent, uint32_t hash)
{
    uint64_t product = ((uint64_t)parent << 32 | hash) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(product >> 32);
}

static uint32_t placeholder_hash(unsigned slot, struct view prefix, struct view suffix)
{
    return mix(slot + 1, level_hash(prefix) * 3 + level_hash(suffix));
}

static bool edge_is(const struct node *node, uint32_t parent, enum pattern_kind kind, unsigned slot,
    struct view prefix, struct view suffix)
{
    return node->parent == parent && node->edge.kind == kind && node->edge.slot == slot &&
           view_equal(node->edge.prefix, prefix) && view_equal(node->edge.suffix, suffix);
}

static uint32_t find_literal(const struct rule_trie *trie, uint32_t parent, const struct level *level)
{
    uint32_t hash = mix(parent, level->hash), mask = trie->table_size - 1;
    for (uint32_t i = hash & mask; trie->table[i] != NO_NODE; i = (i + 1) & mask) {
        const struct node *node = &trie->nodes[trie->table[i]];
        if (node->hash == hash && node->parent == parent && node->edge.kind == PATTERN_LITERAL &&
            view_equal(node->edge.prefix, level->text))
            return trie->table[i];
    }
    return NO_NODE;
}

static uint32_t find_placeholder(
    const struct rule_trie *trie, uint32_t parent, unsigned slot, struct view prefix, struct view suffix)
{
    uint32_t hash = mix(parent, placeholder_hash(slot, prefix, suffix)), mask = trie->table_size - 1;
    for (uint32_t i = hash & mask; trie->table[i] != NO_NODE; i = (i + 1) & mask) {
        const struct node *node = &trie->nodes[trie->table[i]];
        if (node->hash == hash && edge_is(node, parent, PATTERN_PLACEHOLDER, slot, prefix, suffix))
            return trie->table[i];
    }
    return NO_NODE;
}

static void table_put(struct rule_trie *trie, uint32_t child)
{
    uint32_t mask = trie->table_size - 1, i = trie->nodes[child].hash & mask;
    while (trie->table[i] != NO_NODE)
        i = (i + 1) & mask;
    trie->table[i] = child;
}

static void table_grow(struct rule_trie *trie)
{
    free(trie->table);
    trie->table_size = trie->table_size == 0 ? 64 : trie->table_size * 2;
    trie->table = memory_calloc(trie->table_size, sizeof(*trie->table));
    for (uint32_t child = 1; child < trie->node_count; child++) {
        if (trie->nodes[child].edge.kind != PATTERN_ONE)
            table_put(trie, child);
    }
}

/* ---- building ---- */

static uint32_t new_node(struct rule_trie *trie)
{
    if (trie->node_count == trie->node_capacity) {
        trie->node_capacity = trie->node_capacity == 0 ? 64 : trie->node_capacity * 2;
        trie->nodes = memory_realloc(trie->nodes, trie->node_capacity, sizeof(*trie->nodes));
    }
    trie->nodes[trie->node_count] = (struct node){0};
    return trie->node_count++;
}

struct rule_trie *rule_trie_new(struct arena *arena)
{
    struct rule_trie *trie = arena_alloc(arena, sizeof(*trie));
    trie->arena = arena;
    trie->shape_count = 1;
    new_node(trie);
    table_grow(trie);
    return trie;
}

static void add_shape(
    struct rule_trie *trie, uint32_t parent, const struct pattern_level *edge, uint32_t child)
{
    bool bare = edge->prefix.length + edge->suffix.length == 0;
    for (uint32_t i = trie->nodes[parent].shapes; i != 0; i = trie->shapes[i].next) {
        const struct shape *shape = &trie->shapes[i];
        if (shape->slot == edge->slot && shape->prefix_length == edge->prefix.length &&
            shape->suffix_length == edge->suffix.length)
            return;
    }
    if (trie->shape_count >= trie->shape_capacity) {
        trie->shape_capacity = trie->shape_capacity == 0 ? 16 : trie->shape_capacity * 2;
        trie->shapes = memory_realloc(trie->shapes, trie->shape_capacity, sizeof(*trie->shapes));
    }
    trie->shapes[trie->shape_count] = (struct shape){
        .prefix_length = (uint32_t)edge->prefix.length,
        .suffix_length = (uint32_t)edge->suffix.length,
        .child = bare ? child : NO_NODE,
        .next = trie->nodes[parent].shapes,
        .slot = edge->slot,
    };
    trie->nodes[parent].shapes = trie->shape_count++;
}

static uint32_t find_child(const struct rule_trie *trie, uint32_t parent, const struct pattern_level *edge)
{
    if (edge->kind == PATTERN_ONE)
        return trie->nodes[parent].one;
    if (edge->kind == PATTERN_PLACEHOLDER)
        return find_placeholder(trie, parent, edge->slot, edge->prefix, edge->suffix);
    struct level level = {.text = edge->prefix, .hash = level_hash(edge->prefix)};
    return find_literal(trie, parent, &level);
}

static uint32_t add_child(struct rule_trie *trie, uint32_t parent, const struct pattern_level *edge)
{
    uint32_t child = new_node(trie);
    struct node *node = &trie->nodes[child], *above = &trie->nodes[parent];
    node->parent = parent;
    node->edge = *edge;
    node->next_sibling = above->first_child;
    above->first_child = child;
    if (edge->kind == PATTERN_ONE) {
        above->one = child;
        return child;
    }
    above->literals += edge->kind == PATTERN_LITERAL;
    node->hash =
        mix(parent, edge->kind == PATTERN_LITERAL ? level_hash(edge->prefix)
                                                  : placeholder_hash(edge->slot, edge->prefix, edge->suffix));
    if (edge->kind == PATTERN_PLACEHOLDER)
        add_shape(trie, parent, edge, child);
    if (trie->node_count * 2 > trie->table_size)
        table_grow(trie);
    else
        table_put(trie, child);
    return child;
}

static void widen(struct rule_scope *all, struct rule_scope one)
{
    all->verbs |= one.verbs;
    all->groups |= one.groups;
}

void rule_trie_add(struct rule_trie *trie, const struct policy_rule *rule, const struct pattern *pattern,
    bool except, struct rule_scope scope)
{
    uint32_t at = 0;
    assert(!trie->finished && pattern->count <= PATTERN_LEVELS_MAXIMUM);
    widen(&trie->nodes[at].scope, scope);
    for (size_t i = 0; i < pattern->count; i++) {
        uint32_t child = find_child(trie, at, &pattern->levels[i]);
        at = child != NO_NODE ? child : add_child(trie, at, &pattern->levels[i]);
        widen(&trie->nodes[at].scope, scope);
    }
    if (pattern->count > trie->depth)
        trie->depth = pattern->count;
    struct pending *pending = arena_alloc(trie->arena, sizeof(*pending));
    struct pending **list = pattern->multi ? &trie->nodes[at].pending_many : &trie->nodes[at].pending_exact;
    *pending = (struct pending){.reference = {rule, pattern}, .next = *list, .except = except};
    *list = pending;
}

static void finish_terminal(
    struct rule_trie *trie, struct rule_terminal *terminal, const struct pending *list)
{
    uint32_t topics = 0, excepts = 0;
    for (const struct pending *pending = list; pending != NULL; pending = pending->next)
        *(pending->except ? &excepts : &topics) += 1;
    if (topics + excepts == 0)
        return;
    struct rule_reference *references = arena_calloc(trie->arena, topics + excepts, sizeof(*references));
    *terminal = (struct rule_terminal){references, excepts, excepts + topics};
    /* The lists are in reverse order of the file. */
    for (const struct pending *pending = list; pending != NULL; pending = pending->next)
        references[pending->except ? --excepts : terminal->except_count + --topics] = pending->reference;
}

void rule_trie_finish(struct rule_trie *trie)
{
    assert(!trie->finished);
    for (uint32_t i = 0; i < trie->node_count; i++) {
        finish_terminal(trie, &trie->nodes[i].exact, trie->nodes[i].pending_exact);
        finish_terminal(trie, &trie->nodes[i].many, trie->nodes[i].pending_many);
    }
    /* Into the arena, so that the trie dies with the policy. */
    struct node *nodes = arena_calloc(trie->arena, trie->node_count, sizeof(*nodes));
    memcpy(nodes, trie->nodes, trie->node_count * sizeof(*nodes));
    free(trie->nodes);
    trie->nodes = nodes;
    uint32_t *table = arena_calloc(trie->arena, trie->table_size, sizeof(*table));
    memcpy(table, trie->table, trie->table_size * sizeof(*table));
    free(trie->table);
    trie->table = table;
    struct shape *shapes = arena_calloc(trie->arena, trie->shape_count, sizeof(*shapes));
    if (trie->shapes != NULL)
        memcpy(shapes, trie->shapes, trie->shape_count * sizeof(*shapes));
    free(trie->shapes);
    trie->shapes = shapes;
    trie->finished = true;
}

size_t rule_trie_depth(const struct rule_trie *trie)
{
    return trie->depth;
}

size_t rule_trie_nodes(const struct rule_trie *trie)
{
    return trie->node_count;
}

/* ---- a topic against all patterns ---- */

struct match_walk {
    const struct rule_trie *trie;
    const struct view *values;
    const struct region *region;
    size_t count;
    unsigned verbs;
    struct rule_hits *hits;
};

static void add_hit(struct rule_hits *hits, const struct rule_terminal *terminal, bool unknown)
{
    if (hits->count == hits->capacity) {
        size_t capacity = hits->capacity * 2;
        struct rule_hit *items = memory_calloc(capacity, sizeof(*items));
        memcpy(items, hits->items, hits->count * sizeof(*items));
        rule_hits_release(hits);
        hits->items = items;
        hits->capacity = capacity;
    }
    hits->items[hits->count++] = (struct rule_hit){terminal, unknown};
}

void rule_hits_release(struct rule_hits *hits)
{
    if (hits->items != hits->inline_items)
        free(hits->items);
    hits->items = NULL;
}

/* The child that a level leads to by a shape; *unknown is set when only the texts around the value could be
 * compared. */
static uint32_t follow_shape(const struct rule_trie *trie, const struct view *values, uint32_t parent,
    const struct shape *shape, struct view text, bool *unknown)
{
    struct view value = values[shape->slot];
    size_t around = (size_t)shape->prefix_length + shape->suffix_length;
    *unknown = value.data == NULL;
    if (*unknown ? text.length <= around : text.length != around + value.length)
        return NO_NODE;
    const uint8_t *middle = text.data + shape->prefix_length;
    if (!*unknown && memcmp(middle, value.data, value.length) != 0)
        return NO_NODE;
    if (around == 0)
        return shape->child;
    return find_placeholder(trie, parent, shape->slot, view_of(text.data, shape->prefix_length),
        view_of(text.data + text.length - shape->suffix_length, shape->suffix_length));
}

static void match_node(const struct match_walk *walk, uint32_t at, size_t depth, bool unknown);

static void match_placeholders(
    const struct match_walk *walk, uint32_t at, size_t depth, const struct level *level, bool unknown)
{
    const struct rule_trie *trie = walk->trie;
    for (uint32_t i = trie->nodes[at].shapes; i != 0; i = trie->shapes[i].next) {
        const struct shape *shape = &trie->shapes[i];
        bool value_unknown;
        /* No value begins with '$', known or not. */
        if (depth == 0 && shape->prefix_length == 0 && level_has_dollar(level))
            continue;
        uint32_t child = follow_shape(trie, walk->values, at, shape, level->text, &value_unknown);
        if (child != NO_NODE)
            match_node(walk, child, depth + 1, unknown || value_unknown);
    }
}

/* A witness's fresh level is no known value, but it may be an unknown one: all of them then. */
static void match_unknown_children(const struct match_walk *walk, uint32_t at, size_t depth)
{
    const struct node *nodes = walk->trie->nodes;
    for (uint32_t child = nodes[at].first_child; child != NO_NODE; child = nodes[child].next_sibling) {
        if (nodes[child].edge.kind == PATTERN_PLACEHOLDER &&
            walk->values[nodes[child].edge.slot].data == NULL)
            match_node(walk, child, depth + 1, true);
    }
}

static void match_node(const struct match_walk *walk, uint32_t at, size_t depth, bool unknown)
{
    const struct rule_trie *trie = walk->trie;
    const struct node *node = &trie->nodes[at];
    bool dollar = depth == 0 && level_has_dollar(&walk->region->levels[0]);

    if ((node->scope.verbs & walk->verbs) == 0)
        return;
    if (node->many.count > 0 && !dollar)
        add_hit(walk->hits, &node->many, unknown);
    if (depth == walk->count) {
        if (node->exact.count > 0)
            add_hit(walk->hits, &node->exact, unknown);
        return;
    }
    const struct level *level = &walk->region->levels[depth];
    if (node->literals > 0 && !level->wild) {
        uint32_t child = find_literal(trie, at, level);
        if (child != NO_NODE)
            match_node(walk, child, depth + 1, unknown);
    }
    if (node->one != NO_NODE && !dollar)
        match_node(walk, node->one, depth + 1, unknown);
    if (node->shapes != 0) {
        if (level->wild)
            match_unknown_children(walk, at, depth);
        else
            match_placeholders(walk, at, depth, level, unknown);
    }
}

void rule_trie_match(const struct rule_trie *trie, unsigned verbs, const struct view *values,
    const struct region *region, size_t count, struct rule_hits *hits)
{
    assert(trie->finished && count > 0 && count <= REGION_LEVELS);
    hits->count = 0;
    hits->capacity = RULE_HITS_INLINE;
    hits->items = hits->inline_items;
    const struct match_walk walk = {trie, values, region, count, verbs, hits};
    match_node(&walk, 0, 0, false);
}

/* ---- a filter against all patterns ---- */

struct overlap_walk {
    const struct rule_trie *trie;
    const struct view *values;
    const struct region *region;
    struct rule_scope scope;
    rule_trie_visit *visit;
    void *context;
};

static bool overlap_node(const struct overlap_walk *walk, uint32_t at, size_t depth, bool unknown);

/* Can a child's edge and a level of the region mean the same text? *unknown as in follow_shape(). */
static bool edge_overlaps(const struct overlap_walk *walk, const struct pattern_level *edge,
    const struct level *level, bool first, bool *unknown)
{
    struct view value = {NULL, 0};
    *unknown = false;
    if (edge->kind == PATTERN_ONE)
        return !first || !level_has_dollar(level);
    if (edge->kind == PATTERN_PLACEHOLDER) {
        value = walk->values[edge->slot];
        *unknown = value.data == NULL;
    }
    if (level->wild)
        return !first || edge->prefix.length == 0 || edge->prefix.data[0] != '$';
    struct view text = level->text;
    size_t around = edge->prefix.length + edge->suffix.length;
    if (*unknown ? text.length <= around : text.length != around + value.length)
        return false;
    if (*unknown && first && edge->prefix.length == 0 && level_has_dollar(level))
        return false;
    return view_starts_with(text, edge->prefix) && view_ends_with(text, edge->suffix) &&
           (*unknown || view_equal(view_of(text.data + edge->prefix.length, value.length), value));
}

static bool overlap_children(const struct overlap_walk *walk, uint32_t at, size_t depth, bool unknown)
{
    static const struct level any = {.wild = true};
    const struct node *nodes = walk->trie->nodes;
    const struct level *level = depth < walk->region->count ? &walk->region->levels[depth] : &any;
    if (!level->wild && nodes[at].literals > 0) {
        uint32_t child = find_literal(walk->trie, at, level);
        if (child != NO_NODE && !overlap_node(walk, child, depth + 1, unknown))
            return false;
    }
    /* Only a node with more than literals, or a wildcard, makes it look at every child. */
    if (!level->wild && nodes[at].one == NO_NODE && nodes[at].shapes == 0)
        return true;
    for (uint32_t child = nodes[at].first_child; child != NO_NODE; child = nodes[child].next_sibling) {
        bool edge_unknown;
        if (!level->wild && nodes[child].edge.kind == PATTERN_LITERAL)
            continue;
        if (edge_overlaps(walk, &nodes[child].edge, level, depth == 0, &edge_unknown) &&
            !overlap_node(walk, child, depth + 1, unknown || edge_unknown))
            return false;
    }
    return true;
}

static bool overlap_node(const struct overlap_walk *walk, uint32_t at, size_t depth, bool unknown)
{
    const struct node *node = &walk->trie->nodes[at];
    const struct region *region = walk->region;
    bool dollar = depth == 0 && region->count > 0 && level_has_dollar(&region->levels[0]);
    bool complete = depth == region->count || (region->multi && depth > region->count);

    if ((node->scope.verbs & walk->scope.verbs) == 0 || (node->scope.groups & walk->scope.groups) == 0)
        return true;
    if (node->many.count > 0 && !dollar && !walk->visit(walk->context, &node->many, unknown))
        return false;
    if (complete && node->exact.count > 0 && !walk->visit(walk->context, &node->exact, unknown))
        return false;
    if (complete && !region->multi)
        return true;
    return overlap_children(walk, at, depth, unknown);
}

void rule_trie_overlap(const struct rule_trie *trie, struct rule_scope scope, const struct view *values,
    const struct region *region, rule_trie_visit *visit, void *context)
{
    assert(trie->finished);
    const struct overlap_walk walk = {trie, values, region, scope, visit, context};
    overlap_node(&walk, 0, 0, false);
}

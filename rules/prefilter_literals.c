/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from libyara's compiled strings to literals. Called by prefilter.c.
 *
 * A text string is taken whole (nocase, ascii and wide in their forms). Of all others (regular expressions,
 * hex strings, xor, base64) libyara's atoms are taken: the paths of its compiler's automaton to the states at
 * which a string is noted. Of a string without atoms nothing is known: its groups are always candidates. */
#include "rules/prefilter_parts.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define LITERAL_MAXIMUM 64 /* bytes; the rest of a longer string does not matter */

struct collector {
    struct prefilter *prefilter;
    const struct prefilter_set *set;
    size_t capacity;
};

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 'a' - 'A') : byte;
}

static void add_literal(struct collector *collector, uint32_t rule, struct view bytes, bool nocase)
{
    struct prefilter *prefilter = collector->prefilter;
    const struct prefilter_groups *groups = &collector->set->of_rule[rule];

    if (groups->count == 0)
        return;
    if (bytes.length > LITERAL_MAXIMUM)
        bytes.length = LITERAL_MAXIMUM;
    if (prefilter->literal_count == collector->capacity) {
        collector->capacity = collector->capacity == 0 ? 1024 : collector->capacity * 2;
        prefilter->literals =
            memory_realloc(prefilter->literals, collector->capacity, sizeof(*prefilter->literals));
    }
    struct prefilter_literal *literal = &prefilter->literals[prefilter->literal_count++];
    uint8_t *copy = arena_alloc(prefilter->arena, bytes.length);
    for (size_t i = 0; i < bytes.length; i++)
        copy[i] = nocase ? lower(bytes.data[i]) : bytes.data[i];
    /* The groups are borrowed until literals are merged. */
    *literal = (struct prefilter_literal){view_of(copy, bytes.length), nocase, *groups};
}

/* ---- text strings ---- */

static bool is_text(const YR_STRING *string)
{
    return STRING_IS_LITERAL(string) && (STRING_IS_ASCII(string) || STRING_IS_WIDE(string)) &&
           !STRING_IS_XOR(string) && !STRING_IS_BASE64(string) && !STRING_IS_BASE64_WIDE(string) &&
           string->length > 0 && string->string != NULL;
}

static void take_text(struct collector *collector, const YR_STRING *string)
{
    uint8_t wide[LITERAL_MAXIMUM];
    size_t length = (size_t)string->length;
    bool nocase = STRING_IS_NO_CASE(string);

    if (STRING_IS_ASCII(string))
        add_literal(collector, string->rule_idx, view_of(string->string, length), nocase);
    if (!STRING_IS_WIDE(string))
        return;
    if (length > sizeof(wide) / 2)
        length = sizeof(wide) / 2;
    for (size_t i = 0; i < length; i++) {
        wide[2 * i] = string->string[i];
        wide[2 * i + 1] = 0;
    }
    add_literal(collector, string->rule_idx, view_of(wide, 2 * length), nocase);
}

/* ---- atoms ---- */

static void take_match(struct collector *collector, const YR_AC_MATCH *match, struct view path)
{
    const YR_STRING *string = match->string;

    if (is_text(string))
        return;
    if (path.length == 0)
        prefilter_set_groups(&collector->set->of_rule[string->rule_idx], collector->prefilter->certain);
    else
        add_literal(collector, string->rule_idx, path, STRING_IS_NO_CASE(string));
}

static const YR_AC_MATCH *matches_of(const struct collector *collector, const YR_AC_STATE *state)
{
    const YR_ARENA_REF at = state->matches_ref;

    if (YR_ARENA_IS_NULL_REF(at))
        return NULL;
    return (const YR_AC_MATCH *)(const void *)(collector->set->read->arena->buffers[at.buffer_id].data +
                                               at.offset);
}

/* As the compiler has them, the states are a tree, and each has the matches of its own path alone. Atoms have
 * YR_MAX_ATOM_LENGTH bytes at most, and so do paths. */
static void take_states(
    struct collector *collector, const YR_AC_STATE *state, uint8_t path[YR_MAX_ATOM_LENGTH], size_t length)
{
    for (const YR_AC_MATCH *match = matches_of(collector, state); match != NULL; match = match->next)
        take_match(collector, match, view_of(path, length));
    for (const YR_AC_STATE *next = state->first_child; next != NULL; next = next->siblings) {
        assert(length < YR_MAX_ATOM_LENGTH);
        path[length] = next->input;
        take_states(collector, next, path, length + 1);
    }
}

/* ---- each literal once ---- */

static int compare_literals(const void *a, const void *b)
{
    const struct prefilter_literal *x = a, *y = b;
    size_t length = x->bytes.length < y->bytes.length ? x->bytes.length : y->bytes.length;
    int order = memcmp(x->bytes.data, y->bytes.data, length);

    if (order == 0 && x->bytes.length != y->bytes.length)
        order = x->bytes.length < y->bytes.length ? -1 : 1;
    return order != 0 ? order : (int)x->nocase - (int)y->nocase;
}

static int compare_groups(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

void prefilter_add_groups(struct prefilter_groups *groups, const struct prefilter_groups *more)
{
    if (more->count == 0)
        return;
    groups->groups = memory_realloc(groups->groups, groups->count + more->count, sizeof(*groups->groups));
    memcpy(groups->groups + groups->count, more->groups, more->count * sizeof(*groups->groups));
    groups->count += more->count;
}

void prefilter_sort_groups(struct prefilter_groups *groups)
{
    size_t kept = 0;

    if (groups->count < 2)
        return;
    qsort(groups->groups, groups->count, sizeof(*groups->groups), compare_groups);
    for (size_t i = 0; i < groups->count; i++) {
        if (i == 0 || groups->groups[i] != groups->groups[kept - 1])
            groups->groups[kept++] = groups->groups[i];
    }
    groups->count = kept;
}

static void merge_literals(struct prefilter *prefilter)
{
    struct prefilter_literal *literals = prefilter->literals;
    size_t kept = 0;

    if (prefilter->literal_count == 0)
        return;
    qsort(literals, prefilter->literal_count, sizeof(*literals), compare_literals);
    for (size_t i = 0; i < prefilter->literal_count; i++) {
        struct prefilter_groups groups = literals[i].groups;
        if (kept == 0 || compare_literals(&literals[i], &literals[kept - 1]) != 0) {
            literals[kept] = literals[i];
            literals[kept++].groups = (struct prefilter_groups){0};
        }
        prefilter_add_groups(&literals[kept - 1].groups, &groups);
    }
    prefilter->literal_count = kept;
    for (size_t i = 0; i < kept; i++)
        prefilter_sort_groups(&literals[i].groups);
}

void prefilter_take_literals(struct prefilter *prefilter)
{
    struct collector collector = {.prefilter = prefilter};

    for (size_t i = 0; i < prefilter->set_count; i++) {
        struct prefilter_set *set = &prefilter->sets[i];
        uint8_t path[YR_MAX_ATOM_LENGTH];

        if (set->read == NULL)
            continue;
        collector.set = set;
        for (uint32_t k = 0; k < set->read->num_strings; k++) {
            if (is_text(&set->read->strings_table[k]))
                take_text(&collector, &set->read->strings_table[k]);
        }
        take_states(&collector, set->automaton->root, path, 0);
        set->read = NULL;
        set->automaton = NULL;
    }
    merge_literals(prefilter);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from libyara's compiled strings to literals. Called by prefilter.c.
 *
 * A text string is taken whole (nocase, ascii and wide in their forms). Of all others (regular expressions,
 * hex strings, xor, base64) libyara's atoms are taken: the paths of its automaton to the states at which a
 * string is noted. Of a string without atoms nothing is known: its groups are always candidates. */
#include "rules/prefilter_parts.h"

#include <stdlib.h>

#include "base/memory.h"

#define LITERAL_MAXIMUM 64 /* bytes; the rest of a longer string does not matter */

struct collector {
    struct prefilter *prefilter;
    const struct prefilter_set *set;
    size_t capacity;
    bool *seen; /* by number of YR_AC_MATCH: a deeper state took it over from the one that owns it */
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

/* A state's own matches come first in its list; from the first that a shallower state has, all are of others.
 */
static void take_state(struct collector *collector, uint32_t state, struct view path)
{
    const YR_RULES *rules = collector->set->rules;

    if (rules->ac_match_table[state] == 0)
        return;
    const YR_AC_MATCH *match = &rules->ac_match_pool[rules->ac_match_table[state] - 1];
    for (; match != NULL; match = match->next) {
        bool *seen = &collector->seen[match - rules->ac_match_pool];
        if (!*seen)
            take_match(collector, match, path);
        *seen = true;
    }
}

/* A state on the way, with the bytes that lead to it. */
struct path {
    uint32_t state;
    uint8_t length;
    uint8_t bytes[YR_MAX_ATOM_LENGTH];
};

struct level {
    struct path *paths;
    size_t count, capacity;
};

static void add_path(struct level *level, const struct path *from, uint32_t state, uint8_t byte)
{
    if (level->count == level->capacity) {
        level->capacity = level->capacity == 0 ? 256 : level->capacity * 2;
        level->paths = memory_realloc(level->paths, level->capacity, sizeof(*level->paths));
    }
    struct path *path = &level->paths[level->count++];
    *path = *from;
    path->state = state;
    path->bytes[path->length++] = byte;
}

/* Level by level, so that a match is seen first at the state that owns it. Atoms have YR_MAX_ATOM_LENGTH
 * bytes at most, and so do paths. */
static void take_atoms(struct collector *collector)
{
    const YR_AC_TRANSITION *table = collector->set->rules->ac_transition_table;
    struct path root = {0};
    struct level level = {0};

    take_state(collector, YR_AC_ROOT_STATE, view_of(NULL, 0));
    for (unsigned byte = 0; byte < 256; byte++) {
        YR_AC_TRANSITION transition = table[byte + 1];
        if (!YR_AC_INVALID_TRANSITION(transition, byte + 1))
            add_path(&level, &root, YR_AC_NEXT_STATE(transition), (uint8_t)byte);
    }
    while (level.count > 0) {
        struct level next = {0};
        for (size_t i = 0; i < level.count; i++) {
            const struct path *path = &level.paths[i];
            take_state(collector, path->state, view_of(path->bytes, path->length));
            for (unsigned byte = 0; byte < 256 && path->length < YR_MAX_ATOM_LENGTH; byte++) {
                YR_AC_TRANSITION transition = table[path->state + byte + 1];
                if (!YR_AC_INVALID_TRANSITION(transition, byte + 1))
                    add_path(&next, path, YR_AC_NEXT_STATE(transition), (uint8_t)byte);
            }
        }
        free(level.paths);
        level = next;
    }
    free(level.paths);
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
        const YR_RULES *rules = prefilter->sets[i].rules;
        if (rules == NULL)
            continue;
        size_t matches = rules->arena->buffers[YR_AC_STATE_MATCHES_POOL].used / sizeof(YR_AC_MATCH);
        collector.set = &prefilter->sets[i];
        collector.seen = memory_calloc(matches + 1, sizeof(*collector.seen));
        for (uint32_t k = 0; k < rules->num_strings; k++) {
            if (is_text(&rules->strings_table[k]))
                take_text(&collector, &rules->strings_table[k]);
        }
        take_atoms(&collector);
        free(collector.seen);
    }
    merge_literals(prefilter);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A region: the topics of a filter (or the one of a topic name), split into levels as far as the policy's
 * patterns look, with their hashes. */
#ifndef MQWARD_POLICY_REGION_H
#define MQWARD_POLICY_REGION_H

#include "policy/pattern.h"

struct level {
    struct view text;
    uint32_t hash; /* level_hash(text) */
    bool wild;     /* '+': any text; as part of a witness, a text that occurs in no pattern */
};

/* One level more than any pattern has: a topic cut there matches what the whole one would. */
#define REGION_LEVELS (PATTERN_LEVELS_MAXIMUM + 1)

struct region {
    size_t count;
    bool multi;                         /* '#' follows */
    struct level levels[REGION_LEVELS]; /* where multi is set, those behind count are wild */
};

/* A hash for tables that only the policy fills: peers look up in them but can't crowd them. */
static inline uint32_t level_hash(struct view text)
{
    uint64_t hash = (uint64_t)text.length * UINT64_C(0x9e3779b97f4a7c15), word = 0;
    const uint8_t *data = text.data;
    size_t rest = text.length;
    for (; rest >= sizeof(word); data += sizeof(word), rest -= sizeof(word)) {
        memcpy(&word, data, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    word = 0;
    for (size_t i = 0; i < rest; i++)
        word |= (uint64_t)data[i] << 8 * i;
    hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(hash ^ hash >> 32);
}

static inline bool level_has_dollar(const struct level *level)
{
    return !level->wild && level->text.length > 0 && level->text.data[0] == '$';
}

/* Splits a topic name into at most depth + 1 levels; depth: of the deepest pattern. */
void region_of_name(struct region *region, struct view name, size_t depth);
/* The same for a filter. */
void region_of_filter(struct region *region, struct view filter, size_t depth);

/* Values of placeholders by slot; data == NULL: not known. */
struct level_fill {
    const struct view *values;
    struct arena **arena; /* made when a level has to be put together */
};
/* The topics that are in region and matched by pattern, into out. False if there are none. All of the
 * pattern's values must be known. */
bool region_intersect(const struct region *region, const struct pattern *pattern,
    const struct level_fill *fill, struct region *out);
/* True if both have the same topics. */
bool region_equal(const struct region *a, const struct region *b);
/* Does pattern match the witness that is region's first count levels? */
bool region_witness_matches(
    const struct region *region, size_t count, const struct pattern *pattern, const struct view *values);
/* The numbers of levels of a region's witnesses run from first to last, for patterns of at most depth levels.
 */
size_t region_first_witness(const struct region *region);
size_t region_last_witness(const struct region *region, size_t depth);

#endif

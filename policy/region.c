/* SPDX-License-Identifier: Apache-2.0 */
/* Owns regions: topics and filters as the decisions see them, their intersections with patterns, and their
 * witnesses (policy-language, semantics 2). Called by decide.c and subscribe.c; pure. */
#include "policy/region.h"

#include <assert.h>

static void set_literal(struct level *level, struct view text)
{
    *level = (struct level){.text = text, .hash = level_hash(text)};
}

static void set_wild(struct region *region, size_t from)
{
    for (size_t i = from; i < REGION_LEVELS; i++)
        region->levels[i] = (struct level){.wild = true};
}

/* A first level that is empty and the only one would be the empty topic, which does not exist [MQTT-4.7.3-1]:
 * "/#" is the same as "/+/#". False if nothing is left. */
static bool leave_out_empty_topic(struct region *region)
{
    if (region->count != 1 || region->levels[0].wild || region->levels[0].text.length > 0)
        return true;
    region->count = 2;
    return region->multi;
}

void region_of_name(struct region *region, struct view name, size_t depth)
{
    assert(depth < REGION_LEVELS);
    region->count = 0;
    region->multi = false;
    for (;;) {
        const uint8_t *slash = name.length == 0 ? NULL : memchr(name.data, '/', name.length);
        struct view text = view_of(name.data, slash == NULL ? name.length : (size_t)(slash - name.data));
        set_literal(&region->levels[region->count++], text);
        if (slash == NULL || region->count > depth)
            return;
        name = view_of(slash + 1, name.length - text.length - 1);
    }
}

void region_of_filter(struct region *region, struct view filter, size_t depth)
{
    region_of_name(region, filter, depth);
    for (size_t i = 0; i < region->count; i++) {
        struct level *level = &region->levels[i];
        if (view_equal(level->text, VIEW("+")))
            *level = (struct level){.wild = true};
    }
    if (view_equal(region->levels[region->count - 1].text, VIEW("#"))) {
        region->count--;
        region->multi = true;
        set_wild(region, region->count);
        leave_out_empty_topic(region);
    }
}

/* The text of a pattern's level with its value filled in. */
static struct view fill_level(const struct pattern_level *level, const struct level_fill *fill)
{
    if (level->kind == PATTERN_LITERAL)
        return level->prefix;
    struct view value = fill->values[level->slot];
    assert(value.data != NULL);
    if (level->prefix.length + level->suffix.length == 0)
        return value;
    if (*fill->arena == NULL)
        *fill->arena = arena_new();
    size_t length = level->prefix.length + value.length + level->suffix.length;
    uint8_t *text = arena_alloc(*fill->arena, length);
    memcpy(text, level->prefix.data, level->prefix.length);
    memcpy(text + level->prefix.length, value.data, value.length);
    if (level->suffix.length > 0)
        memcpy(text + level->prefix.length + value.length, level->suffix.data, level->suffix.length);
    return view_of(text, length);
}

static bool intersect_level(const struct level *level, const struct pattern_level *wanted, bool first,
    const struct level_fill *fill, struct level *out)
{
    *out = *level;
    if (wanted == NULL || wanted->kind == PATTERN_ONE)
        return !first || !level_has_dollar(level);
    struct level literal;
    set_literal(&literal, fill_level(wanted, fill));
    *out = literal;
    return level->wild ? !first || !level_has_dollar(&literal) : view_equal(level->text, literal.text);
}

bool region_intersect(const struct region *region, const struct pattern *pattern,
    const struct level_fill *fill, struct region *out)
{
    static const struct level any = {.wild = true};
    size_t longer = region->count < pattern->count ? pattern->count : region->count;

    if ((!region->multi && region->count < pattern->count) ||
        (!pattern->multi && pattern->count < region->count))
        return false;
    out->count = longer;
    out->multi = region->multi && pattern->multi;
    for (size_t i = 0; i < longer; i++) {
        const struct level *level = i < region->count ? &region->levels[i] : &any;
        const struct pattern_level *wanted = i < pattern->count ? &pattern->levels[i] : NULL;
        if (!intersect_level(level, wanted, i == 0, fill, &out->levels[i]))
            return false;
    }
    if (out->multi)
        set_wild(out, longer);
    return leave_out_empty_topic(out);
}

bool region_equal(const struct region *a, const struct region *b)
{
    if (a->count != b->count || a->multi != b->multi)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (a->levels[i].wild != b->levels[i].wild || !view_equal(a->levels[i].text, b->levels[i].text))
            return false;
    }
    return true;
}

static bool witness_level_matches(
    const struct level *level, const struct pattern_level *wanted, bool first, const struct view *values)
{
    if (wanted->kind == PATTERN_ONE)
        return !first || !level_has_dollar(level);
    if (level->wild)
        return false;
    if (wanted->kind == PATTERN_LITERAL)
        return view_equal(level->text, wanted->prefix);
    struct view value = values[wanted->slot], text = level->text;
    if (value.data == NULL || text.length != wanted->prefix.length + value.length + wanted->suffix.length)
        return false;
    return view_starts_with(text, wanted->prefix) && view_ends_with(text, wanted->suffix) &&
           view_equal(view_of(text.data + wanted->prefix.length, value.length), value);
}

bool region_witness_matches(
    const struct region *region, size_t count, const struct pattern *pattern, const struct view *values)
{
    if (count < pattern->count || (count > pattern->count && !pattern->multi))
        return false;
    if (pattern->count == 0 && level_has_dollar(&region->levels[0]))
        return false;
    for (size_t i = 0; i < pattern->count; i++) {
        if (!witness_level_matches(&region->levels[i], &pattern->levels[i], i == 0, values))
            return false;
    }
    return true;
}

size_t region_first_witness(const struct region *region)
{
    return region->count == 0 ? 1 : region->count;
}

size_t region_last_witness(const struct region *region, size_t depth)
{
    if (!region->multi || region->count > depth)
        return region_first_witness(region);
    return depth + 1;
}

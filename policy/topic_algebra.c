/* SPDX-License-Identifier: Apache-2.0 */
/* Owns match, cover and overlap of filters that are plain text. Called by the linter, by the exporters of
 * explanations and by the tests; the engine's own walks (rule_trie.c, region.c) are checked against it. All
 * functions take time linear in the bytes they are given. */
#include "policy/topic_algebra.h"

#include <stdlib.h>

#include "base/memory.h"

/* Steps through the levels of a topic or filter. */
struct cursor {
    struct view rest;
    bool more; /* rest is a level (perhaps empty) */
};

static struct cursor cursor_start(struct view text)
{
    return (struct cursor){text, true};
}

static struct view next_level(struct cursor *cursor)
{
    struct view level = cursor->rest;
    const uint8_t *slash = level.length == 0 ? NULL : memchr(level.data, '/', level.length);
    cursor->more = slash != NULL;
    if (slash == NULL) {
        cursor->rest = (struct view){NULL, 0};
        return level;
    }
    level.length = (size_t)(slash - level.data);
    cursor->rest = view_of(slash + 1, cursor->rest.length - level.length - 1);
    return level;
}

static bool is_one(struct view level)
{
    return level.length == 1 && level.data[0] == '+';
}

static bool is_many(struct view level)
{
    return level.length == 1 && level.data[0] == '#';
}

static bool starts_with_dollar(struct view text)
{
    return text.length > 0 && text.data[0] == '$';
}

static bool starts_with_wildcard(struct view filter)
{
    return filter.length > 0 && (filter.data[0] == '+' || filter.data[0] == '#');
}

/* A leading wildcard never matches a topic that begins with '$' [MQTT-4.7.2-1]. */
static bool dollar_apart(struct view filter, struct view other)
{
    return starts_with_wildcard(filter) && starts_with_dollar(other);
}

bool topic_matches(struct view filter, struct view name)
{
    if (dollar_apart(filter, name))
        return false;
    struct cursor f = cursor_start(filter), n = cursor_start(name);
    while (f.more) {
        struct view level = next_level(&f);
        if (is_many(level))
            return true;
        if (!n.more)
            return false;
        if (!view_equal(level, next_level(&n)) && !is_one(level))
            return false;
        /* "a/#" matches "a", too. */
        if (!n.more && f.more)
            return is_many(next_level(&f));
    }
    return !n.more;
}

/* "/#" would match the empty topic, which does not exist [MQTT-4.7.3-1]. */
static bool is_slash_many(struct view filter)
{
    return view_equal(filter, VIEW("/#"));
}

bool topic_overlaps(struct view a, struct view b)
{
    if (dollar_apart(a, b) || dollar_apart(b, a))
        return false;
    if ((is_slash_many(a) && is_one(b)) || (is_slash_many(b) && is_one(a)))
        return false;
    struct cursor x = cursor_start(a), y = cursor_start(b);
    while (x.more && y.more) {
        struct view level = next_level(&x), other = next_level(&y);
        if (is_many(level) || is_many(other))
            return true;
        if (!view_equal(level, other) && !is_one(level) && !is_one(other))
            return false;
    }
    return (!x.more || is_many(next_level(&x))) && (!y.more || is_many(next_level(&y)));
}

/* What a cover matches of the witnesses of a filter: the filter with each '+' replaced by a level that occurs
 * nowhere else, and its '#' by 0, 1, 2 ... such levels. A witness matches only what all of its like match, so
 * the filter is covered if and only if each witness is. Counted in levels, a cover without '#' matches at
 * most one witness, and one with it matches all from some number of levels on. */
struct matched {
    bool any;
    bool onwards; /* this number of levels and all above */
    size_t levels;
};

static struct matched match_witnesses(struct view filter, struct view cover)
{
    struct matched result = {false, false, 0};
    bool many = false; /* the filter's '#' was reached: fresh levels from here on */
    size_t levels = 0; /* of the witness, as far as the cover went */

    if (dollar_apart(cover, filter))
        return result;
    struct cursor f = cursor_start(filter), c = cursor_start(cover);
    while (c.more) {
        struct view level = next_level(&c), wanted = {NULL, 0};
        if (is_many(level)) {
            /* A filter that went on beyond this point is matched whole, whatever its length. */
            return (struct matched){true, true, levels};
        }
        if (!many) {
            if (!f.more)
                return result;
            wanted = next_level(&f);
            many = is_many(wanted);
        }
        if (!is_one(level) && (many || is_one(wanted) || !view_equal(level, wanted)))
            return result;
        levels++;
        /* The filter ends here: then the cover may have no more than a '#' left, as "a/#" covers "a". */
        if (!many && !f.more && c.more)
            return (struct matched){is_many(next_level(&c)), true, levels};
    }
    if (!many && f.more && !is_many(next_level(&f)))
        return result;
    return (struct matched){true, false, levels};
}

/* Levels of the filter's shortest witness: those before its '#', at least one. */
static size_t shortest_witness(struct view filter, bool *many)
{
    size_t levels = 0;
    struct cursor f = cursor_start(filter);

    *many = false;
    while (f.more && !*many) {
        *many = is_many(next_level(&f));
        levels += *many ? 0 : 1;
    }
    return levels == 0 ? 1 : levels;
}

bool topic_covered(struct view filter, const struct view *covers, size_t count)
{
    bool many, endless = false;
    if (is_slash_many(filter))
        filter = VIEW("/+/#");
    size_t from = shortest_witness(filter, &many),
           until = 0; /* the witnesses that single covers must match */

    for (size_t i = 0; i < count; i++) {
        struct matched matched = match_witnesses(filter, covers[i]);
        if (matched.any && (!many || (matched.onwards && matched.levels <= from)))
            return true;
        if (matched.any && matched.onwards && (!endless || matched.levels < until)) {
            endless = true;
            until = matched.levels;
        }
    }
    if (!endless || until - from >= count)
        return false;
    bool *seen = memory_calloc(until - from, sizeof(*seen));
    size_t missing = until - from;
    for (size_t i = 0; i < count; i++) {
        struct matched matched = match_witnesses(filter, covers[i]);
        if (!matched.any || matched.onwards || matched.levels >= until || matched.levels < from)
            continue;
        missing -= seen[matched.levels - from] ? 0 : 1;
        seen[matched.levels - from] = true;
    }
    free(seen);
    return missing == 0;
}

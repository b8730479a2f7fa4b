/* SPDX-License-Identifier: Apache-2.0 */
/* Matching, cover and overlap against brute force: all topics over a small alphabet, random filters and
 * unions. */
#include "policy/topic_algebra.h"

#include <criterion/criterion.h>

#include "support.h"

/* "z" occurs in no filter: without such a text, "+" would be covered by "a" and "b" and "". */
static const char *const alphabet[] = {"a", "b", "", "z", "$x"};
#define LETTERS 5
#define DEPTH 4
#define TOPICS                                                                                               \
    (LETTERS + LETTERS * LETTERS + LETTERS * LETTERS * LETTERS + LETTERS * LETTERS * LETTERS * LETTERS)

struct topics {
    size_t count;
    char text[TOPICS][16];
};

/* All topics of 1 to DEPTH levels; the empty topic is none. */
static void enumerate(struct topics *topics)
{
    topics->count = 0;
    for (size_t depth = 1, total = LETTERS; depth <= DEPTH; depth++, total *= LETTERS) {
        for (size_t n = 0; n < total; n++) {
            char *text = topics->text[topics->count];
            size_t rest = n;
            text[0] = '\0';
            for (size_t i = 0; i < depth; i++, rest /= LETTERS) {
                strcat(text, i == 0 ? "" : "/");
                strcat(text, alphabet[rest % LETTERS]);
            }
            topics->count += text[0] != '\0';
        }
    }
}

/* The definition, level by level and with recursion, as section 4.7 reads. */
static bool obviously_matches(const char *filter, const char *name)
{
    if (strcmp(filter, "#") == 0)
        return true;
    size_t f = strcspn(filter, "/"), n = strcspn(name, "/");
    bool same = (f == 1 && filter[0] == '+') || (f == n && memcmp(filter, name, f) == 0);
    if (!same)
        return false;
    if (filter[f] == '\0' || name[n] == '\0')
        return filter[f] == name[n] || strcmp(filter + f, "/#") == 0;
    return obviously_matches(filter + f + 1, name + n + 1);
}

static bool oracle_matches(const char *filter, const char *name)
{
    return !(name[0] == '$' && (filter[0] == '+' || filter[0] == '#')) && obviously_matches(filter, name);
}

static void filter_of_levels(struct random *random, size_t levels, char *out)
{
    static const char *const texts[] = {"a", "b", "", "$x", "+", "+"};
    out[0] = '\0';
    for (size_t i = 0; i < levels; i++) {
        strcat(out, i == 0 ? "" : "/");
        strcat(out, i + 1 == levels && random_below(random, 3) == 0 ? "#" : texts[random_below(random, 6)]);
    }
    if (out[0] == '\0')
        strcpy(out, "+");
}

Test(topic_algebra, match_agrees_with_the_definition_for_all_topics_of_four_levels)
{
    static struct topics topics;
    struct random random = random_seeded("match");
    enumerate(&topics);
    for (int round = 0; round < 4000; round++) {
        char filter[32];
        filter_of_levels(&random, 1 + random_below(&random, DEPTH), filter);
        for (size_t i = 0; i < topics.count; i++)
            CHECK(topic_matches(view_of_string(filter), view_of_string(topics.text[i])) ==
                      oracle_matches(filter, topics.text[i]),
                "%s against %s", filter, topics.text[i]);
    }
}

Test(topic_algebra, cover_and_overlap_agree_with_brute_force)
{
    static struct topics topics;
    struct random random = random_seeded("cover");
    int covered_rounds = 0;
    enumerate(&topics);
    for (int round = 0; round < 20000; round++) {
        char filter[32], covers[6][32];
        struct view views[6];
        /* A '#' one level below the deepest topic would have witnesses that are not enumerated. */
        filter_of_levels(&random, 1 + random_below(&random, 3), filter);
        size_t count = 1 + random_below(&random, 6);
        bool overlaps = false, covered = true;
        for (size_t k = 0; k < count; k++) {
            filter_of_levels(&random, 1 + random_below(&random, 3), covers[k]);
            views[k] = view_of_string(covers[k]);
        }
        for (size_t i = 0; i < topics.count; i++) {
            if (!oracle_matches(filter, topics.text[i]))
                continue;
            bool found = false;
            for (size_t k = 0; k < count; k++)
                found = found || oracle_matches(covers[k], topics.text[i]);
            covered = covered && found;
            overlaps = overlaps || oracle_matches(covers[0], topics.text[i]);
        }
        covered_rounds += covered;
        CHECK(topic_covered(view_of_string(filter), views, count) == covered, "%s by %zu: %s %s %s", filter,
            count, covers[0], count > 1 ? covers[1] : "", count > 2 ? covers[2] : "");
        CHECK(topic_overlaps(view_of_string(filter), views[0]) == overlaps, "%s and %s", filter, covers[0]);
        CHECK(topic_overlaps(views[0], view_of_string(filter)) == overlaps, "%s and %s", covers[0], filter);
    }
    cr_assert_gt(covered_rounds, 500, "too few covered filters to mean anything: %d", covered_rounds);
}

static bool covers(const char *filter, const char *cover)
{
    struct view view = view_of_string(cover);
    return topic_covered(view_of_string(filter), &view, 1);
}

Test(topic_algebra, examples)
{
    cr_assert(topic_matches(VIEW("a/#"), VIEW("a")));
    cr_assert(topic_matches(VIEW("+/+"), VIEW("/x")));
    cr_assert(topic_matches(VIEW("a/+"), VIEW("a/")));
    cr_assert_not(topic_matches(VIEW("a/+"), VIEW("a")));
    cr_assert_not(topic_matches(VIEW("#"), VIEW("$SYS/x")));
    cr_assert(topic_matches(VIEW("$SYS/#"), VIEW("$SYS")));
    cr_assert(covers("a", "a/#"));
    cr_assert(covers("a/+/b", "a/#"));
    cr_assert_not(covers("a/#", "a/+/#"));
    cr_assert_not(covers("#", "+"));
    cr_assert_not(covers("+", "a"));
    cr_assert_not(covers("$SYS/#", "#"));
    struct view both[] = {VIEW("a"), VIEW("a/+/#")};
    cr_assert(topic_covered(VIEW("a/#"), both, 2), "a filter a/# is covered by a and a/+/# together");
}

Test(topic_algebra, filters_of_65535_bytes_take_linear_time, .timeout = 60)
{
    static uint8_t slashes[65535], plus[65535];
    memset(slashes, '/', sizeof(slashes));
    for (size_t i = 0; i < sizeof(plus); i++)
        plus[i] = i % 2 == 0 ? '+' : '/';
    struct view name = view_of(slashes, sizeof(slashes)), deep = view_of(plus, sizeof(plus));
    struct view many[64];
    for (size_t i = 0; i < 64; i++)
        many[i] = view_of(plus, sizeof(plus) - 2 * i);
    for (int i = 0; i < 10; i++) {
        cr_assert(topic_matches(VIEW("#"), name));
        cr_assert_not(topic_matches(deep, name));
        cr_assert(topic_covered(deep, many, 64));
        cr_assert_not(topic_covered(VIEW("+/#"), many, 64));
    }
}

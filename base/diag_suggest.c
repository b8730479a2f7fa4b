/* SPDX-License-Identifier: Apache-2.0 */
/* Owns "did you mean": the nearest of the words that would have been right. Called by all readers of files
 * and of command lines. */
#include <ctype.h>

#include "base/diag.h"

#define SUGGEST_LENGTH 64      /* longer words get no suggestion: the cost is quadratic */
#define SUGGEST_PREFIX 2       /* letters that a beginning must have to say something */
#define SUGGEST_ABBREVIATION 4 /* and letters of an abbreviation */

static bool same_letter(uint8_t a, uint8_t b)
{
    return tolower(a) == tolower(b);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein (optimal string alignment) without regard to case: insertions, deletions, substitutions
 * and swaps of neighbours. Both words are at most SUGGEST_LENGTH long. Three rows are enough, as a swap looks
 * back two. */
static size_t word_distance(struct view a, struct view b)
{
    size_t rows[3][SUGGEST_LENGTH + 1];
    for (size_t j = 0; j <= b.length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            bool same = same_letter(a.data[i - 1], b.data[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (same ? 0 : 1));
            bool swapped = i > 1 && j > 1 && same_letter(a.data[i - 1], b.data[j - 2]) &&
                           same_letter(a.data[i - 2], b.data[j - 1]);
            if (swapped)
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a.length % 3][b.length];
}

/* "net" for "network", "ids" for "id": the shortest that begins like the word, or that the word begins with.
 */
static const char *suggest_prefix(struct view word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct view candidate = view_of_string(candidates[i]);
        bool prefix = least(word.length, candidate.length) >= SUGGEST_PREFIX &&
                      (view_starts_with(word, candidate) || view_starts_with(candidate, word));
        if (prefix && !view_equal(candidate, word) && (best == NULL || candidate.length < strlen(best)))
            best = candidates[i];
    }
    return best;
}

/* Are the letters of one those of the other, some left out? They begin with the same. */
static bool abbreviates(struct view shorter, struct view longer)
{
    size_t at = 0;
    if (shorter.length < SUGGEST_ABBREVIATION || !same_letter(shorter.data[0], longer.data[0]))
        return false;
    for (size_t i = 0; i < longer.length && at < shorter.length; i++)
        at += same_letter(longer.data[i], shorter.data[at]);
    return at == shorter.length;
}

/* "attrs" for "attributes", "max_qos" for "maximum_qos". */
static const char *suggest_abbreviation(struct view word, const char *const *candidates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct view candidate = view_of_string(candidates[i]);
        bool fits =
            word.length < candidate.length ? abbreviates(word, candidate) : abbreviates(candidate, word);
        if (fits && !view_equal(candidate, word))
            return candidates[i];
    }
    return NULL;
}

const char *diag_suggest(struct view word, const char *const *candidates, size_t count)
{
    if (word.length > SUGGEST_LENGTH)
        return NULL;
    const char *best = NULL;
    size_t best_distance = word.length / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        struct view candidate = view_of_string(candidates[i]);
        if (candidate.length > SUGGEST_LENGTH || view_equal(candidate, word))
            continue;
        size_t distance = word_distance(word, candidate);
        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    best = best == NULL ? suggest_prefix(word, candidates, count) : best;
    return best == NULL ? suggest_abbreviation(word, candidates, count) : best;
}

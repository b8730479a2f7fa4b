/* SPDX-License-Identifier: Apache-2.0 */
/* Random mutations of a trail, by seed: with both keys and the state each one that changes anything is found.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../rounds.h"
#include "trail.h"

#define ROUNDS 600
#define LINES 60

static unsigned random_below(unsigned *seed, size_t bound)
{
    return (unsigned)((size_t)rand_r(seed) % bound);
}

static void flip_byte(struct trail *trail, unsigned *seed)
{
    struct trail_line *line = &trail->lines[random_below(seed, trail->count)];

    if (line->length > 0)
        line->text[random_below(seed, line->length)] ^= (char)(1U << random_below(seed, 8));
}

static void swap_digits(struct trail *trail, unsigned *seed)
{
    struct trail_line *line = &trail->lines[random_below(seed, trail->count)];
    size_t at = line->length < 500 ? 0 : random_below(seed, line->length);

    if (line->length < 500) /* cut already */
        return;
    while (line->text[at] < '0' || line->text[at] > '9')
        at = (at + 1) % line->length;
    line->text[at] = (char)('0' + (line->text[at] - '0' + 1 + (int)random_below(seed, 9)) % 10);
}

static void truncate_line(struct trail *trail, unsigned *seed)
{
    struct trail_line *line = &trail->lines[random_below(seed, trail->count)];

    line->length -= line->length < 2 ? line->length : 1 + random_below(seed, line->length - 1);
}

static void remove_lines(struct trail *trail, unsigned *seed)
{
    size_t at = random_below(seed, trail->count), count = 1 + random_below(seed, 5);

    trail_remove(trail, at, at + count > trail->count ? trail->count - at : count);
}

static void move_line(struct trail *trail, unsigned *seed)
{
    size_t from = random_below(seed, trail->count), to = random_below(seed, trail->count - 1);

    trail_move(trail, from, to >= from ? to + 1 : to);
}

static void copy_line(struct trail *trail, unsigned *seed)
{
    struct trail_line line = trail->lines[random_below(seed, trail->count)];

    trail_insert(trail, random_below(seed, trail->count + 1), line.text, line.length);
}

static void exchange_tails(struct trail *trail, unsigned *seed)
{
    struct trail_line *a = &trail->lines[random_below(seed, trail->count)];
    struct trail_line *b = &trail->lines[random_below(seed, trail->count)];
    char tail[67];

    if (a->length < sizeof(tail) || b->length < sizeof(tail))
        return;
    memcpy(tail, a->text + a->length - 67, 67); /* their hashes */
    memcpy(a->text + a->length - 67, b->text + b->length - 67, 67);
    memcpy(b->text + b->length - 67, tail, 67);
}

static void add_line(struct trail *trail, unsigned *seed)
{
    static const char *const texts[] = {"", "{}", "null", "{\"@timestamp\":\"2026-01-02T03:04:06.001245Z\"}"};
    const char *text = texts[random_below(seed, 4)];

    trail_insert(trail, random_below(seed, trail->count + 1), text, strlen(text));
}

static void (*const mutations[])(struct trail *trail, unsigned *seed) = {flip_byte, flip_byte, swap_digits,
    truncate_line, remove_lines, move_line, copy_line, exchange_tails, add_line};

/* Nothing has changed (a line exchanged with itself), or only its beginning is gone: a trail may begin
 * anywhere. */
static bool is_suffix(const struct trail *trail, const struct trail *of)
{
    if (trail->count > of->count)
        return false;
    for (size_t i = 0; i < trail->count; i++) {
        const struct trail_line *a = &trail->lines[trail->count - 1 - i], *b = &of->lines[of->count - 1 - i];
        if (a->length != b->length || memcmp(a->text, b->text, a->length) != 0)
            return false;
    }
    return true;
}

static bool is_found(const struct trail *trail, const struct trail *original, bool copies)
{
    struct verify_options options = trail_options(original);

    options.repeats = options.any_order = copies;
    struct verify *verify = trail_verify(trail, &options);
    verify_state(verify, "chain.state", &original->writer.point);
    bool found = trail_first(verify) != NULL;
    cr_assert_eq(found, verify_summary(verify)->findings > 0);
    verify_free(verify);
    return found;
}

Test(random, every_mutation_of_a_journal_is_found, .timeout = 110)
{
    struct trail *trail = trail_new(7);
    trail_start(trail, LINES / 3);
    trail_start(trail, LINES / 3);
    trail_start(trail, LINES / 3);
    cr_assert_not(is_found(trail, trail, false));
    for (size_t i = 0, begin = rounds_begin("random", ROUNDS); i < rounds_of(ROUNDS); i++) {
        const unsigned round = (unsigned)((begin + i) % ROUNDS);
        unsigned seed = round;
        struct trail *copy = trail_copy(trail);
        unsigned count = 1 + random_below(&seed, 3);
        for (unsigned k = 0; k < count && copy->count > 1; k++)
            mutations[random_below(&seed, sizeof(mutations) / sizeof(mutations[0]))](copy, &seed);
        cr_assert(is_suffix(copy, trail) || is_found(copy, trail, false), "seed %u", round);
        trail_free(copy);
    }
    trail_free(trail);
}

/* In a copy lines may stand anywhere and twice, but all of them are there, and each as it was. */
Test(random, every_mutation_of_a_copy_that_loses_or_changes_a_line_is_found, .timeout = 110)
{
    static void (*const changing[])(struct trail * trail, unsigned *seed) = {
        flip_byte, swap_digits, truncate_line, exchange_tails, add_line};
    struct trail *trail = trail_new(7);
    trail_start(trail, LINES / 2);
    trail_start(trail, LINES / 2);
    for (size_t i = 0, begin = rounds_begin("random", ROUNDS); i < rounds_of(ROUNDS); i++) {
        const unsigned round = (unsigned)((begin + i) % ROUNDS);
        unsigned seed = round;
        struct trail *copy = trail_copy(trail);
        changing[random_below(&seed, sizeof(changing) / sizeof(changing[0]))](copy, &seed);
        bool same = is_suffix(copy, trail);
        for (unsigned k = 0; k < random_below(&seed, 3); k++)
            copy_line(copy, &seed);
        for (unsigned k = 0; k < random_below(&seed, 3); k++)
            move_line(copy, &seed);
        cr_assert(same || is_found(copy, trail, true), "seed %u", round);
        trail_free(copy);
    }
    trail_free(trail);
}

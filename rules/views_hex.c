/* SPDX-License-Identifier: Apache-2.0 */
/* Owns hex, of either case, alone or within a text: groups of bytes with nothing or blanks, colons, commas,
 * dashes between them, each perhaps behind 0x, \x, x or %. */
#include "rules/views_decode.h"

/* Of ", " and a line break. */
#define BETWEEN_MAX 3

/* clang-format off */
const uint8_t views_hex_digits[256] = {
    [0 ... '0' - 1] = 255, ['0'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ['9' + 1 ... 'A' - 1] = 255, ['A'] = 10, 11, 12, 13, 14, 15,
    ['F' + 1 ... 'a' - 1] = 255, ['a'] = 10, 11, 12, 13, 14, 15,
    ['f' + 1 ... 255] = 255,
};
/* clang-format on */

static bool is_digit(struct view text, size_t at)
{
    return at < text.length && views_hex_digits[text.data[at]] != 255;
}

static bool is_x(struct view text, size_t at)
{
    return at < text.length && (text.data[at] | 0x20) == 'x';
}

/* Where the digits of a group start if its prefix may stand at at. */
static size_t skip_prefix(struct view text, size_t at)
{
    size_t after = at;

    if (after < text.length && text.data[after] == '%')
        after++;
    else if (after < text.length && (text.data[after] == '0' || text.data[after] == '\\') &&
             is_x(text, after + 1))
        after += 2;
    else if (is_x(text, after))
        after++;
    return is_digit(text, after) ? after : at;
}

static bool is_between(struct view text, size_t at)
{
    return at < text.length && (views_classes[text.data[at]] & VIEWS_CLASS_BETWEEN) != 0 && !is_x(text, at) &&
           text.data[at] != '\\' && text.data[at] != '%';
}

/* Decodes the run of groups at at (a digit, or a prefix) into out, at most room bytes; NULL: only counts
 * them. Returns how many, *end: where the run ends, after at. A digit without its other half ends it. */
static size_t decode(struct view text, size_t at, uint8_t *out, size_t room, size_t *end)
{
    size_t count = 0;

    for (;;) {
        const size_t start = skip_prefix(text, at);
        size_t stop = start;

        while (is_digit(text, stop))
            stop++;
        if ((stop - start) % 2 != 0 && text.data[stop - 1] == '0' && is_x(text, stop))
            stop--; /* of the next group's 0x */
        const size_t pairs = (stop - start) / 2;

        for (size_t i = 0; i < pairs && out != NULL && count + i < room; i++)
            out[count + i] = (uint8_t)(views_hex_digits[text.data[start + 2 * i]] << 4 |
                                       views_hex_digits[text.data[start + 2 * i + 1]]);
        count += pairs;
        *end = stop;
        if (stop == start || (stop - start) % 2 != 0)
            break;
        for (at = stop; at < stop + BETWEEN_MAX && is_between(text, at);)
            at++;
        if (!is_digit(text, skip_prefix(text, at)) || (at == stop && skip_prefix(text, at) == at))
            break;
    }
    return count;
}

/* True unless the run has ended. */
static bool give(struct views_run *run, size_t at, size_t count)
{
    size_t room = count, end;

    if (!views_charge(run, 2 * count + VIEWS_ATTEMPT))
        return false;
    uint8_t *out = views_room(run, 0, &room);

    decode(run->source, at, out, room, &end);
    views_give(run, SCAN_HEX, at, room, room < count);
    return !run->ended;
}

/* The runs of hex that start from at on, before end. */
static void give_runs(struct views_run *run, size_t at, size_t end)
{
    const struct view text = run->source;

    while (at < end) {
        if (!is_digit(text, at)) {
            at++;
            continue;
        }
        size_t next, digits = 0;
        const size_t count = decode(text, at, NULL, 0, &next);

        if (count >= VIEWS_RUN_MIN && !give(run, at, count))
            return;
        /* An odd number of digits: a letter before or after belongs to a word. */
        while (count >= VIEWS_RUN_MIN && digits < 2 * count + 1 && is_digit(text, at + digits))
            digits++;
        if (digits == 2 * count + 1 && !give(run, at + 1, count))
            return;
        at = next > at ? next : at + 1;
    }
}

void views_hex(struct views_run *run)
{
    size_t end = 0;

    while (!run->ended) {
        const size_t at =
            views_next_run(run->source, end, VIEWS_CLASS_HEX | VIEWS_CLASS_BETWEEN, VIEWS_HEX_MIN, &end);

        if (at == run->source.length)
            return;
        give_runs(run, at, end);
    }
}

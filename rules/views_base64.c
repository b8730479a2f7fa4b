/* SPDX-License-Identifier: Apache-2.0 */
/* Owns base64, of either alphabet: the whole of a text, wrapped as it may be, and runs within a text. */
#include "rules/views_decode.h"

#define BAD 0x80
#define B64 VIEWS_CLASS_BASE64

/* A name before the data ("/fw/", "cmd-") is of the alphabet too, and shifts it: the joints of so many bytes
 * at the start of a run are taken for starts. */
#define JOINTS_WITHIN 64

/* clang-format off */
static const uint8_t sextets[256] = {
    [0 ... '*'] = BAD, ['+'] = 62, [','] = BAD, ['-'] = 62, ['.'] = BAD, ['/'] = 63,
    ['0'] = 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, [':' ... '@'] = BAD,
    ['A'] = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    ['[' ... '^'] = BAD, ['_'] = 63, ['`'] = BAD,
    ['a'] = 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
    ['{' ... 255] = BAD,
};
/* clang-format on */

static bool is_base64(uint8_t byte)
{
    return (views_classes[byte] & B64) != 0;
}

static bool is_break(uint8_t byte)
{
    return (views_classes[byte] & VIEWS_CLASS_BREAK) != 0;
}

static bool is_blank(uint8_t byte)
{
    return is_break(byte) || byte == ' ' || byte == '\t';
}

/* Decodes text into out (3 bytes for each 4, rounded up), passing over what is not of the alphabet. */
static size_t decode(struct view text, uint8_t *out)
{
    const uint8_t *at = text.data, *end = text.data + text.length;
    uint8_t *to = out;
    uint32_t bits = 0;
    unsigned have = 0;

    while (at < end) {
        while (have == 0 && end - at >= 4) {
            uint32_t a = sextets[at[0]], b = sextets[at[1]], c = sextets[at[2]], d = sextets[at[3]];

            if (((a | b | c | d) & BAD) != 0)
                break;
            to[0] = (uint8_t)(a << 2 | b >> 4);
            to[1] = (uint8_t)(b << 4 | c >> 2);
            to[2] = (uint8_t)(c << 6 | d);
            to += 3;
            at += 4;
        }
        if (at == end)
            break;
        if (sextets[*at++] == BAD)
            continue;
        bits = bits << 6 | sextets[at[-1]];
        if (++have < 4)
            continue;
        *to++ = (uint8_t)(bits >> 16);
        *to++ = (uint8_t)(bits >> 8);
        *to++ = (uint8_t)bits;
        have = 0;
    }
    if (have >= 2) /* one alone is less than a byte */
        *to++ = (uint8_t)(bits >> (6 * have - 8));
    if (have == 3)
        *to++ = (uint8_t)(bits >> 2);
    return (size_t)(to - out);
}

static bool is_hex(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if ((views_classes[text.data[i]] & (VIEWS_CLASS_HEX | VIEWS_CLASS_BREAK)) == 0)
            return false;
    }
    return true;
}

/* Words and numbers are of the alphabet as well. Text and binaries in base64 have both cases: without a
 * capital letter every third byte would be one of "h" to DEL or above 0xCF, without a small one of "@" to
 * "Y". Hex digits alone are the other decoder's. */
static bool worth_it(struct view text)
{
    return views_has_both_cases(text) && !is_hex(text);
}

/* Decodes the size bytes from offset on; true unless the run has ended. */
static bool give(struct views_run *run, size_t offset, size_t size)
{
    const struct view text = {run->source.data + offset, size};
    size_t room = (size + 3) / 4 * 3;
    const size_t wanted = room;

    if (!worth_it(text))
        return true;
    if (!views_charge(run, size + VIEWS_ATTEMPT))
        return false;
    uint8_t *out = views_room(run, 0, &room);
    const bool cut = room < wanted;
    const size_t take = cut ? room / 3 * 4 : size;

    views_give(run, SCAN_BASE64, offset, decode(view_of(text.data, take), out), cut);
    return !run->ended;
}

/* All of the text but for the blanks around it and padding is base64, on lines of any length. Lines make it a
 * matter of its own: without them it is a run. Returns its size, 0: it is none. */
static size_t whole(struct view text, size_t *offset)
{
    size_t start = 0, end = text.length;
    bool lines = false;

    while (start < end && is_blank(text.data[start]))
        start++;
    while (end > start && (is_blank(text.data[end - 1]) || text.data[end - 1] == '='))
        end--;
    for (size_t i = start; i < end; i++) {
        if (is_break(text.data[i]))
            lines = true;
        else if (!is_base64(text.data[i]))
            return 0;
    }
    *offset = start;
    return lines && end - start >= VIEWS_BASE64_MIN ? end - start : 0;
}

/* The end of the run that starts at start and has its first line until at. It goes on after a line break if
 * what was before is a whole number of fours and no short word: then it means the same whether the lines
 * belong together or not. */
static size_t run_end(struct view text, size_t start, size_t at)
{
    size_t line = start;

    for (;;) {
        size_t next = at;

        if (next < text.length && text.data[next] == '\r')
            next++;
        if (next < text.length && text.data[next] == '\n')
            next++;
        if (next == at || next == text.length || (at - line) % 4 != 0 || at - line < VIEWS_BASE64_MIN ||
            !is_base64(text.data[next]))
            return at;
        for (at = line = next; at < text.length && is_base64(text.data[at]);)
            at++;
    }
}

/* What stands before a joint: letters of one case but for the first, and digits, as in "fw", "Data", "CMD",
 * "v2"? *letters: how many. */
static bool is_word(struct view text, size_t *letters)
{
    size_t upper = 0, lower = 0;

    for (size_t i = 0; i < text.length; i++) {
        upper += (views_classes[text.data[i]] & VIEWS_CLASS_UPPER) != 0;
        lower += (views_classes[text.data[i]] & VIEWS_CLASS_LOWER) != 0;
    }
    *letters = upper + lower;
    return lower == 0 || upper == 0 || (upper == 1 && (views_classes[text.data[0]] & VIEWS_CLASS_UPPER) != 0);
}

/* The run as it stands, and from the joints of the words at its start on, once for each remainder of four.
 * Few of the runs that are base64 from their start begin so, and are decoded twice. */
static bool give_run(struct views_run *run, size_t start, size_t end, bool from_start)
{
    const uint8_t *data = run->source.data;
    const size_t last = end - start > JOINTS_WITHIN ? start + JOINTS_WITHIN : end;
    unsigned remainders = 1;
    size_t word = start, letters;
    bool words = false; /* at least one of two letters */

    if (from_start && !give(run, start, end - start))
        return false;
    for (size_t at = start; at < last && end - at > VIEWS_BASE64_MIN && !is_break(data[at]); at++) {
        const unsigned remainder = 1U << ((at + 1 - start) & 3);

        if ((views_classes[data[at]] & VIEWS_CLASS_JOINT) == 0)
            continue;
        if (!is_word(view_of(data + word, at - word), &letters))
            break;
        words |= letters >= 2;
        word = at + 1;
        if (!words || (remainders & remainder) != 0)
            continue;
        remainders |= remainder;
        if (!give(run, at + 1, end - at - 1))
            return false;
    }
    return true;
}

void views_base64(struct views_run *run)
{
    const struct view text = run->source;
    size_t whole_start = 0, at = 0;
    const size_t whole_size = whole(text, &whole_start);

    if (whole_size > 0 && !give(run, whole_start, whole_size))
        return;
    for (;;) {
        size_t end;

        at = views_next_run(text, at, B64, VIEWS_BASE64_MIN, &end);
        if (at == text.length)
            return;
        end = run_end(text, at, end);
        const bool is_whole = whole_size > 0 && at == whole_start && end == whole_start + whole_size;

        if (!give_run(run, at, end, !is_whole))
            return;
        at = end;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the very first look at a message: most have nothing that could be decoded, and one walk over their
 * bytes tells, or two. Called by views_look.c. */
#include "rules/views_decode.h"

#ifdef __SSE2__

#include <emmintrin.h>

#define BLOCK 16

/* Bytes that no run of base64 or hex has: a bit for each byte of the block. */
struct breaks {
    unsigned base64, hex;
};

/* The few that most telemetry is full of, which are the same for both; and some more, of time stamps and
 * lists of numbers, for which both have to be told apart. */
static inline struct breaks breaks_of(__m128i block, bool more)
{
    const __m128i ends = _mm_or_si128(block,
        _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')), _mm_cmpeq_epi8(block, _mm_set1_epi8('.'))));
    struct breaks breaks = {(unsigned)_mm_movemask_epi8(ends), 0};

    if (!more)
        return breaks;
    const __m128i betweens =
        _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8(':')), _mm_cmpeq_epi8(block, _mm_set1_epi8(',')));
    const __m128i small = _mm_or_si128(block, _mm_set1_epi8(0x20));
    const __m128i letters = _mm_andnot_si128(
        _mm_cmpeq_epi8(small, _mm_set1_epi8('x')), _mm_cmpgt_epi8(small, _mm_set1_epi8('f')));
    breaks.hex = breaks.base64 | (unsigned)_mm_movemask_epi8(letters);
    breaks.base64 |= (unsigned)_mm_movemask_epi8(betweens);
    return breaks;
}

/* Begins an escape, a gzip member, or is half of a character of UTF-16: all ones in its place. */
static __m128i marks_of(__m128i block)
{
    const __m128i escapes = _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'));
    const __m128i members = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x1F));
    const __m128i zeros = _mm_cmpeq_epi8(block, _mm_setzero_si128());

    return _mm_or_si128(escapes, _mm_or_si128(members, zeros));
}

/* Goes on with a run of length *run over count bytes, whose breaks these are. False: it reaches enough. */
static inline bool goes_on(size_t *run, unsigned breaks, size_t count, size_t enough)
{
    if (breaks == 0) {
        *run += count;
        return *run < enough;
    }
    if (*run + (size_t)__builtin_ctz(breaks) >= enough)
        return false;
    *run = count - 1 - (31 - (size_t)__builtin_clz(breaks));
    return true;
}

_Static_assert(
    VIEWS_BASE64_MIN >= BLOCK && VIEWS_HEX_MIN >= BLOCK, "between two breaks of one block there is no run");

struct runs {
    size_t base64, hex;
};

/* skipped: so many bytes at the start of the block were seen before. */
static inline bool run_on(struct runs *runs, __m128i block, size_t skipped, bool more)
{
    const struct breaks breaks = breaks_of(block, more);

    return goes_on(&runs->base64, breaks.base64 >> skipped, BLOCK - skipped, VIEWS_BASE64_MIN) &&
           (!more || goes_on(&runs->hex, breaks.hex >> skipped, BLOCK - skipped, VIEWS_HEX_MIN));
}

/* One walk over BLOCK bytes or more. *is_long: it ended at a run. */
__attribute__((always_inline)) static inline bool walk(struct view bytes, bool more, bool *is_long)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.length;
    struct runs runs = {0};
    __m128i marks = _mm_setzero_si128();

    *is_long = true;
    for (; left >= BLOCK; at += BLOCK, left -= BLOCK) {
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)at);
        marks = _mm_or_si128(marks, marks_of(block));
        if (!run_on(&runs, block, 0, more))
            return false;
    }
    if (left > 0) {
        /* The last ones, with some that were seen. */
        const __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(at + left - BLOCK));
        marks = _mm_or_si128(marks, marks_of(block));
        if (!run_on(&runs, block, BLOCK - left, more))
            return false;
    }
    *is_long = false;
    return _mm_movemask_epi8(marks) == 0;
}

bool views_quiet(struct view bytes)
{
    bool is_long;

    if (bytes.length < BLOCK || bytes.data[0] >= 0xFE || views_is_zlib(bytes))
        return false;
    return walk(bytes, false, &is_long) || (is_long && walk(bytes, true, &is_long));
}

#else

bool views_quiet(struct view bytes)
{
    (void)bytes;
    return false;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* For loops of many thousand checks: Criterion's own assertions report each success to the runner, which
 * takes longer than what is tested. */
#ifndef MQWARD_TESTS_BASE_CHECK_H
#define MQWARD_TESTS_BASE_CHECK_H

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

/* CHECK(condition) or CHECK(condition, "format", ...) */
#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            check_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__);                                     \
    } while (0)

__attribute__((format(printf, 4, 5))) static inline void check_fail(
    const char *file, int line, const char *condition, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cr_assert_fail("%s:%d: %s%s", file, line, condition, text);
}

/* Random enough for tests, and the same in every run (xorshift64). */
static inline uint64_t check_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A stand-in for Criterion in builds with ThreadSanitizer: Criterion's runner maps memory where that
 * sanitizer has forbidden it and does not start (github.com/Snaipe/Criterion/issues/274). The part of its
 * interface that the unit tests use, one process a test, one after the other. */
#ifndef MQWARD_TESTS_PLAIN_CRITERION_H
#define MQWARD_TESTS_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_options {
    int signal;
    int exit_code;
    bool disabled;
    double timeout; /* seconds */
    void (*init)(void);
    void (*fini)(void);
    const char *description;
};

struct plain_test {
    const char *suite;
    const char *name; /* NULL: the row of the suite */
    void (*run)(void);
    struct plain_options options;
    struct plain_test *next;
};

void plain_register(struct plain_test *test);
_Noreturn void plain_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define PLAIN_ROW(row, Suite, Name, Run, ...)                                                                \
    static struct plain_test row = {.suite = Suite, .name = Name, .run = Run, .options = {__VA_ARGS__}};     \
    __attribute__((constructor)) static void row##_register(void)                                            \
    {                                                                                                        \
        plain_register(&row);                                                                                \
    }

#define Test(Suite, Name, ...)                                                                               \
    static void plain_##Suite##_##Name(void);                                                                \
    PLAIN_ROW(plain_##Suite##_##Name##_row, #Suite, #Name, plain_##Suite##_##Name, __VA_ARGS__)              \
    static void plain_##Suite##_##Name(void)
#define TestSuite(Suite, ...)                                                                                \
    PLAIN_ROW(plain_##Suite##_row, #Suite, NULL, NULL, __VA_ARGS__) _Static_assert(1, "")

#define cr_assert(condition, ...)                                                                            \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            plain_fail(__FILE__, __LINE__, #condition, " " __VA_ARGS__);                                     \
    } while (0)
#define cr_assert_fail(...) plain_fail(__FILE__, __LINE__, "failed", " " __VA_ARGS__)
#define cr_assert_not(condition, ...) cr_assert(!(condition), __VA_ARGS__)
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...) cr_assert((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b), __VA_ARGS__)
#define cr_assert_null(a, ...) cr_assert((a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...) cr_assert((a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) cr_assert(strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) cr_assert(strcmp((a), (b)) != 0, __VA_ARGS__)
#define cr_assert_str_empty(a, ...) cr_assert((a)[0] == '\0', __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...) cr_assert(memcmp((a), (b), (size)) == 0, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, size, ...) cr_assert(memcmp((a), (b), (size)) != 0, __VA_ARGS__)

/* A test is a process of its own. */
#define cr_skip(...)                                                                                         \
    do {                                                                                                     \
        fprintf(stderr, "SKIPPED: %s\n", " " __VA_ARGS__);                                                   \
        exit(0);                                                                                             \
    } while (0)

#define cr_expect cr_assert
#define cr_expect_fail cr_assert_fail
#define cr_expect_not cr_assert_not
#define cr_expect_eq cr_assert_eq
#define cr_expect_neq cr_assert_neq
#define cr_expect_lt cr_assert_lt
#define cr_expect_leq cr_assert_leq
#define cr_expect_gt cr_assert_gt
#define cr_expect_geq cr_assert_geq
#define cr_expect_null cr_assert_null
#define cr_expect_not_null cr_assert_not_null
#define cr_expect_str_eq cr_assert_str_eq
#define cr_expect_str_neq cr_assert_str_neq
#define cr_expect_str_empty cr_assert_str_empty
#define cr_expect_arr_eq cr_assert_arr_eq
#define cr_expect_arr_neq cr_assert_arr_neq

#endif

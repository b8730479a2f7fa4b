/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the running of tests that were written for Criterion where Criterion itself cannot run. Arguments of
 * the form
 * --filter suite/name choose tests (a '*' stands for the rest; several add up); Criterion's others are
 * ignored. */
#include <fnmatch.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#define TIMEOUT_SECONDS 120

static struct plain_test *first_test;

void plain_register(struct plain_test *test)
{
    test->next = first_test;
    first_test = test;
}

void plain_fail(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "Assertion Failed: %s:%d: %s", file, line, condition);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(101);
}

static const struct plain_options *suite_options(const char *suite)
{
    static const struct plain_options none;

    for (const struct plain_test *row = first_test; row != NULL; row = row->next)
        if (row->name == NULL && strcmp(row->suite, suite) == 0)
            return &row->options;
    return &none;
}

/* In a process of its own. */
static _Noreturn void run_here(const struct plain_test *test)
{
    const struct plain_options *suite = suite_options(test->suite);
    double timeout = test->options.timeout > 0 ? test->options.timeout : suite->timeout;
    void (*init)(void) = test->options.init != NULL ? test->options.init : suite->init;
    void (*fini)(void) = test->options.fini != NULL ? test->options.fini : suite->fini;

    alarm(timeout > 0 ? (unsigned)timeout : TIMEOUT_SECONDS);
    if (init != NULL)
        init();
    test->run();
    if (fini != NULL)
        fini();
    exit(0);
}

static bool passes(const struct plain_test *test)
{
    int status, signal = test->options.signal;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run_here(test);
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("[FAIL] fork");
        return false;
    }
    bool is_signal = WIFSIGNALED(status);
    int end = is_signal ? WTERMSIG(status) : WEXITSTATUS(status);
    bool is_meant = is_signal == (signal != 0) && end == (is_signal ? signal : test->options.exit_code);
    if (!is_meant)
        printf("[FAIL] %s/%s: ended with %s %d\n", test->suite, test->name, is_signal ? "signal" : "status",
            end);
    return is_meant;
}

/* By one of the filters, or there are none. */
static bool is_chosen(const char *name, int count, char **arguments)
{
    bool filtered = false;

    for (int i = 1; i + 1 < count; i++) {
        if (strcmp(arguments[i], "--filter") != 0)
            continue;
        if (fnmatch(arguments[i + 1], name, 0) == 0)
            return true;
        filtered = true;
    }
    return !filtered;
}

int main(int count, char **arguments)
{
    unsigned tested = 0, failing = 0;

    for (const struct plain_test *test = first_test; test != NULL; test = test->next) {
        char name[256];
        if (test->name == NULL || test->options.disabled)
            continue;
        snprintf(name, sizeof(name), "%s/%s", test->suite, test->name);
        if (!is_chosen(name, count, arguments))
            continue;
        tested++;
        if (!passes(test))
            failing++;
    }
    printf("[====] Tested: %u | Passing: %u | Failing: %u\n", tested, tested - failing, failing);
    return failing == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the answer to an exhausted heap: say so and abort. Called by every layer that keeps something. */
#include "base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* No printf here: it may allocate. */
_Noreturn void memory_exhausted(void)
{
    static const char text[] = "mqward: out of memory\n";

    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)written; /* nobody is left to tell */
    abort();
}

void *memory_calloc(size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        memory_exhausted();
    /* One byte at least: a NULL for "nothing" could not be told from a failure. */
    void *memory = calloc(total == 0 ? 1 : total, 1);
    if (memory == NULL)
        memory_exhausted();
    return memory;
}

void *memory_realloc(void *old, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        memory_exhausted();
    void *memory = realloc(old, total == 0 ? 1 : total);
    if (memory == NULL)
        memory_exhausted();
    return memory;
}

char *memory_copy_string(struct view v)
{
    size_t size;

    if (__builtin_add_overflow(v.length, (size_t)1, &size))
        memory_exhausted();
    char *copy = memory_realloc(NULL, size, 1);
    if (v.length > 0)
        memcpy(copy, v.data, v.length);
    copy[v.length] = '\0';
    return copy;
}

char *memory_format(const char *format, ...)
{
    char *text;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        memory_exhausted();
    return text;
}

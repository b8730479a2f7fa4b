/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that does not fail: when the system is out of memory the process says so and aborts. Everything
 * whose size a peer or a file chooses is bounded before it gets here. */
#ifndef MQWARD_BASE_MEMORY_H
#define MQWARD_BASE_MEMORY_H

#include "base/view.h"

/* Zeroed memory for count elements of size bytes; aborts on overflow of the product. Free with free(). */
void *memory_calloc(size_t count, size_t size);
void *memory_realloc(void *old, size_t count, size_t size);
/* A NUL-terminated copy; an inner NUL is copied as it is. Free with free(). */
char *memory_copy_string(struct view v);
/* A printf into fresh memory. Free with free(). */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says so and aborts: for callers whose library returned NULL for want of memory. */
_Noreturn void memory_exhausted(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* An arena: memory that lives and dies together (a parsed file, a compiled policy). Not thread-safe. */
#ifndef MQWARD_BASE_ARENA_H
#define MQWARD_BASE_ARENA_H

#include "base/view.h"

struct arena;

struct arena *arena_new(void);
/* For what is known to need about so many bytes, once for each of many: a page is not half empty. */
struct arena *arena_new_of(size_t size);
void arena_free(struct arena *arena); /* NULL is fine */
/* Zeroed memory, aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_calloc(struct arena *arena, size_t count, size_t size); /* aborts on overflow */
struct view arena_copy(struct arena *arena, struct view v);         /* the copy is followed by a NUL */
char *arena_copy_string(struct arena *arena, struct view v);
char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the chunks of an arena. Called by the readers of files, by the policy compiler and for what a
 * handshake says of its client, never on the packet path. */
#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define ARENA_CHUNK_MINIMUM ((size_t)512)
#define ARENA_CHUNK_MAXIMUM ((size_t)256 * 1024)
#define ARENA_ALIGNMENT (alignof(max_align_t))

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) uint8_t data[];
};

struct arena {
    struct arena_chunk *chunks; /* the first is the one with room */
    size_t chunk_size;          /* of the next ordinary chunk */
    size_t used;
};

struct arena *arena_new(void)
{
    return arena_new_of(ARENA_CHUNK_MINIMUM);
}

struct arena *arena_new_of(size_t size)
{
    struct arena *arena = memory_calloc(1, sizeof(*arena));

    arena->chunk_size = size < ARENA_ALIGNMENT       ? ARENA_ALIGNMENT
                        : size > ARENA_CHUNK_MAXIMUM ? ARENA_CHUNK_MAXIMUM
                                                     : size;
    return arena;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (struct arena_chunk *chunk = arena->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}

static struct arena_chunk *arena_new_chunk(size_t capacity)
{
    /* Cannot overflow: arena_alloc() has bounded it. */
    struct arena_chunk *chunk = memory_calloc(1, sizeof(*chunk) + capacity);

    chunk->capacity = capacity;
    return chunk;
}

/* A chunk with room for size bytes. Something large gets a chunk of its own, behind the first, so that the
 * rest of the first is not wasted. */
static struct arena_chunk *arena_find_room(struct arena *arena, size_t size)
{
    struct arena_chunk *first = arena->chunks;

    if (first != NULL && first->capacity - first->used >= size)
        return first;
    if (first != NULL && size >= arena->chunk_size / 4) {
        struct arena_chunk *own = arena_new_chunk(size);
        own->next = first->next;
        first->next = own;
        return own;
    }
    struct arena_chunk *chunk = arena_new_chunk(size > arena->chunk_size ? size : arena->chunk_size);
    chunk->next = first;
    arena->chunks = chunk;
    if (arena->chunk_size < ARENA_CHUNK_MAXIMUM)
        arena->chunk_size *= 2;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    /* Larger than any address space: a product that went wrong. The allocator would refuse it as well. */
    if (size > SIZE_MAX / 2)
        return memory_calloc(SIZE_MAX, 2);
    size = ((size == 0 ? 1 : size) + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);

    struct arena_chunk *chunk = arena_find_room(arena, size);
    assert(chunk->capacity - chunk->used >= size);
    void *memory = chunk->data + chunk->used;
    chunk->used += size;
    arena->used += size;
    return memory;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(count, size, &total))
        total = SIZE_MAX;
    return arena_alloc(arena, total);
}

char *arena_copy_string(struct arena *arena, struct view v)
{
    char *copy = arena_alloc(arena, v.length + 1); /* zeroed, so the NUL is there */

    if (v.length > 0)
        memcpy(copy, v.data, v.length);
    return copy;
}

struct view arena_copy(struct arena *arena, struct view v)
{
    return view_of(arena_copy_string(arena, v), v.length);
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;

    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    assert(length >= 0); /* only a broken format or a string of 2 GiB */
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

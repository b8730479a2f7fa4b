/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the growth of byte queues. Called by the streams, the encoders and the writers of text. */
#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define BUFFER_MINIMUM ((size_t)256)

static void buffer_grow(struct buffer *buffer, size_t size)
{
    size_t length = buffer_length(buffer);
    size_t needed, capacity = buffer->capacity < BUFFER_MINIMUM ? BUFFER_MINIMUM : buffer->capacity;

    if (__builtin_add_overflow(length, size, &needed) || needed > SIZE_MAX / 4)
        needed = capacity = SIZE_MAX; /* refused by the allocator, with its message */
    while (capacity < needed)
        capacity *= 2;
    if (buffer->start == 0) {
        buffer->data = memory_realloc(buffer->data, capacity, 1);
    } else {
        uint8_t *data = memory_realloc(NULL, capacity, 1);
        if (length > 0)
            memcpy(data, buffer->data + buffer->start, length);
        free(buffer->data);
        buffer->data = data;
    }
    buffer->start = 0;
    buffer->end = length;
    buffer->capacity = capacity;
}

uint8_t *buffer_make_room(struct buffer *buffer, size_t size)
{
    assert(buffer->start <= buffer->end && buffer->end <= buffer->capacity);
    size_t length = buffer_length(buffer);

    if (length == 0)
        buffer->start = buffer->end = 0;
    if (buffer->capacity - buffer->end >= size && buffer->data != NULL)
        return buffer->data + buffer->end;
    /* Move to the front only when at least as much was consumed as is moved: each byte moves once at most per
     * byte that was sent, however small the steps are. */
    if (buffer->start >= length && buffer->capacity - length >= size && buffer->data != NULL) {
        memmove(buffer->data, buffer->data + buffer->start, length);
        buffer->start = 0;
        buffer->end = length;
    } else {
        buffer_grow(buffer, size);
    }
    return buffer->data + buffer->end;
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;

    va_start(arguments, format);
    va_copy(again, arguments);
    uint8_t *room = buffer_reserve(buffer, 128);
    size_t available = buffer->capacity - buffer->end;
    int length = vsnprintf((char *)room, available, format, arguments);
    va_end(arguments);
    assert(length >= 0); /* only a broken format or a string of 2 GiB */
    if ((size_t)length >= available) {
        room = buffer_reserve(buffer, (size_t)length + 1);
        vsnprintf((char *)room, (size_t)length + 1, format, again);
    }
    va_end(again);
    buffer->end += (size_t)length;
}

void buffer_consume(struct buffer *buffer, size_t count)
{
    assert(count <= buffer_length(buffer));
    buffer->start += count;
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->start = buffer->end = 0;
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}

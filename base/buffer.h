/* SPDX-License-Identifier: Apache-2.0 */
/* A growable queue of bytes: appended at the end, consumed from the start. Empty buffers own no memory after
 * buffer_release(). The owner enforces the bound; buffer_append() never refuses. */
#ifndef MQWARD_BASE_BUFFER_H
#define MQWARD_BASE_BUFFER_H

#include "base/view.h"

struct buffer {
    uint8_t *data;
    size_t start;    /* first unread byte */
    size_t end;      /* one past the last byte */
    size_t capacity; /* bytes allocated */
};

static inline size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline struct view buffer_view(const struct buffer *buffer)
{
    return (struct view){
        buffer->data == NULL ? NULL : buffer->data + buffer->start, buffer->end - buffer->start};
}

/* As buffer_reserve(), which calls it when there is no room at the end. */
uint8_t *buffer_make_room(struct buffer *buffer, size_t size);

/* Room for at least size more bytes; returns where they go. Commit them with buffer->end += written. */
static inline uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->end > buffer->start && buffer->capacity - buffer->end >= size)
        return buffer->data + buffer->end;
    return buffer_make_room(buffer, size);
}

static inline void buffer_append(struct buffer *buffer, struct view v)
{
    if (v.length == 0)
        return;
    memcpy(buffer_reserve(buffer, v.length), v.data, v.length);
    buffer->end += v.length;
}

static inline void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    *buffer_reserve(buffer, 1) = byte;
    buffer->end++;
}

void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drop count bytes from the start (count <= length, asserted). */
void buffer_consume(struct buffer *buffer, size_t count);
/* Empty it, keep the memory. */
void buffer_clear(struct buffer *buffer);
/* Empty it and free the memory; the buffer can be used again. */
void buffer_release(struct buffer *buffer);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A view: bytes that somebody else owns. Wire data, file text and keywords are passed as views and never
 * copied unless they must outlive their buffer. */
#ifndef MQWARD_BASE_VIEW_H
#define MQWARD_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const uint8_t *data; /* may be NULL when length is 0 */
    size_t length;       /* bytes */
};

/* A view of a string literal, without its NUL. */
#define VIEW(literal) ((struct view){(const uint8_t *)("" literal), sizeof(literal) - 1})

/* The two arguments of a "%.*s". */
#define VIEW_ARGS(v) (int)(v).length, (const char *)(v).data

static inline struct view view_of(const void *data, size_t length)
{
    return (struct view){data, length};
}

static inline struct view view_of_string(const char *string)
{
    return (struct view){(const uint8_t *)string, string == NULL ? 0 : strlen(string)};
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool view_equal_string(struct view a, const char *b)
{
    return view_equal(a, view_of_string(b));
}

static inline bool view_starts_with(struct view v, struct view prefix)
{
    return v.length >= prefix.length &&
           (prefix.length == 0 || memcmp(v.data, prefix.data, prefix.length) == 0);
}

static inline bool view_ends_with(struct view v, struct view suffix)
{
    return v.length >= suffix.length &&
           (suffix.length == 0 || memcmp(v.data + v.length - suffix.length, suffix.data, suffix.length) == 0);
}

static inline struct view view_skip(struct view v, size_t count)
{
    return count >= v.length ? (struct view){NULL, 0} : (struct view){v.data + count, v.length - count};
}

#endif

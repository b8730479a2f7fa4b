/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded views of a payload: what a receiver may make of it (payload-scanning "Views"). Pure functions of
 * bytes; depth, number, output, ratio and work are bounded, so that a bomb is a finding and not an outage. */
#ifndef MQWARD_RULES_VIEWS_H
#define MQWARD_RULES_VIEWS_H

#include "base/view.h"

enum scan_view_kind {
    SCAN_RAW,
    SCAN_BASE64, /* the whole of it, or a run of it; either alphabet, padded or not, with line breaks */
    SCAN_HEX,    /* the whole of it, or a run of it; either case, with 0x, \x or % and with separators */
    SCAN_JSON,   /* \u, \n, \x41, \101 ... of the whole text */
    SCAN_GZIP,   /* gzip or zlib, by magic */
    SCAN_UTF16,  /* of the whole, to UTF-8 */
    SCAN_VIEW_KINDS
};
const char *scan_view_name(enum scan_view_kind kind); /* "base64" */
#define SCAN_VIEWS_ALL ((1U << SCAN_VIEW_KINDS) - 2)  /* the bits of all decoded kinds */

#define SCAN_VIEW_DEPTH 4
/* Raw is the empty path. */
struct scan_view_path {
    uint8_t length;
    uint8_t kinds[SCAN_VIEW_DEPTH]; /* enum scan_view_kind, outermost first */
    uint64_t offset;                /* in the part, of what was decoded first */
};

struct scan_view_limits {
    unsigned depth; /* at most SCAN_VIEW_DEPTH */
    unsigned views; /* of one part */
    size_t output;  /* bytes of all views of one part */
    unsigned ratio; /* of one decompression, once it gave SCAN_VIEW_RATIO_FROM bytes */
    size_t work;    /* bytes read and inflated by all decoders of one part */
    /* Asked now and then, with the context of each(): false ends it ("time"). NULL: there is time. */
    bool (*in_time)(void *context);
};
#define SCAN_VIEW_RATIO_FROM 65536
extern const struct scan_view_limits scan_view_default_limits; /* of the largest parts */
/* The default limits of a part of size bytes: a small message does not become a large piece of work. */
struct scan_view_limits scan_view_limits_for(size_t size);

/* Calls each with every decoded view of bytes (not with the raw one): views of the bytes first, then views of
 * those views, level by level; within one source in the order of the kinds, then of offsets. No bytes come
 * twice. The bytes of a view hold for the call. kinds: bits 1 << enum scan_view_kind. each returns false to
 * end it. Returns NULL, or the first reason why not all was decoded (a literal: "depth", "output", "ratio",
 * "work", "views", "time", "damaged"); all but "depth", "ratio" and "damaged" end it, what was decoded until
 * then was given. space: scratch, kept by the caller; one call at a time. */
struct scan_view_space;
struct scan_view_space *scan_view_space_new(void);
void scan_view_space_free(struct scan_view_space *space); /* NULL is fine */
const char *scan_views(struct scan_view_space *space, struct view bytes, unsigned kinds,
    const struct scan_view_limits *limits,
    bool (*each)(void *context, const struct scan_view_path *path, struct view bytes), void *context);
/* False: scan_views() would give nothing. What every message pays. */
bool scan_views_any(struct view bytes, unsigned kinds);
/* What the last call took of its limits. */
struct scan_view_use {
    unsigned views;
    size_t output, work;
};
struct scan_view_use scan_views_use(const struct scan_view_space *space);

#endif

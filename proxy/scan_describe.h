/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside a part of a message in the quarantine: a JSON object for people and their tools. */
#ifndef MQWARD_PROXY_SCAN_DESCRIBE_H
#define MQWARD_PROXY_SCAN_DESCRIBE_H

#include "base/buffer.h"
#include "proxy/session/session.h"

/* A part of a message that is kept. */
struct scan_kept {
    size_t part; /* of the request's */
    uint8_t sha256[32];
};

/* Of a message more is not kept. */
#define SCAN_KEPT_MAX 8

/* A message that was scanned: at least once. */
struct scan_description {
    uint64_t wall_us; /* when */
    struct view payload;
    uint8_t payload_sha256[32];
    struct scan_kept kept[SCAN_KEPT_MAX];
    size_t kept_count;
    bool more_kept; /* other parts would have been kept, too */
    size_t which;   /* of those that are kept is described */
    const struct session_scan *scans;
    const struct session_scanned *results; /* one for each scan */
    size_t count;
};
/* Appends it, and a line end. Whatever the message has is bounded and escaped; no finding is told twice. */
void scan_describe(const struct scan_description *description, struct buffer *out);

#endif

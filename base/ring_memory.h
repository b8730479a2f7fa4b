/* SPDX-License-Identifier: Apache-2.0 */
/* What ring.c and ring_file.c share: the layout of a ring in memory or in a file. Nobody else includes it.
 * Integers are in the machine's order: a ring file does not travel, and one from elsewhere fails the check of
 * its header. */
#ifndef MQWARD_BASE_RING_MEMORY_H
#define MQWARD_BASE_RING_MEMORY_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/ring.h"

#define RING_MAGIC "mqwring"
#define RING_VERSION 1
#define RING_PAGE ((size_t)4096) /* the header's; also the smallest capacity */
#define RING_CAPACITY_MAXIMUM ((size_t)1 << 30)
#define RING_CACHE_LINE 64

/* A position once more, with the serial that the next record has there, and a check over both. */
struct ring_mark {
    _Atomic uint64_t serial;
    _Atomic uint64_t position;
    _Atomic uint64_t check;
};

/* Head or tail as they are kept for the next process. A step writes the older of the two marks and then
 * position, so that at every instant position equals an intact mark: a kill at any point leaves a state that
 * can be told from a damaged one, and an empty ring still knows its next serial. */
struct ring_side {
    alignas(RING_CACHE_LINE) _Atomic uint64_t position;
    struct ring_mark marks[2];
};

struct ring_header {
    char magic[8];
    uint32_t version;
    uint32_t salvaged; /* 1: it took the place of a ring in which something was damaged */
    uint64_t capacity;
    uint64_t check; /* of the four above */
    struct ring_side head;
    struct ring_side tail; /* its marks have no serials */
};

/* Before each payload. A skip mark has only the first two fields; there may be no room for more. */
struct ring_entry {
    uint32_t length; /* of the payload in bytes, or RING_SKIP */
    uint32_t check;  /* of position, serial, length and payload */
    uint64_t serial;
};

#define RING_SKIP UINT32_MAX

/* Threads talk through this struct, never through the mapped header: whatever happens to the file, head and
 * tail stay sane. */
struct ring {
    struct ring_header *header;
    uint8_t *data;
    uint64_t capacity;
    int descriptor; /* of the file; -1 = anonymous */

    uint8_t producer_line[RING_CACHE_LINE];
    _Atomic uint64_t head; /* written by the producer only */
    _Atomic uint64_t next_serial;
    uint64_t reserved_at; /* position of the record being written */
    size_t reserved_size;
    bool reserved;
    unsigned head_mark; /* the older mark: the next to be written */

    uint8_t consumer_line[RING_CACHE_LINE];
    _Atomic uint64_t tail; /* written by the consumer only */
    uint64_t peeked;       /* the end of the record that ring_peek() showed */
    unsigned tail_mark;
};

bool ring_capacity_valid(uint64_t capacity);
/* Makes zeroed memory of RING_PAGE + capacity bytes an empty ring. salvaged: for good. */
void ring_format(struct ring_header *header, uint64_t capacity, bool salvaged);
/* True if the constant part of a header is that of a ring of ours. */
bool ring_header_holds(const struct ring_header *header);
/* A ring over memory whose header holds; takes memory (a mapping) and descriptor over. NULL, and nothing
 * taken, if head and tail do not hold. */
struct ring *ring_attach(void *memory, uint64_t capacity, int descriptor);
/* Copies the unread records of old, up to the first damaged one, into an empty ring of the same capacity,
 * with their serials; the next serial is that of old, so that the missing ones show as a gap. */
void ring_salvage(struct ring *ring, struct ring *old);
/* True if all unread records hold and their serials have no gap. */
bool ring_intact(struct ring *ring);

#endif

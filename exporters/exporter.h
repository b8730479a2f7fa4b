/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter: one thread that takes events from the rings, seals them into the journal, and delivers the
 * journal to each sink from the sink's own cursor (audit-events.md). */
#ifndef MQWARD_EXPORTERS_EXPORTER_H
#define MQWARD_EXPORTERS_EXPORTER_H

#include "base/view.h"
#include "exporters/audit.h"

struct repeats;
struct ring;
struct exporter;
struct sink_type;

enum exporter_fsync { EXPORTER_FSYNC_ALWAYS, EXPORTER_FSYNC_INTERVAL, EXPORTER_FSYNC_NEVER };

/* Where events are sent. All of it is borrowed, and outlives the exporter. */
struct exporter_sink {
    const char *name;             /* its cursor file is <directory>/<name>.cursor */
    const struct sink_type *type; /* a row of sinks.h */
    const void *settings;         /* of that kind */
};

/* The chain over the journal's lines, and its checkpoints. */
struct exporter_chain {
    const char *signing_key;    /* PEM file; NULL: checkpoint.key of the directory. Made if it is not there */
    uint64_t checkpoint_events; /* a checkpoint after so many lines; 0: not by their number */
    uint64_t checkpoint_interval_ms; /* or when a line has waited for one so long; 0: not by time */
};

struct exporter_settings {
    const char *directory; /* rings, journal, cursors; must exist, 0700 */
    enum exporter_fsync fsync;
    uint64_t fsync_interval_ms;
    uint64_t segment_bytes; /* a segment is closed above it */
    uint64_t
        quota_bytes; /* of all segments. Full of what a sink has not confirmed: rings are no longer drained */
    uint64_t retention_ms; /* confirmed segments older than this are deleted; 0: only the quota deletes */
    size_t ring_bytes;     /* of each worker's ring; rounded up to a power of two, 64 KiB at least */
    uint32_t rings;        /* workers + 1 (the main thread's is the last) */
    const char *hostname;  /* observer.hostname */
    uint64_t aggregate_ms; /* workers tell of what is repeated so often; 0: each event by itself */
    const char *when_full; /* what happens to clients when the rings are full, for the log; NULL: nothing */
    struct exporter_chain chain;
    const struct exporter_sink *sinks;
    size_t sink_count;
};

/* Opens rings and journal, recovers what earlier runs left, repairs torn tails; starts no thread. NULL and a
 * sentence in error if it can't. */
struct exporter *exporter_open(const struct exporter_settings *settings, char *error, size_t error_size);
/* The ring of producer index; the caller's thread is its only producer. */
struct ring *exporter_ring(struct exporter *exporter, uint32_t index);
/* What the same producer did not push: repeats and losses (repeats.h). */
struct repeats *exporter_repeats(struct exporter *exporter, uint32_t index);
/* Starts the thread. 0 or -1 (errno). */
int exporter_start(struct exporter *exporter);
/* Who waits for room: wakes the thread if it sleeps or rests. Any thread. */
void exporter_wake(struct exporter *exporter);
/* After pushes, at the end of a loop's turn: wakes the thread if it sleeps. If it only rests between two
 * batches (20 ms at most), that is for a ring that is an eighth full. Any thread. */
void exporter_tell(struct exporter *exporter, const struct ring *ring);
/* Sinks that write files open them anew: somebody has renamed them. Any thread. */
void exporter_reopen(struct exporter *exporter);
/* Takes what is in the rings into the journal, gives the sinks up to wait_ms to confirm it, ends the thread,
 * closes all. */
void exporter_close(struct exporter *exporter, uint64_t wait_ms);

/* How the trail fares, for metrics and health. Any thread. */
struct exporter_status {
    uint64_t events; /* sealed since the start, those of the exporter itself included */
    uint64_t journal_bytes;
    bool blocked; /* the journal takes nothing: the quota is full of unconfirmed events, or the disk fails */
    uint32_t sinks_up; /* that have confirmed something since they were last down */
};
void exporter_status(struct exporter *exporter, struct exporter_status *status);

/* The trail as a whole. Any thread. */
struct exporter_trail {
    uint64_t sealed; /* events in the journal since the start */
    uint64_t
        lost; /* events that audit-gap events since the start declare missing, where the number is known */
    uint64_t lost_untold; /* events that were lost and that no audit-gap event has declared yet */
    uint64_t journal_bytes, journal_quota_bytes;
    uint64_t journal_segments;
    uint64_t
        sync_failures; /* since the start: the disk did not take what was written; it was written again */
    bool blocked;      /* as above */
    uint64_t checkpoint_us;   /* about when the last checkpoint was sealed, wall clock; 0: none yet since the
                                 start */
    uint64_t unsigned_events; /* in the journal behind it */
    uint64_t unsigned_ms;     /* for how long the oldest of them has waited for the next; 0 without any */
};
void exporter_trail(struct exporter *exporter, struct exporter_trail *trail);

/* How one sink fares. Any thread, cheap: it reads what the exporter's thread published 100 ms ago at most. */
struct exporter_sink_status {
    const char *name;   /* borrowed, as long as the exporter is open */
    const char *kind;   /* "redis", "kafka", ... */
    bool up;            /* has confirmed something since it was last down */
    uint64_t delivered; /* events confirmed since the start */
    uint64_t failures;  /* how often something was not delivered since the start; tries to connect included */
    uint64_t lag_bytes; /* of the journal, behind the cursor */
    double
        lag_seconds; /* since the oldest unconfirmed event was sealed (event.created); 0 when there is none */
};
size_t exporter_sink_count(const struct exporter *exporter);
/* index < exporter_sink_count(); in the order of the settings. */
void exporter_sink_status(struct exporter *exporter, size_t index, struct exporter_sink_status *status);

/* A ring's fill. Rings 0 to exporter_ring_count() - 1 are those of exporter_ring(), then comes the exporter's
 * own. Any thread. */
struct exporter_ring_status {
    uint64_t used, capacity; /* bytes */
};
size_t exporter_ring_count(const struct exporter *exporter);
void exporter_ring_status(struct exporter *exporter, size_t index, struct exporter_ring_status *status);

/* Called on the exporter's thread when a ring that was short of room has been drained. Set before
 * exporter_start(). */
void exporter_on_drained(struct exporter *exporter, void (*call)(void *argument), void *argument);

#endif

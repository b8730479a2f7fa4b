/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter: one thread that takes events from the rings, seals them into the journal, and delivers the
 * journal to each sink from the sink's own cursor (audit-events.md). */
#ifndef MQWARD_EXPORTERS_EXPORTER_H
#define MQWARD_EXPORTERS_EXPORTER_H

#include "base/view.h"
#include "exporters/audit.h"

struct ring;
struct exporter;

enum exporter_fsync { EXPORTER_FSYNC_ALWAYS, EXPORTER_FSYNC_INTERVAL, EXPORTER_FSYNC_NEVER };

/* A Redis stream. Strings are borrowed: they outlive the exporter. */
struct exporter_redis {
    const char *name; /* of the sink: its cursor file is <directory>/<name>.cursor */
    const char *host; /* host name, IPv4, IPv6, or a path starting with '/' for a Unix socket */
    uint16_t port;
    const char *username; /* NULL: none */
    const char *password; /* NULL: none */
    uint32_t database;
    const char *key;     /* of the stream */
    const char *field;   /* default "event" */
    uint64_t max_length; /* MAXLEN ~, 0: never trimmed */
    bool shared;         /* several writers use the stream: IDs are '*' */
    bool tls;
    const char *tls_ca;                    /* PEM file; NULL: the system's */
    const char *tls_server_name;           /* NULL: host */
    const char *tls_certificate, *tls_key; /* NULL: none */
    uint64_t timeout_ms;                   /* connect and answer */
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
    const struct exporter_redis *redis;
    size_t redis_count;
};

/* Opens rings and journal, recovers what earlier runs left, repairs torn tails; starts no thread. NULL and a
 * sentence in error if it can't. */
struct exporter *exporter_open(const struct exporter_settings *settings, char *error, size_t error_size);
/* The ring of producer index; the caller's thread is its only producer. */
struct ring *exporter_ring(struct exporter *exporter, uint32_t index);
/* Starts the thread. 0 or -1 (errno). */
int exporter_start(struct exporter *exporter);
/* After pushes, at the end of a loop's turn: wakes the thread if it sleeps. Any thread. */
void exporter_wake(struct exporter *exporter);
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

/* Called on the exporter's thread when a ring that was short of room has been drained. Set before
 * exporter_start(). */
void exporter_on_drained(struct exporter *exporter, void (*call)(void *argument), void *argument);

#endif

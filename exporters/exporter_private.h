/* SPDX-License-Identifier: Apache-2.0 */
/* What an exporter is made of: for exporter.c, which runs it, and exporter_status.c, which tells how it
 * fares. */
#ifndef MQWARD_EXPORTERS_EXPORTER_PRIVATE_H
#define MQWARD_EXPORTERS_EXPORTER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "exporters/exporter.h"

#define EXPORTER_MAGIC 0x6578706fU

struct event;
struct event_base;
struct journal;
struct sealer;
struct sink;

enum exporter_sleep {
    EXPORTER_AWAKE,
    EXPORTER_ASLEEP, /* in its loop, until an event wakes it */
    EXPORTER_RESTING /* in its loop for a moment, unless a ring fills */
};

struct exporter {
    uint32_t magic;
    struct exporter_settings settings;
    struct event_base *base;
    struct journal *journal;
    struct sealer *sealer;
    struct sink **sinks;
    size_t sink_count;

    pthread_t thread;
    bool started;
    int wake; /* eventfd */
    struct event *wake_event, *turn_event, *tick_event;
    atomic_int sleeping; /* enum exporter_sleep */
    bool moved;          /* in this turn, from the rings into the journal */
    atomic_bool stopping, reopening;
    atomic_uint_fast64_t stop_at_ms; /* monotonic; set before stopping */

    void (*drained)(void *argument);
    void *drained_argument;

    bool blocked, blocked_by_sinks; /* the quota is full of what they have not confirmed */
    uint64_t retry_ms, retry_at_ms; /* wait, and when it is over (monotonic) */
    bool signed_off;                /* the stop's checkpoint is sealed: the sinks get it, too */
    uint64_t synced_ms, saved_ms;
    atomic_uint_fast64_t status_events, status_bytes;
    atomic_uint_fast64_t status_lost_untold;
    atomic_uint_fast64_t status_lost, status_segments, status_sync_failures;
    atomic_uint_fast64_t status_checkpoint_us, status_unsigned, status_unsigned_since_ms;
    atomic_bool status_blocked;
    atomic_uint status_sinks_up;
};

/* Publishes what the functions of exporter.h tell to any thread. */
void exporter_publish_status(struct exporter *exporter);
/* Events of what befell the journal's files. */
void exporter_report_incidents(struct exporter *exporter);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the exporter tells of itself: numbers for metrics and health, and events of what befell the
 * journal. The exporter's thread publishes; any thread asks. */
#include <assert.h>

#include "base/clock.h"
#include "exporters/chain_writer.h"
#include "exporters/exporter_private.h"
#include "exporters/journal.h"
#include "exporters/sealer.h"
#include "exporters/sink.h"

static void exporter_report_incident(struct exporter *exporter, enum audit_action action, enum reason reason,
    uint64_t count, const char *detail)
{
    const struct audit_event event = {.action = action,
        .reason = reason,
        .disposition = AUDIT_INFORMED,
        .wall_us = clock_wall_us(),
        .count = count,
        .detail = view_of_string(detail)};

    sealer_report(exporter->sealer, &event);
}

void exporter_report_incidents(struct exporter *exporter)
{
    struct journal_incidents incidents;

    if (!journal_take_incidents(exporter->journal, &incidents))
        return;
    if (incidents.written_again > 0)
        exporter_report_incident(exporter, AUDIT_audit_recovered, REASON_audit_recovered,
            incidents.written_again, "the disk did not take lines of the journal: they were written again");
    if (incidents.displaced > 0)
        exporter_report_incident(exporter, AUDIT_audit_gap, REASON_audit_lost, 0,
            incidents.directory_made
                ? "the audit directory was deleted, and made anew: until the next start a killed process "
                  "loses what is in its rings"
                : "the segment of the journal that was written was deleted, moved, cut or appended to by "
                  "somebody else");
}

void exporter_publish_status(struct exporter *exporter)
{
    unsigned up = 0;
    size_t segments;

    journal_segments(exporter->journal, &segments);
    for (size_t i = 0; i < exporter->sink_count; i++)
        up += sink_is_up(exporter->sinks[i]);
    atomic_store_explicit(
        &exporter->status_events, journal_next_sequence(exporter->journal) - 1, memory_order_relaxed);
    atomic_store_explicit(&exporter->status_bytes, journal_bytes(exporter->journal), memory_order_relaxed);
    atomic_store_explicit(&exporter->status_lost, sealer_lost(exporter->sealer), memory_order_relaxed);
    atomic_store_explicit(
        &exporter->status_lost_untold, sealer_lost_untold(exporter->sealer), memory_order_relaxed);
    atomic_store_explicit(&exporter->status_segments, segments, memory_order_relaxed);
    const struct chain_progress progress = sealer_progress(exporter->sealer);
    atomic_store_explicit(&exporter->status_checkpoint_us, progress.checkpoint_us, memory_order_relaxed);
    atomic_store_explicit(&exporter->status_unsigned, progress.unsigned_lines, memory_order_relaxed);
    atomic_store_explicit(
        &exporter->status_unsigned_since_ms, progress.unsigned_since_ms, memory_order_relaxed);
    atomic_store_explicit(
        &exporter->status_sync_failures, journal_sync_failures(exporter->journal), memory_order_relaxed);
    atomic_store_explicit(&exporter->status_blocked, exporter->blocked, memory_order_relaxed);
    atomic_store_explicit(&exporter->status_sinks_up, up, memory_order_relaxed);
}

void exporter_status(struct exporter *exporter, struct exporter_status *status)
{
    assert(exporter->magic == EXPORTER_MAGIC);
    *status = (struct exporter_status){
        .events = atomic_load_explicit(&exporter->status_events, memory_order_relaxed),
        .journal_bytes = atomic_load_explicit(&exporter->status_bytes, memory_order_relaxed),
        .blocked = atomic_load_explicit(&exporter->status_blocked, memory_order_relaxed),
        .sinks_up = atomic_load_explicit(&exporter->status_sinks_up, memory_order_relaxed),
    };
}

void exporter_trail(struct exporter *exporter, struct exporter_trail *trail)
{
    assert(exporter->magic == EXPORTER_MAGIC);
    const uint64_t since_ms = atomic_load_explicit(&exporter->status_unsigned_since_ms, memory_order_relaxed);
    const uint64_t now_ms = clock_monotonic_ms();
    *trail = (struct exporter_trail){
        .sealed = atomic_load_explicit(&exporter->status_events, memory_order_relaxed),
        .lost = atomic_load_explicit(&exporter->status_lost, memory_order_relaxed),
        .lost_untold = atomic_load_explicit(&exporter->status_lost_untold, memory_order_relaxed),
        .journal_bytes = atomic_load_explicit(&exporter->status_bytes, memory_order_relaxed),
        .journal_quota_bytes = exporter->settings.quota_bytes,
        .journal_segments = atomic_load_explicit(&exporter->status_segments, memory_order_relaxed),
        .sync_failures = atomic_load_explicit(&exporter->status_sync_failures, memory_order_relaxed),
        .blocked = atomic_load_explicit(&exporter->status_blocked, memory_order_relaxed),
        .checkpoint_us = atomic_load_explicit(&exporter->status_checkpoint_us, memory_order_relaxed),
        .unsigned_events = atomic_load_explicit(&exporter->status_unsigned, memory_order_relaxed),
        .unsigned_ms = since_ms == 0 || now_ms < since_ms ? 0 : now_ms - since_ms,
    };
}

size_t exporter_sink_count(const struct exporter *exporter)
{
    return exporter->sink_count;
}

void exporter_sink_status(struct exporter *exporter, size_t index, struct exporter_sink_status *status)
{
    assert(exporter->magic == EXPORTER_MAGIC && index < exporter->sink_count);
    sink_status(exporter->sinks[index], status);
}

size_t exporter_ring_count(const struct exporter *exporter)
{
    return sealer_ring_count(exporter->sealer);
}

void exporter_ring_status(struct exporter *exporter, size_t index, struct exporter_ring_status *status)
{
    sealer_ring_status(exporter->sealer, index, status);
}

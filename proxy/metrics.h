/* SPDX-License-Identifier: Apache-2.0 */
/* The families of /metrics, what workers count added up, and the process itself. What belongs to other parts
 * of mqward, server_metrics.c adds. */
#ifndef MQWARD_PROXY_METRICS_H
#define MQWARD_PROXY_METRICS_H

#include "exporters/metrics.h"
#include "proxy/counters.h"

enum metrics_family_id {
#define FAMILY(identifier, name, type, labels, help) METRICS_##identifier,
#include "proxy/metrics_families.def"
#undef FAMILY
    METRICS_FAMILIES
};
extern const struct metrics_family metrics_families[METRICS_FAMILIES];

/* Begins a family. */
void metrics_begin_family(struct metrics *metrics, enum metrics_family_id id);
/* A family of one series without labels. */
void metrics_single(struct metrics *metrics, enum metrics_family_id id, uint64_t value);
void metrics_single_decimal(
    struct metrics *metrics, enum metrics_family_id id, uint64_t value, unsigned digits);
/* Series of the family that was begun, with one label or two. */
void metrics_one(struct metrics *metrics, const char *label, uint64_t value);
void metrics_two(struct metrics *metrics, const char *first, const char *second, uint64_t value);

/* ---- of workers ---- */

struct slots;
/* counters: of all of them, any thread's. */
struct metrics_workers {
    const struct counters *const *counters;
    size_t count;
    const struct slots *rules, *sets;    /* as struct slots_read was told of these counters */
    const struct histogram_total *scans; /* on the pool */
};
/* All families that only workers count, but for the first ones, of connections. */
void metrics_write_connections(struct metrics *metrics, const struct metrics_workers *workers);
void metrics_write_broker_times(struct metrics *metrics, const struct metrics_workers *workers);
void metrics_write_traffic(struct metrics *metrics, const struct metrics_workers *workers);
void metrics_write_decisions(struct metrics *metrics, const struct metrics_workers *workers);
void metrics_write_signatures(struct metrics *metrics, const struct metrics_workers *workers);
void metrics_write_scans(struct metrics *metrics, const struct metrics_workers *workers);
/* Adds up what is counted in a slot of rules, or of rule sets (slots_read). */
void metrics_read_rule(const struct metrics_workers *workers, uint16_t slot, uint64_t *results);
void metrics_read_set(const struct metrics_workers *workers, uint16_t slot, uint64_t *results);
/* Sessions that are open, and connections. */
uint64_t metrics_sessions(const struct metrics_workers *workers);
uint64_t metrics_connections(const struct counters *counters);

/* ---- the process (metrics_process.c) ---- */
/* Open descriptors, as they were counted last: with older kernels that takes a while if they are many. */
struct metrics_descriptors {
    uint64_t count, again_ms;
};
/* started_us: when it began, since 1970. descriptors: of the caller, all zero at first. */
void metrics_write_process(
    struct metrics *metrics, uint64_t started_us, struct metrics_descriptors *descriptors);

/* The table of all families, for docs/metrics.md. */
void metrics_print_reference(struct buffer *out);

#endif

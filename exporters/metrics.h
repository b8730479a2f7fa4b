/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of metrics in the text format of Prometheus, version 0.0.4, into a buffer. The caller writes
 * families one after the other, each once; a family's head (HELP, TYPE) comes with its first series. */
#ifndef MQWARD_EXPORTERS_METRICS_H
#define MQWARD_EXPORTERS_METRICS_H

#include "base/buffer.h"
#include "base/counter.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };
/* "counter", "gauge", "histogram" */
const char *metrics_type_name(enum metrics_type type);

/* Names are ours and asserted: [a-zA-Z_:][a-zA-Z0-9_:]* for families, [a-zA-Z_][a-zA-Z0-9_]* for labels; a
 * counter's name ends in _total. */
struct metrics_family {
    const char *name;
    enum metrics_type type;
    const char *labels; /* names with commas, in their order; "": none */
    const char *help;   /* a sentence */
};

struct metrics {
    struct buffer *out;
    const struct metrics_family *family;
    bool headed;    /* its head is written */
    uint64_t *seen; /* hashes of its series: open addressing, 0 is free */
    size_t seen_count, seen_capacity;
    const struct metrics_family **families; /* that were begun */
    size_t family_count, family_capacity;
};

void metrics_begin(struct metrics *metrics, struct buffer *out);
void metrics_end(struct metrics *metrics); /* frees what the writer needs; out stays */

/* What follows belongs to family, which lives until metrics_end(). Asserts that it is new. */
void metrics_family(struct metrics *metrics, const struct metrics_family *family);

/* A series: values stand for the family's labels, in their order (NULL where it has none). What is no UTF-8
 * in them becomes U+FFFD. A series that the family has already is left out: the first one stands. */
void metrics_value(struct metrics *metrics, const struct view *values, uint64_t value);
/* value / 10^digits: metrics_decimal(m, NULL, 1500, 3) is 1.5. digits is 18 at most. */
void metrics_decimal(struct metrics *metrics, const struct view *values, uint64_t value, unsigned digits);
/* All series of a histogram of seconds. */
void metrics_histogram(struct metrics *metrics, const struct view *values,
    const struct histogram_bounds *bounds, const struct histogram_total *total);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* How far a sink is behind: the lines that it was given and has not confirmed, by place and age. Used by
 * sink.c, on the exporter's thread. */
#ifndef MQWARD_EXPORTERS_SINK_LAG_H
#define MQWARD_EXPORTERS_SINK_LAG_H

#include "exporters/journal.h"

struct sink_lag_line {
    struct journal_position end;
    uint64_t sealed_us;
};

/* All zero at first. The lines are as many as the kind has under way: its window bounds them. */
struct sink_lag {
    struct sink_lag_line *lines;
    size_t capacity;
    uint64_t first, next;       /* [first, next) are waiting; modulo capacity, a power of two */
    struct journal_position at; /* what oldest_us was found for */
    uint64_t oldest_us;         /* 0: not looked up yet */
    uint64_t confirmed_us;      /* event.created of the line that was confirmed last; 0: none yet */
};

void sink_lag_release(struct sink_lag *lag);
void sink_lag_add(struct sink_lag *lag, const struct journal_line *line);
/* Everything before end is confirmed; returns how many of the lines these were. */
uint64_t sink_lag_confirm(struct sink_lag *lag, struct journal_position end);
/* Reading starts again behind what is confirmed. */
void sink_lag_rewind(struct sink_lag *lag);
/* event.created of the first line behind confirmed, in microseconds since 1970; 0 when there is none. Where
 * the journal can't be read, that of the last line before it, or, if this process has confirmed none, when
 * its segment was written last: never 0 where lines wait. */
uint64_t sink_lag_oldest(struct sink_lag *lag, struct journal *journal, struct journal_position confirmed);

#endif

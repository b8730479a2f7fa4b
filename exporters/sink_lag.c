/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the queue of a sink's unconfirmed lines. Called by sink.c.
 *
 * A sink that is away has no lines: then the age comes from the journal, once for each place of the cursor.
 */
#include "exporters/sink_lag.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

#define LAG_FIRST_CAPACITY 64U
#define LAG_DAMAGED_MAX 16 /* places skipped to find a line: the next look goes on */

void sink_lag_release(struct sink_lag *lag)
{
    free(lag->lines);
    *lag = (struct sink_lag){0};
}

static void lag_grow(struct sink_lag *lag)
{
    size_t capacity = lag->capacity == 0 ? LAG_FIRST_CAPACITY : lag->capacity * 2;
    struct sink_lag_line *lines = memory_calloc(capacity, sizeof(*lines));

    for (uint64_t i = lag->first; i < lag->next; i++)
        lines[i % capacity] = lag->lines[i % lag->capacity];
    free(lag->lines);
    lag->lines = lines;
    lag->capacity = capacity;
}

void sink_lag_add(struct sink_lag *lag, const struct journal_line *line)
{
    if (lag->next - lag->first == lag->capacity)
        lag_grow(lag);
    lag->lines[lag->next++ % lag->capacity] = (struct sink_lag_line){line->end, line->head.sealed_us};
}

uint64_t sink_lag_confirm(struct sink_lag *lag, struct journal_position end)
{
    uint64_t before = lag->first;

    while (lag->first < lag->next &&
           journal_position_compare(lag->lines[lag->first % lag->capacity].end, end) <= 0)
        lag->confirmed_us = lag->lines[lag->first++ % lag->capacity].sealed_us;
    return lag->first - before;
}

void sink_lag_rewind(struct sink_lag *lag)
{
    lag->first = lag->next = 0;
}

/* The oldest line waits at least as long as the segment that holds it is no longer written to. */
static uint64_t lag_of_segment(const struct journal *journal, struct journal_position confirmed)
{
    size_t count;
    const struct journal_segment *segments = journal_segments(journal, &count);

    for (size_t i = 0; i < count; i++) {
        const struct journal_position end = {segments[i].epoch, segments[i].first, segments[i].bytes};
        if (journal_position_compare(end, confirmed) > 0 && segments[i].written_ms != 0)
            return segments[i].written_ms * 1000;
    }
    return journal_sealed_us(journal);
}

uint64_t sink_lag_oldest(struct sink_lag *lag, struct journal *journal, struct journal_position confirmed)
{
    struct journal_line line;
    enum journal_read read = JOURNAL_DAMAGED;

    if (lag->first < lag->next)
        return lag->lines[lag->first % lag->capacity].sealed_us;
    if (journal_position_compare(confirmed, journal_end(journal)) >= 0)
        return 0;
    if (lag->oldest_us != 0 && journal_position_compare(lag->at, confirmed) == 0)
        return lag->oldest_us;
    struct journal_reader *reader = journal_reader_new(journal, confirmed);
    for (unsigned i = 0; i < LAG_DAMAGED_MAX && read == JOURNAL_DAMAGED; i++)
        read = journal_reader_next(reader, &line);
    journal_reader_free(reader);
    if (read == JOURNAL_FAILED) /* the oldest is younger than what was confirmed last: a lag all the same */
        return lag->confirmed_us != 0 ? lag->confirmed_us : lag_of_segment(journal, confirmed);
    lag->at = confirmed;
    lag->oldest_us = read == JOURNAL_LINE ? line.head.sealed_us : 0;
    return lag->oldest_us;
}

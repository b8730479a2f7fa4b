/* SPDX-License-Identifier: Apache-2.0 */
/* Delivery of a part of the journal to a sink once more, through the code that delivers it in the daemon,
 * with a place of its own: the daemon's cursor is neither read nor moved. */
#ifndef MQWARD_EXPORTERS_SINK_REPLAY_H
#define MQWARD_EXPORTERS_SINK_REPLAY_H

#include "exporters/exporter.h"
#include "exporters/journal.h"

struct sink_replay {
    const struct exporter_sink *sink;
    struct journal *view; /* journal_view_open(); its end is where delivery ends */
    struct journal_position from;
    uint64_t patience_ms; /* without progress for so long: it is given up */
    /* Called now and then, and at the end; NULL: not wanted. trouble: what the sink said last, "" when it
     * works. */
    void (*progress)(void *argument, uint64_t delivered, const char *trouble);
    void *argument;
};

struct sink_replay_result {
    uint64_t delivered; /* lines with the sink's positive answer */
    uint64_t damaged;   /* places of the journal that are no lines: skipped */
    bool complete;      /* all of them */
    char trouble[512];  /* what the sink said last; "" */
};

/* Blocks. 0, also if not everything could be delivered; -1 and a sentence in error if the sink can't be made.
 */
int sink_replay_run(
    const struct sink_replay *replay, struct sink_replay_result *result, char *error, size_t error_size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A sink's failures in mqward's own log: the first one, each one that says something new, and one a minute
 * while nothing changes, with their number. */
#ifndef MQWARD_EXPORTERS_SINK_TROUBLE_H
#define MQWARD_EXPORTERS_SINK_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

#define SINK_TROUBLE_TEXTS 8U /* told apart within a minute; of more of them only the minute's line comes */

/* All zero at first, and again when the sink is up. */
struct sink_trouble {
    uint64_t failures;
    uint64_t since_ms; /* monotonic: of the first line of the minute */
    uint64_t told[SINK_TROUBLE_TEXTS];
    unsigned told_count;
};

/* Counts a failure. True: it belongs into the log. */
bool sink_trouble_add(struct sink_trouble *trouble, const char *reason, const char *detail, uint64_t now_ms);

#endif

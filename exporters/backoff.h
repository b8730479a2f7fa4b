/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before what failed is tried again: doubling from 100 ms to 5 s, each wait between half and
 * all of it by chance, so that a thousand proxies do not come back at once. */
#ifndef MQWARD_EXPORTERS_BACKOFF_H
#define MQWARD_EXPORTERS_BACKOFF_H

#include <stdint.h>
#include <sys/time.h>

/* All zero at first. */
struct backoff {
    unsigned failures;
    uint64_t up_ms; /* monotonic; 0: it is not up */
};

/* It works, for now. What breaks again within ten seconds goes on where the back-off was: its reports would
 * flood the journal otherwise. */
void backoff_up(struct backoff *backoff);
/* It failed: the time to wait. */
struct timeval backoff_down(struct backoff *backoff);

#endif

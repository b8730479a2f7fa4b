/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the back-off of sinks and of clients of servers. Called by their files. */
#include "exporters/backoff.h"

#include <event2/util.h>

#include "base/clock.h"

#define BACKOFF_MIN_MS 100U
#define BACKOFF_MAX_MS 5000U
#define BACKOFF_STABLE_MS 10000U

void backoff_up(struct backoff *backoff)
{
    if (backoff->up_ms == 0)
        backoff->up_ms = clock_monotonic_ms();
}

struct timeval backoff_down(struct backoff *backoff)
{
    uint32_t wait_ms = BACKOFF_MAX_MS, random;

    if (backoff->up_ms != 0 && clock_monotonic_ms() - backoff->up_ms > BACKOFF_STABLE_MS)
        backoff->failures = 0;
    backoff->up_ms = 0;
    if (backoff->failures < 6 && BACKOFF_MIN_MS << backoff->failures < BACKOFF_MAX_MS)
        wait_ms = BACKOFF_MIN_MS << backoff->failures;
    backoff->failures++;
    evutil_secure_rng_get_bytes(&random, sizeof(random));
    wait_ms = wait_ms / 2 + random % (wait_ms / 2 + 1);
    return (struct timeval){.tv_sec = wait_ms / 1000, .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000)};
}

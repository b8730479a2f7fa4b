/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the memory of a worker's counters. Called by worker.c. */
#include "proxy/counters.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Two lines: processors fetch them in pairs. */
#define ALIGNMENT 128

struct counters *counters_new(void)
{
    size_t size = (sizeof(struct counters) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct counters *counters = aligned_alloc(ALIGNMENT, size);

    if (counters == NULL)
        memory_exhausted();
    memset(counters, 0, size);
    return counters;
}

void counters_free(struct counters *counters)
{
    free(counters);
}

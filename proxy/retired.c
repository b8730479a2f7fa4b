/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of former snapshots. Called by server_loop.c, on the main thread. */
#include "proxy/retired.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/memory.h"

struct retired {
    struct snapshot *snapshot;
    struct retired *next;
};

void retired_add(struct retired **list, struct snapshot *snapshot)
{
    struct retired *retired = memory_calloc(1, sizeof(*retired));

    *retired = (struct retired){snapshot, *list};
    *list = retired;
}

static void remove_first(struct retired **list)
{
    struct retired *first = *list;

    *list = first->next;
    snapshot_release(first->snapshot);
    free(first);
}

bool retired_sweep(struct retired **list)
{
    bool trim = false;

    for (struct retired **at = list; *at != NULL;) {
        if (!snapshot_is_last((*at)->snapshot)) {
            at = &(*at)->next;
            continue;
        }
        trim = trim || (*at)->snapshot->scan_rules != NULL;
        remove_first(at);
    }
    /* Of a generation of rules much is in pieces that free() keeps for later; that takes a while, and is not
     * worth it without one. */
    if (trim)
        malloc_trim(0);
    return *list != NULL;
}

void retired_release(struct retired **list)
{
    while (*list != NULL)
        remove_first(list);
}

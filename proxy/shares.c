/* SPDX-License-Identifier: Apache-2.0 */
/* Called by worker_audit.c. */
#include "proxy/shares.h"

#include <stddef.h>

#define OLDER 0
#define YOUNGER 1

uint64_t share_undrained(const struct share *share, uint64_t tail)
{
    if (tail >= share->mark[YOUNGER])
        return 0;
    return share->bytes[YOUNGER] + (tail >= share->mark[OLDER] ? 0 : share->bytes[OLDER]);
}

void share_charge(struct share *share, uint64_t bytes, uint64_t tail, uint64_t head)
{
    if (tail >= share->mark[OLDER]) { /* the older one is drained, the younger one gets older */
        share->bytes[OLDER] = tail >= share->mark[YOUNGER] ? 0 : share->bytes[YOUNGER];
        share->mark[OLDER] = share->mark[YOUNGER];
        share->bytes[YOUNGER] = 0;
    }
    share->bytes[YOUNGER] += bytes;
    share->mark[YOUNGER] = head;
}

/* The entry of a name: its own, else one whose owner has nothing any more, else one that it shares, always
 * the same. */
static size_t find(const struct shares_entry *alike, uint64_t name, uint64_t tail)
{
    size_t found = SHARES_ALIKE;

    for (size_t i = 0; i < SHARES_ALIKE; i++) {
        if (alike[i].name == name)
            return i;
        if (found == SHARES_ALIKE && share_undrained(&alike[i].share, tail) == 0)
            found = i;
    }
    return found < SHARES_ALIKE ? found : name / SHARES % SHARES_ALIKE;
}

uint64_t shares_undrained(const struct shares *shares, uint64_t name, uint64_t tail)
{
    const struct shares_entry *alike = shares->entries[name % (SHARES / SHARES_ALIKE)];

    return share_undrained(&alike[find(alike, name, tail)].share, tail);
}

void shares_charge(struct shares *shares, uint64_t name, uint64_t bytes, uint64_t tail, uint64_t head)
{
    struct shares_entry *alike = shares->entries[name % (SHARES / SHARES_ALIKE)];
    struct shares_entry *entry = &alike[find(alike, name, tail)];

    if (share_undrained(&entry->share, tail) == 0)
        entry->name = name;
    share_charge(&entry->share, bytes, tail, head);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what the journal may believe when it is opened. Called by the exporter. Only lines beyond the state
 * can be checked: the keys of the others are gone. */
#include "exporters/chain_known.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/secret.h"
#include "exporters/chain_state.h"

#define KNOWN_STEPS_MAX 20000000U /* keys that a line may ask for: some seconds */

struct chain_known {
    struct chain_point point;
};

/* The key of a line beyond point, which is moved there. */
static bool known_reach(struct chain_point *point, const struct chain_link *link, uint64_t sequence)
{
    struct chain_cursor *cursor = &point->cursor;

    if (link->start < cursor->start || link->start - cursor->start > KNOWN_STEPS_MAX)
        return false;
    if (link->start > cursor->start) {
        for (uint64_t i = cursor->start + 1; i < link->start; i++)
            chain_next_secret(point->secret);
        chain_begin(cursor, point->secret, link->epoch, link->start);
    }
    if (link->epoch != cursor->epoch || sequence < cursor->sequence ||
        sequence - cursor->sequence > KNOWN_STEPS_MAX)
        return false;
    chain_next_key(cursor->key, sequence - cursor->sequence);
    return true;
}

static bool known_holds(const void *argument, struct view line)
{
    const struct chain_known *known = argument;
    struct chain_point there = known->point;
    struct chain_link link;
    struct record_head head;

    bool holds = record_parse_head(line, &head) == 0 && chain_parse(line, &link) == CHAIN_LINKED &&
                 link.epoch == head.epoch && known_reach(&there, &link, head.sequence) &&
                 chain_holds(there.cursor.key, &link);
    secret_wipe(&there, sizeof(there));
    secret_wipe_stack();
    return holds;
}

struct chain_known *chain_known_new(const char *directory, struct journal_chain *chain)
{
    struct chain_known *known = secret_map(sizeof(*known));
    char *path = memory_format("%s/" CHAIN_STATE_NAME, directory), error[256];

    *chain = (struct journal_chain){0};
    if (chain_state_read(path, &known->point, error, sizeof(error)) == CHAIN_STATE_FOUND &&
        known->point.cursor.sequence > 0)
        *chain =
            (struct journal_chain){known->point.cursor.epoch, known->point.sealed_us, known_holds, known};
    free(path);
    return known;
}

void chain_known_free(struct chain_known *known)
{
    secret_unmap(known, sizeof(*known), sizeof(*known));
    secret_wipe_stack();
}

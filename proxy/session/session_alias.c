/* SPDX-License-Identifier: Apache-2.0 */
/* Topic aliases that the client defines (MQTT 5.0, 3.3.2.3.4). They end here: the broker never sees one, so a
 * PUBLISH that the policy drops can't leave the two sides with different ideas of what an alias means. */
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

bool session_alias_set(struct session_aliases *aliases, uint16_t alias, struct view topic)
{
    struct view *slot;

    if (alias == 0 || alias > aliases->maximum)
        return false;
    if (aliases->topics == NULL)
        aliases->topics = memory_calloc(aliases->maximum, sizeof(*aliases->topics));
    slot = &aliases->topics[alias - 1];
    if (view_equal(*slot, topic))
        return true;
    free((void *)(uintptr_t)slot->data);
    *slot = view_of(memory_copy_string(topic), topic.length);
    return true;
}

bool session_alias_get(const struct session_aliases *aliases, uint16_t alias, struct view *topic)
{
    if (alias == 0 || alias > aliases->maximum || aliases->topics == NULL ||
        aliases->topics[alias - 1].data == NULL)
        return false;
    *topic = aliases->topics[alias - 1];
    return true;
}

void session_alias_free(struct session_aliases *aliases)
{
    if (aliases->topics != NULL)
        for (uint16_t i = 0; i < aliases->maximum; i++)
            free((void *)(uintptr_t)aliases->topics[i].data);
    free(aliases->topics);
    aliases->topics = NULL;
}

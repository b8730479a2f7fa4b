/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which of a sink's failures are logged. Called by sink.c. A sink that is away fails every five seconds
 * for as long as it is away: that is one thing to say, and not seventeen thousand a day. */
#include "exporters/sink_trouble.h"

#include "base/hash.h"

#define MINUTE_MS 60000U

/* False: it was told within the minute, or there is no room for more. */
static bool trouble_is_new(struct sink_trouble *trouble, uint64_t text)
{
    for (unsigned i = 0; i < trouble->told_count; i++)
        if (trouble->told[i] == text)
            return false;
    if (trouble->told_count == SINK_TROUBLE_TEXTS)
        return false;
    trouble->told[trouble->told_count++] = text;
    return true;
}

bool sink_trouble_add(struct sink_trouble *trouble, const char *reason, const char *detail, uint64_t now_ms)
{
    trouble->failures++;
    if (trouble->failures == 1 || now_ms - trouble->since_ms >= MINUTE_MS) {
        trouble->since_ms = now_ms;
        trouble->told_count = 0;
    }
    return trouble_is_new(
        trouble, hash_bytes(view_of_string(reason)) ^ (hash_bytes(view_of_string(detail)) << 1));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a Redis sink has delivered, read back from the server: for verification. */
#ifndef MQWARD_EXPORTERS_REDIS_READBACK_H
#define MQWARD_EXPORTERS_REDIS_READBACK_H

#include "base/view.h"

struct exporter_redis;

/* Calls entry for each one of the stream or list, the oldest first: its ID (of a list its index), its number
 * from 1, and its line; data NULL: an entry of a stream without the sink's field. Page by page, from its own
 * connection; blocks until the end. The user of the settings needs XRANGE, or LRANGE. 0, or -1 and a sentence
 * in error: what came until then was handed over. */
int redis_readback(const struct exporter_redis *settings,
    void (*entry)(void *argument, const char *id, uint64_t number, struct view line), void *argument,
    char *error, size_t error_size);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Which events are alike, and what is told of many, for repeats.c. */
#ifndef MQWARD_EXPORTERS_REPEATS_KEY_H
#define MQWARD_EXPORTERS_REPEATS_KEY_H

#include "exporters/repeats_memory.h"

/* What must be the same, and its hash. The length; 0: events of its kind are not aggregated. */
size_t repeats_key(const struct audit_event *event, uint8_t out[REPEATS_KEY_MAX], uint64_t *hash);
/* A hash of what is the connection's own: where it differs, the event that tells of all has none of it. */
uint64_t repeats_connection(const struct audit_event *event);
/* What of an event may stand for those like it: what is compared, and what is the connection's own if they
 * are all of one. Its views are those of event. */
struct audit_event repeats_kept(const struct audit_event *event, bool connection);
/* The same, encoded; where it is longer than room (at least that of a slot), without what is optional, and
 * then with texts cut. The length. */
size_t repeats_record(const struct audit_event *event, uint8_t out[AUDIT_EVENT_MAX], size_t room);

#endif

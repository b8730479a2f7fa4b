/* SPDX-License-Identifier: Apache-2.0 */
/* Denials per identity and per address, over all connections and workers: who is denied so often within a
 * time that the policy has had enough (on_deny.repeat). Thread-safe; touched by denials alone. */
#ifndef MQWARD_PROXY_DENIALS_H
#define MQWARD_PROXY_DENIALS_H

#include "base/view.h"

struct denials;

enum denials_by { DENIALS_BY_ID, DENIALS_BY_ADDRESS };

/* Memory is bounded: DENIALS_PLACES identities and as many addresses are counted at a time, each with four
 * bytes a denial. When they are full, a new one takes the place of one with the fewest denials, so that
 * nobody gets rid of a long record by showing up under many names; addresses, which cost nothing, never take
 * the place of identities. */
#define DENIALS_PLACES 16384

struct denials *denials_new(void);
void denials_free(struct denials *denials); /* NULL is fine */

/* Counts a denial of key at now_ms (monotonic). True: it is the count-th of less than within_ms; what was
 * counted of key is then forgotten. count: 1 to POLICY_REPEAT_MAX; within_ms: at most a day. Both may differ
 * from call to call, as policies do. */
bool denials_add(struct denials *denials, enum denials_by by, struct view key, uint32_t count,
    uint64_t within_ms, uint64_t now_ms);

#endif

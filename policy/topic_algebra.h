/* SPDX-License-Identifier: Apache-2.0 */
/* Matching, cover and overlap of topic filters: exact, byte for byte, with MQTT's rules for '$' topics and
 * empty levels (section 4.7). Pure functions over valid names and filters (base/topic.h). */
#ifndef MQWARD_POLICY_TOPIC_ALGEBRA_H
#define MQWARD_POLICY_TOPIC_ALGEBRA_H

#include "base/view.h"

/* True if a message published to name is delivered to a subscription of filter. */
bool topic_matches(struct view filter, struct view name);
/* True if every topic name that filter matches is matched by one of the covers. Exact, also for unions. */
bool topic_covered(struct view filter, const struct view *covers, size_t count);
/* True if some topic name is matched by both. */
bool topic_overlaps(struct view a, struct view b);

#endif

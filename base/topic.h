/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax of topic names and filters, as both the codec and the policy need it (MQTT 5.0 and 3.1.1,
 * section 4.7). UTF-8 is checked elsewhere. */
#ifndef MQWARD_BASE_TOPIC_H
#define MQWARD_BASE_TOPIC_H

#include "base/view.h"

/* A topic name to publish to: 1 to 65,535 bytes, no '+', '#' or NUL. [MQTT-3.3.2-2] [MQTT-4.7.3-1]
 * [MQTT-4.7.3-2] */
bool topic_name_valid(struct view name);
/* A filter: 1 to 65,535 bytes, no NUL, '+' and '#' alone in their level, '#' last. [MQTT-4.7.1-1]
 * [MQTT-4.7.1-2] */
bool topic_filter_valid(struct view filter);
/* Levels: one more than the slashes. */
size_t topic_levels(struct view topic);

#endif

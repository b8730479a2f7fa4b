/* SPDX-License-Identifier: Apache-2.0 */
/* The record's part about a shadow policy. */
#ifndef MQWARD_EXPORTERS_RECORD_SHADOW_H
#define MQWARD_EXPORTERS_RECORD_SHADOW_H

#include "base/json.h"
#include "exporters/audit.h"

/* mqward.shadow; nothing of an event that is not about one. */
void record_shadow(struct json *json, const struct audit_event *event);
/* Of a shadow-diff its part of the message, within the string that is open: what both policies decide, and
 * why. */
void record_shadow_message(struct json *json, const struct audit_event *event);

#endif

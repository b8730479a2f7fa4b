/* SPDX-License-Identifier: Apache-2.0 */
/* What all events of an action have in common in the journal's line. */
#ifndef MQWARD_EXPORTERS_RECORD_STYLE_H
#define MQWARD_EXPORTERS_RECORD_STYLE_H

#include "base/view.h"
#include "exporters/audit.h"

/* EITHER: the topic if there is one, else the address. */
enum record_shape { SHAPE_TOPIC, SHAPE_ADDRESS, SHAPE_EITHER, SHAPE_DETAIL };

/* message: "<phrase>: <who> -> <topic>", "<phrase>: <who> from <address>", "<phrase>: <detail>". */
struct record_style {
    const char *phrase;
    enum record_shape shape;
    const char *outcome;
};

/* The row of an action; asserts that it has one. */
const struct record_style *record_style(enum audit_action action);

/* The members kind, category, type, action and outcome of event, as JSON without the braces. What went on was
 * not denied but allowed, and a success: SIEMs must not count it as the failure that it would have been. They
 * are put together once a process; from any thread. */
struct view record_action_members(enum audit_action action, bool went_on);

#endif

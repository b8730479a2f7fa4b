/* SPDX-License-Identifier: Apache-2.0 */
/* What operators ask a running mqward for: one JSON object, such as {"request":"reload"},
 * {"request":"bans"}, {"request":"ban","by":"id","value":"plc-7","for_ms":600000,"reason":"stolen"},
 * {"request":"lift","by":"address","value":"192.0.2.1"} or {"request":"lift","all":true}. */
#ifndef MQWARD_PROXY_CONTROL_REQUEST_H
#define MQWARD_PROXY_CONTROL_REQUEST_H

#include "proxy/bans.h"

/* The longest identity fits, and its escapes. */
#define CONTROL_REQUEST_MAX (128 * 1024)
#define CONTROL_REASON_MAX 200 /* bytes */

enum control_verb { CONTROL_RELOAD, CONTROL_BANS, CONTROL_BAN, CONTROL_LIFT };

struct control_request {
    enum control_verb verb;
    bool all;           /* LIFT: every ban; by and value are not given */
    enum ban_by by;     /* BAN, LIFT */
    struct view value;  /* not empty */
    uint64_t for_ms;    /* BAN: 1 to BAN_LONGEST_MS */
    struct view reason; /* BAN: may be empty */
    void *document;     /* that the views point into */
};

/* Reads the bytes of a whole request. NULL, or why they are none (a fixed text); the request then holds
 * nothing. What the verb does not have and members that are not known are refused. */
const char *control_request_parse(struct view text, struct control_request *request);
void control_request_release(struct control_request *request);

#endif

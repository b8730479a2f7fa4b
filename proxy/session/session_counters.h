/* SPDX-License-Identifier: Apache-2.0 */
/* What sessions count, for metrics: of all sessions of a thread, which is the only one that writes it.
 * proxy/metrics.h adds up what the threads have. */
#ifndef MQWARD_PROXY_SESSION_SESSION_COUNTERS_H
#define MQWARD_PROXY_SESSION_SESSION_COUNTERS_H

#include "base/counter.h"
#include "base/reason.h"

enum session_operation {
    SESSION_OPERATION_PUBLISH,
    SESSION_OPERATION_WILL,
    SESSION_OPERATION_SUBSCRIBE, /* a filter */
    SESSION_OPERATION_RECEIVE,
    SESSION_OPERATIONS
};

/* MONITORED: it went on, and would have been denied but for monitor mode. */
enum session_result { SESSION_ALLOWED, SESSION_DENIED, SESSION_MONITORED, SESSION_RESULTS };

/* What a shadow policy says where the one in force decides otherwise. */
enum session_shadow { SESSION_SHADOW_ALLOW, SESSION_SHADOW_DENY, SESSION_SHADOWS };

enum session_scan_outcome {
    SESSION_SCAN_CLEAN,
    SESSION_SCAN_MATCHED,
    SESSION_SCAN_INCOMPLETE, /* nothing was found in what was looked at */
    SESSION_SCAN_ERROR,
    SESSION_SCAN_OUTCOMES
};
enum session_scan_place { SESSION_SCAN_INLINE, SESSION_SCAN_POOL, SESSION_SCAN_PLACES };

/* Rules, checks and rule sets count in slots, which outlive policies: settings say which. There is room for
 * those of two policies, one of which goes while the other comes. */
#define SESSION_SLOT_NONE 0  /* no rule: the default deny, limits */
#define SESSION_SLOT_OTHER 1 /* there are more than slots */
#define SESSION_SLOT_FIRST 2
#define SESSION_RULES_COUNTED 1024 /* of a policy */
#define SESSION_RULE_SLOTS (SESSION_SLOT_FIRST + 2 * SESSION_RULES_COUNTED)
#define SESSION_SET_SLOTS (SESSION_SLOT_FIRST + 2 * 64)

/* One in so many PUBLISH is timed, so that the others pay nothing for it. */
#define SESSION_DECISION_SAMPLE 64
#define SESSION_SIGNATURE_SAMPLE 8

struct session_counters {
    struct counter decisions[SESSION_OPERATIONS][SESSION_RESULTS]; /* on what clients and brokers asked for */
    struct counter rules[SESSION_RULE_SLOTS][SESSION_RESULTS];     /* what each rule and check said */
    struct counter refusals[REASON_COUNT];                         /* of what was denied */
    struct counter monitored[REASON_COUNT];                        /* of what would have been */
    struct counter shadow[SESSION_SHADOWS];                        /* acts, by what the shadow policy says */
    struct counter connects_refused[REASON_COUNT];
    struct counter protocol_errors[REASON_COUNT];
    struct counter signatures[REASON_COUNT]; /* REASON_none: it is valid */
    struct counter unsigned_messages;        /* no signature, and no check that insists on one */
    struct counter scans[SESSION_SCAN_PLACES][SESSION_SCAN_OUTCOMES];
    struct counter sets[SESSION_SET_SLOTS][SESSION_SCAN_OUTCOMES];
    struct histogram signature; /* histogram_short; a sample */
    uint32_t signature_sample;  /* of the writer: until the next one is timed */
};

#endif

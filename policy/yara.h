/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy's check asks of YARA (payload-scanning.md). The policy knows rule sets by their names alone;
 * whoever has the rules scans. */
#ifndef MQWARD_POLICY_YARA_H
#define MQWARD_POLICY_YARA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

/* What becomes of a message in which a rule has found something. */
enum yara_on_match {
    YARA_MATCH_REJECT,     /* refused, with the reason code */
    YARA_MATCH_DROP,       /* acknowledged and thrown away */
    YARA_MATCH_DISCONNECT, /* the sender's connection is closed */
    YARA_MATCH_ALERT,      /* it goes on, and the audit says so */
    YARA_MATCH_QUARANTINE  /* stored for the analyst, and refused */
};
/* What becomes of a message that could not be scanned to its end. */
enum yara_on_error { YARA_ERROR_REJECT, YARA_ERROR_ALERT };

/* Decoded views, as bits. */
enum yara_view {
    YARA_VIEW_BASE64 = 1 << 1,
    YARA_VIEW_HEX = 1 << 2,
    YARA_VIEW_JSON = 1 << 3,
    YARA_VIEW_GZIP = 1 << 4,
    YARA_VIEW_UTF16 = 1 << 5,
};
#define YARA_VIEWS_ALL 0x3e

#define YARA_MAX_SCAN (256 * 1024)
#define YARA_TIMEOUT_MS 50

/* Lives as long as the policy. */
struct yara_terms {
    const char *const *rules; /* rule sets of mqward.yaml */
    size_t rule_count;
    uint64_t max_scan;   /* bytes of a view that are looked at */
    uint64_t timeout_ms; /* of CPU time, for a message */
    unsigned views;      /* enum yara_view bits; the bytes as they came are always looked at */
    enum yara_on_match on_match;
    enum yara_on_error on_error;
    uint8_t reason_code; /* of MQTT 5.0, where it is refused: 0x99 or 0x87 */
};

/* Names of rule sets: letters, digits, '_', '-', '.', at most 64. */
bool yara_set_name_valid(struct view name);

#endif

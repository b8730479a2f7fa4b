/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the events of what the start of the trail found: torn tails, files that are none of ours, what does
 * not fit of the chain's state and the journal. Called by sealer_open(). */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "exporters/chain_recover.h"
#include "exporters/sealer.h"

static struct audit_event opening_event(enum audit_action action, enum reason reason, const char *detail)
{
    return (struct audit_event){.action = action,
        .reason = reason,
        .disposition = AUDIT_INFORMED,
        .wall_us = clock_wall_us(),
        .detail = view_of_string(detail)};
}

static void opening_report_repairs(struct sealer *sealer, const struct journal *journal)
{
    size_t count;
    const struct journal_repair *repairs = journal_repairs(journal, &count);
    char detail[256];

    for (size_t i = 0; i < count; i++) {
        struct audit_event event;
        if (repairs[i].aside) {
            snprintf(detail, sizeof(detail),
                "%s, %" PRIu64 " bytes, is of a time to come and not of the chain: it is set aside",
                repairs[i].name, repairs[i].bytes);
            event = opening_event(AUDIT_audit_gap, REASON_chain_broken, detail);
        } else {
            snprintf(detail, sizeof(detail), "torn tail of %s cut, %" PRIu64 " bytes kept in %s.torn",
                repairs[i].name, repairs[i].bytes, repairs[i].name);
            event = opening_event(AUDIT_audit_recovered, REASON_audit_recovered, detail);
        }
        sealer_report(sealer, &event);
    }
}

void sealer_report_opening(
    struct sealer *sealer, const struct journal *journal, const struct chain_recovery *recovery)
{
    opening_report_repairs(sealer, journal);
    for (size_t i = 0; i < recovery->break_count; i++) {
        const struct chain_break *found = &recovery->breaks[i];
        LOG_EVENT(LOG_ERROR, "audit", "the chain does not hold", log_string("detail", found->detail),
            log_unsigned("lines", found->count));
        struct audit_event event = opening_event(AUDIT_audit_gap, REASON_chain_broken, found->detail);
        event.count = found->count;
        event.gap_first = found->first;
        event.gap_last = found->last;
        sealer_report(sealer, &event);
    }
}

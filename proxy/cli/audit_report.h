/* SPDX-License-Identifier: Apache-2.0 */
/* What 'mqward audit verify' says at its end. */
#ifndef MQWARD_PROXY_CLI_AUDIT_REPORT_H
#define MQWARD_PROXY_CLI_AUDIT_REPORT_H

#include "exporters/chain_state.h"
#include "exporters/verify.h"

enum audit_key { AUDIT_KEY_NONE, AUDIT_KEY_BESIDE, AUDIT_KEY_GIVEN };

struct audit_report {
    enum audit_key key, public_key; /* beside: from the directory that they protect */
    bool journal;                   /* of a journal, not of a copy */
    enum chain_state_found state;   /* of a journal */
    uint64_t around;                /* texts that are no lines and may be there */
    uint64_t others;                /* lines of other hosts */
    uint64_t gone;                  /* segments that retention deleted while they were read */
    uint64_t half_bytes;            /* of a line that has no end yet */
    bool unreadable;                /* something could not be read: what was found is not all */
};

void audit_report_print(const struct audit_report *report, const struct verify *verify);
void audit_report_print_json(const struct audit_report *report, const struct verify *verify);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the quarantine keeps of a message in which something was found: the parts where it was found, each
 * with a description. */
#ifndef MQWARD_PROXY_SCAN_EVIDENCE_H
#define MQWARD_PROXY_SCAN_EVIDENCE_H

#include "proxy/scan_job.h"

/* A check has found something that is to be stored. */
bool scan_evidence_wanted(const struct scan_job *job);
/* Stores the parts of which a check says so, once for a message, however many checks do; the results say what
 * became of them. Slow (disk). */
void scan_evidence_store(struct quarantine *quarantine, struct scan_job *job);
/* Nothing was stored, and why. */
void scan_evidence_lose(struct scan_job *job, enum quarantine_result why);

#endif

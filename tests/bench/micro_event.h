/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MQWARD_BENCH_MICRO_EVENT_H
#define MQWARD_BENCH_MICRO_EVENT_H

#include "exporters/audit.h"

/* A denied publish, whose line is about 1 KB: on a topic of its own for each number. user and topic are where
 * its text is. */
struct audit_event micro_event(uint64_t number, char user[32], char topic[96]);

#endif

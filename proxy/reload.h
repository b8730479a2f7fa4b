/* SPDX-License-Identifier: Apache-2.0 */
/* Another configuration and policy for a process that goes on serving. */
#ifndef MQWARD_PROXY_RELOAD_H
#define MQWARD_PROXY_RELOAD_H

#include "base/buffer.h"
#include "proxy/service.h"

/* Reads everything that path names, as at the start. NULL if it has errors or differs from current in what
 * only a restart can change: the log then has all findings, and why (appended, in one line) the first of
 * them; where (appended) says the same to those who may not read the files: a place, and nothing that stands
 * there. findings gets all of them, warnings too, as 'mqward check' prints them. */
struct snapshot *reload_snapshot(const char *path, const struct snapshot *current, struct buffer *why,
    struct buffer *where, struct buffer *findings);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The steps about payloads that are scanned. Called by scenario.c through its table of words. */
#include <stdio.h>
#include <stdlib.h>

#include "scenario.h"

/* "scanned in|out": what was asked about the message of that direction is answered; "scanned in again": once
 * more, although nobody waits for it. */
void scenario_scanned(struct run *run, char *rest)
{
    if (scenario_may_act(run) &&
        !world_scanned(run->world, strncmp(rest, "out", 3) == 0, strstr(rest, " again") != NULL))
        scenario_fail(run, "nothing is scanned: ", rest);
}

/* "scans-here 3": so many were scanned, or tried, without waiting since this was asked last. */
void scenario_scans_here(struct run *run, char *rest)
{
    scenario_expect_number(run, "scans-here ", run->world->scans_here, rest);
    run->world->scans_here = 0;
}

/* "request in dt/x qos=0 ...": what was asked last. */
void scenario_request(struct run *run, char *rest)
{
    scenario_expect_text(run, "request ", run->world->scan_request, rest);
}

/* "parts 12": of what was asked last. */
void scenario_parts(struct run *run, char *rest)
{
    scenario_expect_number(run, "parts ", run->world->scan_parts, rest);
}

/* "terms 262144 0x3e": how much of a view is looked at, and which views. */
void scenario_terms(struct run *run, char *rest)
{
    char text[64];

    snprintf(text, sizeof(text), "%zu 0x%02x", run->world->scan_max, run->world->scan_views);
    scenario_expect_text(run, "terms ", text, rest);
}

/* "asking-broker yes|no" */
void scenario_asking_broker(struct run *run, char *rest)
{
    scenario_expect_text(
        run, "asking-broker ", session_is_asking_broker(run->world->session) ? "yes" : "no", rest);
}

/* "ready-broker yes|no" */
void scenario_ready_broker(struct run *run, char *rest)
{
    scenario_expect_text(
        run, "ready-broker ", session_broker_ready(run->world->session) ? "yes" : "no", rest);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The steps about rates and bans. Called by scenario.c through its table of words. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "scenario.h"

/* "limited flood other": these checks refuse from now on; nothing: none does. */
void scenario_limited(struct run *run, char *text)
{
    snprintf(run->world->limited, sizeof(run->world->limited), "%s", text);
}

void scenario_counted(struct run *run, char *text)
{
    scenario_expect_text(run, "counted ", run->world->counted, text);
}

void scenario_held_rates(struct run *run, char *text)
{
    scenario_expect_text(run, "holds ", run->world->held_rates, text);
}

/* "unrecorded": the audit has no room from now on, and denies; "unrecorded waits": it waits for room;
 * "unrecorded no": there is room. */
void scenario_unrecorded(struct run *run, char *text)
{
    bool denies = *text == 0;

    scenario_begin(run);
    run->world->room = denies                       ? SESSION_ROOM_DENIED
                       : strcmp(text, "waits") == 0 ? SESSION_ROOM_LATER
                                                    : SESSION_ROOM;
    session_set_unrecorded(run->world->session, denies);
}

/* There is room again. */
void scenario_carry_on(struct run *run, char *text)
{
    (void)text;
    if (scenario_may_act(run))
        world_carry_on(run->world);
}

/* "banned id eva", "banned address 203.0.113.9 ordered", "banned" alone: nobody. */
void scenario_banned(struct run *run, char *text)
{
    char *ordered = strstr(text, " ordered");

    scenario_begin(run);
    if (ordered != NULL)
        *ordered = 0;
    free(run->world->banned);
    run->world->banned = *text == 0 ? NULL : memory_copy_string(view_of_string(text));
    run->world->ban_ordered = ordered != NULL;
}

void scenario_denied(struct run *run, char *text)
{
    scenario_expect_text(run, "denied ", run->world->denied, text);
}

void scenario_is_banned(struct run *run, char *text)
{
    scenario_expect_text(run, "is-banned ", session_is_banned(run->world->session) ? "yes" : "no", text);
}

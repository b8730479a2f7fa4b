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

/* "later 1500": so many milliseconds, on the clock that rates go by. */
void scenario_later(struct run *run, char *text)
{
    run->world->now_ns += strtoull(text, NULL, 10) * 1000000;
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

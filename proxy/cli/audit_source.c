/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the verbs of 'mqward audit' find their journal and a place in it. */
#include "proxy/cli/audit_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/diag.h"
#include "base/number.h"

#define SECONDS_LENGTH ((size_t)CLOCK_SECONDS_LENGTH - 1) /* without the Z */

int audit_source_open(struct audit_source *source, const char *path, const char *directory, bool whole)
{
    const struct config *partial = NULL;

    *source = (struct audit_source){.arena = arena_new(), .diag = diag_list_new(), .directory = directory};
    if (directory != NULL)
        return CLI_OK;
    path = path == NULL ? "/etc/mqward/mqward.yaml" : path;
    source->config = config_load(path, source->arena, source->diag, &partial);
    if (source->config != NULL)
        source->directory = source->config->audit.directory.path;
    else if (!whole && partial != NULL)
        source->directory = partial->audit.directory.path;
    if (source->directory != NULL)
        return CLI_OK;
    diag_print(source->diag, stderr);
    fprintf(stderr, "mqward: %s: no audit directory known\n", path);
    return CLI_USAGE;
}

void audit_source_close(struct audit_source *source)
{
    diag_list_free(source->diag);
    arena_free(source->arena);
}

/* ---- time ---- */

/* Exactly sixteen lower-case digits, a dash, a number. */
static bool parse_event(const char *text, struct audit_time *time)
{
    char again[64];

    if (sscanf(text, "%16" SCNx64 "-%20" SCNu64, &time->epoch, &time->sequence) != 2)
        return false;
    snprintf(again, sizeof(again), "%016" PRIx64 "-%" PRIu64, time->epoch, time->sequence);
    time->is_event = strcmp(again, text) == 0;
    return time->is_event;
}

/* ".25": microseconds; what is finer is left out. Moves *text behind it. */
static bool parse_fraction(const char **text, uint64_t *microseconds)
{
    uint64_t unit = 100000;

    *microseconds = 0;
    if (**text != '.')
        return true;
    if (*++*text < '0' || **text > '9')
        return false;
    for (; **text >= '0' && **text <= '9'; ++*text, unit /= 10)
        *microseconds += unit * (uint64_t)(**text - '0');
    return true;
}

/* "Z" or "+01:00", the end of the text. */
static bool parse_zone(const char *text, int64_t *seconds)
{
    unsigned hours, minutes;
    char sign, rest;

    *seconds = 0;
    if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
        return true;
    if (strlen(text) != 6 || sscanf(text, "%c%2u:%2u%c", &sign, &hours, &minutes, &rest) != 3 ||
        (sign != '+' && sign != '-') || hours > 23 || minutes > 59)
        return false;
    *seconds = (int64_t)(hours * 3600 + minutes * 60) * (sign == '+' ? 1 : -1);
    return true;
}

static bool parse_rfc3339(const char *text, uint64_t *wall_us)
{
    char whole[CLOCK_SECONDS_LENGTH + 1];
    uint64_t seconds, microseconds;
    int64_t zone;

    if (strlen(text) <= SECONDS_LENGTH)
        return false;
    snprintf(whole, sizeof(whole), "%.*sZ", (int)SECONDS_LENGTH, text);
    if (whole[10] == ' ' || whole[10] == 't') /* as section 5.6 lets people write it */
        whole[10] = 'T';
    text += SECONDS_LENGTH;
    if (clock_parse_seconds(view_of_string(whole), &seconds) != 0 || !parse_fraction(&text, &microseconds) ||
        !parse_zone(text, &zone))
        return false;
    if (zone > 0 && (uint64_t)zone > seconds)
        return false;
    *wall_us = (uint64_t)((int64_t)seconds - zone) * 1000000 + microseconds;
    return true;
}

bool audit_time_parse(
    const struct cli_command *command, const char *option, const char *text, struct audit_time *time)
{
    uint64_t ago_ms, now_us = clock_wall_us();

    if (text == NULL)
        return true;
    *time = (struct audit_time){0};
    if (parse_event(text, time) || parse_rfc3339(text, &time->wall_us))
        return true;
    if (number_parse_duration_ms(view_of_string(text), &ago_ms) == 0) {
        time->wall_us = now_us / 1000 > ago_ms ? now_us - ago_ms * 1000 : 0;
        return true;
    }
    cli_usage_error(command, "--%s: expected a time " AUDIT_TIME_HELP ", found '%s'", option, text);
    return false;
}

bool audit_time_find(struct journal *view, const struct audit_time *time, struct journal_position *position)
{
    int found = time->is_event ? journal_view_find_event(view, time->epoch, time->sequence, position)
                               : journal_view_find_time(view, time->wall_us, position);

    if (found == -1)
        fprintf(stderr, "mqward: the journal can't be read: %s\n", strerror(errno));
    else if (found == 1)
        fprintf(stderr, "mqward: the journal does not have event %016" PRIx64 "-%" PRIu64 "\n", time->epoch,
            time->sequence);
    return found == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward audit tail: events of the journal for people, one line each, as they come if wanted. What clients
 * chose is in them: nothing of it reaches a terminal as it is. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/number.h"
#include "proxy/cli/audit_print.h"
#include "proxy/cli/audit_source.h"
#include "proxy/cli/audit_where.h"
#include "proxy/cli/text.h"

#define TAIL_DEFAULT 10U
#define TAIL_MAX 1000000U
#define POLL_NS 100000000L
#define OTHER_MAX 200U /* bytes shown of what is no event */

enum {
    OPTION_CONFIG,
    OPTION_FOLLOW,
    OPTION_COUNT,
    OPTION_WHERE,
    OPTION_SEVERITY,
    OPTION_SINCE,
    OPTION_JSON,
    OPTION_COLOR
};
static const struct cli_option options[] = {
    [OPTION_CONFIG] = {"config", 'c', "FILE",
        "the journal of this mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    [OPTION_FOLLOW] = {"follow", 'f', NULL, "go on with what comes, over rotation and restarts"},
    [OPTION_COUNT] = {"lines", 'n', "N", "the last N events (default: 10; with --since all)"},
    [OPTION_WHERE] = {"where", 'w', "FIELD=VALUE...",
        "only events whose field is this, such as user.name=plc-* (also !=, and of numbers >=, <=, >, <)"},
    [OPTION_SEVERITY] = {"severity", 0, "LEVEL", "low, medium, high or critical: this and above"},
    [OPTION_SINCE] = {"since", 0, "TIME", "from then on: " AUDIT_TIME_HELP},
    [OPTION_JSON] = {"json", 0, NULL, "the lines as they are in the journal"},
    [OPTION_COLOR] = {"color", 0, "WHEN", "auto (default: on a terminal), always, never"},
    {NULL, 0, NULL, NULL},
};

struct tail {
    struct journal *view;
    struct audit_where where;
    bool json, color, terminal;
};

/* ---- one line ---- */

static void print_other(const struct tail *tail, struct view text)
{
    const bool cut = text.length > OTHER_MAX;

    printf("%sno line of mqward:%s ", tail->color ? "\033[1;31m" : "", tail->color ? "\033[0m" : "");
    text_print(stdout, view_of(text.data, cut ? OTHER_MAX : text.length));
    puts(cut ? "..." : "");
}

static void print_json(const struct tail *tail, struct view text)
{
    if (tail->terminal)
        text_print(stdout, text);
    else
        fwrite(text.data, 1, text.length, stdout);
    putchar('\n');
}

/* The event of a line of ours; NULL: it is none. */
static json_t *parse(enum line_read read, struct view text)
{
    struct record_head head;

    if (read != LINE_WHOLE || record_parse_head(text, &head) != 0)
        return NULL;
    return json_loadb((const char *)text.data, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

/* Whether it is to be shown; what is no event is, unless events are looked for. */
static bool is_wanted(const struct tail *tail, const json_t *event)
{
    return event == NULL ? tail->where.count == 0 && !tail->json : audit_where_holds(&tail->where, event);
}

static void show(const struct tail *tail, enum line_read read, struct view text)
{
    json_t *event = parse(read, text);

    if (is_wanted(tail, event)) {
        if (event == NULL)
            print_other(tail, text);
        else if (tail->json)
            print_json(tail, text);
        else
            audit_print_event(event, tail->color);
    }
    json_decref(event);
}

/* ---- the last ones ---- */

/* The last wanted lines of one segment go to ring, which keeps count of them. Returns how many there are; -1
 * (errno). */
static int64_t scan_segment(const struct tail *tail, const struct journal_segment *segment,
    struct journal_position from, struct journal_position *ring, size_t count)
{
    const struct journal_position start = {segment->epoch, segment->first, 0};
    struct journal_texts *texts =
        journal_texts_new(tail->view, journal_position_compare(start, from) < 0 ? from : start);
    struct journal_text line;
    enum line_read read;
    int64_t found = 0;

    while ((read = journal_texts_next(texts, &line)) == LINE_WHOLE || read == LINE_TOO_LONG) {
        if (line.start.epoch != segment->epoch || line.start.first != segment->first)
            break;
        json_t *event = tail->where.count == 0 && !tail->json ? NULL : parse(read, line.text);
        if (is_wanted(tail, event))
            ring[(size_t)found++ % count] = line.start;
        json_decref(event);
    }
    journal_texts_free(texts);
    return read == LINE_FAILED ? -1 : found;
}

/* From the newest segment back until there are count: *from moves there. False after a message. */
static bool find_last(const struct tail *tail, size_t count, struct journal_position *from)
{
    size_t segment_count, missing = count;
    const struct journal_segment *segments = journal_segments(tail->view, &segment_count);
    struct journal_position first = *from;
    struct journal_position *ring = count == 0 ? NULL : memory_calloc(count, sizeof(*ring));
    int64_t found = 0;

    *from = count == 0 ? journal_end(tail->view) : first;
    for (size_t i = segment_count; i-- > 0 && missing > 0 && found != -1;) {
        const struct journal_position end = {segments[i].epoch, segments[i].first, UINT64_MAX};
        if (journal_position_compare(end, first) < 0)
            break;
        found = scan_segment(tail, &segments[i], first, ring, missing);
        if (found >= (int64_t)missing) {
            *from = ring[(size_t)found % missing];
            missing = 0;
        } else if (found > 0) {
            missing -= (size_t)found;
        }
    }
    free(ring);
    if (found == -1)
        fprintf(stderr, "mqward: the journal can't be read: %s\n", strerror(errno));
    return found != -1;
}

/* ---- following ---- */

/* Where the lines have come to. Sequences have no gap: what is not there was deleted, by retention before it
 * could be shown or by somebody. */
struct progress {
    uint64_t epoch, sequence; /* of the last line of ours; 0: there is none yet */
    uint64_t others;          /* shown since, that were no lines: in the place of lost ones, perhaps */
};

static void tell_missing(const struct progress *progress, const struct record_head *head)
{
    const bool same = head->epoch == progress->epoch;
    const uint64_t expected = (same ? progress->sequence : 0) + 1;

    if (progress->epoch == 0 || head->epoch < progress->epoch || head->sequence < expected + progress->others)
        return;
    const uint64_t missing = head->sequence - expected - progress->others;
    if (missing == 0)
        return;
    fflush(stdout); /* in its place among the lines */
    fprintf(stderr, "mqward: %s%" PRIu64 " %s missing here, up to %016" PRIx64 "-%" PRIu64 "\n",
        same ? "" : "at least ", missing, missing == 1 ? "event is" : "events are", head->epoch,
        head->sequence - 1);
}

static void note_line(struct progress *progress, enum line_read read, struct view text)
{
    struct record_head head;

    if (read != LINE_WHOLE || record_parse_head(text, &head) != 0) {
        progress->others++;
        return;
    }
    tell_missing(progress, &head);
    *progress = (struct progress){.epoch = head.epoch, .sequence = head.sequence};
}

static int follow(const struct tail *tail, struct journal_position from, bool on)
{
    struct journal_texts *texts = journal_texts_new(tail->view, from);
    struct progress progress = {0};
    struct journal_text line;
    enum line_read read = LINE_END;

    while (!ferror(stdout)) {
        read = journal_texts_next(texts, &line);
        if (read == LINE_WHOLE || read == LINE_TOO_LONG) {
            note_line(&progress, read, line.text);
            show(tail, read, line.text);
            continue;
        }
        if (read == LINE_GONE)
            continue;
        if (read == LINE_FAILED || !on)
            break;
        fflush(stdout);
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        (void)journal_view_refresh(tail->view); /* if it fails now, then the next time */
    }
    if (read == LINE_FAILED)
        fprintf(stderr, "mqward: the journal can't be read: %s\n", strerror(errno));
    journal_texts_free(texts);
    return read == LINE_FAILED ? CLI_USAGE : CLI_OK;
}

/* ---- the command ---- */

/* False after a message. */
static bool parse_color(const struct cli_command *command, const char *when, bool *color)
{
    const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

    *color = isatty(STDOUT_FILENO) && (none == NULL || none[0] == '\0') &&
             (terminal == NULL || strcmp(terminal, "dumb") != 0);
    if (when == NULL || strcmp(when, "auto") == 0)
        return true;
    *color = strcmp(when, "always") == 0;
    if (*color || strcmp(when, "never") == 0)
        return true;
    cli_usage_error(command, "--color: expected auto, always or never, found '%s'", when);
    return false;
}

static int tail_directory(
    struct tail *tail, const char *directory, const struct audit_time *since, size_t count, bool on)
{
    struct journal_position from = JOURNAL_START;
    char error[512];
    size_t segments;
    int status = CLI_USAGE;

    tail->view = journal_view_open(directory, error, sizeof(error));
    if (tail->view == NULL) {
        text_complain("%s", error);
        return CLI_USAGE;
    }
    (void)journal_segments(tail->view, &segments);
    if (segments == 0)
        text_complain("%s: there is no journal in it%s", directory, on ? " yet" : "");
    if ((since == NULL || audit_time_find(tail->view, since, &from)) &&
        (count == SIZE_MAX || find_last(tail, count, &from)))
        status = follow(tail, from, on);
    journal_close(tail->view);
    return status;
}

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct tail tail = {.json = values[OPTION_JSON] != NULL, .terminal = isatty(STDOUT_FILENO)};
    uint64_t count = values[OPTION_SINCE] == NULL ? TAIL_DEFAULT : SIZE_MAX;
    struct audit_time since;
    struct audit_source source;

    if (argc > 1 || (argc == 1 && values[OPTION_CONFIG] != NULL))
        return cli_usage_error(command, "unexpected argument '%s'", argv[argc - 1]);
    if (values[OPTION_COUNT] != NULL &&
        (number_parse(view_of_string(values[OPTION_COUNT]), &count) != 0 || count > TAIL_MAX))
        return cli_usage_error(
            command, "--lines: expected a number up to %u, found '%s'", TAIL_MAX, values[OPTION_COUNT]);
    if (!parse_color(command, values[OPTION_COLOR], &tail.color) ||
        !audit_time_parse(command, "since", values[OPTION_SINCE], &since) ||
        audit_where_parse(&tail.where, command, values[OPTION_WHERE], values[OPTION_SEVERITY]) != CLI_OK)
        return CLI_USAGE;
    int status = audit_source_open(&source, values[OPTION_CONFIG], argc == 1 ? argv[0] : NULL, false);
    if (status == CLI_OK)
        status = tail_directory(&tail, source.directory, values[OPTION_SINCE] == NULL ? NULL : &since,
            (size_t)count, values[OPTION_FOLLOW] != NULL);
    audit_source_close(&source);
    audit_where_free(&tail.where);
    return status;
}

const struct cli_command cli_audit_tail = {.name = "audit tail",
    .arguments = " [DIR]",
    .summary = "show the latest events of the journal, one readable line each",
    .options = options,
    .run = run,
    .options_anywhere = true};

/* SPDX-License-Identifier: Apache-2.0 */
/* mqward audit replay: delivers a part of the journal to a sink once more, beside the daemon. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/number.h"
#include "exporters/sink.h"
#include "exporters/sink_replay.h"
#include "proxy/cli/audit_source.h"
#include "proxy/cli/text.h"
#include "proxy/server_internal.h"

#define PATIENCE_MS 30000U

enum { OPTION_CONFIG, OPTION_SINK, OPTION_SINCE, OPTION_UNTIL, OPTION_PATIENCE, OPTION_DRY };
static const struct cli_option options[] = {
    [OPTION_CONFIG] = {"config", 'c', "FILE", "mqward.yaml (default: /etc/mqward/mqward.yaml)"},
    [OPTION_SINK] = {"sink", 0, "NAME", "to this sink of the configuration"},
    [OPTION_SINCE] = {"since", 0, "TIME", "what was sealed from then on (default: all): " AUDIT_TIME_HELP},
    [OPTION_UNTIL] = {"until", 0, "TIME", "what was sealed before; an event.id itself still belongs to it"},
    [OPTION_PATIENCE] = {"patience", 0, "TIME", "gives up after so long without an answer (default: 30s)"},
    [OPTION_DRY] = {"dry-run", 0, NULL, "only says how much it would be"},
    {NULL, 0, NULL, NULL},
};

struct part {
    struct journal_position from;
    uint64_t lines, bytes;
};

/* ---- which part ---- */

/* The view ends there; an event that is named is the last one in it. */
static void cut(struct journal *view, const struct audit_time *until, struct journal_position end)
{
    struct journal_line line;

    if (until->is_event) {
        struct journal_reader *reader = journal_reader_new(view, end);
        if (journal_reader_next(reader, &line) == JOURNAL_LINE)
            end = line.end;
        journal_reader_free(reader);
    }
    journal_view_cut(view, end);
}

/* Where the part begins; the view ends where it ends. NULL: from the start, to the end. False after a
 * message: a part that ends before it begins is a slip, and not a part without events. */
static bool find_part(struct journal *view, const struct audit_time *since, const struct audit_time *until,
    struct journal_position *from)
{
    struct journal_position end;

    if (since != NULL && !audit_time_find(view, since, from))
        return false;
    if (until == NULL)
        return true;
    if (!audit_time_find(view, until, &end))
        return false;
    const bool times = since != NULL && !since->is_event && !until->is_event;
    if (journal_position_compare(*from, end) > 0 || (times && since->wall_us > until->wall_us)) {
        text_complain("--until is before --since");
        return false;
    }
    cut(view, until, end);
    return true;
}

static void measure(struct journal *view, struct part *part)
{
    struct journal_reader *reader = journal_reader_new(view, part->from);
    struct journal_line line;
    enum journal_read read;

    while ((read = journal_reader_next(reader, &line)) == JOURNAL_LINE || read == JOURNAL_DAMAGED) {
        part->lines += read == JOURNAL_LINE;
        part->bytes += read == JOURNAL_LINE ? line.text.length + 1 : 0;
    }
    journal_reader_free(reader);
}

/* ---- delivery ---- */

static void on_progress(void *argument, uint64_t delivered, const char *trouble)
{
    const struct part *part = argument;

    fprintf(stderr, "\r\033[K%" PRIu64 " of %" PRIu64 " delivered  ", delivered, part->lines);
    text_print(stderr, view_of_string(trouble));
}

static int deliver(
    struct journal *view, struct part *part, const struct exporter_sink *row, uint64_t patience_ms)
{
    struct sink_replay_result result;
    char error[512] = "";
    const bool terminal = isatty(STDERR_FILENO);
    const struct sink_replay replay = {.sink = row,
        .view = view,
        .from = part->from,
        .patience_ms = patience_ms,
        .progress = terminal ? on_progress : NULL,
        .argument = part};

    if (sink_replay_run(&replay, &result, error, sizeof(error)) == -1) {
        text_complain("%s", error);
        return CLI_FINDINGS;
    }
    if (terminal)
        fputc('\n', stderr);
    /* Not to standard output: that may be the sink. */
    fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " events delivered\n", row->name, result.delivered,
        part->lines);
    if (result.damaged > 0)
        fprintf(stderr, "%s: skipped what is no line of the journal\n", row->name);
    if (!result.complete) {
        const bool seconds = patience_ms % 1000 == 0;
        text_complain("sink '%s' gave no answer for %" PRIu64 " %s: %s", row->name,
            seconds ? patience_ms / 1000 : patience_ms, seconds ? "s" : "ms",
            result.trouble[0] == '\0' ? "no trouble reported" : result.trouble);
    }
    return result.complete && result.damaged == 0 ? CLI_OK : CLI_FINDINGS;
}

static int replay_part(struct journal *view, const struct audit_source *source, const char *const *values,
    const struct audit_time *since, const struct audit_time *until, uint64_t patience_ms)
{
    struct part part = {.from = JOURNAL_START};
    const struct config_audit *audit = &source->config->audit;
    size_t index = 0;

    while (index < audit->sink_count && strcmp(audit->sinks[index].name, values[OPTION_SINK]) != 0)
        index++;
    if (index == audit->sink_count) {
        fprintf(stderr, "mqward: the configuration has no sink '%s'\n", values[OPTION_SINK]);
        return CLI_USAGE;
    }
    if (!find_part(view, values[OPTION_SINCE] == NULL ? NULL : since,
            values[OPTION_UNTIL] == NULL ? NULL : until, &part.from))
        return CLI_USAGE;
    measure(view, &part);
    if (values[OPTION_DRY] != NULL) {
        printf("%s: %" PRIu64 " events, %" PRIu64 " bytes\n", values[OPTION_SINK], part.lines, part.bytes);
        return CLI_OK;
    }
    struct server_sinks *sinks = server_sinks_new(audit);
    int status =
        sinks == NULL ? CLI_USAGE : deliver(view, &part, &server_sinks_rows(sinks)[index], patience_ms);
    server_sinks_free(sinks);
    return status;
}

/* ---- the command ---- */

static int run(const struct cli_command *command, const char *const *values, int argc, char **argv)
{
    struct audit_time since, until;
    struct audit_source source;
    char error[512];
    uint64_t patience_ms = PATIENCE_MS;

    if (argc > 0)
        return cli_usage_error(command, "unexpected argument '%s'", argv[0]);
    if (values[OPTION_SINK] == NULL)
        return cli_usage_error(command, "to which sink? --sink NAME says so");
    if (!audit_time_parse(command, "since", values[OPTION_SINCE], &since) ||
        !audit_time_parse(command, "until", values[OPTION_UNTIL], &until))
        return CLI_USAGE;
    if (values[OPTION_PATIENCE] != NULL &&
        (number_parse_duration_ms(view_of_string(values[OPTION_PATIENCE]), &patience_ms) != 0 ||
            patience_ms == 0))
        return cli_usage_error(
            command, "--patience: expected a time such as 30s, found '%s'", values[OPTION_PATIENCE]);
    int status = audit_source_open(&source, values[OPTION_CONFIG], NULL, true);
    if (status == CLI_OK) {
        struct journal *view = journal_view_open(source.directory, error, sizeof(error));
        log_configure(LOG_ERROR, LOG_TEXT, 2); /* what a sink says is told at the end */
        signal(SIGPIPE, SIG_IGN);
        if (view == NULL)
            text_complain("%s", error);
        status = view == NULL ? CLI_USAGE : replay_part(view, &source, values, &since, &until, patience_ms);
        journal_close(view);
    }
    audit_source_close(&source);
    return status;
}

const struct cli_command cli_audit_replay = {.name = "audit replay",
    .arguments = "",
    .summary = "deliver a part of the journal to a sink once more",
    .options = options,
    .run = run};

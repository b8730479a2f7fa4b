/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the lines that are verified are read: from the journal, files, standard input, or a sink. Called
 * by audit_verify.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/secret.h"
#include "exporters/chain_state.h"
#include "exporters/record.h"
#include "exporters/redis_readback.h"
#include "exporters/sink.h"
#include "exporters/sinks.h"
#include "proxy/cli/audit_verify.h"
#include "proxy/cli/text.h"
#include "proxy/server_internal.h"

#define HALF_LOOKS 40
#define HALF_PAUSE_NS 50000000L

/* ---- lines ---- */

static void show_progress(struct verify_run *run, bool last)
{
    uint64_t lines = verify_summary(run->verify)->lines;

    if (run->progress && (last || lines % 100000 == 0) && lines >= 100000)
        fprintf(stderr, "\r%" PRIu64 " lines%s", lines, last ? "\n" : "");
}

static bool is_stream_id(struct view text)
{
    size_t digits = 0, dash = 0;

    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '-' && dash == 0 && i > 0)
            dash = i;
        else if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        else
            digits++;
    }
    return dash > 0 && dash + 1 < text.length && digits <= 40;
}

/* A word that no reader takes for a document. */
static bool is_field(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t byte = text.data[i];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                memchr("_-.:@/", byte, 6) != NULL))
            return false;
    }
    return text.length > 0 && text.length <= 256;
}

/* True if text is no line of the trail, and may stand between two. Nothing that has a brace in it may:
 * another reader could find a document there. */
static bool is_around(struct verify_run *run, struct view text)
{
    if (memchr(text.data, '{', text.length) != NULL) {
        run->shape = SHAPE_NONE;
        return false;
    }
    if (run->shape == SHAPE_NONE && is_stream_id(text))
        run->shape = SHAPE_ID;
    else if (run->shape == SHAPE_ID && is_field(text))
        run->shape = SHAPE_FIELD;
    else if (run->values[VERIFY_OPTION_SKIP] == NULL)
        return false;
    run->report.around++;
    return true;
}

/* A line as mqward writes them that names another host. Whatever only looks like one is verified, and found.
 */
static bool is_others(const struct verify_run *run, struct view text)
{
    static const char member[] = "\"hostname\":\"";
    struct record_head head;
    struct chain_link link;

    return run->host != NULL && record_parse_head(text, &head) == 0 &&
           chain_parse(text, &link) == CHAIN_LINKED &&
           memmem(text.data, text.length, member, sizeof(member) - 1) != NULL &&
           memmem(text.data, text.length, run->host, strlen(run->host)) == NULL;
}

static void take_line(struct verify_run *run, const char *name, uint64_t number, struct view text)
{
    if (is_others(run, text)) {
        run->report.others++;
        return;
    }
    verify_line(run->verify, name, number, text);
    show_progress(run, false);
}

static void take_copy(struct verify_run *run, const char *name, uint64_t number, struct view text)
{
    if (!is_around(run, text))
        take_line(run, name, number, text);
}

/* ---- where they come from ---- */

static int read_failed(struct verify_run *run, const char *name)
{
    text_complain("%s can't be read: %s", name, strerror(errno));
    run->report.unreadable = true;
    return -1;
}

static int read_descriptor(struct verify_run *run, const char *name, int descriptor)
{
    struct line_reader reader;
    struct view text;
    enum line_read read;

    run->shape = SHAPE_NONE;
    line_reader_open(&reader, descriptor);
    while ((read = line_reader_next(&reader, &text)) == LINE_WHOLE || read == LINE_TOO_LONG) {
        if (read == LINE_WHOLE)
            take_copy(run, name, reader.number, text);
        else
            verify_no_line(run->verify, name, reader.number, "it is longer than any line of mqward");
    }
    if (read == LINE_END && line_reader_rest(&reader).length > 0)
        take_copy(run, name, reader.number + 1, line_reader_rest(&reader));
    line_reader_close(&reader);
    return read == LINE_END ? 0 : read_failed(run, name);
}

static int read_file(struct verify_run *run, const char *path)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    if (descriptor == -1)
        return read_failed(run, path);
    int status = read_descriptor(run, path, descriptor);
    close(descriptor);
    return status;
}

/* Retention deletes from the front: a file that is gone while an older one is still there was deleted by
 * somebody else, and its lines are missing. */
static bool is_retention(struct journal *view, struct journal_position gone)
{
    size_t count;

    if (journal_view_refresh(view) == -1)
        return false;
    const struct journal_segment *segments = journal_segments(view, &count);
    return count == 0 || journal_position_compare(
                             (struct journal_position){segments[0].epoch, segments[0].first, 0}, gone) > 0;
}

/* Half a line at the end is being written, and will have an end soon; or nobody writes it any more. */
static enum line_read next_text(struct journal_texts *texts, struct journal_text *line)
{
    enum line_read read = journal_texts_next(texts, line);

    for (int i = 0; read == LINE_END && journal_texts_rest(texts).length > 0 && i < HALF_LOOKS; i++) {
        nanosleep(&(struct timespec){.tv_nsec = HALF_PAUSE_NS}, NULL);
        read = journal_texts_next(texts, line);
    }
    return read;
}

static void on_stray(void *argument, const char *name)
{
    struct verify_run *run = argument;

    verify_stray(run->verify, name,
        "it has the name of a segment, or nearly, and is none: it was not read, but others may read it");
}

static void read_texts(struct verify_run *run, struct journal *view)
{
    struct journal_texts *texts = journal_texts_new(view, JOURNAL_START);
    struct journal_text line = {.number = 0};
    enum line_read read;

    while ((read = next_text(texts, &line)) != LINE_END && read != LINE_FAILED) {
        if (read == LINE_WHOLE)
            take_line(run, line.name, line.number, line.text);
        else if (read == LINE_TOO_LONG)
            verify_no_line(run->verify, line.name, line.number, "it is longer than any line of mqward");
        else if (is_retention(view, line.start)) {
            run->report.gone++;
            verify_gone(run->verify);
        }
    }
    if (read == LINE_FAILED)
        read_failed(run, run->name);
    run->report.half_bytes = journal_texts_rest(texts).length;
    if (run->report.half_bytes > 0)
        verify_no_line(run->verify, line.name, line.number + 1,
            "it has no end: mqward died while it wrote it, or somebody else did");
    journal_texts_free(texts);
    if (journal_view_stray(view, on_stray, run) == -1)
        read_failed(run, run->name);
}

static void read_journal(struct verify_run *run, const char *path)
{
    char error[512] = "";
    struct journal *view = journal_view_open(path, error, sizeof(error));

    run->name = path;
    if (view != NULL)
        read_texts(run, view);
    else {
        text_complain("%s", error);
        run->report.unreadable = true;
    }
    journal_close(view);
}

static enum chain_state_found read_state(struct verify_run *run, const char *path, struct chain_point *point)
{
    char error[512] = "";
    enum chain_state_found found = chain_state_read(path, point, error, sizeof(error));

    if (found == CHAIN_STATE_FAILED) {
        text_complain("%s", error);
        run->report.unreadable = true;
    }
    return found;
}

/* The state is read first: what it knows of must then be in the journal. And it is read once more: then it
 * must know of the journal's last start. */
static void read_directory(struct verify_run *run, const char *path)
{
    char *state_path = memory_format("%s/" CHAIN_STATE_NAME, path);
    const bool wanted = run->values[VERIFY_OPTION_NO_STATE] == NULL;
    struct chain_point point, again;
    enum chain_state_found found = wanted ? read_state(run, state_path, &point) : CHAIN_STATE_MISSING;

    read_journal(run, path);
    run->report.state = found;
    if (found == CHAIN_STATE_FOUND) {
        verify_state(run->verify, state_path, &point);
        if (read_state(run, state_path, &again) == CHAIN_STATE_FOUND)
            verify_state_again(run->verify, state_path, &again);
        secret_wipe(&again, sizeof(again));
    } else if (wanted && found != CHAIN_STATE_FAILED) {
        verify_no_state(run->verify, state_path,
            found == CHAIN_STATE_DAMAGED
                ? "it is damaged: lines cut off at the end are not found"
                : "it is not there: lines cut off at the end are not found (--no-state if it can't be)");
    }
    secret_wipe(&point, sizeof(point));
    free(state_path);
}

static void on_entry(void *argument, const char *id, uint64_t number, struct view line)
{
    struct verify_run *run = argument;
    char name[128];

    snprintf(name, sizeof(name), "%.60s/%.60s", run->name, id);
    if (line.data == NULL)
        verify_no_line(run->verify, name, number, "it is an entry without the sink's field");
    else
        take_line(run, name, number, line);
}

static int read_sink(struct verify_run *run, const struct audit_source *source)
{
    const struct config_audit *audit = &source->config->audit;
    struct server_sinks *sinks = server_sinks_new(audit);
    const struct exporter_sink *row = NULL;
    char error[512] = "";
    int status = -1;

    for (size_t i = 0; sinks != NULL && i < audit->sink_count; i++)
        row = strcmp(server_sinks_rows(sinks)[i].name, run->values[VERIFY_OPTION_SINK]) == 0
                  ? &server_sinks_rows(sinks)[i]
                  : row;
    if (sinks == NULL)
        ; /* what was wrong is in the log */
    else if (row == NULL)
        text_complain("the configuration has no sink '%s'", run->values[VERIFY_OPTION_SINK]);
    else if (row->type != &sink_redis)
        text_complain("sink '%s' is of kind %s: only Redis streams and lists can be read back", row->name,
            row->type->name);
    else {
        run->name = ((const struct exporter_redis *)row->settings)->key;
        status = redis_readback(row->settings, on_entry, run, error, sizeof(error));
        if (status == -1)
            text_complain("sink '%s': %s", row->name, error); /* the server's words may be in it */
    }
    server_sinks_free(sinks);
    run->report.unreadable |= status == -1;
    return status;
}

void audit_verify_read(struct verify_run *run, const struct audit_source *source, int argc, char **argv)
{
    if (run->input == INPUT_SINK)
        read_sink(run, source);
    else if (run->input == INPUT_JOURNAL)
        read_directory(run, source->directory);
    for (int i = 0; i < argc && run->input == INPUT_FILES; i++) {
        if (strcmp(argv[i], "-") == 0)
            read_descriptor(run, "standard input", STDIN_FILENO);
        else
            read_file(run, argv[i]);
    }
    show_progress(run, true);
}

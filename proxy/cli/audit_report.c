/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the telling of what a verification found. Called by audit_verify.c. Names and texts may come from the
 * lines: nothing of them reaches a terminal as it is. */
#include "proxy/cli/audit_report.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "proxy/cli/text.h"

#define ID_MAX 40

static const char *id_text(uint64_t epoch, uint64_t sequence, char text[ID_MAX])
{
    snprintf(text, ID_MAX, "%016" PRIx64 "-%" PRIu64, epoch, sequence);
    return text;
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* ---- for people ---- */

static bool is_streak(const struct verify_finding *finding)
{
    static const bool streaks[VERIFY_KIND_COUNT] = {[VERIFY_CHANGED] = true,
        [VERIFY_INSERTED] = true,
        [VERIFY_REPEATED] = true,
        [VERIFY_ORDER] = true,
        [VERIFY_KEY_REUSED] = true,
        [VERIFY_UNCHAINED] = true,
        [VERIFY_NO_LINE] = true};

    return finding->count > 1 && streaks[finding->kind];
}

static void print_finding(const struct verify_finding *finding)
{
    char id[ID_MAX];

    text_print(stdout, view_of_string(finding->name));
    if (finding->line > 0)
        printf(":%" PRIu64, finding->line);
    if (finding->sequence > 0)
        printf(": %s", id_text(finding->epoch, finding->sequence, id));
    printf(": %s: ", verify_kind_name(finding->kind));
    text_print(stdout, view_of_string(finding->text));
    if (is_streak(finding))
        printf(
            "; and so for %" PRIu64 " more line%s behind it", finding->count - 1, plural(finding->count - 1));
    putchar('\n');
}

static void print_lines(const struct audit_report *report, const struct verify_summary *summary)
{
    char first[CLOCK_TIMESTAMP_LENGTH + 1], last[CLOCK_TIMESTAMP_LENGTH + 1];

    printf("%" PRIu64 " line%s, %" PRIu64 " start%s, %" PRIu64 " checkpoint%s", summary->lines,
        plural(summary->lines), summary->starts, plural(summary->starts), summary->checkpoints,
        plural(summary->checkpoints));
    if (summary->starts > 0) {
        clock_format_timestamp(summary->first_us, first);
        clock_format_timestamp(summary->last_us, last);
        printf(", sealed from %s to %s", first, last);
    }
    putchar('\n');
    if (summary->unchained > 0)
        printf("%" PRIu64 " line%s without a link, said to be older than the chain: they prove nothing\n",
            summary->unchained, plural(summary->unchained));
    if (summary->repeats > 0)
        printf("%" PRIu64 " line%s more than once, unchanged\n", summary->repeats, plural(summary->repeats));
    if (summary->far > 0)
        printf("%" PRIu64
               " of them too far behind the first time for being compared with it: their own hashes hold\n",
            summary->far);
    if (summary->late > 0)
        printf("%" PRIu64 " line%s behind their place\n", summary->late, plural(summary->late));
    if (summary->skipped > 0)
        printf("%" PRIu64 " line%s of a chain with another key: not checked\n", summary->skipped,
            plural(summary->skipped));
    if (report->others > 0)
        printf("%" PRIu64 " line%s of other hosts: not looked at\n", report->others, plural(report->others));
    if (report->around > 0)
        printf("%" PRIu64 " text%s between the lines skipped\n", report->around, plural(report->around));
    if (summary->gaps > 0)
        printf("%" PRIu64 " declared gap%s, %" PRIu64 " event%s lost\n", summary->gaps, plural(summary->gaps),
            summary->lost, plural(summary->lost));
}

static void print_ends(const struct audit_report *report, const struct verify_summary *summary)
{
    char id[ID_MAX], time[CLOCK_TIMESTAMP_LENGTH + 1];

    if (summary->starts > 0 && summary->whole)
        printf("begins with the first line of its chain\n");
    else if (summary->starts > 0)
        printf("begins with %s: whether what was in front of it went by retention can't be told from here\n",
            id_text(summary->first_epoch, summary->first_sequence, id));
    if (summary->starts > 0)
        printf("ends with %s\n", id_text(summary->last_epoch, summary->last_sequence, id));
    if (summary->has_checkpoint) {
        clock_format_timestamp(summary->checkpoint_us, time);
        printf("%" PRIu64 " line%s behind the last checkpoint, %s of %s\n", summary->behind,
            plural(summary->behind), id_text(summary->checkpoint_epoch, summary->checkpoint_sequence, id),
            time);
    } else if (summary->starts > 0) {
        printf("no checkpoint\n");
    }
    if (report->half_bytes > 0)
        printf("%" PRIu64 " bytes of a line that has no end\n", report->half_bytes);
    if (report->gone > 0)
        printf("%" PRIu64 " file%s deleted by retention while the journal was read\n", report->gone,
            plural(report->gone));
}

/* What was not checked, so that nobody takes silence for an answer. */
static void print_warnings(const struct audit_report *report)
{
    if (report->key == AUDIT_KEY_NONE)
        fprintf(stderr,
            "WARNING: without the verification key (--key) changed lines are NOT found: only the order of "
            "the lines, their links and the checkpoints were looked at\n");
    if (report->key == AUDIT_KEY_BESIDE)
        fprintf(stderr,
            "warning: the verification key lies beside the journal: whoever can change one can use the "
            "other; move it away\n");
    if (report->public_key == AUDIT_KEY_NONE)
        fprintf(stderr,
            "WARNING: without the checkpoints' public key (--public-key) their signatures were NOT checked: "
            "a tail that was rewritten with the proxy's present key is not found\n");
    if (report->public_key == AUDIT_KEY_BESIDE)
        fprintf(stderr,
            "warning: the public key of the checkpoints was taken from beside the journal, where it can be "
            "replaced: give a copy that you trust with --public-key\n");
    if (report->journal && report->state != CHAIN_STATE_FOUND)
        fprintf(stderr, "WARNING: without " CHAIN_STATE_NAME " lines cut off at the end are NOT found\n");
}

static void print_verdict(const struct audit_report *report, const struct verify_summary *summary)
{
    if (summary->findings > 0)
        printf("%" PRIu64 " finding%s%s\n", summary->findings, plural(summary->findings),
            report->unreadable ? " in what could be read: it was not all" : "");
    else if (report->unreadable)
        printf("not all of it could be read: nothing can be said of the whole\n");
    else
        printf("%s\n", report->key == AUDIT_KEY_NONE || report->public_key == AUDIT_KEY_NONE
                           ? "nothing found, as far as it could be checked"
                           : "the trail holds");
}

void audit_report_print(const struct audit_report *report, const struct verify *verify)
{
    const struct verify_summary *summary = verify_summary(verify);
    const struct verify_finding *finding;
    size_t index = 0;
    uint64_t shown = 0;

    while ((finding = verify_next_finding(verify, &index)) != NULL) {
        print_finding(finding);
        shown++;
    }
    if (summary->findings > shown)
        printf("... and %" PRIu64 " findings more\n", summary->findings - shown);
    print_lines(report, summary);
    print_ends(report, summary);
    print_verdict(report, summary);
    fflush(stdout);
    print_warnings(report);
}

/* ---- for programs ---- */

static void write_id(struct json *json, const char *key, uint64_t epoch, uint64_t sequence)
{
    char id[ID_MAX];

    if (sequence == 0)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(id_text(epoch, sequence, id)));
}

static void write_time(struct json *json, const char *key, uint64_t wall_us)
{
    char time[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp(wall_us, time);
    if (wall_us == 0)
        json_write_null(json, key);
    else
        json_write_string(json, key, view_of_string(time));
}

static void write_findings(struct json *json, const struct verify *verify)
{
    const struct verify_finding *finding;
    size_t index = 0;

    json_write_array_begin(json, "list");
    while ((finding = verify_next_finding(verify, &index)) != NULL) {
        json_write_object_begin(json, NULL);
        json_write_string(json, "kind", view_of_string(verify_kind_name(finding->kind)));
        json_write_string(json, "file", view_of_string(finding->name));
        json_write_unsigned(json, "line", finding->line);
        write_id(json, "event_id", finding->epoch, finding->sequence);
        json_write_unsigned(json, "count", finding->count);
        json_write_string(json, "text", view_of_string(finding->text));
        json_write_object_end(json);
    }
    json_write_array_end(json);
}

static void write_summary(
    struct json *json, const struct audit_report *report, const struct verify_summary *summary)
{
    static const char *const keys[] = {"none", "beside the journal", "given"};

    json_write_string(json, "key", view_of_string(keys[report->key]));
    json_write_string(json, "public_key", view_of_string(keys[report->public_key]));
    json_write_boolean(json, "state", report->journal && report->state == CHAIN_STATE_FOUND);
    json_write_unsigned(json, "lines", summary->lines);
    json_write_unsigned(json, "starts", summary->starts);
    json_write_unsigned(json, "checkpoints", summary->checkpoints);
    json_write_unsigned(json, "unchained", summary->unchained);
    json_write_unsigned(json, "repeats", summary->repeats);
    json_write_unsigned(json, "repeats_not_compared", summary->far);
    json_write_unsigned(json, "late", summary->late);
    json_write_unsigned(json, "skipped", summary->skipped);
    json_write_unsigned(json, "other_hosts", report->others);
    json_write_unsigned(json, "texts_between", report->around);
    json_write_unsigned(json, "deleted_meanwhile", report->gone);
    json_write_unsigned(json, "half_line_bytes", report->half_bytes);
    json_write_unsigned(json, "gaps", summary->gaps);
    json_write_unsigned(json, "lost", summary->lost);
    json_write_boolean(json, "whole", summary->whole);
    write_id(json, "first", summary->first_epoch, summary->first_sequence);
    write_id(json, "last", summary->last_epoch, summary->last_sequence);
    write_time(json, "from", summary->first_us);
    write_time(json, "to", summary->last_us);
    write_id(json, "last_checkpoint", summary->checkpoint_epoch, summary->checkpoint_sequence);
    json_write_unsigned(json, "behind_last_checkpoint", summary->behind);
}

void audit_report_print_json(const struct audit_report *report, const struct verify *verify)
{
    const struct verify_summary *summary = verify_summary(verify);
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_boolean(&json, "ok", summary->findings == 0 && !report->unreadable);
    json_write_boolean(&json, "unreadable", report->unreadable);
    json_write_unsigned(&json, "findings", summary->findings);
    write_findings(&json, verify);
    write_summary(&json, report, summary);
    json_write_object_end(&json);
    printf("%.*s\n", VIEW_ARGS(buffer_view(&out)));
    buffer_release(&out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what lines say, as far as verification reads it: checkpoints, and gaps that mqward declares. Called by
 * the other files of the verification, for lines whose hash was found right. */
#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base/clock.h"
#include "exporters/checkpoint.h"
#include "exporters/verify_private.h"

#define SIGNATURE_TEXT 88 /* of 64 bytes, base64 */
#define DETAIL_MAX 160
/* What a trail may be without a checkpoint when nothing says how often there is one: the default number of
 * lines, the longest time (config_chain.c). */
#define CHECKPOINT_EVENTS 10000U
#define CHECKPOINT_SECONDS (24U * 3600)

/* The quotes within a string have backslashes: only the member itself matches. */
static bool line_is_gap(struct view line)
{
    static const char member[] = "\"action\":\"audit-gap\"";

    return memmem(line.data, line.length, member, sizeof(member) - 1) != NULL;
}

/* Exactly what checkpoint_sign() made, written one way only. */
static bool parse_signature(const json_t *text, uint8_t signature[CHECKPOINT_SIGNATURE_SIZE])
{
    uint8_t decoded[SIGNATURE_TEXT / 4 * 3], again[SIGNATURE_TEXT + 1];

    if (json_string_length(text) != SIGNATURE_TEXT ||
        EVP_DecodeBlock(decoded, (const unsigned char *)json_string_value(text), SIGNATURE_TEXT) !=
            (int)sizeof(decoded))
        return false;
    memcpy(signature, decoded, CHECKPOINT_SIGNATURE_SIZE);
    EVP_EncodeBlock(again, signature, CHECKPOINT_SIGNATURE_SIZE);
    return memcmp(again, json_string_value(text), SIGNATURE_TEXT) == 0;
}

static bool parse_count(const json_t *value, uint64_t *count)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *count = (uint64_t)json_integer_value(value);
    return true;
}

static bool parse_checkpoint(const json_t *document, const struct verify_input *input,
    struct checkpoint *checkpoint, uint8_t signature[CHECKPOINT_SIGNATURE_SIZE])
{
    const json_t *member = json_object_get(json_object_get(document, "mqward"), "checkpoint");
    const json_t *previous = json_object_get(member, "previous");
    const json_t *interval = json_object_get(member, "interval");
    const json_t *timestamp = json_object_get(document, "@timestamp");

    *checkpoint = (struct checkpoint){
        .epoch = input->link.epoch, .start = input->link.start, .sequence = input->head.sequence};
    memcpy(checkpoint->prev, input->link.prev, sizeof(checkpoint->prev));
    if (previous != NULL && json_string_length(previous) >= sizeof(checkpoint->previous))
        return false;
    if (previous != NULL)
        snprintf(checkpoint->previous, sizeof(checkpoint->previous), "%s", json_string_value(previous));
    return json_is_object(member) && (previous == NULL || json_is_string(previous)) &&
           parse_count(json_object_get(member, "events"), &checkpoint->events) &&
           parse_count(json_object_get(interval, "events"), &checkpoint->interval_events) &&
           parse_count(json_object_get(interval, "seconds"), &checkpoint->interval_seconds) &&
           json_is_string(timestamp) &&
           clock_parse_timestamp(view_of(json_string_value(timestamp), json_string_length(timestamp)),
               &checkpoint->wall_us) == 0 &&
           json_is_string(json_object_get(member, "key")) &&
           parse_signature(json_object_get(member, "signature"), signature);
}

/* Its signature is right, as far as that can be told. */
static bool checkpoint_is_signed(struct verify *verify, const struct verify_input *input,
    const json_t *document, struct checkpoint *checkpoint)
{
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE];
    const struct checkpoint_public *key = NULL;
    const json_t *named =
        json_object_get(json_object_get(json_object_get(document, "mqward"), "checkpoint"), "key");

    if (!parse_checkpoint(document, input, checkpoint, signature)) {
        verify_report(
            verify, VERIFY_CHECKPOINT_FORGED, input, 1, "it is no checkpoint as mqward writes them");
        return false;
    }
    if (verify->options.public_key_count == 0)
        return true;
    for (size_t i = 0; i < verify->options.public_key_count; i++) {
        if (strcmp(json_string_value(named), checkpoint_public_id(verify->options.public_keys[i])) == 0)
            key = verify->options.public_keys[i];
    }
    if (key == NULL) {
        verify_report(verify, VERIFY_CHECKPOINT_FORGED, input, 1,
            "it is signed with another key than %s given: forged, or the proxy has a new key",
            verify->options.public_key_count == 1 ? "the one" : "those");
        return false;
    }
    if (!checkpoint_verify(key, checkpoint, signature)) {
        verify_report(verify, VERIFY_CHECKPOINT_FORGED, input, 1,
            "its signature does not fit: whoever sealed this line did not have the signing key");
        return false;
    }
    return true;
}

/* It must follow on the checkpoint and the lines that were seen. */
static void checkpoint_compare(
    struct verify *verify, const struct verify_input *input, const struct checkpoint *checkpoint)
{
    const struct verify_checkpoints *seen = &verify->checkpoints;
    char expected[CHECKPOINT_PREVIOUS_MAX] = "";

    if (!seen->known && seen->since > checkpoint->events)
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, input, 1,
            "it says that %" PRIu64 " lines are between it and the one before; %" PRIu64
            " are in front of it, and no other",
            checkpoint->events, seen->since);
    if (!seen->known || seen->broken)
        return;
    if (seen->sequence != 0)
        snprintf(expected, sizeof(expected), "%016" PRIx64 "-%" PRIu64, seen->epoch, seen->sequence);
    if (strcmp(expected, checkpoint->previous) != 0)
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, input, 1,
            "it follows on checkpoint %s, but the last one that was seen is %s",
            checkpoint->previous[0] == '\0' ? "(none)" : checkpoint->previous,
            expected[0] == '\0' ? "(none)" : expected);
    else if (checkpoint->events != seen->since)
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, input, 1,
            "it says that %" PRIu64 " lines are between it and the one before; there are %" PRIu64,
            checkpoint->events, seen->since);
}

/* Behind all others in the order of the chain, wherever it stands. */
static void checkpoint_note(struct verify *verify, const struct verify_input *input)
{
    struct verify_summary *summary = &verify->summary;
    const bool own = verify->epoch == input->head.epoch;

    if (summary->has_checkpoint && (summary->checkpoint_epoch > input->head.epoch ||
                                       (summary->checkpoint_epoch == input->head.epoch &&
                                           summary->checkpoint_sequence > input->head.sequence)))
        return;
    summary->has_checkpoint = true;
    summary->checkpoint_epoch = input->head.epoch;
    summary->checkpoint_sequence = input->head.sequence;
    summary->checkpoint_us = input->head.sealed_us;
    if (own && verify->next > input->head.sequence)
        summary->behind = verify->next - 1 - input->head.sequence;
}

static void count_unsigned(struct verify *verify, const struct verify_input *input)
{
    verify->summary.behind++;
    verify->checkpoints.since++;
    verify_extend_span(verify, input);
}

static void checkpoint_take_late(struct verify *verify, const struct verify_input *input,
    const struct verify_interval *interval, enum verify_place place)
{
    if (place == VERIFY_LOOSE_LINE)
        verify_count_loose(verify, input, interval);
    if (interval == NULL) {
        verify_join_span(verify, input, place == VERIFY_LOOSE_LINE);
        return;
    }
    verify->summary.checkpoints++;
    verify_bound_spans(verify, input, interval);
    checkpoint_note(verify, input);
}

static void checkpoint_take(struct verify *verify, const struct verify_input *input, enum verify_place place)
{
    struct checkpoint checkpoint;
    json_t *document = json_loadb(
        (const char *)input->text.data, input->text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    bool holds = checkpoint_is_signed(verify, input, document, &checkpoint);
    const struct verify_interval interval = {
        true, holds ? checkpoint.interval_events : 0, holds ? checkpoint.interval_seconds : 0};

    json_decref(document);
    if (!holds) {
        verify->refused_epoch = input->head.epoch;
        verify->refused_sequence = input->head.sequence;
    }
    if (place != VERIFY_IN_PLACE) {
        checkpoint_take_late(verify, input, holds ? &interval : NULL, place);
        return;
    }
    if (!holds) { /* it counts as a line */
        count_unsigned(verify, input);
        return;
    }
    checkpoint_compare(verify, input, &checkpoint);
    verify->checkpoints = (struct verify_checkpoints){.known = true,
        .epoch = input->head.epoch,
        .sequence = input->head.sequence,
        .interval_events = interval.events,
        .interval_seconds = interval.seconds};
    verify->summary.checkpoints++;
    verify_end_span(verify, input, &interval);
    checkpoint_note(verify, input);
}

/* ---- the other lines ---- */

static void gap_take(struct verify *verify, const struct verify_input *input)
{
    json_t *document = json_loadb((const char *)input->text.data, input->text.length, JSON_ALLOW_NUL, NULL);
    const json_t *member = json_object_get(document, "mqward");
    const char *detail = json_string_value(json_object_get(member, "detail"));
    uint64_t count = 0;

    verify->summary.gaps++;
    if (parse_count(json_object_get(member, "count"), &count) && count > 0) {
        verify->summary.lost += count;
        verify_report(verify, VERIFY_GAP, input, count,
            "mqward itself says that %" PRIu64 " events are missing: %.*s", count, DETAIL_MAX,
            detail == NULL ? "" : detail);
    } else {
        verify_report(verify, VERIFY_GAP, input, 1, "mqward itself says that something is missing: %.*s",
            DETAIL_MAX, detail == NULL ? "" : detail);
    }
    json_decref(document);
}

void verify_begin_checkpoints(struct verify *verify)
{
    const struct verify_options *options = &verify->options;

    verify->checkpoints = (struct verify_checkpoints){
        .interval_events =
            options->interval_events > CHECKPOINT_EVENTS ? options->interval_events : CHECKPOINT_EVENTS,
        .interval_seconds = CHECKPOINT_SECONDS,
    };
}

void verify_break(struct verify *verify)
{
    verify_break_open(verify);
    verify_drop_span(verify);
}

void verify_break_open(struct verify *verify)
{
    verify->checkpoints.broken = true;
    verify->checkpoints.since = 0;
}

void verify_count_line(struct verify *verify, const struct verify_input *input, enum verify_place place)
{
    if (line_is_gap(input->text))
        gap_take(verify, input);
    if (record_is_checkpoint(input->text)) {
        checkpoint_take(verify, input, place);
        return;
    }
    if (input->head.sequence == 1)
        verify_report(verify, VERIFY_CHECKPOINT_MISSING, input, 1,
            "the first line of a start is a checkpoint, and this one is not");
    if (place == VERIFY_IN_PLACE) {
        count_unsigned(verify, input);
        return;
    }
    if (place == VERIFY_LOOSE_LINE)
        verify_count_loose(verify, input, NULL);
    verify_join_span(verify, input, place == VERIFY_LOOSE_LINE);
}

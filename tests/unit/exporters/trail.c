/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the trails of the tests of verification. */
#include "trail.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "directory.h"
#include "event.h"

#define TRAIL_FIRST_US UINT64_C(1767323046001999)

struct trail *trail_new(uint64_t interval)
{
    struct trail *trail = calloc(1, sizeof(*trail));
    char path[DIRECTORY_MAX], error[256] = "", private[128], public[128];

    memset(trail->key, 0x5a, sizeof(trail->key));
    directory_make(path);
    snprintf(private, sizeof(private), "%s/a.key", path);
    snprintf(public, sizeof(public), "%s/a.pub", path);
    trail->signer = checkpoint_key_make(private, public, error, sizeof(error));
    cr_assert_not_null(trail->signer, "%s", error);
    trail->public_key = checkpoint_public_read(public, error, sizeof(error));
    cr_assert_not_null(trail->public_key, "%s", error);
    directory_remove(path);
    chain_point_begin(&trail->writer.point, trail->key, 0);
    trail->writer.interval = interval;
    trail->writer.wall_us = TRAIL_FIRST_US;
    trail->writer.user = "sensor-17";
    trail->writer.signer = trail->signer;
    return trail;
}

struct trail *trail_copy(const struct trail *trail)
{
    struct trail *copy = calloc(1, sizeof(*copy));

    *copy = *trail;
    copy->lines = NULL;
    copy->count = copy->capacity = 0;
    for (size_t i = 0; i < trail->count; i++)
        trail_insert(copy, i, trail->lines[i].text, trail->lines[i].length);
    copy->borrowed = true;
    return copy;
}

void trail_free(struct trail *trail)
{
    for (size_t i = 0; i < trail->count; i++)
        free(trail->lines[i].text);
    free(trail->lines);
    if (!trail->borrowed) {
        checkpoint_key_free(trail->signer);
        checkpoint_public_free(trail->public_key);
    }
    free(trail);
}

/* ---- sealing ---- */

static void trail_seal(struct trail *trail, struct trail_writer *writer, struct audit_event *event,
    const struct record_checkpoint *checkpoint)
{
    struct chain_cursor *cursor = &writer->point.cursor;
    struct buffer line = {0};
    const struct record_seal seal = {.epoch = cursor->epoch,
        .sequence = cursor->sequence,
        .sealed_us = writer->wall_us,
        .origin = {cursor->epoch, 0, cursor->sequence},
        .checkpoint = checkpoint,
        .hostname = "edge-1"};

    event->wall_us = writer->wall_us;
    record_render(&line, event, &seal);
    chain_seal(cursor, &line, 0);
    trail_insert(trail, trail->count, (const char *)buffer_view(&line).data, buffer_length(&line) - 1);
    buffer_release(&line);
    writer->wall_us += 1001;
    writer->point.unsigned_lines++;
}

void trail_checkpoint(struct trail *trail, struct trail_writer *writer)
{
    struct chain_point *point = &writer->point;
    struct audit_event event = {
        .action = AUDIT_checkpoint, .reason = REASON_none, .disposition = AUDIT_INFORMED};
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE] = {1, 2, 3};
    char text[89];
    struct checkpoint place = {.epoch = point->cursor.epoch,
        .start = point->cursor.start,
        .sequence = point->cursor.sequence,
        .events = point->unsigned_lines,
        .interval_events = writer->interval,
        .interval_seconds = 60,
        .wall_us = writer->wall_us};

    memcpy(place.prev, point->cursor.prev, sizeof(place.prev));
    if (point->checkpoint_sequence > 0)
        snprintf(place.previous, sizeof(place.previous), "%016" PRIx64 "-%" PRIu64, point->checkpoint_epoch,
            point->checkpoint_sequence);
    if (writer->signer != NULL)
        cr_assert_eq(checkpoint_sign(writer->signer, &place, signature), 0);
    EVP_EncodeBlock((uint8_t *)text, signature, sizeof(signature));
    point->checkpoint_epoch = place.epoch;
    point->checkpoint_sequence = place.sequence;
    trail_seal(trail, writer, &event,
        &(struct record_checkpoint){place.previous, place.events, place.interval_events,
            place.interval_seconds,
            writer->signer != NULL ? checkpoint_key_id(writer->signer)
                                   : checkpoint_public_id(trail->public_key),
            text});
    point->unsigned_lines = 0;
}

static void trail_due(struct trail *trail, struct trail_writer *writer)
{
    if (writer->interval > 0 && writer->point.unsigned_lines >= writer->interval)
        trail_checkpoint(trail, writer);
}

void trail_event(struct trail *trail, struct trail_writer *writer)
{
    struct audit_event event = event_plain();

    trail_due(trail, writer);
    event.user = view_of_string(writer->user);
    trail_seal(trail, writer, &event, NULL);
}

void trail_gap(struct trail *trail, struct trail_writer *writer, uint64_t count)
{
    struct audit_event event = {.action = AUDIT_audit_gap,
        .reason = REASON_audit_lost,
        .disposition = AUDIT_INFORMED,
        .count = count,
        .detail = VIEW("the ring is damaged")};

    trail_due(trail, writer);
    trail_seal(trail, writer, &event, NULL);
}

void trail_begin(struct trail *trail, struct trail_writer *writer)
{
    struct chain_point *point = &writer->point;
    uint64_t start = point->cursor.start + 1;

    chain_begin(&point->cursor, point->secret, UINT64_C(0x6920d2f100000000) + start, start);
    chain_next_secret(point->secret);
    trail_checkpoint(trail, writer);
}

void trail_start(struct trail *trail, size_t lines)
{
    size_t end = trail->count + lines - 1;

    trail_begin(trail, &trail->writer);
    while (trail->count < end)
        trail_event(trail, &trail->writer);
    trail_checkpoint(trail, &trail->writer);
}

void trail_unchained(struct trail *trail, uint64_t epoch, uint64_t sequence)
{
    struct audit_event event = event_plain();
    struct buffer line = {0};
    struct record_seal seal = event_seal;

    seal.epoch = epoch;
    seal.sequence = sequence;
    record_render(&line, &event, &seal);
    trail_insert(trail, trail->count, (const char *)buffer_view(&line).data, buffer_length(&line) - 1);
    buffer_release(&line);
}

/* ---- what is done to it ---- */

void trail_insert(struct trail *trail, size_t at, const char *text, size_t length)
{
    char *copy = malloc(length + 1);

    memcpy(copy, text, length);
    copy[length] = '\0';
    if (trail->count == trail->capacity) {
        trail->capacity = trail->capacity == 0 ? 64 : trail->capacity * 2;
        trail->lines = realloc(trail->lines, trail->capacity * sizeof(*trail->lines));
    }
    memmove(trail->lines + at + 1, trail->lines + at, (trail->count - at) * sizeof(*trail->lines));
    trail->lines[at] = (struct trail_line){copy, length};
    trail->count++;
}

void trail_remove(struct trail *trail, size_t at, size_t count)
{
    for (size_t i = at; i < at + count; i++)
        free(trail->lines[i].text);
    trail->count -= count;
    memmove(trail->lines + at, trail->lines + at + count, (trail->count - at) * sizeof(*trail->lines));
}

void trail_move(struct trail *trail, size_t from, size_t to)
{
    struct trail_line line = trail->lines[from];

    if (from < to)
        memmove(trail->lines + from, trail->lines + from + 1, (to - from) * sizeof(line));
    else
        memmove(trail->lines + to + 1, trail->lines + to, (from - to) * sizeof(line));
    trail->lines[to] = line;
}

void trail_replace(struct trail *trail, size_t at, const char *old, const char *text)
{
    char *found = strstr(trail->lines[at].text, old);

    cr_assert_not_null(found, "%s is not in %s", old, trail->lines[at].text);
    cr_assert_eq(strlen(old), strlen(text));
    memcpy(found, text, strlen(text));
}

/* ---- verification ---- */

struct verify_options trail_options(const struct trail *trail)
{
    return (struct verify_options){.key = trail->key,
        .public_keys = (const struct checkpoint_public *const *)&trail->public_key,
        .public_key_count = 1};
}

struct verify *trail_verify(const struct trail *trail, const struct verify_options *options)
{
    struct verify *verify = verify_new(options);

    for (size_t i = 0; i < trail->count; i++)
        verify_line(verify, "trail", i + 1, view_of(trail->lines[i].text, trail->lines[i].length));
    verify_finish(verify);
    return verify;
}

const struct verify_finding *trail_first(const struct verify *verify)
{
    size_t index = 0;

    return verify_next_finding(verify, &index);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the following of a journal's chain for tests, with JSON read by another library than the one that
 * wrote it. */
#include "chain_follow.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "event.h"
#include "exporters/chain_key.h"
#include "exporters/checkpoint.h"

enum chain_verdict chain_check(
    const struct chain_cursor *cursor, struct view line, uint64_t sequence, struct chain_link *link)
{
    switch (chain_parse(line, link)) {
    case CHAIN_ABSENT:
        return CHAIN_UNCHAINED;
    case CHAIN_MANGLED:
        return CHAIN_FORGED;
    case CHAIN_LINKED:
        break;
    }
    if (link->epoch != cursor->epoch || link->start != cursor->start || sequence != cursor->sequence)
        return CHAIN_OTHER;
    if (!chain_holds(cursor->key, link))
        return CHAIN_FORGED;
    return memcmp(link->prev, cursor->prev, sizeof(link->prev)) == 0 ? CHAIN_HOLDS : CHAIN_UNLINKED;
}

struct following {
    struct chain_cursor cursor;
    uint8_t secret[CHAIN_KEY_SIZE];
    struct checkpoint_public *public;
    struct chain_followed found;
    char previous[64]; /* checkpoint */
    uint64_t since;
};

void chain_key_of(const char *path, uint8_t key[CHAIN_KEY_SIZE])
{
    char file[256], error[256] = "";

    snprintf(file, sizeof(file), "%s/" CHAIN_KEY_NAME, path);
    cr_assert_eq(chain_key_read(file, key, NULL, error, sizeof(error)), 0, "%s", error);
}

static uint64_t microseconds(const char *timestamp)
{
    struct tm tm = {0};
    const char *rest = strptime(timestamp, "%Y-%m-%dT%H:%M:%S", &tm);

    cr_assert(rest != NULL && rest[0] == '.');
    return (uint64_t)timegm(&tm) * 1000000 + strtoull(rest + 1, NULL, 10);
}

static void follow_checkpoint(
    struct following *following, json_t *root, const struct chain_link *link, const struct record_head *head)
{
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE + 2];
    const char *text = string_at(root, "mqward.checkpoint.signature");
    bool first = json_at(root, "mqward.checkpoint.previous") == NULL;
    struct checkpoint checkpoint = {.epoch = link->epoch,
        .start = link->start,
        .sequence = head->sequence,
        .events = (uint64_t)number_at(root, "mqward.checkpoint.events"),
        .interval_events = (uint64_t)number_at(root, "mqward.checkpoint.interval.events"),
        .interval_seconds = (uint64_t)number_at(root, "mqward.checkpoint.interval.seconds"),
        .wall_us = microseconds(string_at(root, "@timestamp"))};

    cr_assert_eq(strlen(text), 88);
    cr_assert_eq(EVP_DecodeBlock(signature, (const uint8_t *)text, 88), CHECKPOINT_SIGNATURE_SIZE + 2);
    memcpy(checkpoint.prev, link->prev, sizeof(checkpoint.prev));
    if (!first)
        snprintf(checkpoint.previous, sizeof(checkpoint.previous), "%s",
            string_at(root, "mqward.checkpoint.previous"));
    if (following->found.holes == 0) { /* otherwise it counts what is gone, too */
        cr_assert_str_eq(checkpoint.previous, following->previous);
        cr_assert_eq(checkpoint.events, following->since, "%" PRIu64 " events, not %" PRIu64,
            checkpoint.events, following->since);
    }
    cr_assert_str_eq(string_at(root, "mqward.checkpoint.key"), checkpoint_public_id(following->public));
    cr_assert(checkpoint_verify(following->public, &checkpoint, signature));
    cr_assert_null(json_at(root, "mqward.origin"));
    snprintf(following->previous, sizeof(following->previous), "%s", string_at(root, "event.id"));
    following->found.checkpoints++;
    if (following->since > following->found.longest)
        following->found.longest = following->since;
    following->since = 0;
}

static void follow_line(void *argument, struct view line, const struct record_head *head)
{
    struct following *following = argument;
    struct chain_cursor *cursor = &following->cursor;
    struct chain_followed *found = &following->found;
    struct chain_link link;
    json_error_t error;
    json_t *root = json_loadb((const char *)line.data, line.length, JSON_REJECT_DUPLICATES, &error);

    cr_assert_not_null(root, "%s", error.text);
    bool checkpoint = strcmp(string_at(root, "event.action"), "checkpoint") == 0;
    cr_assert_eq(checkpoint, record_is_checkpoint(line));
    cr_assert_eq(chain_parse(line, &link), CHAIN_LINKED, "%.*s", VIEW_ARGS(line));
    if (link.start != cursor->start) {
        cr_assert_gt(link.start, cursor->start);
        for (uint64_t start = cursor->start + 1; start <= link.start; start++) {
            chain_begin(cursor, following->secret, link.epoch, start);
            chain_next_secret(following->secret);
        }
        found->starts++;
        found->begins_signed = found->begins_signed && checkpoint;
    }
    enum chain_verdict verdict = chain_check(cursor, line, head->sequence, &link);
    cr_assert(verdict == CHAIN_HOLDS || verdict == CHAIN_UNLINKED, "%d: %.*s", verdict, VIEW_ARGS(line));
    found->holes += verdict == CHAIN_UNLINKED;
    if (checkpoint)
        follow_checkpoint(following, root, &link, head);
    else
        following->since++;
    chain_step(cursor, link.hash);
    found->ends_signed = checkpoint;
    found->last_start = link.start;
    found->epoch = head->epoch;
    found->sequence = head->sequence;
    json_decref(root);
}

struct chain_followed chain_follow(const char *path, const uint8_t key[CHAIN_KEY_SIZE])
{
    struct following following = {.found = {.begins_signed = true}};
    char file[256], error[256] = "";

    memcpy(following.secret, key, CHAIN_KEY_SIZE);
    snprintf(file, sizeof(file), "%s/" CHECKPOINT_PUBLIC_NAME, path);
    following.public = checkpoint_public_read(file, error, sizeof(error));
    cr_assert_not_null(following.public, "%s", error);
    following.found.lines = directory_lines(path, follow_line, &following);
    checkpoint_public_free(following.public);
    return following.found;
}

struct chain_followed chain_follow_whole(const char *path, const uint8_t key[CHAIN_KEY_SIZE])
{
    struct chain_followed found = chain_follow(path, key);

    cr_assert_eq(found.holes, 0);
    cr_assert(found.begins_signed);
    return found;
}

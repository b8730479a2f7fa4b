/* SPDX-License-Identifier: Apache-2.0 */
/* Signed messages whose acknowledgement by the broker is awaited, by packet id: it is what makes them done in
 * the replay store. Called by the handlers of PUBLISH and of the acknowledgements. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define BUCKETS_FIRST 8

void session_mark_take(struct session_mark *mark, const struct session_replay *replay)
{
    const struct replay_mark *from = &replay->mark;

    assert(from->kid.length <= MPS1_KID_MAX && from->sub.length <= MPS1_SUB_MAX);
    mark->sequence = replay->sequence;
    mark->is_new = mark->received = false;
    mark->qos = 0;
    mark->again = replay->mark.again;
    mark->store_down = (uint8_t)replay->store_down;
    mark->kid_length = (uint8_t)from->kid.length;
    mark->sub_length = (uint8_t)from->sub.length;
    mark->t_ms = from->t_ms;
    mark->until_ms = from->until_ms;
    memcpy(mark->nonce, from->nonce, sizeof(mark->nonce));
    memcpy(mark->tag, from->tag, sizeof(mark->tag));
    memcpy(mark->names, from->kid.data, from->kid.length);
    memcpy(mark->names + from->kid.length, from->sub.data, from->sub.length);
}

struct session_replay session_mark_replay(const struct session_mark *mark)
{
    struct session_replay replay = {
        .mark = {.kid = view_of(mark->names, mark->kid_length),
            .sub = view_of(mark->names + mark->kid_length, mark->sub_length),
            .t_ms = mark->t_ms,
            .until_ms = mark->until_ms,
            .again = mark->again},
        .sequence = mark->sequence,
        .store_down = (enum signature_store_down)mark->store_down,
    };

    memcpy(replay.mark.nonce, mark->nonce, sizeof(mark->nonce));
    memcpy(replay.mark.tag, mark->tag, sizeof(mark->tag));
    return replay;
}

bool session_mark_is(const struct session_mark *mark, const struct session_replay *replay)
{
    return mark->sequence == replay->sequence &&
           memcmp(mark->nonce, replay->mark.nonce, sizeof(mark->nonce)) == 0 &&
           memcmp(mark->tag, replay->mark.tag, sizeof(mark->tag)) == 0 &&
           view_equal(view_of(mark->names, mark->kid_length), replay->mark.kid) &&
           view_equal(view_of(mark->names + mark->kid_length, mark->sub_length), replay->mark.sub);
}

/* ---- by packet id, and by message ---- */

struct session_marked {
    struct session_marked *next, *next_by_tag;
    uint16_t packet_id;
    struct session_mark mark;
};

static struct session_marked **place_of(const struct session_marks *marks, uint16_t packet_id)
{
    struct session_marked **at = &marks->buckets[packet_id & (marks->capacity - 1)];

    while (*at != NULL && (*at)->packet_id != packet_id)
        at = &(*at)->next;
    return at;
}

/* Tags are as good as random. */
static struct session_marked **tag_bucket(
    const struct session_marks *marks, const uint8_t tag[REPLAY_TAG_SIZE])
{
    return &marks->by_tag[(tag[0] | (unsigned)tag[1] << 8) & (marks->capacity - 1)];
}

static void link_item(struct session_marks *marks, struct session_marked *item)
{
    struct session_marked **at = &marks->buckets[item->packet_id & (marks->capacity - 1)];

    item->next = *at;
    *at = item;
    at = tag_bucket(marks, item->mark.tag);
    item->next_by_tag = *at;
    *at = item;
}

/* at: its place by packet id. */
static void unlink_item(struct session_marks *marks, struct session_marked **at)
{
    struct session_marked *item = *at;
    struct session_marked **by_tag = tag_bucket(marks, item->mark.tag);

    *at = item->next;
    while (*by_tag != item)
        by_tag = &(*by_tag)->next_by_tag;
    *by_tag = item->next_by_tag;
}

static void grow(struct session_marks *marks)
{
    struct session_marks larger = {
        .capacity = marks->capacity == 0 ? BUCKETS_FIRST : marks->capacity * 2, .count = marks->count};

    larger.buckets = memory_calloc((size_t)larger.capacity * 2, sizeof(struct session_marked *));
    larger.by_tag = larger.buckets + larger.capacity;
    for (uint32_t i = 0; i < marks->capacity; i++)
        while (marks->buckets[i] != NULL) {
            struct session_marked *item = marks->buckets[i];

            marks->buckets[i] = item->next;
            link_item(&larger, item);
        }
    free(marks->buckets);
    *marks = larger;
}

void session_marks_put(struct session_marks *marks, uint16_t packet_id, uint8_t qos,
    const struct session_replay *replay, bool is_new)
{
    struct session_marked **at, *item;
    bool received = false;

    if (marks->count >= marks->capacity)
        grow(marks);
    at = place_of(marks, packet_id);
    item = *at;
    if (item == NULL) {
        item = memory_realloc(NULL, 1, sizeof(*item)); /* all of it that counts is written below */
        item->packet_id = packet_id;
        marks->count++;
    } else { /* sent again, or the client uses the id for another message: then the first stays pending */
        received = item->mark.received && session_mark_is(&item->mark, replay);
        unlink_item(marks, at);
    }
    session_mark_take(&item->mark, replay);
    item->mark.qos = qos;
    item->mark.is_new = is_new;
    item->mark.received = received;
    link_item(marks, item);
}

struct session_mark *session_marks_find(const struct session_marks *marks, uint16_t packet_id)
{
    struct session_marked **at = marks->count == 0 ? NULL : place_of(marks, packet_id);

    return at == NULL || *at == NULL ? NULL : &(*at)->mark;
}

bool session_marks_has_other(
    const struct session_marks *marks, uint16_t packet_id, const struct session_replay *replay)
{
    const struct session_marked *item = marks->count == 0 ? NULL : *tag_bucket(marks, replay->mark.tag);

    while (item != NULL && (item->packet_id == packet_id || !session_mark_is(&item->mark, replay)))
        item = item->next_by_tag;
    return item != NULL;
}

void session_marks_remove(struct session_marks *marks, uint16_t packet_id)
{
    struct session_marked **at = place_of(marks, packet_id), *item = *at;

    unlink_item(marks, at);
    free(item);
    if (--marks->count == 0)
        session_marks_free(marks); /* most sessions are idle most of the time */
}

void session_marks_free(struct session_marks *marks)
{
    for (uint32_t i = 0; i < marks->capacity; i++)
        while (marks->buckets[i] != NULL) {
            struct session_marked *item = marks->buckets[i];

            marks->buckets[i] = item->next;
            free(item);
        }
    free(marks->buckets);
    *marks = (struct session_marks){0};
}

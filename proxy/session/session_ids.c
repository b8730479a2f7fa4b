/* SPDX-License-Identifier: Apache-2.0 */
/* Which packet ids of a sender are in flight, and how far. Most sessions have few at a time: those stand in a
 * list. Many stand in tables of 1,024 ids each, four bits an id, of which there are those that are in use: so
 * no number of them makes a look slower, and ids that are given out in order take one or two tables. Called
 * by session_acks.c. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define TABLE_IDS 1024
#define TABLES (65536 / TABLE_IDS)

struct session_id_table {
    uint32_t count; /* of ids that are not free */
    uint8_t states[TABLE_IDS / 2];
};

static struct session_id_table **table_of(const struct session_ids *ids, uint16_t packet_id)
{
    return &ids->many[packet_id / TABLE_IDS];
}

static unsigned shift_of(uint16_t packet_id)
{
    return (packet_id & 1) * 4;
}

static enum session_id_state many_get(const struct session_ids *ids, uint16_t packet_id)
{
    const struct session_id_table *table = *table_of(ids, packet_id);

    return table == NULL ? SESSION_ID_FREE
                         : (enum session_id_state)(
                               table->states[packet_id % TABLE_IDS / 2] >> shift_of(packet_id) & 15);
}

static struct session_id *few_find(const struct session_ids *ids, uint16_t packet_id)
{
    for (uint32_t i = 0; i < ids->count; i++)
        if (ids->few[i].packet_id == packet_id)
            return &ids->few[i];
    return NULL;
}

enum session_id_state session_ids_get(const struct session_ids *ids, uint16_t packet_id)
{
    if (ids->many != NULL)
        return many_get(ids, packet_id);

    const struct session_id *found = few_find(ids, packet_id);
    return found == NULL ? SESSION_ID_FREE : (enum session_id_state)found->state;
}

static void many_set(struct session_ids *ids, uint16_t packet_id, enum session_id_state state)
{
    struct session_id_table **table = table_of(ids, packet_id);
    unsigned shift = shift_of(packet_id);
    uint8_t *byte;

    if (*table == NULL)
        *table = memory_calloc(1, sizeof(**table));
    byte = &(*table)->states[packet_id % TABLE_IDS / 2];
    (*table)->count -= (*byte >> shift & 15) != SESSION_ID_FREE;
    (*table)->count += state != SESSION_ID_FREE;
    *byte = (uint8_t)((*byte & ~(15u << shift)) | (unsigned)state << shift);
    if ((*table)->count == 0) {
        free(*table);
        *table = NULL;
    }
}

static void move_to_many(struct session_ids *ids)
{
    ids->many = memory_calloc(TABLES, sizeof(struct session_id_table *));
    for (uint32_t i = 0; i < ids->count; i++)
        many_set(ids, ids->few[i].packet_id, (enum session_id_state)ids->few[i].state);
    free(ids->few);
    ids->few = NULL;
    ids->capacity = 0;
}

static void few_add(struct session_ids *ids, uint16_t packet_id, enum session_id_state state)
{
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity == 0 ? 4 : ids->capacity * 2;
        ids->few = memory_realloc(ids->few, ids->capacity, sizeof(*ids->few));
    }
    ids->few[ids->count] = (struct session_id){packet_id, (uint8_t)state};
}

static void add(struct session_ids *ids, uint16_t packet_id, enum session_id_state state)
{
    if (ids->many == NULL && ids->count == SESSION_IDS_FEW)
        move_to_many(ids);
    if (ids->many != NULL)
        many_set(ids, packet_id, state);
    else
        few_add(ids, packet_id, state);
    ids->count++;
}

static void take_out(struct session_ids *ids, uint16_t packet_id)
{
    ids->count--;
    if (ids->many == NULL) {
        /* count is already that of the others: the last one moves into the gap */
        struct session_id last = ids->few[ids->count];
        struct session_id *found = few_find(ids, packet_id);

        if (found != NULL)
            *found = last;
        return;
    }
    many_set(ids, packet_id, SESSION_ID_FREE);
    if (ids->count == 0) {
        free(ids->many); /* most sessions are idle most of the time */
        ids->many = NULL;
    }
}

void session_ids_set(struct session_ids *ids, uint16_t packet_id, enum session_id_state state)
{
    enum session_id_state before = session_ids_get(ids, packet_id);

    assert(packet_id != 0);
    if (before == state)
        return;
    if (before == SESSION_ID_FREE)
        add(ids, packet_id, state);
    else if (state == SESSION_ID_FREE)
        take_out(ids, packet_id);
    else if (ids->many != NULL)
        many_set(ids, packet_id, state);
    else
        few_find(ids, packet_id)->state = (uint8_t)state;
}

bool session_ids_change(
    struct session_ids *ids, uint16_t packet_id, enum session_id_state from, enum session_id_state to)
{
    struct session_id_table *table = ids->many == NULL ? NULL : *table_of(ids, packet_id);
    unsigned shift = shift_of(packet_id);
    uint8_t *byte;

    /* there is no such table, or it is the last of its ids */
    if (table == NULL || (to == SESSION_ID_FREE && table->count == 1)) {
        if (session_ids_get(ids, packet_id) != from)
            return false;
        session_ids_set(ids, packet_id, to);
        return true;
    }
    byte = &table->states[packet_id % TABLE_IDS / 2];
    if ((*byte >> shift & 15) != (unsigned)from)
        return false;
    *byte ^= (uint8_t)((unsigned)(from ^ to) << shift);
    if (from == SESSION_ID_FREE) {
        table->count++;
        ids->count++;
    } else if (to == SESSION_ID_FREE) {
        table->count--;
        ids->count--;
    }
    return true;
}

void session_ids_free(struct session_ids *ids)
{
    for (unsigned i = 0; ids->many != NULL && i < TABLES; i++)
        free(ids->many[i]);
    free(ids->few);
    free(ids->many);
    *ids = (struct session_ids){0};
}

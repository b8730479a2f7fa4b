/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the walk over the views of a part: which bytes are decoded next, the bounds, and that nothing comes
 * twice. The decoders are in views_*.c.
 *
 *   bytes --look--> nothing to decode: done (nearly every message)
 *         --decoders--> room --give--> seen before? drop : each() --look--> may hold more: kept, decoded
 * later
 *
 * Level by level: what is found at two depths is found at the smaller one, so that the bound on depth does
 * not depend on the order of things in a message. */
#include "rules/views.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"
#include "rules/views_decode.h"

#define SPACE_MAGIC 0x56494557U
#define ROOM_KEPT (256 * 1024) /* more is given back after a call */
#define SEEN_MIN 64            /* slots of the table, a power of two */

const struct scan_view_limits scan_view_default_limits = {.depth = SCAN_VIEW_DEPTH,
    .views = 1024,
    .output = 4 * 1024 * 1024,
    .ratio = 128,
    .work = 32 * 1024 * 1024};

/* A view that may hold more, waiting for its turn. */
struct waiting {
    uint8_t *bytes;
    size_t length;
    unsigned found; /* kinds that it may hold */
    struct scan_view_path path;
};

struct scan_view_space {
    uint32_t magic;
    struct buffer room;
    struct waiting *waiting;
    size_t first, count, capacity;
    uint64_t *seen; /* hashes of the views given, in open addressing; 0: free */
    size_t seen_count, seen_slots;
    struct z_stream_s *inflater;
    struct scan_view_use use;
};

/* One row a kind: its name, and what decodes it. */
static const struct {
    const char *name;
    void (*decode)(struct views_run *run);
} families[SCAN_VIEW_KINDS] = {
    [SCAN_RAW] = {"raw", NULL},
    [SCAN_BASE64] = {"base64", views_base64},
    [SCAN_HEX] = {"hex", views_hex},
    [SCAN_JSON] = {"json", views_json},
    [SCAN_GZIP] = {"gzip", views_gzip},
    [SCAN_UTF16] = {"utf16", views_utf16},
};

const char *scan_view_name(enum scan_view_kind kind)
{
    assert(kind < SCAN_VIEW_KINDS);
    return families[kind].name;
}

struct scan_view_limits scan_view_limits_for(size_t size)
{
    struct scan_view_limits limits = scan_view_default_limits;
    const size_t small = limits.output / 64;
    const size_t output = size < limits.output / limits.ratio ? size * limits.ratio : limits.output;

    limits.output = output < small ? small : output;
    limits.work = limits.output * 8;
    return limits;
}

struct scan_view_space *scan_view_space_new(void)
{
    struct scan_view_space *space = memory_calloc(1, sizeof(*space));

    space->magic = SPACE_MAGIC;
    return space;
}

void scan_view_space_free(struct scan_view_space *space)
{
    if (space == NULL)
        return;
    assert(space->magic == SPACE_MAGIC);
    views_inflater_free(space->inflater);
    buffer_release(&space->room);
    free(space->waiting);
    free(space->seen);
    free(space);
}

struct z_stream_s **views_inflater(struct views_run *run)
{
    return &run->space->inflater;
}

void views_incomplete(struct views_run *run, const char *reason)
{
    /* of what is damaged nobody gets more: any other reason says more */
    if (run->incomplete == NULL || strcmp(run->incomplete, "damaged") == 0)
        run->incomplete = reason;
}

/* The run ends because of a bound. */
static void end(struct views_run *run, const char *reason)
{
    views_incomplete(run, reason);
    run->ended = true;
}

/* The clock is looked at once in so many bytes of work. */
#define CLOCK_WORK 8192

bool views_charge(struct views_run *run, size_t size)
{
    if (size > run->work) {
        end(run, "work");
        return false;
    }
    run->work -= size;
    run->untimed += size;
    if (run->untimed >= CLOCK_WORK && run->limits->in_time != NULL) {
        run->untimed = 0;
        if (!run->limits->in_time(run->context))
            end(run, "time");
    }
    return !run->ended;
}

uint8_t *views_room(struct views_run *run, size_t used, size_t *size)
{
    struct buffer *room = &run->space->room;

    if (*size > run->output)
        *size = run->output;
    assert(used <= *size);
    room->start = 0;
    room->end = used;
    buffer_reserve(room, *size - used + 1); /* never NULL */
    return room->data;
}

/* ---- what was given already ---- */

static bool insert(uint64_t *table, size_t slots, uint64_t hash)
{
    size_t at = hash & (slots - 1);

    while (table[at] != 0) {
        if (table[at] == hash)
            return false;
        at = (at + 1) & (slots - 1);
    }
    table[at] = hash;
    return true;
}

/* The table is never more than half full. */
static void grow_seen(struct scan_view_space *space)
{
    const size_t slots = space->seen_slots == 0 ? SEEN_MIN : space->seen_slots * 2;
    uint64_t *table = memory_calloc(slots, sizeof(*table));

    for (size_t i = 0; i < space->seen_slots; i++) {
        if (space->seen[i] != 0)
            insert(table, slots, space->seen[i]);
    }
    free(space->seen);
    space->seen = table;
    space->seen_slots = slots;
}

/* Are these bytes new? The hash is keyed: nobody can make it take one view for another. */
static bool is_new(struct scan_view_space *space, struct view bytes)
{
    if (2 * (space->seen_count + 1) > space->seen_slots)
        grow_seen(space);
    if (!insert(space->seen, space->seen_slots, hash_bytes(bytes) | 1))
        return false;
    space->seen_count++;
    return true;
}

/* ---- views of views ---- */

static void keep(struct views_run *run, const struct scan_view_path *path, struct view bytes, unsigned found)
{
    struct scan_view_space *space = run->space;

    if (space->count == space->capacity) {
        space->capacity = space->capacity == 0 ? 8 : space->capacity * 2;
        space->waiting = memory_realloc(space->waiting, space->capacity, sizeof(*space->waiting));
    }
    struct waiting *waiting = &space->waiting[space->count++];

    *waiting = (struct waiting){memory_realloc(NULL, 1, bytes.length), bytes.length, found, *path};
    memcpy(waiting->bytes, bytes.data, bytes.length);
}

void views_give(struct views_run *run, enum scan_view_kind kind, size_t offset, size_t length, bool cut)
{
    const struct view bytes = {run->space->room.data, length};
    struct scan_view_path path = run->path;

    assert(length <= run->output && path.length < SCAN_VIEW_DEPTH);
    if (cut)
        end(run, "output");
    if (length == 0 || !is_new(run->space, bytes))
        return;
    if (run->views == 0) {
        end(run, "views");
        return;
    }
    run->views--;
    run->output -= length;
    if (path.length == 0)
        path.offset = offset;
    path.kinds[path.length++] = (uint8_t)kind;
    if (!run->each(run->context, &path, bytes))
        run->ended = true;
    const unsigned found = run->ended ? 0 : views_look(bytes, run->kinds);

    if (found == 0)
        return;
    if (path.length < run->limits->depth)
        keep(run, &path, bytes, found);
    else
        views_incomplete(run, "depth");
}

/* All views of run->source. */
static void decode_source(struct views_run *run, unsigned found)
{
    if (!views_charge(run, run->source.length))
        return;
    for (unsigned kind = 1; kind < SCAN_VIEW_KINDS && !run->ended; kind++) {
        if ((found & 1U << kind) != 0)
            families[kind].decode(run);
    }
}

/* Frees what waits still, and what is too large to keep. */
static void clear(struct scan_view_space *space)
{
    while (space->first < space->count)
        free(space->waiting[space->first++].bytes);
    space->first = space->count = space->seen_count = 0;
    if (space->seen_slots > SEEN_MIN) {
        free(space->seen);
        space->seen = NULL;
        space->seen_slots = 0;
    } else if (space->seen != NULL) {
        memset(space->seen, 0, space->seen_slots * sizeof(*space->seen));
    }
    if (space->room.capacity > ROOM_KEPT)
        buffer_release(&space->room);
}

static const char *walk(struct views_run *run, unsigned found)
{
    struct scan_view_space *space = run->space;

    decode_source(run, found);
    while (space->first < space->count && !run->ended) {
        struct waiting waiting = space->waiting[space->first++];

        run->source = view_of(waiting.bytes, waiting.length);
        run->path = waiting.path;
        decode_source(run, waiting.found);
        free(waiting.bytes);
    }
    clear(space);
    space->use = (struct scan_view_use){
        run->limits->views - run->views, run->limits->output - run->output, run->limits->work - run->work};
    return run->incomplete;
}

const char *scan_views(struct scan_view_space *space, struct view bytes, unsigned kinds,
    const struct scan_view_limits *limits,
    bool (*each)(void *context, const struct scan_view_path *path, struct view bytes), void *context)
{
    const unsigned found = views_look(bytes, kinds & SCAN_VIEWS_ALL);

    assert(space->magic == SPACE_MAGIC && limits->depth <= SCAN_VIEW_DEPTH && limits->ratio > 0);
    space->use = (struct scan_view_use){0};
    if (found == 0)
        return NULL;
    if (limits->depth == 0)
        return "depth";
    struct views_run run = {.space = space,
        .limits = limits,
        .kinds = kinds & SCAN_VIEWS_ALL,
        .each = each,
        .context = context,
        .source = bytes,
        .work = limits->work,
        .output = limits->output,
        .views = limits->views};

    return walk(&run, found);
}

bool scan_views_any(struct view bytes, unsigned kinds)
{
    return views_look(bytes, kinds & SCAN_VIEWS_ALL) != 0;
}

struct scan_view_use scan_views_use(const struct scan_view_space *space)
{
    return space->use;
}

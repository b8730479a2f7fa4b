/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a part: views keep their bounds, none comes twice, the same bytes give the same views, and the
 * quick look misses nothing. The first three bytes choose kinds and bounds. */
#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "rules/views_decode.h"

#define HASHES_MAX 4096

struct seen {
    const struct scan_view_limits *limits;
    unsigned kinds;
    size_t count, bytes, depth;
    uint64_t hashes[HASHES_MAX];
};

static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct seen *seen = context;
    const uint64_t hash = hash_bytes(bytes);

    assert(bytes.length > 0 && path->length >= 1 && path->length <= seen->limits->depth);
    assert(path->length >= seen->depth); /* level by level */
    seen->depth = path->length;
    for (unsigned i = 0; i < path->length; i++)
        assert((seen->kinds & 1U << path->kinds[i]) != 0);
    for (size_t i = 0; i < seen->count; i++)
        assert(seen->hashes[i] != hash);
    seen->hashes[seen->count++] = hash;
    seen->bytes += bytes.length;
    assert(seen->bytes <= seen->limits->output && seen->count <= seen->limits->views);
    return true;
}

static bool none_expected(void *context, const struct scan_view_path *path, struct view bytes)
{
    (void)context, (void)path, (void)bytes;
    abort();
}

/* Decodes although the look says that there is nothing. */
static void check_look(
    struct scan_view_space *space, struct view bytes, unsigned kind, void (*decode)(struct views_run *run))
{
    struct views_run run = {.space = space,
        .limits = &scan_view_default_limits,
        .kinds = SCAN_VIEWS_ALL,
        .each = none_expected,
        .source = bytes,
        .work = SIZE_MAX,
        .output = 1 << 24,
        .views = 100};

    if ((views_look(bytes, SCAN_VIEWS_ALL) & 1U << kind) == 0)
        decode(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen first, second;

    if (size < 3)
        return 0;
    const struct view bytes = {data + 3, size - 3};
    struct scan_view_limits limits = scan_view_limits_for(bytes.length);
    struct scan_view_space *space = scan_view_space_new();
    const unsigned kinds = data[0] == 0 ? SCAN_VIEWS_ALL : data[0] & SCAN_VIEWS_ALL;

    limits.depth = data[1] % (SCAN_VIEW_DEPTH + 1);
    limits.output >>= data[1] >> 4;
    limits.views >>= data[2] >> 4;
    limits.work >>= data[2] & 15;
    first = second = (struct seen){.limits = &limits, .kinds = kinds};
    const char *why = scan_views(space, bytes, kinds, &limits, on_view, &first);

    assert(scan_views(space, bytes, kinds, &limits, on_view, &second) == why);
    assert(first.count == second.count &&
           memcmp(first.hashes, second.hashes, first.count * sizeof(uint64_t)) == 0);
    check_look(space, bytes, SCAN_BASE64, views_base64);
    check_look(space, bytes, SCAN_HEX, views_hex);
    check_look(space, bytes, SCAN_GZIP, views_gzip);
    check_look(space, bytes, SCAN_UTF16, views_utf16);
    scan_view_space_free(space);
    return 0;
}

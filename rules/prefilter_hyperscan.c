/* SPDX-License-Identifier: Apache-2.0 */
/* Owns Hyperscan (or Vectorscan, which is the same to its callers). Called by prefilter.c.
 *
 * Literals go in as regular expressions with every byte escaped, each reporting once: the library's own calls
 * for literals failed on crafted buffers (Hyperscan 5.4.0). Whatever it refuses leaves the automata in
 * charge, and an error of a scan makes every group a candidate. */
#include "rules/prefilter_parts.h"

#ifdef MQWARD_HYPERSCAN

#include <hs.h>
#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"

/* More (xor and nocase make many of one string) would take minutes to compile. */
#define LITERALS_MAXIMUM 250000

struct prefilter_engine {
    hs_database_t *database; /* NULL: there is nothing to look for */
};

struct prefilter_space {
    const struct prefilter_engine *engine;
    hs_scratch_t *scratch;
};

/* What a match callback is given. */
struct prefilter_found {
    const struct prefilter *prefilter;
    uint64_t *candidates;
};

static char *escape(struct view bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = memory_calloc(bytes.length + 1, 4), *at = text;

    for (size_t i = 0; i < bytes.length; i++) {
        *at++ = '\\';
        *at++ = 'x';
        *at++ = digits[bytes.data[i] >> 4];
        *at++ = digits[bytes.data[i] & 15];
    }
    return text;
}

static hs_database_t *compile(const struct prefilter *prefilter)
{
    size_t count = prefilter->literal_count;
    char **texts = memory_calloc(count, sizeof(*texts));
    unsigned *flags = memory_calloc(count, sizeof(*flags)), *ids = memory_calloc(count, sizeof(*ids));
    hs_database_t *database = NULL;
    hs_compile_error_t *error = NULL;

    for (size_t i = 0; i < count; i++) {
        texts[i] = escape(prefilter->literals[i].bytes);
        flags[i] = HS_FLAG_SINGLEMATCH | (prefilter->literals[i].nocase ? HS_FLAG_CASELESS : 0);
        ids[i] = (unsigned)i;
    }
    hs_error_t result = hs_compile_multi(
        (const char *const *)texts, flags, ids, (unsigned)count, HS_MODE_BLOCK, NULL, &database, &error);
    if (result != HS_SUCCESS) {
        hs_free_compile_error(error);
        database = NULL;
    }
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
    free(flags);
    free(ids);
    return database;
}

struct prefilter_engine *prefilter_engine_new(const struct prefilter *prefilter)
{
    struct prefilter_engine *engine;
    hs_database_t *database = NULL;

    if (hs_valid_platform() != HS_SUCCESS || prefilter->literal_count > LITERALS_MAXIMUM)
        return NULL;
    if (prefilter->literal_count > 0 && (database = compile(prefilter)) == NULL)
        return NULL;
    engine = memory_calloc(1, sizeof(*engine));
    engine->database = database;
    return engine;
}

void prefilter_engine_free(struct prefilter_engine *engine)
{
    if (engine == NULL)
        return;
    hs_free_database(engine->database);
    free(engine);
}

struct prefilter_space *prefilter_engine_space(const struct prefilter_engine *engine)
{
    struct prefilter_space *space = memory_calloc(1, sizeof(*space));

    space->engine = engine;
    if (engine->database == NULL || hs_alloc_scratch(engine->database, &space->scratch) == HS_SUCCESS)
        return space;
    free(space);
    return NULL;
}

void prefilter_engine_space_free(struct prefilter_space *space)
{
    if (space == NULL)
        return;
    hs_free_scratch(space->scratch);
    free(space);
}

static int on_match(
    unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    const struct prefilter_found *found = context;

    (void)from, (void)to, (void)flags;
    prefilter_set_groups(&found->prefilter->literals[id].groups, found->candidates);
    return 0;
}

bool prefilter_engine_scan(
    const struct prefilter *prefilter, struct prefilter_space *space, struct view bytes, uint64_t *candidates)
{
    struct prefilter_found found = {prefilter, candidates};

    if (space->engine->database == NULL)
        return true;
    if (bytes.length > UINT_MAX)
        return false;
    return hs_scan(space->engine->database, (const char *)bytes.data, (unsigned)bytes.length, 0,
               space->scratch, on_match, &found) == HS_SUCCESS;
}

#else

struct prefilter_engine *prefilter_engine_new(const struct prefilter *prefilter)
{
    (void)prefilter;
    return NULL;
}

void prefilter_engine_free(struct prefilter_engine *engine)
{
    (void)engine;
}

struct prefilter_space *prefilter_engine_space(const struct prefilter_engine *engine)
{
    (void)engine;
    return NULL;
}

void prefilter_engine_space_free(struct prefilter_space *space)
{
    (void)space;
}

bool prefilter_engine_scan(
    const struct prefilter *prefilter, struct prefilter_space *space, struct view bytes, uint64_t *candidates)
{
    (void)prefilter, (void)space, (void)bytes, (void)candidates;
    return false;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns decompression: gzip (several members, at the start or within other bytes) and zlib (at the start). The
 * only user of zlib. */
#include <stdlib.h>
#include <zlib.h>

#include "base/memory.h"
#include "rules/views_decode.h"

#define STEP 16384       /* of output, between two looks at the bounds */
#define EITHER (15 + 32) /* zlib.h, inflateInit2(): the largest window, gzip or zlib by the header */
/* Less than this out of a damaged stream is chance: a zlib header is two bytes that any data may start with.
 */
#define CHANCE 16

void views_inflater_free(struct z_stream_s *stream)
{
    if (stream != NULL)
        inflateEnd(stream);
    free(stream);
}

static z_stream *inflater(struct views_run *run)
{
    z_stream **kept = views_inflater(run);

    if (*kept == NULL) {
        *kept = memory_calloc(1, sizeof(**kept));
        if (inflateInit2(*kept, EITHER) != Z_OK)
            memory_exhausted();
    } else {
        inflateReset(*kept);
    }
    return *kept;
}

/* RFC 1952: ID1 ID2, CM = 8, and no reserved flag. */
static bool is_gzip(struct view bytes, size_t at)
{
    static const uint8_t magic[3] = {0x1F, 0x8B, 8};

    return bytes.length - at > sizeof(magic) && memcmp(bytes.data + at, magic, sizeof(magic)) == 0 &&
           (bytes.data[at + 3] & 0xE0) == 0;
}

size_t views_gzip_find(struct view bytes, size_t at)
{
    while (at < bytes.length) {
        const uint8_t *next = memchr(bytes.data + at, 0x1F, bytes.length - at);

        if (next == NULL)
            return bytes.length;
        at = (size_t)(next - bytes.data);
        if (is_gzip(bytes, at))
            return at;
        at++;
    }
    return bytes.length;
}

/* RFC 1950: CM = 8, a window of up to 32 KiB, FCHECK right, no preset dictionary. */
bool views_is_zlib(struct view bytes)
{
    return bytes.length >= 8 && (bytes.data[0] & 0x0F) == 8 && bytes.data[0] <= 0x78 &&
           (bytes.data[1] & 0x20) == 0 && (bytes.data[0] << 8 | bytes.data[1]) % 31 == 0;
}

/* What one stream gave. */
struct inflated {
    size_t length, read;
    size_t member;   /* where the last of its members starts */
    const char *why; /* it is not all; NULL: it is */
    bool cut;        /* by the output's bound */
};

/* Another member follows at once? Then the stream goes on with it, as gunzip does. */
static bool next_member(z_stream *stream)
{
    return is_gzip(view_of(stream->next_in, stream->avail_in), 0) && inflateReset(stream) == Z_OK;
}

static struct inflated inflate_all(struct views_run *run, struct view bytes)
{
    z_stream *stream = inflater(run);
    struct inflated result = {0};
    int status = Z_OK;

    stream->next_in = (z_const Bytef *)(uintptr_t)bytes.data;
    stream->avail_in = (uInt)bytes.length;
    while (status == Z_OK) {
        size_t room = result.length + STEP;
        uint8_t *out = views_room(run, result.length, &room);

        result.cut = room == result.length;
        if (result.cut || result.read + result.length > run->work) /* the charge will say so */
            break;
        stream->next_out = out + result.length;
        stream->avail_out = (uInt)(room - result.length);
        status = inflate(stream, Z_NO_FLUSH);
        result.length = room - stream->avail_out;
        result.read = bytes.length - stream->avail_in;
        if (result.length > SCAN_VIEW_RATIO_FROM && result.length / run->limits->ratio > result.read) {
            result.why = "ratio";
            break;
        }
        if (status == Z_STREAM_END && next_member(stream)) {
            result.member = result.read;
            status = Z_OK;
        }
    }
    if (!result.cut && result.why == NULL && status != Z_STREAM_END)
        result.why = "damaged";
    return result;
}

/* Returns where to look on. */
static size_t give(struct views_run *run, size_t at, bool certain)
{
    const struct view bytes = view_skip(run->source, at);

    if (!views_charge(run, VIEWS_ATTEMPT_GZIP))
        return run->source.length;
    /* zlib counts in 32 bits. */
    const size_t size = bytes.length < UINT32_MAX ? bytes.length : UINT32_MAX;
    const struct inflated result = inflate_all(run, view_of(bytes.data, size));

    /* what came out, too: members that all give the same bytes are no new views, but not free; if it was too
     * much, this is the last */
    views_charge(run, result.read + result.length);
    if (result.why == NULL || certain || result.length >= CHANCE) {
        if (result.why != NULL)
            views_incomplete(run, result.why);
        views_give(run, SCAN_GZIP, at, result.length, result.cut);
    }
    /* A header that leads to damage may stand before a true one. */
    return at + (result.why == NULL && result.read > 0 ? result.read : result.member + 1);
}

void views_gzip(struct views_run *run)
{
    size_t at = 0;

    if (views_is_zlib(run->source))
        at = give(run, 0, false);
    for (at = views_gzip_find(run->source, at); at < run->source.length && !run->ended;)
        at = views_gzip_find(run->source, give(run, at, at == 0));
}

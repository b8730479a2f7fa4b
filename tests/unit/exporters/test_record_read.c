/* SPDX-License-Identifier: Apache-2.0 */
/* Members of journal lines found by the reader without a tree, compared with a parser that has one. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/buffer.h"
#include "event.h"
#include "exporters/record_read.h"

static struct view render(struct buffer *out, const struct audit_event *event)
{
    buffer_clear(out);
    record_render(out, event, &event_seal);
    return view_of(buffer_view(out).data, buffer_length(out) - 1);
}

struct comparison {
    json_t *document;
    size_t count;
};

/* The decoded text, in a static place. */
static const char *decode(struct view text)
{
    static char out[8192];
    size_t length = 0;

    while (text.length > 0) {
        uint8_t bytes[4];
        size_t count = record_put_character(record_next_character(&text), bytes);
        cr_assert_lt(length + count, sizeof(out));
        memcpy(out + length, bytes, count);
        length += count;
    }
    out[length] = '\0';
    return out;
}

static void compare(void *argument, struct view path, struct record_value value)
{
    struct comparison *comparison = argument;
    char name[RECORD_PATH_MAX + 1];

    snprintf(name, sizeof(name), "%.*s", VIEW_ARGS(path));
    json_t *expected = json_at(comparison->document, name);
    cr_assert_not_null(expected, "%s", name);
    switch (value.kind) {
    case RECORD_STRING:
        cr_assert(json_is_string(expected), "%s", name);
        if (strlen(json_string_value(expected)) == json_string_length(expected))
            cr_expect_str_eq(decode(value.text), json_string_value(expected), "%s", name);
        break;
    case RECORD_NUMBER:
        cr_expect_eq(record_value_number(value), (uint64_t)json_integer_value(expected), "%s", name);
        break;
    case RECORD_BOOLEAN:
        cr_expect_eq(view_equal(value.text, VIEW("true")), json_is_true(expected), "%s", name);
        break;
    case RECORD_ARRAY:
        cr_expect(json_is_array(expected) && value.text.data[0] == '[', "%s", name);
        break;
    default:
        cr_assert_fail("%s has kind %d", name, value.kind);
    }
    comparison->count++;
}

Test(record_read, every_member_is_what_a_parser_finds)
{
    struct buffer out = {0};
    struct audit_event events[EVENT_HOSTILE + 1] = {event_full()};

    for (size_t i = 0; i < EVENT_HOSTILE; i++)
        events[i + 1] = event_with_texts(event_hostile[i]);
    for (size_t i = 0; i < EVENT_HOSTILE + 1; i++) {
        struct comparison comparison = {event_document(&events[i]), 0};
        cr_assert_eq(record_walk(render(&out, &events[i]), compare, &comparison), 0);
        cr_assert_gt(comparison.count, 80);
        json_decref(comparison.document);
    }
    buffer_release(&out);
}

Test(record_read, members_are_found_in_one_walk)
{
    struct buffer out = {0};
    struct audit_event event = event_plain();
    static const char *const paths[] = {
        "@timestamp", "event.severity", "mqtt.topic", "tls.client.hash.sha256", "nothing.of.this"};
    struct record_value values[5];

    cr_assert_eq(record_find(render(&out, &event), paths, 5, values), 0);
    cr_expect(view_equal_string(values[0].text, "2026-01-02T03:04:06.001245Z"));
    cr_expect_eq(record_value_number(values[1]), 73);
    cr_expect(view_equal_string(values[2].text, "plant/a/valve/3/cmd"));
    cr_expect(view_equal_string(values[3].text, "c0ffee"));
    cr_expect_eq(values[4].kind, RECORD_ABSENT);
    buffer_release(&out);
}

Test(record_read, a_line_that_ends_anywhere_is_refused_and_read_within_its_bounds)
{
    struct buffer out = {0};
    struct audit_event event = event_full();
    struct view line = render(&out, &event);

    for (size_t length = 0; length < line.length; length++) {
        char *copy = length == 0 ? NULL : malloc(length); /* so that one byte too far is seen */
        if (copy != NULL)
            memcpy(copy, line.data, length);
        cr_assert_eq(record_walk(view_of(copy, length), NULL, NULL), -1, "cut at %zu", length);
        free(copy);
    }
    cr_assert_eq(record_walk(line, NULL, NULL), 0);
    buffer_release(&out);
}

Test(record_read, what_is_no_object_is_refused)
{
    static const char *const lines[] = {"", "[]", "null", "{", "}", "{}x", "{\"a\"}", "{\"a\":}",
        "{\"a\":1,}", "{,\"a\":1}", "{\"a\":1\"b\":2}", "{\"a\":[1}", "{\"a\":tru}", "{\"a\":{}",
        "{\"a\":\"x", "{\"a\":\"x\\", "{a:1}", "{\"a\":1]"};
    static const char *const fine[] = {"{}", "{\"a\":{}}", " { \"a\" : [ 1 , { \"b\" : \"]\" } ] } ",
        "{\"a\":{\"b\":{}},\"c\":-1.5e3}", "{\"a\":null,\"b\":true}"};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_expect_eq(record_walk(view_of_string(lines[i]), NULL, NULL), -1, "%s", lines[i]);
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
        cr_expect_eq(record_walk(view_of_string(fine[i]), NULL, NULL), 0, "%s", fine[i]);
}

Test(record_read, depth_and_paths_are_bounded)
{
    char deep[400], name[RECORD_PATH_MAX + 2];
    size_t length = 0;

    for (unsigned i = 0; i < RECORD_DEPTH_MAX + 1; i++)
        length += (size_t)snprintf(deep + length, sizeof(deep) - length, "{\"a\":");
    cr_expect_eq(record_walk(view_of(deep, length), NULL, NULL), -1);
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    cr_expect_eq(record_walk(view_of(deep, sizeof(deep)), NULL, NULL), -1);
    memset(name, 'n', sizeof(name));
    snprintf(deep, sizeof(deep), "{\"%.*s\":1}", (int)sizeof(name), name);
    cr_expect_eq(record_walk(view_of_string(deep), NULL, NULL), -1);
}

Test(record_read, escapes_become_characters)
{
    cr_expect_str_eq(decode(VIEW("\\\"\\\\\\/\\b\\f\\n\\r\\t")), "\"\\/\b\f\n\r\t");
    cr_expect_str_eq(
        decode(VIEW("\\u0041\\u00e4\\u20AC\\ud83d\\ude00")), "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    cr_expect_str_eq(decode(VIEW("\\ud83d")), "\xef\xbf\xbd", "half of a pair");
    cr_expect_str_eq(decode(VIEW("\\ude00x")), "\xef\xbf\xbdx");
    cr_expect_str_eq(decode(VIEW("\\ud83d\\u0041")), "\xef\xbf\xbd"
                                                     "A");
    cr_expect_str_eq(decode(VIEW("\\u12")), "\xef\xbf\xbd"
                                            "12");
    cr_expect_str_eq(decode(VIEW("\\")), "\xef\xbf\xbd");
    cr_expect_str_eq(decode(VIEW("\\x\xff")), "\xef\xbf\xbdx\xef\xbf\xbd");
}

Test(record_read, a_cut_ends_behind_a_member_and_fits)
{
    struct buffer out = {0}, cut = {0};
    struct audit_event event = event_full();
    struct view line = render(&out, &event);
    size_t last = 0;

    for (size_t limit = 0; limit <= line.length; limit++) {
        size_t end = record_cut(line, limit);
        cr_assert(end == 0 || end + 1 <= limit);
        cr_assert_geq(end, last);
        if (end == last)
            continue;
        last = end;
        buffer_clear(&cut);
        buffer_append(&cut, view_of(line.data, end));
        buffer_append_byte(&cut, '}');
        json_t *document = json_loadb((const char *)cut.data, buffer_length(&cut), 0, NULL);
        cr_assert_not_null(document);
        json_decref(document);
    }
    cr_assert_eq(last, line.length - 1, "all of it, but its bracket");
    buffer_release(&cut);
    buffer_release(&out);
}

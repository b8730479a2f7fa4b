/* SPDX-License-Identifier: Apache-2.0 */
/* The strict subset of YAML: what is read, with which places, and what is refused. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/yaml.h"

struct reading {
    struct diag_source source;
    struct diag_list *list;
    struct arena *arena;
    struct yaml_node *root;
    char *output; /* the diagnostics as printed */
};

static struct reading *read_bytes(struct view text)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    reading->source = (struct diag_source){.path = "f", .text = text};
    reading->list = diag_list_new();
    reading->arena = arena_new();
    reading->root = yaml_read(reading->arena, &reading->source, reading->list);
    size_t length = 0;
    FILE *out = open_memstream(&reading->output, &length);
    diag_print(reading->list, out);
    fclose(out);
    return reading;
}

static struct reading *read_text(const char *text)
{
    return read_bytes(view_of_string(text));
}

static void reading_free(struct reading *reading)
{
    free(reading->output);
    arena_free(reading->arena);
    diag_list_free(reading->list);
    free(reading);
}

/* The text gives exactly one error, this one. */
static void expect_error(const char *text, const char *error)
{
    struct reading *reading = read_text(text);
    cr_expect_eq(diag_errors(reading->list), 1, "'%s' gave\n%s", text, reading->output);
    cr_expect_eq(strncmp(reading->output, error, strlen(error)), 0, "'%s' gave\n%s", text, reading->output);
    reading_free(reading);
}

static void expect_good(const char *text)
{
    struct reading *reading = read_text(text);
    cr_expect_not_null(reading->root, "'%s'", text);
    cr_expect_eq(diag_errors(reading->list), 0, "'%s' gave\n%s", text, reading->output);
    reading_free(reading);
}

static void expect_place(const struct diag_place *place, uint32_t line, uint32_t column, uint32_t length)
{
    cr_expect_eq(place->line, line, "line %u, expected %u", place->line, line);
    cr_expect_eq(place->column, column, "column %u, expected %u", place->column, column);
    cr_expect_eq(place->length, length, "length %u, expected %u", place->length, length);
}

Test(yaml, a_mapping_has_its_members_in_order_with_their_places)
{
    struct reading *reading = read_text("version: 1\nlist:\n  - \"x y\"\n  - [a, b]\n");
    cr_assert_not_null(reading->root);
    cr_expect_eq(reading->root->kind, YAML_MAPPING);
    cr_expect_eq(reading->root->count, 2);
    expect_place(&reading->root->place, 1, 1, 7);

    const struct yaml_node *version = reading->root->first;
    cr_expect(view_equal(version->key, VIEW("version")));
    cr_expect(view_equal(version->text, VIEW("1")));
    cr_expect_not(version->quoted);
    expect_place(&version->key_place, 1, 1, 7);
    expect_place(&version->place, 1, 10, 1);

    const struct yaml_node *list = version->next;
    cr_expect_eq(list->kind, YAML_SEQUENCE);
    cr_expect_eq(list->count, 2);
    expect_place(&list->key_place, 2, 1, 4);
    cr_expect(view_equal(list->first->text, VIEW("x y")));
    cr_expect(list->first->quoted);
    expect_place(&list->first->place, 3, 5, 5);
    expect_place(&list->first->next->place, 4, 5, 1);
    expect_place(&list->first->next->first->next->place, 4, 9, 1);
    cr_expect_null(list->next);
    reading_free(reading);
}

Test(yaml, columns_count_bytes)
{
    struct reading *reading = read_text("# größe\n\"größe\": ä # ü\nnext: €\n");
    cr_assert_not_null(reading->root);
    expect_place(&reading->root->first->key_place, 2, 1, 9);
    expect_place(&reading->root->first->place, 2, 12, 2);
    expect_place(&reading->root->first->next->place, 3, 7, 3);
    reading_free(reading);
}

Test(yaml, lines_may_end_with_carriage_return_and_line_feed)
{
    struct reading *reading = read_text("a: 1\r\nb: 2\r\n");
    cr_assert_not_null(reading->root);
    cr_expect_eq(diag_errors(reading->list), 0);
    cr_expect(view_equal(reading->root->first->text, VIEW("1")));
    expect_place(&reading->root->first->next->place, 2, 4, 1);
    reading_free(reading);
}

Test(yaml, text_of_several_lines_is_underlined_to_the_end_of_the_first)
{
    struct reading *reading = read_text("a: \"x\n  y\"\nb: |\n  z\n");
    cr_assert_not_null(reading->root);
    expect_place(&reading->root->first->place, 1, 4, 2);
    cr_expect(view_equal(reading->root->first->text, VIEW("x y")));
    cr_expect(reading->root->first->next->quoted, "a block is never a keyword");
    cr_expect(view_equal(reading->root->first->next->text, VIEW("z\n")));
    reading_free(reading);
}

Test(yaml, what_the_subset_has_is_accepted)
{
    expect_good("---\na: 1\n...\n");
    expect_good("{a: [], b: {}, c: \"\"}\n");
    expect_good("a: \"yes\"\nb: 'null'\nc: true\nd: yesterday\ne: \"~\"\n");
    expect_good("'no': x\n");
    expect_good("- a\n- b\n");
    expect_good("a: \"\\t\\n\\x41\\u00e4\"\n");
    expect_good("a: dt/<site>/<id>/#\nb: $share/g/x\nc: \"#\"\n");
    expect_good("text\n");
}

Test(yaml, words_that_other_readers_take_for_something_else_are_refused)
{
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "null", "~", "Yes", "NO", "On",
        "OFF", "Y", "N", "Null", "NULL", "yEs"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        char text[32], error[64];
        snprintf(text, sizeof(text), "a: %s\n", words[i]);
        snprintf(error, sizeof(error), "f:1:4: error: the unquoted word '%s' is ambiguous", words[i]);
        expect_error(text, error);
    }
    expect_error("off: 1\n", "f:1:1: error: the unquoted word 'off' is ambiguous");
    expect_error("[a, no]\n", "f:1:5: error: the unquoted word 'no' is ambiguous");
}

Test(yaml, features_that_surprise_are_refused)
{
    expect_error("a: &x 1\n", "f:1:4: error: anchors are not supported");
    expect_error("a: &x [1]\n", "f:1:4: error: anchors are not supported");
    expect_error("&x a: 1\n", "f:1:1: error: anchors are not supported");
    expect_error("a: *x\n", "f:1:4: error: aliases are not supported");
    expect_error("*x : 1\n", "f:1:1: error: aliases are not supported");
    expect_error("a: !!str 1\n", "f:1:4: error: tags are not supported");
    expect_error("a: !include {b: 1}\n", "f:1:4: error: tags are not supported");
    expect_error("<<: {a: 1}\n", "f:1:1: error: merge keys are not supported");
    expect_error("%YAML 1.1\n---\na: 1\n", "f:1:1: error: directives such as %YAML are not supported");
    expect_error(
        "%TAG ! tag:x,2000:\n---\na: 1\n", "f:1:1: error: directives such as %YAML are not supported");
    expect_error("a: 1\n---\nb: 1\n", "f:2:1: error: a second document in the file");
    expect_error("[a]: 1\n", "f:1:1: error: a key must be plain text, not a list");
    expect_error("{a: 1}: 1\n", "f:1:1: error: a key must be plain text, not a mapping");
    expect_error("{a, b: 1}\n", "f:1:2: error: 'a' has no value");
}

Test(yaml, values_that_are_not_there_are_refused)
{
    expect_error("a:\nb: 1\n", "f:1:1: error: 'a' has no value");
    expect_error("a:\n  - 1\n  -\n", "f:3:4: error: an empty value");
    expect_error("a:\n  - # x\n", "f:2:4: error: an empty value");
    expect_error("?\n: 1\n", "f:1:2: error: a key is missing before the ':'");
    expect_error("", "f: error: the file is empty");
    expect_error("# nothing\n", "f: error: the file is empty");
}

Test(yaml, a_key_given_twice_is_refused_with_both_places)
{
    struct reading *reading = read_text("a: 1\nb: 2\na: 3\n\"a\": 4\n");
    cr_expect_str_eq(reading->output,
        "f:3:1: error: duplicate key 'a'\na: 3\n^\n  hint: first given at line 1, column 1\n"
        "f:4:1: error: duplicate key 'a'\n\"a\": 4\n^~~\n  hint: first given at line 1, column 1\n");
    reading_free(reading);
    expect_error("x: {k: 1, k: 2}\nz: {k: 1}\n", "f:1:11: error: duplicate key 'k'");
}

Test(yaml, characters_that_hide_or_reorder_text_are_refused)
{
    expect_error("a:\tb\n", "f:1:3: error: a tab");
    expect_error("a: 1 #\tx\n", "f:1:7: error: a tab");
    expect_error("a: \033b\n", "f:1:4: error: a control character");
    expect_error("a: \x7f\n", "f:1:4: error: a control character");
    expect_error("# x\rb: 1\na: 1\n", "f:1:4: error: a carriage return that ends no line");
    expect_error("# x\xc2\x85"
                 "b: 1\na: 1\n",
        "f:1:4: error: a control character");
    expect_error("# x\xe2\x80\xa8"
                 "b: 1\na: 1\n",
        "f:1:4: error: an invisible line separator");
    expect_error(
        "a: \"\xe2\x80\xae\"\n", "f:1:5: error: a control character that reorders text on the screen");
    expect_error("\xef\xbb\xbf"
                 "a: 1\n",
        "f:1:1: error: a byte order mark");
    expect_error("a: \xff\n", "f:1:4: error: not valid UTF-8");
    expect_error("a: \xed\xa0\x80\n", "f:1:4: error: not valid UTF-8");
}

Test(yaml, escapes_bring_no_control_characters_in)
{
    expect_error("a: \"\\0\"\n", "f:1:4: error: a control character in a string");
    expect_error("a: \"\\e\"\n", "f:1:4: error: a control character in a string");
    expect_error("\"\\x07\": 1\n", "f:1:1: error: a control character in a string");
    expect_error("a: \"\\N\"\n", "f:1:4: error: a control character in a string");
}

Test(yaml, a_file_of_bytes_is_no_text)
{
    struct reading *reading = read_bytes(VIEW("a: 1\n\0b: 2\n"));
    cr_expect_null(reading->root);
    cr_expect_str_eq(reading->output, "f: error: not a text file: it contains zero bytes\n");
    reading_free(reading);
    reading = read_text("\1\2\3\4\5\6\7\1\2\3\4\5\6\7");
    cr_expect_null(reading->root);
    cr_expect_eq(diag_errors(reading->list), 10, "ten are enough");
    reading_free(reading);
}

Test(yaml, nesting_is_bounded)
{
    expect_good("[[[[[[[[[[[[x]]]]]]]]]]]]\n");
    expect_error("[[[[[[[[[[[[[x]]]]]]]]]]]]]\n", "f:1:13: error: nested deeper than 12 levels");
    struct buffer deep = {0};
    for (int i = 0; i < 500000; i++)
        buffer_append_byte(&deep, i % 2 == 0 ? '[' : '{');
    struct reading *reading = read_bytes(buffer_view(&deep));
    cr_expect_null(reading->root);
    reading_free(reading);
    buffer_release(&deep);
}

Test(yaml, the_number_of_values_is_bounded)
{
    struct buffer many = {0};
    for (int i = 0; i < 200001; i++)
        buffer_append(&many, VIEW("- 1\n"));
    struct reading *reading = read_bytes(buffer_view(&many));
    cr_expect_null(reading->root);
    cr_expect_eq(
        strncmp(reading->output, "f:200000:3: error: more than 200000 values", 40), 0, "%s", reading->output);
    reading_free(reading);
    buffer_release(&many);
}

Test(yaml, syntax_errors_have_a_place_and_a_hint)
{
    struct reading *reading = read_text("a: 1\n b: 2\n");
    cr_expect_null(reading->root);
    cr_expect_str_eq(reading->output,
        "f:2:3: error: not valid YAML: a ': ' where no key can be\n b: 2\n  ^\n"
        "  hint: one 'key: value' a line, below the keys of the same mapping; text that contains ': ' needs "
        "quotes\n");
    reading_free(reading);
    expect_error("a: \"x\nb: 1\n", "f:1:4: error: not valid YAML: a quote that is never closed\n");
    expect_error("a: @x\n", "f:1:4: error: not valid YAML: a character that no value begins with");
    expect_error("a: *\n", "f:1:4: error: not valid YAML: a value that begins with '*'");
    expect_error("a: - b\n", "f:1:4: error: not valid YAML: a '- ' where no list can begin");
    expect_error("a: \"\\q\"\n", "f:1:5: error: not valid YAML: a backslash that means nothing");
    expect_error("{a: b}.\n", "f:1:7: error: not valid YAML: text behind the end of a value");
    expect_error("a: \"b\" c\n", "f:1:8: error: not valid YAML: text behind the end of a value");
    expect_error("a:\n  b: 1\n c: 2\n", "f:3:2: error: not valid YAML: a line that fits none above it");
}

Test(yaml, what_is_not_closed_is_blamed_where_it_begins)
{
    expect_error(
        "ä: [1, 2\nb: 1\n", "f:1:5: error: not valid YAML: a bracket that is not closed before line 2");
    expect_error(
        "a: {b: 1\nc: 1\n", "f:1:4: error: not valid YAML: a bracket that is not closed before line 2");
    expect_error("a: [1 {2}]\n", "f:1:7: error: not valid YAML: expected ',' or ']'");
}

Test(yaml, a_wildcard_that_begins_a_comment_is_blamed)
{
    static const char said[] = "error: not valid YAML: a '#' after a blank or a bracket begins a comment";
    char expected[120];
    snprintf(expected, sizeof(expected), "f:1:8: %s", said);
    expect_error("a: [b, #]\nc: 1\n", expected);
    snprintf(expected, sizeof(expected), "f:1:5: %s", said);
    expect_error("a: [#]\n", expected);
    snprintf(expected, sizeof(expected), "f:1:11: %s", said);
    expect_error("a: {b: c, #}\n", expected);
    /* This comment hides no bracket. */
    expect_error(
        "a: [b, # the first\nc: 1\n", "f:1:4: error: not valid YAML: a bracket that is never closed");
    expect_error("a: ['#]', \"#]\", b #]\n", "f:1:19: error: not valid YAML: a '#' after a blank");
}

Test(yaml, lines_without_quotes_are_no_text)
{
    static const char said[] = "error: text of several lines without quotes\n";
    char expected[80];
    snprintf(expected, sizeof(expected), "f:3:5: %s", said);
    expect_error("a:\n  - b\n    c\n", expected);
    snprintf(expected, sizeof(expected), "f:4:3: %s", said);
    expect_error("a: b\n\n\n  c   # d\ne: f\n", expected);
    expect_good("a: \"b\n  c\"\n");
    expect_good("b\nc\n");
}

Test(yaml, an_item_without_its_dash_is_one_error)
{
    struct reading *reading =
        read_text("- {x: 1}\n- a: 1\n  b: 2\n  a: 3\n  b: 4\n  a: 5\n  b: 6\n  c: 7\n- d: 8\n");
    cr_expect_str_eq(reading->output, "f:4:3: error: key 'a' for the second time in this item\n  a: 3\n  ^\n"
                                      "  hint: a new item of the list begins with '- '\n"
                                      "f:6:3: error: key 'a' for the second time in this item\n  a: 5\n  ^\n"
                                      "  hint: a new item of the list begins with '- '\n");
    cr_assert_not_null(reading->root);
    cr_expect_eq(reading->root->count, 5, "%zu items", reading->root->count);
    const struct yaml_node *second = reading->root->first->next, *fourth = second->next->next;
    cr_expect_eq(second->count, 2);
    cr_expect_eq(fourth->count, 3);
    cr_expect(view_equal(fourth->first->next->next->text, VIEW("7")));
    cr_expect_null(fourth->next->next);
    reading_free(reading);
    expect_error("- a: 1\n  b: 2\n  a: 3\n", "f:3:3: error: duplicate key 'a'");
    reading = read_text("a: 1\nb: 2\na: 3\nb: 4\n");
    cr_expect_eq(diag_errors(reading->list), 2, "it is no item of a list: %s", reading->output);
    reading_free(reading);
}

Test(yaml, typographic_quotes_are_refused)
{
    expect_error("a: “b”\n", "f:1:4: error: a typographic quote, which quotes nothing");
    expect_error("- ‘b’\n", "f:1:3: error: a typographic quote, which quotes nothing");
    expect_good("a: \"“b”\"\n");
}

Test(yaml, tabs_are_one_error)
{
    struct reading *reading = read_text("a:\n\tb: 1\n\tc:\t2\n\t\td: 3\n");
    cr_expect_null(reading->root, "nothing can be said of the indentation");
    cr_expect_str_eq(reading->output,
        "f:2:1: error: a tab: use blanks (inside quotes: \\t)\n b: 1\n^\n  hint: the same in 2 more lines\n");
    reading_free(reading);
    reading = read_text("a:\t1\nb: yes\n");
    cr_expect_eq(diag_errors(reading->list), 2, "elsewhere reading goes on: %s", reading->output);
    reading_free(reading);
}

Test(yaml, reading_goes_on_after_an_error)
{
    struct reading *reading = read_text("a: yes\n[x]: {y: [1]}\n<<: 1\nb: &q 2\nc:\nd: 3\n");
    cr_expect_eq(diag_errors(reading->list), 5);
    cr_assert_not_null(reading->root);
    cr_expect_eq(reading->root->count, 4, "what has no usable key is left out");
    const struct yaml_node *last = reading->root->first->next->next->next;
    cr_expect(reading->root->first->refused);
    cr_expect(view_equal(last->key, VIEW("d")));
    cr_expect_not(last->refused);
    reading_free(reading);
}

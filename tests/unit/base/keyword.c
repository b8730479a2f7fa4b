/* SPDX-License-Identifier: Apache-2.0 */
/* Keyword tables: setters, defaults, what is refused and with which words, and the reference. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/keyword.h"

struct inner {
    uint64_t number;
    bool flag;
};

struct outer {
    struct keyword_string name;
    struct keyword_strings names;
    struct keyword_strings one_or_many;
    bool flag;
    bool flag_seen;
    uint64_t number, size, duration, budget;
    uint32_t share;
    int choice;
    unsigned choices;
    struct inner inner;
};

static const struct keyword inner_table[] = {
    {.name = "number",
        .set = keyword_set_number,
        .offset = offsetof(struct inner, number),
        .default_text = "7",
        .help = "A number."},
    {.name = "flag",
        .set = keyword_set_boolean,
        .offset = offsetof(struct inner, flag),
        .flags = KEYWORD_REQUIRED,
        .help = "A flag."},
    {0},
};

static const struct keyword_choice colours[] = {
    {"red", 1, false, "as blood."}, {"green", 2, false, NULL}, {"blue", 4, true, NULL}, {0}};

#define OUTER(field) offsetof(struct outer, field)

static const struct keyword outer_table[] = {
    {.name = "name",
        .set = keyword_set_string,
        .offset = OUTER(name),
        .default_text = "nobody",
        .help = "A name."},
    {.name = "names", .set = keyword_set_strings, .offset = OUTER(names)},
    {.name = "one_or_many",
        .set = keyword_set_strings,
        .offset = OUTER(one_or_many),
        .flags = KEYWORD_ONE_OR_MANY},
    {.name = "flag",
        .set = keyword_set_boolean,
        .offset = OUTER(flag),
        .default_text = "true",
        .seen_offset = 1 + OUTER(flag_seen)},
    {.name = "number", .set = keyword_set_number, .offset = OUTER(number), .minimum = 2, .maximum = 10},
    {.name = "size",
        .set = keyword_set_size,
        .offset = OUTER(size),
        .default_text = "64KiB",
        .minimum = 1024},
    {.name = "duration", .set = keyword_set_duration_ms, .offset = OUTER(duration), .default_text = "10s"},
    {.name = "budget",
        .set = keyword_set_duration_ns,
        .offset = OUTER(budget),
        .default_text = "20us",
        .maximum = 1000000000},
    {.name = "share", .set = keyword_set_share_ppm, .offset = OUTER(share), .default_text = "1%"},
    {.name = "choice",
        .set = keyword_set_choice,
        .offset = OUTER(choice),
        .default_text = "red",
        .choices = colours,
        .help = "A colour."},
    {.name = "choices", .set = keyword_set_choices, .offset = OUTER(choices), .choices = colours},
    {.name = "inner", .set = keyword_set_mapping, .offset = OUTER(inner), .members = inner_table},
    {.name = "future", .flags = KEYWORD_UNSUPPORTED},
    {0},
};

struct reading {
    struct diag_source source;
    struct diag_list *list;
    struct arena *arena;
    struct outer outer;
    size_t errors; /* what keyword_read() returned */
    char *output;
};

static struct reading *read_table(const struct keyword *table, const char *text)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    reading->source = (struct diag_source){.path = "f", .text = view_of_string(text)};
    reading->list = diag_list_new();
    reading->arena = arena_new();
    const struct yaml_node *root = yaml_read(reading->arena, &reading->source, reading->list);
    cr_assert_not_null(root, "'%s'", text);
    struct keyword_context context = {.arena = reading->arena, .diag = reading->list};
    reading->errors = keyword_read(&context, table, &reading->outer, root);
    size_t length = 0;
    FILE *out = open_memstream(&reading->output, &length);
    diag_print(reading->list, out);
    fclose(out);
    return reading;
}

static void reading_free(struct reading *reading)
{
    free(reading->output);
    arena_free(reading->arena);
    diag_list_free(reading->list);
    free(reading);
}

static void expect_error(const char *text, const char *error)
{
    struct reading *reading = read_table(outer_table, text);
    cr_expect_eq(reading->errors, 1, "'%s' gave\n%s", text, reading->output);
    cr_expect_eq(diag_errors(reading->list), 1, "'%s' gave\n%s", text, reading->output);
    cr_expect_not_null(strstr(reading->output, error), "'%s' gave\n%s", text, reading->output);
    reading_free(reading);
}

Test(keyword, an_empty_mapping_gets_the_defaults)
{
    struct reading *reading = read_table(outer_table, "{}");
    const struct outer *outer = &reading->outer;
    cr_expect_eq(reading->errors, 0, "%s", reading->output);
    cr_expect(view_equal(outer->name.text, VIEW("nobody")));
    cr_expect(outer->flag);
    cr_expect_not(outer->flag_seen, "a default was not given");
    cr_expect_eq(outer->size, 65536);
    cr_expect_eq(outer->duration, 10000);
    cr_expect_eq(outer->budget, 20000);
    cr_expect_eq(outer->share, 10000);
    cr_expect_eq(outer->choice, 1);
    cr_expect_eq(outer->number, 0, "without a default the field stays as it is");
    cr_expect_eq(outer->names.count, 0);
    reading_free(reading);
}

Test(keyword, every_setter_reads_its_value)
{
    struct reading *reading = read_table(outer_table,
        "name: \"x\"\nnames: [a, 'b']\none_or_many: c\nflag: false\nnumber: 10\nsize: 1MiB\nduration: 2m\n"
        "budget: 3ms\nshare: 0.5%\nchoice: green\nchoices: [red, green]\ninner: {flag: true, number: 8}\n");
    const struct outer *outer = &reading->outer;
    cr_expect_eq(reading->errors, 0, "%s", reading->output);
    cr_expect(view_equal(outer->name.text, VIEW("x")));
    cr_expect(outer->name.quoted);
    cr_expect_eq(outer->name.place.column, 7);
    cr_assert_eq(outer->names.count, 2);
    cr_expect(view_equal(outer->names.items[1].text, VIEW("b")));
    cr_expect_eq(outer->names.items[1].place.column, 12);
    cr_assert_eq(outer->one_or_many.count, 1);
    cr_expect(view_equal(outer->one_or_many.items[0].text, VIEW("c")));
    cr_expect_not(outer->flag);
    cr_expect(outer->flag_seen);
    cr_expect_eq(outer->number, 10);
    cr_expect_eq(outer->size, 1 << 20);
    cr_expect_eq(outer->duration, 120000);
    cr_expect_eq(outer->budget, 3000000);
    cr_expect_eq(outer->share, 5000);
    cr_expect_eq(outer->choice, 2);
    cr_expect_eq(outer->choices, 3);
    cr_expect_eq(outer->inner.number, 8);
    cr_expect(outer->inner.flag);
    reading_free(reading);
}

Test(keyword, a_single_choice_is_a_list_of_one)
{
    struct reading *reading = read_table(outer_table, "choices: green\n");
    cr_expect_eq(reading->outer.choices, 2);
    reading_free(reading);
}

Test(keyword, keys_that_are_not_in_the_table_are_refused_with_a_suggestion)
{
    struct reading *reading = read_table(outer_table, "nmae: x\n");
    cr_expect_str_eq(
        reading->output, "f:1:1: error: unknown key 'nmae'\nnmae: x\n^~~~\n  hint: did you mean 'name'?\n");
    reading_free(reading);
    expect_error("zzzzz: x\n", "hint: expected one of name, names, one_or_many, flag, number");
    expect_error("future: x\n", "error: 'future' is not supported by this version");
    expect_error("choice: blue\n", "error: choice: 'blue' is not supported by this version");
}

Test(keyword, a_key_of_a_mapping_inside_is_shown_its_place)
{
    expect_error("inner: {flag: true}\nflg_x: x\n", "unknown key 'flg_x'");
    static const struct keyword table[] = {
        {.name = "inner", .set = keyword_set_mapping, .members = inner_table}, {0}};
    struct reading *reading = read_table(table, "number: 1\n");
    cr_expect_str_eq(reading->output,
        "f:1:1: error: unknown key 'number'\nnumber: 1\n^~~~~~\n  hint: it belongs under 'inner'\n");
    reading_free(reading);
}

/* One error each: a key that is misspelt is not missing besides. */
Test(keyword, a_required_key_that_is_misspelt_is_not_missing)
{
    struct reading *reading = read_table(outer_table, "inner: {flga: true}\n");
    cr_expect_str_eq(reading->output, "f:1:9: error: unknown key 'flga'\ninner: {flga: true}\n        ^~~~\n"
                                      "  hint: did you mean 'flag'?\n");
    reading_free(reading);
}

/* What a misspelt key holds is checked in the same run, unless the key is there in its right form, too. */
Test(keyword, the_value_of_a_misspelt_key_is_read)
{
    struct reading *reading = read_table(outer_table, "nmber: 11\nchoise: green\n");
    cr_expect_eq(diag_errors(reading->list), 3, "%s", reading->output);
    cr_expect_not_null(strstr(reading->output, "f:1:8: error: number: must be from 2 to 10, found '11'"),
        "%s", reading->output);
    cr_expect_eq(reading->outer.choice, 2);
    reading_free(reading);
    reading = read_table(outer_table, "number: 3\nnmber: 11\n");
    cr_expect_eq(diag_errors(reading->list), 1, "%s", reading->output);
    cr_expect_eq(reading->outer.number, 3);
    reading_free(reading);
}

Test(keyword, words_of_others_are_translated)
{
    static const struct keyword_foreign keys[] = {
        {"colour", "write 'choice'", "choice"}, {"size", "write 'bytes'", NULL}, {0}};
    static const struct keyword_foreign values[] = {{"crimson", "write red", NULL}, {0}};
    static const struct keyword table[] = {
        {.name = "choice",
            .set = keyword_set_choice,
            .offset = OUTER(choice),
            .flags = KEYWORD_REQUIRED,
            .choices = colours,
            .foreign = values},
        {.foreign = keys},
    };
    static const struct {
        const char *text, *hint;
        size_t errors;
    } rows[] = {
        {"colour: red\n", "unknown key 'colour'\ncolour: red\n^~~~~~\n  hint: write 'choice'\n", 1},
        {"Colour: crimson\n", "unknown key 'Colour'\nColour: crimson\n^~~~~~\n  hint: write 'choice'\n", 1},
        {"size: 1\n", "unknown key 'size'\nsize: 1\n^~~~\n  hint: write 'bytes'\n", 2},
        {"choice: Crimson\n",
            "unknown value 'Crimson'\nchoice: Crimson\n        ^~~~~~~\n  hint: write red\n", 1},
        {"choice: red, green\n", "hint: a list stands in [ ]: [red, green]\n", 1},
        {"choice: crimsom\n", "hint: expected one of red, green\n", 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading *reading = read_table(table, rows[i].text);
        cr_expect_not_null(strstr(reading->output, rows[i].hint), "%s", reading->output);
        cr_expect_eq(diag_errors(reading->list), rows[i].errors, "%s", reading->output);
        reading_free(reading);
    }
}

struct either {
    uint64_t left, right, other;
};

static const struct keyword either_table[] = {
    {.name = "left",
        .set = keyword_set_number,
        .offset = offsetof(struct either, left),
        .flags = KEYWORD_ALTERNATIVE},
    {.name = "right",
        .set = keyword_set_number,
        .offset = offsetof(struct either, right),
        .flags = KEYWORD_ALTERNATIVE},
    {.name = "other", .set = keyword_set_number, .offset = offsetof(struct either, other)},
    {0},
};

static void expect_of_either(const char *text, const char *output)
{
    struct reading *reading = read_table(either_table, text);
    cr_expect_str_eq(reading->output, output);
    reading_free(reading);
}

Test(keyword, of_alternatives_exactly_one_is_given)
{
    expect_of_either("left: 1\n", "");
    expect_of_either("right: 1\nother: 2\n", "");
    expect_of_either(
        "other: 2\n", "f:1:1: error: missing one of the keys 'left', 'right'\nother: 2\n^~~~~\n");
    expect_of_either("left: 1\nright: 2\n", "f:2:1: error: 'right' beside 'left': an entry has one of them\n"
                                            "right: 2\n^~~~~\n  hint: make two entries of it\n");
    expect_of_either(
        "lfet: 1\n", "f:1:1: error: unknown key 'lfet'\nlfet: 1\n^~~~\n  hint: did you mean 'left'?\n");
}

Test(keyword, required_keys_are_named_at_the_mapping)
{
    struct reading *reading = read_table(outer_table, "inner: {number: 1}\n");
    cr_expect_str_eq(reading->output, "f:1:8: error: missing key 'flag'\ninner: {number: 1}\n       ^\n");
    reading_free(reading);
}

Test(keyword, wrong_values_say_what_was_expected_and_found)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"name: [a]\n", "name: expected a string or number, found a list"},
        {"name: ''\n", "name: must not be empty"},
        {"names: a\n", "names: expected a list, found a string"},
        {"names: 5\n", "names: expected a list, found a number"},
        {"names: []\n", "names: the list is empty"},
        {"names: [a, {b: c}]\n", "names: expected a string or number, found a mapping"},
        {"flag: 'true'\n", "flag: expected true or false, found the string 'true'"},
        {"flag: True\n", "flag: expected true or false, found 'True'"},
        {"number: 1\n", "number: must be from 2 to 10, found '1'"},
        {"number: 11\n", "number: must be from 2 to 10, found '11'"},
        {"number: '5'\n", "number: expected a whole number, found the string '5'"},
        {"number: 05\n", "number: expected a whole number, found '05'"},
        {"number: 18446744073709551616\n", "number: expected a whole number, found '18446744073709551616'"},
        {"size: 1000\n", "size: must be at least 1KiB, found '1000'"},
        {"size: 1Mb\n", "size: expected a size, found '1Mb'"},
        {"duration: 10\n", "duration: expected a duration, found '10'"},
        {"duration: [10s]\n", "duration: expected a duration, found a list"},
        {"budget: 10\n", "budget: expected a duration, found '10'\nbudget: 10\n        ^~\n"
                         "  hint: a number and, without a blank, one of us, ms, s: 20us"},
        {"budget: 2s\n", "budget: must be from 0 to 1s, found '2s'"},
        {"share: 101%\n", "share: expected a share, found '101%'"},
        {"choice: rde\n",
            "choice: unknown value 'rde'\nchoice: rde\n        ^~~\n  hint: did you mean 'red'?"},
        {"choice: [red]\n", "choice: expected a string or number, found a list"},
        {"choices: []\n", "choices: the list is empty"},
        {"choices: {red: 1}\n", "choices: expected a list, found a mapping"},
        {"inner: true\n", "inner: expected a mapping, found a string"},
        {"[]\n", "expected a mapping, found a list"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_error(rows[i].text, rows[i].error);
}

Test(keyword, what_the_reader_of_the_file_refused_gives_no_second_error)
{
    struct reading *reading = read_table(outer_table, "flag: yes\nname:\nnames: *x\nnumber: &n 5\n");
    cr_expect_eq(diag_errors(reading->list), 4, "%s", reading->output);
    cr_expect_gt(reading->errors, 0, "but the mapping is not usable");
    reading_free(reading);
}

Test(keyword, of_a_key_given_twice_the_first_is_read)
{
    struct reading *reading = read_table(outer_table, "number: 3\nnumber: 4\n");
    cr_expect_eq(reading->outer.number, 3);
    cr_expect_eq(diag_errors(reading->list), 1);
    reading_free(reading);
}

Test(keyword, the_reference_shows_every_row)
{
    struct buffer out = {0};
    keyword_print_reference(&out, outer_table, "Title", 2);
    buffer_append_byte(&out, '\0');
    cr_expect_str_eq((char *)out.data,
        "## Title\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
        "| `name` | string | `nobody` | A name. |\n"
        "| `names` | list of strings | none |  |\n"
        "| `one_or_many` | string or list of strings | none |  |\n"
        "| `flag` | `true` or `false` | `true` |  |\n"
        "| `number` | number from 2 to 10 | none |  |\n"
        "| `size` | size at least 1KiB | `64KiB` |  |\n"
        "| `duration` | duration | `10s` |  |\n"
        "| `budget` | duration from 0 to 1s | `20us` |  |\n"
        "| `share` | share | `1%` |  |\n"
        "| `choice` | `red`, `green` | `red` | A colour. `red`: as blood. `blue`: not supported by this "
        "version. |\n"
        "| `choices` | one or a list of `red`, `green` | none |  `red`: as blood. `blue`: not supported by "
        "this version. |\n"
        "| `inner` | mapping | none |  |\n"
        "| `future` | | | Not supported by this version. |\n"
        "\n### `inner`\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
        "| `number` | number | `7` | A number. |\n"
        "| `flag` | `true` or `false` | required | A flag. |\n");
    buffer_release(&out);
}

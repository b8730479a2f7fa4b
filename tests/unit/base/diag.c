/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics: what is printed, in which order, and how hostile text is kept from the terminal. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/diag.h"
#include "base/json.h"

static struct diag_source source_of(const char *text)
{
    return (struct diag_source){.path = "file.yaml", .text = view_of_string(text)};
}

static struct diag_place place_in(
    const struct diag_source *source, uint32_t line, uint32_t column, uint32_t length)
{
    return (struct diag_place){source, line, column, length};
}

/* Prints the list, compares, frees it. */
static void expect_output(struct diag_list *list, const char *expected)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    diag_print(list, out);
    fclose(out);
    cr_expect_str_eq(text, expected);
    free(text);
    diag_list_free(list);
}

static void expect_one(
    const char *text, uint32_t line, uint32_t column, uint32_t length, const char *expected)
{
    struct diag_source source = source_of(text);
    struct diag_place place = place_in(&source, line, column, length);
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, &place, NULL, "m");
    expect_output(list, expected);
}

Test(diag, prints_place_message_line_caret_and_hint)
{
    struct diag_source source = source_of("version: 1\ntopcis: [a]\n");
    struct diag_place place = place_in(&source, 2, 1, 6);
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, &place, "did you mean 'topics'?", "unknown key '%s'", "topcis");
    expect_output(list, "file.yaml:2:1: error: unknown key 'topcis'\ntopcis: [a]\n^~~~~~\n"
                        "  hint: did you mean 'topics'?\n");
}

Test(diag, a_file_as_a_whole_has_no_line)
{
    struct diag_source source = source_of("a\n");
    struct diag_place place = {.source = &source};
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_WARNING, &place, NULL, "m");
    diag_add(list, DIAG_ERROR, NULL, NULL, "no place at all");
    cr_expect_eq(diag_errors(list), 1);
    cr_expect_eq(diag_warnings(list), 1);
    expect_output(list, "error: no place at all\nfile.yaml: warning: m\n");
}

Test(diag, is_sorted_by_file_and_place_and_keeps_the_order_within_a_place)
{
    struct diag_source a = source_of("x\ny\n"), b = source_of("z\n");
    a.path = "b.yaml";
    b.path = "a.yaml";
    const struct diag_place places[] = {place_in(&a, 2, 1, 1), place_in(&a, 1, 1, 1), place_in(&b, 1, 1, 1)};
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, &places[0], NULL, "third");
    diag_add(list, DIAG_ERROR, &places[0], NULL, "fourth");
    diag_add(list, DIAG_ERROR, &places[1], NULL, "second");
    diag_add(list, DIAG_ERROR, &places[2], NULL, "first");
    expect_output(list, "a.yaml:1:1: error: first\nz\n^\nb.yaml:1:1: error: second\nx\n^\n"
                        "b.yaml:2:1: error: third\ny\n^\nb.yaml:2:1: error: fourth\ny\n^\n");
}

Test(diag, the_same_message_at_the_same_place_is_listed_and_counted_once)
{
    struct diag_source source = source_of("x\n");
    struct diag_place place = place_in(&source, 1, 1, 1);
    struct diag_list *list = diag_list_new();
    for (int i = 0; i < 3; i++)
        diag_add(list, DIAG_ERROR, &place, NULL, "m");
    cr_expect_eq(diag_errors(list), 1);
    expect_output(list, "file.yaml:1:1: error: m\nx\n^\n");
}

Test(diag, the_caret_stands_below_its_character_whatever_the_bytes_before_it)
{
    expect_one("größe: bad\n", 1, 10, 3, "file.yaml:1:10: error: m\ngröße: bad\n       ^~~\n");
    expect_one("\t\tbad\n", 1, 3, 3, "file.yaml:1:3: error: m\n  bad\n  ^~~\n");
    expect_one("\xff\xfe bad\n", 1, 4, 3, "file.yaml:1:4: error: m\n?? bad\n   ^~~\n");
}

Test(diag, an_underline_ends_with_its_line_and_a_place_beyond_it_is_moved_to_its_end)
{
    expect_one("abc\ndef\n", 1, 2, 100, "file.yaml:1:2: error: m\nabc\n ^~\n");
    expect_one("abc\r\ndef\n", 1, 2, 100, "file.yaml:1:2: error: m\nabc\n ^~\n");
    expect_one("abc\n", 1, 50, 1, "file.yaml:1:50: error: m\nabc\n   ^\n");
    expect_one("abc\n", 7, 1, 1, "file.yaml:7:1: error: m\n\n^\n");
    expect_one("", 1, 1, 1, "file.yaml:1:1: error: m\n\n^\n");
}

Test(diag, text_that_a_terminal_would_obey_is_shown_as_question_marks)
{
    expect_one("a\033[31mb\x7f\xc2\x9b\xe2\x80\xae!\n", 1, 1, 1,
        "file.yaml:1:1: error: m\na?[31mb?"
        "?"
        "?!\n^\n");
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, NULL, "a\nb", "unknown key '%s'", "\033]0;x\a\n");
    expect_output(list, "error: unknown key '?]0;x?"
                        "?'\n  hint: a?b\n");
}

Test(diag, a_very_long_line_is_cut_around_the_caret)
{
    char line[1001];
    memset(line, 'x', 1000);
    line[1000] = '\0';
    line[500] = '!';
    struct diag_source source = source_of(line);
    struct diag_place place = place_in(&source, 1, 501, 1);
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, &place, NULL, "m");
    char expected[512];
    snprintf(expected, sizeof(expected), "file.yaml:1:501: error: m\n...%.60s!%.99s...\n%*s^\n", line, line,
        63, "");
    expect_output(list, expected);
}

Test(diag, a_message_or_hint_of_any_length_is_cut)
{
    char *text = malloc(100001);
    memset(text, 'x', 100000);
    text[100000] = '\0';
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_ERROR, NULL, text, "%s", text);
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    diag_print(list, out);
    fclose(out);
    cr_expect_lt(length, 1300);
    cr_expect_not_null(strstr(printed, "x...\n  hint: x"));
    free(printed);
    free(text);
    diag_list_free(list);
}

Test(diag, beyond_a_thousand_findings_are_counted_but_not_listed)
{
    struct diag_list *list = diag_list_new();
    for (int i = 0; i < 1500; i++)
        diag_add(list, DIAG_ERROR, NULL, NULL, "error %d", i);
    cr_expect_eq(diag_errors(list), 1500);
    char *printed = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&printed, &length);
    diag_print(list, out);
    fclose(out);
    cr_expect_not_null(strstr(printed, "error 999\n... and 500 more\n"));
    cr_expect_null(strstr(printed, "error 1000"));
    free(printed);
    diag_list_free(list);
}

Test(diag, json_has_the_same_in_the_same_order)
{
    struct diag_source source = source_of("a: b\n");
    struct diag_place place = place_in(&source, 1, 4, 1);
    struct diag_list *list = diag_list_new();
    diag_add(list, DIAG_WARNING, &place, "h\"", "m");
    diag_add(list, DIAG_ERROR, NULL, NULL, "n");
    struct buffer out = {0};
    struct json json;
    json_write_begin(&json, &out);
    json_write_object_begin(&json, NULL);
    diag_print_json(list, &json, "findings");
    json_write_object_end(&json);
    buffer_append_byte(&out, '\0');
    cr_expect_str_eq((char *)out.data, "{\"findings\":[{\"severity\":\"error\",\"file\":null,\"line\":0,"
                                       "\"column\":0,\"message\":\"n\",\"hint\":null},"
                                       "{\"severity\":\"warning\",\"file\":\"file.yaml\",\"line\":1,"
                                       "\"column\":4,\"message\":\"m\",\"hint\":\"h\\\"\"}]}");
    buffer_release(&out);
    diag_list_free(list);
}

Test(diag, a_file_is_read_up_to_the_limit_and_not_beyond)
{
    char path[64];
    int descriptor = memfd_create("diag", MFD_CLOEXEC);
    cr_assert_eq(write(descriptor, "12345", 5), 5);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    struct diag_list *list = diag_list_new();
    const struct diag_source *source = diag_read_file(list, path, 5, NULL);
    cr_assert_not_null(source);
    cr_expect(view_equal(source->text, VIEW("12345")));
    cr_expect_str_eq(source->path, path);
    cr_expect_null(diag_read_file(list, path, 4, NULL));
    cr_expect_eq(diag_errors(list), 1);
    close(descriptor);
    diag_list_free(list);
}

Test(diag, a_file_that_cannot_be_read_is_reported_where_it_is_named)
{
    struct diag_source source = source_of("policy: /nonexistent/p\n");
    struct diag_place place = place_in(&source, 1, 9, 14);
    struct diag_list *list = diag_list_new();
    cr_expect_null(diag_read_file(list, "/nonexistent/p", 100, &place));
    cr_expect_null(diag_read_file(list, "/nonexistent/p", 100, NULL));
    cr_expect_null(diag_read_file(list, "/", 100, NULL), "a folder is no file");
    expect_output(list, "/: error: cannot be read: Is a directory\n"
                        "/nonexistent/p: error: cannot be read: No such file or directory\n"
                        "file.yaml:1:9: error: cannot read '/nonexistent/p': No such file or directory\n"
                        "policy: /nonexistent/p\n        ^~~~~~~~~~~~~~\n");
}

static const char *const words[] = {"topics", "allow", "deny", "tls", "max_size"};

Test(diag_suggest, finds_the_nearest_word_within_a_third_of_the_length_or_a_beginning)
{
    static const struct {
        const char *word, *expected;
    } rows[] = {{"topcis", "topics"}, {"topic", "topics"}, {"tpocis", "topics"}, {"tsl", "tls"},
        {"TLS", "tls"}, {"max-size", "max_size"}, {"maxsize", "max_size"}, {"dney", "deny"}, {"tls", NULL},
        {"t", NULL}, {"", NULL}, {"dy", NULL}, {"frobnicate", NULL}, {"allowance", "allow"},
        {"ma", "max_size"}, {"de", "deny"}, {"owed", NULL}, {"tpcs", "topics"}, {"alw", NULL}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *found =
            diag_suggest(view_of_string(rows[i].word), words, sizeof(words) / sizeof(words[0]));
        cr_expect((found == NULL) == (rows[i].expected == NULL), "%s", rows[i].word);
        if (found != NULL && rows[i].expected != NULL)
            cr_expect_str_eq(found, rows[i].expected);
    }
}

Test(diag_suggest, a_word_of_any_length_is_no_problem)
{
    uint8_t long_word[5000];
    memset(long_word, 'a', sizeof(long_word));
    cr_expect_null(diag_suggest(view_of(long_word, sizeof(long_word)), words, 5));
    cr_expect_null(diag_suggest(view_of(long_word, 64), words, 5));
}

Test(diag_suggest, a_hint_suggests_or_lists)
{
    struct diag_list *list = diag_list_new();
    cr_expect_str_eq(diag_hint(list, VIEW("alow"), words, 5), "did you mean 'allow'?");
    cr_expect_str_eq(diag_hint(list, VIEW("zzz"), words, 3), "expected one of topics, allow, deny");
    cr_expect_str_eq(diag_hint(list, VIEW("zzz"), words, 1), "expected topics");
    cr_expect_null(diag_hint(list, VIEW("zzz"), words, 0));
    diag_list_free(list);
}

/* ---- sources that are never quoted ---- */

static void expect_secret(const char *text, const char *message, const char *hint, const char *expected)
{
    struct diag_list *list = diag_list_new();
    const struct diag_source *source = diag_add_secret(list, "keys.yaml", view_of_string(text));
    struct diag_place place = place_in(source, 1, 1, 4);
    diag_add(list, DIAG_ERROR, &place, hint, "%s", message);
    expect_output(list, expected);
}

Test(diag, lines_of_a_secret_source_are_not_shown)
{
    expect_secret("kid: abc\n", "m", "h", "keys.yaml:1:1: error: m\n  hint: h\n");
}

#define LONG "0123456789abcdef0123456789abcdef"

Test(diag, what_is_as_long_as_a_secret_and_stands_in_the_source_is_left_out)
{
    expect_secret("a: " LONG "\n", "unknown '" LONG "'", "not " LONG,
        "keys.yaml:1:1: error: unknown '********************************'\n"
        "  hint: not ********************************\n");
    expect_secret("a: " LONG "/+x=\n", "'/etc/x/" LONG "/+x='", NULL,
        "keys.yaml:1:1: error: '/etc/x/************************************'\n");
    expect_secret("a: " LONG "\n", "'0123456789abcdef0123456789abcde'", NULL,
        "keys.yaml:1:1: error: '0123456789abcdef0123456789abcde'\n");
    expect_secret("a: b\n", "'" LONG "' is of another file", NULL,
        "keys.yaml:1:1: error: '" LONG "' is of another file\n");
}

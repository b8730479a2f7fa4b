/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the reference manual of a table of keywords. Called by the subcommand 'reference' and by the tests
 * that compare the manual with it. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/keyword_type.h"

static void print_choices(struct buffer *out, const struct keyword *keyword)
{
    if (keyword_type_of(keyword).kind == KEYWORD_KIND_CHOICES)
        buffer_append(out, VIEW("one or a list of "));
    const char *separator = "";
    for (const struct keyword_choice *choice = keyword->choices; choice->name != NULL; choice++) {
        if (choice->unsupported)
            continue;
        buffer_format(out, "%s`%s`", separator, choice->name);
        separator = ", ";
    }
}

static void print_value(struct buffer *out, const struct keyword *keyword)
{
    if (keyword->value != NULL) {
        buffer_append(out, view_of_string(keyword->value));
        return;
    }
    struct keyword_type type = keyword_type_of(keyword);
    if (keyword->choices != NULL) {
        if (type.kind == KEYWORD_KIND_PAIRS)
            buffer_append(out, VIEW("mapping of names to "));
        print_choices(out, keyword);
        return;
    }
    if (type.kind == KEYWORD_KIND_TEXTS && (keyword->flags & KEYWORD_ONE_OR_MANY) != 0)
        buffer_append(out, VIEW("string or "));
    buffer_append(out, view_of_string(type.name));
    if (type.quantity != NULL) {
        struct keyword_range_text range = quantity_show_range(type.quantity, keyword);
        buffer_format(out, "%s%s", range.bytes[0] == '\0' ? "" : " ", range.bytes);
    }
}

static void print_default(struct buffer *out, const struct keyword *keyword)
{
    const char *text = keyword->default_text;
    if ((keyword->flags & KEYWORD_REQUIRED) != 0)
        buffer_append(out, VIEW("required"));
    else if (text != NULL && strcmp(text, "{}") == 0)
        buffer_append(out, VIEW("see below"));
    else if (text == NULL || strcmp(text, "[]") == 0)
        buffer_append(out, VIEW("none"));
    else
        buffer_format(out, "`%s`", text);
}

static void print_row(struct buffer *out, const struct keyword *keyword)
{
    buffer_format(out, "| `%s` | ", keyword->name);
    if ((keyword->flags & KEYWORD_UNSUPPORTED) != 0) {
        buffer_append(out, VIEW("| | Not supported by this version. |\n"));
        return;
    }
    print_value(out, keyword);
    buffer_append(out, VIEW(" | "));
    print_default(out, keyword);
    buffer_format(out, " | %s", keyword->help == NULL ? "" : keyword->help);
    for (const struct keyword_choice *choice = keyword->choices; choice != NULL && choice->name != NULL;
         choice++) {
        if (choice->unsupported)
            buffer_format(out, " `%s`: not supported by this version.", choice->name);
        else if (choice->help != NULL)
            buffer_format(out, " `%s`: %s", choice->name, choice->help);
    }
    buffer_append(out, VIEW(" |\n"));
}

/* path: that of the table's mapping from the file's root, empty for the root. Recursion is as deep as our
 * tables. */
static void print_table(
    struct buffer *out, const struct keyword *table, const char *heading, const char *path, int level)
{
    for (int i = 0; i < level && i < 6; i++)
        buffer_append_byte(out, '#');
    buffer_format(out, " %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", heading);
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++)
        print_row(out, keyword);
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if (keyword->members == NULL || (keyword->flags & KEYWORD_UNSUPPORTED) != 0)
            continue;
        bool is_list = keyword_type_of(keyword).kind == KEYWORD_KIND_LIST;
        char inner_path[128], inner_heading[132];
        snprintf(inner_path, sizeof(inner_path), "%s%s%s%s", path, path[0] == '\0' ? "" : ".", keyword->name,
            is_list ? "[]" : "");
        snprintf(inner_heading, sizeof(inner_heading), "`%s`", inner_path);
        buffer_append_byte(out, '\n');
        print_table(out, keyword->members, inner_heading, inner_path, level + 1);
    }
}

void keyword_print_reference(struct buffer *out, const struct keyword *table, const char *title, int level)
{
    print_table(out, table, title, "", level);
}

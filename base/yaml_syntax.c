/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is said about a text that is not YAML. libyaml's words are about its grammar and its places are
 * where it noticed; people want to know what they did, and where. Called by yaml.c. */
#include <stdio.h>
#include <string.h>

#include "base/yaml_text.h"

enum blame {
    BLAME_PROBLEM, /* the place where it was noticed */
    BLAME_CONTEXT, /* the beginning of what it is about */
    BLAME_BRACKET, /* a bracket, if it is still open on a later line */
};

static const char indentation[] =
    "check the indentation: the keys of one mapping, and the '-' of one list, begin in the same column";
static const char behind[] = "text behind the end of a value";

/* context: a part of libyaml's, or NULL for any. The first row that fits. */
static const struct {
    const char *problem, *context;
    enum blame blame;
    const char *message, *hint;
} rows[] = {
    {"mapping values are not allowed in this context", NULL, BLAME_PROBLEM, "a ': ' where no key can be",
        "one 'key: value' a line, below the keys of the same mapping; text that contains ': ' needs quotes"},
    {"block sequence entries are not allowed in this context", NULL, BLAME_PROBLEM,
        "a '- ' where no list can begin", "items stand below their key, a line each, or all in [ ]"},
    {"did not find expected key", NULL, BLAME_PROBLEM, "a line that fits none above it", indentation},
    {"did not find expected '-' indicator", NULL, BLAME_PROBLEM, "a line that fits none above it",
        indentation},
    {"did not find expected node content", NULL, BLAME_PROBLEM, "a value is missing", NULL},
    {"could not find expected ':'", NULL, BLAME_CONTEXT, "a key without ': '",
        "a blank follows the ':', as in 'key: value'; text of several lines needs quotes"},
    {"did not find expected ',' or ']'", NULL, BLAME_BRACKET, "expected ',' or ']'",
        "a comma or the closing ']' is missing"},
    {"did not find expected ',' or '}'", NULL, BLAME_BRACKET, "expected ',' or '}'",
        "a comma or the closing '}' is missing, or quotes around a value that contains ': '"},
    {"found character that cannot start any token", NULL, BLAME_PROBLEM,
        "a character that no value begins with", "quote a value that begins with @, ` or %"},
    {"found unexpected end of stream", "quoted", BLAME_CONTEXT, "a quote that is never closed", NULL},
    {"found unexpected document indicator", "quoted", BLAME_CONTEXT, "a quote that is never closed", NULL},
    {"found unknown escape character", NULL, BLAME_PROBLEM, "a backslash that means nothing",
        "in \"...\" a backslash is written \\\\; in '...' it stands for itself"},
    {"did not find expected hexdecimal number", NULL, BLAME_PROBLEM, "a \\x, \\u or \\U without its digits",
        "in \"...\" a backslash is written \\\\; in '...' it stands for itself"},
    {"found invalid Unicode character escape code", NULL, BLAME_PROBLEM, "an escape of no character", NULL},
    {NULL, "alias", BLAME_CONTEXT, "a value that begins with '*'", "quote it: \"*\""},
    {NULL, "anchor", BLAME_CONTEXT, "a value that begins with '&'", "quote it"},
    {NULL, "tag", BLAME_CONTEXT, "a value that begins with '!'", "quote it"},
    {NULL, "directive", BLAME_CONTEXT, "a line that begins with '%'", "a comment begins with '#'"},
    {NULL, "block scalar", BLAME_CONTEXT, "text in the form of '|' or '>'", "write it in quotes"},
    {"did not find expected <document start>", NULL, BLAME_PROBLEM, behind,
        "the file is one mapping: nothing stands behind a closing bracket"},
};

static bool fits(size_t row, const struct yaml_problem *problem)
{
    if (rows[row].problem != NULL && strcmp(rows[row].problem, problem->text) != 0)
        return false;
    return rows[row].context == NULL ||
           (problem->context != NULL && strstr(problem->context, rows[row].context) != NULL);
}

/* A no-break space looks like a blank and is none. True if the line has one, which the place is then of. */
static bool find_no_break_space(const struct yaml_text *text, struct diag_place *place)
{
    struct view line = yaml_text_line(text, place);
    const uint8_t *found = line.length == 0 ? NULL : memmem(line.data, line.length, "\xc2\xa0", 2);
    if (found != NULL)
        place->column = (uint32_t)(found - line.data) + 1;
    return found != NULL;
}

/* Where a comment begins in a line outside quotes, or its length. */
static size_t find_comment(struct view line, size_t from)
{
    uint8_t quote = 0;
    for (size_t i = from; i < line.length; i++) {
        uint8_t byte = line.data[i];
        bool begins = i == 0 || memchr(" [{,", line.data[i - 1], 4) != NULL;
        if (quote != 0)
            quote = byte == quote ? 0 : quote;
        else if (begins && (byte == '"' || byte == '\''))
            quote = byte;
        else if (begins && byte == '#')
            return i;
    }
    return line.length;
}

/* "[dt/#, #]": the wildcard is a comment, and takes the bracket with it. True if the line of the place has
 * such a comment behind the place, which the place is then of. */
static bool bracket_is_in_comment(const struct yaml_text *text, struct diag_place *place)
{
    struct view line = yaml_text_line(text, place);
    size_t comment = find_comment(line, place->column - 1);
    struct view rest = view_skip(line, comment);
    if (rest.length == 0 ||
        (memchr(rest.data, ']', rest.length) == NULL && memchr(rest.data, '}', rest.length) == NULL))
        return false;
    place->column = (uint32_t)comment + 1;
    place->length = (uint32_t)rest.length;
    return true;
}

/* The same for the line where a value is missing, and the one before. */
static bool value_is_in_comment(const struct yaml_text *text, struct diag_place *place)
{
    struct diag_place line = *place;
    line.column = 1;
    bool found = bracket_is_in_comment(text, &line);
    if (!found && line.line > 1) {
        line.line--;
        found = bracket_is_in_comment(text, &line);
    }
    *place = found ? line : *place;
    return found;
}

/* Is there something before the place in its line? */
static bool is_inside_line(const struct yaml_text *text, const struct diag_place *place)
{
    struct view line = yaml_text_line(text, place);
    for (size_t i = 0; i + 1 < place->column && i < line.length; i++) {
        if (line.data[i] != ' ')
            return true;
    }
    return false;
}

static void add(struct yaml_text *text, const struct diag_place *place, const char *hint, const char *message)
{
    diag_add(text->list, DIAG_ERROR, place, hint, "not valid YAML: %s", message);
}

/* True if the problem is that of a bracket, and said. at_end: it was noticed at the end of the file. */
static bool report_bracket(struct yaml_text *text, const struct diag_place *noticed, bool at_end,
    const struct diag_place *open, size_t row)
{
    bool bracket = rows[row].blame == BLAME_BRACKET;
    struct diag_place place = bracket ? *open : *noticed;
    char message[80];
    if (bracket ? bracket_is_in_comment(text, &place) : value_is_in_comment(text, &place)) {
        add(text, &place, "quote it: \"#\"", "a '#' after a blank or a bracket begins a comment");
        return true;
    }
    if (!bracket || (noticed->line == open->line && !at_end))
        return false;
    snprintf(message, sizeof(message), "a bracket that is not closed before line %u", noticed->line);
    add(text, open, rows[row].hint, at_end ? "a bracket that is never closed" : message);
    return true;
}

void yaml_syntax_report(struct yaml_text *text, const struct yaml_problem *problem)
{
    static const size_t count = sizeof(rows) / sizeof(rows[0]);
    size_t row = 0;
    while (row < count && !fits(row, problem))
        row++;
    bool at_end = problem->index >= text->characters;
    struct diag_place noticed = at_end ? yaml_text_last(text) : yaml_text_place(text, problem->index);
    struct diag_place context =
        problem->context == NULL ? noticed : yaml_text_place(text, problem->context_index);
    struct diag_place place = row < count && rows[row].blame == BLAME_CONTEXT ? context : noticed;
    if (find_no_break_space(text, &place)) {
        add(text, &place, "write a blank, or quotes around it",
            "a no-break space (U+00A0), which is not a blank");
    } else if (row == count) {
        add(text, &place, NULL, problem->text);
    } else if (problem->context != NULL && strstr(problem->context, "flow") != NULL &&
               report_bracket(text, &noticed, at_end, &context, row)) {
        return;
    } else if (rows[row].hint == indentation && is_inside_line(text, &place)) {
        add(text, &place, "a list stands in [ ]; is a quote in a line above not closed?", behind);
    } else {
        add(text, &place, rows[row].hint, rows[row].message);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the cutting of rule files. Called by source.c.
 *
 * It decides nothing: libyara compiles the whole text first, with all of its messages; the rules that were
 * cut are compiled again in groups, and load.c compares both lists. */
#include "rules/source_cut.h"

#include "base/memory.h"

struct cutter {
    struct source_file *file;
    const struct cut_hooks *hooks;
    void *context;
    unsigned depth;  /* of includes */
    unsigned braces; /* that are open */
    uint32_t line;   /* of the text that is written */
    bool in_rule, want_name, want_module;
};

/* The text that is read. */
struct reading {
    const struct diag_source *source;
    const char *at, *end;
    uint32_t line;
};

struct diag_place source_cut_place(const struct diag_source *source, uint32_t line)
{
    struct view text = source->text;
    struct diag_place place = {.source = source, .line = line, .column = 1, .length = 1};

    for (uint32_t i = 1; i < line && text.length > 0; i++) {
        const uint8_t *end = memchr(text.data, '\n', text.length);
        text = end == NULL ? (struct view){NULL, 0} : view_skip(text, (size_t)(end - text.data) + 1);
    }
    const uint8_t *end = text.length == 0 ? NULL : memchr(text.data, '\n', text.length);
    size_t length = end == NULL ? text.length : (size_t)(end - text.data), blanks = 0;
    while (length > 0 &&
           (text.data[length - 1] == ' ' || text.data[length - 1] == '\t' || text.data[length - 1] == '\r'))
        length--;
    while (blanks < length && (text.data[blanks] == ' ' || text.data[blanks] == '\t'))
        blanks++;
    place.column = (uint32_t)blanks + 1;
    if (length > blanks)
        place.length = (uint32_t)(length - blanks);
    return place;
}

static void map_lines(struct cutter *cutter, const struct reading *reading)
{
    struct source_file *file = cutter->file;

    file->lines = memory_realloc(file->lines, file->line_count + 1, sizeof(*file->lines));
    file->lines[file->line_count++] = (struct source_lines){cutter->line, reading->source, reading->line};
}

/* Writes what was read up to end. */
static void take(struct cutter *cutter, struct reading *reading, const char *end)
{
    for (const char *p = reading->at; p < end; p++) {
        if (*p == '\n') {
            cutter->line++;
            reading->line++;
        }
    }
    buffer_append(&cutter->file->text, view_of(reading->at, (size_t)(end - reading->at)));
    reading->at = end;
}

/* ---- tokens: each returns where it ends ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* A text string or a regular expression, from behind its first character. Neither goes over a line's end. */
static const char *quoted_end(const char *p, const char *end, char quote)
{
    for (; p < end && *p != '\n'; p++) {
        if (*p == '\\' && p + 1 < end && p[1] != '\n')
            p++;
        else if (*p == quote)
            return p + 1;
    }
    return p;
}

static const char *comment_end(const char *p, const char *end)
{
    if (p[1] == '/') {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        return line == NULL ? end : line;
    }
    const char *close = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);
    return close == NULL ? end : close + 2;
}

static const char *word_end(const char *p, const char *end)
{
    while (p < end && is_word(*p))
        p++;
    return p;
}

/* ---- includes ---- */

static void cut(struct cutter *cutter, struct reading *reading);

/* "include", blanks and a quote: the quote, or NULL. It is what libyara's lexer takes for an include. */
static const char *include_quote(struct view word, const char *p, const char *end)
{
    if (!view_equal(word, VIEW("include")) || p == end || (*p != ' ' && *p != '\t'))
        return NULL;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p < end && *p == '"' ? p : NULL;
}

static void take_include(struct cutter *cutter, struct reading *reading, const char *quote)
{
    const char *name = quote + 1, *close = name;
    struct diag_place place = source_cut_place(reading->source, reading->line);

    while (close < reading->end && *close != '"' && *close != '\n')
        close++;
    const struct diag_source *text = cutter->hooks->include(
        cutter->context, &place, view_of(name, (size_t)(close - name)), cutter->depth + 1);
    reading->at = close < reading->end && *close == '"' ? close + 1 : close;
    buffer_append_byte(&cutter->file->text, '\n');
    cutter->line++;
    if (text != NULL) {
        struct reading inner = {text, (const char *)text->text.data, NULL, 1};
        inner.end = inner.at + text->text.length;
        map_lines(cutter, &inner);
        cutter->depth++;
        cut(cutter, &inner);
        cutter->depth--;
        buffer_append_byte(&cutter->file->text, '\n');
        cutter->line++;
    }
    map_lines(cutter, reading);
}

/* ---- rules ---- */

static void open_rule(struct cutter *cutter)
{
    struct source_file *file = cutter->file;

    if (file->rule_count % 64 == 0)
        file->rules = memory_realloc(file->rules, file->rule_count + 64, sizeof(*file->rules));
    file->rules[file->rule_count++] = (struct source_rule){.start = buffer_length(&file->text)};
    cutter->in_rule = true;
}

static void take_word(struct cutter *cutter, struct reading *reading)
{
    const char *end = word_end(reading->at, reading->end);
    struct view word = view_of(reading->at, (size_t)(end - reading->at));
    const char *quote = include_quote(word, end, reading->end);
    struct source_file *file = cutter->file;

    if (quote != NULL) {
        take_include(cutter, reading, quote);
        return;
    }
    if (cutter->want_name) {
        struct source_rule *named = &file->rules[file->rule_count - 1];
        named->name = word;
        named->source = reading->source;
        named->line = reading->line;
    }
    cutter->want_name = false;
    cutter->want_module = cutter->braces == 0 && view_equal(word, VIEW("import"));
    bool rule = view_equal(word, VIEW("rule"));
    if (cutter->braces == 0 && !cutter->in_rule &&
        (rule || view_equal(word, VIEW("private")) || view_equal(word, VIEW("global"))))
        open_rule(cutter);
    cutter->want_name = cutter->braces == 0 && rule;
    take(cutter, reading, end);
}

static void take_brace(struct cutter *cutter, struct reading *reading)
{
    bool close = *reading->at == '}';

    take(cutter, reading, reading->at + 1);
    if (!close)
        cutter->braces++;
    else if (cutter->braces > 0)
        cutter->braces--;
    if (close && cutter->braces == 0 && cutter->in_rule) {
        cutter->in_rule = false;
        cutter->want_name = false;
        cutter->file->rules[cutter->file->rule_count - 1].end = buffer_length(&cutter->file->text);
    }
}

static void take_string(struct cutter *cutter, struct reading *reading)
{
    const char *end = quoted_end(reading->at + 1, reading->end, '"');

    if (cutter->want_module && end - reading->at >= 2) {
        struct diag_place place = source_cut_place(reading->source, reading->line);
        cutter->hooks->import(
            cutter->context, &place, view_of(reading->at + 1, (size_t)(end - reading->at) - 2));
    }
    cutter->want_module = false;
    take(cutter, reading, end);
}

static void cut(struct cutter *cutter, struct reading *reading)
{
    while (reading->at < reading->end) {
        const char *p = reading->at;
        char next = p + 1 < reading->end ? p[1] : '\0';

        if (*p == '"')
            take_string(cutter, reading);
        else if (*p == '/' && (next == '/' || next == '*'))
            take(cutter, reading, comment_end(p, reading->end));
        else if (*p == '/')
            take(cutter, reading, quoted_end(p + 1, reading->end, '/'));
        else if (*p == '{' || *p == '}')
            take_brace(cutter, reading);
        else if (*p == '$' || *p == '#' || *p == '@' || *p == '!')
            take(cutter, reading, word_end(p + 1, reading->end));
        else if (is_word(*p))
            take_word(cutter, reading);
        else
            take(cutter, reading, p + 1);
    }
}

void source_cut(
    struct source_file *file, const struct diag_source *text, const struct cut_hooks *hooks, void *context)
{
    struct cutter cutter = {.file = file, .hooks = hooks, .context = context, .line = 1};
    struct reading reading = {text, (const char *)text->text.data, NULL, 1};

    reading.end = reading.at + text->text.length;
    map_lines(&cutter, &reading);
    cut(&cutter, &reading);
    /* A rule that is not closed: libyara says so. */
    if (cutter.in_rule)
        file->rules[file->rule_count - 1].end = buffer_length(&file->text);
    buffer_append_byte(&file->text, '\0');
    file->text.end--;
}

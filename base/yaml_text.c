/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the text of a YAML file before libyaml sees it: characters that a person can't trust their eyes with
 * are refused here; and the way from libyaml's positions to places. Called by yaml.c and yaml_syntax.c. */
#include "base/yaml_text.h"

#include <assert.h>

#include "base/character.h"

#define BAD_CHARACTERS_MAX 10 /* reported; what has more is not a text file */

/* ---- what may not be in it ---- */

static const char byte_order_mark[] = "a byte order mark: save the file as UTF-8 without one";

/* Why a character may not occur as it is, or NULL. */
static const char *refuse_character(uint32_t character, struct view text)
{
    if (character == '\r')
        return text.length > 1 && text.data[1] == '\n' ? NULL : "a carriage return that ends no line";
    if (character_is_control(character) && character != '\n' && character != '\t')
        return "a control character";
    if (character_is_separator(character))
        return "an invisible line separator";
    if (character_is_reordering(character))
        return "a control character that reorders text on the screen";
    if (character == 0xfeff)
        return byte_order_mark;
    return character == 0xfffe || character == 0xffff ? "a character that is none" : NULL;
}

/* Bytes of something that is not UTF-8: one, and the continuation bytes behind it. */
static size_t broken_length(struct view text)
{
    size_t length = 1;
    while (length < 4 && length < text.length && (text.data[length] & 0xc0) == 0x80)
        length++;
    return length;
}

/* The walk over the text. An editor that makes tabs makes many: they are one finding, at the first. */
struct check {
    struct diag_place place;
    struct diag_place first_tab;
    size_t tab_lines; /* lines that have one */
    uint32_t last_tab_line;
    bool in_indentation, tab_in_indentation;
    size_t bad;
};

static void note_tab(struct check *check)
{
    if (check->tab_lines == 0)
        check->first_tab = check->place;
    if (check->last_tab_line != check->place.line)
        check->tab_lines++;
    check->last_tab_line = check->place.line;
    check->tab_in_indentation = check->tab_in_indentation || check->in_indentation;
}

static void report_tabs(struct yaml_text *text, const struct check *check)
{
    char hint[80];
    snprintf(hint, sizeof(hint), "the same in %zu more line%s", check->tab_lines - 1,
        check->tab_lines == 2 ? "" : "s");
    if (check->tab_lines > 0)
        diag_add(text->list, DIAG_ERROR, &check->first_tab, check->tab_lines > 1 ? hint : NULL,
            "a tab: use blanks (inside quotes: \\t)");
}

/* Looks at the character at the start of rest, blots it out if it is refused, and returns its bytes. */
static size_t check_character(struct yaml_text *text, struct check *check, struct view rest, uint8_t *copy)
{
    size_t decoded;
    uint32_t character = character_decode(rest, &decoded);
    size_t length = decoded == 0 ? broken_length(rest) : decoded;
    const char *why = decoded == 0 ? "not valid UTF-8" : refuse_character(character, rest);
    if (decoded > 0 && character == '\t') {
        note_tab(check);
        *copy = ' ';
    }
    if (why != NULL) {
        check->place.length = (uint32_t)length;
        diag_add(
            text->list, DIAG_ERROR, &check->place, decoded == 0 ? "save the file as UTF-8" : NULL, "%s", why);
        memset(copy, 'x', length);
        check->bad++;
    }
    bool line_end = decoded > 0 && character == '\n';
    check->in_indentation = line_end || (check->in_indentation && (character == ' ' || character == '\t'));
    check->place.line += line_end;
    check->place.column = line_end ? 1 : check->place.column + (uint32_t)length;
    text->characters += why != NULL ? length : 1;
    return length;
}

bool yaml_text_check(
    struct yaml_text *text, struct arena *arena, struct diag_list *list, const struct diag_source *source)
{
    struct view rest = source->text;
    uint8_t *copy = (uint8_t *)arena_copy_string(arena, rest);
    struct check check = {.place = {source, 1, 1, 1}, .first_tab = {source, 1, 1, 1}, .in_indentation = true};
    *text = (struct yaml_text){
        .list = list, .source = source, .bytes = view_of(copy, rest.length), .cursor = {.line = 1}};
    if (rest.length > 0 && memchr(rest.data, 0, rest.length) != NULL) {
        check.place.line = 0;
        diag_add(list, DIAG_ERROR, &check.place, NULL, "not a text file: it contains zero bytes");
        return false;
    }
    if (view_starts_with(rest, VIEW("\xef\xbb\xbf"))) {
        /* Blotted out, it would seem to be a part of the first key. */
        diag_add(list, DIAG_ERROR, &check.place, NULL, "%s", byte_order_mark);
        return false;
    }
    while (rest.length > 0 && check.bad < BAD_CHARACTERS_MAX) {
        size_t offset = (size_t)(rest.data - source->text.data);
        rest = view_skip(rest, check_character(text, &check, rest, copy + offset));
    }
    report_tabs(text, &check);
    return check.bad < BAD_CHARACTERS_MAX && !check.tab_in_indentation;
}

/* ---- places ---- */

static void step_forward(struct yaml_text *text)
{
    struct yaml_cursor *cursor = &text->cursor;
    bool line_end = text->bytes.data[cursor->offset] == '\n';
    size_t length = utf8_sequence_length(view_skip(text->bytes, cursor->offset));
    assert(length > 0); /* yaml_text_check() saw to it */
    cursor->offset += length;
    cursor->index++;
    if (line_end) {
        cursor->line++;
        cursor->line_start = cursor->offset;
    }
}

static struct diag_place place_at_cursor(const struct yaml_text *text)
{
    const struct yaml_cursor *cursor = &text->cursor;
    return (struct diag_place){
        text->source, cursor->line, (uint32_t)(cursor->offset - cursor->line_start) + 1, 1};
}

struct diag_place yaml_text_place(struct yaml_text *text, size_t index)
{
    if (index < text->cursor.index)
        text->cursor = (struct yaml_cursor){.line = 1};
    while (text->cursor.index < index && text->cursor.offset < text->bytes.length)
        step_forward(text);
    return place_at_cursor(text);
}

struct diag_place yaml_text_span(struct yaml_text *text, size_t index, size_t end)
{
    struct diag_place place = yaml_text_place(text, index);
    const struct yaml_cursor start = text->cursor;
    while (text->cursor.index < end && text->cursor.line == start.line &&
           text->cursor.offset < text->bytes.length)
        step_forward(text);
    size_t last = text->cursor.line == start.line ? text->cursor.offset : text->cursor.line_start - 1;
    place.length = last > start.offset ? (uint32_t)(last - start.offset) : 1;
    text->cursor = start;
    return place;
}

struct diag_place yaml_text_last(struct yaml_text *text)
{
    size_t last = text->bytes.length;
    while (last > 0 && memchr(" \r\n", text->bytes.data[last - 1], 3) != NULL)
        last--;
    text->cursor = (struct yaml_cursor){.line = 1};
    while (text->cursor.offset + 1 < last)
        step_forward(text);
    return place_at_cursor(text);
}

struct view yaml_text_line(const struct yaml_text *text, const struct diag_place *place)
{
    struct view line = text->bytes;
    for (uint32_t number = 1;; number++) {
        const uint8_t *end = line.length == 0 ? NULL : memchr(line.data, '\n', line.length);
        size_t length = end == NULL ? line.length : (size_t)(end - line.data);
        if (number >= place->line)
            return view_of(line.data, length);
        line = view_skip(line, length + (end == NULL ? 0 : 1));
        if (line.length == 0)
            return line;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the walk over a journal line. Called by the renderings (syslog_message.c, cef.c,
 * record_shorten.c). */
#include "exporters/record_read.h"

#include <assert.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"

#define REPLACEMENT 0xFFFDU

struct walk {
    struct view line;
    size_t at;
    uint8_t path[RECORD_PATH_MAX];
    size_t path_length;
    size_t parents[RECORD_DEPTH_MAX]; /* path_length before the object at this depth */
    unsigned depth;
    void (*call)(void *argument, struct view path, struct record_value value);
    void (*ended)(void *argument, size_t end); /* of each member of the top object; may be NULL */
    void *argument;
};

static bool walk_take(struct walk *walk, uint8_t byte)
{
    if (walk->at >= walk->line.length || walk->line.data[walk->at] != byte)
        return false;
    walk->at++;
    return true;
}

/* Blanks are never written by us, but a line that went through other tools may have them. */
static void walk_blanks(struct walk *walk)
{
    while (walk->at < walk->line.length && strchr(" \t\r\n", walk->line.data[walk->at]) != NULL &&
           walk->line.data[walk->at] != 0)
        walk->at++;
}

/* text: between the quotes. */
static bool walk_string(struct walk *walk, struct view *text)
{
    size_t start;

    if (!walk_take(walk, '"'))
        return false;
    for (start = walk->at; walk->at < walk->line.length; walk->at++) {
        uint8_t byte = walk->line.data[walk->at];
        if (byte == '"') {
            *text = view_of(walk->line.data + start, walk->at - start);
            walk->at++;
            return true;
        }
        if (byte == '\\' && ++walk->at >= walk->line.length)
            return false;
    }
    return false;
}

/* Of the characters of one: its grammar is the business of whoever wants the number. */
static bool walk_is_number(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] == 0 || strchr("+-.0123456789eE", text.data[i]) == NULL)
            return false;
    return text.length > 0;
}

/* A number, true, false or null: all that stands before the next comma or bracket. */
static bool walk_word(struct walk *walk, struct record_value *value)
{
    size_t start = walk->at;

    while (walk->at < walk->line.length && strchr(",]} \t\r\n", walk->line.data[walk->at]) == NULL)
        walk->at++;
    value->text = view_of(walk->line.data + start, walk->at - start);
    if (view_equal_string(value->text, "true") || view_equal_string(value->text, "false"))
        value->kind = RECORD_BOOLEAN;
    else if (view_equal_string(value->text, "null"))
        value->kind = RECORD_NULL;
    else
        value->kind = RECORD_NUMBER;
    return value->kind != RECORD_NUMBER || walk_is_number(value->text);
}

/* Brackets are counted; what is in strings does not count. */
static bool walk_array(struct walk *walk, struct record_value *value)
{
    size_t start = walk->at;
    unsigned depth = 0;
    struct view skipped;

    while (walk->at < walk->line.length) {
        uint8_t byte = walk->line.data[walk->at];
        if (byte == '"') {
            if (!walk_string(walk, &skipped))
                return false;
            continue;
        }
        walk->at++;
        if (byte == '[' || byte == '{') {
            if (++depth > RECORD_DEPTH_MAX)
                return false;
        } else if ((byte == ']' || byte == '}') && --depth == 0) {
            *value = (struct record_value){RECORD_ARRAY, view_of(walk->line.data + start, walk->at - start)};
            return byte == ']';
        }
    }
    return false;
}

static bool walk_push_key(struct walk *walk, struct view key)
{
    size_t dot = walk->path_length > 0 ? 1 : 0;

    if (key.length + dot > RECORD_PATH_MAX - walk->path_length)
        return false;
    if (dot)
        walk->path[walk->path_length++] = '.';
    if (key.length > 0)
        memcpy(walk->path + walk->path_length, key.data, key.length);
    walk->path_length += key.length;
    return true;
}

static void walk_end_member(struct walk *walk)
{
    walk->path_length = walk->parents[walk->depth - 1];
    if (walk->depth == 1 && walk->ended != NULL)
        walk->ended(walk->argument, walk->at);
}

/* Behind "key": of the object at walk->depth. An object is entered, not walked through. */
static bool walk_value(struct walk *walk)
{
    struct record_value value = {RECORD_STRING, {NULL, 0}};
    uint8_t first = walk->at < walk->line.length ? walk->line.data[walk->at] : 0;

    if (first == '{') {
        if (walk->depth == RECORD_DEPTH_MAX)
            return false;
        walk->at++;
        walk->parents[walk->depth++] = walk->path_length;
        return true;
    }
    if (!(first == '"'     ? walk_string(walk, &value.text)
            : first == '[' ? walk_array(walk, &value)
                           : walk_word(walk, &value)))
        return false;
    if (walk->call != NULL)
        walk->call(walk->argument, view_of(walk->path, walk->path_length), value);
    walk_end_member(walk);
    return true;
}

static bool walk_member(struct walk *walk)
{
    struct view key;

    walk_blanks(walk);
    if (!walk_string(walk, &key))
        return false;
    walk_blanks(walk);
    if (!walk_take(walk, ':') || !walk_push_key(walk, key))
        return false;
    walk_blanks(walk);
    return walk_value(walk);
}

/* Closes as many objects as end here. False: neither a comma nor an end. */
static bool walk_separator(struct walk *walk)
{
    for (;;) {
        walk_blanks(walk);
        if (walk_take(walk, ','))
            return true;
        if (!walk_take(walk, '}'))
            return false;
        if (--walk->depth == 0)
            return true;
        walk_end_member(walk);
    }
}

static int walk_line(struct walk *walk)
{
    bool fresh = true; /* just entered an object: it may be empty */

    walk_blanks(walk);
    if (!walk_take(walk, '{'))
        return -1;
    walk->parents[walk->depth++] = 0;
    while (walk->depth > 0) {
        unsigned before = walk->depth;
        walk_blanks(walk);
        bool empty = fresh && walk->at < walk->line.length && walk->line.data[walk->at] == '}';
        if (!empty && !walk_member(walk))
            return -1;
        fresh = walk->depth > before;
        if (!fresh && !walk_separator(walk))
            return -1;
    }
    walk_blanks(walk);
    return walk->at == walk->line.length ? 0 : -1;
}

int record_walk(struct view line, void (*call)(void *argument, struct view path, struct record_value value),
    void *argument)
{
    struct walk walk = {.line = line, .call = call, .argument = argument};

    return walk_line(&walk);
}

/* ---- looking up ---- */

struct lookup {
    const char *const *paths;
    uint8_t lengths[RECORD_PATHS_MAX];
    size_t count;
    struct record_value *values;
};

static void lookup_member(void *argument, struct view path, struct record_value value)
{
    struct lookup *lookup = argument;

    for (size_t i = 0; i < lookup->count; i++) {
        if (lookup->lengths[i] == path.length && lookup->values[i].kind == RECORD_ABSENT &&
            memcmp(path.data, lookup->paths[i], path.length) == 0) {
            lookup->values[i] = value;
            return;
        }
    }
}

int record_find(struct view line, const char *const *paths, size_t count, struct record_value *values)
{
    struct lookup lookup = {.paths = paths, .count = count, .values = values};

    assert(count <= RECORD_PATHS_MAX);
    for (size_t i = 0; i < count; i++) {
        lookup.lengths[i] = (uint8_t)strlen(paths[i]);
        values[i] = (struct record_value){RECORD_ABSENT, {NULL, 0}};
    }
    return record_walk(line, lookup_member, &lookup);
}

uint64_t record_value_number(struct record_value value)
{
    uint64_t number;

    return value.kind == RECORD_NUMBER && number_parse(value.text, &number) == 0 ? number : 0;
}

/* ---- characters ---- */

static uint32_t character_decode(struct view text, size_t length)
{
    static const uint8_t masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t character = text.data[0] & masks[length];

    for (size_t i = 1; i < length; i++)
        character = character << 6 | (text.data[i] & 0x3FU);
    return character;
}

/* The four digits behind "\u"; UINT32_MAX if they are none. */
static uint32_t character_hex(struct view text)
{
    uint32_t value = 0;

    if (text.length < 4)
        return UINT32_MAX;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = text.data[i];
        uint32_t digit = c >= '0' && c <= '9'   ? c - (uint32_t)'0'
                         : c >= 'a' && c <= 'f' ? c - (uint32_t)'a' + 10
                         : c >= 'A' && c <= 'F' ? c - (uint32_t)'A' + 10
                                                : 16;
        if (digit == 16)
            return UINT32_MAX;
        value = value << 4 | digit;
    }
    return value;
}

/* Behind "\u". */
static uint32_t character_unicode(struct view *text)
{
    uint32_t high = character_hex(*text), low;

    if (high == UINT32_MAX)
        return REPLACEMENT;
    *text = view_skip(*text, 4);
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (high > 0xDBFF || !view_starts_with(*text, VIEW("\\u")))
        return REPLACEMENT;
    low = character_hex(view_skip(*text, 2));
    if (low == UINT32_MAX || low < 0xDC00 || low > 0xDFFF)
        return REPLACEMENT;
    *text = view_skip(*text, 6);
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

uint32_t record_next_character(struct view *text)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t length = utf8_sequence_length(*text);
    uint8_t first;

    assert(text->length > 0);
    first = text->data[0];
    if (length == 0) {
        *text = view_skip(*text, 1);
        return REPLACEMENT;
    }
    uint32_t character = character_decode(*text, length);
    *text = view_skip(*text, length);
    if (first != '\\')
        return character;
    if (text->length == 0)
        return REPLACEMENT;
    uint8_t name = text->data[0];
    if (name == 'u') {
        *text = view_skip(*text, 1);
        return character_unicode(text);
    }
    const char *found = name == 0 ? NULL : strchr(names, name);
    if (found == NULL)
        return REPLACEMENT; /* what follows stands for itself */
    *text = view_skip(*text, 1);
    return (uint8_t)meanings[found - names];
}

size_t record_put_character(uint32_t character, uint8_t out[4])
{
    if (character < 0x80) {
        out[0] = (uint8_t)character;
        return 1;
    }
    if (character < 0x800) {
        out[0] = (uint8_t)(0xC0 | character >> 6);
        out[1] = (uint8_t)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        out[0] = (uint8_t)(0xE0 | character >> 12);
        out[1] = (uint8_t)(0x80 | (character >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (character & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | character >> 18);
    out[1] = (uint8_t)(0x80 | (character >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (character >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (character & 0x3F));
    return 4;
}

/* ---- cutting ---- */

struct cut {
    size_t limit, end;
};

static void cut_ended(void *argument, size_t end)
{
    struct cut *cut = argument;

    if (end + 1 <= cut->limit)
        cut->end = end;
}

int record_walk_members(struct view line, void (*ended)(void *argument, size_t end), void *argument)
{
    struct walk walk = {.line = line, .ended = ended, .argument = argument};

    return walk_line(&walk);
}

size_t record_cut(struct view line, size_t limit)
{
    struct cut cut = {limit, 0};

    (void)record_walk_members(line, cut_ended, &cut); /* what ended before the damage is whole */
    return cut.end;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The one reader of YAML, and the only file that sees libyaml. Owns the strict subset (policy-language
 * "Format"): text that a person can't trust their eyes with is refused first, then libyaml's events become a
 * tree of nodes with places. Called for mqward.yaml and policy.yaml by their readers.
 *
 * Nothing here recurses over the input; libyaml keeps its own stack on the heap. */
#include "base/yaml.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>
#include <yaml.h>

#include "base/character.h"
#include "base/memory.h"

#define YAML_DEPTH_MAX 12
#define YAML_SKIP_MAX                                                                                        \
    100 /* levels within something refused; libyaml's time grows with the square of the nesting */
#define YAML_NODES_MAX 200000
#define YAML_BAD_CHARACTERS_MAX 10 /* reported; what has more is not a text file */

/* A position in the text. libyaml counts characters; places count bytes. */
struct cursor {
    size_t index;      /* in characters */
    size_t offset;     /* in bytes */
    size_t line_start; /* in bytes */
    uint32_t line;     /* from 1 */
};

/* A list or mapping that is open. */
struct frame {
    struct yaml_node *node;
    struct yaml_node **tail; /* where the next child is linked */
    bool has_key;            /* a mapping: the key is read, its value comes next */
    bool key_refused;        /* that key is not usable: its value is dropped */
    struct view key;
    struct diag_place key_place;
};

struct reader {
    struct arena *arena;
    struct diag_list *list;
    const struct diag_source *source;
    struct view text;  /* the source's, with what was refused blotted out */
    size_t characters; /* in text */
    struct cursor cursor;
    struct frame frames[YAML_DEPTH_MAX];
    size_t depth;    /* frames in use */
    size_t skipping; /* lists and mappings open within something refused */
    size_t nodes;
    size_t documents;
    struct yaml_node *root;
    bool stop;   /* no use in going on */
    bool failed; /* and what there is of the tree is of no use either */
};

const char *yaml_kind_name(enum yaml_kind kind)
{
    static const char *const names[] = {"a string or number", "a list", "a mapping"};
    return names[kind];
}

/* The text, before libyaml sees it */

/* Why a character may not occur as it is, or NULL. */
static const char *refuse_character(uint32_t character, struct view text)
{
    if (character == '\t')
        return "a tab: use blanks (inside quotes: \\t)";
    if (character == '\r')
        return text.length > 1 && text.data[1] == '\n' ? NULL : "a carriage return that ends no line";
    if (character_is_control(character) && character != '\n')
        return "a control character";
    if (character_is_separator(character))
        return "an invisible line separator";
    if (character_is_reordering(character))
        return "a control character that reorders text on the screen";
    if (character == 0xfeff)
        return "a byte order mark: save the file as UTF-8 without one";
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

/* Refuses what a text file of ours can't have, and blots it out in a copy so that reading can go on with the
 * columns unchanged. False if it is no text at all. */
static bool check_text(struct reader *reader)
{
    struct view rest = reader->source->text;
    uint8_t *copy = (uint8_t *)arena_copy_string(reader->arena, rest);
    reader->text = view_of(copy, rest.length);
    struct diag_place place = {reader->source, 1, 1, 1};
    if (rest.length > 0 && memchr(rest.data, 0, rest.length) != NULL) {
        place.line = 0;
        diag_add(reader->list, DIAG_ERROR, &place, NULL, "not a text file: it contains zero bytes");
        return false;
    }
    size_t bad = 0;
    while (rest.length > 0 && bad < YAML_BAD_CHARACTERS_MAX) {
        size_t length;
        uint32_t character = character_decode(rest, &length);
        const char *why = length == 0 ? "not valid UTF-8" : refuse_character(character, rest);
        if (length == 0)
            length = broken_length(rest);
        if (why != NULL) {
            place.length = (uint32_t)length;
            diag_add(reader->list, DIAG_ERROR, &place, NULL, "%s", why);
            memset(copy + (rest.data - reader->source->text.data), character == '\t' ? ' ' : 'x', length);
            bad++;
        }
        place.line += character == '\n';
        place.column = character == '\n' ? 1 : place.column + (uint32_t)length;
        rest = view_skip(rest, length);
        reader->characters += why != NULL ? length : 1;
    }
    return bad < YAML_BAD_CHARACTERS_MAX;
}

/* Places */

static void step_forward(struct reader *reader)
{
    struct cursor *cursor = &reader->cursor;
    bool line_end = reader->text.data[cursor->offset] == '\n';
    size_t length = utf8_sequence_length(view_skip(reader->text, cursor->offset));
    assert(length > 0); /* check_text() saw to it */
    cursor->offset += length;
    cursor->index++;
    if (line_end) {
        cursor->line++;
        cursor->line_start = cursor->offset;
    }
}

/* Moves the cursor to one of libyaml's marks. Marks of successive events seldom go back, so that all of them
 * together cost one walk over the text. */
static void seek(struct reader *reader, const yaml_mark_t *mark)
{
    if (mark->index < reader->cursor.index)
        reader->cursor = (struct cursor){.line = 1};
    while (reader->cursor.index < mark->index && reader->cursor.offset < reader->text.length)
        step_forward(reader);
}

static struct diag_place place_at_cursor(const struct reader *reader)
{
    const struct cursor *cursor = &reader->cursor;
    return (struct diag_place){
        reader->source, cursor->line, (uint32_t)(cursor->offset - cursor->line_start) + 1, 1};
}

/* Where an event is, underlined to its end or to the end of its first line. */
static struct diag_place place_of(struct reader *reader, const yaml_event_t *event)
{
    seek(reader, &event->start_mark);
    struct diag_place place = place_at_cursor(reader);
    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
        return place;
    const struct cursor start = reader->cursor;
    while (reader->cursor.index < event->end_mark.index && reader->cursor.line == start.line &&
           reader->cursor.offset < reader->text.length)
        step_forward(reader);
    size_t end = reader->cursor.line == start.line ? reader->cursor.offset : reader->cursor.line_start - 1;
    place.length = end > start.offset ? (uint32_t)(end - start.offset) : 1;
    reader->cursor = start;
    return place;
}

/* Nodes */

/* True for what YAML 1.1 readers take for something else than the text that it is. */
static bool is_reserved_word(struct view text)
{
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "null", "~"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (text.length == strlen(words[i]) &&
            strncasecmp((const char *)text.data, words[i], text.length) == 0)
            return true;
    }
    return false;
}

static bool has_control_character(struct view text)
{
    while (text.length > 0) {
        size_t length;
        uint32_t character = character_decode(text, &length);
        assert(length > 0); /* libyaml decodes escapes to well-formed UTF-8 */
        if (character_is_control(character) && character != '\n' && character != '\t')
            return true;
        text = view_skip(text, length);
    }
    return false;
}

/* What keys and values alike may not be. True if an error was added. */
static bool refuse_scalar(
    struct reader *reader, struct view text, bool quoted, const struct diag_place *place)
{
    if (!quoted && is_reserved_word(text)) {
        diag_add(reader->list, DIAG_ERROR, place, "write true, false, or quote it",
            "the unquoted word '%.*s' is ambiguous", VIEW_ARGS(text));
        return true;
    }
    if (has_control_character(text)) {
        diag_add(reader->list, DIAG_ERROR, place, NULL, "a control character in a string");
        return true;
    }
    return false;
}

/* Anchors and tags may stand before any node. True if an error was added. */
static bool refuse_properties(
    struct reader *reader, const void *anchor, const void *tag, const struct diag_place *place)
{
    if (anchor != NULL)
        diag_add(reader->list, DIAG_ERROR, place, "write the value out where it is needed",
            "anchors are not supported");
    if (tag != NULL)
        diag_add(
            reader->list, DIAG_ERROR, place, "quote text that begins with '!'", "tags are not supported");
    return anchor != NULL || tag != NULL;
}

static struct frame *top_frame(struct reader *reader)
{
    return reader->depth == 0 ? NULL : &reader->frames[reader->depth - 1];
}

static bool expects_key(struct reader *reader)
{
    const struct frame *frame = top_frame(reader);
    return frame != NULL && frame->node->kind == YAML_MAPPING && !frame->has_key;
}

/* Ends a member whose key is not usable. True if the event's node is such a member's value, to be dropped. */
static bool drop_value(struct reader *reader)
{
    struct frame *frame = top_frame(reader);
    if (frame == NULL || !frame->key_refused)
        return false;
    frame->key_refused = frame->has_key = false;
    return true;
}

static struct yaml_node *add_node(struct reader *reader, enum yaml_kind kind, const struct diag_place *place)
{
    if (++reader->nodes > YAML_NODES_MAX) {
        diag_add(reader->list, DIAG_ERROR, place, NULL, "more than %d values in one file", YAML_NODES_MAX);
        reader->stop = reader->failed = true;
    }
    struct yaml_node *node = arena_alloc(reader->arena, sizeof(*node));
    node->kind = kind;
    node->place = *place;
    struct frame *frame = top_frame(reader);
    if (frame == NULL) {
        reader->root = node;
        return node;
    }
    node->key = frame->key;
    node->key_place = frame->key_place;
    frame->has_key = false;
    frame->node->count++;
    *frame->tail = node;
    frame->tail = &node->next;
    return node;
}

/* Events */

static void take_key(
    struct reader *reader, struct view text, bool quoted, const struct diag_place *place, bool refused)
{
    struct frame *frame = top_frame(reader);
    if (!quoted && view_equal_string(text, "<<")) {
        diag_add(reader->list, DIAG_ERROR, place, "write the members out", "merge keys are not supported");
        refused = true;
    } else if (!quoted && text.length == 0) {
        diag_add(reader->list, DIAG_ERROR, place, NULL, "a key is missing before the ':'");
        refused = true;
    }
    if (frame->node->first == NULL && frame->node->place.line == place->line &&
        frame->node->place.column == place->column)
        frame->node->place.length = place->length; /* a mapping without braces begins with its first key */
    frame->has_key = true;
    frame->key_refused = refused;
    frame->key = text;
    frame->key_place = *place;
}

/* A value that is not there. In flow style YAML has the key alone, otherwise nothing stands behind ':' or
 * '-'. */
static void refuse_missing_value(struct reader *reader, struct yaml_node *node)
{
    const struct frame *frame = top_frame(reader);
    if (frame == NULL || frame->node->kind != YAML_MAPPING) {
        diag_add(reader->list, DIAG_ERROR, &node->place, "a '#' after a blank begins a comment: quote it",
            "an empty value");
    } else {
        node->place = node->key_place;
        diag_add(reader->list, DIAG_ERROR, &node->place,
            "write a value, [] for an empty list, or remove the key", "'%.*s' has no value",
            VIEW_ARGS(node->key));
    }
    node->refused = true;
}

static void on_scalar(struct reader *reader, const yaml_event_t *event)
{
    if (reader->skipping > 0)
        return;
    struct diag_place place = place_of(reader, event);
    struct view text =
        arena_copy(reader->arena, view_of(event->data.scalar.value, event->data.scalar.length));
    bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    bool refused = refuse_properties(reader, event->data.scalar.anchor, event->data.scalar.tag, &place);
    refused = refuse_scalar(reader, text, quoted, &place) || refused;
    if (expects_key(reader)) {
        take_key(reader, text, quoted, &place, refused);
        return;
    }
    if (drop_value(reader))
        return;
    struct yaml_node *node = add_node(reader, YAML_SCALAR, &place);
    node->text = text;
    node->quoted = quoted;
    node->refused = refused;
    if (text.length == 0 && !quoted && !refused)
        refuse_missing_value(reader, node);
}

static void on_alias(struct reader *reader, const yaml_event_t *event)
{
    if (reader->skipping > 0)
        return;
    struct diag_place place = place_of(reader, event);
    diag_add(reader->list, DIAG_ERROR, &place, "write the value out, or quote text that begins with '*'",
        "aliases are not supported");
    if (expects_key(reader))
        take_key(reader, VIEW("*"), true, &place, true);
    else if (!drop_value(reader))
        add_node(reader, YAML_SCALAR, &place)->refused = true;
}

/* Opens a list or mapping, or begins to skip it. */
static void open_node(struct reader *reader, const yaml_event_t *event, enum yaml_kind kind,
    const void *anchor, const void *tag)
{
    if (reader->skipping > 0) {
        reader->skipping++;
        reader->stop = reader->failed = reader->skipping > YAML_SKIP_MAX;
        return;
    }
    struct diag_place place = place_of(reader, event);
    bool refused = refuse_properties(reader, anchor, tag, &place);
    if (expects_key(reader)) {
        diag_add(reader->list, DIAG_ERROR, &place, "quote text that begins with '[' or '{'",
            "a key must be plain text, not %s", yaml_kind_name(kind));
        take_key(reader, VIEW("?"), true, &place, true);
        reader->skipping = 1;
        return;
    }
    if (drop_value(reader)) {
        reader->skipping = 1;
        return;
    }
    struct yaml_node *node = add_node(reader, kind, &place);
    node->refused = refused;
    if (reader->depth == YAML_DEPTH_MAX) {
        diag_add(reader->list, DIAG_ERROR, &place, NULL, "nested deeper than %d levels", YAML_DEPTH_MAX);
        node->refused = true;
        reader->skipping = 1;
        return;
    }
    reader->frames[reader->depth++] = (struct frame){.node = node, .tail = &node->first};
}

static void on_sequence_start(struct reader *reader, const yaml_event_t *event)
{
    open_node(
        reader, event, YAML_SEQUENCE, event->data.sequence_start.anchor, event->data.sequence_start.tag);
}

static void on_mapping_start(struct reader *reader, const yaml_event_t *event)
{
    open_node(reader, event, YAML_MAPPING, event->data.mapping_start.anchor, event->data.mapping_start.tag);
}

static int compare_keys(const void *left, const void *right)
{
    const struct yaml_node *a = *(const struct yaml_node *const *)left;
    const struct yaml_node *b = *(const struct yaml_node *const *)right;
    size_t common = a->key.length < b->key.length ? a->key.length : b->key.length;
    int by_text = common == 0 ? 0 : memcmp(a->key.data, b->key.data, common);
    if (by_text != 0)
        return by_text;
    if (a->key.length != b->key.length)
        return a->key.length < b->key.length ? -1 : 1;
    if (a->key_place.line != b->key_place.line)
        return a->key_place.line < b->key_place.line ? -1 : 1;
    return a->key_place.column < b->key_place.column ? -1 : a->key_place.column > b->key_place.column;
}

/* Sorted, so that a file of nothing but keys costs no square of their number. */
static void refuse_duplicates(struct reader *reader, const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return;
    const struct yaml_node **members = memory_calloc(mapping->count, sizeof(*members));
    size_t count = 0;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next)
        members[count++] = member;
    assert(count == mapping->count);
    qsort(members, count, sizeof(*members), compare_keys);
    const struct yaml_node *first = members[0];
    for (size_t i = 1; i < count; i++) {
        if (!view_equal(first->key, members[i]->key)) {
            first = members[i];
            continue;
        }
        char hint[64];
        snprintf(hint, sizeof(hint), "first given at line %u, column %u", first->key_place.line,
            first->key_place.column);
        diag_add(reader->list, DIAG_ERROR, &members[i]->key_place, hint, "duplicate key '%.*s'",
            VIEW_ARGS(first->key));
    }
    free(members);
}

static void on_end(struct reader *reader, const yaml_event_t *event)
{
    (void)event;
    if (reader->skipping > 0) {
        reader->skipping--;
        return;
    }
    assert(reader->depth > 0);
    const struct yaml_node *node = reader->frames[--reader->depth].node;
    if (node->kind == YAML_MAPPING)
        refuse_duplicates(reader, node);
}

static void on_document_start(struct reader *reader, const yaml_event_t *event)
{
    struct diag_place place = place_of(reader, event);
    bool directives =
        event->data.document_start.version_directive != NULL ||
        event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end;
    if (directives)
        diag_add(reader->list, DIAG_ERROR, &place, "remove the line",
            "directives such as %%YAML are not supported");
    if (reader->documents++ > 0) {
        diag_add(
            reader->list, DIAG_ERROR, &place, "one file is one document", "a second document in the file");
        reader->stop = true;
    }
}

static void on_stream_end(struct reader *reader, const yaml_event_t *event)
{
    (void)event;
    reader->stop = true;
    struct diag_place whole_file = {.source = reader->source};
    if (reader->root == NULL)
        diag_add(reader->list, DIAG_ERROR, &whole_file, NULL, "the file is empty");
}

typedef void event_handler(struct reader *reader, const yaml_event_t *event);

static event_handler *const handlers[] = {
    [YAML_STREAM_END_EVENT] = on_stream_end,
    [YAML_DOCUMENT_START_EVENT] = on_document_start,
    [YAML_ALIAS_EVENT] = on_alias,
    [YAML_SCALAR_EVENT] = on_scalar,
    [YAML_SEQUENCE_START_EVENT] = on_sequence_start,
    [YAML_SEQUENCE_END_EVENT] = on_end,
    [YAML_MAPPING_START_EVENT] = on_mapping_start,
    [YAML_MAPPING_END_EVENT] = on_end,
};

/* What libyaml says, and what people mostly did. */
static const struct {
    const char *problem, *hint;
} syntax_hints[] = {
    {"mapping values are not allowed in this context",
        "quote a value that contains ': ', or check the indentation"},
    {"did not find expected key", "check the indentation: keys of one mapping begin in the same column"},
    {"did not find expected '-' indicator",
        "check the indentation: items of one list begin in the same column"},
    {"could not find expected ':'", "a key is followed by ': '; text of several lines needs quotes"},
    {"did not find expected ',' or ']'", "items in [ ] are separated by commas"},
    {"did not find expected ',' or '}'", "members in { } are separated by commas"},
    {"found character that cannot start any token", "quote a value that begins with @, ` or %"},
    {"found unexpected end of stream", "a closing quote or bracket is missing"},
    {"did not find expected alphabetic or numeric character", "quote a value that begins with * or &"},
    {"found unknown escape character",
        "in \"...\" a backslash is written \\\\; in '...' it stands for itself"},
};

static void report_syntax(struct reader *reader, const yaml_parser_t *parser)
{
    const char *problem = parser->problem == NULL ? "unknown problem" : parser->problem;
    const char *hint = NULL;
    for (size_t i = 0; i < sizeof(syntax_hints) / sizeof(syntax_hints[0]) && hint == NULL; i++)
        hint = strcmp(problem, syntax_hints[i].problem) == 0 ? syntax_hints[i].hint : NULL;
    /* What is never closed is shown where it begins, not at the end of the file. */
    bool unclosed = parser->context != NULL && parser->problem_mark.index >= reader->characters;
    seek(reader, unclosed ? &parser->context_mark : &parser->problem_mark);
    struct diag_place place = place_at_cursor(reader);
    if (parser->context == NULL || unclosed)
        diag_add(reader->list, DIAG_ERROR, &place, hint, "not valid YAML: %s", problem);
    else
        diag_add(reader->list, DIAG_ERROR, &place, hint, "not valid YAML: %s (%s from line %zu)", problem,
            parser->context, parser->context_mark.line + 1);
}

/* 0, or -1 after an error that ends everything. */
static int read_events(struct reader *reader)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, reader->text.data, reader->text.length);
    int result = 0;
    while (!reader->stop && result == 0) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(reader, &parser);
            result = -1;
            break;
        }
        size_t type = (size_t)event.type;
        if (type < sizeof(handlers) / sizeof(handlers[0]) && handlers[type] != NULL)
            handlers[type](reader, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

struct yaml_node *yaml_read(struct arena *arena, const struct diag_source *source, struct diag_list *list)
{
    struct reader reader = {.arena = arena, .list = list, .source = source, .cursor = {.line = 1}};
    if (!check_text(&reader) || read_events(&reader) != 0 || reader.failed)
        return NULL;
    return reader.root;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The one reader of YAML, and the only file that sees libyaml. Owns the strict subset (policy-language
 * "Format"): yaml_text.c refuses text that a person can't trust their eyes with, then libyaml's events become
 * a tree of nodes with places; yaml_syntax.c says what is wrong with a text that is not YAML, yaml_refuse.c
 * what of YAML is not taken. Called for mqward.yaml and policy.yaml by their readers.
 *
 * Nothing here recurses over the input; libyaml keeps its own stack on the heap. */
#include "base/yaml.h"

#include <assert.h>
#include <stdlib.h>
#include <yaml.h>

#include "base/yaml_refuse.h"
#include "base/yaml_text.h"

#define YAML_DEPTH_MAX 12
#define YAML_SKIP_MAX                                                                                        \
    100 /* levels within something refused; libyaml's time grows with the square of the nesting */
#define YAML_NODES_MAX 200000

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
    struct yaml_text text;
    struct frame frames[YAML_DEPTH_MAX];
    size_t depth;    /* frames in use */
    size_t skipping; /* lists and mappings open within something refused */
    size_t nodes;
    size_t documents;
    struct yaml_node *root;
    struct diag_place joined; /* the last line of a scalar that needs quotes; line 0: none */
    bool stop;                /* no use in going on */
    bool failed;              /* and what there is of the tree is of no use either */
};

const char *yaml_kind_name(enum yaml_kind kind)
{
    static const char *const names[] = {"a string or number", "a list", "a mapping"};
    return names[kind];
}

/* Places */

static struct diag_place place_of(struct reader *reader, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT && event->type != YAML_ALIAS_EVENT)
        return yaml_text_place(&reader->text, event->start_mark.index);
    return yaml_text_span(&reader->text, event->start_mark.index, event->end_mark.index);
}

/* Nodes */

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
        diag_add(reader->list, DIAG_ERROR, &node->place, "a '#' after a blank begins a comment: write \"#\"",
            "an empty value");
    } else {
        node->place = node->key_place;
        diag_add(reader->list, DIAG_ERROR, &node->place,
            "write a value, or remove the key; a '#' after a blank begins a comment: write \"#\"",
            "'%.*s' has no value", VIEW_ARGS(node->key));
    }
    node->refused = true;
}

/* YAML joins lines without quotes to one text, and a '-' or ':' that is missing goes unnoticed. True if it
 * did. The error is added when the text behind is read: a bracket that is not closed does the same. */
static bool refuse_lines(struct reader *reader, const yaml_event_t *event)
{
    size_t line_start = event->end_mark.index - event->end_mark.column;
    if (event->end_mark.line == event->start_mark.line || reader->depth == 0)
        return false;
    struct diag_place place = yaml_text_place(&reader->text, line_start);
    struct view line = yaml_text_line(&reader->text, &place);
    size_t blanks = 0;
    while (blanks < line.length && line.data[blanks] == ' ')
        blanks++;
    reader->joined = yaml_text_span(&reader->text, line_start + blanks, event->end_mark.index);
    return true;
}

static void report_lines(struct reader *reader)
{
    if (reader->joined.line > 0)
        diag_add(reader->list, DIAG_ERROR, &reader->joined,
            "is a '- ', a ',' or a ': ' missing? otherwise put the text in quotes",
            "text of several lines without quotes");
    reader->joined.line = 0;
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
    refused = yaml_refuse_scalar(reader->list, text, quoted, &place) || refused;
    refused = (!quoted && refuse_lines(reader, event)) || refused;
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

/* Two items of a list, the second of which lacks its '-': one error, and two items from here on. Returns the
 * second, or NULL. */
static struct yaml_node *split_item(struct reader *reader, struct yaml_node *mapping)
{
    const struct frame *frame = top_frame(reader);
    struct yaml_node *last =
        frame == NULL || frame->node->kind != YAML_SEQUENCE ? NULL : yaml_find_end_of_item(mapping);
    if (last == NULL)
        return NULL;
    diag_add(reader->list, DIAG_ERROR, &last->next->key_place, "a new item of the list begins with '- '",
        "key '%.*s' for the second time in this item", VIEW_ARGS(last->next->key));
    struct yaml_node *item = add_node(reader, YAML_MAPPING, &last->next->key_place);
    item->first = last->next;
    last->next = NULL;
    for (const struct yaml_node *member = item->first; member != NULL; member = member->next)
        item->count++;
    mapping->count -= item->count;
    return item;
}

static void on_end(struct reader *reader, const yaml_event_t *event)
{
    (void)event;
    if (reader->skipping > 0) {
        reader->skipping--;
        return;
    }
    assert(reader->depth > 0);
    struct yaml_node *node = reader->frames[--reader->depth].node;
    while (node != NULL && node->kind == YAML_MAPPING) {
        struct yaml_node *next = split_item(reader, node);
        yaml_refuse_duplicates(reader->list, node);
        node = next;
    }
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
    struct diag_place whole_file = {.source = reader->text.source};
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

static void report_syntax(struct reader *reader, const yaml_parser_t *parser)
{
    const struct yaml_problem problem = {
        .text = parser->problem == NULL ? "unknown problem" : parser->problem,
        .context = parser->context,
        .index = parser->problem_mark.index,
        .context_index = parser->context_mark.index};
    yaml_syntax_report(&reader->text, &problem);
}

/* 0, or -1 after an error that ends everything. */
static int read_events(struct reader *reader)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        abort(); /* out of memory */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, reader->text.bytes.data, reader->text.bytes.length);
    int result = 0;
    while (!reader->stop && result == 0) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            report_syntax(reader, &parser);
            result = -1;
            break;
        }
        report_lines(reader);
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
    struct reader reader = {.arena = arena, .list = list};
    if (!yaml_text_check(&reader.text, arena, list, source) || read_events(&reader) != 0 || reader.failed)
        return NULL;
    return reader.root;
}

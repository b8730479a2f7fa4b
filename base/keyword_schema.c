/* SPDX-License-Identifier: Apache-2.0 */
/* Prints a JSON Schema (draft-07) from a table of keywords, for editors that complete and check as one types.
 * It knows what a table knows: keys, kinds, choices, ranges. What needs the whole file (names, placeholders,
 * what a rule's keys have to do with each other) is the reader's. Called by the subcommands '... schema'. */
#include "base/json.h"
#include "base/keyword_type.h"
#include "base/number.h"

#define DRAFT "http://json-schema.org/draft-07/schema#"
#define SHARE_PATTERN "^(100(\\.0{1,4})?|[1-9]?[0-9](\\.[0-9]{1,4})?)%$"

static void write_text(struct json *json, const char *key, const char *text)
{
    json_write_string(json, key, view_of_string(text));
}

/* Numbers and words without quotes are text here, whatever other readers of YAML take them for. */
static void write_text_value(struct json *json, const struct keyword *keyword)
{
    json_write_array_begin(json, "type");
    write_text(json, NULL, "string");
    write_text(json, NULL, "number");
    write_text(json, NULL, "boolean");
    json_write_array_end(json);
    if (keyword->pattern != NULL)
        write_text(json, "pattern", keyword->pattern);
    else
        json_write_unsigned(json, "minLength", 1);
}

static void write_choice(struct json *json, const struct keyword *keyword)
{
    bool helped = false;
    json_write_array_begin(json, "enum");
    for (const struct keyword_choice *choice = keyword->choices; choice->name != NULL; choice++) {
        if (!choice->unsupported)
            write_text(json, NULL, choice->name);
        helped = helped || (choice->help != NULL && !choice->unsupported);
    }
    json_write_array_end(json);
    if (!helped)
        return;
    json_write_array_begin(json, "enumDescriptions");
    for (const struct keyword_choice *choice = keyword->choices; choice->name != NULL; choice++) {
        if (!choice->unsupported)
            write_text(json, NULL, choice->help == NULL ? "" : choice->help);
    }
    json_write_array_end(json);
}

typedef void write_value(struct json *json, const struct keyword *keyword);

/* "type": "array" of values that write writes. */
static void write_array(struct json *json, const struct keyword *keyword, write_value *write)
{
    bool may_be_empty = keyword->default_text != NULL && strcmp(keyword->default_text, "[]") == 0;
    write_text(json, "type", "array");
    if (!may_be_empty)
        json_write_unsigned(json, "minItems", 1);
    json_write_object_begin(json, "items");
    write(json, keyword);
    json_write_object_end(json);
}

static void write_one_or_many(struct json *json, const struct keyword *keyword, write_value *write)
{
    json_write_array_begin(json, "anyOf");
    json_write_object_begin(json, NULL);
    write(json, keyword);
    json_write_object_end(json);
    json_write_object_begin(json, NULL);
    write_array(json, keyword, write);
    json_write_object_end(json);
    json_write_array_end(json);
}

static void write_quantity(struct json *json, const struct keyword *keyword, const struct quantity *quantity)
{
    if (quantity->bare) {
        write_text(json, "type", "integer");
    } else {
        json_write_array_begin(json, "type");
        write_text(json, NULL, "string");
        write_text(json, NULL, "integer");
        json_write_array_end(json);
        write_text(json, "pattern", quantity->pattern);
    }
    json_write_unsigned(json, "minimum", quantity->bare_zero_only ? 0 : keyword->minimum);
    if (keyword->maximum != 0 || quantity->bare_zero_only)
        json_write_unsigned(json, "maximum", quantity->bare_zero_only ? 0 : keyword->maximum);
}

static void write_table(struct json *json, const struct keyword *table);

static void write_items(struct json *json, const struct keyword *keyword)
{
    write_text(json, "type", "array");
    json_write_object_begin(json, "items");
    write_table(json, keyword->members);
    json_write_object_end(json);
}

static void write_named(struct json *json, const struct keyword *keyword)
{
    write_text(json, "type", "object");
    if (keyword->pattern != NULL) {
        json_write_object_begin(json, "propertyNames");
        write_text(json, "pattern", keyword->pattern);
        json_write_object_end(json);
    }
    json_write_object_begin(json, "additionalProperties");
    write_table(json, keyword->members);
    json_write_object_end(json);
}

static void write_pairs(struct json *json, const struct keyword *keyword)
{
    write_text(json, "type", "object");
    json_write_object_begin(json, "additionalProperties");
    if (keyword->choices != NULL)
        write_choice(json, keyword);
    else if ((keyword->flags & KEYWORD_ONE_OR_MANY) != 0)
        write_one_or_many(json, keyword, write_text_value);
    else
        write_text_value(json, keyword);
    json_write_object_end(json);
}

static void write_texts(struct json *json, const struct keyword *keyword)
{
    if ((keyword->flags & KEYWORD_ONE_OR_MANY) != 0)
        write_one_or_many(json, keyword, write_text_value);
    else
        write_array(json, keyword, write_text_value);
}

static void write_boolean(struct json *json, const struct keyword *keyword)
{
    (void)keyword;
    write_text(json, "type", "boolean");
}

static void write_share(struct json *json, const struct keyword *keyword)
{
    (void)keyword;
    write_text(json, "type", "string");
    write_text(json, "pattern", SHARE_PATTERN);
}

static void write_choices(struct json *json, const struct keyword *keyword)
{
    write_one_or_many(json, keyword, write_choice);
}

static void write_mapping(struct json *json, const struct keyword *keyword)
{
    write_table(json, keyword->members);
}

/* Quantities have an argument of their own. Of an unknown value there is nothing to say. */
static write_value *const writers[] = {
    [KEYWORD_KIND_TEXT] = write_text_value,
    [KEYWORD_KIND_TEXTS] = write_texts,
    [KEYWORD_KIND_BOOLEAN] = write_boolean,
    [KEYWORD_KIND_SHARE] = write_share,
    [KEYWORD_KIND_CHOICE] = write_choice,
    [KEYWORD_KIND_CHOICES] = write_choices,
    [KEYWORD_KIND_MAPPING] = write_mapping,
    [KEYWORD_KIND_LIST] = write_items,
    [KEYWORD_KIND_NAMED] = write_named,
    [KEYWORD_KIND_PAIRS] = write_pairs,
};

/* What a person reads in the editor: the help, and what each choice means. */
static void write_description(struct json *json, const struct keyword *keyword, struct keyword_type type)
{
    struct buffer text = {0};
    if (keyword->help != NULL)
        buffer_append(&text, view_of_string(keyword->help));
    for (const struct keyword_choice *choice = keyword->choices; choice != NULL && choice->name != NULL;
         choice++) {
        if (!choice->unsupported && choice->help != NULL)
            buffer_format(&text, " `%s`: %s", choice->name, choice->help);
    }
    if (type.quantity != NULL && !type.quantity->bare) {
        struct keyword_range_text range = quantity_show_range(type.quantity, keyword);
        buffer_format(&text, " A %s%s%s.", type.name, range.bytes[0] == '\0' ? "" : " ", range.bytes);
    }
    if (buffer_length(&text) > 0)
        json_write_string(json, "description", buffer_view(&text));
    buffer_release(&text);
}

static void write_default(struct json *json, const struct keyword *keyword, struct keyword_type type)
{
    uint64_t number;
    const char *text = keyword->default_text;
    if (text == NULL || strcmp(text, "{}") == 0 || strcmp(text, "[]") == 0)
        return;
    if (type.kind == KEYWORD_KIND_BOOLEAN)
        json_write_boolean(json, "default", strcmp(text, "true") == 0);
    else if (type.kind == KEYWORD_KIND_QUANTITY && number_parse(view_of_string(text), &number) == 0)
        json_write_unsigned(json, "default", number);
    else
        write_text(json, "default", text);
}

static void write_property(struct json *json, const struct keyword *keyword)
{
    struct keyword_type type = keyword_type_of(keyword);
    json_write_object_begin(json, keyword->name);
    write_description(json, keyword, type);
    if (type.kind == KEYWORD_KIND_QUANTITY)
        write_quantity(json, keyword, type.quantity);
    else if (writers[type.kind] != NULL)
        writers[type.kind](json, keyword);
    write_default(json, keyword, type);
    json_write_object_end(json);
}

/* Where a mapping stands in several files, each has what is in each; the rest is required over all. */
static void write_required(struct json *json, const struct keyword *table)
{
    unsigned wanted = KEYWORD_REQUIRED;
    bool any = false;
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        wanted |= keyword->flags & KEYWORD_EACH_FILE;
        any = any || (keyword->flags & KEYWORD_REQUIRED) != 0;
    }
    if (!any)
        return;
    json_write_array_begin(json, "required");
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if ((keyword->flags & wanted) == wanted)
            write_text(json, NULL, keyword->name);
    }
    json_write_array_end(json);
}

static void write_alternatives(struct json *json, const struct keyword *table)
{
    bool any = false;
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        bool one = (keyword->flags & KEYWORD_ALTERNATIVE) != 0 && (keyword->flags & KEYWORD_UNSUPPORTED) == 0;
        if (!one)
            continue;
        if (!any)
            json_write_array_begin(json, "oneOf");
        any = true;
        json_write_object_begin(json, NULL);
        json_write_array_begin(json, "required");
        write_text(json, NULL, keyword->name);
        json_write_array_end(json);
        json_write_object_end(json);
    }
    if (any)
        json_write_array_end(json);
}

/* The members of an object. Recursion is as deep as our tables. */
static void write_table(struct json *json, const struct keyword *table)
{
    write_text(json, "type", "object");
    json_write_boolean(json, "additionalProperties", false);
    write_required(json, table);
    write_alternatives(json, table);
    json_write_object_begin(json, "properties");
    for (const struct keyword *keyword = table; keyword->name != NULL; keyword++) {
        if ((keyword->flags & KEYWORD_UNSUPPORTED) == 0)
            write_property(json, keyword);
    }
    json_write_object_end(json);
}

void keyword_print_schema(
    struct buffer *out, const struct keyword *table, const char *title, const char *description)
{
    struct json json;
    json_write_begin(&json, out);
    json.indented = true;
    json_write_object_begin(&json, NULL);
    write_text(&json, "$schema", DRAFT);
    write_text(&json, "title", title);
    write_text(&json, "description", description);
    write_table(&json, table);
    json_write_object_end(&json);
    buffer_append_byte(out, '\n');
}

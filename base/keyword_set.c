/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the setters that tables name: from a node to a field of the target, or an error that says what was
 * expected. Called by keyword.c through the rows of tables, and by setters of other modules. */
#include <assert.h>

#include "base/keyword_type.h"
#include "base/number.h"

/* A scalar that no setter can use: what it should have been, and what it is. */
static int refuse_value(struct keyword_context *context, const struct keyword *keyword,
    const struct yaml_node *node, const char *expected, const char *hint)
{
    if (node->kind != YAML_SCALAR)
        return keyword_error(context, node, hint, "%s: expected %s, found %s", keyword->name, expected,
            keyword_describe(node));
    return keyword_error(context, node, hint, "%s: expected %s, found %s'%.*s'", keyword->name, expected,
        node->quoted ? "the string " : "", VIEW_ARGS(node->text));
}

static void *field_of(const struct keyword *keyword, void *target)
{
    return (char *)target + keyword->offset;
}

int keyword_set_string(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    if (node->text.length == 0)
        return keyword_error(
            context, node, keyword_show_example(context, keyword), "%s: must not be empty", keyword->name);
    struct keyword_string *string = field_of(keyword, target);
    *string = (struct keyword_string){
        .text = arena_copy(context->arena, node->text), .place = node->place, .quoted = node->quoted};
    return 0;
}

static int refuse_empty(
    struct keyword_context *context, const struct keyword *keyword, const struct yaml_node *node)
{
    const char *hint = keyword_show_example(context, keyword);
    return keyword_error(context, node, hint == NULL ? "write at least one, or remove the key" : hint,
        "%s: the list is empty", keyword->name);
}

int keyword_set_strings(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool single = node->kind == YAML_SCALAR && (keyword->flags & KEYWORD_ONE_OR_MANY) != 0;
    if (!single && keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    size_t count = single ? 1 : node->count;
    if (count == 0 && (keyword->default_text == NULL || strcmp(keyword->default_text, "[]") != 0))
        return refuse_empty(context, keyword, node);
    struct keyword_strings *strings = field_of(keyword, target);
    strings->items = arena_calloc(context->arena, count, sizeof(*strings->items));
    strings->count = 0;
    const struct keyword item = {.name = keyword->name};
    int result = 0;
    for (const struct yaml_node *value = single ? node : node->first; value != NULL; value = value->next) {
        if (keyword_set_string(context, &item, &strings->items[strings->count], value) == 0)
            strings->count++;
        else
            result = -1;
        if (single)
            break;
    }
    return result;
}

static const char unquote[] = "remove the quotes";

static bool is_quoted_boolean(const struct yaml_node *node)
{
    return node->quoted && (view_equal(node->text, VIEW("true")) || view_equal(node->text, VIEW("false")));
}

static bool is_quoted_number(const struct yaml_node *node)
{
    uint64_t number;
    return node->quoted && number_parse(node->text, &number) == 0;
}

int keyword_set_boolean(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool is_word = node->kind == YAML_SCALAR && !node->quoted && !node->refused;
    if (is_word && view_equal(node->text, VIEW("true")))
        *(bool *)field_of(keyword, target) = true;
    else if (is_word && view_equal(node->text, VIEW("false")))
        *(bool *)field_of(keyword, target) = false;
    else
        return refuse_value(
            context, keyword, node, "true or false", is_quoted_boolean(node) ? unquote : NULL);
    return 0;
}

static int set_quantity(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node, const struct quantity *quantity)
{
    uint64_t value;
    bool readable = node->kind == YAML_SCALAR && !node->refused && !(quantity->bare && node->quoted);
    if (!readable || quantity->parse(node->text, &value) != 0) {
        struct keyword_range_text range = quantity_show_range(quantity, keyword);
        const char *hint = quantity->hint != NULL   ? quantity->hint
                           : range.bytes[0] == '\0' ? keyword_show_example(context, keyword)
                           : is_quoted_number(node) ? unquote
                                                    : range.bytes;
        return refuse_value(context, keyword, node, quantity->expected, hint);
    }
    if (value < keyword->minimum || (keyword->maximum != 0 && value > keyword->maximum)) {
        struct keyword_range_text range = quantity_show_range(quantity, keyword);
        return keyword_error(context, node, NULL, "%s: must be %s, found '%.*s'", keyword->name, range.bytes,
            VIEW_ARGS(node->text));
    }
    *(uint64_t *)field_of(keyword, target) = value;
    return 0;
}

int keyword_set_number(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &quantity_number);
}

int keyword_set_size(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &quantity_size);
}

int keyword_set_duration_ms(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &quantity_duration);
}

int keyword_set_duration_ns(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &quantity_short_duration);
}

int keyword_set_share_ppm(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool readable = node->kind == YAML_SCALAR && !node->refused;
    if (!readable || number_parse_share_ppm(node->text, field_of(keyword, target)) != 0)
        return refuse_value(context, keyword, node, "a share", "from 0% to 100%, such as 0.5%");
    return 0;
}

const char *keyword_hint_list(struct keyword_context *context, struct view text)
{
    const uint8_t *comma = text.length == 0 ? NULL : memchr(text.data, ',', text.length);
    bool whole = comma != NULL && comma > text.data && comma + 1 < text.data + text.length;
    return whole ? arena_format(context->arena, "a list stands in [ ]: [%.*s]", VIEW_ARGS(text)) : NULL;
}

/* The choice that a scalar names, or NULL after an error. */
static const struct keyword_choice *find_choice(
    struct keyword_context *context, const struct keyword *keyword, const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return NULL;
    const char *names[KEYWORD_ROWS_MAX];
    size_t count = 0;
    for (const struct keyword_choice *choice = keyword->choices; choice->name != NULL; choice++) {
        if (view_equal_string(node->text, choice->name) && !choice->unsupported)
            return choice;
        if (view_equal_string(node->text, choice->name)) {
            keyword_error(context, node, NULL, "%s: '%s' is not supported by this version", keyword->name,
                choice->name);
            return NULL;
        }
        assert(count < KEYWORD_ROWS_MAX);
        if (!choice->unsupported)
            names[count++] = choice->name;
    }
    const struct keyword_foreign *foreign = keyword_find_foreign(keyword->foreign, node->text);
    const char *hint = foreign != NULL ? foreign->hint : keyword_hint_list(context, node->text);
    keyword_error(context, node, hint != NULL ? hint : diag_hint(context->diag, node->text, names, count),
        "%s: unknown value '%.*s'", keyword->name, VIEW_ARGS(node->text));
    return NULL;
}

int keyword_set_choice(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    const struct keyword_choice *choice = find_choice(context, keyword, node);
    if (choice == NULL)
        return -1;
    *(int *)field_of(keyword, target) = choice->value;
    return 0;
}

int keyword_set_choices(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool single = node->kind == YAML_SCALAR;
    if (!single && keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    if (!single && node->count == 0)
        return refuse_empty(context, keyword, node);
    unsigned values = 0;
    int result = 0;
    for (const struct yaml_node *item = single ? node : node->first; item != NULL;
         item = single ? NULL : item->next) {
        const struct keyword_choice *choice = find_choice(context, keyword, item);
        if (choice == NULL)
            result = -1;
        else
            values |= (unsigned)choice->value;
    }
    if (result == 0)
        *(unsigned *)field_of(keyword, target) = values;
    return result;
}

int keyword_set_mapping(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    assert(keyword->members != NULL);
    const char *hint = keyword_show_mapping(context, keyword->name, keyword->members);
    if (node->kind == YAML_SCALAR && hint != NULL)
        return keyword_error(
            context, node, hint, "%s: expected a mapping, found %s", keyword->name, keyword_describe(node));
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    return keyword_read(context, keyword->members, field_of(keyword, target), node) == 0 ? 0 : -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Reads mappings against tables of keywords, and prints the reference manual from the same tables. Called by
 * the readers of mqward.yaml and policy.yaml; a new keyword is a row in one of their tables. */
#include "base/keyword.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buffer.h"
#include "base/number.h"

#define KEYWORD_ROWS_MAX 64 /* rows of a table: bits of the set of keys that were seen */

/* Errors */

int keyword_error(
    struct keyword_context *context, const struct yaml_node *node, const char *hint, const char *format, ...)
{
    if (node->refused)
        return -1;
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    diag_add(context->diag, DIAG_ERROR, &node->place, hint, "%s", message);
    return -1;
}

static const char *describe(const struct yaml_node *node)
{
    uint64_t number;
    if (node->kind != YAML_SCALAR)
        return yaml_kind_name(node->kind);
    if (!node->quoted && number_parse(node->text, &number) == 0)
        return "a number";
    return "a string";
}

int keyword_expect(
    struct keyword_context *context, const struct yaml_node *node, const char *name, enum yaml_kind kind)
{
    if (node->kind == kind && !node->refused)
        return 0;
    return keyword_error(
        context, node, NULL, "%s: expected %s, found %s", name, yaml_kind_name(kind), describe(node));
}

/* A scalar that no setter can use: what it should have been, and what it is. */
static int refuse_value(struct keyword_context *context, const struct keyword *keyword,
    const struct yaml_node *node, const char *expected, const char *hint)
{
    if (node->kind != YAML_SCALAR)
        return keyword_error(
            context, node, hint, "%s: expected %s, found %s", keyword->name, expected, describe(node));
    return keyword_error(context, node, hint, "%s: expected %s, found %s'%.*s'", keyword->name, expected,
        node->quoted ? "the string " : "", VIEW_ARGS(node->text));
}

/* Reading a mapping */

static size_t table_length(const struct keyword *table)
{
    size_t rows = 0;
    while (table[rows].name != NULL)
        rows++;
    assert(rows <= KEYWORD_ROWS_MAX);
    return rows;
}

static const struct keyword *find_keyword(const struct keyword *table, struct view name)
{
    for (; table->name != NULL; table++) {
        if (view_equal_string(name, table->name))
            return table;
    }
    return NULL;
}

static void refuse_unknown(
    struct keyword_context *context, const struct keyword *table, const struct yaml_node *member)
{
    const char *names[KEYWORD_ROWS_MAX];
    size_t count = 0;
    for (; table->name != NULL; table++) {
        if ((table->flags & KEYWORD_UNSUPPORTED) == 0)
            names[count++] = table->name;
    }
    diag_add(context->diag, DIAG_ERROR, &member->key_place,
        diag_hint(context->diag, member->key, names, count), "unknown key '%.*s'", VIEW_ARGS(member->key));
}

static size_t set_member(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *member)
{
    if ((keyword->flags & KEYWORD_UNSUPPORTED) != 0) {
        diag_add(context->diag, DIAG_ERROR, &member->key_place, NULL, "'%s' is not supported by this version",
            keyword->name);
        return 1;
    }
    if (keyword->seen_offset != 0)
        *(bool *)((char *)target + keyword->seen_offset - 1) = true;
    return keyword->set(context, keyword, target, member) == 0 ? 0 : 1;
}

/* The node that a default stands for; it is where the mapping is. */
static struct yaml_node default_node(const struct keyword *keyword, const struct yaml_node *mapping)
{
    struct view text = view_of_string(keyword->default_text);
    struct yaml_node node = {.text = text, .place = mapping->place, .key_place = mapping->place};
    node.key = view_of_string(keyword->name);
    if (view_equal_string(text, "{}"))
        node.kind = YAML_MAPPING;
    else if (view_equal_string(text, "[]"))
        node.kind = YAML_SEQUENCE;
    return node;
}

static size_t set_defaults(struct keyword_context *context, const struct keyword *table, uint64_t seen,
    void *target, const struct yaml_node *mapping)
{
    size_t errors = 0;
    for (size_t row = 0; table[row].name != NULL; row++) {
        if ((seen >> row & 1) != 0 || table[row].default_text == NULL)
            continue;
        const struct yaml_node node = default_node(&table[row], mapping);
        errors += table[row].set(context, &table[row], target, &node) == 0 ? 0 : 1;
    }
    return errors;
}

/* One error that names all required keys that are not there. */
static size_t refuse_missing(struct keyword_context *context, const struct keyword *table, uint64_t seen,
    const struct yaml_node *mapping)
{
    struct buffer names = {0};
    size_t count = 0;
    for (size_t row = 0; table[row].name != NULL; row++) {
        if ((seen >> row & 1) != 0 || (table[row].flags & KEYWORD_REQUIRED) == 0)
            continue;
        buffer_format(&names, "%s'%s'", count == 0 ? "" : ", ", table[row].name);
        count++;
    }
    if (count > 0)
        diag_add(context->diag, DIAG_ERROR, &mapping->place, NULL, "missing key%s %.*s",
            count == 1 ? "" : "s", VIEW_ARGS(buffer_view(&names)));
    buffer_release(&names);
    return count > 0 ? 1 : 0;
}

size_t keyword_read(struct keyword_context *context, const struct keyword *table, void *target,
    const struct yaml_node *mapping)
{
    (void)table_length(table);
    size_t before = diag_errors(context->diag);
    if (mapping->kind != YAML_MAPPING || mapping->refused) {
        keyword_error(context, mapping, NULL, "expected a mapping, found %s", describe(mapping));
        return 1;
    }
    uint64_t seen = 0;
    size_t failed = 0;
    for (const struct yaml_node *member = mapping->first; member != NULL; member = member->next) {
        const struct keyword *keyword = find_keyword(table, member->key);
        if (keyword == NULL) {
            refuse_unknown(context, table, member);
            continue;
        }
        uint64_t bit = (uint64_t)1 << (keyword - table);
        if ((seen & bit) != 0)
            continue; /* refused by the reader of the file; setters may count on being called once */
        seen |= bit;
        failed += set_member(context, keyword, target, member);
    }
    failed += refuse_missing(context, table, seen, mapping);
    failed += set_defaults(context, table, seen, target, mapping);
    size_t added = diag_errors(context->diag) - before;
    return added > 0 ? added : failed;
}

/* Setters */

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
        return keyword_error(context, node, NULL, "%s: must not be empty", keyword->name);
    struct keyword_string *string = field_of(keyword, target);
    *string = (struct keyword_string){
        .text = arena_copy(context->arena, node->text), .place = node->place, .quoted = node->quoted};
    return 0;
}

int keyword_set_strings(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool single = node->kind == YAML_SCALAR && (keyword->flags & KEYWORD_ONE_OR_MANY) != 0;
    if (!single && keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    size_t count = single ? 1 : node->count;
    if (count == 0 && (keyword->default_text == NULL || strcmp(keyword->default_text, "[]") != 0))
        return keyword_error(context, node, NULL, "%s: the list is empty", keyword->name);
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

int keyword_set_boolean(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool is_word = node->kind == YAML_SCALAR && !node->quoted && !node->refused;
    if (is_word && view_equal(node->text, VIEW("true")))
        *(bool *)field_of(keyword, target) = true;
    else if (is_word && view_equal(node->text, VIEW("false")))
        *(bool *)field_of(keyword, target) = false;
    else
        return refuse_value(context, keyword, node, "true or false", NULL);
    return 0;
}

/* A kind of quantity: how it is read and how limits of it are shown. */
struct quantity {
    const char *expected, *hint;
    int (*parse)(struct view text, uint64_t *out);
    bool bare; /* a number without unit: quotes would make it a string */
    struct quantity_unit {
        uint64_t factor;
        const char *suffix;
    } units[5]; /* for output: largest first, ended by the factor 1 */
};

static const struct quantity number_quantity = {
    .expected = "a whole number", .parse = number_parse, .bare = true, .units = {{1, ""}}};
static const struct quantity size_quantity = {.expected = "a size",
    .hint = "a number and one of B, KiB, MiB, GiB, KB, MB, GB, such as 64KiB",
    .parse = number_parse_size,
    .units = {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, ""}}};
static const struct quantity duration_quantity = {.expected = "a duration",
    .hint = "a number and one of ms, s, m, h, d, such as 10s",
    .parse = number_parse_duration_ms,
    .units = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}}};

static struct keyword_quantity_text show_quantity(const struct quantity *quantity, uint64_t value)
{
    const struct quantity_unit *unit = quantity->units;
    while (unit->factor > 1 && (value < unit->factor || value % unit->factor != 0))
        unit++;
    struct keyword_quantity_text text;
    const char *suffix = value == 0 ? "" : unit->suffix;
    snprintf(text.bytes, sizeof(text.bytes), "%" PRIu64 "%s", value / unit->factor, suffix);
    return text;
}

struct keyword_quantity_text keyword_show_size(uint64_t bytes)
{
    return show_quantity(&size_quantity, bytes);
}

/* "from 1 to 256" or "at least 1"; empty without limits. */
static void show_range(const struct quantity *quantity, const struct keyword *keyword, char *out, size_t size)
{
    struct keyword_quantity_text minimum = show_quantity(quantity, keyword->minimum);
    struct keyword_quantity_text maximum = show_quantity(quantity, keyword->maximum);
    out[0] = '\0';
    if (keyword->maximum != 0)
        snprintf(out, size, "from %s to %s", minimum.bytes, maximum.bytes);
    else if (keyword->minimum != 0)
        snprintf(out, size, "at least %s", minimum.bytes);
}

static int set_quantity(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node, const struct quantity *quantity)
{
    uint64_t value;
    bool readable = node->kind == YAML_SCALAR && !node->refused && !(quantity->bare && node->quoted);
    if (!readable || quantity->parse(node->text, &value) != 0)
        return refuse_value(context, keyword, node, quantity->expected, quantity->hint);
    if (value < keyword->minimum || (keyword->maximum != 0 && value > keyword->maximum)) {
        char range[80];
        show_range(quantity, keyword, range, sizeof(range));
        return keyword_error(
            context, node, NULL, "%s: must be %s, found '%.*s'", keyword->name, range, VIEW_ARGS(node->text));
    }
    *(uint64_t *)field_of(keyword, target) = value;
    return 0;
}

int keyword_set_number(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &number_quantity);
}

int keyword_set_size(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &size_quantity);
}

int keyword_set_duration_ms(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    return set_quantity(context, keyword, target, node, &duration_quantity);
}

int keyword_set_share_ppm(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    bool readable = node->kind == YAML_SCALAR && !node->refused;
    if (!readable || number_parse_share_ppm(node->text, field_of(keyword, target)) != 0)
        return refuse_value(context, keyword, node, "a share", "from 0% to 100%, such as 0.5%");
    return 0;
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
    keyword_error(context, node, diag_hint(context->diag, node->text, names, count),
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
        return keyword_error(context, node, NULL, "%s: the list is empty", keyword->name);
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
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    return keyword_read(context, keyword->members, field_of(keyword, target), node) == 0 ? 0 : -1;
}

/* The reference */

static const struct keyword_type {
    keyword_set *set;
    const char *name;
    const struct quantity *quantity;
} keyword_types[] = {
    {keyword_set_string, "string", NULL},
    {keyword_set_strings, "list of strings", NULL},
    {keyword_set_boolean, "`true` or `false`", NULL},
    {keyword_set_number, "number", &number_quantity},
    {keyword_set_size, "size", &size_quantity},
    {keyword_set_duration_ms, "duration", &duration_quantity},
    {keyword_set_share_ppm, "share", NULL},
    {keyword_set_mapping, "mapping", NULL},
};

static void print_choices(struct buffer *out, const struct keyword *keyword)
{
    if (keyword->set == keyword_set_choices)
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
    if (keyword->choices != NULL) {
        print_choices(out, keyword);
        return;
    }
    const struct keyword_type *end = keyword_types + sizeof(keyword_types) / sizeof(keyword_types[0]);
    const struct keyword_type *type = keyword_types;
    while (type < end && type->set != keyword->set)
        type++;
    if (type == end) {
        buffer_append(out, view_of_string(keyword->members != NULL ? "list of mappings" : "value"));
        return;
    }
    buffer_append(out, view_of_string((keyword->flags & KEYWORD_ONE_OR_MANY) != 0 ? "string or " : ""));
    buffer_append(out, view_of_string(type->name));
    if (type->quantity != NULL) {
        char range[80];
        show_range(type->quantity, keyword, range, sizeof(range));
        buffer_format(out, "%s%s", range[0] == '\0' ? "" : " ", range);
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
        struct buffer value = {0};
        print_value(&value, keyword);
        bool is_list = view_starts_with(buffer_view(&value), VIEW("list"));
        buffer_release(&value);
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

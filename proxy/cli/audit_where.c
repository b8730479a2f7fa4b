/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the filters of 'mqward audit tail'. */
#include "proxy/cli/audit_where.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "exporters/record_fields.h"
#include "proxy/cli/audit_print.h"

enum comparison { EQUAL, NOT_EQUAL, AT_LEAST, AT_MOST, MORE, LESS };
/* Longer ones first: ">=" is not ">". */
static const struct {
    const char *text;
    enum comparison comparison;
} operators[] = {
    {"!=", NOT_EQUAL}, {">=", AT_LEAST}, {"<=", AT_MOST}, {"=", EQUAL}, {">", MORE}, {"<", LESS}};
#define OPERATOR_COUNT (sizeof(operators) / sizeof(operators[0]))

struct audit_condition {
    const struct record_field *field;
    enum comparison comparison;
    const char *value;
    uint64_t number; /* the value, where numbers are compared */
};

/* ---- what is asked for ---- */

static bool is_ordering(enum comparison comparison)
{
    return comparison != EQUAL && comparison != NOT_EQUAL;
}

/* NULL: there is none, or nothing is in front of it. */
static const char *find_operator(const char *word, size_t *row)
{
    const char *place = word + strcspn(word, "=!<>");

    for (*row = 0; place != word && *row < OPERATOR_COUNT; ++*row)
        if (strncmp(place, operators[*row].text, strlen(operators[*row].text)) == 0)
            return place;
    return NULL;
}

/* A value that nothing can be equal to is a mistake, and would be found out late. */
static bool value_is_possible(const struct audit_condition *condition)
{
    if (condition->field->kind == RECORD_FIELD_NUMBER)
        return condition->value[0] != '\0' &&
               condition->value[strspn(condition->value, "0123456789*")] == '\0';
    return condition->field->kind != RECORD_FIELD_BOOLEAN || strcmp(condition->value, "true") == 0 ||
           strcmp(condition->value, "false") == 0 || strchr(condition->value, '*') != NULL;
}

static int parse_value(const struct cli_command *command, const char *word, struct audit_condition *condition)
{
    const bool is_number = condition->field->kind == RECORD_FIELD_NUMBER;

    if (is_ordering(condition->comparison) && !is_number)
        return cli_usage_error(command,
            "--where: only numbers are more or less than others, and %s is none: '%s'",
            condition->field->path, word);
    if (is_ordering(condition->comparison)
            ? number_parse(view_of_string(condition->value), &condition->number) != 0
            : !value_is_possible(condition))
        return cli_usage_error(command, "--where: %s is %s, found '%s'", condition->field->path,
            is_number ? "a number" : "true or false", condition->value);
    return CLI_OK;
}

static int parse_condition(
    const struct cli_command *command, const char *word, struct audit_condition *condition)
{
    const char *near = NULL;
    size_t row;
    const char *place = find_operator(word, &row);

    if (place == NULL)
        return cli_usage_error(command,
            "--where: expected FIELD=VALUE (or !=, >=, <=, >, <), such as event.action=mqtt-*, found '%s'",
            word);
    const struct view name = view_of(word, (size_t)(place - word));
    condition->field = record_field_find(name, &near);
    if (condition->field == NULL && near == NULL)
        return cli_usage_error(command, "--where: a record has no field '%.*s'", VIEW_ARGS(name));
    if (condition->field == NULL)
        return cli_usage_error(
            command, "--where: a record has no field '%.*s': did you mean '%s'?", VIEW_ARGS(name), near);
    condition->comparison = operators[row].comparison;
    condition->value = place + strlen(operators[row].text);
    return parse_value(command, word, condition);
}

static struct audit_condition *add_condition(struct audit_where *where)
{
    where->conditions = memory_realloc(where->conditions, where->count + 1, sizeof(*where->conditions));
    where->conditions[where->count] = (struct audit_condition){0};
    return &where->conditions[where->count++];
}

static int parse_severity(struct audit_where *where, const struct cli_command *command, const char *severity)
{
    const char *near = NULL;
    struct audit_condition *condition = add_condition(where);

    condition->field = record_field_find(VIEW("event.severity"), &near);
    condition->comparison = AT_LEAST;
    if (audit_severity_find(severity, &condition->number))
        return CLI_OK;
    return cli_usage_error(
        command, "--severity: expected low, medium, high or critical, found '%s'", severity);
}

int audit_where_parse(
    struct audit_where *where, const struct cli_command *command, const char *words, const char *severity)
{
    int status = CLI_OK;

    *where = (struct audit_where){0};
    if (severity != NULL)
        status = parse_severity(where, command, severity);
    for (; status == CLI_OK && words != NULL && *words != '\0'; words += strlen(words) + 1)
        status = parse_condition(command, words, add_condition(where));
    if (status != CLI_OK)
        audit_where_free(where);
    return status;
}

void audit_where_free(struct audit_where *where)
{
    free(where->conditions);
    *where = (struct audit_where){0};
}

/* ---- what an event has ---- */

const json_t *audit_field(const json_t *event, const char *field)
{
    char name[64];

    while (event != NULL) {
        size_t length = strcspn(field, ".");

        if (length >= sizeof(name))
            return NULL;
        memcpy(name, field, length);
        name[length] = '\0';
        event = json_object_get(event, name);
        if (field[length] == '\0')
            return event;
        field += length + 1;
    }
    return NULL;
}

/* '*' is any text, everything else itself. In linear space, at worst the product of both lengths in time. */
static bool matches(const char *pattern, struct view text)
{
    const char *star = NULL;
    size_t at = 0, resume = 0;

    while (at < text.length) {
        if (*pattern == '*') {
            star = pattern++;
            resume = at;
        } else if (*pattern != '\0' && (uint8_t)*pattern == text.data[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star + 1;
            at = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool value_matches(const char *pattern, const json_t *value)
{
    char number[32];

    if (json_is_string(value))
        return matches(pattern, view_of(json_string_value(value), json_string_length(value)));
    if (json_is_integer(value)) {
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return matches(pattern, view_of_string(number));
    }
    if (json_is_boolean(value))
        return matches(pattern, view_of_string(json_is_true(value) ? "true" : "false"));
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!json_is_array(json_array_get(value, i)) && value_matches(pattern, json_array_get(value, i)))
            return true;
    return false;
}

static bool number_holds(const struct audit_condition *condition, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    const uint64_t number = (uint64_t)json_integer_value(value);
    switch (condition->comparison) {
    case AT_LEAST:
        return number >= condition->number;
    case AT_MOST:
        return number <= condition->number;
    case MORE:
        return number > condition->number;
    default:
        return number < condition->number;
    }
}

static bool condition_holds(const struct audit_condition *condition, const json_t *event)
{
    const json_t *value = audit_field(event, condition->field->path);

    if (is_ordering(condition->comparison))
        return number_holds(condition, value);
    return value_matches(condition->value, value) == (condition->comparison == EQUAL);
}

bool audit_where_holds(const struct audit_where *where, const json_t *event)
{
    for (size_t i = 0; i < where->count; i++)
        if (!condition_holds(&where->conditions[i], event))
            return false;
    return true;
}

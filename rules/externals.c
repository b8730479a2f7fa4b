/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the external variables. Called by load.c and scanner.c. */
#include "rules/externals.h"

static const char *const names[EXTERNALS] = {
    [EXTERNAL_TOPIC] = "topic",
    [EXTERNAL_CLIENT_ID] = "client_id",
    [EXTERNAL_USERNAME] = "username",
    [EXTERNAL_IDENTITY] = "identity",
    [EXTERNAL_GROUPS] = "groups",
    [EXTERNAL_CONTENT_TYPE] = "content_type",
    [EXTERNAL_DIRECTION] = "direction",
    [EXTERNAL_VIEW] = "view",
    [EXTERNAL_QOS] = "qos",
    [EXTERNAL_RETAIN] = "retain",
    [EXTERNAL_PAYLOAD_SIZE] = "payload_size",
};

#define VIEW_NAME_SIZE 64
#define DIRECTION_SIZE 16

static int define(YR_COMPILER *compiler, enum external external)
{
    if (external <= EXTERNAL_VIEW)
        return yr_compiler_define_string_variable(compiler, names[external], "");
    if (external == EXTERNAL_RETAIN)
        return yr_compiler_define_boolean_variable(compiler, names[external], 0);
    return yr_compiler_define_integer_variable(compiler, names[external], 0);
}

int externals_define(YR_COMPILER *compiler)
{
    int result = ERROR_SUCCESS;

    for (unsigned i = 0; i < EXTERNALS && result == ERROR_SUCCESS; i++)
        result = define(compiler, (enum external)i);
    return result;
}

unsigned externals_bit(const char *name)
{
    for (unsigned i = 0; i < EXTERNALS; i++) {
        if (strcmp(names[i], name) == 0)
            return 1U << i;
    }
    return 0;
}

static void take_string(struct externals *externals, enum external external, struct view value)
{
    if (value.length > 0 && memchr(value.data, 0, value.length) != NULL)
        externals->with_nul |= 1U << external;
    externals->strings[external] = (const char *)externals->text.data + externals->text.end;
    buffer_append(&externals->text, value);
    buffer_append_byte(&externals->text, '\0');
}

void externals_take(struct externals *externals, const struct scan_context *context)
{
    buffer_clear(&externals->text);
    /* All of them at once: appending must not move what strings point into. */
    buffer_reserve(&externals->text, context->topic.length + context->client_id.length +
                                         context->username.length + context->identity.length +
                                         context->groups.length + context->content_type.length +
                                         DIRECTION_SIZE + VIEW_NAME_SIZE + EXTERNALS);
    externals->with_nul = 0;
    take_string(externals, EXTERNAL_TOPIC, context->topic);
    take_string(externals, EXTERNAL_CLIENT_ID, context->client_id);
    take_string(externals, EXTERNAL_USERNAME, context->username);
    take_string(externals, EXTERNAL_IDENTITY, context->identity);
    take_string(externals, EXTERNAL_GROUPS, context->groups);
    take_string(externals, EXTERNAL_CONTENT_TYPE, context->content_type);
    take_string(externals, EXTERNAL_DIRECTION, context->outbound ? VIEW("out") : VIEW("in"));
    externals->strings[EXTERNAL_VIEW] = (const char *)externals->text.data + externals->text.end;
    externals->numbers[EXTERNAL_QOS] = context->qos;
    externals->numbers[EXTERNAL_RETAIN] = context->retain;
    externals->numbers[EXTERNAL_PAYLOAD_SIZE] = (int64_t)context->payload_size;
}

void externals_take_view(struct externals *externals, const struct scan_view_path *path)
{
    externals->text.end = (size_t)((const uint8_t *)externals->strings[EXTERNAL_VIEW] - externals->text.data);
    if (path->length == 0)
        buffer_append(&externals->text, view_of_string(scan_view_name(SCAN_RAW)));
    for (unsigned i = 0; i < path->length; i++) {
        if (i > 0)
            buffer_append_byte(&externals->text, '/');
        buffer_append(&externals->text, view_of_string(scan_view_name((enum scan_view_kind)path->kinds[i])));
    }
    buffer_append_byte(&externals->text, '\0');
}

void externals_release(struct externals *externals)
{
    buffer_release(&externals->text);
}

int externals_give(const struct externals *externals, unsigned bits, YR_SCANNER *scanner)
{
    int result = ERROR_SUCCESS;

    for (unsigned i = 0; i < EXTERNALS && result == ERROR_SUCCESS; i++) {
        if ((bits & 1U << i) == 0)
            continue;
        if (i <= EXTERNAL_VIEW)
            result = yr_scanner_define_string_variable(scanner, names[i], externals->strings[i]);
        else
            result = yr_scanner_define_integer_variable(scanner, names[i], externals->numbers[i]);
    }
    return result;
}

void externals_append(const struct externals *externals, unsigned bits, struct buffer *out)
{
    for (unsigned i = 0; i < EXTERNALS; i++) {
        if ((bits & 1U << i) == 0)
            continue;
        if (i <= EXTERNAL_VIEW)
            buffer_append(out, view_of(externals->strings[i], strlen(externals->strings[i]) + 1));
        else
            buffer_append(out, view_of(&externals->numbers[i], sizeof(externals->numbers[i])));
    }
}

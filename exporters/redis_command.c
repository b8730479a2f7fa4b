/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: how a command is written. Called by redis_client.c. hiredis would allocate and format for
 * each one: with a thousand events a turn that is what a turn consists of. */
#include "exporters/redis_command.h"

#include "base/number.h"

#define COUNT_MAX (1 + NUMBER_DECIMAL_MAX + 2)

/* "*3" or "$5", and the end of the line. */
static void append_count(struct buffer *out, char type, size_t count)
{
    char *room = (char *)buffer_reserve(out, COUNT_MAX), *end = room;

    *end++ = type;
    end = number_put_decimal(end, count);
    *end++ = '\r';
    *end++ = '\n';
    out->end += (size_t)(end - room);
}

void redis_command_format(struct buffer *out, size_t count, const struct view *arguments)
{
    size_t size = COUNT_MAX;

    for (size_t i = 0; i < count; i++)
        size += COUNT_MAX + arguments[i].length + 2;
    buffer_clear(out);
    (void)buffer_reserve(out, size); /* growing would leave parts of a password behind */
    append_count(out, '*', count);
    for (size_t i = 0; i < count; i++) {
        append_count(out, '$', arguments[i].length);
        buffer_append(out, arguments[i]);
        buffer_append(out, VIEW("\r\n"));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A command as Redis takes it. */
#ifndef MQWARD_EXPORTERS_REDIS_COMMAND_H
#define MQWARD_EXPORTERS_REDIS_COMMAND_H

#include "base/buffer.h"

/* Makes out the command of these arguments: an array of bulk strings (RESP2, "Sending commands to a Redis
 * server"), binary safe. */
void redis_command_format(struct buffer *out, size_t count, const struct view *arguments);

#endif

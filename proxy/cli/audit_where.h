/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions on events: a field and what its value has to look like. */
#ifndef MQWARD_PROXY_CLI_AUDIT_WHERE_H
#define MQWARD_PROXY_CLI_AUDIT_WHERE_H

#include <jansson.h>

#include "proxy/cli/cli.h"

struct audit_where {
    struct audit_condition *conditions;
    size_t count;
};

/* words: conditions as an option that may be given several times has them; NULL: none. severity: "low",
 * "medium", "high" or "critical", and then that is the least; NULL: any. CLI_OK, or CLI_USAGE after a
 * message. Both are borrowed.
 *
 * "FIELD=VALUE": '*' in the value stands for any text; of a list one element is enough. "FIELD!=VALUE": the
 * opposite, which a missing field is, too. "FIELD>=N", "<=", ">", "<": of fields that are numbers. */
int audit_where_parse(
    struct audit_where *where, const struct cli_command *command, const char *words, const char *severity);
void audit_where_free(struct audit_where *where);
/* All of them hold. */
bool audit_where_holds(const struct audit_where *where, const json_t *event);
/* The value at "mqtt.topic", or NULL. */
const json_t *audit_field(const json_t *event, const char *field);

#endif

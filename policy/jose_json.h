/* SPDX-License-Identifier: Apache-2.0 */
/* JSON of tokens and key sets, read strictly. Private to jwks.c and jwt.c. */
#ifndef MQWARD_POLICY_JOSE_JSON_H
#define MQWARD_POLICY_JOSE_JSON_H

#include <jansson.h>

#include "base/view.h"

/* An object, or NULL: not JSON (RFC 8259), not UTF-8, a NUL in a string, a name twice in an object, nested
 * too deeply, something behind it, or not an object. error tells where. */
json_t *jose_json_object(struct view text, json_error_t *error);
/* A member that is a string; data NULL: it is not there. False: it is there and no string. */
bool jose_json_string(const json_t *object, const char *name, struct view *out);

#endif

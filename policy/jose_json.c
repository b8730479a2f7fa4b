/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how strictly JSON is read that strangers wrote: jansson parses, and what it would forgive is refused
 * first. Called by jwks.c and jwt.c. */
#include "policy/jose_json.h"

#include <stdio.h>

/* Real tokens nest three or four levels. */
#define DEPTH_MAXIMUM 16

/* jansson recurses for each level, up to 2048 of them. */
static bool too_deep(struct view text)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = text.data[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > DEPTH_MAXIMUM)
            return true;
    }
    return false;
}

json_t *jose_json_object(struct view text, json_error_t *error)
{
    *error = (json_error_t){.line = 1, .column = 1};
    if (too_deep(text)) {
        snprintf(error->text, sizeof(error->text), "nested more than %d levels deep", DEPTH_MAXIMUM);
        return NULL;
    }
    json_t *value = json_loadb(text.length == 0 ? "" : (const char *)text.data, text.length,
        JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, error);
    if (value != NULL && !json_is_object(value)) {
        json_decref(value);
        snprintf(error->text, sizeof(error->text), "expected an object");
        return NULL;
    }
    return value;
}

bool jose_json_string(const json_t *object, const char *name, struct view *out)
{
    const json_t *value = json_object_get(object, name);

    *out = (struct view){NULL, 0};
    if (value == NULL)
        return true;
    if (!json_is_string(value))
        return false;
    *out = view_of(json_string_value(value), json_string_length(value));
    return true;
}

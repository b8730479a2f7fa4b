/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the claims of a token that was verified: how they are named, and of what kind they must be. Called by
 * identity_jwt.c, and by compile_identity.c for the names. */
#include "base/arena.h"
#include "policy/jwt_internal.h"

static bool is_one_name(struct view path)
{
    return path.length > 0 && memchr(path.data, ':', path.length) != NULL;
}

bool jwt_claim_path_valid(struct view path)
{
    if (path.length == 0 || path.length > JWT_PATH_MAXIMUM || memchr(path.data, 0, path.length) != NULL)
        return false;
    if (is_one_name(path))
        return true;
    for (size_t i = 0; i < path.length; i++) {
        bool edge = i == 0 || i + 1 == path.length || path.data[i + 1] == '.';
        if (path.data[i] == '.' && edge)
            return false;
    }
    return true;
}

/* JWT_CLAIM_INVALID: something on the way is no object. */
static enum jwt_claim find_claim(const struct jwt *claims, struct view path, const json_t **out)
{
    const json_t *value = claims->root;
    struct view name = path, rest = path;
    bool more = true;

    while (more) {
        if (!json_is_object(value))
            return JWT_CLAIM_INVALID;
        more = !is_one_name(path) && jwt_next_part(&rest, &name);
        value = json_object_getn(value, (const char *)name.data, name.length);
        if (value == NULL)
            return JWT_CLAIM_MISSING;
    }
    *out = value;
    return JWT_CLAIM_FOUND;
}

enum jwt_claim jwt_claim_text(struct jwt *claims, struct view path, struct view *text)
{
    const json_t *value = NULL;
    enum jwt_claim found = find_claim(claims, path, &value);

    if (found != JWT_CLAIM_FOUND)
        return found;
    if (json_is_string(value))
        *text = view_of(json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        *text =
            view_of_string(arena_format(claims->arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value)));
    else
        return JWT_CLAIM_INVALID;
    return JWT_CLAIM_FOUND;
}

enum jwt_claim jwt_claim_list(struct jwt *claims, struct view path, const struct view **items, size_t *count)
{
    const json_t *value = NULL;
    enum jwt_claim found = find_claim(claims, path, &value);

    *count = 0;
    if (found != JWT_CLAIM_FOUND)
        return found;
    if (!json_is_array(value) && !json_is_string(value))
        return JWT_CLAIM_INVALID;
    size_t size = json_is_array(value) ? json_array_size(value) : 1;
    struct view *list = arena_calloc(claims->arena, size + 1, sizeof(*list));
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        /* One that is passed over could be the one that a deny is about. */
        if (!json_is_string(item))
            return JWT_CLAIM_INVALID;
        list[i] = view_of(json_string_value(item), json_string_length(item));
    }
    *items = list;
    *count = size;
    return JWT_CLAIM_FOUND;
}

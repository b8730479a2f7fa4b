/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what of YAML is not taken in scalars and in the keys of mappings, because people read it otherwise
 * than YAML does. Called by yaml.c. */
#include "base/yaml_refuse.h"

#include <assert.h>
#include <stdlib.h>
#include <strings.h>

#include "base/character.h"
#include "base/memory.h"

/* ---- scalars ---- */

/* True for what YAML 1.1 readers take for something else than the text that it is. */
static bool is_reserved_word(struct view text)
{
    static const char *const words[] = {"yes", "no", "on", "off", "y", "n", "null", "~"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (text.length == strlen(words[i]) &&
            strncasecmp((const char *)text.data, words[i], text.length) == 0)
            return true;
    }
    return false;
}

static bool has_control_character(struct view text)
{
    while (text.length > 0) {
        size_t length;
        uint32_t character = character_decode(text, &length);
        assert(length > 0); /* libyaml decodes escapes to well-formed UTF-8 */
        if (character_is_control(character) && character != '\n' && character != '\t')
            return true;
        text = view_skip(text, length);
    }
    return false;
}

/* What word processors make of quotes. YAML takes it for a part of the text. */
static bool begins_with_typographic_quote(struct view text)
{
    size_t length = 0;
    uint32_t character = text.length == 0 ? 0 : character_decode(text, &length);
    return length > 0 && ((character >= 0x2018 && character <= 0x201f) || character == 0xab);
}

bool yaml_refuse_scalar(struct diag_list *list, struct view text, bool quoted, const struct diag_place *place)
{
    if (!quoted && is_reserved_word(text)) {
        bool none = text.data[0] == '~' || text.length == strlen("null");
        diag_add(list, DIAG_ERROR, place,
            none ? "write a value, quote it, or remove the key" : "write true, false, or quote it",
            "the unquoted word '%.*s' is ambiguous", VIEW_ARGS(text));
        return true;
    }
    if (!quoted && begins_with_typographic_quote(text)) {
        diag_add(list, DIAG_ERROR, place, "write \" or '; text that begins so needs quotes around it",
            "a typographic quote, which quotes nothing");
        return true;
    }
    if (has_control_character(text)) {
        diag_add(list, DIAG_ERROR, place, NULL, "a control character in a string");
        return true;
    }
    return false;
}

/* ---- the keys of a mapping ---- */

static int compare_keys(const void *left, const void *right)
{
    const struct yaml_node *a = *(const struct yaml_node *const *)left;
    const struct yaml_node *b = *(const struct yaml_node *const *)right;
    size_t common = a->key.length < b->key.length ? a->key.length : b->key.length;
    int by_text = common == 0 ? 0 : memcmp(a->key.data, b->key.data, common);
    if (by_text != 0)
        return by_text;
    if (a->key.length != b->key.length)
        return a->key.length < b->key.length ? -1 : 1;
    if (a->key_place.line != b->key_place.line)
        return a->key_place.line < b->key_place.line ? -1 : 1;
    return a->key_place.column < b->key_place.column ? -1 : a->key_place.column > b->key_place.column;
}

/* What a second list or mapping of the same key holds is added to the first: names that it defines are known
 * to the rest of the file. */
static void join_duplicate(struct yaml_node *first, struct yaml_node *second)
{
    second->refused = true;
    if (first->kind != second->kind || first->kind == YAML_SCALAR)
        return;
    struct yaml_node **tail = &second->first;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = first->first;
    first->first = second->first;
    first->count += second->count;
    second->first = NULL;
    second->count = 0;
}

/* Sorted, so that a file of nothing but keys costs no square of their number. */
void yaml_refuse_duplicates(struct diag_list *list, const struct yaml_node *mapping)
{
    if (mapping->count < 2)
        return;
    struct yaml_node **members = memory_calloc(mapping->count, sizeof(*members));
    size_t count = 0;
    for (struct yaml_node *member = mapping->first; member != NULL; member = member->next)
        members[count++] = member;
    assert(count == mapping->count);
    qsort(members, count, sizeof(*members), compare_keys);
    struct yaml_node *first = members[0];
    for (size_t i = 1; i < count; i++) {
        if (!view_equal(first->key, members[i]->key)) {
            first = members[i];
            continue;
        }
        char hint[64];
        snprintf(hint, sizeof(hint), "first given at line %u, column %u", first->key_place.line,
            first->key_place.column);
        diag_add(
            list, DIAG_ERROR, &members[i]->key_place, hint, "duplicate key '%.*s'", VIEW_ARGS(first->key));
        join_duplicate(first, members[i]);
    }
    free(members);
}

struct yaml_node *yaml_find_end_of_item(const struct yaml_node *mapping)
{
    struct yaml_node *last = mapping->first;
    if (last == NULL)
        return NULL;
    while (last->next != NULL && !view_equal(last->next->key, mapping->first->key))
        last = last->next;
    const struct yaml_node *repeated = last->next;
    if (repeated == NULL || repeated->next == NULL || repeated->key_place.line == mapping->place.line)
        return NULL;
    for (const struct yaml_node *member = mapping->first; member != repeated; member = member->next) {
        if (view_equal(member->key, repeated->next->key))
            return last;
    }
    return NULL;
}

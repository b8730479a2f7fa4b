/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of packet identifiers, and sets of short strings. */
#include <assert.h>

#include "base/memory.h"
#include "model_internal.h"

void list_push(struct list *list, uint16_t item)
{
    if (list->first + list->count == list->capacity && list->first > 0) {
        memmove(list->items, list->items + list->first, list->count * sizeof(*list->items));
        list->first = 0;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->items = memory_realloc(list->items, list->capacity, sizeof(*list->items));
    }
    list->items[list->first + list->count++] = item;
}

uint16_t list_take(struct list *list, uint32_t index)
{
    uint16_t *at = &list->items[list->first + index], item = *at;

    assert(index < list->count);
    if (index == 0)
        list->first++;
    else
        memmove(at, at + 1, (list->count - index - 1) * sizeof(*at));
    list->count--;
    return item;
}

static uint32_t find(const struct list *list, uint16_t item)
{
    uint32_t i = 0;

    while (i < list->count && list->items[list->first + i] != item)
        i++;
    return i;
}

bool list_remove(struct list *list, uint16_t item)
{
    uint32_t index = find(list, item);

    if (index == list->count)
        return false;
    list_take(list, index);
    return true;
}

bool text_set(struct text *text, struct view value)
{
    bool fits = value.length <= sizeof(text->bytes);

    text->length = fits ? (uint8_t)value.length : 0;
    if (text->length > 0)
        memcpy(text->bytes, value.data, text->length);
    return fits;
}

static unsigned find_text(const struct set *set, struct view item)
{
    unsigned i = 0;

    while (i < set->count && !view_equal(text_view(&set->items[i]), item))
        i++;
    return i;
}

bool set_has(const struct set *set, struct view item)
{
    return find_text(set, item) < set->count;
}

bool set_add(struct set *set, struct view item)
{
    if (set_has(set, item))
        return true;
    return set->count < SET_MAX && text_set(&set->items[set->count], item) && ++set->count > 0;
}

void set_remove(struct set *set, struct view item)
{
    unsigned i = find_text(set, item);

    if (i < set->count)
        set->items[i] = set->items[--set->count];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's text in a line for people: one byte says how many columns, the rest is the text. Whatever it
 * is, it can be told where it ends, and each of its characters is there as it is or as '?'. */
#include <assert.h>
#include <stdlib.h>

#include "base/character.h"
#include "proxy/cli/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct view print(struct view text, int columns)
{
    char *printed = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&printed, &size);

    assert(out != NULL);
    if (columns < 0)
        text_print(out, text);
    else
        text_print_part(out, text, (unsigned)columns);
    fclose(out);
    return view_of(printed, size);
}

/* The character at the start of what was printed, which is then behind it. */
static uint32_t take(struct view *shown)
{
    size_t length;

    assert(shown->length > 0);
    const uint32_t character = character_decode(*shown, &length);
    assert(length > 0);
    *shown = view_skip(*shown, length);
    return character;
}

static void check_character(uint32_t character, struct view *text)
{
    size_t length;

    assert(text->length > 0 && !character_is_deceptive(character));
    const uint32_t wanted = character_decode(*text, &length);
    assert(character == '?' || (length > 0 && character == wanted));
    *text = view_skip(*text, length == 0 ? 1 : length);
}

static void check_quoted(struct view shown, struct view text)
{
    const bool isolated = view_starts_with(shown, VIEW("\"\u2068"));
    uint32_t character;

    take(&shown);
    if (isolated)
        take(&shown);
    while ((character = take(&shown)) != '"' && !(isolated && character == 0x2069)) {
        if (character == '\\') {
            character = take(&shown);
            assert(character == '"' || character == '\\');
        }
        check_character(character, &text);
        assert(isolated || !character_is_right_to_left(character));
    }
    if (isolated)
        assert(take(&shown) == '"');
    assert(text.length == 0 ? shown.length == 0 : view_equal(shown, VIEW("...")));
}

static void check_bare(struct view shown, struct view text, bool part)
{
    while (shown.length > 0) {
        const uint32_t character = take(&shown);
        if (part)
            assert(character != ' ' && character != '"' && character != '\\' && character != '(' &&
                   character != ')' && !character_is_right_to_left(character));
        check_character(character, &text);
    }
    assert(text.length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct view text = view_of(data + 1, size - 1);
    struct view shown = print(text, -1);

    check_bare(shown, text, false);
    free((void *)(uintptr_t)shown.data);
    shown = print(text, data[0]);
    if (view_starts_with(shown, VIEW("\"")))
        check_quoted(shown, text);
    else
        check_bare(shown, text, true);
    free((void *)(uintptr_t)shown.data);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the printing of texts that come from clients: topics, identities. Called by subcommands that show
 * what clients chose, or what servers answered. */
#include "proxy/cli/text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#include "base/character.h"

#define MARKS_MAX                                                                                            \
    3 /* on one letter: no language needs more, and more would cover the lines above and below */
#define ISOLATE_BEGIN "\u2068" /* FIRST STRONG ISOLATE, UAX #9 */
#define ISOLATE_END "\u2069"

/* One character of a text that is shown. */
struct glyph {
    size_t length; /* in the text; 1 for a byte that is no UTF-8 */
    uint32_t character;
    unsigned columns;
    bool shown; /* or else as '?' */
};

/* Columns of a character that is not ASCII; -1: nobody knows. The C library's table, whatever the user's
 * locale is; without C.UTF-8 on the machine nothing but ASCII is shown. */
static int count_columns(uint32_t character)
{
    static locale_t table = (locale_t)0;
    int columns = -1;

    if (table == (locale_t)0)
        table = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (table == (locale_t)0)
        return columns;
    const locale_t before = uselocale(table);
    columns = wcwidth((wchar_t)character);
    uselocale(before);
    return columns;
}

/* *marks: how many marks there may be before the next letter; 0 at the start, where they would stand on what
 * is in front of the text. */
static struct glyph glyph_at(struct view text, unsigned *marks)
{
    struct glyph glyph = {.columns = 1};

    glyph.character = character_decode(text, &glyph.length);
    glyph.shown = glyph.length > 0 && !character_is_deceptive(glyph.character);
    glyph.length = glyph.length == 0 ? 1 : glyph.length;
    if (glyph.shown && glyph.character >= 0x80) {
        const int columns = count_columns(glyph.character);
        const bool is_mark = columns == 0;
        glyph.shown = columns > 0 || (is_mark && *marks > 0);
        if (glyph.shown)
            glyph.columns = (unsigned)columns;
        if (glyph.shown && is_mark) {
            --*marks;
            return glyph;
        }
    }
    *marks = MARKS_MAX;
    return glyph;
}

static void glyph_print(FILE *out, struct view text, const struct glyph *glyph)
{
    if (glyph->shown)
        fwrite(text.data, 1, glyph->length, out);
    else
        fputc('?', out);
}

void text_print(FILE *out, struct view text)
{
    for (unsigned marks = 0; text.length > 0;) {
        const struct glyph glyph = glyph_at(text, &marks);
        glyph_print(out, text, &glyph);
        text = view_skip(text, glyph.length);
    }
}

/* ---- one of several ---- */

/* What of a text fits into so many columns, and how it has to be shown. */
struct fit {
    size_t length;
    bool cut, quoted, isolated;
};

static struct fit fit_into(struct view text, unsigned columns)
{
    struct fit fit = {.quoted = text.length == 0};

    for (unsigned marks = 0, used = 0; fit.length < text.length;) {
        const struct glyph glyph = glyph_at(view_skip(text, fit.length), &marks);
        used += glyph.columns;
        if (used > columns) {
            fit.cut = fit.quoted = true;
            break;
        }
        fit.quoted = fit.quoted || (glyph.character < 0x80 && glyph.shown &&
                                       strchr(" \"\\()", (int)glyph.character) != NULL);
        fit.isolated = fit.isolated || (glyph.shown && character_is_right_to_left(glyph.character));
        fit.length += glyph.length;
    }
    fit.quoted = fit.quoted || fit.isolated;
    return fit;
}

void text_print_part(FILE *out, struct view text, unsigned columns)
{
    const struct fit fit = fit_into(text, columns);

    if (!fit.quoted) {
        text_print(out, text);
        return;
    }
    text.length = fit.length;
    fputs(fit.isolated ? "\"" ISOLATE_BEGIN : "\"", out);
    for (unsigned marks = 0; text.length > 0;) {
        const struct glyph glyph = glyph_at(text, &marks);
        if (glyph.character == '"' || glyph.character == '\\')
            fputc('\\', out);
        glyph_print(out, text, &glyph);
        text = view_skip(text, glyph.length);
    }
    fputs(fit.isolated ? ISOLATE_END "\"" : "\"", out);
    if (fit.cut)
        fputs("...", out); /* behind the quotes, where no text can put it */
}

void text_complain(const char *format, ...)
{
    char sentence[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    fputs("mqward: ", stderr);
    text_print(stderr, view_of_string(sentence));
    fputc('\n', stderr);
}

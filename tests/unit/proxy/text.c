/* SPDX-License-Identifier: Apache-2.0 */
/* What strangers chose, on a terminal. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "proxy/cli/text.h"

enum { WHOLE = 0 };

/* What is printed of it; columns: of a part; WHOLE: alone. */
static void expect(const char *text, unsigned columns, const char *shown)
{
    char *printed = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&printed, &size);

    cr_assert_not_null(out);
    if (columns == WHOLE)
        text_print(out, view_of_string(text));
    else
        text_print_part(out, view_of_string(text), columns);
    fclose(out);
    cr_expect_str_eq(printed, shown);
    free(printed);
}

Test(text, what_a_terminal_obeys_hides_or_reorders_is_a_question_mark)
{
    static const char *const deceptive[] = {"\x1b", "\x07", "\n", "\r", "\t", "\x7f", "\xc2\x9b", "\u2028",
        "\u2029", "\u202e", "\u2066", "\u2069", "\u200b", "\u200f", "\u061c", "\ufeff", "\u00ad", "\u034f",
        "\u115f", "\u1160", "\u3164", "\uffa0", "\u17b4", "\u180e", "\u2800", "\ufff9", "\ufffb", "\ufe00",
        "\ufe0f", "\U000e0001", "\U000e0041", "\U000e007f", "\U000e01ef", "\u00a0", "\u1680", "\u2003",
        "\u202f", "\u205f", "\u3000", "\U0001d173", "\U0001bca0"};
    char text[16];

    for (size_t i = 0; i < sizeof(deceptive) / sizeof(deceptive[0]); i++) {
        snprintf(text, sizeof(text), "a%sb", deceptive[i]);
        expect(text, WHOLE, "a?b");
        expect(text, 80, "a?b");
    }
    expect("a\xff\xc3", WHOLE, "a??");
    expect("\xed\xa0\x80", WHOLE, "???");
    expect("Zürich/Ωμέγα/温度/📟", 80, "Zürich/Ωμέγα/温度/📟");
}

Test(text, marks_do_not_pile_up_nor_stand_on_what_is_before)
{
    expect("e\u0301 o\u0302\u0323\u0301", WHOLE, "e\u0301 o\u0302\u0323\u0301");
    expect("o\u0301\u0302\u0303\u0304x", WHOLE, "o\u0301\u0302\u0303?x");
    expect("\u0301x", WHOLE, "?x");
    expect("/\u0488\u20dd\u0e31\u0591", WHOLE, "/\u0488\u20dd\u0e31?");
}

Test(text, a_part_is_never_two)
{
    expect("plant/a/valve+26#$:@=,.-_", 80, "plant/a/valve+26#$:@=,.-_");
    expect("", 80, "\"\"");
    expect("dt/x  rule allow-all", 80, "\"dt/x  rule allow-all\"");
    expect("admin(10.0.0.1)", 80, "\"admin(10.0.0.1)\"");
    expect("a\"  b", 80, "\"a\\\"  b\"");
    expect("a\\", 80, "\"a\\\\\"");
    expect("a\u00a0b", 80, "a?b");
}

Test(text, a_part_is_cut_at_its_columns)
{
    expect("123456", 6, "123456");
    expect("1234567", 6, "\"123456\"...");
    expect("温度温", 6, "温度温");
    expect("温度温度", 7, "\"温度温\"...");
    expect("e\u0301e\u0301e\u0301e", 3, "\"e\u0301e\u0301e\u0301\"...");
    expect("123456 (", 6, "\"123456\"...");
}

Test(text, letters_from_right_to_left_stay_within_their_part)
{
    expect("dt/אב1", 80, "\"\u2068dt/אב1\u2069\"");
    expect("dt/\u0627\u0628", 80, "\"\u2068dt/\u0627\u0628\u2069\"");
    expect("dt/א\u2069  b", 80, "\"\u2068dt/א?  b\u2069\"");
    expect("אבגד", 2, "\"\u2068אב\u2069\"...");
}

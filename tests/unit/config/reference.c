/* SPDX-License-Identifier: Apache-2.0 */
/* The reference in docs/configuration.md is what the keyword tables say. With MQWARD_BLESS=1 in the
 * environment it is written into the manual instead. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "policy/dialect.h"
#include "proxy/config.h"

#define MANUAL MQWARD_SOURCE_DIR "/docs/configuration.md"
#define BEGIN "<!-- reference: config -->\n"
#define END "<!-- end -->"

__attribute__((noinline)) static char *read_manual(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(MANUAL, "r");
    cr_assert_not_null(in, "docs/configuration.md is missing");
    cr_assert_geq(getdelim(&text, &size, '\0', in), 0);
    fclose(in);
    return text;
}

/* The manual with the reference replaced. */
static void bless(const char *manual, size_t before, const char *after, struct view reference)
{
    FILE *out = fopen(MANUAL, "w");
    fwrite(manual, 1, before, out);
    fwrite(reference.data, 1, reference.length, out);
    fputs(after, out);
    fclose(out);
}

Test(config_reference, the_manual_holds_the_reference_of_the_tables)
{
    struct buffer reference = {0};
    config_print_reference(&reference);
    char *manual = read_manual();
    char *begin = strstr(manual, BEGIN);
    char *end = begin == NULL ? NULL : strstr(begin, END);
    cr_assert_not_null(end, "docs/configuration.md has no reference between its marks");
    begin += strlen(BEGIN);
    if (getenv("MQWARD_BLESS") != NULL)
        bless(manual, (size_t)(begin - manual), end, buffer_view(&reference));
    else
        cr_expect(view_equal(view_of(begin, (size_t)(end - begin)), buffer_view(&reference)),
            "docs/configuration.md differs from the keyword tables; run this test with MQWARD_BLESS=1");
    free(manual);
    buffer_release(&reference);
}

Test(config_reference, every_dialect_of_the_policy_can_be_named)
{
    for (int dialect = 0; dialect < DIALECT_COUNT; dialect++) {
        struct buffer reference = {0}, name = {0};
        config_print_reference(&reference);
        buffer_append_byte(&reference, '\0');
        buffer_format(&name, "`%s`", dialect_name((enum dialect)dialect));
        buffer_append_byte(&name, '\0');
        cr_expect_not_null(strstr((char *)reference.data, (char *)name.data), "%s", (char *)name.data);
        buffer_release(&reference);
        buffer_release(&name);
    }
}

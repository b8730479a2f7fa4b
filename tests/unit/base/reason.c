/* SPDX-License-Identifier: Apache-2.0 */
/* The table of reasons: what the SOC counts by must not stand for two things. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/reason.h"

Test(reason, each_code_and_each_name_stands_for_one_reason)
{
    for (int i = 0; i < REASON_COUNT; i++)
        for (int k = 0; k < i; k++) {
            const struct reason_info *a = reason_info((enum reason)i), *b = reason_info((enum reason)k);

            cr_expect(strcmp(a->code, b->code) != 0, "%s: %s and %s", a->code, a->name, b->name);
            cr_expect_str_neq(a->name, b->name);
        }
}

Test(reason, severities_are_those_of_the_audit)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);

        cr_expect(info->severity == 21 || info->severity == 47 || info->severity == 73 ||
                      info->severity == 99 || info->severity == 0,
            "%s: %u", info->name, info->severity);
    }
}

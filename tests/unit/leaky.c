/* SPDX-License-Identifier: Apache-2.0 */
/* No test of mqward: shows that a leak in a test is found (CMakeLists.txt). */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

static volatile uintptr_t lost;

Test(leaky, a_leak_in_a_test_is_found)
{
    lost = ~(uintptr_t)malloc(100);
    cr_assert_neq(lost, 0);
}

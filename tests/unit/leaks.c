/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into each Criterion program: LeakSanitizer looks at the processes of the tests, and not at the
 * framework's own, which frees not all of its own at its end. A suppression of libcriterion would hide each
 * leak of a test: the framework calls it. */
#include <errno.h>
#include <string.h>

int __lsan_is_turned_off(void); /* <sanitizer/lsan_interface.h>; asked at the end of a process */

int __lsan_is_turned_off(void)
{
    return strcmp(program_invocation_short_name, "boxfort-worker") != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Strict readers of numbers, sizes, durations and shares, as configuration and policy write them: no sign, no
 * blanks, no leading zeros, no trailing text, no overflow. */
#ifndef MQWARD_BASE_NUMBER_H
#define MQWARD_BASE_NUMBER_H

#include "base/view.h"

/* 0 and the value, or -1 (out untouched). Decimal digits only. */
int number_parse(struct view text, uint64_t *out);
/* Bytes: a number and one of B, KiB, MiB, GiB, or KB, MB, GB (powers of 1000); a bare number is bytes. */
int number_parse_size(struct view text, uint64_t *out);
/* Milliseconds: a number and one of ms, s, m, h, d. A bare number is refused unless it is 0: "10" does not
 * say of what. */
int number_parse_duration_ms(struct view text, uint64_t *out);
/* Nanoseconds of what is measured and not waited for: a number and one of us, ms, s; otherwise as above. */
int number_parse_duration_ns(struct view text, uint64_t *out);
/* Parts per million: "1%", "0.5%", "100%"; up to four decimals, 0% to 100%. */
int number_parse_share_ppm(struct view text, uint32_t *out);

/* Writers, for where printf() would be what costs: decimal digits, and sixteen of lower-case hexadecimal.
 * They return the end of what they wrote and put no NUL. */
#define NUMBER_DECIMAL_MAX 20 /* digits of 2^64 - 1 */
char *number_put_decimal(char *out, uint64_t value);
char *number_put_hex64(char *out, uint64_t value);

#endif

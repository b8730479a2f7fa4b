/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks: one for waiting, one for telling. */
#ifndef MQWARD_BASE_CLOCK_H
#define MQWARD_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_ns(void); /* of the same clock */
uint64_t clock_wall_us(void);      /* microseconds since 1970-01-01T00:00:00Z */

#define CLOCK_TIMESTAMP_LENGTH 27 /* 2026-01-02T03:04:06.001245Z */
/* Writes exactly CLOCK_TIMESTAMP_LENGTH characters and a NUL. Years 1970 to 9999. */
void clock_format_timestamp(uint64_t wall_us, char out[CLOCK_TIMESTAMP_LENGTH + 1]);
/* Reads what clock_format_timestamp() writes, and nothing else: 0 and the time, or -1. */
int clock_parse_timestamp(struct view text, uint64_t *wall_us);
#define CLOCK_SECONDS_LENGTH 20 /* 2026-01-02T03:04:05Z: RFC 3339 in UTC, as files give a time */
/* The same in whole seconds since 1970. */
void clock_format_seconds(uint64_t seconds, char out[CLOCK_SECONDS_LENGTH + 1]);
int clock_parse_seconds(struct view text, uint64_t *seconds);

#endif

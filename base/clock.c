/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading and the writing of time. Called by timers, the log and the audit trail. */
#include "base/clock.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define MICROSECONDS_A_SECOND UINT64_C(1000000)
#define NANOSECONDS_A_SECOND UINT64_C(1000000000)
#define SECONDS_A_DAY UINT64_C(86400)
#define LAST_SECOND UINT64_C(253402300799) /* 9999-12-31T23:59:59Z */

uint64_t clock_monotonic_ms(void)
{
    struct timespec now;
    int status = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(status == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    int status = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(status == 0);
    return (uint64_t)now.tv_sec * NANOSECONDS_A_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_wall_us(void)
{
    struct timespec now;
    int status = clock_gettime(CLOCK_REALTIME, &now);

    assert(status == 0);
    if (now.tv_sec < 0) /* a machine without a battery may believe so */
        return 0;
    return (uint64_t)now.tv_sec * MICROSECONDS_A_SECOND + (uint64_t)now.tv_nsec / 1000;
}

struct clock_date {
    unsigned year, month, day;
};

/* The proleptic Gregorian date of a day since 1970-01-01. Years are counted from 1 March, so that the leap
 * day is the last of its year, in eras of 400 years = 146,097 days (H. Hinnant, "chrono-compatible low-level
 * date algorithms"). gmtime_r() would take the lock of the time zone database. */
static struct clock_date clock_date_of_day(uint64_t days)
{
    days += 719468; /* from 0000-03-01 */
    uint64_t era = days / 146097;
    unsigned day_of_era = (unsigned)(days % 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned march_month = (5 * day_of_year + 2) / 153;
    unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;

    return (struct clock_date){
        .year = (unsigned)(era * 400) + year_of_era + (month <= 2 ? 1 : 0),
        .month = month,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
    };
}

/* Exactly width digits, and what separates them from the next number. */
static char *clock_put(char *out, unsigned value, int width, char separator)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    out[width] = separator;
    return out + width + 1;
}

void clock_format_timestamp(uint64_t wall_us, char out[CLOCK_TIMESTAMP_LENGTH + 1])
{
    uint64_t seconds = wall_us / MICROSECONDS_A_SECOND;
    unsigned microseconds = (unsigned)(wall_us % MICROSECONDS_A_SECOND);

    if (seconds > LAST_SECOND) { /* a clock gone wild must not make the line longer */
        seconds = LAST_SECOND;
        microseconds = 999999;
    }
    struct clock_date date = clock_date_of_day(seconds / SECONDS_A_DAY);
    unsigned second_of_day = (unsigned)(seconds % SECONDS_A_DAY);
    char *end = clock_put(out, date.year, 4, '-');
    end = clock_put(end, date.month, 2, '-');
    end = clock_put(end, date.day, 2, 'T');
    end = clock_put(end, second_of_day / 3600, 2, ':');
    end = clock_put(end, second_of_day / 60 % 60, 2, ':');
    end = clock_put(end, second_of_day % 60, 2, '.');
    end = clock_put(end, microseconds, 6, 'Z');
    *end = '\0';
    assert(end == out + CLOCK_TIMESTAMP_LENGTH);
}

void clock_format_seconds(uint64_t seconds, char out[CLOCK_SECONDS_LENGTH + 1])
{
    char text[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp((seconds > LAST_SECOND ? LAST_SECOND : seconds) * MICROSECONDS_A_SECOND, text);
    memcpy(out, text, CLOCK_SECONDS_LENGTH - 1);
    memcpy(out + CLOCK_SECONDS_LENGTH - 1, "Z", 2);
}

/* Exactly width digits at offset. */
static bool clock_take(struct view text, size_t offset, size_t width, uint64_t *value)
{
    *value = 0;
    for (size_t i = offset; i < offset + width; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text.data[i] - '0');
    }
    return true;
}

/* Days since 1970-01-01, the other way round than clock_date_of_day(). */
static uint64_t clock_day_of_date(uint64_t year, uint64_t month, uint64_t day)
{
    uint64_t march_year = month <= 2 ? year - 1 : year;
    uint64_t era = march_year / 400, year_of_era = march_year % 400;
    uint64_t march_month = month > 2 ? month - 3 : month + 9;
    uint64_t day_of_year = (153 * march_month + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static unsigned clock_days_of_month(uint64_t year, uint64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

#define SECONDS_FORM "0000-00-00T00:00:00" /* and a fraction of a second, or none */

/* The seconds at the start of text, which has as many bytes at least. */
static bool clock_take_seconds(struct view text, uint64_t *seconds)
{
    static const char form[] = SECONDS_FORM;
    uint64_t year, month, day, hour, minute, second;

    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] != '0' && text.data[i] != (uint8_t)form[i])
            return false;
    if (!clock_take(text, 0, 4, &year) || !clock_take(text, 5, 2, &month) || !clock_take(text, 8, 2, &day) ||
        !clock_take(text, 11, 2, &hour) || !clock_take(text, 14, 2, &minute) ||
        !clock_take(text, 17, 2, &second))
        return false;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > clock_days_of_month(year, month) ||
        hour > 23 || minute > 59 || second > 59)
        return false;
    *seconds = clock_day_of_date(year, month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    return true;
}

int clock_parse_seconds(struct view text, uint64_t *seconds)
{
    if (text.length != CLOCK_SECONDS_LENGTH || text.data[CLOCK_SECONDS_LENGTH - 1] != 'Z' ||
        !clock_take_seconds(text, seconds))
        return -1;
    return 0;
}

int clock_parse_timestamp(struct view text, uint64_t *wall_us)
{
    const size_t point = sizeof(SECONDS_FORM) - 1;
    uint64_t seconds, microseconds;

    if (text.length != CLOCK_TIMESTAMP_LENGTH || text.data[point] != '.' ||
        text.data[CLOCK_TIMESTAMP_LENGTH - 1] != 'Z' || !clock_take_seconds(text, &seconds) ||
        !clock_take(text, point + 1, 6, &microseconds))
        return -1;
    *wall_us = seconds * MICROSECONDS_A_SECOND + microseconds;
    return 0;
}

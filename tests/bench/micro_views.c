/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-views measures: the decoded views of one payload. Ordinary telemetry has none, and
 * what says so is paid by each message; the others show what decoding costs. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "micro.h"
#include "rules/views.h"

#define TIMES 1000    /* of a small payload */
#define BYTES 1048576 /* of a run, at most */

static const char plain[] = "21.5";
static const char json_32[] = "{\"temp\":21.53,\"hum\":40.1,\"b\":97}";
static const char json_128[] = "{\"battery\":97,\"humidity\":40.12,\"linkquality\":84,\"temperature\":21.53,"
                               "\"pressure\":1013.2,\"voltage\":2975,\"occupancy\":false,\"n\":1}";
static const char json_512[] =
    "{\"Time\":\"2026-03-01T12:00:00\",\"ENERGY\":{\"TotalStartTime\":\"2025-01-01T00:00:00\",\"Total\":117."
    "42,"
    "\"Yesterday\":1.204,\"Today\":0.512,\"Period\":5,\"Power\":61,\"ApparentPower\":84,\"ReactivePower\":57,"
    "\"Factor\":0.73,\"Voltage\":231,\"Current\":0.364},\"BME280\":{\"Temperature\":21.6,\"Humidity\":41.7,"
    "\"DewPoint\":8.2,\"Pressure\":1011.9},\"Wifi\":{\"AP\":1,\"SSId\":\"plant\",\"Channel\":11,\"RSSI\":72,"
    "\"Signal\":-64,\"LinkCount\":3,\"Downtime\":\"0T00:00:11\"},\"TempUnit\":\"C\",\"PressureUnit\":\"hPa\","
    "\"Uptime\":\"14T03:12:09\",\"Heap\":24,\"SleepMode\":\"Dynamic\",\"Sleep\":50,\"LoadAvg\":19}";
static const char csv_128[] = "1772366400,plant-3,line-7,12.50,13.25,0.00,1.75,22.10,47.00,1013.25,"
                              "0,1,0,0,1,231.4,0.364,61.0,84.2,0.73,50.01,117.42\n";
static const char escaped[] = "{\"name\":\"K\\u00fcche\",\"text\":\"a \\\"quoted\\\" word\"}";

struct subject {
    struct scan_view_space *space;
    struct view payload;
    const char *name;
    size_t expected, found;
};

static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct subject *subject = context;

    (void)path, (void)bytes;
    subject->found++;
    return true;
}

static void run_views(void *context, size_t count)
{
    struct subject *subject = context;
    const struct scan_view_limits limits = scan_view_limits_for(subject->payload.length);

    subject->found = 0;
    for (size_t i = 0; i < count; i++)
        scan_views(subject->space, subject->payload, SCAN_VIEWS_ALL, &limits, on_view, subject);
    if (subject->found == subject->expected * count)
        return;
    fprintf(stderr, "mqward-bench-views: %s: %zu views, not %zu\n", subject->name, subject->found / count,
        subject->expected);
    exit(1);
}

static void destroy(void *context)
{
    struct subject *subject = context;

    scan_view_space_free(subject->space);
    free(subject);
}

static void add(
    struct micro_subject *subjects, size_t *used, const char *name, struct view payload, size_t expected)
{
    struct subject *subject = memory_calloc(1, sizeof(*subject));
    size_t times = payload.length * TIMES > BYTES ? BYTES / payload.length : TIMES;

    subject->space = scan_view_space_new();
    subject->name = name;
    subject->payload = payload;
    subject->expected = expected;
    subjects[*used] = (struct micro_subject){"", run_views, NULL, destroy, subject, times};
    snprintf(subjects[*used].name, sizeof(subjects[*used].name), "%s", name);
    (*used)++;
}

/* Bytes without a pattern, the same in each run. */
static void fill(uint8_t *bytes, size_t size, const char *alphabet)
{
    const size_t letters = strlen(alphabet);
    uint64_t state = 88172645463325252U;

    for (size_t i = 0; i < size; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        bytes[i] = letters > 0 ? (uint8_t)alphabet[state % letters] : (uint8_t)(state >> 32 & 0x7F);
    }
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    static uint8_t registers[128], noise[128], image[4096], digits[4096], joint[65536], text[65536];
    size_t used = 0;

    (void)policies, (void)policy_count, (void)max;
    for (size_t i = 0; i < sizeof(registers); i += 2)
        registers[i + 1] = (uint8_t)(i * 7);
    fill(noise, sizeof(noise), "");
    fill(image, sizeof(image), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    fill(digits, sizeof(digits), "0123456789abcdef");
    fill(joint, sizeof(joint), "ghijkl/");
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)json_512[i % (sizeof(json_512) - 1)];
    add(subjects, &used, "none: 4 B number", view_of_string(plain), 0);
    add(subjects, &used, "none: 32 B JSON", view_of_string(json_32), 0);
    add(subjects, &used, "none: 128 B JSON", view_of_string(json_128), 0);
    add(subjects, &used, "none: 512 B JSON", view_of_string(json_512), 0);
    add(subjects, &used, "none: 64 KiB JSON", view_of(text, sizeof(text)), 0);
    add(subjects, &used, "none: 128 B CSV", view_of_string(csv_128), 0);
    add(subjects, &used, "none: 128 B registers", view_of(registers, sizeof(registers)), 0);
    add(subjects, &used, "none: 128 B random", view_of(noise, sizeof(noise)), 0);
    add(subjects, &used, "json: 54 B", view_of_string(escaped), 1);
    add(subjects, &used, "base64: 4 KiB", view_of(image, sizeof(image)), 1);
    add(subjects, &used, "hex: 4 KiB", view_of(digits, sizeof(digits)), 1);
    add(subjects, &used, "in vain: 64 KiB of small letters", view_of(joint, sizeof(joint)), 0);
    assert(used <= max);
    return used;
}

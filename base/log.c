/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the process's log: its level, its format, its descriptor, and the account of lines that could not be
 * written. Called by every layer above. */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/character.h"
#include "base/clock.h"
#include "base/json.h"

/* A value can be a topic of 64 KiB; a line that long is of no use and is torn by pipes. */
#define LOG_VALUE_MAXIMUM 1024

static const char *const log_level_names[] = {
    [LOG_DEBUG] = "debug",
    [LOG_INFO] = "info",
    [LOG_WARN] = "warn",
    [LOG_ERROR] = "error",
};

static _Atomic int log_level = LOG_INFO;
static _Atomic int log_format = LOG_TEXT;
static _Atomic int log_descriptor = STDERR_FILENO;
/* Lines lost since the last one that got through, which then says so. */
static _Atomic uint64_t log_dropped;

/* Guards the descriptor: a line may need more than one write(2). */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static bool log_torn; /* the last line was cut short: the next one must not be glued to it */

/* A line to be: what every format needs of it. */
struct log_line {
    char timestamp[CLOCK_TIMESTAMP_LENGTH + 1];
    enum log_level level;
    const char *component;
    const char *event;
    const struct log_field *fields;
    size_t count;
    uint64_t suppressed;
    uint64_t dropped;
};

void log_configure(enum log_level level, enum log_format format, int descriptor)
{
    assert((unsigned)level <= LOG_ERROR && (unsigned)format <= LOG_JSON);
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&log_format, (int)format, memory_order_relaxed);
    atomic_store_explicit(&log_descriptor, descriptor, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* True if the line may be written; then *suppressed is the number of lines that were not, before it. */
static bool log_limit_pass(struct log_limit *limit, uint64_t *suppressed)
{
    *suppressed = 0;
    if (limit == NULL || limit->burst == 0)
        return true;
    uint64_t now = clock_monotonic_ms() / 1000 & UINT32_MAX;
    uint64_t window = atomic_load_explicit(&limit->window, memory_order_relaxed), next;
    do {
        /* A thread that read the clock a moment earlier does not turn it back. */
        if (now > window >> 32)
            next = now << 32 | 1;
        else if ((window & UINT32_MAX) < limit->burst)
            next = window + 1;
        else {
            atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &limit->window, &window, next, memory_order_relaxed, memory_order_relaxed));
    *suppressed = atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed);
    return true;
}

/* Length of what may stand in a line as it is: 0 for what a terminal would obey, hide or reorder, and for
 * what is not UTF-8. */
static size_t log_printable_length(struct view v)
{
    size_t length;
    uint32_t character = character_decode(v, &length);

    return length == 0 || character_is_deceptive(character) ? 0 : length;
}

/* A value can stand without quotes when no reader could take it for something else. */
static bool log_is_bare(struct view value)
{
    for (size_t i = 0; i < value.length;) {
        uint8_t byte = value.data[i];
        size_t length = log_printable_length(view_skip(value, i));
        if (length == 0 || byte == ' ' || byte == '"' || byte == '=' || byte == '\\')
            return false;
        i += length;
    }
    return value.length > 0;
}

static void log_append_quoted(struct buffer *out, struct view value)
{
    buffer_append_byte(out, '"');
    for (size_t i = 0; i < value.length;) {
        size_t length = log_printable_length(view_skip(value, i));
        if (length == 0) {
            /* Byte by byte, so that the value can be read back exactly. */
            buffer_format(out, "\\x%02X", (unsigned)value.data[i++]);
            continue;
        }
        if (value.data[i] == '"' || value.data[i] == '\\')
            buffer_append_byte(out, '\\');
        buffer_append(out, view_of(value.data + i, length));
        i += length;
    }
    buffer_append_byte(out, '"');
}

static void log_append_text(struct buffer *out, const char *key, struct view value)
{
    bool cut = value.length > LOG_VALUE_MAXIMUM;

    buffer_format(out, " %s=", key);
    if (cut)
        value.length = LOG_VALUE_MAXIMUM;
    if (!cut && log_is_bare(value))
        buffer_append(out, value);
    else
        log_append_quoted(out, value);
    if (cut)
        buffer_append(out, VIEW("...")); /* behind the quotes, where no value can put it */
}

static void log_append_number(struct buffer *out, const char *key, uint64_t number)
{
    buffer_format(out, " %s=%llu", key, (unsigned long long)number);
}

static void log_render_text(struct buffer *out, const struct log_line *line)
{
    buffer_format(
        out, "%s level=%s component=%s msg=", line->timestamp, log_level_names[line->level], line->component);
    log_append_quoted(out, view_of_string(line->event));
    for (size_t i = 0; i < line->count; i++) {
        const struct log_field *field = &line->fields[i];
        if (field->kind == LOG_FIELD_UNSIGNED)
            log_append_number(out, field->key, field->number);
        else
            log_append_text(out, field->key, field->text);
    }
    if (line->suppressed > 0)
        log_append_number(out, "suppressed", line->suppressed);
    if (line->dropped > 0)
        log_append_number(out, "dropped", line->dropped);
}

static void log_render_json(struct buffer *out, const struct log_line *line)
{
    struct json json;

    json_write_begin(&json, out);
    json_write_object_begin(&json, NULL);
    json_write_string(&json, "@timestamp", view_of_string(line->timestamp));
    json_write_string(&json, "log.level", view_of_string(log_level_names[line->level]));
    json_write_string(&json, "log.logger", view_of_string(line->component));
    json_write_string(&json, "message", view_of_string(line->event));
    for (size_t i = 0; i < line->count; i++) {
        const struct log_field *field = &line->fields[i];
        if (field->kind == LOG_FIELD_UNSIGNED)
            json_write_unsigned(&json, field->key, field->number);
        else
            json_write_string_capped(&json, field->key, field->text, LOG_VALUE_MAXIMUM);
    }
    if (line->suppressed > 0)
        json_write_unsigned(&json, "suppressed", line->suppressed);
    if (line->dropped > 0)
        json_write_unsigned(&json, "dropped", line->dropped);
    json_write_object_end(&json);
}

/* False if the line did not get out whole. A full pipe without blocking (EAGAIN) is not waited for: the log
 * never holds up the traffic. */
static bool log_write_all(struct view text)
{
    int descriptor = atomic_load_explicit(&log_descriptor, memory_order_relaxed);

    for (size_t done = 0; done < text.length;) {
        ssize_t written = write(descriptor, text.data + done, text.length - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            log_torn = log_torn || done > 0;
            return false;
        }
        log_torn = false;
        done += (size_t)written;
    }
    return true;
}

void log_write(enum log_level level, struct log_limit *limit, const char *component, const char *event,
    const struct log_field *fields, size_t count)
{
    struct log_line line = {
        .level = level, .component = component, .event = event, .fields = fields, .count = count};
    struct buffer out = {0};
    int saved_errno = errno; /* callers log first and look at errno later */

    assert((unsigned)level <= LOG_ERROR);
    if (!log_enabled(level) || !log_limit_pass(limit, &line.suppressed))
        return;
    clock_format_timestamp(clock_wall_us(), line.timestamp);
    line.dropped = atomic_exchange_explicit(&log_dropped, 0, memory_order_relaxed);
    /* The newline that ends a torn line is rendered before every line and skipped where there is none. */
    buffer_append_byte(&out, '\n');
    if (atomic_load_explicit(&log_format, memory_order_relaxed) == LOG_JSON)
        log_render_json(&out, &line);
    else
        log_render_text(&out, &line);
    buffer_append_byte(&out, '\n');

    pthread_mutex_lock(&log_lock);
    if (!log_torn)
        buffer_consume(&out, 1);
    bool written = log_write_all(buffer_view(&out));
    pthread_mutex_unlock(&log_lock);
    if (!written)
        atomic_fetch_add_explicit(&log_dropped, line.dropped + 1, memory_order_relaxed);
    buffer_release(&out);
    errno = saved_errno;
}

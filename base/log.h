/* SPDX-License-Identifier: Apache-2.0 */
/* The process's own log (not the audit trail): one line an event on a descriptor (default: stderr), key=value
 * or JSON. Thread-safe: one write(2) a line. Values are escaped, so no peer can forge a line. */
#ifndef MQWARD_BASE_LOG_H
#define MQWARD_BASE_LOG_H

#include "base/view.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

enum log_field_kind { LOG_FIELD_STRING, LOG_FIELD_UNSIGNED };
struct log_field {
    const char *key;
    enum log_field_kind kind;
    struct view text;
    uint64_t number;
};

static inline struct log_field log_view(const char *key, struct view value)
{
    return (struct log_field){key, LOG_FIELD_STRING, value, 0};
}
static inline struct log_field log_string(const char *key, const char *value)
{
    return (struct log_field){key, LOG_FIELD_STRING, view_of_string(value), 0};
}
static inline struct log_field log_unsigned(const char *key, uint64_t value)
{
    return (struct log_field){key, LOG_FIELD_UNSIGNED, {NULL, 0}, value};
}

/* A site of rate limiting: at most burst lines a second; the first line after a pause carries suppressed=N.
 */
struct log_limit {
    uint32_t burst; /* lines a second, 0 = no limit; the rest starts as zero */
    _Atomic uint64_t
        window; /* the monotonic second << 32 | lines written in it: one word, so that the limit is exact */
    _Atomic uint64_t suppressed;
};

void log_configure(enum log_level level, enum log_format format, int descriptor);
bool log_enabled(enum log_level level);
/* component: "listener", "upstream", ...; event: a fixed English phrase, lower case, no variable parts. */
void log_write(enum log_level level, struct log_limit *limit, const char *component, const char *event,
    const struct log_field *fields, size_t count);

#define LOG_EVENT(level, component, event, ...)                                                              \
    log_write((level), NULL, (component), (event),                                                           \
        (const struct log_field[]){{NULL, 0, {NULL, 0}, 0}, ##__VA_ARGS__} + 1,                              \
        sizeof((const struct log_field[]){{NULL, 0, {NULL, 0}, 0}, ##__VA_ARGS__}) /                         \
                sizeof(struct log_field) -                                                                   \
            1)
/* For what a peer can cause: at most ten lines a second for this place in the code. */
#define LOG_LIMITED(level, component, event, ...)                                                            \
    do {                                                                                                     \
        static struct log_limit log_limit_here = {.burst = 10};                                              \
        log_write((level), &log_limit_here, (component), (event),                                            \
            (const struct log_field[]){{NULL, 0, {NULL, 0}, 0}, ##__VA_ARGS__} + 1,                          \
            sizeof((const struct log_field[]){{NULL, 0, {NULL, 0}, 0}, ##__VA_ARGS__}) /                     \
                    sizeof(struct log_field) -                                                               \
                1);                                                                                          \
    } while (0)

#endif

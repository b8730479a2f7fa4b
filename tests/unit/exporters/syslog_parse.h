/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 5424 and CEF read by the book, for tests and fuzzing of what renders them: written from the grammars,
 * and sharing nothing with the renderers. */
#ifndef MQWARD_TESTS_EXPORTERS_SYSLOG_PARSE_H
#define MQWARD_TESTS_EXPORTERS_SYSLOG_PARSE_H

#include "base/view.h"

#define SYSLOG_PARSED_PARAMS 32
#define SYSLOG_PARSED_VALUE 2048

struct syslog_param {
    struct view name;
    char value[SYSLOG_PARSED_VALUE]; /* unescaped */
};

struct syslog_parsed {
    unsigned facility, severity;
    struct view timestamp, hostname, app, process, message_id, sd_id, message;
    struct syslog_param params[SYSLOG_PARSED_PARAMS];
    size_t param_count;
};

/* NULL, or what is wrong. One SD-ELEMENT is expected; control characters and ill-formed UTF-8 are errors. */
const char *syslog_parse(struct view text, struct syslog_parsed *parsed);
/* The value of a parameter, or NULL. */
const char *syslog_param(const struct syslog_parsed *parsed, const char *name);

struct cef_parsed {
    char header[7][SYSLOG_PARSED_VALUE]; /* "CEF:0", vendor, product, version, class, name, severity;
                                            unescaped */
    struct syslog_param keys[64];
    size_t key_count;
};

/* NULL, or what is wrong. */
const char *cef_parse(struct view text, struct cef_parsed *parsed);
const char *cef_key(const struct cef_parsed *parsed, const char *name);

#endif

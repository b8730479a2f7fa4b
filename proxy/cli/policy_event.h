/* SPDX-License-Identifier: Apache-2.0 */
/* From an audit record (docs/audit.md) to the notation of tests: who did what. */
#ifndef MQWARD_PROXY_CLI_POLICY_EVENT_H
#define MQWARD_PROXY_CLI_POLICY_EVENT_H

#include <stdio.h>

#include "base/buffer.h"
#include "proxy/cli/policy_input.h"

/* More than any record has. */
#define POLICY_EVENT_MAXIMUM ((size_t)1 << 20)

struct policy_event {
    struct buffer client, act; /* "cert plc-7 client_id=plc-7", "publish dt/a/plc-7/temp qos=1" */
    struct buffer lacks;       /* lines: what the record does not say */
    struct buffer decided;     /* what was decided then: "mqtt-publish-denied, no_allow" */
    const char *const *words;  /* what the caller knows of the client: "site=a" */
    size_t word_count;
};

/* Reads one JSON document. words: key=value, what the caller knows of the client, which wins over the record.
 * False after a message on standard error; policy_event_release() in any case. */
bool policy_event_read(FILE *in, const struct policy_input *source, const char *const *words, size_t count,
    struct policy_event *event);
void policy_event_release(struct policy_event *event);
/* A word of the notation, in quotes where it needs them. */
void policy_event_append_word(struct buffer *line, const char *key, struct view value);

#endif

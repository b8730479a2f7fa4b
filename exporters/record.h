/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's line: one event as an ECS document. Rendered once, when the event is sealed; later only its
 * head and its origin are read back, never the rest. */
#ifndef MQWARD_EXPORTERS_RECORD_H
#define MQWARD_EXPORTERS_RECORD_H

#include "base/view.h"

struct audit_event;
struct buffer;

/* No rendered line is longer: every byte of a text may become six, and some texts occur three times. */
#define RECORD_LINE_MAX ((size_t)256 * 1024)

/* Which record of which ring an event came from: what recovery compares. */
struct record_origin {
    uint64_t run; /* the epoch of the process that pushed it */
    uint32_t ring;
    uint64_t serial;
};

/* What only a checkpoint has. */
struct record_checkpoint {
    const char *previous;                       /* event.id of the one before; "": none */
    uint64_t events;                            /* lines since then */
    uint64_t interval_events, interval_seconds; /* 0: not by these */
    const char *key;                            /* of the public key: SHA-256, hex */
    const char *signature;                      /* base64 */
};

/* What sealing adds. */
struct record_seal {
    uint64_t epoch;
    uint64_t sequence;
    uint64_t sealed_us;                         /* event.created */
    struct record_origin origin;                /* of no ring if there is a checkpoint */
    const struct record_checkpoint *checkpoint; /* NULL: it is none */
    const char *hostname;
};

/* Appends the line with its newline. Field order is fixed: record_parse_head() relies on it. chain_seal()
 * adds the chain at its end; with it the line has RECORD_LINE_MAX bytes at most. */
void record_render(struct buffer *out, const struct audit_event *event, const struct record_seal *seal);

/* What the start of a line says. */
struct record_head {
    uint64_t epoch;
    uint64_t sequence;
    uint64_t sealed_us;
};

/* 0, or -1 if line (without its newline) is not a line of ours: wrong start or end, control characters. */
int record_parse_head(struct view line, struct record_head *head);
/* The origin within a line that record_parse_head() accepted. 0 or -1. */
int record_parse_origin(struct view line, struct record_origin *origin);
/* Whether such a line is a checkpoint. */
bool record_is_checkpoint(struct view line);

#endif

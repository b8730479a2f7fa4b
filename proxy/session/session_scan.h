/* SPDX-License-Identifier: Apache-2.0 */
/* Scanned messages in a session: what checks ask YARA, and what follows from the answer. A part of
 * session_internal.h, which includes it. */
#ifndef MQWARD_PROXY_SESSION_SESSION_SCAN_H
#define MQWARD_PROXY_SESSION_SESSION_SCAN_H

#include "policy/yara.h"
#include "proxy/session/session.h"

/* A message that is to be scanned. */
struct session_scan_message {
    struct view topic;
    struct view payload; /* without the envelope of a signature that stands */
    const struct mqtt_properties *properties;
    uint64_t size; /* of the payload as it came */
    uint8_t qos;
    bool retain, outbound;
};

/* What a check has found. */
struct session_scan_found {
    const struct policy_check_info *check;
    enum reason reason; /* payload_matched, scan_failed, scan_incomplete */
    bool refuses;       /* the message is not to go on */
    bool monitored;     /* it would be refused but for monitor mode */
    enum policy_deny_publish answer;
    const struct session_scanned *scanned;
};

#define SESSION_SCAN_PARTS 8
/* A message on its way through the checks that scan. */
struct session_scan_run {
    struct session *session;
    uint64_t of;     /* all that the message is to pass, as bits */
    uint64_t checks; /* not asked yet */
    size_t asked;
    const struct session_scanned *results; /* of the pool, by check; NULL: it is scanned here */
    struct scan_context context;
    struct scan_part few[SESSION_SCAN_PARTS], *parts; /* few, or owned */
    size_t part_count, part_capacity;
    bool more_parts;
    bool together;  /* checks that ask alike were asked with one scan */
    uint64_t clean; /* what that has found nothing for, as bits */
    struct session_scanned here;
};
/* checks: those that scan. */
void session_scan_begin(struct session_scan_run *run, struct session *session,
    const struct session_scan_message *message, uint64_t checks);
enum session_scan_step {
    SESSION_SCAN_PASSED, /* no check has anything more to say */
    SESSION_SCAN_FOUND,  /* found is filled in, until the next call */
    SESSION_SCAN_LATER   /* all of them are asked later: session->hold has the ticket */
};
enum session_scan_step session_scan_next(struct session_scan_run *run, struct session_scan_found *found);
void session_scan_end(struct session_scan_run *run);
/* The client is somebody else from now on. */
void session_scan_forget(struct session *session);

/* Asks the checks about a PUBLISH, either way, whose signature has been looked at, and tells the audit of
 * what lets it pass. refuse: is called, with the context's scanned and verdict, where it is not to go on.
 * False: so it is, or it waits (session->hold). */
struct session_publish;
typedef void session_scan_refuse(
    struct session *session, struct session_publish *context, struct session_output *output);
bool session_scan_pass(struct session *session, struct session_publish *context, uint64_t checks,
    session_scan_refuse *refuse, struct session_output *output);

/* What was found blocks the message, or it goes on and is reported. */
enum audit_action session_scan_action(
    const struct session_scan_found *found, enum audit_disposition disposition);
/* What the audit is to know of it. text: where some of it is built, for as long as the event. */
struct session_scan_text {
    char view[64], detail[160];
};
void session_event_scan(
    struct audit_event *event, const struct session_scan_found *found, struct session_scan_text *text);

#endif

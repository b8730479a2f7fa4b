/* SPDX-License-Identifier: Apache-2.0 */
/* What the syslog sink takes as its settings. */
#ifndef MQWARD_EXPORTERS_SINK_SYSLOG_H
#define MQWARD_EXPORTERS_SINK_SYSLOG_H

#include "exporters/outlet.h"
#include "exporters/syslog_message.h"

/* Between the messages of a stream (RFC 6587). */
enum syslog_framing {
    SYSLOG_OCTET_COUNTING, /* the length before each; what RFC 5425 asks for over TLS */
    SYSLOG_LINES,          /* a line feed behind each: "non-transparent", but no message has one in it */
};

/* Strings are borrowed. */
struct sink_syslog_settings {
    const char *host; /* host name, IPv4, IPv6, or a path starting with '/' for a Unix socket */
    uint16_t port;
    struct outlet_settings outlet; /* its datagrams: true */
    enum syslog_framing framing;
    struct syslog_shape shape;
    uint64_t timeout_ms; /* without progress while something is under way */
};

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A journal line as a syslog message (RFC 5424): bytes in, bytes out, nothing else. A rendering never fails:
 * what a line lacks is left out or NILVALUE, and no text of a client's can end its field, its element or its
 * message, or begin another one. */
#ifndef MQWARD_EXPORTERS_SYSLOG_MESSAGE_H
#define MQWARD_EXPORTERS_SYSLOG_MESSAGE_H

#include "base/view.h"

struct buffer;

enum syslog_format { SYSLOG_JSON, SYSLOG_TEXT, SYSLOG_CEF }; /* of MSG */

#define SYSLOG_LIMIT_MIN ((size_t)1024)
#define SYSLOG_LIMIT_MAX ((size_t)60 * 1024) /* fits a UDP datagram, whatever its header (RFC 5426) */
#define SYSLOG_SD_ID_MAX 32

struct syslog_shape {
    unsigned facility; /* 0 to 23: RFC 5424, section 6.2.1 */
    enum syslog_format format;
    const char *sd_id; /* syslog_sd_id_is_valid() */
    uint32_t process;  /* PROCID */
    size_t limit;      /* bytes of a message at most, SYSLOG_LIMIT_MIN to SYSLOG_LIMIT_MAX */
};

/* "name@<private enterprise number>" (RFC 5424, section 6.3.2). */
bool syslog_sd_id_is_valid(struct view text);

/* Appends the message of a journal line (without its newline). There is no control character in it, so no
 * line end either. What is longer than the limit is cut so that the rest can still be read, and so that no
 * text of a client's pushes another field out while a shorter text would do: JSON as record_shorten() has it;
 * text at a character, with U+2026; the values of CEF and STRUCTURED-DATA likewise, and whole fields only
 * where short values are too long, too. */
void syslog_message_render(struct buffer *out, const struct syslog_shape *shape, struct view line);

#endif

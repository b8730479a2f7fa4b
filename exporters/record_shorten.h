/* SPDX-License-Identifier: Apache-2.0 */
/* A journal line as a smaller JSON object, for receivers that have a limit. What a client chose must not
 * decide what the receiver gets to see: long texts give way before any member does. */
#ifndef MQWARD_EXPORTERS_RECORD_SHORTEN_H
#define MQWARD_EXPORTERS_RECORD_SHORTEN_H

#include "base/view.h"

struct buffer;

/* Appends line in limit bytes at most, as a JSON object whose last member is "tags":["mqward-truncated"].
 * First every text is cut at a character and ends with U+2026 (256 bytes at most as they are written, then
 * 128, 80, 40), and of an array four elements and "…" stay; then members that repeat others or tell least go
 * (related, observer, ...); what is too long even so ends with the last whole member that fits. Of a line
 * that is no JSON object (record_walk() says so) the members before the damage are all that there is. Nothing
 * is appended if limit is too small for the tag alone. */
void record_shorten(struct buffer *out, struct view line, size_t limit);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, topic names and topic filters (sections 1.5.4 and 4.7). Called by the decoders for every string of
 * a packet. Nearly all strings are plain ASCII: those are passed eight bytes at a time, the rest is looked at
 * character by character. */
#include "base/topic.h"
#include "base/utf8.h"
#include "proxy/mqtt/codec.h"
#include "proxy/mqtt/plain.h"

static uint32_t code_point(const uint8_t *at, size_t length)
{
    static const uint8_t first_byte_bits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t point = at[0] & first_byte_bits[length];
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (at[i] & 0x3F);
    }
    return point;
}

/* What section 1.5.4 only advises against: control characters and the non-characters of Unicode. v is
 * well-formed. */
static bool has_control_characters(struct view v)
{
    for (size_t i = 0; i < v.length;) {
        size_t length = utf8_sequence_length(view_skip(v, i));
        uint32_t point = code_point(v.data + i, length);
        if (point < 0x20 || (point >= 0x7F && point < 0xA0) || (point >= 0xFDD0 && point <= 0xFDEF) ||
            (point & 0xFFFE) == 0xFFFE) {
            return true;
        }
        i += length;
    }
    return false;
}

static enum codec_fault check_characters(struct view string)
{
    if (!utf8_valid(string)) {
        return FAULT_utf8;
    }
    return memchr(string.data, 0, string.length) != NULL ? FAULT_nul : FAULT_none;
}

/* The part of every check that depends on the options. */
static inline enum codec_fault check_advice(const struct codec_context *context, struct view string)
{
    return context->refuse_control_characters && has_control_characters(string) ? FAULT_control_characters
                                                                                : FAULT_none;
}

enum codec_fault codec_check_string(const struct codec_context *context, struct view string)
{
    if (!codec_is_plain(string)) {
        enum codec_fault fault = check_characters(string);
        if (fault != FAULT_none) {
            return fault;
        }
    }
    return check_advice(context, string);
}

enum codec_fault codec_check_name(struct view name, bool refuse_control_characters)
{
    enum codec_fault fault = check_characters(name);
    if (fault != FAULT_none) {
        return fault;
    }
    if (!topic_name_valid(name)) {
        return FAULT_topic_wildcard;
    }
    return refuse_control_characters && has_control_characters(name) ? FAULT_control_characters : FAULT_none;
}

/* Which wildcard made topic_filter_valid() refuse. */
static enum codec_fault blame_wildcard(struct view filter)
{
    const uint8_t *hash = memchr(filter.data, '#', filter.length);
    if (hash == NULL) {
        return FAULT_filter_plus;
    }
    size_t position = (size_t)(hash - filter.data);
    bool in_place = position + 1 == filter.length && (position == 0 || filter.data[position - 1] == '/');
    return in_place ? FAULT_filter_plus : FAULT_filter_hash;
}

/* "$share/<group>/<filter>", section 4.8.2. Checked in 3.x, too: brokers share for those clients as well, and
 * one that takes a malformed share literally would see another filter than the proxy judged. */
static enum codec_fault check_share(struct view behind_prefix)
{
    const uint8_t *slash = memchr(behind_prefix.data, '/', behind_prefix.length);
    size_t length = slash == NULL ? behind_prefix.length : (size_t)(slash - behind_prefix.data);
    if (length == 0) {
        return FAULT_share_group;
    }
    if (memchr(behind_prefix.data, '+', length) != NULL || memchr(behind_prefix.data, '#', length) != NULL) {
        return FAULT_share_form;
    }
    return slash == NULL || length + 1 == behind_prefix.length ? FAULT_share_form : FAULT_none;
}

enum codec_fault codec_check_filter(const struct codec_context *context, struct view filter, bool *shared)
{
    static const struct view prefix = {(const uint8_t *)"$share/", 7};
    if (filter.length == 0) {
        return FAULT_filter_empty;
    }
    bool plain = codec_is_plain(filter);
    enum codec_fault fault = plain ? FAULT_none : check_characters(filter);
    bool share = view_starts_with(filter, prefix);
    if (fault == FAULT_none && share) {
        fault = filter.length == prefix.length ? FAULT_share_group
                                               : check_share(view_skip(filter, prefix.length));
    }
    if (fault == FAULT_none && !plain && !topic_filter_valid(filter)) {
        fault = blame_wildcard(filter);
    }
    if (fault != FAULT_none) {
        return fault;
    }
    if (shared != NULL) {
        *shared = share;
    }
    return check_advice(context, filter);
}

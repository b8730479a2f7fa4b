/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the RFC 5424 message of a journal line. Called by sink_syslog.c on the exporter thread.
 *
 *   <PRI>1 TIMESTAMP HOSTNAME mqward PROCID event.action [sd_id id="..." ...] MSG
 *
 * MSG has no byte order mark: it is MSG-ANY in the words of section 6.4, because readers of JSON and CEF
 * refuse the mark. */
#include "exporters/syslog_message.h"

#include <assert.h>
#include <inttypes.h>

#include "base/clock.h"
#include "exporters/record_shorten.h"
#include "exporters/syslog_members.h"

#define REPLACEMENT 0xFFFDU
#define ELLIPSIS VIEW("\xe2\x80\xa6")
#define HOSTNAME_MAX 255 /* section 6.2.4 */
#define MSGID_MAX 32     /* section 6.2.7 */
#define PARAM_MAX 256    /* of a PARAM-VALUE: all of it is in MSG */
#define PARAM_MIN 32     /* where there is little room */

bool syslog_sd_id_is_valid(struct view text)
{
    const uint8_t *at = text.length == 0 ? NULL : memchr(text.data, '@', text.length);
    bool digit = false;

    if (at == NULL || at == text.data || text.length > SYSLOG_SD_ID_MAX)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t byte = text.data[i];
        bool behind = text.data + i > at;
        if (byte <= ' ' || byte >= 0x7F || byte == '=' || byte == ']' || byte == '"')
            return false;
        if (behind && !((byte >= '0' && byte <= '9') || (byte == '.' && digit)))
            return false;
        digit = behind && byte != '.';
    }
    return digit;
}

/* ---- texts ---- */

static bool is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7F && character < 0xA0) || character == 0x2028 ||
           character == 0x2029;
}

static void append_character(struct buffer *out, uint32_t character, const struct syslog_escape *escape)
{
    uint8_t bytes[4];

    if (escape->has_line_breaks && (character == '\n' || character == '\r')) {
        buffer_append(out, character == '\n' ? VIEW("\\n") : VIEW("\\r"));
        return;
    }
    if (is_control(character))
        character = REPLACEMENT;
    if (character < 0x80 && strchr(escape->special, (int)character) != NULL)
        buffer_append_byte(out, '\\');
    buffer_append(out, view_of(bytes, record_put_character(character, bytes)));
}

/* Bytes of the first characters of text that fit cap; *all: that is all of them. */
static size_t count_fitting(struct view text, size_t cap, bool *all)
{
    size_t bytes = 0;
    uint8_t encoded[4];

    *all = true;
    if (text.length <= cap / 3) /* no byte becomes more than three */
        return cap;
    for (; text.length > 0;) {
        uint32_t character = record_next_character(&text);
        size_t length = record_put_character(is_control(character) ? REPLACEMENT : character, encoded);
        if (bytes + length > cap) {
            *all = false;
            break;
        }
        bytes += length;
    }
    return bytes;
}

/* How many characters at the start stand for themselves. */
static size_t count_plain(struct view text, size_t most, const struct syslog_escape *escape)
{
    size_t length = 0;

    while (length < text.length && length < most && text.data[length] >= ' ' && text.data[length] < 0x7F &&
           text.data[length] != '\\' && strchr(escape->special, text.data[length]) == NULL)
        length++;
    return length;
}

void syslog_append_text(
    struct buffer *out, struct record_value value, size_t cap, const struct syslog_escape *escape)
{
    struct view text = value.text;
    uint8_t encoded[4];
    bool all;

    if (value.kind != RECORD_STRING && value.kind != RECORD_NUMBER)
        return;
    assert(cap >= ELLIPSIS.length);
    size_t room = count_fitting(text, cap, &all);
    if (!all)
        room = cap - ELLIPSIS.length;
    for (;;) {
        size_t plain = count_plain(text, room, escape);
        buffer_append(out, view_of(text.data, plain));
        text = view_skip(text, plain);
        room -= plain;
        if (text.length == 0)
            break;
        uint32_t character = record_next_character(&text);
        size_t length = record_put_character(is_control(character) ? REPLACEMENT : character, encoded);
        if (length > room)
            break;
        room -= length;
        append_character(out, character, escape);
    }
    if (!all)
        buffer_append(out, ELLIPSIS);
}

uint64_t syslog_time_ms(const struct syslog_members *members)
{
    const struct record_value *value = &members->values[SYSLOG_timestamp];
    uint64_t wall_us;

    if (value->kind != RECORD_STRING || clock_parse_timestamp(value->text, &wall_us) != 0)
        return 0;
    return wall_us / 1000;
}

/* ---- the header ---- */

/* PRINTUSASCII, or "-". */
static void append_token(struct buffer *out, struct record_value value, size_t cap)
{
    struct view text = value.kind == RECORD_STRING ? value.text : view_of(NULL, 0);

    if (text.length == 0)
        buffer_append_byte(out, '-');
    for (size_t length = 0; text.length > 0 && length < cap; length++) {
        uint32_t character = record_next_character(&text);
        buffer_append_byte(out, character > ' ' && character < 0x7F ? (uint8_t)character : '?');
    }
}

/* 99 critical (2), 73 warning (4), 47 notice (5), 21 informational (6): section 6.2.1. "error" would be one
 * of mqward's own. */
static unsigned priority_severity(uint64_t severity)
{
    return severity >= 99 ? 2 : severity >= 73 ? 4 : severity >= 47 ? 5 : 6;
}

static void append_header(
    struct buffer *out, const struct syslog_shape *shape, const struct syslog_members *members)
{
    unsigned severity = priority_severity(record_value_number(members->values[SYSLOG_severity]));

    buffer_format(out, "<%u>1 ", shape->facility * 8 + severity);
    if (syslog_time_ms(members) > 0)
        buffer_append(out, members->values[SYSLOG_timestamp].text);
    else
        buffer_append_byte(out, '-');
    buffer_append_byte(out, ' ');
    append_token(out, members->values[SYSLOG_hostname], HOSTNAME_MAX);
    buffer_format(out, " mqward %" PRIu32 " ", shape->process);
    append_token(out, members->values[SYSLOG_action], MSGID_MAX);
    buffer_append_byte(out, ' ');
}

/* ---- STRUCTURED-DATA ---- */

static const struct {
    const char *name;
    enum syslog_member member;
} params[] = {
    {"id", SYSLOG_id},
    {"reason", SYSLOG_reason},
    {"code", SYSLOG_code},
    {"severity", SYSLOG_severity},
    {"outcome", SYSLOG_outcome},
    {"disposition", SYSLOG_disposition},
    {"src", SYSLOG_source_ip},
    {"spt", SYSLOG_source_port},
    {"user", SYSLOG_user},
    {"client_id", SYSLOG_client_id},
    {"topic", SYSLOG_topic},
    {"rule", SYSLOG_rule},
    {"session_id", SYSLOG_session_id},
    {"suppressed", SYSLOG_suppressed},
};

/* Section 6.3.3: '"', '\' and ']' are escaped. False: a parameter for which there was no room is left out. */
static bool append_params(
    struct buffer *out, const struct syslog_members *members, size_t start, size_t limit, size_t cap)
{
    static const struct syslog_escape escape = {"\"\\]", false};
    bool all = true;

    for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
        struct record_value value = members->values[params[i].member];
        size_t before = out->end;
        if (value.text.length == 0)
            continue;
        buffer_append_byte(out, ' ');
        buffer_append(out, view_of_string(params[i].name));
        buffer_append(out, VIEW("=\""));
        syslog_append_text(out, value, cap, &escape);
        buffer_append_byte(out, '"');
        if (buffer_length(out) - start + 1 > limit) {
            out->end = before;
            all = false;
        }
    }
    return all;
}

/* Long values give way before a parameter does. */
static void append_structured_data(
    struct buffer *out, const struct syslog_shape *shape, const struct syslog_members *members, size_t limit)
{
    size_t start = buffer_length(out), before;

    buffer_format(out, "[%s", shape->sd_id);
    before = out->end;
    for (size_t cap = PARAM_MAX; !append_params(out, members, start, limit, cap) && cap > PARAM_MIN; cap /= 2)
        out->end = before;
    buffer_append(out, VIEW("] "));
}

/* ---- MSG ---- */

static bool has_control(struct view line)
{
    for (size_t i = 0; i < line.length; i++)
        if (line.data[i] < 0x20)
            return true;
    return false;
}

/* The line as it is: its bytes are what audit verify checks. */
static void append_json(struct buffer *out, struct view line, size_t limit)
{
    size_t before = out->end;

    if (line.length <= limit && !has_control(line)) {
        buffer_append(out, line);
        return;
    }
    record_shorten(out, line, limit);
    if (!has_control(view_of(out->data + before, out->end - before)))
        return;
    out->end = before;
    record_shorten(out, VIEW("{}"), limit);
}

static void append_plain(struct buffer *out, const struct syslog_members *members, size_t limit)
{
    static const struct syslog_escape escape = {"", false};

    syslog_append_text(out, members->values[SYSLOG_message], limit, &escape);
}

void syslog_message_render(struct buffer *out, const struct syslog_shape *shape, struct view line)
{
    static const char *const paths[] = {
#define MEMBER(identifier, path) path,
        SYSLOG_MEMBERS(MEMBER)
#undef MEMBER
    };
    struct syslog_members members;
    size_t start = buffer_length(out);

    assert(shape->limit >= SYSLOG_LIMIT_MIN && shape->limit <= SYSLOG_LIMIT_MAX && shape->facility < 24);
    (void)record_find(line, paths, SYSLOG_MEMBER_COUNT, members.values);
    append_header(out, shape, &members);
    append_structured_data(out, shape, &members, shape->limit / 3);
    size_t room = shape->limit - (buffer_length(out) - start);
    if (shape->format == SYSLOG_JSON)
        append_json(out, line, room);
    else if (shape->format == SYSLOG_TEXT)
        append_plain(out, &members, room);
    else
        cef_render(out, &members, room);
    assert(buffer_length(out) - start <= shape->limit);
}

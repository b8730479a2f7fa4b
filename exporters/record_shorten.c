/* SPDX-License-Identifier: Apache-2.0 */
/* Owns making a journal line shorter. Called by syslog_message.c for the lines that are longer than the
 * receiver's limit.
 *
 * Clients choose texts of 1,024 bytes, each of which six bytes stand for in JSON, and some of which are in a
 * line three times: cutting the line at its end would let them push topic, disposition and rule out of it. */
#include "exporters/record_shorten.h"

#include "base/buffer.h"
#include "exporters/record_read.h"

#define ELLIPSIS VIEW("\xe2\x80\xa6")
#define TAGS VIEW("\"tags\":[\"mqward-truncated\"]}")

/* Bytes of a text as it is written. 80 leaves hashes whole, 40 event.id and times. */
static const size_t caps[] = {256, 128, 80, 40};

/* Of an array. "…" stands for the rest; event.category and event.type have no more. */
#define ELEMENTS_MAX 4

/* They repeat what others say, or say what seldom matters; in the order in which they go. */
static const char *const expendable[] = {
    "related", "observer", "tls", "server", "destination", "client", "network", "message"};

/* ---- texts ---- */

/* Behind the closing quote of the string that begins at start. */
static size_t string_end(struct view line, size_t start)
{
    size_t at = start + 1;

    while (line.data[at] != '"')
        at += line.data[at] == '\\' ? 2 : 1;
    return at + 1;
}

static bool is_key(struct view line, size_t end)
{
    while (end < line.length && line.data[end] <= ' ')
        end++;
    return end < line.length && line.data[end] == ':';
}

/* Whole characters, written as they were. */
static void append_cut(struct buffer *out, struct view text, size_t cap)
{
    struct view rest = text, before = text;

    while (text.length - rest.length <= cap - ELLIPSIS.length) {
        before = rest;
        (void)record_next_character(&rest);
    }
    buffer_append(out, view_of(text.data, text.length - before.length));
    buffer_append(out, ELLIPSIS);
}

/* line is JSON: record_walk() has seen all of it. */
static void append_with_short_texts(struct buffer *out, struct view line, size_t cap)
{
    size_t copied = 0, at = 0;

    while (at < line.length) {
        if (line.data[at] != '"') {
            at++;
            continue;
        }
        size_t start = at;
        at = string_end(line, start);
        if (at - start - 2 <= cap || is_key(line, at))
            continue;
        buffer_append(out, view_of(line.data + copied, start + 1 - copied));
        append_cut(out, view_of(line.data + start + 1, at - start - 2), cap);
        copied = at - 1;
    }
    buffer_append(out, view_of(line.data + copied, line.length - copied));
}

/* ---- arrays ---- */

struct array {
    size_t cut; /* the end of the last element that stays; 0: all of them do */
    size_t end; /* of its closing bracket's place */
};

/* The array that begins at start. Elements may be anything; only those of this array are counted. */
static struct array find_array(struct view line, size_t start)
{
    struct array array = {0};
    unsigned depth = 0, elements = 1;

    for (size_t at = start;; at++) {
        uint8_t byte = line.data[at];
        if (byte == '"') {
            at = string_end(line, at) - 1;
        } else if (byte == '[' || byte == '{') {
            depth++;
        } else if (byte == ',' && depth == 1 && elements++ == ELEMENTS_MAX) {
            array.cut = at;
        } else if ((byte == ']' || byte == '}') && --depth == 0) {
            array.end = at;
            return array;
        }
    }
}

static void append_with_short_arrays(struct buffer *out, struct view line)
{
    size_t copied = 0, at = 0;

    while (at < line.length) {
        if (line.data[at] == '"') {
            at = string_end(line, at);
            continue;
        }
        if (line.data[at] != '[') {
            at++;
            continue;
        }
        struct array array = find_array(line, at);
        if (array.cut > 0) {
            buffer_append(out, view_of(line.data + copied, array.cut - copied));
            buffer_append(out, VIEW(",\"\xe2\x80\xa6\""));
            copied = array.end;
        }
        at = array.end;
    }
    buffer_append(out, view_of(line.data + copied, line.length - copied));
}

/* ---- members ---- */

struct drop {
    struct buffer *out;
    struct view line, name;
    size_t before; /* the end of the member before */
};

static void drop_ended(void *argument, size_t end)
{
    struct drop *drop = argument;
    struct view member = view_of(drop->line.data + drop->before, end - drop->before);
    struct view key = view_skip(member, member.length < 2 ? member.length : 2); /* behind ',' and '"' */
    bool named = view_starts_with(member, VIEW(",\"")) && view_starts_with(key, drop->name) &&
                 view_starts_with(view_skip(key, drop->name.length), VIEW("\":"));

    if (!named)
        buffer_append(drop->out, member);
    drop->before = end;
}

/* The first member of a line is @timestamp, so that there is a comma before each of these. */
static void append_without(struct buffer *out, struct view line, const char *name)
{
    struct drop drop = {out, line, view_of_string(name), 0};

    (void)record_walk_members(line, drop_ended, &drop);
    buffer_append(out, view_skip(line, drop.before));
}

/* ---- steps ---- */

struct shorten {
    struct buffer texts[2]; /* the line as it is, and as it becomes */
    unsigned which;
    size_t limit; /* of the line, without the tags */
};

static struct view shorten_line(const struct shorten *shorten)
{
    return buffer_view(&shorten->texts[shorten->which]);
}

static struct buffer *shorten_next(struct shorten *shorten)
{
    struct buffer *next = &shorten->texts[!shorten->which];

    buffer_clear(next);
    return next;
}

/* True: it fits. */
static bool shorten_take(struct shorten *shorten)
{
    shorten->which = !shorten->which;
    return shorten_line(shorten).length <= shorten->limit;
}

/* Each step goes on with what the one before left: it is shorter already. */
static void shorten_steps(struct shorten *shorten)
{
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        append_with_short_texts(shorten_next(shorten), shorten_line(shorten), caps[i]);
        if (shorten_take(shorten))
            return;
    }
    append_with_short_arrays(shorten_next(shorten), shorten_line(shorten));
    if (shorten_take(shorten))
        return;
    for (size_t i = 0; i < sizeof(expendable) / sizeof(expendable[0]); i++) {
        append_without(shorten_next(shorten), shorten_line(shorten), expendable[i]);
        if (shorten_take(shorten))
            return;
    }
}

void record_shorten(struct buffer *out, struct view line, size_t limit)
{
    const size_t tags = TAGS.length;
    struct shorten shorten = {.limit = limit - (limit < tags ? limit : tags)};

    if (limit <= tags)
        return;
    buffer_append(&shorten.texts[0], line);
    if (record_walk(line, NULL, NULL) == 0)
        shorten_steps(&shorten);
    struct view shorter = shorten_line(&shorten);
    size_t end = record_cut(shorter, shorten.limit);
    buffer_append(out, end == 0 ? VIEW("{") : view_of(shorter.data, end));
    if (end > 0)
        buffer_append_byte(out, ',');
    buffer_append(out, TAGS);
    buffer_release(&shorten.texts[0]);
    buffer_release(&shorten.texts[1]);
}
